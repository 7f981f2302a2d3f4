# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# unfence CONFIG <FENCE
still_forbidden "$1"
fence=$(cat) && [ -n "$fence" ] || die "the lines of the fence have not come"
unfence "$1" "$fence" || exit 1
sync
