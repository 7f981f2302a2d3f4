# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# dump-container CTID ROOT DUMPFILE: what stands still is written down
[ "$(state_of "$1")" = running ] && stands_still "$2" || die "container $1 does not stand still"
[ -f "$(marker "${3%/*}")" ] || die "${3%/*} was not made by this run"
if [ -f "$run/writing" ]; then
    rm -rf --one-file-system -- "$3" # half of it
else
    ! there "$3" || die "$3 is there, and this run did not write it"
    mark writing
fi
(umask 077 && exec vzctl --skiplock chkpnt "$1" --dump --dumpfile "$3") >&2 </dev/null 9>&-
status=$?
[ "$status" = 0 ] && [ -s "$3" ] || die "the memory of container $1 cannot be written to $3 (vzctl: exit status $status)"
chmod 600 "$3" && sync || die "$3 cannot be kept"
stands_still "$2" || die "container $1 does not stand still any more: its dump is worth nothing"
mark written
