#!/bin/sh
# Stands for vzlist: vzlist [-a] [-S] [-H] [-1] [-o FIELD,...] [CTID...], over the configs that vzctl reads.
PATH=/sbin:/usr/sbin:/bin:/usr/bin
LC_ALL=C
export PATH LC_ALL
conf=/etc/vz/conf
all='' stopped='' bare='' fields=ctid,numproc,status,ip,hostname

first() { # NAME FILE
    line=$(grep "^[[:space:]]*$1=" "$2" 2>/dev/null | head -n 1)
    printf '%s\n' "${line#*=}" | sed -e 's/[[:space:]]*$//' -e 's/^"\(.*\)"$/\1/' -e "s/\$VEID/$ctid/g"
}

field() { # NAME
    case $1 in
        ctid | veid) value=$ctid ;;
        status) value=$status ;;
        numproc) [ "$status" = running ] && value=2 || value=- ;;
        hostname | name | onboot | description) value=$(first "$(printf %s "$1" | tr '[:lower:]' '[:upper:]')" "$file") ;;
        private | root | layout) value=$(first "VE_$(printf %s "$1" | tr '[:lower:]' '[:upper:]')" "$file") ;;
        ip) value=$(first IP_ADDRESS "$file") ;;
        *)
            echo "vzlist: unknown field $1" >&2
            exit 1
            ;;
    esac
    printf '%s' "${value:--}"
}

while getopts aSH1o: option; do
    case $option in
        a) all=1 ;;
        S) stopped=1 ;;
        H) bare=1 ;;
        1) bare=1 fields=ctid ;;
        o) fields=$OPTARG ;;
        *) exit 1 ;;
    esac
done
shift $((OPTIND - 1))
words=$(printf '%s' "$fields" | tr , ' ')
[ -n "$bare" ] || printf '%s\n' "$words" | tr '[:lower:]' '[:upper:]'
for file in "$conf"/[1-9]*.conf; do
    ctid=${file##*/}
    ctid=${ctid%.conf}
    case $ctid in *[!0-9]*) continue ;; esac
    if [ $# -gt 0 ]; then
        case " $* " in *" $ctid "*) ;; *) continue ;; esac
    fi
    case $(/usr/sbin/vzctl status "$ctid") in
        *" running") status=running ;;
        *" suspended") status=suspended ;;
        *" mounted down") status=mounted ;;
        *) status=stopped ;;
    esac
    [ "$status" != running ] || [ -z "$stopped" ] || continue
    [ "$status" = running ] || [ -n "$all$stopped" ] || [ $# -gt 0 ] || continue
    row=
    for name in $words; do
        value=$(field "$name") || exit 1
        row="$row${row:+ }$value"
    done
    printf '%s\n' "$row"
done
