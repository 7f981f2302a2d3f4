# shellcheck shell=sh # functions come from library.sh
# rename-file OLD NEW SHA256
rename_file "$1" "$2" "$3"
