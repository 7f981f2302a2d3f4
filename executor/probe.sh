# shellcheck shell=sh disable=SC2154,SC2012 # names come from library.sh; names of files go into base64, whole
# The probe: everything that vzplan wants to know of a hardware node, said in one go. It only looks.
# POSIX sh and RHEL 6 class tools; PATH and LC_ALL are set by the session. Set before this text, in the environment:
# `measured`, the number of a container whose files are counted; `expected`, that of one which may have no config here
# and whose areas are looked at all the same; `more`, further paths to look at, one a line; `recent`, if it is to be told
# how much of the measured one's files was written in the last so many minutes. And `reach_peers`, a function that says
# which nodes this one reaches by ssh, and how fast they take what it sends.
#
# One record a line, words separated by single blanks; what could hold anything (texts, paths, names) is base64, for
# texts and lists behind ".", or stands behind "=" if nothing in it could be mistaken; "-" stands for nothing. The last
# record counts the lines before it, so that an answer cut short is noticed. Most of its time goes into starting programs;
# so it starts few: a function whose output is taken costs one more than the program that it calls.
# Configs are data here: never sourced, never evaluated. The planner reads them itself; what `areas` makes of them
# decides only which paths are looked at.

newline='
'

look() { timeout -s KILL 30 "$@" 2>/dev/null </dev/null; }

word() { # TEXT as one word, into $word
    case ${1-} in
        '') word=- ;;
        *[!0-9A-Za-z./:_@-]*) word=$(printf '%s' "$1" | base64 -w 0) ;;
        *) word="=$1" ;;
    esac
}

# --- the node -------------------------------------------------------------------------------------------------

node() {
    echo "boot $(boot_id)"
    if [ -e /proc/vz/veinfo ] || [ -e /var/lock/subsys/vz ] || look systemctl -q is-active vz ||
        look /etc/init.d/vz status >/dev/null; then
        echo 'vz yes'
    elif [ -x /etc/init.d/vz ] || [ -d /run/systemd/system ]; then
        echo 'vz no'
    else
        echo 'vz unknown'
    fi
    for tool in base64 blkid blockdev btrfs criu dumpe2fs e2fsck find flock getfattr lvs mke2fs mkfifo mkfs.xfs mount \
        multipath ploop rsync setsid sg_persist sha256sum ssh sync timeout tune2fs umount vzctl vzlist vzquota; do
        ! command -v "$tool" >/dev/null || echo "tool $tool"
    done
    stat -c %n /proc/cpt /proc/rst 2>/dev/null | sed 's/^/tool /' # the kernel's own, of staged checkpoints
    [ ! -f /etc/vz/vz.conf ] || echo "vzconf .$(base64 -w 0 </etc/vz/vz.conf)"
}

# --- containers, scripts, locks, owners -----------------------------------------------------------------------

containers() {
    [ -d "$conf" ] || return
    echo "confnames .$(ls -1A "$conf" | base64 -w 0)"
    for file in "$conf"/*; do
        [ -f "$file" ] || continue
        name=${file##*/}
        case ${name%.*} in vps) ;; *[!0-9]* | '' | 0*) continue ;; esac
        case $name in
            vps.conf) ;;
            *.conf)
                ctid=${name%.conf}
                said=$(timeout -s KILL 30 vzctl status "$ctid" 2>/dev/null </dev/null | base64 -w 0)
                echo "container $ctid .$said .$(base64 -w 0 <"$file")"
                ;;
            *.start | *.stop | *.mount | *.umount | *.premount | *.postumount)
                word "$name"
                echo "script $word $(stat -L -c %a "$file") .$(base64 -w 0 <"$file")"
                ;;
        esac
    done
}

locks() { # LOCKDIR
    for file in "$1"/*.lck; do
        name=${file##*/}
        case ${name%.lck} in *[!0-9]* | '' | 0*) continue ;; esac
        pid=$(first_line "$file")
        case $pid in
            '' | *[!0-9]*) alive=unknown ;;
            *) if [ -d "/proc/$pid" ]; then alive=yes; else alive=no; fi ;;
        esac
        echo "lock ${name%.lck} $alive"
    done
}

owners() {
    for file in "$VZPLAN_HOME"/owners/*; do
        case ${file##*/} in *[!0-9]* | 0*) continue ;; esac
        if [ ! -f "$file" ] || [ -L "$file" ]; then # nothing that a run makes, and whatever it is it is in the way
            [ ! -e "$file" ] && [ ! -L "$file" ] || echo "owner ${file##*/} . ."
            continue
        fi
        echo "owner ${file##*/} .$(sed -n 's/^run=//p' "$file" | base64 -w 0) .$(sed -n 's/^control=//p' "$file" | base64 -w 0)"
    done
}

# --- paths ----------------------------------------------------------------------------------------------------

areas() { # "HOW<tab>PATH" for each path to look at: dir (what is there), list (and the names in it), locks, reboots
    # And of each container "rooted<tab>CTID<tab>VE_ROOT" and "dumped<tab>CTID<tab>DUMP".
    set -- /dev/null # every config that vzctl would read, after the node's own
    [ ! -f /etc/vz/vz.conf ] || set -- "$@" /etc/vz/vz.conf
    for file in "$conf"/[1-9]*.conf; do
        name=${file##*/}
        case ${name%.conf} in *[!0-9]*) ;; *) [ ! -f "$file" ] || set -- "$@" "$file" ;; esac
    done
    # shellcheck disable=SC2016 # awk's own
    awk '
        function put(how, path, sure) {
            if (!sure && (path !~ /^\// || path ~ /[$`\\\t]/)) return
            if (path == "" || (path in hows && hows[path] != "dir")) return
            if (!(path in hows)) order[++count] = path
            hows[path] = how
        }
        function parent(path) { sub(/\/[^\/]*$/, "", path); return path == "" ? "/" : path }
        function filled(name, ctid) {
            text = (ctid, name) in set ? set[ctid, name] : set[0, name]
            gsub(/[$][{](VEID|CTID)[}]|[$](VEID|CTID)/, ctid, text)
            return text
        }
        BEGIN {
            set[0, "VE_PRIVATE"] = "/vz/private/$VEID"; set[0, "VE_ROOT"] = "/vz/root/$VEID"
            set[0, "DUMPDIR"] = "/vz/dump"; set[0, "LOCKDIR"] = "/vz/lock"
            set[0, "VZREBOOTDIR"] = "/var/lib/vzctl/vzreboot"
            ctids[0]
        }
        FNR == 1 {
            ctid = FILENAME
            sub(/.*\//, "", ctid)
            sub(/[.]conf$/, "", ctid)
            if (ctid == "vz") ctid = 0
            ctids[ctid]
        }
        match($0, /^[ \t]*(VE_PRIVATE|VE_ROOT|DUMPDIR|LOCKDIR|VZREBOOTDIR)[ \t]*=/) {
            name = substr($0, 1, RLENGTH); value = substr($0, RLENGTH + 1)
            gsub(/[ \t=]/, "", name)
            # Of a parameter that stands twice vzctl takes the first; the boot script, which sources vz.conf, the last.
            if ((ctid, name) in seen && name != "VZREBOOTDIR") next
            seen[ctid, name]
            sub(/^[ \t]+/, "", value)
            quote = substr(value, 1, 1)
            if (quote == "\"") { value = substr(value, 2); sub(/".*/, "", value) }
            else if (quote == "\047") { value = substr(value, 2); sub(/\047.*/, "", value) }
            else sub(/[ \t\r].*/, "", value)
            if (value != "") set[ctid, name] = value
        }
        END {
            put("locks", set[0, "LOCKDIR"])
            print "reboots\t" set[0, "VZREBOOTDIR"]
            for (ctid in ctids) if (ctid != 0) {
                print "rooted\t" ctid "\t" filled("VE_ROOT", ctid)
                print "dumped\t" ctid "\t" filled("DUMPDIR", ctid) "/Dump." ctid
            }
            if (ENVIRON["expected"] != "") ctids[ENVIRON["expected"]]
            for (ctid in ctids) {
                put("list", filled("DUMPDIR", ctid))
                put("list", parent(filled("VE_PRIVATE", ctid)))
                put("list", parent(filled("VE_ROOT", ctid)))
                if (ctid != 0) { put("dir", filled("VE_PRIVATE", ctid)); put("dir", filled("VE_ROOT", ctid)) }
            }
            ctid = ENVIRON["measured"]
            if (ctid in ctids) print "measure\t" filled("VE_PRIVATE", ctid) "\t" filled("VE_ROOT", ctid)
            extras = split(ENVIRON["more"], extra, "\n")
            for (i = 1; i <= extras; i++) if (extra[i] != "") { put("dir", extra[i], 1); put("list", parent(extra[i]), 1) }
            for (i = 1; i <= count; i++) print hows[order[i]] "\t" order[i]
        }' "$@"
}

listed() { # DIRECTORY -> into $names those in it, one a line, and "/", which is none; nothing if they cannot be read
    if names=$(ls -1A "$1/" 2>/dev/null); then
        names=$names${names:+$newline}/
    else
        names=
    fi
}

path() { # HOW PATH: what lies there
    kind=other
    empty=-
    entries=-
    names=
    [ "$1" = dir ] || [ ! -d "$2" ] || listed "$2" # of a link to a directory those behind it are wanted too
    word "$2"
    place=$word
    if [ -L "$2" ]; then
        kind=symlink
    elif [ -d "$2" ]; then
        kind=directory
        for each in "$2"/*; do
            case ${each##*/} in '*' | 'lost+found') ;; *) empty=no && break ;; esac
        done
        # The shell finds no names beginning with a dot, and a directory that cannot be read is not called empty.
        [ "$1" != dir ] || [ "$empty" = no ] || listed "$2"
        [ "$empty" = no ] || case $names in
            '') ;;
            / | "lost+found
/") empty=yes ;;
            *) empty=no ;;
        esac
    elif [ -f "$2" ]; then
        kind='file'
    elif [ ! -e "$2" ]; then
        echo "path $place absent - - -"
        return
    fi
    [ "$1" = dir ] || [ -z "$names" ] || entries=.$(printf '%s' "${names%/}" | base64 -w 0)
    word "$(real "$2")"
    echo "path $place $kind $word $empty $entries"
}

reboots() { # VZREBOOTDIR: which containers the boot script starts, unless their configs say ONBOOT=no
    case $1 in [!/]* | *[\$\`\\]*) return ;; esac # only a shell could say where it is
    if [ ! -e "$1" ]; then
        echo 'reboots -'
    else
        listed "$1"
        [ -z "$names" ] || echo "reboots .$(printf '%s' "${names%/}" | base64 -w 0)"
    fi
}

usage() { # PRIVATE ROOT: what lies there, in kilobytes and inodes; by the filesystem's own count where it has one
    place=
    if [ -n "$(mounted_at "$1")" ]; then
        place=$1
    elif place=$(escaped "$(real "$2")") awk '$5 == ENVIRON["place"] && / - simfs / { found = 1 }
        END { exit !found }' /proc/self/mountinfo; then
        place=$2
    fi
    if [ -n "$place" ]; then
        kilobytes=$(look df -P -k "$place" | awk 'NR == 2 { print $3 }')
        inodes=$(look df -P -i "$place" | awk 'NR == 2 { print $3 }')
        # btrfs does not count them.
        [ "$inodes" != 0 ] || inodes=$(timeout -s KILL 3600 find "$place" -xdev 2>/dev/null | wc -l)
    else
        kilobytes=$(timeout -s KILL 3600 du -skx "$1" 2>/dev/null | cut -f 1)
        inodes=$(timeout -s KILL 3600 find "$1" -xdev 2>/dev/null | wc -l)
    fi
    case $kilobytes$inodes in '' | *[!0-9]*) return ;; esac
    word "$1"
    echo "usage $word $kilobytes $inodes"
    # 1: a file vanished meanwhile, as they do while it runs. Anything else (it took too long) says nothing.
    [ -z "$recent" ] || {
        timeout -s KILL 120 find "$1" -xdev -type f -mmin "-$recent" -printf '%s\n' 2>/dev/null
        echo "status $?"
    } | awk -v place="$word" '
        $1 == "status" { if ($2 < 2) printf "recent %s %.0f\n", place, sum; exit }
        { sum += $1 }'
}

# --- memory ---------------------------------------------------------------------------------------------------

processes() { # <"CTID VE_ROOT" a line -> "CTID PID KILOBYTES LOCAL" of each process of a container
    # Which are its: its kernel says so (envID), or its control group, or else their root. LOCAL: to this node, too, its
    # root is at VE_ROOT or below, so that what it has open has the same path here.
    # What a process calls its root may have the end of a line in it.
    {
        sed 's/^/rooted /'
        find /proc/[0-9]*/root -maxdepth 0 -printf 'at %p %l\0' 2>/dev/null | tr '\n\000' '?\n'
        grep -s -E '^(VmRSS|VmSwap|envID):|:/[1-9]' /proc/[0-9]*/status /proc/[0-9]*/cgroup
    } | awk '
        function after(blanks, rest) {
            for (rest = $0; blanks > 0; blanks--) rest = substr(rest, index(rest, " ") + 1)
            return rest
        }
        $1 == "rooted" { at[after(2)] = $2; known[$2]; next }
        { split($1 == "at" ? $2 : $1, part, "[/:]"); pid = part[3] }
        $1 == "at" {
            for (root = after(2); root != ""; sub("/[^/]*$", "", root)) if (root in at) { owner[pid] = at[root]; break }
            next
        }
        part[4] == "status" && $1 ~ /:envID:$/ { if ($2 > 0) env[pid] = $2; next }
        part[4] == "status" { sub(/^[^:]*:/, ""); if (/^Vm/) kilobytes[pid] += $2; next }
        part[4] == "cgroup" {
            group = $0
            sub(/^[^:]*:[^:]*:[^:]*:\//, "", group)
            sub(/\/.*/, "", group)
            if (group in known) grouped[pid] = group
        }
        END {
            for (pid in kilobytes) {
                ctid = pid in env ? env[pid] : pid in grouped ? grouped[pid] : pid in owner ? owner[pid] : ""
                if (ctid in known) print ctid, pid, kilobytes[pid], owner[pid] == ctid ? "yes" : "no"
            }
        }'
}

residents() { # <PROCESSES: how much memory the processes of each container have, in kilobytes
    awk 'NF { sum[$1] += $3 } END { for (ctid in sum) printf "resident %s %.0f\n", ctid, sum[ctid] }'
}

dump() { # CTID DUMP: how large the memory is that waits for it
    [ -e "$2" ] || return 0
    kilobytes=$(look du -s -k "$2" | cut -f 1)
    case $kilobytes in '' | *[!0-9]*) ;; *) echo "dump $1 $kilobytes" ;; esac
}

below() { # <"CTID VE_ROOT" a line -> "CTID POINT" of each mount below a container's root area
    {
        sed 's/^/rooted /'
        cat /proc/self/mountinfo
    } | awk '
        $1 == "rooted" { ctid = $2; sub(/^rooted [^ ]* /, ""); roots[$0] = ctid; next }
        / - (autofs|cgroup2?|devpts|devtmpfs|mqueue|proc|sysfs|tmpfs) / { next }
        {
            point = $5
            gsub(/\\040/, " ", point)
            gsub(/\\011/, "\t", point)
            gsub(/\\134/, "\\", point)
            top = point
            while (sub("/[^/]*$", "", top) && top != "") if (top in roots) { print roots[top], point; next }
        }'
}

outside() { # <"CTID POINT" a line, PROCESSES: does one of the container's have a file open there?
    while read -r ctid point; do
        used=$(printf '%s\n' "$1" | awk -v ctid="$ctid" '
            $1 == ctid { found = 1; print $4 == "yes" ? $2 : "?" }
            END { if (!found) print "?" }' | holding "$point")
        word "$point"
        echo "outside $word ${used:-unknown}"
    done
}

holding() { # <PIDS, "?" for one that cannot be looked at; POINT -> yes or no; nothing if that is not known
    pids=$(cat)
    case $pids in *'?'*) return ;; esac
    for pid in $pids; do
        find "/proc/$pid/fd" "/proc/$pid/cwd" "/proc/$pid/root" -printf '%l\0' 2>/dev/null | tr '\n\000' '?\n'
        cat "/proc/$pid/maps" 2>/dev/null
    done | at=$1 awk '
        { sub("^[^/]*", "") }
        $0 == ENVIRON["at"] || index($0, ENVIRON["at"] "/") == 1 { found = 1 }
        END { print found ? "yes" : "no" }'
}

machine() { # what a memory that comes here, or is made here, depends on
    word "$(uname -m)"
    cpu=$word
    word "$(awk -F ':' '/^(flags|Features)[ \t]*:/ { print $2; exit }' /proc/cpuinfo)"
    echo "cpu $cpu $word"
    ! command -v vzcptcheck >/dev/null || for what in version caps; do
        number=$(look vzcptcheck $what)
        case $number in '' | *[!0-9]*) ;; *) echo "cpt $what $number" ;; esac
    done
    awk '/^MemAvailable:/ { available = $2 }
        /^(MemFree|Cached):/ { sum += $2; found++ }
        END { if (available != "") print "available", available; else if (found == 2) print "available", sum }' /proc/meminfo
    if [ -e /proc/net/if_inet6 ]; then
        echo 'ipv6 yes'
    elif [ -e /proc/net/dev ]; then
        echo 'ipv6 no'
    fi
    ! command -v criu >/dev/null || criu_check
}

criu_check() { # can CRIU work with this kernel?
    # It keeps what it found out in /run/criu.kdat, and newer ones try things in tmp: both are another's for it, in a
    # mount namespace of its own, where what an earlier one found out still counts.
    # shellcheck disable=SC2016 # for the inner shell
    said=$(timeout -s KILL 60 unshare -m sh -c '
        cd / && mount --make-rprivate / && exec 3</dev/null || exit
        [ ! -f /run/criu.kdat ] || exec 3</run/criu.kdat
        mount -t tmpfs none tmp && mount -t tmpfs none run && cd /run || exit
        cat <&3 >criu.kdat
        [ -s criu.kdat ] || rm criu.kdat
        criu check 3<&-
        echo "status $?"' </dev/null 2>&1)
    case $said in # without one it was not asked; signals end with more than 125, old ones say -1
        *'status 0') works=yes ;;
        *'status '[1-9] | *'status '[1-9][0-9] | *'status 1'[01][0-9] | *'status 12'[0-5] | *'status 255') works=no ;;
        *) works=unknown ;;
    esac
    last= # of its lines
    while [ -n "$said" ]; do
        last=${said##*"$newline"}
        case $last in '' | 'status '[0-9]*) last= ;; *) break ;; esac
        case $said in *"$newline"*) said=${said%"$newline"*} ;; *) break ;; esac
    done
    word "$(printf '%.200s' "$last")"
    echo "criu $works $word"
}

# --- other nodes ------------------------------------------------------------------------------------------------

# What a peer does with what it is sent: it counts, from the first byte on, in pieces that double, to 32 MiB or past two
# seconds, and says how many bytes in how many hundredths of a second.
# shellcheck disable=SC2016 # expanded over there
taker='
    now() { IFS=". " read -r seconds hundredths rest </proc/uptime && echo $((seconds * 100 + 1$hundredths - 100)); }
    dd bs=1 count=1 2>/dev/null >/dev/null
    began=$(now)
    bytes=0
    piece=65536
    while [ "$bytes" -lt 33000000 ] && [ $(($(now) - began)) -lt 200 ]; do
        taken=$(head -c "$piece" | wc -c)
        [ "$taken" -gt 0 ] || break
        bytes=$((bytes + taken))
        piece=$((piece * 2))
    done
    echo "$bytes" $(($(now) - began))'

speed() { # NAMED SSH...: how fast the peer, which is called so in the answer, takes what this node sends; nothing is kept
    named=$1
    shift
    said=$(dd if=/dev/zero bs=65536 count=520 2>/dev/null | timeout -s KILL 30 "$@" "exec sh -c '$taker'" 2>/dev/null)
    case $said in '' | *[!0-9\ ]*) ;; *) echo "speed $named $said" ;; esac
}

# --- devices and mounts ---------------------------------------------------------------------------------------

names() { # "MAJOR MINOR NAME..." in hexadecimal for every block device that has a name in /dev, links followed
    find /dev -xdev \( -path /dev/block -o -path /dev/char -o -path /dev/.udev \) -prune -o \
        \( -type b -o -type l \) -print0 2>/dev/null |
        xargs -0 stat -L -c '%F|%t %T|%n' 2>/dev/null |
        awk -F '|' '$1 == "block special file" && $3 !~ /[ *?[]/ { names[$2] = names[$2] " " $3 }
            END { for (number in names) print number names[number] }'
}

device() { # NUMBER NAME...
    device_number=$1
    shift
    sys=$sysdev/$device_number
    sectors=
    { read -r sectors <"$sys/size"; } 2>/dev/null
    case $sectors in '' | 0) return ;; esac # no device behind the name
    identify "$1" "$device_number"
    word "$identity"
    id=$word
    free=$(exclusive "$1")
    details=-
    case $type in
        ext[234]) details=.$(timeout -s KILL 30 dumpe2fs -h "$1" 2>/dev/null </dev/null | base64 -w 0) ;;
        xfs) details=.$(look dd if="$1" bs=512 count=1 | base64 -w 0) ;;
        btrfs*) details=.$(look dd if="$1" bs=512 skip=128 count=1 | base64 -w 0) ;;
    esac
    word "$(timeout -s KILL 30 blkid -c /dev/null -s LABEL -o value "$1" 2>/dev/null </dev/null)"
    label=$word
    read_only=
    { read -r read_only <"$sys/ro"; } 2>/dev/null || read_only=$(look blockdev --getro "$1") # old kernels: not of partitions
    holders=
    for each in "$sys"/holders/*; do
        [ ! -e "$each" ] || holders="$holders${holders:+
}${each##*/}"
    done
    word "$holders"
    holders=$word
    case $* in
        *[!0-9A-Za-z./:_@\ -]*) word "$*" ;;
        *) # clean, so without a comma
            IFS=,
            word="=$*"
            unset IFS # as it is at first
            ;;
    esac
    echo "device $device_number $word $id $label ${read_only:--} $holders $free $details"
}

devices() {
    names | while read -r major minor rest; do
        major=$((0x$major))
        case $major in 1 | 2 | 11) continue ;; esac # memory, floppy and optical disks: slow to ask, never a container's
        # shellcheck disable=SC2086 # names without blanks
        device "$major:$((0x$minor))" $rest
    done
}

mounter() { # FILE DEVICE POINT
    word "$1"
    file_word=$word
    word "$2"
    what_word=$word
    word "$3"
    echo "mounter $file_word $what_word $word"
}

mounters() { # what mounts devices by itself, whatever containers' configs say
    { look cat /etc/fstab; echo; } | while read -r what point _; do
        case $what in /dev/* | UUID=* | LABEL=* | PARTUUID=* | PARTLABEL=*)
            mounter /etc/fstab "$what" "$point"
            ;;
        esac
    done
    for file in /etc/systemd/system/*.mount /run/systemd/system/*.mount; do
        [ -f "$file" ] || continue
        mounter "$file" "$(sed -n 's/^What=//p' "$file" | head -n 1)" "$(sed -n 's/^Where=//p' "$file" | head -n 1)"
    done
    for file in /etc/auto.*; do
        [ -f "$file" ] || continue
        sed -n 's/^\([^#[:space:]]*\)[[:space:]].*[[:space:]]:\(\/dev\/[^[:space:]]*\).*/\2 \1/p' "$file" |
            while read -r what point; do
                mounter "$file" "$what" "$point"
            done
    done
}

activation() { # what LVM activates by itself: its configs, without the comments, which are most of them
    for file in /etc/lvm/lvm.conf /etc/lvm/lvmlocal.conf; do
        [ -f "$file" ] || continue
        word "$file"
        echo "lvm $word .$(sed -e '/^[[:space:]]*#/d' -e '/^[[:space:]]*$/d' "$file" | base64 -w 0)"
    done
}

mounts() { # each line of mountinfo, without what is of no interest: pseudo filesystems, the same mount seen twice
    sed 's/^/mount /' /proc/self/mountinfo
    cat /proc/[0-9]*/mountinfo 2>/dev/null | cut -d ' ' -f 3- | sort -u |
        grep -e '^[1-9]' -e ' - [^ ]* /' | sed 's/^/elsewhere 0 0 /' # of a device, or with a path as its source
}

# --------------------------------------------------------------------------------------------------------------

say() {
    node
    containers
    owners
    areas | {
        roots=
        while IFS="$tab" read -r how what more; do
            case $how in
                measure) usage "$what" "$more" ;;
                reboots) reboots "$what" ;;
                rooted) roots=$roots$what' '$(real "$more")"
" ;;
                dumped) dump "$what" "$more" ;;
                locks)
                    path "$how" "$what"
                    locks "$what"
                    ;;
                *)
                    path "$how" "$what"
                    [ ! -e "$what/root.hdd" ] || path dir "$what/root.hdd" # a ploop image
                    ;;
            esac
        done
        all=$(printf '%s' "$roots" | processes)
        printf '%s\n' "$all" | residents
        printf '%s' "$roots" | below | outside "$all"
    }
    # Another node may be slow to answer; meanwhile the rest is said.
    reach_peers | {
        machine
        devices
        mounters
        activation
        mounts
        look df -P -k -l | sed 's/^/bytes /'
        look df -P -i -l | sed 's/^/inodes /'
        cat
    }
}

say | awk '{ print } END { print "end " NR }'
