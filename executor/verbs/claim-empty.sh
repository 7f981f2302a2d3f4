# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# claim-empty PRIVATE DEVICE IDENTITY: what it holds later is this run's, and may be deleted again
cd -P "$1" || die "$1 cannot be entered"
on_device "$2" "$3" || exit 1
[ ! -f "$run/claimed" ] || { sync; exit 0; }
stray=$(find . -xdev -mindepth 1 ! -path './lost+found' -print | head -n 1)
[ -z "$stray" ] || die "$2 is not empty: $stray"
mark claimed "$2 $3"
