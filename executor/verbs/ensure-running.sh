# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# ensure-running CTID PRIVATE ROOT DEVICE IDENTITY DUMPDIR
ensure_running "$1" "$2" "$3" "$4" "$5" "$6"
