# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# accept-dump DUMP: on the device that has come here with it
there "$1" || die "$1 is not there"
mark put-dump "$1"
