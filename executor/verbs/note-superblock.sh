# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# note-superblock DEVICE IDENTITY
same_disk "$1" "$2" || exit 1
noted=$(superblock "$1") || exit 1
mark superblock "$noted"
