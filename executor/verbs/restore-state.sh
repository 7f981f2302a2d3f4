# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# restore-state CTID PRIVATE ROOT DEVICE IDENTITY DUMPDIR STATE DUMPFILE
[ -f "$run/noted" ] || exit 0
read -r _ boot <"$run/noted"
[ -f "$run/frozen" ] || [ "$boot" != "$(boot_id)" ] || exit 0 # not our doing, if it is in another state now
case $7 in
    running | mounted)
        [ "$4" = - ] || as_left "$4" "$5"
        ensure_up "$1" "$2" "$3" "$4" "$5" "$6" "$7" "$8"
        ;;
    *) [ "$(state_of "$1")" != unknown ] || die "the state of container $1 is not known" ;;
esac
