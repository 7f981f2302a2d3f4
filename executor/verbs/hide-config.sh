# shellcheck shell=sh # functions come from library.sh
# hide-config CTID ROOT CONFIG BACKUP SHA256
# No fence and no lock keeps anybody from "vzctl --skiplock start --force": what is up goes nowhere.
is_down "$1"
nothing_in "$2"
rename_file "$3" "$4" "$5"
nothing_in "$2" # and once more, now that nobody can start it
