# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# copy-tree CTID PRIVATE DEVICE IDENTITY PEER PEER_PRIVATE PEER_DEVICE PEER_IDENTITY PASS RSH OPTIONS
peer=$5
target=$6
target_device=$7
target_identity=$8
pass=$9
rsh=${10}
options=${11}

# A working directory pins its mount: what is looked at here is what is copied, whatever is unmounted meanwhile.
cd -P "$2" || die "$2 cannot be entered"
[ "$3" = - ] || on_device "$3" "$4" || exit 1
# At the top of a filesystem of its own there are things that belong to the filesystem, not to the container.
spare=
[ "$3$target_device" = -- ] || spare='--exclude=/lost+found --exclude=/vztmp'
# shellcheck disable=SC2010 # asked only whether there is anything
[ -n "$(ls -A | grep -v -x 'lost+found' | head -n 1)" ] || die "$2 is empty: copying it would empty the copy"

quoted() { # a word, for the peer's shell
    printf "'"
    printf '%s' "$1" | sed "s/'/'\\\\''/g"
    printf "'"
}

# The receiver enters its directory first too, proves that it is this run's, can be found by settle, and syncs.
# shellcheck disable=SC2016 # expanded over there
receiver='
    cd -P "$1" || exit 1
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
        -e "$rsh" --rsync-path="$receive" ./ "$peer:./"
}

case $peer in *@*) ;; *:*) peer=root@[$peer] ;; *) peer=root@$peer ;; esac
stamp=$run/copied-first
if [ "$pass" = first ]; then
    # Of several passes the first one's time counts: what is newer than that is looked at again in the last.
    # The wait: where times are whole seconds, what is written in the stamp's own second would not look newer.
    [ -f "$stamp" ] || { : >"$stamp" && sleep 1; }
    copy --delete --stats
    status=$?
    [ "$status" != 24 ] || status=0 # files vanished meanwhile, as they do while a container runs
    exit "$status"
fi
copy --delete --stats || exit 1
[ -f "$stamp" ] || exit 0
# rsync takes two files of one size and one second for the same. What was written in the very second in which the
# first pass read it would be missed; its change time gives it away.
changed=$run/changed
find . -xdev -type f -cnewer "$stamp" -print0 >"$changed" || die "$2 cannot be searched"
[ -s "$changed" ] || exit 0
copy --ignore-times --files-from="$changed" --from0 || exit 1
