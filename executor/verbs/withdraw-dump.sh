# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# withdraw-dump COPIED DUMP: what this run put there, and nothing else; where it was copied to goes with all in it
if [ -f "$run/put-dump" ] && there "$2" && ! there "$1"; then
    mv -n -T -- "$2" "$1"
    ! there "$2" && there "$1" || die "$2 cannot be renamed back to $1"
fi
sync
