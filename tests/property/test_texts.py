"""What is written for a node, as its tools would write it, is read as it was."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator

from hypothesis import strategies as st
from msgspec import structs

from planner.identity import identity
from planner.model import Device, Filesystem, Journal, Known, Mount, NodeFacts, Path, Room, State
from planner.parse.config import settings, strange
from planner.parse.probe import facts
from tests.property.examples import holds
from tests.property.strategies import NEVER, SIDES, World, quotable, texts, worlds

# --- the probe's answer

SAYS = {
    State.RUNNING: "exist mounted running",
    State.MOUNTED: "exist mounted down",
    State.STOPPED: "exist unmounted down",
    State.SUSPENDED: "exist unmounted down suspended",
}


def word(text: str | bytes | None) -> str:
    """A word of the answer; None: nothing."""
    if text is None:
        return "-"
    return b64encode(text.encode() if isinstance(text, str) else text).decode() or "-"


def listed(names: Iterable[str]) -> str:
    """Names, one a line."""
    return word("".join(f"{name}\n" for name in names))


def escaped(path: str) -> str:
    """As mountinfo writes it (proc(5))."""
    return "".join(f"\\{ord(c):03o}" if c in " \t\n\\" else c for c in path)


def answer(node: NodeFacts) -> str:
    """Of the probe, on a node of these facts."""
    lines = [*_records(node)]
    return "\n".join((*lines, f"end {len(lines)}", ""))


def _records(node: NodeFacts) -> Iterator[str]:
    yield f"boot {node.boot_id}"
    yield f"vz {node.vz_running}"
    yield from (f"tool {tool}" for tool in node.tools)
    yield f"vzconf {word(node.vz_conf)}"
    yield f"confnames {listed(node.conf_names)}"
    for c in node.containers:
        yield f"container {c.ctid} {word(f'CTID {c.ctid} {SAYS[c.state]}')} {word(c.config)}"
    yield from (f"script {word(s.name)} {s.mode:o} {word(s.text)}" for s in node.scripts)
    yield from (f"lock {lock.ctid} {lock.alive}" for lock in node.locks)
    yield from (f"owner {o.ctid} {word(o.run)} {word(o.control)}" for o in node.owners)
    yield from map(_path, node.paths)
    yield from map(_device, node.devices)
    yield from (f"{'elsewhere' if m.elsewhere else 'mount'} 0 0 {_mount(m)}" for m in node.mounts)
    yield from map(_room, node.rooms)
    yield from (f"inodes /dev/x {r.free_inodes or 0} 0 {r.free_inodes or 0} - {r.point}" for r in node.rooms)
    yield from (f"mounter {word(m.where)} {word(m.what)} {word(m.point)}" for m in node.mounters)
    if node.activations:
        words = ", ".join(
            f'"{a.group}"' if a.volume is None else f'"{a.group}/{a.volume}"' for a in node.activations
        )
        text = f"# said once\nactivation {{\n    volume_list = [ {words} ]\n}}\n"
        yield f"lvm {word(node.activations[0].where)} {word(text)}"
    yield f"reboots {listed(map(str, node.reboots or ()))}"
    yield from (f"usage {word(u.path)} {u.bytes // 1024} {u.inodes}" for u in node.usage)
    yield from (f"recent {word(u.path)} {u.recent_bytes}" for u in node.usage if u.recent_bytes is not None)
    yield from (f"reach {word(r.peer)} {r.reached}" for r in node.reaches)
    yield from (
        f"speed {word(r.peer)} {r.bytes_per_s} 100" for r in node.reaches if r.bytes_per_s is not None
    )
    yield from _of_memory(node)


def _of_memory(node: NodeFacts) -> Iterator[str]:
    for c in node.containers:
        yield from (f"resident {c.ctid} {n // 1024}" for n in (c.resident_bytes,) if n is not None)
        yield from (f"dump {c.ctid} {n // 1024}" for n in (c.dump_bytes,) if n is not None)
    if node.cpu is not None:
        yield f"cpu {word(node.cpu.machine)} {word(' '.join(node.cpu.flags))}"
    if node.criu is not None:
        yield f"criu {node.criu.works} {word(node.criu.said)}"
    for what, number in (("version", node.cpt_version), ("caps", node.cpt_caps)):
        if number is not None:
            yield f"cpt {what} {number}"
    yield from (f"outside {word(o.point)} {o.used}" for o in node.outside)
    if node.available_bytes is not None:
        yield f"available {node.available_bytes // 1024}"
    if node.ipv6 is not Known.UNKNOWN:
        yield f"ipv6 {node.ipv6}"


def _path(path: Path) -> str:
    empty = {True: "yes", False: "no", None: "-"}[path.empty]
    entries = "-" if path.entries is None else "." + listed(path.entries).removeprefix("-")
    return f"path {word(path.path)} {path.kind} {word(path.real)} {empty} {entries}"


def _device(device: Device) -> str:
    known = device.filesystem
    read_only = {Known.NO: "0", Known.YES: "1", Known.UNKNOWN: "-"}[device.read_only]
    held = listed(device.holders)
    return (
        f"device {device.number} {word(' '.join(device.names))} {word(identity(device))} "
        f"{word(known.label if known else None)} {read_only} {held} {device.exclusive} "
        f"{word(_superblock(known)) if known else '-'}"
    )


def _superblock(known: Filesystem) -> bytes:
    free = known.free_bytes or 0
    if known.type == "xfs":
        counts = (known.inodes or 0, known.free_inodes or 0, free)
        head = b"XFSB" + (1).to_bytes(4, "big")
        return head.ljust(128, b"\0") + b"".join(n.to_bytes(8, "big") for n in counts)
    if known.type == "btrfs":
        return (b"\0" * 64 + b"_BHRfS_M").ljust(112, b"\0") + free.to_bytes(8, "little").ljust(32, b"\0")
    features = ["has_journal"] * (known.journal is not Journal.NONE)
    features += ["needs_recovery"] * (known.needs_recovery is Known.YES)
    lines = (
        f"Filesystem features:      {' '.join(features)}",
        "Filesystem state:         clean",
        f"Inode count:              {known.inodes}",
        f"Free blocks:              {free}",
        f"Free inodes:              {known.free_inodes or 0}",
        "First inode:              11",
        "Block size:               1",
        "Journal inode:            8",
    )
    return "\n".join(lines).encode()


def _mount(mount: Mount) -> str:
    how = "ro" if mount.read_only else "rw"
    names = f"{escaped(mount.root)} {escaped(mount.point)} {how},relatime"
    return f"{mount.device} {names} - {mount.type} {escaped(mount.source)} rw"


def _room(room: Room) -> str:
    size, free = room.size_bytes // 1024, room.free_bytes // 1024
    return f"bytes /dev/x {size} {size - free} {free} 1% {room.point}"


@holds(core=120, fresh=30, world=worlds(forbidden=NEVER))
def test_what_a_node_says_is_read_as_it_is(world: World) -> None:
    """An answer of the probe, written from facts as the node's tools would write it, is read as these facts."""
    for side in SIDES:
        was = world.facts(side)
        mounts = tuple(sorted(was.mounts, key=lambda m: m.elsewhere))
        assert facts(was.node, answer(was)) == structs.replace(was, mounts=mounts).in_order()


# --- configs

NAMES = st.sampled_from(("VE_DEVICE", "NAME", "X_1", "IP_ADDRESS"))
ENDS = st.sampled_from(("\n", "\r\n"))


@st.composite
def configs(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]]]:
    """A config, and the settings that are in it."""
    lines: list[str] = []
    meant: list[tuple[str, str]] = []
    end = draw(ENDS)
    for _ in range(draw(st.integers(0, 8))):
        if draw(st.booleans()):
            lines.append(draw(st.sampled_from(("", " \t", f"# {draw(texts)}", f"#NAME={draw(quotable)}"))))
            continue
        name, text = draw(NAMES), draw(quotable)
        bare = (
            [f"{name}={text}"] if text and not set(text) & set(" \t\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0") else []
        )
        form = draw(
            st.sampled_from((f'{name}="{text}"', f"{name}='{text}'", *(f for f in bare if text.isascii())))
        )
        lines.append(draw(st.sampled_from((form, f"  {form}", f"{form} ", f"{form}\t# {draw(texts)}"))))
        meant.append((name, text))
    return end.join(lines) + draw(st.sampled_from(("", end))), meant


@holds(core=150, fresh=40, drawn=configs())
def test_settings_are_read_however_they_are_quoted(drawn: tuple[str, list[tuple[str, str]]]) -> None:
    """Quotes, blanks, comments and line ends are not part of a value; and nothing of it is strange to a shell."""
    text, meant = drawn
    assert [(s.name, s.value) for s in settings(text)] == meant
    assert strange(text) == ()
