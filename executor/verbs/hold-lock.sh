# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# hold-lock CTID LOCKDIR: a process of ours on this node, since [seen] vzctl asks whether the PID lives here
lock=$2/$1.lck
if [ -f "$run/holder" ]; then
    read -r pid start <"$run/holder"
    [ "$(start_time "$pid")" = "$start" ] && [ "$(head -n 1 "$lock" 2>/dev/null)" = "$pid" ] && exit 0
fi
other=$(head -n 1 "$lock" 2>/dev/null | tr -cd 0-9)
[ -z "$other" ] || [ ! -d "/proc/$other" ] || die "vzctl's lock is held by process $other ($(tr '\0' ' ' <"/proc/$other/cmdline"))"
setsid sleep 2147483647 </dev/null >/dev/null 2>&1 9>&- &
pid=$!
mark holder "$pid $(start_time "$pid")"
rm -f "$lock" # stale: its process is dead
new=$(beside "$lock")
printf '%s\n' "$pid" >"$new"
ln "$new" "$lock"
taken=$?
rm -f "$new"
[ "$taken" = 0 ] || die "someone else took $lock meanwhile"
