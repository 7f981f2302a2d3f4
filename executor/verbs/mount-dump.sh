# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# mount-dump DEVICE IDENTITY ROOM FOUND
mount_device "$1" "$2" "$3" "$4"
mark carrier "$1 $2 $3"
