# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# note-state CTID STATE
found=$(state_of "$1")
[ "$found" = "$2" ] || die "container $1 is $found, not $2"
cp "$conf/$1.conf" "$run/config" 2>/dev/null # so that guard-source can tell what was changed; nothing rests on it
mark noted "$2 $(boot_id)"
