# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# copy-tree CTID PRIVATE DEVICE IDENTITY PEER PEER_PRIVATE PEER_DEVICE PEER_IDENTITY PASS RSH OPTIONS
peer=$5
target=$6
target_device=$7
target_identity=$8
pass=${9%-xfs}
onto_xfs=${9#"$pass"}
# A connection of its own, whatever root's ssh config says: one that others came to share would end only with theirs,
# while the container is down. Last: of an option that is said twice ssh takes the first.
rsh="${10} -o ControlMaster=no -o ControlPath=none"
what=./
options=${11}

# A working directory pins its mount: what is looked at here is what is copied, whatever is unmounted meanwhile.
if [ "$pass" != dump ] && [ -L "$2" ] || ! cd -P "$2"; then die "$2 cannot be entered, or is a link"; fi
[ "$3" = - ] || on_device "$3" "$4" || exit 1
# At the top of a filesystem of its own there are things that belong to the filesystem, not to the container.
spare=
[ "$3$target_device" = -- ] || spare='--exclude=/lost+found --exclude=/vztmp'
if [ "$pass" = dump ]; then
    what=./Dump.$1
    [ ! -L "$what" ] && [ -e "$what" ] || die "$2/Dump.$1 is not there, or is a link"
    spare=
else
    # shellcheck disable=SC2010 # asked only whether there is anything
    [ -n "$(ls -A | grep -v -x 'lost+found' | head -n 1)" ] || die "$2 is empty: copying it would empty the copy"
fi

# rsync stays on one filesystem and takes a subvolume of btrfs for another one, though nothing is mounted there. The top
# of every subvolume is inode 256.
if [ "$pass" != dump ] && [ "$(stat -f -c %t .)" = 9123683e ]; then
    nested=$(find . -xdev -mindepth 1 -type d -inum 256 -print | head -n 1)
    [ -z "$nested" ] || die "$2: $nested is a subvolume of its own and would not be copied; make a directory of it"
fi

quoted() { # a word, for the peer's shell
    printf "'"
    printf '%s' "$1" | sed "s/'/'\\\\''/g"
    printf "'"
}

# The receiver enters its directory first too, proves that it is this run's, can be found by settle, and syncs.
# shellcheck disable=SC2016 # expanded over there
receiver='
    [ ! -L "$1" ] && cd -P "$1" || die "$1 cannot be entered, or is a link"
    if [ "$2" = - ]; then
        [ -f "$(marker "$1")" ] || die "$1 was not made by this run"
    else
        on_device "$2" "$3" || exit 1
        [ "$(cat "$run/claimed" 2>/dev/null)" = "$2 $3" ] || die "$2 was not claimed as empty by this run"
    fi
    shift 3
    printf "%s %s %s\n" "$$" "$(start_time $$)" "$(boot_id)" >"$run/pids/copy-$$" || exit 1
    exec 9>>"$run/lock" # open, not taken: so that settle finds every process of it
    rsync "$@"
    status=$?
    sync
    rm -f "$run/pids/copy-$$"
    exit $status'
receive="PATH=$PATH LC_ALL=C VZPLAN_HOME=$(quoted "$VZPLAN_HOME") VZPLAN_RUN=$VZPLAN_RUN exec sh -c $(quoted "$v_library
$receiver") copy $(quoted "$target") $(quoted "$target_device") $(quoted "$target_identity")"

copy() { # MORE-OPTIONS...
    # The operator's options are words, one a line; ours are words on purpose.
    set -f
    IFS='
'
    # shellcheck disable=SC2086
    set -- $options "$@"
    unset IFS
    set +f
    # shellcheck disable=SC2086
    rsync -aHAXS --numeric-ids --one-file-system --timeout=300 $spare "$@" \
        -e "$rsh" --rsync-path="$receive" "$what" "$peer:./"
    copied=$?
    # Slow is not stuck: rsync itself ends with 30 once nothing has moved for its --timeout (rsync(1)).
    [ "$copied" != 30 ] || echo "the copy makes no progress: nothing was sent or received for too long" >&2
    return "$copied"
}

case $peer in *@*) ;; *:*) peer=root@[$peer] ;; *) peer=root@$peer ;; esac

# xfs lists ACLs as attributes once more ([seen] trusted.SGI_ACL_*). From it they need not go along, if rsync can be told.
if [ "$(stat -f -c %t .)" = 58465342 ] && rsync --dry-run --filter='-xs system.*' /dev/null >/dev/null 2>&1; then
    options="--filter=-xs system.*
--filter=-xs trusted.SGI_ACL_*${options:+
$options}"
fi

acls() { # onto it: rsync has deleted those attributes, and with them ACLs; so these are looked at once more, alone
    [ -z "$onto_xfs" ] || copy --delete --no-xattrs
}

if [ "$pass" = dump ]; then
    copy --delete --stats || exit 1
    # And by the checksums of both, as they are read now: nothing but attributes may differ (".").
    # While it reads them nothing is sent, however long that takes.
    differs=$(copy --delete --dry-run --checksum --itemize-changes --timeout=0) || die "it cannot be compared with its copy"
    differs=$(printf '%s\n' "$differs" | grep -v '^\.' | head -n 3)
    [ -z "$differs" ] || die "the copy of $2/Dump.$1 is not what that is: $differs"
    exit 0
fi

stamp=$run/copied-first
changed=$run/changed
boot_time() { sed -n 's/^btime //p' /proc/stat; } # by the clock as it is set now
literal=$run/copied-literal
export literal
one_pass() { # its exit status goes into $ended: what is in a pipe cannot set it
    rm -f "$literal" "$run/copied-status"
    {
        copy --delete --stats && acls
        echo $? >"$run/copied-status"
    } | awk '
        { print }
        /^Literal data: [0-9,]+ bytes/ { gsub(/,/, "", $3); print $3 >ENVIRON["literal"] }'
    ended=$(first_line "$run/copied-status")
}

while_up() { # one pass; into $sent goes how many bytes of files rsync says that it took, 0 if it does not say
    one_pass
    # 23: some of it was not copied. While a container runs a directory may become a link under rsync's hands, which newer
    # ones refuse to enter: that is over when it looks again. When nothing runs any more there is no such excuse.
    [ "$ended" != 23 ] || one_pass
    case $ended in
        0 | 24) ;; # 24: files vanished meanwhile, as they do while a container runs
        *) exit 1 ;; # what rsync ends with has other meanings here
    esac
    sent=$(first_line "$literal")
    sent=${sent:-0}
}

clock_was_set() { # since the first pass: what was written since may then look older than that
    then=$(first_line "$stamp")
    by=$(($(boot_time) - ${then:-0}))
    [ "${by#-}" -le 2 ] || return 0 # it is rounded anew each time
    : >"$changed"
    [ -n "$(find "$stamp" -newer "$changed")" ]
}

if [ "$pass" = first ] || [ "$pass" = auto ]; then
    # Of several passes the first one's time counts: what is newer than that is looked at again in the last.
    # The wait: where times are whole seconds, what is written in the stamp's own second would not look newer.
    # On the disk: after a power cut the last pass could not tell any more what was written in that second.
    [ -f "$stamp" ] || { mark copied-first "$(boot_time)" && sleep 1; }
    while_up
    more=4 # five in all, as planner/verbs.py says
    before=$((sent * 2))
    while [ "$pass" = auto ] && [ "$more" -gt 0 ] && [ "$sent" -gt 0 ] && [ "$((sent * 2))" -le "$before" ]; do
        before=$sent
        more=$((more - 1))
        while_up
    done
    exit 0
fi
if [ -f "$stamp" ] && clock_was_set; then
    echo "this node's clock was set since the first pass: every file is compared by what is in it" >&2
    copy --delete --stats --ignore-times || exit 1
    acls || exit 1
    exit 0
fi
copy --delete --stats || exit 1
if [ ! -f "$stamp" ]; then
    acls || exit 1
    exit 0
fi
# rsync takes two files of one size and one second for the same. What was written in the very second in which the
# first pass read it would be missed; its change time gives it away.
find . -xdev -type f -cnewer "$stamp" -print0 >"$changed" || die "$2 cannot be searched"
[ ! -s "$changed" ] || copy --ignore-times --files-from="$changed" --from0 || exit 1
acls || exit 1
