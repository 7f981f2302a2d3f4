# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# guard-destination CTID PRIVATE DUMPDIR
! there "$conf/$1.conf" || die "$conf/$1.conf is there now"
! there "$3/Dump.$1" || die "$3/Dump.$1 is there now"
[ -d "$2" ] || die "$2 is not there"
[ -z "$(mounts_within "$2")" ] || die "something is mounted at $2"
