# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# release-device DEVICE IDENTITY PRIVATE: never a lazy unmount, which only hides who still holds it
device_number=$(number "$1") || exit 1
tries=0
while case $(mounted_at "$3") in "$device_number" | "$device_number"/*) ;; *) false ;; esac; do
    umount -- "$3" && continue
    tries=$((tries + 1))
    [ "$tries" -lt 3 ] || die "$3 cannot be unmounted"
    sleep 1 # udev and the like look at devices for a moment
done
sync
# Not whether *any* node has it mounted: after this node lost power with the device mounted, the superblock says so
# until the next mount, and taking it back at the source must still be possible. prove-released asks that.
prove_not_held "$1" "$2"
