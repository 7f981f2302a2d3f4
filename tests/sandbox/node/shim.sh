#!/bin/sh
# Stands before mount, umount, rsync, sync and vzctl and makes them fail where a switch in /run/faults says so:
# mount-fails and umount-fails list paths, one a line; vzctl-start-fails (or another verb) need only exist.
# With rsync-slow a copy that is sent from here takes its time, with rsync-hangs one that is taken in says nothing. At a
# pipe vzctl-start-waits vzctl says "here" before it starts anything, at vzctl-start-returns when that is done, and goes
# on once something is written into the pipe. With a number in sync-kills the sync that is so manieth from then on ends the
# command that calls it, before it has synced anything.
wait_at() { # PIPE
    [ ! -p "$1" ] || { echo here >"$1" && read -r _ <"$1"; }
}

tool=${0##*/}
switch=/run/faults/$tool-fails
case $tool in
    mount | umount)
        for word; do
            if grep -q -x -F -e "$word" "$switch" 2>/dev/null; then
                echo "$tool: $word: made to fail" >&2
                exit 32
            fi
        done
        exec "/bin/$tool" "$@"
        ;;
    rsync)
        if [ -e /run/faults/rsync-slow ]; then
            exec /usr/bin/rsync --bwlimit=5000 "$@"
        fi
        [ ! -e /run/faults/rsync-hangs ] || exec cat >/dev/null
        exec /usr/bin/rsync "$@"
        ;;
    sync)
        if read -r left 2>/dev/null </run/faults/sync-kills; then
            rm /run/faults/sync-kills
            [ "$left" -gt 1 ] || kill -s KILL 0 # timeout(1) has made a group of the verb
            echo "$((left - 1))" >/run/faults/sync-kills
        fi
        exec /bin/sync "$@"
        ;;
    vzctl)
        for word; do
            case $word in
                --*) ;;
                *) break ;;
            esac
        done
        for stage; do # of a checkpoint: vzctl-chkpnt-dump-fails
            case $stage in --suspend | --dump | --undump | --resume | --kill) word=$word${stage#-} ;; esac
        done
        if [ -e "/run/faults/vzctl-$word-fails" ]; then
            echo "vzctl: $word made to fail" >&2
            exit 1
        fi
        wait_at "/run/faults/vzctl-$word-waits"
        [ -p "/run/faults/vzctl-$word-returns" ] || exec /usr/lib/node/vzctl "$@"
        /usr/lib/node/vzctl "$@"
        status=$?
        wait_at "/run/faults/vzctl-$word-returns"
        exit "$status"
        ;;
esac
