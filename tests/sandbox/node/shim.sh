#!/bin/sh
# Stands before mount, umount, rsync, sync and vzctl and makes them fail where a switch in /run/faults says so:
# mount-fails and umount-fails list paths, one a line; vzctl-start-fails (or another verb, or a stage: vzctl-chkpnt-dump-fails)
# need only exist. With init-fails vzctl mounts all, and nothing comes up in it; with hooks-fail no mount and no unmount of
# an action script succeeds. With vzctl-chkpnt-stops the container is left stopped, and it fails.
# With rsync-slow a copy that is sent from here takes its time, with rsync-half it leaves out all below the top and
# fails, with rsync-hangs one that is taken in says nothing. At a pipe vzctl-start-waits vzctl says "here" before it starts
# anything, at vzctl-start-returns when that is done, and goes on once something is written into the pipe. With a number
# in sync-kills the sync that is so manieth from then on ends the command that calls it, before it has synced anything.
wait_at() { # PIPE
    [ ! -p "$1" ] || { echo here >"$1" && read -r _ <"$1"; }
}

tool=${0##*/}
switch=/run/faults/$tool-fails
case $tool in
    mount | umount)
        if [ -n "${of_hook-}" ] && [ -e /run/faults/hooks-fail ]; then
            echo "$tool: made to fail in a hook" >&2
            exit 32
        fi
        [ "$1" != --bind ] || exec "/bin/$tool" "$@" # in the place of simfs, which mounts no device
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
        if [ -e /run/faults/rsync-half ]; then
            /usr/bin/rsync --exclude='/*/*' "$@"
            exit 23 # partial transfer (rsync(1))
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
        if [ -e /run/faults/vzctl-chkpnt-stops ] && [ "$word" = chkpnt ]; then # cut off, it leaves all as it has stopped it
            for each; do case $each in [1-9]*) ctid=$each ;; esac done
            /usr/lib/node/vzctl --skiplock chkpnt "$ctid" --suspend
            rm "/run/frozen.$ctid"
            exit 1
        fi
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
