# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# mount-device DEVICE IDENTITY PRIVATE FOUND
as_left "$1" "$2"
mount_device "$1" "$2" "$3" "$4"
