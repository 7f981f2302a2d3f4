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
export number
awk '$1 == ENVIRON["number"] { print $2; found = 1 } END { exit !found }' /usr/lib/node/wwids
