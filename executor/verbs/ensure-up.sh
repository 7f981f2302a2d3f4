# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# ensure-up CTID PRIVATE ROOT DEVICE IDENTITY DUMPDIR STATE DUMPFILE
[ "$4" = - ] || as_left "$4" "$5"
ensure_up "$1" "$2" "$3" "$4" "$5" "$6" "$7" "$8"
