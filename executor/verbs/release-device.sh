# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# release-device DEVICE IDENTITY PRIVATE
release_device "$1" "$2" "$3"
