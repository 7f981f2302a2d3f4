# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# prove-frozen CTID ROOT: looks only
[ "$(first_line "$run/freezing")" = "$(boot_id)" ] && [ "$(state_of "$1")" = running ] && stands_still "$2" ||
    die "container $1 does not stand still any more: somebody has let it go on, or ended it"
