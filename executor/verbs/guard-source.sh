# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# guard-source CTID STATE SHA256 FENCED PRIVATE DEVICE IDENTITY: FENCED is the checksum of the config with our fence
found=$(state_of "$1")
[ "$found" != unknown ] || die "the state of container $1 is not known"
[ "$found" = "$2" ] || unfit "container $1 is $found now, not $2"
config=$conf/$1.conf
[ -f "$config" ] || unfit "$config is not there any more"
# Who goes on after a controller that was killed while it fenced finds that done, or not.
if ! has_content "$config" "$3" && ! { [ -f "$run/frozen" ] && has_content "$config" "$4"; }; then
    # note-state kept the config; if it was changed even before that, the file is all that can be named.
    if [ ! -f "$run/config" ] || ! has_content "$run/config" "$3"; then
        unfit "$config was changed since the plan was made; 'vzplan show' tells what it comes to now"
    fi
    changes=$(diff -U 0 "$run/config" "$config" | sed -e 1,2d -e '/^@@/d' -e '/^\\/d')
    # What this run itself has put on top is not what was changed.
    [ ! -f "$run/frozen" ] ||
        changes=$(printf '%s\n' "$changes" |
            sed -e '/^+# vzplan: fenced /d' -e '/^+DISABLED="yes"$/d' -e '/^+DUMPDIR=".*\/\.vzplan-dump-/d')
    more=$(printf '%s\n' "$changes" | sed 1,2d | wc -l)
    unfit "$config was changed since the plan was made
$(printf '%s\n' "$changes" | head -n 2)
$([ "$more" = 0 ] || echo "and $more more lines")"
fi
[ -d "$5" ] || unfit "$5 is not there any more"
[ "$6" != - ] || exit 0
[ -b "$6" ] || unfit "$6 is not there any more"
same_disk "$6" "$7" || unfit "$6 is not the disk that it was"
device_number=$(number "$6") || exit 1
case $2 in stopped | suspended) exit 0 ;; esac
[ "$(mounted_at "$5")" = "$device_number" ] || unfit "$5 is not on $6 any more"
[ "$2" != running ] || note_left "$6" "$7"
