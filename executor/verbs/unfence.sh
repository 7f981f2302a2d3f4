# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# unfence CONFIG <FENCE
still_forbidden "$1"
unfence "$1" "$(cat)" || exit 1
sync
