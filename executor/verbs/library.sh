# shellcheck shell=sh disable=SC2015 # "A && B || die": die never returns
# What the verbs share. Prepended to each of them; the wrapper has set VZPLAN_HOME, VZPLAN_RUN, PATH and LC_ALL.
# POSIX sh and RHEL 6 class tools only. A verb ends 0 only if what it promises holds and would survive a power cut.

run=$VZPLAN_HOME/node/$VZPLAN_RUN
# shellcheck disable=SC2034 # the verbs use it
conf=/etc/vz/conf
pivot= # set by the verb that is the point of no return
tab=$(printf '\t')
sysdev=/sys/dev/block # there, by MAJOR:MINOR, the kernel tells of each device

die() { # failed, perhaps half done
    printf '%s\n' "$*" >&2
    exit 1
}

unfit() { # it looked, and what the plan rests on is not so
    printf '%s\n' "$*" >&2
    exit 13
}

not_up() { # failed, and it is proved that nothing runs and nothing is half mounted here
    printf '%s\n' "$*" >&2
    exit 3
}

half_up() { # failed, and it is proved that nothing runs here; what it is mounted from is held by something
    printf '%s\n' "$*" >&2
    exit 4
}

there() { [ -e "$1" ] || [ -L "$1" ]; }

first_line() { # FILE -> its first line; nothing if it cannot be read
    line=
    { IFS= read -r line <"$1"; } 2>/dev/null
    printf '%s' "$line"
}

boot_id() { first_line /proc/sys/kernel/random/boot_id; }

real() { # PATH -> what readlink -f says; of a directory the shell knows it itself
    { cd -P -- "$1" && pwd -P; } 2>/dev/null || readlink -f "$1"
}

checksum() { # <CONTENT -> its SHA-256 in hexadecimal
    sum_said=$(sha256sum)
    printf '%s' "${sum_said%% *}"
}

mark() { # NAME [TEXT]: a durable note in the run's folder; whole if it is there
    # shellcheck disable=SC2154 # put_line says why
    put_line "${2-}" of="$run/$1.new" conv=fsync || die "cannot write $run/$1$why"
    mv -f "$run/$1.new" "$run/$1" || die "cannot write $run/$1"
    sync
}

marker() { # PATH -> the file that says this run made PATH
    printf '%s/made/%s' "$run" "$(printf '%s' "$1" | checksum)"
}

same_file() { [ "$(stat -c %d:%i "$1")" = "$(stat -c %d:%i "$2")" ]; }

differ() { there "$1" && there "$2" && ! same_file "$1" "$2"; } # ONE OTHER: both are there, and are two files

disclaim() { # PATH MARKER BESIDE: what another made between this run's mark and its own making is not this run's
    if [ -f "$2" ] && differ "$3" "$1"; then
        rm -f "$2"
        sync # a mark that came back alone would say that the other's is this run's
        drop_beside "$3"
    fi
}

remove_made() { # PATH: see remove-made
    made=$(marker "$1")
    new=$(beside "$1")
    disclaim "$1" "$made" "$new"
    drop_beside "$new"
    [ -f "$made" ] || { sync; return 0; }
    if [ -d "$1" ] && [ ! -L "$1" ]; then
        held=$(mounts_within "$1")
        [ -z "$held" ] || die "still mounted: $held"
        rmdir -- "$1" || die "$1 is not empty"
    elif there "$1"; then
        rm -f -- "$1" || die "$1 cannot be removed"
    fi
    sync
    rm -f "$made"
    sync # a mark that came back would let this run remove what another makes there later
}

drop_beside() { # BESIDE: a file, or an empty directory, that had no time to get its name
    if [ -d "$1" ] && [ ! -L "$1" ]; then rmdir -- "$1"; else rm -f -- "$1"; fi
}

beside() { # PATH -> a name in the same directory that only this run uses
    printf '%s/.vzplan-%s-%s' "${1%/*}" "$VZPLAN_RUN" "${1##*/}"
}

start_time() { # PID -> ticks since boot (proc(5), stat, field 22); empty if it is gone, or dead and not waited for
    stat=$(first_line "/proc/$1/stat")
    # shellcheck disable=SC2086 # words on purpose
    set -- ${stat##*) }
    case ${1-} in '' | [ZX]) ;; *) printf '%s' "${20-}" ;; esac
}

# --- mounts and devices ---------------------------------------------------------------------------------------

escaped() { # PATH as mountinfo writes it (proc(5): space, tab, newline and backslash in octal)
    case $1 in
        *[\\\ $tab]*) printf '%s' "$1" | sed -e 's/\\/\\134/g' -e 's/ /\\040/g' -e "s/$tab/\\\\011/g" ;;
        *) printf '%s' "$1" ;;
    esac
}

number() { # DEVICE -> MAJOR:MINOR in decimal
    [ -b "$1" ] || die "$1 is not a block device"
    # shellcheck disable=SC2046,SC2183 # two words on purpose
    printf '%d:%d' $(stat -L -c '0x%t 0x%T' "$1")
}

number_of_dir() { # DIRECTORY -> MAJOR:MINOR of the filesystem it is on
    dev=$(stat -L -c %d "$1") || die "$1 cannot be looked at"
    printf '%d:%d' $((dev >> 8 & 4095)) $((dev & 255 | dev >> 12 & 1048320))
}

mounted_at() { # PATH -> MAJOR:MINOR of what is mounted there in this namespace, the topmost; empty if nothing
    # Of a bind mount or a subvolume with its directory behind it: only the top of a device is the device's own mount.
    place=$(escaped "$(real "$1")")
    at=$place awk '
        $5 == ENVIRON["at"] { found = $3 " " $4; sub(/.* - /, ""); found = found " " $1 " " $2 }
        END { print found }' /proc/self/mountinfo | {
        read -r at_number at_root at_type at_source
        [ "$at_type" != btrfs ] || at_number=$(behind "$at_source" "$at_number")
        [ "$at_root" != / ] || at_root=
        printf '%s%s' "$at_number" "$at_root"
    }
}

behind() { # SOURCE NUMBER -> MAJOR:MINOR of the device of a btrfs, to which mountinfo gives a NUMBER of no device
    source_number=
    [ ! -b "$1" ] || source_number=$(number "$1")
    # A name may have come to mean another device since; newer kernels say which devices they hold for btrfs.
    for file in /sys/fs/btrfs/*/devices/*/dev; do
        [ -f "$file" ] || break
        [ -z "$source_number" ] || cat /sys/fs/btrfs/*/devices/*/dev | grep -q -x -e "$source_number" || source_number=
        break
    done
    printf '%s' "${source_number:-$2}"
}

mounts_within() { # PATH -> every mount at or below it, in any namespace of this node
    place=$(real "$1")
    place=$(escaped "${place:-$1}") # of what is not there, the path as it is written
    cat /proc/[0-9]*/mountinfo 2>/dev/null |
        at=$place awk '($5 == ENVIRON["at"] || index($5, ENVIRON["at"] "/") == 1) && !seen[$5]++ { print $5 }'
}

mounts_of() { # MAJOR:MINOR -> where it is mounted, in any namespace of this node
    cat /proc/[0-9]*/mountinfo 2>/dev/null | n=$1 awk '
        / - btrfs / { point = $5; sub(/.* - btrfs /, ""); print $1, point; next }
        $3 == ENVIRON["n"] { print "-", $5 }' | sort -u | while read -r of_source of_point; do
        [ "$of_source" = - ] || [ "$(behind "$of_source" -)" = "$1" ] || continue
        printf '%s\n' "$of_point"
    done
}

wwid() { # DEVICE [MAJOR:MINOR] -> what names its disk in the whole SAN, empty if nothing does; seen through multipath and LVM
    sys=$sysdev/${2:-$(number "$1")}
    if [ -d "$sys/dm" ]; then
        uuid=$(first_line "$sys/dm/uuid")
        case $uuid in
            mpath-[0S]*) ;; # as below, of what scsi_id says
            mpath-*) printf '%s' "${uuid#mpath-}" ;;
            *) segments "$1" ;; # an LVM UUID is cloned with its disk; what it lies on is not
        esac
        return 0
    fi
    disk=$1
    [ ! -e "$sys/partition" ] || disk=/dev/block/$(cat "$sys/../dev")
    for each in "$1" "$disk"; do
        named=$(scsi_id --whitelisted --replace-whitespace --device="$each" 2>/dev/null)
        case $named in
            '' | [0S]*) ;; # nothing, words of the vendor's own, or a unit serial alone: another array may say the same
            *)
                printf '%s' "$named"
                return 0
                ;;
        esac
    done
    # NVMe: nguid or eui64; virtio: the serial that the host gave it.
    sys=$sysdev/$(number "$disk")
    for file in "$sys/wwid" "$sys/serial"; do
        [ ! -s "$file" ] || tr -s ' \n' '_' <"$file" | sed 's/_*$//'
        [ ! -s "$file" ] || return 0
    done
}

scsi_id() { # ARGUMENTS: udev's own, which lies on no path
    for tool in /lib/udev/scsi_id /usr/lib/udev/scsi_id /sbin/scsi_id; do
        [ -x "$tool" ] || continue
        "$tool" "$@"
        return
    done
    return 1
}

segments() { # DEVICE made of others by device-mapper -> each piece: length, WWID of its disk, place on that
    table=$(dmsetup table "$1" 2>/dev/null) && [ -n "$table" ] || return 0
    printf '%s\n' "$table" | {
        all=
        while read -r _ length target below offset; do
            [ "$target" = linear ] || return 0
            case $length:$below:$offset in *[!0-9:]* | *:) return 0 ;; esac # no line of a table
            piece=$(wwid "/dev/block/$below")
            [ -n "$piece" ] || return 0
            first=
            { read -r first <"$sysdev/$below/start"; } 2>/dev/null
            all=$all+$length@$piece@$((${first:-0} + offset))
        done
        printf '%s' "${all#+}"
    }
}

identity() { # DEVICE [MAJOR:MINOR] -> WWID:START:SIZE:TYPE:UUID, "-" for what is not known (planner/identity.py)
    identify "$@"
    printf '%s' "$identity"
}

identify() { # the same, into $identity
    blockdev --flushbufs "$1" 2>/dev/null
    at_number=${2:-$(number "$1")}
    id=$(wwid "$1" "$at_number")
    sys=$sysdev/$at_number
    start='' sectors='' type='' uuid=''
    { read -r start <"$sys/start"; read -r sectors <"$sys/size"; } 2>/dev/null
    size=${sectors:+$((sectors * 512))}
    tags=" $(blkid -c /dev/null -s TYPE -s UUID "$1" 2>/dev/null)"
    case $tags in *' TYPE="'*) type=${tags#* TYPE=\"} type=${type%%\"*} ;; esac
    case $tags in *' UUID="'*) uuid=${tags#* UUID=\"} uuid=${uuid%%\"*} ;; esac
    [ "$type" != btrfs ] || type=$(spread "$1")
    identity=${id:--}:${start:--}:${size:--}:${type:--}:${uuid:--}
}

spread() { # DEVICE with btrfs -> btrfs, or btrfs-of-N if it is one of N (num_devices of the superblock; blkid has no word for it)
    # shellcheck disable=SC2046 # bytes, lowest first
    set -- $(dd if="$1" bs=8 skip=8209 count=1 2>/dev/null | od -A n -t u1)
    case $#:$* in
        '8:1 0 0 0 0 0 0 0') printf btrfs ;;
        8:*) printf 'btrfs-of-%d' $(($1 + $2 * 256)) ;;
        *) printf 'btrfs-of-?' ;;
    esac
}

exclusive() { # DEVICE -> yes, no or unknown: could it be opened exclusively, that is, does nothing on this node hold it?
    # sh has no O_EXCL; mke2fs opens it so, to read, before it minds an option that it does not know, and then ends. With
    # options that it knows, -n opens it to write as well: udev then reads the partitions of a disk anew, which go away for
    # a moment; and that of e2fsprogs 1.41.12 (RHEL 6) discards what is on it. -v: the line that it says between the two,
    # so that no other order passes for an answer. -F: old ones ask whether a whole disk is meant.
    case $(LC_ALL=C timeout -s KILL 30 mke2fs -n -F -v -E none-such "$1" </dev/null 2>&1) in
        *'while determining'*) printf unknown ;; # whether it is mounted
        *'in use'* | *'is mounted'*) printf no ;;
        *'fs_types for'*'specified: none-such'* | *'specified: none-such'*'fs_types for'*) printf yes ;;
        *) printf unknown ;;
    esac
}

in_use() { [ "$(exclusive "$1")" != yes ]; } # DEVICE: may something on this node hold it?

dirty() { # DEVICE: does any node have it mounted read-write? [seen] needs_recovery, read after a flush
    # Only ext says so; another is never handed over, and what is copied onto it is proved empty.
    case $(blkid -c /dev/null -s TYPE -o value "$1" 2>/dev/null) in ext[234]) ;; ?*) return 1 ;; esac
    blockdev --flushbufs "$1" || die "$1: cannot be flushed, so what is read of it may be stale"
    features=$(dumpe2fs -h "$1" 2>/dev/null | grep '^Filesystem features:') || die "$1: its superblock cannot be read"
    case " $features " in *" needs_recovery "*) return 0 ;; esac
    return 1
}

superblock() { # DEVICE -> what every read-write mount changes: mount count and time, read after a flush
    blockdev --flushbufs "$1" || die "$1: cannot be flushed, so what is read of it may be stale"
    said=$(dumpe2fs -h "$1" 2>/dev/null | grep -E '^(Mount count|Last mount time):') || die "$1: no superblock to be read"
    printf '%s' "$said" | tr -s ' \n' ' '
}

on_device() { # DEVICE IDENTITY: is the working directory on it, and is it that disk?
    device_number=$(number "$1") || exit 1
    same_disk "$1" "$2" || return 1
    here=$(number_of_dir .)
    # A directory of btrfs has a number of no device: then what is mounted at its path, if that still leads here.
    case $here in 0:*) here=$(mounted_at "$PWD") && [ "$(stat -c %d:%i "$PWD")" = "$(stat -c %d:%i .)" ] || here= ;; esac
    [ "$here" = "$device_number" ] && return 0
    echo "$PWD is not on $1" >&2
    return 1
}

same_disk() { # DEVICE IDENTITY: names move between plan and apply; the identity does not
    found=$(identity "$1")
    [ "$found" = "$2" ] || {
        printf '%s is %s, not %s\n' "$1" "$found" "$2" >&2
        return 1
    }
}

prove_not_held() { # DEVICE IDENTITY: nothing on *this* node mounts or holds it
    device_number=$(number "$1") || exit 1
    same_disk "$1" "$2" || exit 1
    held=$(mounts_of "$device_number")
    [ -z "$held" ] || die "$1 is still mounted at $held"
    tries=0
    while in_use "$1"; do
        tries=$((tries + 1))
        [ "$tries" -lt 3 ] || die "$1 is still held on this node, or cannot be opened"
        sleep 1 # others, too, ask so for a moment whether it is held
    done
}

release_device() { # DEVICE IDENTITY PLACE: never a lazy unmount, which only hides who still holds it
    device_number=$(number "$1") || exit 1
    tries=0
    while case $(mounted_at "$3") in "$device_number" | "$device_number"/*) ;; *) false ;; esac; do
        umount -- "$3" && continue
        tries=$((tries + 1))
        [ "$tries" -lt 3 ] || die "$3 cannot be unmounted"
        sleep 1 # udev and the like look at devices for a moment
    done
    sync
    # Not whether *any* node has it mounted: after this node lost power with the device mounted, the superblock says so
    # until the next mount, and taking it back at the source must still be possible. prove-released asks that.
    prove_not_held "$1" "$2"
}

prove_released() { # DEVICE IDENTITY: not held here, and mounted read-write by no node
    prove_not_held "$1" "$2"
    ! dirty "$1" || die "$1 is mounted read-write by some node (needs_recovery)"
}

mount_device() { # DEVICE IDENTITY PRIVATE FOUND; see mount-device
    device_number=$(number "$1") || exit 3
    if [ "$(mounted_at "$3")" = "$device_number" ]; then
        same_disk "$1" "$2" || exit 1
        return 0
    fi
    [ -d "$3" ] || not_up "$3 is not there"
    [ -z "$(mounted_at "$3")" ] || die "something else is mounted at $3"
    same_disk "$1" "$2" || exit 3
    held=$(mounts_of "$device_number")
    [ -z "$held" ] || die "$1 is mounted at $held"
    if [ "$4" = clean ] && dirty "$1"; then
        not_up "$1 is mounted read-write by some node (needs_recovery)"
    fi
    said=$(mount "$1" "$3" 2>&1)
    mount_status=$?
    mounted=$(mounted_at "$3")
    case $mounted in "$device_number"/*)
        # Copies are of the whole, and the hooks would mount this.
        umount -- "$3" || die "$3 cannot be unmounted"
        not_up "$1 has a default subvolume, which is mounted in the place of its top ('btrfs subvolume set-default 5')"
        ;;
    esac
    if [ "$mounted" != "$device_number" ]; then
        [ -z "$(mounts_of "$device_number")" ] || die "$1 was not mounted at $3, but elsewhere"
        [ -z "$mounted" ] || take_back "$1" "$3" "$mounted" "$mount_status"
        not_up "$1 cannot be mounted at $3: $said"
    fi
    same_disk "$1" "$2" || exit 1
}

take_back() { # DEVICE PLACE NUMBER STATUS: another disk is mounted at PLACE, where a moment ago nothing was
    # By mount(8), if that says that it has mounted something: the name has come to mean another disk just then.
    [ "$4" = 0 ] || die "something else is mounted at $2 now"
    umount -- "$2" && [ -z "$(mounted_at "$2")" ] || die "$1 has become another disk ($3), which cannot be unmounted from $2"
    sync
    not_up "$1 has become another disk ($3), which was mounted at $2 for a moment: see what names your disks"
}

# --- the container --------------------------------------------------------------------------------------------

vz() { # WORDS: vzctl, but for what writes a memory down; what it starts must outlive this command
    # What runs in the container, and action scripts, are not to have the umask of this run's own files.
    (umask 022 && exec vzctl --skiplock "$@") >&2 </dev/null 9>&-
}

state_of() { # CTID -> running, mounted, suspended, stopped, deleted or unknown, by vzctl's own words
    case $(vzctl status "$1" 2>/dev/null) in
        "CTID $1 exist mounted running"*) echo running ;;
        "CTID $1 exist mounted down"*) echo mounted ;;
        "CTID $1 exist unmounted down suspended"*) echo suspended ;;
        "CTID $1 exist unmounted down"*) echo stopped ;;
        "CTID $1 deleted unmounted down"*) echo deleted ;;
        *) echo unknown ;;
    esac
}

processes_in() { # ROOT -> the processes that have their root there (a container's processes are seen from its node)
    set -- "$(real "$1")"
    # shellcheck disable=SC2010,SC2012 # no file names of others: /proc/PID/root only
    ls -l /proc/[0-9]*/root 2>/dev/null | at=" -> $1" awk '{
        here = index($0, ENVIRON["at"])
        rest = here ? substr($0, here + length(ENVIRON["at"])) : "x"
        if (rest != "" && substr(rest, 1, 1) != "/") next
        sub(/.*\/proc\//, "", $0)
        sub(/\/.*/, "", $0)
        print
    }'
}

rooted_in() { [ -n "$(processes_in "$1")" ]; } # ROOT: does a process have its root there?

stop_container() { # CTID PRIVATE ROOT: exit statuses of vzctl are not believed; look
    if [ "$(state_of "$1")" = running ]; then
        mark stopping "$(boot_id)" # what the guest was told it goes on to do, also if vzctl, which only waits, is cut off
        vz stop "$1"
        [ "$(state_of "$1")" != running ] || vz stop "$1" --fast
    fi
    take_off "$1" "$3"
    [ ! -f "$run/stopping" ] || has_stopped
}

has_stopped() { # no guest is left that was told to end
    rm -f "$run/stopping"
    sync
}

end_what_was_told() { # CTID PRIVATE ROOT: what was told to end may go down at any moment: it is stopped first, to come up anew
    if [ "$(first_line "$run/stopping")" = "$(boot_id)" ]; then
        case $(state_of "$1") in
            running)
                stop_container "$1" "$2" "$3"
                return 0
                ;;
            unknown) die "container $1 was told to stop, and its state is not known" ;;
        esac
    fi
    has_stopped
}

take_off() { # CTID ROOT: nothing of it runs; nothing of it stays mounted, either
    [ "$(state_of "$1")" != mounted ] || vz umount "$1"
    is_down "$1"
    nothing_in "$2"
    sync
}

is_down() { # CTID: by vzctl's own words
    case $(state_of "$1") in
        stopped | suspended | deleted) ;;
        *) die "container $1 is still $(state_of "$1")" ;;
    esac
}

nothing_in() { # ROOT: no mount, no process; also of a container whose config vzctl does not see any more
    [ -z "$(mounted_at "$1")" ] || die "$1 is still mounted"
    ! rooted_in "$1" || die "a process still lives in $1"
}

rename_file() { # OLD NEW SHA256: by link and unlink, since mv would overwrite
    if there "$2"; then
        if there "$1"; then
            same_file "$1" "$2" || die "$1 and $2 are both there, and differ: see which is right, and remove the other"
            rm -f -- "$1" || die "$1 cannot be removed"
        fi
    elif [ -L "$1" ] && [ "$3" = - ] && [ "${1%.conf*}" = "$1" ]; then # an action script may be a link, a config not
        mv -n -- "$1" "$2"
        there "$2" && ! there "$1" || die "$1 cannot be renamed"
    else
        [ -f "$1" ] && [ ! -L "$1" ] || die "$1 is not a file"
        has_content "$1" "$3" || die "$1 was changed by someone meanwhile"
        ln -- "$1" "$2" || die "$2 cannot be made"
        sync
        rm -f -- "$1" || die "$1 cannot be removed"
    fi
    sync # [seen] a rename and a power cut at once, and the old name is back
}

hide_config() { # CTID ROOT CONFIG BACKUP SHA256; see hide-config
    # No fence and no lock keeps anybody from "vzctl --skiplock start --force": what is up goes nowhere.
    if [ "$2" = - ]; then
        case $(state_of "$1") in running | unknown) die "container $1 is $(state_of "$1")" ;; esac
    else
        is_down "$1"
        nothing_in "$2"
    fi
    rename_file "$3" "$4" "$5"
    [ "$2" = - ] || nothing_in "$2" # and once more, now that nobody can start it
}

is_named() { # CTID STAGED: has the config that was staged its name?
    # vzctl writes into what it starts: with both names there it may be two files since.
    there "$conf/$1.conf" && { [ -f "$run/naming" ] || ! differ "$2" "$conf/$1.conf"; }
}

name_config() { # CTID STAGED: see name-config
    there "$conf/$1.conf" || mark naming
    if is_named "$1" "$2" && differ "$2" "$conf/$1.conf"; then
        rm -f -- "$2" || die "$2 cannot be removed"
        sync
        return 0
    fi
    (rename_file "$2" "$conf/$1.conf" -)
    name_status=$?
    if differ "$2" "$conf/$1.conf"; then
        rm -f "$run/naming" # another's was there first
        sync
    fi
    is_named "$1" "$2" || not_named "$1"
    [ "$name_status" = 0 ] || exit "$name_status"
}

not_named() { # CTID: what that means for the container depends on what vzctl says of whatever has its name
    case $(state_of "$1") in
        stopped | suspended | deleted) not_up "the config that was staged has not got its name" ;;
    esac
    ! there "$conf/$1.conf" || half_up "what is up here as $1 has another config than the one that was staged"
    die "the config of container $1 is gone, and it is $(state_of "$1")"
}

activate() { # CTID STAGED FENCE: see activate-config
    # Fenced until it has one name only: vzctl writes into what it starts, and then two names would be two files.
    name_config "$1" "$2"
    unfence "$conf/$1.conf" "$3" || exit 1
}

ensure_up() { # CTID PRIVATE ROOT DEVICE IDENTITY DUMPDIR STATE DUMPFILE; see ensure-up
    # It is not ended if it cannot go on: it has its memory, and whoever mends that can let it go on.
    ! frozen_here "$@" || go_on "$@" || not_up "container $1 still stands still, with all that it has in mind"
    end_what_was_told "$1" "$2" "$3"
    case $(state_of "$1") in
        running | "$7")
            # [seen] A hook that hides its failure lets a container come up on the stale files under the mount point.
            if [ "$4" != - ] && ! stands "$2" "$3" "$4" && may_be_taken_down "$2" "$4" "$5"; then
                stop_container "$1" "$2" "$3"
                bring_up "$@"
            fi
            ;;
        *) bring_up "$@" ;;
    esac
    # It runs on: what this run wrote down of it, or half of that, must never be taken up.
    if [ "$7" = running ] && of_this_run; then
        wake "$1" "$3"
        forget_dump "$6/Dump.$1"
        used_up
    fi
    [ "$7" != running ] || [ ! -f "$run/killing" ] || [ -f "$run/taken" ] || mark taken
    [ ! -f "$run/anew" ] || echo "container $1 was started anew: its memory is lost" >&2
    if [ "$4" = - ]; then
        # A hook may have mounted something of its own over the files that were brought here.
        [ -z "$(mounted_at "$2")" ] || die "container $1 is $7, but something is mounted over $2"
        return 0
    fi
    stands "$2" "$3" "$4" || die "container $1 is $7, but not on $4"
}

stands() { # PRIVATE ROOT DEVICE: is it at PRIVATE, and was it so when ROOT was mounted? (mountinfo is in that order)
    device_number=$(number "$3") || exit 1
    [ "$(mounted_at "$1")" = "$device_number" ] || return 1
    below=$(escaped "$(real "$1")") above=$(escaped "$(real "$2")") awk '
        $5 == ENVIRON["below"] { one = NR }
        $5 == ENVIRON["above"] { other = NR }
        END { exit other && other < one }' /proc/self/mountinfo
}

may_be_taken_down() { # PRIVATE DEVICE IDENTITY: is it up on the stale files under PRIVATE, and can DEVICE be had now?
    device_number=$(number "$2") || exit 1
    case $(mounted_at "$1") in
        "$device_number") same_disk "$2" "$3" ;;
        "") (prove_not_held "$2" "$3") ;;
        *) return 1 ;;
    esac
}

bring_up() { # as ensure_up
    if [ "$7" = running ]; then
        fetch_carrier "$1"
        # A start of a mounted container would unmount it, hooks and all, and mount it again ([seen]).
        [ "$(state_of "$1")" != mounted ] || vz umount "$1"
        if [ -n "$pivot" ] && [ "$8" != - ]; then
            not_up "container $1 does not stand still any more: it is gone"
        elif there "$6/Dump.$1"; then
            of_this_run || not_up "$6/Dump.$1 is there: vzctl start would put old memory on a newer disk"
            [ "$4" = - ] || mount_device "$4" "$5" "$2" any
            if take_up "$@"; then
                return 0
            fi
            [ -z "$pivot" ] || not_up "container $1 did not come up with its memory"
            forget_dump "$6/Dump.$1"
        elif [ -n "$pivot" ] && [ -f "$run/put-dump" ]; then
            not_up "$6/Dump.$1 is gone, which this run had put there"
        fi
        if [ "$8" != - ]; then
            [ "$4" = - ] || mount_device "$4" "$5" "$2" any
            if take_up_file "$@"; then
                return 0
            fi
        fi
        ! had_memory || mark anew
        # --force passes the fence, ours or the owner's ([seen] exit 105 otherwise).
        set -- "$1" "$2" "$3" "$4" "$5" "$6" "$7" start "$1" --force
    else
        set -- "$1" "$2" "$3" "$4" "$5" "$6" "$7" mount "$1"
    fi
    [ "$4" = - ] || mount_device "$4" "$5" "$2" any
    vz "$8" "$9" ${10:+"${10}"}
    vzctl_status=$?
    if [ "$4" = - ] && [ -n "$(mounted_at "$2")" ]; then
        (stop_container "$1" "$2" "$3") || die "container $1 runs on what a hook has mounted over $2"
        not_up "a hook mounts something over $2; container $1 was stopped again"
    fi
    is_now=$(state_of "$1")
    if [ -n "$pivot" ] && [ "$7" = running ] && [ "$vzctl_status" = 0 ] && [ "$is_now" != running ]; then
        # What ran may have written, however soon it ended.
        die "container $1 was started, and it is down again: vzctl says that it is $is_now"
    fi
    case $is_now in
        "$7") ;;
        stopped | suspended | deleted) not_up "container $1 did not $8 (vzctl: exit status $vzctl_status)" ;;
        mounted)
            vz umount "$1"
            [ "$(state_of "$1")" != mounted ] || half_up "container $1 did not $8 and is still mounted"
            [ "$(state_of "$1")" = stopped ] || die "container $1 did not $8; its state is not known"
            not_up "container $1 did not $8 (vzctl: exit status $vzctl_status)"
            ;;
        *) die "container $1 was to $8; its state is not known" ;;
    esac
}

# --- the fence ------------------------------------------------------------------------------------------------

has_content() { # PATH SHA256: "-" for any
    [ "$2" = - ] || [ "$(checksum <"$1")" = "$2" ]
}

replace() { # PATH SUM COMMAND...: what that says, to its end, takes the place of PATH, which must still have that checksum
    old=$1 old_sum=$2
    shift 2
    new=$(beside "$old")
    rm -f "$new" # half of an earlier try; were it a link, what it leads to would be written over
    # No pipe: of one that was cut short the end could not tell.
    cp -p "$old" "$new" && "$@" >"$new" || {
        rm -f "$new" # else what is beside a file that this run made says that it is another's
        die "$new cannot be written"
    }
    sync
    [ "$(sha256sum <"$old")" = "$old_sum" ] || {
        rm -f "$new"
        die "$old was changed by someone else meanwhile"
    }
    mv -f "$new" "$old" || {
        rm -f "$new"
        die "$old cannot be replaced"
    }
    sync
}

with_lines() { printf '%s\n' "$2" && cat "$1"; } # PATH LINES: before all others

without_lines() { head -n "$2" "$1" && tail -n "+$3" "$1"; } # PATH LAST NEXT: up to the one, and from the other on

still_forbidden() { # CONFIG: whoever starts it next takes up whatever dump waits, and one on its own device only as
    # long as the fence says where.
    of_this_run && { [ -f "$run/taken" ] || [ -f "$run/carrier" ]; } || return 0
    case $1 in *.conf) die "start stays forbidden: it is not sure yet that the memory dump of this run is used up" ;; esac
}

unfence() { # CONFIG FENCE: take exactly our lines out, wherever they stand; keep what others wrote
    rm -f "$(beside "$1")" # of a replacement that was stopped half way
    [ -f "$1" ] && [ ! -L "$1" ] || die "$1 is not a file"
    sum=$(sha256sum <"$1")
    line=$(grep -n -F -x -e "${2%%
*}" "$1")
    case $? in
        0) line=${line%%:*} ;;
        1) return 0 ;;
        *) die "$1 cannot be read" ;;
    esac
    lines=$(printf '%s\n' "$2" | wc -l)
    [ "$(sed -n "$line,$((line + lines - 1))p" "$1")" = "$2" ] ||
        die "$1: the fence was changed by someone; take it out by hand"
    replace "$1" "$sum" without_lines "$1" $((line - 1)) $((line + lines))
}
