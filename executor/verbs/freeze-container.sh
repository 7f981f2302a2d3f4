# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# freeze-container CTID ROOT: a staged checkpoint's first stage; it stays mounted, and can go on
[ "$(state_of "$1")" = running ] || die "container $1 is $(state_of "$1"), not running"
if ! stands_still "$2"; then
    mark freezing "$(boot_id)"
    vz chkpnt "$1" --suspend
    status=$?
    [ "$status" = 0 ] || die "container $1 cannot be frozen (vzctl: exit status $status)"
fi
# Else all of it waits for its disk just now, or somebody else has stopped it.
[ "$(first_line "$run/freezing")" = "$(boot_id)" ] || die "container $1 stands still, and this run has not frozen it"
stands_still "$2" || die "container $1 was frozen, and does not stand still"
sync # what it has written is on its disk
