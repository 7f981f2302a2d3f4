# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# guard-source CTID STATE SHA256 PRIVATE DEVICE IDENTITY
found=$(state_of "$1")
[ "$found" = "$2" ] || die "container $1 is $found, not $2"
[ "$(sha256sum <"$conf/$1.conf" | cut -c1-64)" = "$3" ] || die "$conf/$1.conf was changed since the plan was made"
[ -d "$4" ] || die "$4 is not there"
[ "$5" != - ] || exit 0
same_disk "$5" "$6" || exit 1
device_number=$(number "$5") || exit 1
[ "$2" = stopped ] || [ "$(mounted_at "$4")" = "$device_number" ] || die "$4 is not on $5"
