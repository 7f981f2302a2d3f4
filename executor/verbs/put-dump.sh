# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# put-dump COPIED DUMP: a file or a directory; never overwrites
if there "$1"; then
    ! there "$2" || die "$2 is there already"
    mark put-dump "$2"
    mv -n -T -- "$1" "$2"
    ! there "$1" && there "$2" || die "$1 cannot be renamed to $2"
elif [ ! -f "$run/put-dump" ] || ! there "$2"; then
    die "$1 is not there"
fi
sync # [seen] a rename and a power cut at once, and the old name is back
