# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# remove-made PATH
made=$(marker "$1")
new=$(beside "$1")
disclaim "$1" "$made" "$new"
drop_beside "$new"
[ -f "$made" ] || { sync; exit 0; }
if [ -d "$1" ] && [ ! -L "$1" ]; then
    held=$(mounts_within "$1")
    [ -z "$held" ] || die "still mounted: $held"
    rmdir -- "$1" || die "$1 is not empty"
elif there "$1"; then
    rm -f -- "$1" || die "$1 cannot be removed"
fi
sync
rm -f "$made"
sync # a mark that came back would let this run remove what another makes there later
