# shellcheck shell=sh disable=SC2154 # names and functions come from library.sh
# rename-file OLD NEW SHA256
case $2 in "$conf"/*.conf) comes_back ;; esac
rename_file "$1" "$2" "$3"
