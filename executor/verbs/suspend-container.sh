# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# suspend-container CTID PRIVATE ROOT DUMPDIR: exit statuses of vzctl are not believed; look
dump=$4/Dump.$1
if [ "$(state_of "$1")" = running ]; then
    if of_this_run; then
        forget_dump "$dump" # half of it
    elif there "$dump"; then
        die "$dump is there, and this run did not make it"
    fi
    [ ! -f "$run/taken" ] || die "container $1 was suspended once, and runs again"
    mark dumping "$(boot_id)"
    vzctl --skiplock chkpnt "$1" >&2 </dev/null 9>&-
fi
may_be_whole || die "container $1 is $(state_of "$1"), and this run has not suspended it since the node has booted"
[ "$(state_of "$1")" != mounted ] || vz umount "$1" # [seen] chkpnt ignores that
[ "$(state_of "$1")" = suspended ] || die "container $1 is $(state_of "$1"), not suspended"
[ -z "$(mounted_at "$3")" ] || die "$3 is still mounted"
! rooted_in "$3" || die "a process still lives in $3"
chmod -R go-rwx "$dump" || die "$dump cannot be kept from others"
sync
mark dumped # whole, and the disk is as it was left: from here on a power cut changes neither
