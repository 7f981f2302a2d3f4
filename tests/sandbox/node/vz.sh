#!/bin/sh
# Stands for vz's init script as far as a boot goes: starts every container whose config says ONBOOT=yes, and those
# that have a file in VZREBOOTDIR unless their config says no. `vz start` is all that it knows.
PATH=/sbin:/usr/sbin:/bin:/usr/bin
LC_ALL=C
export PATH LC_ALL
[ "$1" = start ] || exit 1
VZREBOOTDIR=/var/lib/vzctl/vzreboot
# shellcheck disable=SC1091 # known only on the node
[ ! -f /etc/vz/vz.conf ] || . /etc/vz/vz.conf
for file in /etc/vz/conf/[1-9]*.conf; do
    ctid=${file##*/}
    ctid=${ctid%.conf}
    case $ctid in *[!0-9]*) continue ;; esac
    case $(vzlist -a -H -o onboot "$ctid") in
        yes) ;;
        no) continue ;;
        *) [ -e "$VZREBOOTDIR/$ctid" ] || continue ;;
    esac
    vzctl --quiet start "$ctid"
done
exit 0
