# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# fence CONFIG <FENCE
fence=$(cat)
mark frozen
[ -f "$1" ] && [ ! -L "$1" ] || die "$1 is not a file"
[ "$(head -n 2 "$1")" != "$fence" ] || { sync; exit 0; }
sum=$(sha256sum <"$1")
# To the top: of a parameter that stands twice vzctl takes the first.
{
    printf '%s\n' "$fence"
    cat "$1"
} | replace "$1" "$sum"
