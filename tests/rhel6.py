"""The tools of a node of RHEL 6 class: each is the real one, behind a script that refuses what the old one has not.

What each of them takes is read off the manuals of that time: util-linux-ng 2.17, coreutils 8.4, findutils 4.4,
grep 2.6, gawk 3.1, rsync 3.0.6, e2fsprogs 1.41, OpenSSH 5.3, device-mapper 1.02, udev 147, vzctl 4.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

PATH: Final = "/sbin:/usr/sbin:/bin:/usr/bin"
REFUSED: Final = 64
"""Exit status of a call that the old tool would not understand."""
LOG: Final = "refused"
"""What was refused, for whoever swallows an error."""


class Old(NamedTuple):
    """What a tool took then: ``flags`` are letters, ``valued`` letters with a value, ``long`` whole words."""

    flags: str = ""
    valued: str = ""
    long: str = ""
    operands: int = 999  # at most
    leads: bool = False  # its first operand is another command, whose options are its own
    pairs: str = ""  # operands of the form NAME=VALUE, each NAME with the values that it takes ("*": any)
    whole: bool = False  # options are whole words behind one dash (find), not letters
    values: str = ""  # of options whose value is one of a few: "-o=value"


TOOLS: Final[dict[str, Old]] = {
    # coreutils 8.4
    "base64": Old("di", "w", "--decode --wrap --ignore-garbage", operands=1),
    "cat": Old("AbeEnstTuv"),
    "chmod": Old("cfvR", "", "--reference --recursive"),
    "cmp": Old("bls", "in", "--quiet --silent"),
    "cp": Old("abdfHilLnPprRsTuvx", "St", "--preserve --no-preserve --parents --sparse --remove-destination"),
    "cut": Old("sn", "bcdf", "--complement --output-delimiter"),
    "date": Old("Ru", "dfrsI", "--utc --date", operands=1),
    "dd": Old(
        pairs="if=* of=* bs=* count=* skip=* seek=* "
        "conv=ascii,ebcdic,block,unblock,lcase,ucase,swab,sync,excl,nocreat,notrunc,noerror,fdatasync,fsync "
        "iflag=append,direct,directory,dsync,sync,fullblock,nonblock,noatime,nofollow "
        "oflag=append,direct,directory,dsync,sync,nonblock,noatime,nofollow"
    ),
    "df": Old("ahHiklPTv", "Btx", "--portability --inodes --local"),
    "du": Old("abcDHhklLmPsSx0", "BX", "--max-depth --exclude --one-file-system --summarize"),
    "diff": Old("abBdeEilnNpPqrstTuwy", "cCDFIlLSUWxX", "--brief --unified"),  # diffutils 2.8.1
    "head": Old("qv", "cn", "--lines --bytes"),
    "ln": Old("bdfFinsTv", "St", "--symbolic"),
    "ls": Old("aAbBcCdDfFgGhHiklLmnNopqQrRsStuUvxXZ1", "IwT", "--all --almost-all"),
    "mkdir": Old("pvZ", "m", "--mode --parents"),
    "mkfifo": Old("Z", "m", "--mode"),
    "od": Old("abcdfilosvx", "AjNStw", "--address-radix --format --skip-bytes --read-bytes"),
    "mv": Old("bfinuvT", "St", "--no-clobber --no-target-directory"),
    "readlink": Old("femnqsv", operands=1),  # of several it has come to know only later
    "rm": Old("fiIrRv", "", "--one-file-system --no-preserve-root --preserve-root"),
    "rmdir": Old("pv", "", "--ignore-fail-on-non-empty --parents"),
    "sha256sum": Old("bctw", "", "--check --status"),
    "sleep": Old(),
    "sort": Old("bcCdfghimMnrRsuVz", "ktSTo", "--unique --key"),
    "stat": Old("LfZt", "c", "--format --printf --dereference --terse"),
    "sync": Old(operands=0),
    "tail": Old("fFqv", "cns", "--lines --bytes --pid --retry"),
    "timeout": Old("", "s", "--signal", leads=True),
    "tr": Old("cCdst", operands=2),
    "uname": Old("asnrvmpio", operands=0),
    "wc": Old("cmlLw", "", "--lines"),
    # text
    "awk": Old("", "fFv", "--posix --re-interval", leads=True),
    "grep": Old(
        "EFGPbcHhilLnoqRrsvwxzZaIU", "efmABCdD", "--quiet --fixed-strings --line-regexp --include --exclude"
    ),
    "sed": Old("nrsui", "efl", "--quiet --expression --regexp-extended"),
    "xargs": Old("0prtx", "adEILnPs", "--null --no-run-if-empty", leads=True),
    "find": Old(
        whole=True,
        long="-H -L -P -amin -anewer -atime -cmin -cnewer -ctime -daystart -delete -depth -empty -exec -execdir -false "
        "-fprint -fprint0 -fprintf -fstype -gid -group -ilname -iname -inum -ipath -iregex -iwholename "
        "-links -lname -ls "
        "-maxdepth -mindepth -mmin -mount -mtime -name -newer -newerXY -nogroup -noleaf -nouser -not -o "
        "-a -or -and -ok "
        "-okdir -path -perm -print -print0 -printf -prune -quit -readable -executable -writable -regex -regextype "
        "-samefile -size -true -type -uid -used -user -wholename -xdev -xtype",
    ),
    # util-linux-ng 2.17
    "blkid": Old("glvp", "cotswLUOS", values="-o=value -o=list -o=full -o=device -o=udev"),
    "blockdev": Old(
        "qv",
        "",
        "--setro --setrw --getro --getss --getpbsz --getiomin --getioopt --getalignoff --getmaxsect --getbsz --setbsz "
        "--getsize --getsize64 --setra --getra --setfra --getfra --flushbufs --rereadpt --report",
    ),
    "flock": Old("senxuo", "wc", "--shared --exclusive --nonblock --unlock --wait", leads=True),
    "mount": Old(
        "afFhilnrsvVw",
        "LUtoOp",
        "--bind --rbind --move --make-shared --make-slave --make-private --make-unbindable "
        "--make-rshared --make-rslave "
        "--make-rprivate --make-runbindable --verbose",
    ),
    "setsid": Old("", "", "", leads=True),
    "umount": Old("adfhilnrvV", "tO", "--fake --no-canonicalize"),
    "unshare": Old("muinh", "", "--mount --uts --ipc --net", leads=True),
    # file systems and devices
    "dmsetup": Old("cCnorvy", "ujmP", "--target --noheadings --columns --options --uuid"),
    "debugfs": Old("wciDnV", "bsfRzd", operands=1),
    "dumpe2fs": Old("bfhixV", "o", operands=1),
    "mke2fs": Old("cFnqSvV", "bCEfgGiIJlLmMNoOrtTU"),
    "tune2fs": Old("flV", "cCeEgiIjJLmMoOrTuU"),
    "scsi_id": Old(
        "gvVuxb", "dfps", "--whitelisted --replace-whitespace --device --page --export", operands=1
    ),
    # copies
    "rsync": Old(
        "vqcarRbudlLkKHpEAXogDtOSnWxCzh0PiIyF46m",
        "efTB",
        "--archive --acls --xattrs --hard-links --sparse --numeric-ids --one-file-system --timeout "
        "--contimeout --exclude "
        "--include --exclude-from --include-from --delete --delete-before --delete-during "
        "--delete-delay --delete-after "
        "--delete-excluded --stats --rsync-path --rsh --ignore-times --files-from --from0 --bwlimit --checksum "
        "--compress --compress-level --skip-compress --whole-file --no-whole-file --block-size --partial --partial-dir "
        "--dry-run --fuzzy --progress --verbose --itemize-changes --human-readable --ipv4 --ipv6 --inplace --append "
        "--append-verify --size-only --modify-window --blocking-io --sockopts --protect-args --no-inc-recursive",
    ),
    "ssh": Old("1246AaCfgKkMNnqsTtVvXxYy", "bcDeFIiLlmOopRSWw", leads=True),
    # what finds out which node it is on
    "systemctl": Old("q", "", "--quiet"),
    "vzctl": Old(
        long="--skiplock --quiet --fast --force --suspend --dump --dumpfile --undump --resume --kill --skip_arpdetect"
    ),
    "vzcptcheck": Old(),
    # where there is no staged checkpoint; no such node has it
    "criu": Old(),
}
"""``systemctl`` is not there on such a node; where it is, it is asked for no more than this."""

_SCRIPT: Final = r"""#!{sh}
# {name} of a RHEL 6 class node: the real one, unless it is told what the old one does not know.
refuse() {{
    echo "{name}: RHEL 6 has no $1" | tee -a {log} >&2
    exit {status}
}}
[ "${{1-}}" != --server ] || exec {real} "$@" # rsync's other end speaks as the newer of the two likes
ended=
value=
operands=0
for word; do
    if [ -n "$value" ]; then
        case " {values} " in
            *" $value=$word "*) ;;
            *" $value="*) refuse "$value $word" ;;
        esac
        value=
        continue
    fi
    [ -z "$ended" ] || continue
    case $word in
        --)
            [ {whole} = 0 ] || refuse --
            [ {leads} = 0 ] || break
            ended=-
            ;;
        --*) case " {long} " in *" ${{word%%=*}} "*) ;; *) refuse "$word" ;; esac ;;
        -?*)
            if [ {whole} = 1 ]; then
                [ "$word" != -exec ] || break # another command's words from here on
                case $word in -*[!0-9]*) ;; *) continue ;; esac # less than so much (find's -mmin)
                case " {long} " in *" $word "*) ;; *) refuse "$word" ;; esac
                continue
            fi
            rest=${{word#-}}
            while [ -n "$rest" ]; do
                letter=${{rest%"${{rest#?}}"}}
                rest=${{rest#?}}
                case {valued} in
                    *"$letter"*)
                        [ -n "$rest" ] || value=-$letter
                        rest=
                        continue
                        ;;
                esac
                case {flags} in *"$letter"*) ;; *) refuse "-$letter" ;; esac
            done
            ;;
        *)
            [ {leads} = 0 ] || break
            operands=$((operands + 1))
            [ "$operands" -le {operands} ] || refuse "operand $word"
            [ -z "{pairs}" ] || case " {pairs} " in
                *" ${{word%%=*}}=* "*) ;;
                *" ${{word%%=*}}="*)
                    known=" {pairs} "
                    known=${{known#*" ${{word%%=*}}="}}
                    known=,${{known%% *}},
                    rest=${{word#*=}},
                    while [ -n "$rest" ]; do
                        case $known in *",${{rest%%,*}},"*) ;; *) refuse "$word" ;; esac
                        rest=${{rest#*,}}
                    done
                    ;;
                *) refuse "$word" ;;
            esac
            ;;
    esac
done
exec {real} "$@"
"""


def script(name: str, real: str, log: str, sh: str = "/bin/sh") -> str:
    """The stand-in for a tool; ``real`` is what it becomes, ``log`` a file for what it refuses, ``sh`` what runs it."""
    old = TOOLS[name]
    return _SCRIPT.format(
        sh=sh,
        name=name,
        real=shlex.quote(real),
        log=shlex.quote(log),
        status=REFUSED,
        flags=f"_{old.flags}",
        valued=f"_{old.valued}",
        long=old.long,
        operands=old.operands,
        leads=int(old.leads),
        pairs=old.pairs,
        whole=int(old.whole),
        values=old.values,
    )


def lay(folder: Path, instead: Mapping[str, str] | None = None) -> None:
    """Every tool that this machine has, as a stand-in in ``folder``; ``instead``: what some of them become."""
    for name in TOOLS:
        real = (instead or {}).get(name) or shutil.which(name, path=PATH)
        if real is not None:
            (folder / name).write_text(script(name, real, str(folder / LOG)))
            (folder / name).chmod(0o755)
