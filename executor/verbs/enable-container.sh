# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# enable-container CTID STAGED <FENCE: the pivot of a stopped container
fence=$(cat) && [ -n "$fence" ] || die "the lines of the fence have not come"
mark out
(activate "$1" "$2" "$fence")
status=$?
if is_named "$1" "$2" && [ "$(head -n 2 "$conf/$1.conf")" = "$fence" ]; then
    (hide_config "$1" - "$conf/$1.conf" "$2" -) || exit 1
fi
is_named "$1" "$2" || mark refused "$status"
sync
exit "$status"
