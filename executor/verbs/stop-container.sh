# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# stop-container CTID PRIVATE ROOT
stop_container "$1" "$2" "$3"
