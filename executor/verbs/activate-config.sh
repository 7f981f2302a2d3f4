# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# activate-config CTID STAGED <FENCE
still_forbidden "$conf/$1.conf"
fence=$(cat) && [ -n "$fence" ] || die "the lines of the fence have not come"
activate "$1" "$2" "$fence"
sync
