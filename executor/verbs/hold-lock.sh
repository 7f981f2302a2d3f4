# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# hold-lock CTID LOCKDIR: a process of ours on this node, since [seen] vzctl asks whether the PID lives here
# Once the container is frozen it is never taken anew: whoever had it meanwhile may have started the container.
lock=$2/$1.lck
pid=
if [ -f "$run/holder" ]; then
    read -r pid start <"$run/holder"
    # One of an earlier try is used again. One that is gone is forgotten, and its lock before it: by a lock of an older
    # number nobody could tell any more that it was ours.
    if [ -z "$start" ] || [ "$(start_time "$pid")" != "$start" ]; then
        [ "$(first_line "$lock")" != "$pid" ] || { rm -f "$lock" && sync; }
        pid=
    fi
fi
[ -z "$pid" ] || [ "$(first_line "$lock")" != "$pid" ] || exit 0
[ ! -f "$run/frozen" ] ||
    die "vzctl's lock on $1 was lost since it was frozen, as by a power cut: somebody may have started it meanwhile"
if [ -z "$pid" ]; then
    # The holder lives on only if it hears "go", which it is told once its number is on record; if this verb ends before,
    # it reads the end of the pipe and goes too. So none is ever left that nobody knows of.
    rm -f "$run/go"
    # Both ends are open before it starts: a holder that is slow to begin would not find the pipe by its name any more.
    mkfifo "$run/go" && exec 8<>"$run/go" && exec 7<"$run/go" || die "$run/go cannot be made"
    # shellcheck disable=SC2016 # expanded by the holder
    setsid sh -c 'read -r word && [ "$word" = go ] && exec sleep 2147483647 </dev/null' \
        <&7 >/dev/null 2>&1 7<&- 8>&- 9>&- &
    pid=$!
    mark holder "$pid $(start_time "$pid")"
    echo go >&8
    exec 7<&- 8>&-
    rm -f "$run/go"
fi
new=$(beside "$lock")
rm -f "$new"
# On the disk before it has its name: after a power cut an empty one could be there, of which nobody could tell whose it is.
put_line "$pid" of="$new" conv=fsync || { rm -f "$new"; die "$new cannot be written$why"; }
if ! ln "$new" "$lock" 2>/dev/null; then
    # Only now is it looked at, and only what was looked at is taken away: a stale one, whose process is dead.
    other=$(first_line "$lock")
    case $other in
        '' | *[!0-9]*) ;;
        *)
            if [ -d "/proc/$other" ]; then
                rm -f "$new"
                die "vzctl's lock is held by process $other ($(tr '\0' ' ' <"/proc/$other/cmdline"))"
            fi
            ;;
    esac
    old=$new.old
    rm -f "$old"
    mv -f "$lock" "$old" 2>/dev/null
    [ "$(first_line "$old")" = "$other" ] || {
        ln "$old" "$lock" 2>/dev/null # someone took it in between: it is theirs
        rm -f "$new" "$old"
        die "someone else took $lock meanwhile"
    }
    rm -f "$old"
    ln "$new" "$lock" 2>/dev/null || { rm -f "$new"; die "someone else took $lock meanwhile"; }
fi
rm -f "$new"
