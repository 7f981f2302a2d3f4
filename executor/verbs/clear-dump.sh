# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# clear-dump DEVICE IDENTITY ROOM CTID: what this run wrote onto the device goes, and nothing else
rm -f "$run/carrier" # from here on it is not mounted again
if has_been_written && [ ! -f "$run/cleared" ] && there "$3"; then
    # A power cut has unmounted it, and left it looking as if some node had it mounted.
    mount_device "$1" "$2" "$3" any
    rm -rf --one-file-system -- "$3/Dump.$4" "$(beside "$3/Dump.$4")"
    ! there "$3/Dump.$4" || die "$3/Dump.$4 cannot be deleted"
    sync
    mark cleared # from here on it is not mounted again: another may have it
fi
release_device "$1" "$2" "$3"
remove_made "$3" # last: as long as it is there, something may be left on the device
