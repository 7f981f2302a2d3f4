#!/bin/sh
# The first half of a node's start, as pid 1 of its PID namespace, alone in a mount and UTS namespace of its own:
# builds the node's root and moves into it. The supervisor gives NODE, FOLDER, DISK (the device of the node's own
# disk) and DEVICES (lines "NAME MAJOR MINOR MODE") and the descriptors: 3 life line, 4 console, 5.. shared devices.
set -e
exec </dev/null >&4 2>&4
# What follows moves the root of its mount namespace. MACHINE names the machine's: never that one, and never unasked.
mine=$(readlink /proc/self/ns/mnt)
if [ $$ != 1 ] || [ -z "$mine" ] || [ -z "$MACHINE" ] || [ "$mine" = "$MACHINE" ]; then
    echo "not in a PID and mount namespace of its own: $$ ${mine:-none} ${MACHINE:-unknown}"
    exit 1
fi
mount --make-rprivate /
cd "$FOLDER"
mount -t ext4 "$DISK" disk
first= # of its boots: what lies on its disk is as its owner installed it
[ -d disk/root ] || first=1
mkdir -p disk/upper disk/work disk/root
mount -t overlay "$NODE-root" -o "lowerdir=/,upperdir=$FOLDER/disk/upper,workdir=$FOLDER/disk/work" disk/root
cd disk/root

mount -t proc proc proc
mount --bind /sys sys
mount -o remount,bind,ro sys
# What belongs to the machine's owner is not seen in a node.
for place in run tmp root etc/ssh dev; do
    mkdir -p "$place"
    mount -t tmpfs -o mode=755 "$NODE-${place##*/}" "$place"
done
chmod 1777 tmp
chmod 700 root
mkdir -p dev/pts dev/shm dev/block run/faults run/lock run/sshd
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs -o mode=1777 "$NODE-shm" dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for number in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "dev/${number%:*}" c 1 "${number#*:}"
done
mknod -m 666 dev/tty c 5 0
printf '%s\n' "$DEVICES" | while read -r name major minor; do
    mknod -m 660 "dev/$name" b "$major" "$minor"
    ln -s "../$name" "dev/block/$major:$minor"
done
if [ -n "$first" ]; then
    rm -rf var/lib/vzplan # in the node only: of what is removed here the machine's own stays (overlay)
    cp -a "$FOLDER/seed/." .
fi
cp -a "$FOLDER/each/." .

mkdir -p .machine
pivot_root . .machine
exec chroot . /bin/sh /usr/lib/node/inside.sh
