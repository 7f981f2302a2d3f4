# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# hold-lock CTID LOCKDIR: a process of ours on this node, since [seen] vzctl asks whether the PID lives here
lock=$2/$1.lck
if [ -f "$run/holder" ]; then
    read -r pid start <"$run/holder"
    [ "$(start_time "$pid")" = "$start" ] && [ "$(head -n 1 "$lock" 2>/dev/null)" = "$pid" ] && exit 0
fi
other=$(head -n 1 "$lock" 2>/dev/null | tr -cd 0-9)
[ -z "$other" ] || [ ! -d "/proc/$other" ] || die "vzctl's lock is held by process $other ($(tr '\0' ' ' <"/proc/$other/cmdline"))"
# The holder lives on only if it hears "go", which it is told once its number is on record; if this verb ends before,
# it reads the end of the pipe and goes too. So none is ever left that nobody knows of.
rm -f "$run/go"
mkfifo "$run/go" && exec 8<>"$run/go" || die "$run/go cannot be made"
# shellcheck disable=SC2016 # expanded by the holder
setsid sh -c 'read -r word && [ "$word" = go ] && exec sleep 2147483647 </dev/null' \
    <"$run/go" >/dev/null 2>&1 8>&- 9>&- &
pid=$!
mark holder "$pid $(start_time "$pid")"
echo go >&8
exec 8>&-
rm -f "$run/go"
rm -f "$lock" # stale: its process is dead
new=$(beside "$lock")
printf '%s\n' "$pid" >"$new"
ln "$new" "$lock"
taken=$?
rm -f "$new"
[ "$taken" = 0 ] || die "someone else took $lock meanwhile"
