# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# void-dump DUMP: of what was taken up nothing may be left before anything but this run may start the container again
[ -f "$run/taken" ] && of_this_run || { sync; exit 0; }
forget_dump "$1"
used_up
