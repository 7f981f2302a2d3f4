#!/bin/sh
# Stands for vzctl on a node: its words, exit statuses and order of events as observed (docs: what the tools really
# do), with a bind mount in the place of simfs and a chroot in the place of a container. Checkpoints are whole ones, as by
# CRIU: a directory, in which "memory" holds what the container's init had in mind, COUNT TOKEN. On a node with a kernel of
# its own they are by CRIU indeed, and the container has a PID namespace, so that it finds its PIDs free on another node.
# shellcheck disable=SC2317 # within and the trap call what seems not to be called
PATH=/sbin:/usr/sbin:/bin:/usr/bin
LC_ALL=C
export PATH LC_ALL
conf=/etc/vz/conf
global=/etc/vz/vz.conf
space='' criu=''
[ ! -e /usr/lib/node/own-kernel ] || space='unshare --pid --fork setsid' criu=/usr/sbin/criu

say() { [ -n "$quiet" ] || printf '%s\n' "$*"; }

fail() { # STATUS TEXT
    status=$1
    shift
    printf '%s\n' "$*" >&2
    exit "$status"
}

newline='
'

read_settings() { # the first NAME= of the container's config, else of the node's, as data; a line each, into $settings
    set -- /dev/null
    for file in "$VE_CONFFILE" "$global"; do [ ! -f "$file" ] || set -- "$@" "$file"; done
    settings=$newline$(id=$VEID awk '
        match($0, /^[ \t]*[A-Z_]+=/) {
            name = substr($0, 1, RLENGTH); value = substr($0, RLENGTH + 1)
            sub(/^[ \t]+/, "", name)
            if (name in seen) next
            seen[name]
            sub(/[ \t\r]+$/, "", value)
            if (value ~ /^".*"$/ || value ~ /^\047.*\047$/) value = substr(value, 2, length(value) - 2)
            gsub(/[$]VEID/, ENVIRON["id"], value)
            print name value
        }' "$@")$newline
}

parameter() { # NAME [DEFAULT], into $value
    case $settings in
        *"$newline$1="*)
            value=${settings#*"$newline$1="}
            value=${value%%"$newline"*}
            ;;
        *) value=${2-} ;;
    esac
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

gone() { ! running; }

within() { # TENTHS COMMAND...: wait until that succeeds
    tries=$1
    shift
    until "$@"; do
        [ "$tries" -gt 0 ] || return 1
        tries=$((tries - 1))
        sleep 0.1
    done
}

signal() { # NAME: to all of the container's processes
    # shellcheck disable=SC2046 # one word each
    kill -s "$1" $(processes) 2>/dev/null
}

end_all() {
    while running; do
        signal KILL
        within 5 gone
    done
}

fields() { # PID: state, parent, group, session and so on, as in proc(5); nothing if it has ended
    sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null
}

find_init() { # the container's: a session's first process
    processes | while read -r pid; do
        # shellcheck disable=SC2046 # one word each
        set -- $(fields "$pid")
        [ "${4-}" = "$pid" ] || continue
        case $(tr '\0' ' ' <"/proc/$pid/cmdline") in "/bin/busybox sh /init "*) echo "$pid" ;; esac
    done | head -n 1
}

found() { init=$(find_init) && [ -n "$init" ]; } # not yet while what was started is still on its way to it

listens() { # does $init catch SIGUSR1? One that does not yet would end by it.
    case $(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$init/status" 2>/dev/null) in
        *[2367abef]??) ;;
        *) return 1 ;;
    esac
}

memory_in() { grep -x -E -m 1 '[0-9]+ [0-9a-f]{16}' "$1" 2>/dev/null; } # FILE: fails if it is not whole

stopped() { # all of the container's processes
    for pid in $(processes); do
        case $(fields "$pid") in T* | '') ;; *) return 1 ;; esac
    done
}

all_stopped() { running && stopped; }

waits() { # has $init said what it remembers, and stopped?
    memory=$(memory_in "/proc/$init/fd/3") || return 1
    case $(fields "$init") in T*) ;; *) return 1 ;; esac
}

freeze() { # all of the container, its memory taken
    within 100 found && within 100 listens || return 1
    signal CONT # if a checkpoint that was cut off had stopped it
    : >"/proc/$init/fd/3"
    kill -s USR1 "$init"
    within 100 waits || return 1
    signal STOP
    within 100 stopped
}

# Open to all: that nobody but root reads a memory is not left to vzctl.
save() { # $memory, as lasting as a disk is
    rm -rf "$dump"
    # Not the shim's sync: the syncs that it counts are those of whoever calls vzctl.
    (umask 022 && mkdir "$dump" && echo "$memory" >"$dump/memory") &&
        /bin/sync "$dump/memory" "$dump" "${dump%/*}" && return
    rm -rf "$dump"
    return 1
}

save_by_criu() { # and end it; what fails leaves it as it was
    rm -rf "$dump"
    within 100 found && (umask 077 && mkdir "$dump") || return 1
    if $criu dump --tree "$init" --images-dir "$dump" --log-file dump.log </dev/null >/dev/null 2>&1; then
        /bin/sync "$dump"/* "$dump" "${dump%/*}"
        return
    fi
    grep -a Error "$dump/dump.log" >&2
    rm -rf "$dump"
    return 1
}

hooks() { # NAME: of all containers, then of this one
    for script in "$conf/vps.$1" "$conf/$VEID.$1"; do
        [ -x "$script" ] || continue
        of_hook=$1 "$script" || fail 1 "Error executing $script: exit status $?" # for the shim
    done
}

hooks_within() { # NAME: the same inside the container
    for script in "$conf/vps.$1" "$conf/$VEID.$1"; do
        [ -x "$script" ] || continue
        chroot "$VE_ROOT" /bin/busybox sh -s <"$script" || fail 1 "Error executing $script: exit status $?"
    done
}

unlock() { [ "$(head -n 1 "$lock" 2>/dev/null)" != $$ ] || rm -f "$lock"; }

take_lock() {
    [ -z "$skiplock" ] || return 0
    parameter LOCKDIR /vz/lock
    lock=$value/$VEID.lck
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

launch() { # [COUNT TOKEN]: its init, which goes on from there, and which puts its memory into descriptor 3 when asked
    # With $still it has all that in mind, and does nothing yet.
    # shellcheck disable=SC2016 # expanded in there
    [ -z "$still" ] || set -- -c 'kill -s STOP $$; exec /bin/busybox sh /init "$@"' sh "$@"
    [ -n "$still" ] || set -- /init "$@"
    if [ -e /run/faults/init-fails ]; then
        umount_root
        fail 1 "Container start failed: made to fail"
    fi
    place=/run/memory.$VEID.$$
    {
        # Nothing of whoever starts it stays with the container: not its streams, not its locks.
        # shellcheck disable=SC2086 # words
        setsid $space chroot "$VE_ROOT" /bin/busybox sh "$@" </dev/null >/dev/null 2>&1 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
        init=$!
    } 3>>"$place"
    rm "$place" # it is the container's own, and ends with it
    while ! running; do
        if ! readlink "/proc/$init/root" >/dev/null; then
            umount_root
            fail 1 "Container start failed: no init in $VE_ROOT"
        fi
        sleep 0.05
    done
}

undump_by_criu() {
    if ! $criu restore --images-dir "$dump" --log-file restore.log --restore-detached </dev/null >/dev/null 2>&1 9>&-; then
        grep -a Error "$dump/restore.log" >&2
        end_all
        umount_root
        fail 17 "Restore failed"
    fi
    rm -rf "$dump"
    say "Container was restored from $dump"
}

undump() {
    say "Restoring container ..."
    mount_root
    if [ -n "$criu" ]; then
        undump_by_criu
        return
    fi
    file=${dumpfile:-$dump/memory}
    if ! memory=$(memory_in "$file"); then
        umount_root
        fail 17 "Restore failed: nothing whole in $file"
    fi
    # shellcheck disable=SC2086 # two words
    launch $memory
    [ -n "$still" ] && ready=all_stopped || ready=listens
    if ! within 100 "$ready"; then
        end_all
        umount_root
        fail 17 "Restore failed: init does not go on"
    fi
    if [ -n "$still" ]; then
        echo "$memory" >"$frozen"
        say "Container was undumped"
        return
    fi
    [ -n "$dumpfile" ] || rm -rf "$dump"
    echo "$VEID restored" >>/var/log/vzctl.log
    say "Container was restored from $dump"
}

do_start() {
    parameter DISABLED no
    [ "$value" != yes ] || [ -n "$force" ] || fail 105 "Container start disabled"
    need_private
    ! running || fail 32 "Container is already running"
    say "Starting container ..."
    ! mounted || (umount_root) # what something keeps mounted is started as it is
    if [ -e "$dump" ]; then
        undump
        return
    fi
    mounted || mount_root
    grep -q '^[[:space:]]*VE_LAYOUT=' "$VE_CONFFILE" || echo 'VE_LAYOUT="simfs"' >>"$VE_CONFFILE"
    launch
    hooks_within start
    [ ! -e /run/faults/init-ends ] || end_all # by itself, at once: vzctl has long said that it was started
    say "Container start in progress..."
}

do_stop() {
    [ ! -e "$frozen" ] || fail 16 "Container is frozen: it cannot be told to stop"
    if ! running; then
        say "Container is not running"
        return
    fi
    say "Stopping container ..."
    if [ -z "$fast" ]; then
        hooks_within stop
        signal TERM
        within 50 gone
    fi
    end_all
    say "Container was stopped"
    umount_root
}

do_stage() {
    case $stage in
        suspend)
            running || fail 31 "Container is not running"
            [ ! -e "$frozen" ] || fail 16 "Container is suspended already"
            if ! freeze; then
                signal CONT
                fail 16 "Checkpointing failed"
            fi
            echo "$memory" >"$frozen"
            ;;
        undump)
            ! running || fail 32 "Container is already running"
            ! mounted || fail 20 "Container is already mounted"
            need_private
            still=1
            undump
            ;;
        *)
            if [ ! -e "$frozen" ] || ! all_stopped; then
                fail 16 "Container is not suspended"
            fi
            case $stage in
                dump) (umask 022 && cat "$frozen" >"${dumpfile:?}") || fail 16 "Can not write $dumpfile" ;;
                resume)
                    rm "$frozen"
                    signal CONT
                    ;;
                kill)
                    end_all
                    rm "$frozen"
                    ;;
            esac
            ;;
    esac
    echo "$VEID $verb $stage" >>/var/log/vzctl.log
}

do_chkpnt() {
    running || fail 31 "Container is not running"
    say "Setting up checkpoint ..."
    if [ -n "$criu" ]; then
        save_by_criu || fail 16 "Checkpointing failed"
    elif ! freeze || ! save; then
        signal CONT
        fail 16 "Checkpointing failed"
    fi
    end_all
    say "Checkpointing completed successfully"
    (umount_root) # [seen] whatever comes of it
}

do_restore() {
    ! running || fail 32 "Container is already running"
    ! mounted || fail 20 "Container is already mounted"
    [ -e "${dumpfile:-$dump}" ] || fail 17 "Restore failed: there is no ${dumpfile:-$dump}"
    need_private
    undump
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

quiet='' skiplock='' force='' fast='' verb='' name='' stage='' still='' dumpfile='' before=''
for word; do
    if [ "$before" = --dumpfile ]; then
        dumpfile=$word before=''
        continue
    fi
    before=$word
    case $word in
        --suspend | --dump | --undump | --resume | --kill) stage=${word#--} ;;
        --dumpfile | --skip_arpdetect) ;;
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
read_settings
parameter VE_PRIVATE "/vz/private/$VEID"
VE_PRIVATE=$value
parameter VE_ROOT "/vz/root/$VEID"
VE_ROOT=$value
parameter DUMPDIR /vz/dump
dump=$value/Dump.$VEID
frozen=/run/frozen.$VEID # what the kernel knows of one that stands still
export VEID VE_CONFFILE VE_PRIVATE VE_ROOT
case $verb in
    status)
        do_status
        exit 0
        ;;
    start | stop | mount | umount | chkpnt | restore | destroy) ;;
    *) fail 21 "vzctl: $verb is not known here" ;;
esac
[ -f "$VE_CONFFILE" ] || fail 14 "Container config file does not exist"
take_lock
if [ -n "$stage" ]; then
    case $verb:$stage in
        chkpnt:suspend | chkpnt:dump | chkpnt:resume | chkpnt:kill | restore:undump | restore:resume | restore:kill) ;;
        *) fail 21 "vzctl: $verb --$stage is not known" ;;
    esac
    do_stage
    exit 0
fi
case $verb in
    start) do_start ;;
    stop) do_stop ;;
    mount) do_mount ;;
    umount) do_umount ;;
    chkpnt) do_chkpnt ;;
    restore) do_restore ;;
    destroy) do_destroy ;;
esac
exit 0
