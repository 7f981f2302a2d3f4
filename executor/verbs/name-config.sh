# shellcheck shell=sh # functions come from library.sh
# name-config CTID STAGED
name_config "$1" "$2"
