#!/bin/busybox sh
# shellcheck shell=dash
# The first process of a guest, in the initrd: modules, disks, and at the first boot what its owner installed on them.
b=/bin/busybox
$b mkdir -p /proc /sys /dev /root
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
while read -r module; do
    set --
    # Else it finds all disks by itself at once, and which is sda is a matter of luck.
    case $module in scsi_mod.*) set -- scan=manual ;; esac
    $b insmod "/modules/$module" "$@" || echo "no $module"
done </modules/order
# One after the other, so that which is sda depends on nothing but its place.
for place in 0 1 2; do
    echo "0 $place 0" >/sys/class/scsi_host/host0/scan
    until [ "$($b ls -d /sys/block/sd* 2>/dev/null | $b wc -l)" -gt "$place" ]; do
        $b usleep 10000
    done
done
until [ -b /dev/vda ] && [ -b /dev/vdb ] && [ -b /dev/vdc ]; do
    $b usleep 10000
done
$b mount -t ext4 /dev/vda /root || exec $b sh
if [ ! -e /root/usr/lib/node/laid ]; then
    $b chroot /root /bin/tar -x -p --keep-directory-symlink -f - -C / </dev/vdc
    : >/root/usr/lib/node/laid
    $b sync
fi
$b mount --move /dev /root/dev
$b umount /sys
$b umount /proc
exec $b switch_root /root /bin/sh /usr/lib/node/init.sh
