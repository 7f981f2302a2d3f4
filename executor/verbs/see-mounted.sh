# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# see-mounted DEVICE IDENTITY: the challenge. A clone, however faithful, does not change with its original.
device_number=$(number "$1") || exit 1
same_disk "$1" "$2" || exit 1
held=$(mounts_of "$device_number")
[ -z "$held" ] || die "$1 is mounted here, at $held"
dirty "$1" || unfit "$1 does not show that the source has it mounted: it is another disk, a clone or a snapshot"
[ -f "$run/superblock" ] || exit 0
now=$(superblock "$1") || exit 1
[ "$now" != "$(cat "$run/superblock")" ] || unfit "$1 did not change when the source mounted it: it is another disk"
