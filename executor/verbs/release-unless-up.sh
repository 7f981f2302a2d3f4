# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# release-unless-up DEVICE IDENTITY PRIVATE CTID
case $(state_of "$4") in
    running | mounted) exit 0 ;; # somebody else's doing: the device under it is not this run's to take away any more
    unknown) die "the state of container $4 is not known" ;;
esac
release_device "$1" "$2" "$3"
