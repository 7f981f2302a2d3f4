#!/bin/sh
# Stands for scsi_id: loop devices have no identity of their own, so a table gives MAJOR:MINOR (hex) -> WWID.
for word; do
    case $word in
        --device=*) device=${word#--device=} ;;
        /dev/*) device=$word ;;
    esac
done
[ -b "${device-}" ] || exit 1
number=$(stat -L -c '%t:%T' "$device")
while read -r known wwid; do
    [ "$known" != "$number" ] || { echo "$wwid" && exit 0; }
done </usr/lib/node/wwids
exit 1
