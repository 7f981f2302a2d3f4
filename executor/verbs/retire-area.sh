# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# retire-area CTID PRIVATE ROOT ASIDE
! there "$conf/$1.conf" || die "$conf/$1.conf is there: the container may still be used here"
nothing_in "$3" # somebody may have started it by force: then it lives on these files
for place in "$2" "$4"; do
    held=$(mounts_within "$place")
    [ -z "$held" ] || die "still mounted: $held"
done
if there "$2"; then
    [ -d "$2" ] && [ ! -L "$2" ] || die "$2 is not a directory"
    ! there "$4" || die "$4 is there already"
    mark retiring "$2"
    mv -- "$2" "$4" || die "$2 cannot be renamed"
    sync
fi
there "$4" || { sync; exit 0; }
[ -f "$run/retiring" ] || die "$4 is there, and this run did not put it there"
rm -rf --one-file-system -- "$4"
! there "$4" || die "$4 cannot be deleted"
sync
