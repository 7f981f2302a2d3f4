# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# kill-container CTID PRIVATE ROOT HOW DUMPFILE: HOW is chkpnt where it was frozen, restore where it was undumped
if [ "$5" != - ]; then
    [ -f "$run/written" ] && there "$5" || die "what container $1 has in mind is not written down: it is not killed"
fi
kill_frozen "$1" "$2" "$3" "$4" "$5"
[ "$5" = - ] || [ -f "$run/dumped" ] || die "container $1 was down already: its dump may not match its disk"
