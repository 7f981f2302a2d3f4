# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# remove-made-tree PATH
made=$(marker "$1")
new=$(beside "$1")
disclaim "$1" "$made" "$new"
drop_beside "$new"
[ -f "$made" ] || { sync; exit 0; }
if there "$1"; then
    held=$(mounts_within "$1")
    [ -z "$held" ] || die "still mounted: $held"
    rm -rf --one-file-system -- "$1"
    ! there "$1" || die "$1 cannot be deleted"
fi
sync
rm -f "$made"
sync
