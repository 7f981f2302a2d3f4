# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# activate-config CTID STAGED <FENCE
still_forbidden "$conf/$1.conf"
activate "$1" "$2" "$(cat)"
sync
