# shellcheck shell=sh disable=SC2154 # names come from library.sh
# disown CTID: the record first; while the folder stands, this can be repeated
record=$VZPLAN_HOME/owners/$1
if [ -f "$record" ] && grep -q -x -F "run=$VZPLAN_RUN" "$record"; then
    rm -f "$record" || die "$record cannot be removed"
    sync
fi
held=$(mounts_within "$run")
[ -z "$held" ] || die "still mounted: $held"
# All that is known of the run goes at once: with half of it somebody might take a wrong turn.
[ ! -d "$run" ] || mv "$run" "$VZPLAN_HOME/node/.gone-$VZPLAN_RUN" || die "$run cannot be removed"
sync
# Also what others left when they were killed just here: nobody asks for it any more.
rm -rf "$VZPLAN_HOME"/node/.gone-* || die "$VZPLAN_HOME/node/.gone-* cannot be removed"
# What this run leaves empty goes too; what others use stays.
rmdir "$VZPLAN_HOME/owners" "$VZPLAN_HOME/node" 2>/dev/null
sync
