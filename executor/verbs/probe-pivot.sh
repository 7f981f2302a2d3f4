# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# probe-pivot CTID ROOT: did it *ever* take effect; not: does it run now (N04)
if [ -f "$run/out" ] && [ ! -f "$run/refused" ]; then
    exit 10
fi
# "No" is said only by what would remember a "yes": with the run's record its memory goes too.
grep -q -x -F "run=$VZPLAN_RUN" "$VZPLAN_HOME/owners/$1" 2>/dev/null || exit 12
# What was undumped stands still until it is resumed; what only waits for its disk does not for long.
if [ -f "$run/undumped" ] && [ "$(state_of "$1")" = running ]; then
    keeps_still "$2" || exit 10
    exit 11
fi
case $(state_of "$1") in
    stopped | suspended | mounted | deleted) exit 11 ;;
    *) exit 12 ;;
esac
