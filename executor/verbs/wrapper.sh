# shellcheck shell=sh disable=SC2154 # v_* and VZPLAN_* are set by the session
# The wrapper around every command of a run, loaded once into the session's shell. It sees to it that a command runs
# only while its run, generation and boot are those of the run's folder on this node; that it can be found and ended
# by a later session; and that the node itself knows what was done to it.
# It is most of what a short command costs: what the shell can do itself starts no program.

vzplan_refuse() { # nothing was done
    printf 'refused: %s\n' "$*" >&2
    exit 120
}

vzplan_taken_over() { # nothing was done, and nothing ever will be for this controller
    printf 'refused: %s\n' "$*" >&2
    exit 121
}

vzplan_forgotten() { # the same; who has ended it here cannot be told from who has removed what was kept of it
    echo "refused: this run is not on record here any more: another controller has ended it, or its folder was removed" >&2
    exit 122
}

vzplan_first() { # FILE: $first is its first line; empty if there is none
    first=
    { IFS= read -r first <"$1"; } 2>/dev/null
}

vzplan_started() { # PID: $started is when, in ticks since boot (proc(5), stat, field 22); empty if gone, or not waited for
    started=
    vzplan_first "/proc/$1/stat"
    # shellcheck disable=SC2086 # words on purpose
    set -- ${first##*) }
    case ${1-} in '' | [ZX]) ;; *) started=${20} ;; esac
}

vzplan_log() { # one durable line in the node's own log; else $why is why not
    line=$*
    case $line in *"
"*) line=$(printf '%s\n' "$line" | tr '\n' ' ') ;; esac
    while [ "$line" != "${line% }" ]; do line=${line% }; done
    # Its mode says that it may end with half a line, which is ended first: that much can be written where nothing can.
    torn=
    if [ -x "$run/log" ]; then
        torn=yes
        [ -z "$(tail -c 1 "$run/log")" ] || line="
$line"
    fi
    if put_line "$line" of="$run/log" oflag=append conv=notrunc,fsync; then
        [ -z "$torn" ] || chmod u-x "$run/log"
    else
        chmod u+x "$run/log"
        return 1
    fi
}

vzplan_note() { # NAME TEXT: durable once it is synced; what was there before, or the whole of it
    put_line "$2" of="$run/$1.new" conv=fsync || vzplan_refuse "cannot write $run/$1$why"
    mv -f "$run/$1.new" "$run/$1" || vzplan_refuse "cannot write $run/$1"
}

vzplan_holders() { # -> processes that have the run's lock open: its commands, and whatever they started
    # shellcheck disable=SC2012 # one ls for all of them; what it says is numbers and links
    ls -l /proc/[0-9]*/fd 2>/dev/null | lock="$(cd -P "$run" && pwd -P)/lock" awk '
        /^\/proc\// { pid = substr($0, 7); sub(/\/.*/, "", pid) }
        substr($0, length($0) - length(" -> " ENVIRON["lock"]) + 1) == " -> " ENVIRON["lock"] && !(pid in seen) {
            seen[pid]
            print pid
        }'
}

vzplan_end_all() { # end every process group that an earlier command of this run left here
    for file in "$run"/pids/*; do
        [ -f "$file" ] || continue
        read -r pid start boot <"$file" || [ -n "$pid" ] || continue
        vzplan_started "$pid"
        if [ "$boot" = "$now" ] && [ "$pid" != "$$" ] && [ "$started" = "$start" ]; then
            kill -s KILL -- "-$pid" 2>/dev/null
            kill -s KILL "$pid" 2>/dev/null
        fi
        [ "$pid" = "$$" ] || rm -f "$file"
    done
}

vzplan_latest() { # no other controller has settled since this session began
    vzplan_first "$run/generation"
    stored=$first
    count=${stored%% *}
    [ "${count:-0}" -lt "$VZPLAN_GENERATION" ] || [ "$stored" = "$session" ] ||
        vzplan_taken_over "another controller has taken this run over: generation $stored"
}

vzplan_settle() {
    [ -d "$run" ] || exit 0 # where nothing is known of the run nothing of it is at work, and nothing will be: see below
    vzplan_latest
    vzplan_end_all
    # And those whose group has lost its leader. Not this session's: it opens the lock only below.
    for pid in $(vzplan_holders); do
        kill -s KILL "$pid" 2>/dev/null
    done
    exec 9>>"$run/lock"
    flock -w 20 9 || {
        echo "something of this run is still at work here" >&2
        exit 1
    }
    vzplan_latest # nor did one while we waited
    vzplan_end_all # what registered itself meanwhile
    vzplan_note boot "$now"
    vzplan_note generation "$session"
    vzplan_started "$$"
    printf '%s %s %s\n' "$$" "$started" "$now" >"$run/pids/session-$VZPLAN_GENERATION"
    [ ! -f "$run/log" ] || chmod u+x "$run/log" # a power cut, too, may have left half a line
    vzplan_log "settled $VZPLAN_GENERATION"
    # One that hangs in the kernel cannot be ended: it is not to keep the lock from the next try, which could not say why.
    timeout -s KILL "$deadline" sync 9>&- || {
        echo "what was written here does not get to the disks: sync took longer than $deadline s, or failed" >&2
        exit 1
    }
    exit 0
}

vzplan_ended() {
    # Nothing is deleted through a mount (of a device that was being emptied, when this node lost its connection).
    grep -q -F " $run/mnt " /proc/self/mountinfo || rm -rf "$run"
    rmdir "$VZPLAN_HOME/owners" "$VZPLAN_HOME/node" 2>/dev/null
    vzplan_forgotten
}

vzplan_guarded() { # DEADLINE INPUT VERB OPERANDS...
    deadline=$1
    input=$2
    verb=$3
    shift 3
    run=$VZPLAN_HOME/node/$VZPLAN_RUN
    vzplan_first /proc/sys/kernel/random/boot_id
    now=$first
    session="$VZPLAN_GENERATION $VZPLAN_CONTROL" # two controllers may have come to the same number
    [ "$verb" != settle ] || vzplan_settle
    if [ ! -d "$run" ]; then
        case $verb in
            # Twice: whose run ends just now removes the folder above while it is empty.
            own)
                mkdir -p "$run/made" "$run/pids" || mkdir -p "$run/made" "$run/pids" || vzplan_refuse "cannot make $run"
                ;;
            disown) ;; # nothing was ever owned here, or it has been given up already
            *) vzplan_forgotten ;;
        esac
    fi
    if [ -d "$run" ]; then
        exec 9>>"$run/lock"
        flock -n 9 || vzplan_refuse "a command of this run is still at work here"
        vzplan_first "$run/generation"
        stored=$first
        if [ -z "$stored" ] && [ "$verb" = own ]; then
            vzplan_note boot "$now"
            vzplan_note generation "$session"
            stored=$session
        fi
        [ "$stored" = "$session" ] ||
            vzplan_refuse "this session is generation $session, the run here is at ${stored:-none}"
        vzplan_first "$run/boot"
        [ "$first" = "$now" ] || vzplan_refuse "this node has booted since"
        case $verb in
            own | disown) ;;
            # A folder without a record: what this run had here has been taken back, or is done with.
            *) [ -f "$run/record" ] || vzplan_ended ;;
        esac
        vzplan_started "$$"
        printf '%s %s %s\n' "$$" "$started" "$now" >"$run/pids/session-$VZPLAN_GENERATION"
        if [ "$verb" = own ]; then # before anything is done: what a controller without its journal plans from
            vzplan_note brief "$vzplan_brief"
        fi
        vzplan_log "began $verb $*" || vzplan_refuse "cannot write $run/log$why"
        printf %s "$input" >"$run/input" || vzplan_refuse "cannot write $run/input"
    fi
    name=$verb
    while [ "$name" != "${name#*-}" ]; do name=${name%%-*}_${name#*-}; done
    eval "text=\$v_$name" # the name of a verb of ours; nothing of the node's is evaluated
    # The process notes itself before it becomes the verb; timeout then makes it a group of its own. In it "$$" is its
    # parent; what it is itself, /proc/self says.
    (
        exec </dev/null
        if [ -d "$run" ]; then
            vzplan_first /proc/self/stat
            own=${first%% *}
            vzplan_started "$own"
            printf '%s %s %s\n' "$own" "$started" "$now" >"$run/pids/verb" && exec <"$run/input" || exit 120
        fi
        exec timeout -s KILL "$deadline" sh -c "$v_library
$text" "$verb" "$@"
    )
    status=$?
    if [ -d "$run" ]; then
        # Emptied, which starts no program; the folder goes with the run.
        : >"$run/pids/verb"
        : >"$run/input"
        vzplan_log "ended $verb $status"
    fi
    exit "$status"
}

vzplan_run() { # NONCE DEADLINE INPUT VERB OPERANDS...: a trailer ends both streams
    nonce=$1
    shift
    (vzplan_guarded "$@")
    status=$?
    printf '\n%s\n' "$nonce" >&2
    printf '\n%s %d\n' "$nonce" "$status"
}

vzplan_read() { # NONCE DEADLINE SCRIPT: a script that only looks, outside any run
    timeout -s KILL "$2" sh -c "$3" </dev/null
    status=$?
    printf '\n%s\n' "$1" >&2
    printf '\n%s %d\n' "$1" "$status"
}
