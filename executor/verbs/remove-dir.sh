# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# remove-dir PATH
there "$1" || { sync; exit 0; }
[ -d "$1" ] && [ ! -L "$1" ] || die "$1 is not a directory"
held=$(mounts_within "$1")
[ -z "$held" ] || die "still mounted: $held"
rmdir -- "$1" || die "$1 is not empty"
sync
