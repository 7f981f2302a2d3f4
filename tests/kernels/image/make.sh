#!/bin/sh
# Makes what the guests boot from, out of Debian packages: make.sh FOLDER, as root. Into FOLDER come vmlinuz, initrd and
# root.img, an ext4 without a boot loader. Nothing of this machine is mounted or changed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
into=$1
suite=bookworm
mirror=http://deb.debian.org/debian

if [ -z "${OWN_MOUNTS-}" ]; then # all that is mounted on the way goes with its namespace
    OWN_MOUNTS=1 exec unshare --mount --propagation private sh "$0" "$@"
fi
mkdir -p "$into"
work=$(mktemp -d "$into/work.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 1' HUP INT TERM
root=$work/root

packages=$(tr '\n' , <"$here/packages")
mmdebstrap --quiet --mode=root --variant=essential --format=directory --include="${packages%,}" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/boot/initrd*' \
    --aptopt='APT::Install-Recommends "false"' "$suite" "$root" "$mirror"

cp -L "$root"/boot/vmlinuz-* "$work/vmlinuz"
release=$(basename "$root"/boot/vmlinuz-* | sed 's/^vmlinuz-//')
(cd "$root" && rm -rf boot/* etc/ssh/ssh_host_* var/cache/apt/* var/lib/apt/lists/*)

# The initrd: busybox, and the modules in the order in which they must be loaded.
early=$work/early
mkdir -p "$early/bin" "$early/modules"
cp "$root/bin/busybox" "$early/bin/busybox"
cp "$here/early.sh" "$early/init"
chmod 755 "$early/init"
while read -r module; do
    chroot "$root" /sbin/modprobe --set-version "$release" --show-depends "$module"
done <"$here/modules" | while read -r kind path _; do
    [ "$kind" = insmod ] || continue
    name=$(basename "$path")
    [ ! -e "$early/modules/$name" ] || continue
    cp "$root$path" "$early/modules/$name"
    echo "$name"
done >"$work/order"
mv "$work/order" "$early/modules/order"
(cd "$early" && find . | LC_ALL=C sort | ./bin/busybox cpio -o -H newc) >"$work/initrd"

truncate -s 1500M "$work/root.img"
mke2fs -q -F -t ext4 -m 0 -d "$root" "$work/root.img"
sync "$work/root.img"
mv "$work/vmlinuz" "$work/initrd" "$work/root.img" "$into/"
