"""The answer of ``executor/probe.sh`` -> ``NodeFacts``.

One record a line, words separated by single blanks; what could hold anything is base64, or stands as it is behind "=";
"-" is nothing. The last record counts those before it. An answer that is cut short, or says what no probe says, is
refused as a whole: facts that are half there would read as "no".
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections import defaultdict

from msgspec import structs

from planner.model import (
    FACTS_VERSION,
    Container,
    Cpu,
    Criu,
    Device,
    Filesystem,
    Known,
    Lock,
    Mount,
    Mounter,
    NodeFacts,
    Outside,
    Owner,
    Path,
    PathKind,
    Reach,
    Script,
    Usage,
)
from planner.parse import ParseError, df, dumpe2fs, lvm, mountinfo, status, superblock

NOTHING = "-"
_CTID = "[1-9][0-9]{0,9}"
NOT_FILESYSTEMS = frozenset({"LVM2_member", "swap", "crypto_LUKS", "linux_raid_member", "mpath_member"})


def facts(node: str, answer: str) -> NodeFacts:
    """The facts of ``node``.

    Raises:
        ParseError: the answer is cut short, or a record is not one of the probe's.
    """
    lines = answer.removesuffix("\n").split(
        "\n"
    )  # not splitlines: names may hold what that calls a line's end
    if lines[-1] != f"end {len(lines) - 1}":
        last = repr(lines[-1][:80]) if lines[-1] else "nothing"
        raise ParseError(f"the probe's answer is not whole; its last line is {last}")
    records: defaultdict[str, list[str]] = defaultdict(list)
    for line in lines[:-1]:
        kind, _, rest = line.partition(" ")
        records[kind].append(rest)
    unknown = sorted(records.keys() - KINDS)
    if unknown:
        raise ParseError(f"the probe's answer has a record {unknown[0][:40]!r}, which is none of its own")
    try:
        return _facts(node, records)
    except (ValueError, KeyError) as problem:
        raise ParseError(f"the probe's answer cannot be read: {problem}") from None


KINDS = frozenset(
    [
        "boot",
        "vz",
        "tool",
        "vzconf",
        "confnames",
        "container",
        "resident",
        "dump",
        "script",
        "lock",
        "owner",
        "path",
        "device",
        "mount",
        "elsewhere",
        "bytes",
        "inodes",
        "mounter",
        "lvm",
        "reboots",
        "usage",
        "recent",
        "reach",
        "speed",
        "cpu",
        "criu",
        "cpt",
        "available",
        "ipv6",
        "outside",
    ]
)


def _facts(node: str, records: defaultdict[str, list[str]]) -> NodeFacts:
    (boot_id,) = records["boot"]
    (vz_running,) = records["vz"]
    devices = tuple(map(_device, records["device"]))
    numbers = {name: device.number for device in devices for name in device.names}
    own = [_placed(m, numbers) for line in records["mount"] if (m := mountinfo.mount(line, elsewhere=False))]
    seen = {(m.device, m.root, m.point) for m in own}
    others = [
        _placed(m, numbers) for line in records["elsewhere"] if (m := mountinfo.mount(line, elsewhere=True))
    ]
    resident, dumps = (dict(map(_memory, records[kind])) for kind in ("resident", "dump"))
    cpt = dict(map(_cpt, records["cpt"]))
    recent, speeds = dict(map(_recent, records["recent"])), dict(map(_speed, records["speed"]))
    return NodeFacts(
        version=FACTS_VERSION,
        node=node,
        boot_id=boot_id,
        vz_running=Known(vz_running),
        vz_conf=_text(records["vzconf"][0]) if records["vzconf"] else None,
        tools=tuple(records["tool"]),
        containers=tuple(_container(line, resident, dumps) for line in records["container"]),
        conf_names=_names(records["confnames"][0]) if records["confnames"] else (),
        scripts=tuple(map(_script, records["script"])),
        devices=devices,
        mounts=(*own, *(m for m in _once(others) if (m.device, m.root, m.point) not in seen)),
        paths=_paths(records["path"]),
        locks=tuple(_lock(line) for line in records["lock"]),
        owners=tuple(map(_owner, records["owner"])),
        rooms=df.rooms(records["bytes"], records["inodes"]),
        mounters=tuple(map(_mounter, records["mounter"])),
        activations=lvm.activations(dict(map(_file, records["lvm"]))),
        reboots=_reboots(records["reboots"][0]) if records["reboots"] else None,
        usage=tuple(_usage(line, recent) for line in records["usage"]),
        reaches=tuple(_reach(line, speeds) for line in records["reach"]),
        cpu=_cpu(records["cpu"][0]) if records["cpu"] else None,
        criu=_criu(records["criu"][0]) if records["criu"] else None,
        cpt_version=cpt.get("version"),
        cpt_caps=cpt.get("caps"),
        available_bytes=_count(records["available"][0]) * 1024 if records["available"] else None,
        ipv6=Known(records["ipv6"][0]) if records["ipv6"] else Known.UNKNOWN,
        outside=tuple(map(_outside, records["outside"])),
    ).in_order()


def _placed(mount: Mount, numbers: dict[str, str]) -> Mount:
    """A btrfs, to which the kernel gives a number of no device, under that of the device which it names."""
    known = numbers.get(mount.source) if mount.type == "btrfs" else None
    return mount if known is None else structs.replace(mount, device=known)


def _container(line: str, resident: dict[int, int], dumps: dict[int, int]) -> Container:
    word, said, config = line.split(" ")
    ctid = _ctid(word)
    state = status.state(ctid, _text(said) or "")
    return Container(ctid, state, _text(config), resident.get(ctid), dumps.get(ctid))


def _memory(line: str) -> tuple[int, int]:
    ctid, kilobytes = line.split(" ")
    return _ctid(ctid), _count(kilobytes) * 1024


def _cpu(line: str) -> Cpu:
    machine, flags = line.split(" ")
    return Cpu(_sure(machine), tuple(sorted(set(_sure(flags).split()))))


def _criu(line: str) -> Criu:
    works, said = line.split(" ")
    return Criu(Known(works), _sure(said))


def _cpt(line: str) -> tuple[str, int]:
    what, number = line.split(" ")
    if what not in ("version", "caps"):
        raise ParseError(f"{what[:40]!r} is nothing that vzcptcheck is asked for")
    return what, _count(number)


def _outside(line: str) -> Outside:
    point, used = line.split(" ")
    return Outside(_sure(point), Known(used))


def _script(line: str) -> Script:
    name, mode, text = line.split(" ")
    if not re.fullmatch("[0-7]{1,4}", mode):
        raise ParseError(f"{mode[:40]!r} is not a file's mode")
    return Script(_sure(name), int(mode, 8), _text(text))


def _lock(line: str) -> Lock:
    ctid, alive = line.split(" ")
    return Lock(_ctid(ctid), Known(alive))


def _owner(line: str) -> Owner:
    ctid, run, control = line.split(" ")
    return Owner(_ctid(ctid), _sure(run), _sure(control))


def _paths(lines: list[str]) -> tuple[Path, ...]:
    """Each path once; of two records the one that lists names."""
    found: dict[str, Path] = {}
    for line in lines:
        path, kind, real, empty, entries = line.split(" ")
        new = Path(
            path=_sure(path),
            kind=PathKind(kind),
            real=_sure(real) or None,
            empty=None if empty == NOTHING else empty == "yes",
            entries=None if entries == NOTHING else _names(entries),
        )
        if new.path not in found or new.entries is not None:
            found[new.path] = new
    return tuple(found.values())


def _device(line: str) -> Device:
    number, names, identity, label, read_only, holders, free, details = line.split(" ")
    wwid, start, size, kind, uuid = _sure(identity).rsplit(":", 4)
    filesystem = None
    if kind != NOTHING and kind not in NOT_FILESYSTEMS:
        said = _superblock(kind, details)
        filesystem = Filesystem(
            type=kind,
            uuid=None if uuid == NOTHING else uuid,
            label=_sure(label) or None,
            **said._asdict(),
        )
    return Device(
        names=tuple(sorted(_sure(names).split("," if names.startswith("=") else " "))),
        number=number,
        size_bytes=_count(size),
        read_only={"0": Known.NO, "1": Known.YES}.get(read_only, Known.UNKNOWN),
        wwid=None if wwid == NOTHING else wwid,
        start_sector=None if start == NOTHING else _count(start),
        holders=_names(holders),
        exclusive=Known(free),
        filesystem=filesystem,
    )


def _superblock(kind: str, details: str) -> dumpe2fs.Superblock:
    if kind == "xfs":
        return superblock.xfs(_bytes(details))
    if kind.startswith("btrfs"):
        return superblock.btrfs(_bytes(details))
    return dumpe2fs.superblock(_text(details) or "")


def _mounter(line: str) -> Mounter:
    where, what, point = map(_sure, line.split(" "))
    if where == "/etc/fstab":  # blanks are written there as in mountinfo (fstab(5))
        what, point = mountinfo.plain(what), mountinfo.plain(point)
    return Mounter(where, what, point)


def _file(line: str) -> tuple[str, str]:
    path, text = line.split(" ")
    return _sure(path), _sure(text)


def _reboots(line: str) -> tuple[int, ...]:
    """The names of files that are numbers of containers; nothing starts by any other."""
    return tuple(int(name) for name in _names(line) if re.fullmatch(_CTID, name))


def _usage(line: str, recent: dict[str, int]) -> Usage:
    path, kilobytes, inodes = line.split(" ")
    return Usage(_sure(path), _count(kilobytes) * 1024, _count(inodes), recent.get(_sure(path)))


def _recent(line: str) -> tuple[str, int]:
    path, size = line.split(" ")
    return _sure(path), _count(size)


def _reach(line: str, speeds: dict[str, int | None]) -> Reach:
    peer, reached = line.split(" ")
    return Reach(_sure(peer), Known(reached), speeds.get(_sure(peer)))


def _speed(line: str) -> tuple[str, int | None]:
    """Bytes, and hundredths of a second; what came within one of them took it whole."""
    peer, taken, hundredths = line.split(" ")
    return _sure(peer), _count(taken) * 100 // max(1, _count(hundredths)) or None


def _count(word: str) -> int:
    if not re.fullmatch("[0-9]{1,18}", word):
        raise ParseError(f"{word[:40]!r} is not a count")
    return int(word)


def _ctid(word: str) -> int:
    if not re.fullmatch(_CTID, word):
        raise ParseError(f"{word[:40]!r} is not a container's number")
    return int(word)


def _once(mounts: list[Mount]) -> list[Mount]:
    return list(dict.fromkeys(mounts))


def _bytes(word: str) -> bytes:
    if word.startswith("="):
        return word[1:].encode()
    if not word:  # whatever should have coded it said nothing
        raise ParseError("a word is missing")
    try:
        return b"" if word == NOTHING else b64decode(word.removeprefix("."), validate=True)
    except NotBase64:
        raise ParseError(f"{word[:40]!r} is not base64") from None


def _text(word: str) -> str | None:
    """A file's text; None if it is not UTF-8."""
    try:
        return _bytes(word).decode()
    except UnicodeDecodeError:
        return None


def _sure(word: str) -> str:
    """A name or path; bytes that are not UTF-8 are shown as such, and match nothing."""
    return _bytes(word).decode(errors="backslashreplace").removesuffix("\n")


def _names(word: str) -> tuple[str, ...]:
    return tuple(sorted(filter(None, _bytes(word).decode(errors="backslashreplace").split("\n"))))
