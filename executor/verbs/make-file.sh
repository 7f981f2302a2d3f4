# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# make-file PATH MODE <CONTENT
made=$(marker "$1")
new=$(beside "$1")
disclaim "$1" "$made" "$new"
if there "$1"; then
    [ -f "$made" ] || die "$1 is there already, and this run did not make it"
    cmp -s - "$1" || die "$1 was changed since this run made it"
else
    rm -f "$new"
    (set -C && cat >"$new") && chmod "$2" "$new" || die "$new cannot be written"
    put_line "$1" of="$made" conv=fsync || die "cannot write $made$why"
    sync
    ln "$new" "$1" || die "$1 cannot be made"
fi
rm -f "$new"
sync
