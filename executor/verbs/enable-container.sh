# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# enable-container CTID CONFIG <FENCE: the pivot of a stopped container
fence=$(cat)
mark out
(unfence "$2" "$fence")
status=$?
[ "$(head -n 2 "$2" 2>/dev/null)" != "$fence" ] || { mark refused "$status"; exit 3; }
sync
exit "$status"
