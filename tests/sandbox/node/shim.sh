#!/bin/sh
# Stands before mount, umount and vzctl and makes them fail where a switch in /run/faults says so:
# mount-fails and umount-fails list paths, one a line; vzctl-start-fails (or another verb) need only exist.
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
    vzctl)
        for word; do
            case $word in
                --*) ;;
                *) break ;;
            esac
        done
        if [ -e "/run/faults/vzctl-$word-fails" ]; then
            echo "vzctl: $word made to fail" >&2
            exit 1
        fi
        exec /usr/lib/node/vzctl "$@"
        ;;
esac
