# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# mount-dump DEVICE IDENTITY ROOM FOUND CTID
device_number=$(number "$1") || exit 1
if [ "$(mounted_at "$3")" != "$device_number" ]; then
    # Between two nodes it is mounted on neither. What lies on it then says that it is taken; read without mounting it.
    blockdev --flushbufs "$1"
    listed=$(debugfs -R 'ls -p /' "$1" 2>/dev/null) && [ -n "$listed" ] || die "what is on $1 cannot be looked at"
    others=$(printf '%s\n' "$listed" | cut -d / -f 6 | grep '^Dump\.' | grep -v -x -F -e "Dump.$5" | head -n 1)
    [ -z "$others" ] || unfit "$1 has $others on it: the memory of another container is on its way, or was left there"
fi
mount_device "$1" "$2" "$3" "$4"
mark carrier "$1 $2 $3"
