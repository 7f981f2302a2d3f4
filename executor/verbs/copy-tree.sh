# shellcheck shell=sh disable=SC2015,SC2154 # names and die() come from library.sh
# copy-tree CTID PRIVATE DEVICE IDENTITY PEER PEER_PRIVATE PASS RSH
peer=$5
target=$6
pass=$7
rsh=$8

# A working directory pins its mount: what is looked at here is what is copied, whatever is unmounted meanwhile.
cd -P "$2" || die "$2 cannot be entered"
if [ "$3" = - ]; then
    spare=
else
    device_number=$(number "$3") || exit 1
    same_disk "$3" "$4" || exit 1
    [ "$(number_of_dir .)" = "$device_number" ] || die "$2 is not on $3"
    spare='--exclude=/lost+found --exclude=/vztmp'
fi
# shellcheck disable=SC2010 # asked only whether there is anything
[ -n "$(ls -A | grep -v -x 'lost+found' | head -n 1)" ] || die "$2 is empty: copying it would empty the copy"

quoted() { # a word, for the peer's shell
    printf "'"
    printf '%s' "$1" | sed "s/'/'\\\\''/g"
    printf "'"
}

# The receiver enters its directory first too, can be found by settle, and syncs before it is done.
# shellcheck disable=SC2016 # expanded over there
receiver='
    run=$1 made=$2
    cd -P "$3" || exit 1
    [ -f "$made" ] || { echo "$3 was not made by this run" >&2; exit 1; }
    shift 3
    start=$(sed "s/.*) //" /proc/$$/stat | cut -d " " -f 20)
    echo "$$ $start $(cat /proc/sys/kernel/random/boot_id)" >"$run/pids/copy-$$" || exit 1
    exec 9>>"$run/lock" # open, not taken: so that settle finds every process of it
    rsync "$@"
    status=$?
    sync
    rm -f "$run/pids/copy-$$"
    exit $status'
receive="PATH=$PATH exec sh -c $(quoted "$receiver") copy $(quoted "$run") $(quoted "$(marker "$target")") $(quoted "$target")"

copy() { # MORE-OPTIONS...
    # shellcheck disable=SC2086 # words on purpose
    rsync -aHAXS --numeric-ids --one-file-system --timeout=300 $spare "$@" \
        -e "$rsh" --rsync-path="$receive" ./ "$peer:./"
}

case $peer in *@*) ;; *) peer=root@$peer ;; esac
stamp=$run/copied-first
if [ "$pass" = first ]; then
    : >"$stamp"
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
