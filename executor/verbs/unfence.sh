# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# unfence CONFIG <FENCE
# Who starts it next takes up whatever dump waits, and one on its own device only as long as the fence says where.
if of_this_run && { [ -f "$run/taken" ] || [ -f "$run/carrier" ]; }; then
    case $1 in *.conf) die "start stays forbidden: it is not sure yet that the memory dump of this run is used up" ;; esac
fi
unfence "$1" "$(cat)" || exit 1
sync
