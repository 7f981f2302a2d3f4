# shellcheck shell=sh # functions come from library.sh
# hide-config CTID ROOT CONFIG BACKUP SHA256
hide_config "$1" "$2" "$3" "$4" "$5"
