# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# make-dir PATH MODE: made beside, marked, renamed; so that what another makes meanwhile is never taken for this run's
made=$(marker "$1")
new=$(beside "$1")
disclaim "$1" "$made" "$new"
if there "$1"; then
    [ -f "$made" ] && [ -d "$1" ] && [ ! -L "$1" ] || die "$1 is there already, and this run did not make it"
else
    if [ ! -d "$new" ] || [ -L "$new" ]; then
        rm -f -- "$new" # what leads somewhere else is not followed
        mkdir -m "$2" -- "$new" || die "$1 cannot be made"
    fi
    put_line "$1" of="$made" conv=fsync || die "cannot write $made$why"
    sync
    mv -n -T -- "$new" "$1"
    ! there "$new" && [ -d "$1" ] || die "$1 cannot be made"
fi
sync
