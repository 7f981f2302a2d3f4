#!/bin/busybox sh
# shellcheck shell=dash
# A container's init: what it writes is on disk before it counts on, so that a lost write or two writers show. The token
# is nowhere but in its memory, and beside each number in /tokens: there it shows where memory was kept, and where not.
# Given COUNT TOKEN it goes on from them. Asked by SIGUSR1, it says what they are into descriptor 3 and stops.
b=/bin/busybox
$b sleep 100000000 &
child=$!
trap '$b kill $child; exit 0' TERM
if [ $# = 2 ]; then
    count=$1
    token=$2
else
    # After a power cut zeros may stand where something was appended and not synced: the size was written before it.
    count=$($b tr -d '\000' </counter 2>/dev/null | $b tail -n 1)
    count=${count:-0}
    token=$($b hexdump -v -n 8 -e '1/1 "%02x"' /dev/urandom)
fi
asked=
trap asked=1 USR1
while :; do
    if [ -n "$asked" ]; then # here, where each number it knows of is written
        asked=
        echo "$count $token" >&3
        $b kill -STOP $$
    fi
    count=$((count + 1))
    echo "$count" >>/counter
    echo "$count $token" >>/tokens
    $b sync /counter /tokens
    $b usleep 200000 # often enough to see who counts; and it is to cost the nodes little
done
