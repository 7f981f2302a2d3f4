# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# rename-file OLD NEW SHA256: by link and unlink, since mv would overwrite
if there "$2"; then
    if there "$1"; then
        same_file "$1" "$2" || die "$1 and $2 are both there, and differ: see which is right, and remove the other"
        rm -f -- "$1" || die "$1 cannot be removed"
    fi
elif [ -L "$1" ] && [ "$3" = - ] && [ "${1%.conf*}" = "$1" ]; then # an action script may be a link, a config not
    mv -n -- "$1" "$2"
    there "$2" && ! there "$1" || die "$1 cannot be renamed"
else
    [ -f "$1" ] && [ ! -L "$1" ] || die "$1 is not a file"
    has_content "$1" "$3" || die "$1 was changed by someone meanwhile"
    ln -- "$1" "$2" || die "$2 cannot be made"
    sync
    rm -f -- "$1" || die "$1 cannot be removed"
fi
sync # [seen] a rename and a power cut at once, and the old name is back
