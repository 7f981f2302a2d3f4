# shellcheck shell=sh # functions come from library.sh
# hide-config CTID ROOT CONFIG BACKUP SHA256
# No fence and no lock keeps anybody from "vzctl --skiplock start --force": what is up goes nowhere.
if [ "$2" = - ]; then
    case $(state_of "$1") in running | unknown) die "container $1 is $(state_of "$1")" ;; esac
else
    is_down "$1"
    nothing_in "$2"
fi
rename_file "$3" "$4" "$5"
[ "$2" = - ] || nothing_in "$2" # and once more, now that nobody can start it
