# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# release-lock CTID LOCKDIR
rm -f "$(beside "$2/$1.lck")" "$(beside "$2/$1.lck").old"
if [ -f "$run/holder" ]; then
    read -r pid start <"$run/holder"
    [ "$(first_line "$2/$1.lck")" != "$pid" ] || rm -f "$2/$1.lck"
    [ -z "$start" ] || [ "$(start_time "$pid")" != "$start" ] || kill -s KILL "$pid"
    rm -f "$run/holder"
fi
sync
