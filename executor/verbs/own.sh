# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# own CTID: the record is made whole and exclusively (link fails if the name is there)
record=$VZPLAN_HOME/owners/$1
if [ -e "$record" ] || [ -L "$record" ]; then
    [ -f "$record" ] && [ ! -L "$record" ] || die "$record is no file of vzplan's; see what made it, and remove it"
    grep -q -x -F "run=$VZPLAN_RUN" "$record" && { sync; exit 0; }
    die "container $1 is in the hands of another run: $(tr '\n' ' ' <"$record")"
fi
printf 'run=%s\ncontrol=%s\n' "$VZPLAN_RUN" "$VZPLAN_CONTROL" >"$run/record" || die "cannot write $run/record"
sync
tries=2 # who gives up another container just now removes the folder while it is empty
until mkdir -p "$VZPLAN_HOME/owners" && ln "$run/record" "$record"; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] && ! there "$record" && continue
    rm -f "$run/record"
    ! there "$record" || die "container $1 was taken in hand by another run meanwhile"
    die "$record cannot be made"
done
sync
