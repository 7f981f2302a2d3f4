# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# fence CONFIG SHA256 <FENCE
fence=$(cat) && [ -n "$fence" ] || die "the lines of the fence have not come"
mark frozen
[ -f "$1" ] && [ ! -L "$1" ] || die "$1 is not a file"
[ "$(head -n "$(printf '%s\n' "$fence" | wc -l)" "$1")" != "$fence" ] || { sync; exit 0; }
has_content "$1" "$2" || die "$1 was changed since the plan was made"
sum=$(sha256sum <"$1")
# To the top: of a parameter that stands twice vzctl takes the first.
replace "$1" "$sum" with_lines "$1" "$fence"
