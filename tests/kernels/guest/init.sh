#!/bin/sh
# A guest's first process after the initrd: what a node needs to be one, then waits. `wait` also takes in orphans.
PATH=/sbin:/usr/sbin:/bin:/usr/bin
LC_ALL=C
HOME=/root
export PATH LC_ALL HOME
mount -t proc proc /proc
# Else each boot gives its processes the same numbers, and a lock that a power cut left seems to be held.
echo $(($(date +%s) * 37 % 30000 + 1000)) >/proc/sys/kernel/ns_last_pid
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=1777 tmp /tmp
mkdir -p /dev/pts /dev/shm /run/faults /run/lock /run/sshd /run/lvm
mount -t devpts -o ptmxmode=0666,mode=620 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
ln -s /proc/self/fd /dev/fd
hostname "$(cat /etc/hostname)"
/lib/systemd/systemd-udevd --daemon
udevadm trigger --action=add --subsystem-match=block --subsystem-match=virtio-ports
mkdir -p /vz
mount -t ext4 /dev/vdb /vz
ip link set lo up
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip address add "$(cat /usr/lib/node/address)/24" dev eth1
ip link set eth1 up
udevadm settle
lvm vgchange --quiet -a y >/dev/null 2>&1
udevadm settle
mkdir -p /var/lock/subsys # as the init script of vz does
touch /var/lock/subsys/vz
mkdir -p /vz/private /vz/root /vz/lock /vz/dump /etc/vz/conf /var/lib/vzplan
# What is mounted at the start is no leftover.
awk '{ print $5 }' /proc/self/mountinfo >/usr/lib/node/mounts
PYTHONPATH=/usr/lib/node/python python3 -m tests.kernels.agent &
agent=$!
# Whatever is to be started at boot, and is there; at the first one nothing is.
/etc/init.d/vz start >/dev/null 2>&1
/usr/sbin/sshd -f /etc/ssh/node.conf -E /var/log/sshd.log
: >/run/ready
wait "$agent"
echo "the agent ended"
while :; do
    wait
    sleep 1000000 &
done
