# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# prove-released DEVICE IDENTITY
prove_released "$1" "$2"
goes_as_left "$1" "$2"
