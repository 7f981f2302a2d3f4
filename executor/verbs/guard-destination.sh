# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# guard-destination CTID PRIVATE DEVICE IDENTITY DUMPDIR
! there "$conf/$1.conf" || unfit "$conf/$1.conf is there now"
! there "$5/Dump.$1" || unfit "$5/Dump.$1 is there now"
[ ! -L "$2" ] && cd -P "$2" || unfit "$2 is not there any more, or is a link"
if [ "$3" = - ]; then
    [ -z "$(mounts_within "$2")" ] || unfit "something is mounted at $2"
else
    on_device "$3" "$4" || unfit "$2 is not on $3 any more"
fi
