# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# retire-dump CTID DUMP ASIDE: it must never come back, so the name goes first
! there "$conf/$1.conf" || die "$conf/$1.conf is there: the dump may still be taken up here"
if there "$2"; then
    ! there "$3" || die "$3 is there already"
    mark retiring-dump "$2"
    mv -n -T -- "$2" "$3"
    ! there "$2" && there "$3" || die "$2 cannot be renamed to $3"
    sync
fi
there "$3" || { sync; exit 0; }
[ -f "$run/retiring-dump" ] || die "$3 is there, and this run did not put it there"
rm -rf --one-file-system -- "$3"
! there "$3" || die "$3 cannot be deleted"
sync
