#!/bin/sh
# The second half of a node's start, inside its own root: lets go of the machine, then waits as the node's init.
set -e
echo "$LAST_PID" >/proc/sys/kernel/ns_last_pid
# Devices that both nodes see stay open here: their loop devices live as long as this process.
descriptor=5
for name in $SHARED; do
    eval "exec $descriptor</dev/$name"
    descriptor=$((descriptor + 1))
done
exec </dev/null # the one in here
mkdir -p /vz
mount -t ext4 /dev/vda2 /vz
exec 7>&- 8>&- # the node's own disks are held by their mounts now
umount -R /.machine
rmdir /.machine
mount --bind /usr/lib/node/boot_id /proc/sys/kernel/random/boot_id
mount --bind /usr/lib/node/partitions /proc/partitions
mkdir -p /var/lock/subsys # as the init script of vz does
touch /var/lock/subsys/vz
mkdir -p /vz/private /vz/root /vz/lock /vz/dump /etc/vz/conf /var/lib/vzplan
# What is mounted at the start is no leftover.
awk '{ print $5 }' /proc/self/mountinfo >/usr/lib/node/mounts
# Whatever is to be started at boot, and is there; at the first one nothing is.
/etc/init.d/vz start 2>/dev/null
/usr/sbin/sshd -f /etc/ssh/node.conf -E /var/log/sshd.log
echo ready
exec >/dev/null 2>&1 4>&-
# The life line ends when whoever wanted the node ends, however it ends. `wait` also takes in orphans.
cat <&3 &
wait $!
