# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# retire-area CTID PRIVATE ASIDE
! there "$conf/$1.conf" || die "$conf/$1.conf is there: the container may still be used here"
for place in "$2" "$3"; do
    held=$(mounts_within "$place")
    [ -z "$held" ] || die "still mounted: $held"
done
if there "$2"; then
    [ -d "$2" ] && [ ! -L "$2" ] || die "$2 is not a directory"
    ! there "$3" || die "$3 is there already"
    mark retiring "$2"
    mv -- "$2" "$3" || die "$2 cannot be renamed"
    sync
fi
there "$3" || { sync; exit 0; }
[ -f "$run/retiring" ] || die "$3 is there, and this run did not put it there"
rm -rf --one-file-system -- "$3"
! there "$3" || die "$3 cannot be deleted"
sync
