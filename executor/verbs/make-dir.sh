# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# make-dir PATH MODE
made=$(marker "$1")
if there "$1"; then
    [ -f "$made" ] && [ -d "$1" ] && [ ! -L "$1" ] || die "$1 is there already, and this run did not make it"
else
    printf '%s\n' "$1" | dd of="$made" conv=fsync 2>/dev/null || die "cannot write $made"
    sync
    mkdir -m "$2" -- "$1" || die "$1 cannot be made"
fi
sync
