# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# enable-container CTID STAGED <FENCE: the pivot of a stopped container
fence=$(cat)
mark out
(activate "$1" "$2" "$fence")
status=$?
is_named "$1" "$2" || mark refused "$status"
sync
exit "$status"
