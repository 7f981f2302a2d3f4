# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# remove-made PATH
remove_made "$1"
