# shellcheck shell=sh disable=SC2015,SC2154 # "A && B || die": die never returns; names and die() come from library.sh
# What the verbs share about a container's memory: the dump that this run writes of it, takes up once, and makes void.
# Behind library.sh, before each verb.

stands_still() { # ROOT: there are processes in it, and none of them can run: the kernel's freezer shows as D, SIGSTOP as T
    still=1
    for each in $(processes_in "$1"); do
        state=$(first_line "/proc/$each/stat")
        state=${state##*) }
        case $state in
            [DTt]*) still=0 ;;
            '' | [ZX]*) ;; # it has ended
            *) return 1 ;;
        esac
    done
    return "$still"
}

keeps_still() { # ROOT: it stands still, and not only because all of it waits for its disk just now
    tries=0
    while stands_still "$1"; do
        tries=$((tries + 1))
        [ "$tries" -le 3 ] || return 0
        sleep 1
    done
    return 1
}

forget_dump() { # DUMP: its name goes first, durably; what it holds matches no disk any more
    forgotten=$(beside "$1")
    if there "$1"; then
        rm -rf --one-file-system -- "$forgotten" # of an earlier try
        mv -n -T -- "$1" "$forgotten" && ! there "$1" || die "$1 cannot be renamed to $forgotten"
        sync
    fi
    there "$forgotten" || return 0
    rm -rf --one-file-system -- "$forgotten"
    sync
}

of_this_run() { # whether a dump here was made, or brought here, by this run, and has not been used up
    [ -f "$run/dumping" ] || [ -f "$run/put-dump" ]
}

may_be_whole() { # after a power cut a dump that was not synced may be only half there, or newer than its disk
    [ -f "$run/put-dump" ] || [ -f "$run/dumped" ] || [ "$(first_line "$run/dumping")" = "$(boot_id)" ]
}

has_been_written() { # whether a dump on the device that carries it may be this run's
    of_this_run || [ -f "$run/taken" ] || [ -f "$run/writing" ] || [ -f "$run/undumped" ]
}

had_memory() { # whether the container was to keep its memory, and this run has begun to take it along
    of_this_run || [ -f "$run/taken" ] || [ -f "$run/freezing" ]
}

used_up() { # whoever finds a dump here from now on has another one before him
    sync # vzctl has deleted it, or forget_dump has
    [ ! -f "$run/carrier" ] || : >"$run/writing" # but a dump that cannot be seen just now, for its device is not mounted, is still this run's
    rm -f "$run/dumping" "$run/dumped" "$run/put-dump"
    sync
}

take_up() { # as ensure_up: from this run's dump, which is void from here on; fails if nothing came of it
    [ ! -f "$run/taken" ] && may_be_whole || return 1
    mark taken
    vz restore "$1"
    taken_status=$?
    [ "$(state_of "$1")" != mounted ] || vz umount "$1"
    case $(state_of "$1") in
        running) return 0 ;;
        suspended) echo "container $1: its memory could not be taken up (vzctl: exit status $taken_status)" >&2 ;;
        # vzctl deletes the dump only once it runs; then the disk may have changed.
        stopped) die "the memory of container $1 was taken up, and it is down again" ;;
        *) die "the memory of container $1 was to be taken up; it is $(state_of "$1") now" ;;
    esac
    [ "$taken_status" != 0 ] || die "the memory of container $1 was taken up, and it is down again"
    return 1
}

# A staged checkpoint: the container stands still, its memory is written to a file, and it can go on as if nothing had been.

frozen_here() { # as ensure_up: does it, or some of it (a freeze may have been cut off), stand still for a staged checkpoint?
    [ "$8" != - ] && [ "$(state_of "$1")" = running ] || return 1
    [ "$(first_line "$run/freezing")" = "$(boot_id)" ] && return 0
    { [ -f "$run/undumped" ] || [ -f "$run/taken" ]; } && stands_still "$3" # what somebody else has frozen stays so
}

go_on() { # as ensure_up: what stands still runs on, with all that it has in mind; fails if it still stands still
    how=chkpnt
    [ ! -f "$run/undumped" ] || how=restore
    # It may change its disk from here on, and then nothing that was written down may be taken up.
    { [ ! -f "$run/undumped" ] && [ ! -f "$run/killing" ]; } || [ -f "$run/taken" ] || mark taken
    vz "$how" "$1" --resume
    resume_status=$?
    if keeps_still "$3"; then # whatever vzctl says: it may have resumed it, and failed afterwards
        [ "$resume_status" != 0 ] || die "container $1 was resumed, and still stands still"
        echo "container $1 cannot be resumed (vzctl: exit status $resume_status)" >&2
        return 1
    fi
    [ "$(state_of "$1")" = running ] || die "container $1 was to be resumed; it is $(state_of "$1") now"
    sync
}

kill_frozen() { # CTID PRIVATE ROOT HOW DUMPFILE: what stands still ends; what runs is left alone
    if [ "$(state_of "$1")" = running ]; then
        stands_still "$3" || die "container $1 runs; only one that stands still is killed"
        mark killing "$(boot_id)"
        vz "$4" "$1" --kill
    fi
    take_off "$1" "$3"
    [ "$5" != - ] || return 0
    ! as_written "$5" || mark dumped # and unmounted, and synced: from here on a power cut does not change that
}

as_written() { # DUMPFILE: is the disk as it was when that was written? Only if what stood still then was killed by this run
    [ -f "$run/written" ] && there "$1" || return 1
    [ -f "$run/dumped" ] || [ "$(first_line "$run/killing")" = "$(boot_id)" ]
}

take_up_file() { # as ensure_up: from the file of a staged checkpoint, which is void from here on; fails if nothing came of it
    [ ! -f "$run/taken" ] && as_written "$8" || return 1
    [ "$(state_of "$1")" != mounted ] || not_up "container $1 is down, its memory is in its dump; $3 cannot be unmounted: see what is at work in there"
    mark taken
    vz restore "$1" --dumpfile "$8" --skip_arpdetect
    taken_status=$?
    [ "$(state_of "$1")" != mounted ] || vz umount "$1"
    case $(state_of "$1") in
        running)
            stands_still "$3" || return 0
            kill_frozen "$1" "$2" "$3" restore -
            ;;
        stopped) ;;
        *) die "the memory of container $1 was to be taken up; it is $(state_of "$1") now" ;;
    esac
    [ "$taken_status" != 0 ] || die "the memory of container $1 was taken up, and it is down again"
    echo "container $1: its memory could not be taken up (vzctl: exit status $taken_status)" >&2
    return 1
}

wake() { # CTID ROOT: a checkpoint that was cut off may have left it stopped
    stands_still "$2" || return 0
    # shellcheck disable=SC2046 # one word each
    kill -s CONT $(processes_in "$2")
    ! keeps_still "$2" || not_up "container $1 stands still, since its memory was to be written down"
}

fetch_carrier() { # CTID: mount the device that carries the dump again, if there is something to be taken up on it
    [ -f "$run/carrier" ] && [ ! -f "$run/taken" ] || return 0
    read -r carrier carrier_identity carrier_room <"$run/carrier"
    (mount_device "$carrier" "$carrier_identity" "$carrier_room" any) ||
        not_up "the memory of container $1 is on $carrier, which cannot be mounted (started by hand it loses that)"
}

# --- is its disk as it was left? ------------------------------------------------------------------------------
# Where nothing is copied, somebody may start the container by force after it was ended, write, and lose power before
# anybody sees it up. That shows in the superblock: each mount changes it, and a power cut leaves needs_recovery.

bound() { # does what this run wrote down match only a disk as it was left? (A start by force takes up what lies in DUMPDIR)
    [ -f "$run/dumped" ] && [ ! -f "$run/taken" ] && { [ -f "$run/written" ] || [ -f "$run/carrier" ]; }
}

reading() { # DEVICE IDENTITY -> how it reads, and "torn" if a node has gone down with it mounted
    reads=$(superblock "$1") || return 1
    ending=clean
    if [ -z "$(mounts_of "$(number "$1")")" ] && dirty "$1"; then ending=torn; fi
    printf '%s %s %s %s' "$1" "$2" "$reads" "$ending"
}

note_left() { # DEVICE IDENTITY: while its container runs on it, before its memory is written to a place of this run's
    ! has_been_written && grep -q -e '/\.vzplan-dump-' "$run"/made/* 2>/dev/null || return 0
    now=$(reading "$1" "$2") || exit 1
    mark left "$now"
}

as_left() { # DEVICE IDENTITY: looked at before it is mounted here again; if it is not as it was left, the memory is given up
    bound && [ "$(first_line "$run/back")" != "$(boot_id)" ] || return 0
    same_disk "$1" "$2" 2>/dev/null || return 0 # it will not be mounted
    now=$(reading "$1" "$2") || exit 1
    if [ "$now" = "$(first_line "$run/left")" ]; then
        mark back "$(boot_id)" # until this node boots again, it is this run that has it mounted
    else
        echo "$1 was mounted since the memory on it was written down: the dump is given up" >&2
        mark taken
    fi
}

goes_as_left() { # DEVICE IDENTITY: nobody can start the container here any more; who mounts it from here on is the destination
    bound && [ -f "$run/left" ] && [ ! -f "$run/handed" ] || return 0
    now=$(reading "$1" "$2") || exit 1
    [ "$now" = "$(first_line "$run/left")" ] || die "$1 was mounted here since the memory on it was written down"
    mark handed
}

comes_back() { # before somebody can start the container here again: the destination has let go of the disk
    [ -f "$run/handed" ] || return 0
    read -r left_device left_identity _ <"$run/left"
    # If it cannot be read, it is compared with what it was before: then the memory is given up, if anybody mounted it.
    if now=$(reading "$left_device" "$left_identity"); then
        # There, what is undumped has its config early: whoever started it by force is not seen after a power cut.
        case $now in *' torn') [ ! -f "$run/written" ] || mark taken ;; esac
        mark left "$now"
    fi
    rm -f "$run/handed"
    sync
}
