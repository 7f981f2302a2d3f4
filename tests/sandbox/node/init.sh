#!/bin/busybox sh
# shellcheck shell=dash
# A container's init: what it writes is on disk before it counts on, so that a lost write or two writers show.
b=/bin/busybox
$b sleep 100000000 &
child=$!
trap '$b kill $child; exit 0' TERM
count=$($b tail -n 1 /counter 2>/dev/null)
count=${count:-0}
while :; do
    count=$((count + 1))
    echo "$count" >>/counter
    $b sync /counter
    $b usleep 50000
done
