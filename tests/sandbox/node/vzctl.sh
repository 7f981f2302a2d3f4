#!/bin/sh
# Stands for vzctl on a node: its words, exit statuses and order of events as observed (docs: what the tools really
# do), with a bind mount in the place of simfs and a chroot in the place of a container. No checkpoints.
PATH=/sbin:/usr/sbin:/bin:/usr/bin
LC_ALL=C
export PATH LC_ALL
conf=/etc/vz/conf
global=/etc/vz/vz.conf

say() { [ -n "$quiet" ] || printf '%s\n' "$*"; }

fail() { # STATUS TEXT
    status=$1
    shift
    printf '%s\n' "$*" >&2
    exit "$status"
}

first() { # NAME FILE: what the first NAME= in FILE gives, as data; fails if there is none
    [ -f "$2" ] || return 1
    name=$1 id=$VEID awk '
        match($0, "^[ \t]*" ENVIRON["name"] "=") {
            value = substr($0, RLENGTH + 1)
            sub(/[ \t\r]+$/, "", value)
            if (value ~ /^".*"$/ || value ~ /^\047.*\047$/) value = substr(value, 2, length(value) - 2)
            gsub(/[$]VEID/, ENVIRON["id"], value)
            print value
            found = 1
            exit
        }
        END { exit !found }' "$2"
}

parameter() { # NAME [DEFAULT]
    first "$1" "$VE_CONFFILE" || first "$1" "$global" || printf '%s\n' "${2-}"
}

mounted() { at=$VE_ROOT awk '$5 == ENVIRON["at"] { found = 1 } END { exit !found }' /proc/self/mountinfo; }

processes() { # of the container: those whose root is its root, or below
    find /proc/[0-9]*/root -maxdepth 0 -printf '%p %l\n' 2>/dev/null | while read -r link root; do
        case $root in
            "$VE_ROOT" | "$VE_ROOT"/*)
                link=${link%/root}
                echo "${link#/proc/}"
                ;;
        esac
    done
}

running() { [ -n "$(processes)" ]; }

until_gone() { # TENTHS: wait for the container's processes
    tries=$1
    while running; do
        [ "$tries" -gt 0 ] || return 1
        tries=$((tries - 1))
        sleep 0.1
    done
}

hooks() { # NAME: of all containers, then of this one
    for script in "$conf/vps.$1" "$conf/$VEID.$1"; do
        [ -x "$script" ] || continue
        "$script" || fail 1 "Error executing $script: exit status $?"
    done
}

hooks_within() { # NAME: the same inside the container
    for script in "$conf/vps.$1" "$conf/$VEID.$1"; do
        [ -x "$script" ] || continue
        chroot "$VE_ROOT" /bin/busybox sh -s <"$script" || fail 1 "Error executing $script: exit status $?"
    done
}

# shellcheck disable=SC2317 # called by the trap
unlock() { [ "$(head -n 1 "$lock" 2>/dev/null)" != $$ ] || rm -f "$lock"; }

take_lock() {
    [ -z "$skiplock" ] || return 0
    lock=$(parameter LOCKDIR /vz/lock)/$VEID.lck
    echo $$ >"$lock.$$"
    while ! ln "$lock.$$" "$lock" 2>/dev/null; do
        holder=$(head -n 1 "$lock" 2>/dev/null | tr -cd 0-9)
        if [ -n "$holder" ] && [ -d "/proc/$holder" ]; then
            rm -f "$lock.$$"
            fail 9 "Container already locked"
        fi
        rm -f "$lock" # stale
    done
    rm -f "$lock.$$"
    trap unlock EXIT
}

need_private() { [ -d "$VE_PRIVATE" ] || fail 43 "Container private area $VE_PRIVATE does not exist"; }

mount_root() {
    hooks premount
    [ -d "$VE_ROOT" ] || mkdir -p "$VE_ROOT"
    mount --bind "$VE_PRIVATE" "$VE_ROOT" || fail 1 "Unable to mount $VE_PRIVATE at $VE_ROOT"
    hooks mount
    say "Container is mounted"
}

umount_root() {
    hooks umount
    umount "$VE_ROOT" || fail 1 "Can't umount $VE_ROOT"
    hooks postumount
    say "Container is unmounted"
}

do_start() {
    [ "$(parameter DISABLED no)" != yes ] || [ -n "$force" ] || fail 105 "Container start disabled"
    need_private
    ! running || fail 32 "Container is already running"
    say "Starting container ..."
    ! mounted || umount_root
    mount_root
    first VE_LAYOUT "$VE_CONFFILE" >/dev/null || echo 'VE_LAYOUT="simfs"' >>"$VE_CONFFILE"
    # Nothing of whoever starts it stays with the container: not its streams, not its locks.
    setsid chroot "$VE_ROOT" /bin/busybox sh /init </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
    init=$!
    while ! running; do
        if ! readlink "/proc/$init/root" >/dev/null; then
            umount_root
            fail 1 "Container start failed: no init in $VE_ROOT"
        fi
        sleep 0.05
    done
    if [ -e "$dump" ]; then
        rm -rf "$dump"
        echo "$VEID restored" >>/var/log/vzctl.log
        say "Container was restored from $dump"
    fi
    hooks_within start
    say "Container start in progress..."
}

do_stop() {
    if ! running; then
        say "Container is not running"
        return
    fi
    say "Stopping container ..."
    if [ -z "$fast" ]; then
        hooks_within stop
        # shellcheck disable=SC2046 # one word each
        kill -s TERM $(processes) 2>/dev/null
        until_gone 50
    fi
    while running; do
        # shellcheck disable=SC2046 # one word each
        kill -s KILL $(processes) 2>/dev/null
        until_gone 5
    done
    say "Container was stopped"
    umount_root
}

do_mount() {
    need_private
    ! mounted || fail 20 "Container is already mounted"
    mount_root
}

do_umount() {
    ! running || fail 32 "Container is running: stop it first"
    mounted || fail 40 "Container is not mounted"
    umount_root
}

do_destroy() {
    # Only VE_ROOT is looked at: a device mounted at VE_PRIVATE itself is emptied. The deleting goes on by itself.
    ! mounted || fail 41 "Container is mounted"
    setsid rm -rf "$VE_PRIVATE" </dev/null >/dev/null 2>&1 9>&- &
    mv "$VE_CONFFILE" "$VE_CONFFILE.destroyed"
    say "Container private area was destroyed"
}

do_status() {
    [ -d "$VE_PRIVATE" ] && is="exist" || is="deleted"
    mounted && is="$is mounted" || is="$is unmounted"
    running && is="$is running" || is="$is down"
    [ "$is" = "exist unmounted down" ] && [ -e "$dump" ] && is="$is suspended"
    printf 'CTID %s %s\n' "$VEID" "$is"
}

quiet='' skiplock='' force='' fast='' verb='' name=''
for word; do
    case $word in
        --skiplock) skiplock=1 ;;
        --quiet) quiet=1 ;;
        --force) force=1 ;;
        --fast) fast=1 ;;
        --wait | --verbose) ;;
        -*) fail 21 "vzctl: $word is not known" ;;
        *) if [ -z "$verb" ]; then verb=$word; elif [ -z "$name" ]; then name=$word; else fail 21 "vzctl: $word"; fi ;;
    esac
done
case $name in
    '') fail 21 "vzctl: no container" ;;
    *[!0-9]*)
        VEID=$(grep -l "^NAME=\"\{0,1\}$name\"\{0,1\}\$" "$conf"/[0-9]*.conf 2>/dev/null | head -n 1)
        VEID=${VEID##*/}
        VEID=${VEID%.conf}
        [ -n "$VEID" ] || fail 22 "Bad CT name $name"
        ;;
    *) VEID=$name ;;
esac
VE_CONFFILE=$conf/$VEID.conf
VE_PRIVATE=$(parameter VE_PRIVATE "/vz/private/$VEID")
VE_ROOT=$(parameter VE_ROOT "/vz/root/$VEID")
dump=$(parameter DUMPDIR /vz/dump)/Dump.$VEID
export VEID VE_CONFFILE VE_PRIVATE VE_ROOT
case $verb in
    status)
        do_status
        exit 0
        ;;
    start | stop | mount | umount | destroy) ;;
    *) fail 21 "vzctl: $verb is not known here" ;;
esac
[ -f "$VE_CONFFILE" ] || fail 14 "Container config file does not exist"
take_lock
case $verb in
    start) do_start ;;
    stop) do_stop ;;
    mount) do_mount ;;
    umount) do_umount ;;
    destroy) do_destroy ;;
esac
exit 0
