# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# empty-claimed PRIVATE DEVICE IDENTITY: only with the mark, and only in that very filesystem
[ -f "$run/claimed" ] || { sync; exit 0; }
device_number=$(number "$2") || exit 1
place=$1
if [ "$(mounted_at "$1")" != "$device_number" ]; then
    # Not mounted there any more (this node has booted since, or it was released): in the run's own folder, for now.
    place=$run/mnt
    mkdir -p "$place" || die "$place cannot be made"
    mount_device "$2" "$3" "$place" any || exit 1
fi
leave_it() { # whether it is empty or not: who releases the device next must not find it mounted there
    cd / || return 1
    [ "$place" = "$1" ] || { umount -- "$place" && rmdir -- "$place"; }
}
cd -P "$place" || die "$place cannot be entered"
on_device "$2" "$3" || exit 1
find . -xdev -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf --one-file-system -- {} +
stray=$(find . -xdev -mindepth 1 ! -path './lost+found' -print | head -n 1)
[ -z "$stray" ] || { leave_it "$1"; die "$stray cannot be deleted"; }
sync
leave_it "$1" || die "$place cannot be unmounted"
rm -f "$run/claimed"
sync
