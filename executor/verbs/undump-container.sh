# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# undump-container CTID PRIVATE ROOT DEVICE IDENTITY DUMPDIR DUMPFILE: it is here, with its memory, and stands still
[ ! -f "$run/taken" ] || die "the memory of container $1 was taken up already"
if [ "$(state_of "$1")" = running ]; then
    [ -f "$run/undumped" ] && stands_still "$3" || die "container $1 runs"
else
    ! there "$6/Dump.$1" || die "$6/Dump.$1 is there: vzctl start would put old memory on a newer disk"
    [ "$(state_of "$1")" != mounted ] || vz umount "$1" # hooks take its device away
    [ "$4" = - ] || mount_device "$4" "$5" "$2" any
    mark undumped
    vz restore "$1" --undump --dumpfile "$7" --skip_arpdetect
    status=$?
    [ "$(state_of "$1")" = running ] || die "the memory of container $1 cannot be taken up (vzctl: exit status $status)"
    stands_still "$3" || die "container $1 was undumped, and does not stand still"
fi
if [ "$4" = - ]; then
    [ -z "$(mounted_at "$2")" ] || die "something is mounted over $2"
else
    stands "$2" "$3" "$4" || die "container $1 is here, but not on $4"
fi
sync
