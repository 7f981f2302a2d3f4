"""Worlds for Hypothesis: a bundled world, and what is different in it.

Each difference is a function in ``KINDS``: of some dimension (names of devices, multipath, hooks, what earlier runs
left, ...), harmless or one that forbids the move. What is drawn shrinks to a bundled world without any; a difference
that has no place in a world (a device, where there is none) changes nothing and is not told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any, Final, NamedTuple

import msgspec
from hypothesis import strategies as st
from msgspec import structs

from executor.simulated.loading import Truth
from planner.hooks import OURS
from planner.identity import same_disk, short_name
from planner.model import (
    Activation,
    Check,
    Container,
    Device,
    Filesystem,
    Journal,
    Known,
    Lock,
    Mount,
    Mounter,
    NodeFacts,
    Options,
    Owner,
    Path,
    PathKind,
    Reach,
    Request,
    Script,
    State,
    Usage,
)
from planner.parse.config import FENCE, value, with_value, without
from tests.worlds import CTID, TRUTHS, WORLDS, asking, bundled

PRIVATE: Final = f"/vz/private/{CTID}"
ROOT: Final = f"/vz/root/{CTID}"
SOURCE: Final = "source"
DESTINATION: Final = "destination"
SIDES: Final = (SOURCE, DESTINATION)

BASES: Final = {
    **WORLDS,
    **{world: bundled(world) for world in ("san-clone", "no-identity", "ct-exists", "ip-in-use")},
    **{world: bundled(world) for world in ("hook-missing", "busy-device", "too-small")},
}


class World(NamedTuple):
    """What was drawn: a request, what its facts do not show, and the differences from the bundled world ``base``."""

    base: str
    request: Request
    truth: Truth | None = None
    kinds: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Short: by base and kinds; facts are many pages."""
        return f"<{self.base}: {', '.join(self.kinds) or 'as it is'}>"

    @property
    def config(self) -> str:
        """The container's."""
        return self.container.config or ""

    @property
    def container(self) -> Container:
        """At the source."""
        found = self.request.source.container(CTID)
        assert found is not None
        return found

    @property
    def options(self) -> Options:
        """What was asked for."""
        return self.request.asked.options

    @property
    def own(self) -> Device | None:
        """The device that the container stands on."""
        source = self.request.source
        name = value(self.config, "VE_DEVICE")
        mount = source.mounted_at(PRIVATE)
        by_number = (d for d in source.devices if mount is not None and d.number == mount.device)
        return (source.device(name) if name else None) or next(by_number, None)

    @property
    def target(self) -> Device | None:
        """The one that it is to stand on."""
        destination = self.request.destination
        if self.options.dst_device:
            return destination.device(self.options.dst_device)
        own = self.own
        if own is None or self.options.dst_shared or value(self.config, "VE_DEVICE") is None:
            return None
        return next((d for d in destination.devices if same_disk(own, d)), None)

    def facts(self, side: str) -> NodeFacts:
        """Of one side."""
        found: NodeFacts = getattr(self.request, side)
        return found

    def at(self, side: str, **changes: Any) -> World:  # noqa: ANN401 # fields of all types
        """With other facts of one side."""
        request = structs.replace(self.request, **{side: structs.replace(self.facts(side), **changes)})
        return self._replace(request=request)

    def plus(self, side: str, **more: tuple[Any, ...]) -> World:
        """With more of some lists of facts."""
        return self.at(side, **{name: (*getattr(self.facts(side), name), *new) for name, new in more.items()})

    def with_container(self, **changes: object) -> World:
        """With another container."""
        others = (c for c in self.request.source.containers if c.ctid != CTID)
        return self.at(SOURCE, containers=(structs.replace(self.container, **changes), *others))

    def asking(self, **options: object) -> World:
        """With other flags."""
        return self._replace(request=asking(self.request, **options))

    def with_device(self, side: str, device: Device, **changes: object) -> World:
        """With another device in the place of this one."""
        devices = self.facts(side).devices
        new = structs.replace(device, **changes)
        return self.at(side, devices=tuple(new if d == device else d for d in devices))

    def with_file(self, side: str, *names: str) -> World:
        """With more files in /etc/vz/conf."""
        return self.plus(side, conf_names=tuple(n for n in names if n not in self.facts(side).conf_names))

    def with_script(self, side: str, *scripts: Script) -> World:
        """With action scripts, in the place of those of their names."""
        kept = tuple(s for s in self.facts(side).scripts if s.name not in {new.name for new in scripts})
        return self.at(side, scripts=(*kept, *scripts)).with_file(side, *(s.name for s in scripts))

    def with_entry(self, side: str, path: str, kind: PathKind, *, empty: bool | None = None) -> World:
        """With something at ``path``, which its directory lists."""
        folder, _, name = path.rpartition("/")
        paths = (p for p in self.facts(side).paths if p.path != path)
        real = path if kind in (PathKind.DIRECTORY, PathKind.FILE) else None
        listed = (
            structs.replace(p, empty=False, entries=tuple(sorted({*p.entries, name})))
            if p.path == folder and p.entries is not None
            else p
            for p in paths
        )
        return self.at(side, paths=(*listed, Path(path, kind, real, empty, None)))


Change = Callable[[st.DrawFn, World], World]


class Kind(NamedTuple):
    """A difference."""

    name: str  # "DIMENSION: WHAT"
    change: Change
    forbids: bool  # it may keep the container from being moved

    @property
    def dimension(self) -> str:
        """What it is a difference of."""
        return self.name.partition(":")[0]


KINDS: Final[list[Kind]] = []


def kind(name: str, *, forbids: bool = False) -> Callable[[Change], Change]:
    """Enter a difference; they are made in the order of their entries."""

    def enter(change: Change) -> Change:
        KINDS.append(Kind(name, change, forbids))
        return change

    return enter


# --- words


ODD: Final = (
    "plain",
    "caf\u00e9",
    "\u7db2\u7ad9",
    "\u202eevil",
    "\u2028",
    "\x85",
    "\U0001f4a5",
    "\x1b[2J",
    "it's",
    'say "hi"',
    "$(reboot)",
    "a\\b",
    "100%",
    "\ufeff",
)
texts: Final = st.one_of(
    st.sampled_from(ODD),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), max_size=12),
)
"""What may stand in a comment."""

quotable: Final = texts.map(lambda text: re.sub(r"[\"'`$\\;&|<>()#]", "", text).strip())
"""What may stand between quotes, whoever reads it."""


def _free(names: Iterable[str], pattern: str) -> str:
    """The first name of the pattern that nobody has."""
    taken = set(names)
    return next(name for n in count() if (name := pattern.format(n)) not in taken)


# --- devices and their names


def _sides(world: World) -> list[tuple[str, Device]]:
    """Devices that matter, and where."""
    return [(side, device) for side, device in zip(SIDES, (world.own, world.target), strict=True) if device]


@kind("names: more")
def more_names(draw: st.DrawFn, world: World) -> World:
    """By path, by UUID, by label, of LVM's or somebody's own."""
    for side, device in _sides(world):
        uuid = device.filesystem.uuid if device.filesystem else "none"
        offered = (
            f"/dev/disk/by-path/pci-0000:04:00.0-fc-0x{uuid}-part1",
            f"/dev/disk/by-uuid/{uuid}",
            "/dev/disk/by-label/\\x2fvz",
            "/dev/caf\u00e9-disk",
            f"/dev/disk/by-id/scsi-1{uuid}",
        )
        more = draw(st.lists(st.sampled_from(offered), min_size=1, unique=True))
        world = world.with_device(side, device, names=tuple(sorted({*device.names, *more})))
    return world


@kind("names: fewer")
def fewer_names(_draw: st.DrawFn, world: World) -> World:
    """No name that stays."""
    for side, device in _sides(world):
        world = world.with_device(side, device, names=(short_name(device),))
    return world


@kind("names: another one in the config")
def named_otherwise(draw: st.DrawFn, world: World) -> World:
    """VE_DEVICE by any of the device's names."""
    own = world.own
    if own is None or value(world.config, "VE_DEVICE") is None:
        return world
    name = draw(st.sampled_from([n for n in own.names if not re.search(r"[\"\\$`]", n)]))
    return world.with_container(config=with_value(world.config, "VE_DEVICE", name))


@kind("names: another one asked for")
def asked_for_otherwise(draw: st.DrawFn, world: World) -> World:
    """--dst-device by any of the device's names."""
    target = world.target
    if target is None or world.options.dst_device is None:
        return world
    return world.asking(dst_device=draw(st.sampled_from(target.names)))


def _foreign(number: str, *names: str) -> Device:
    """A disk that nobody here has to do with."""
    known = Filesystem(
        "ext4",
        f"ffffffff-0000-4000-8000-{number.replace(':', '').zfill(12)}",
        Journal.INTERNAL,
        Known.NO,
        None,
        Known.NO,
        1 << 30,
        65536,
        60000,
    )
    return Device(names, number, 4 << 30, Known.NO, f"36{number.replace(':', '')}", 63, (), Known.YES, known)


@kind("names: of another disk there")
def lying_names(_draw: st.DrawFn, world: World) -> World:
    """What the config calls its device is another disk at the destination."""
    name, there = value(world.config, "VE_DEVICE"), world.request.destination
    if not name or there.device(name) is not None:
        return world
    return world.plus(DESTINATION, devices=(_foreign("8:177", name),))


@kind("names: of nothing", forbids=True)
def no_such_device(draw: st.DrawFn, world: World) -> World:
    """Neither here nor there."""
    if draw(st.booleans()):
        return world.asking(dst_device="/dev/sdz9")
    return world.with_container(config=with_value(world.config, "VE_DEVICE", "/dev/sdz9"))


@kind("clones: at the source")
def clone_here(_draw: st.DrawFn, world: World) -> World:
    """A snapshot of the container's device, mounted nowhere."""
    own = world.own
    if own is None:
        return world
    twin = structs.replace(own, names=("/dev/sdy1",), number="65:129", wwid="36snapshot", exclusive=Known.YES)
    return world.plus(SOURCE, devices=(twin,))


@kind("clones: at the destination", forbids=True)
def clone_there(draw: st.DrawFn, world: World) -> World:
    """The same UUID on another disk, or on what has no identity."""
    own = world.own
    if own is None:
        return world
    wwid = draw(st.sampled_from(("36snapshot", None)))
    twin = structs.replace(own, names=("/dev/sdy1",), number="65:129", wwid=wwid, exclusive=Known.YES)
    return world.plus(DESTINATION, devices=(twin,))


@kind("devices: the node's own")
def further_disks(draw: st.DrawFn, world: World) -> World:
    """Disks that have nothing to do with it, a whole one with a partition among them."""
    for side in draw(st.lists(st.sampled_from(SIDES), min_size=1, unique=True)):
        whole = structs.replace(_foreign("66:0", "/dev/sdag"), start_sector=None, filesystem=None)
        world = world.plus(
            side, devices=(whole, _foreign("66:1", "/dev/sdag1", "/dev/disk/by-label/caf\u00e9"))
        )
    return world


@kind("devices: read-only", forbids=True)
def read_only(draw: st.DrawFn, world: World) -> World:
    """Or not known not to be."""
    for side, device in _sides(world):
        world = world.with_device(side, device, read_only=draw(st.sampled_from((Known.YES, Known.UNKNOWN))))
    return world


@kind("devices: held", forbids=True)
def held(draw: st.DrawFn, world: World) -> World:
    """The device that it is to stand on is in use there, or may be."""
    target = world.target
    if target is None:
        return world
    return world.with_device(DESTINATION, target, exclusive=draw(st.sampled_from((Known.NO, Known.UNKNOWN))))


def _stacked(world: World, side: str, below: Device, above: Device) -> World:
    """``above`` is built on ``below``, and mounted where that was."""
    facts = world.facts(side)
    mapped = next(name for name in above.names if name.startswith("/dev/mapper/"))
    mounts = tuple(
        structs.replace(m, device=above.number, source=mapped) if m.device == below.number else m
        for m in facts.mounts
    )
    devices = tuple(d for d in facts.devices if d.number != below.number)
    return world.at(side, mounts=mounts, devices=(*devices, below, above))


@kind("multipath")
def multipath(draw: st.DrawFn, world: World) -> World:
    """Two paths to it, and the map on both; each of the three is the disk."""
    for side, device in _sides(world):
        if device.wwid is None or not draw(st.booleans()) or device.number.startswith("253:"):
            continue
        name = f"/dev/mapper/mpath{draw(st.sampled_from('abz'))}p1"
        facts = world.facts(side)
        number = _free((d.number for d in facts.devices), "253:{}")
        stable = [n for n in device.names if n.startswith("/dev/disk/")]
        node = f"dm-{number[4:]}"
        above = structs.replace(
            device, names=(*sorted([*stable, f"/dev/{node}", name]),), number=number, holders=()
        )
        path = structs.replace(device, names=(short_name(device),), holders=(node,), exclusive=Known.NO)
        other = structs.replace(path, names=("/dev/sdx1",), number="65:113")
        world = _stacked(world, side, device, above)
        world = world.at(side, devices=(*(d for d in world.facts(side).devices if d != device), path, other))
        world = _called(world, side, name)
    return world


def _called(world: World, side: str, name: str) -> World:
    """The config and the flags call the device on that side by ``name``, if they name it at all."""
    if side == SOURCE and value(world.config, "VE_DEVICE"):
        world = world.with_container(config=with_value(world.config, "VE_DEVICE", name))
    if side == DESTINATION and world.options.dst_device:
        world = world.asking(dst_device=name)
    return world


@kind("lvm: volume")
def volume(_draw: st.DrawFn, world: World) -> World:
    """The container's device is a volume of LVM's, on every node that has it."""
    own = world.own
    if any(device.number.startswith("253:") for _, device in _sides(world)):
        return world  # it is multipath's: the other node's volume would have to lie on its map, too
    name = "/dev/mapper/vg--san-web"
    numbers = (d.number for side in SIDES for d in world.facts(side).devices)
    number = _free(numbers, "253:{}")
    for side, device in _sides(world):
        if own is None or device.wwid is None or not same_disk(device, own):
            continue
        node = f"dm-{number[4:]}"
        below = structs.replace(
            device, filesystem=None, holders=(node,), exclusive=Known.NO, wwid=f"{device.wwid}0"
        )
        above = structs.replace(
            device,
            names=tuple(sorted((f"/dev/{node}", name, "/dev/vg-san/web"))),
            number=number,
            wwid=f"2048@{device.wwid}@4096",
            start_sector=None,
        )
        world = _stacked(world, side, below, above)
        world = _called(world, side, name)
    return world


@kind("lvm: others are activated")
def activated_others(_draw: st.DrawFn, world: World) -> World:
    """The list of lvm.conf names what has nothing to do with it."""
    for side in SIDES:
        world = world.plus(
            side,
            activations=(
                Activation("/etc/lvm/lvm.conf", "vg_root", None),
                Activation("/etc/lvm/lvm.conf", "vg-san", "mail"),
            ),
        )
    return world


@kind("lvm: it is activated", forbids=True)
def activated(draw: st.DrawFn, world: World) -> World:
    """On either node, as a volume or with its whole group."""
    if not any("/dev/vg-san/web" in device.names for _, device in _sides(world)):
        return world
    which = Activation("/etc/lvm/lvm.conf", "vg-san", draw(st.sampled_from((None, "web"))))
    return world.plus(draw(st.sampled_from(SIDES)), activations=(which,))


@kind("filesystem: another one to copy onto")
def other_target(draw: st.DrawFn, world: World) -> World:
    """Those of which nothing says whether they are empty before they are mounted."""
    own, target = world.own, world.target
    believed = world.options.same_device
    if target is None or target.filesystem is None:
        return world
    if own is not None and same_disk(own, target, believed=believed):
        return world
    name = draw(st.sampled_from(("xfs", "btrfs", "ext2", "ext3")))
    ext = name.startswith("ext")
    new = structs.replace(
        target.filesystem,
        type=name,
        journal=None if not ext else Journal.NONE if name == "ext2" else Journal.INTERNAL,
        needs_recovery=Known.NO if ext else Known.UNKNOWN,
        empty=Known.YES if ext else Known.UNKNOWN,
        inodes=None if name == "btrfs" else target.filesystem.inodes,
        free_inodes=None if name == "btrfs" else target.filesystem.free_inodes,
    )
    return world.with_device(DESTINATION, target, filesystem=new)


@kind("filesystem: another one", forbids=True)
def other_filesystem(draw: st.DrawFn, world: World) -> World:
    """Of which a hand-over could not tell whether it is in use; it may be copied from, unless it is spread."""
    own = world.own
    if own is None or own.filesystem is None:
        return world
    name = draw(st.sampled_from(("xfs", "ext2", "reiserfs", "btrfs-of-2")))
    new = structs.replace(
        own.filesystem, type=name, journal=Journal.NONE if name == "ext2" else None, empty=Known.UNKNOWN
    )
    mounts = tuple(
        structs.replace(m, type=name) if m.device == own.number else m for m in world.request.source.mounts
    )
    return world.with_device(SOURCE, own, filesystem=new).at(SOURCE, mounts=mounts)


# --- mounts


@kind("elsewhere: others' mounts")
def mounts_elsewhere(draw: st.DrawFn, world: World) -> World:
    """Of other disks, in other mount namespaces, at odd places."""
    for side in draw(st.lists(st.sampled_from(SIDES), min_size=1, unique=True)):
        point = draw(st.sampled_from(("/", "/old/private area", "/mnt/caf\u00e9", "/a\nb", "/back\\slash")))
        new = Mount(point, "8:250", "/", "ext3", "/dev/sdaf1", read_only=False, elsewhere=True)
        world = world.plus(side, mounts=(new,))
    return world


@kind("elsewhere: its own root")
def own_root_elsewhere(_draw: st.DrawFn, world: World) -> World:
    """What the container's own processes see."""
    root = next((m for m in world.request.source.mounts if m.point == ROOT), None)
    if root is None or world.container.state is not State.RUNNING:
        return world
    inside = structs.replace(root, point="/", elsewhere=True)
    return world.plus(SOURCE, mounts=(inside,))


@kind("elsewhere: the device", forbids=True)
def device_elsewhere(draw: st.DrawFn, world: World) -> World:
    """It is mounted where the node's own namespace does not show it."""
    if not _sides(world):
        return world
    side, device = draw(st.sampled_from(_sides(world)))
    new = Mount("/mnt", device.number, "/", "ext4", device.names[0], read_only=False, elsewhere=True)
    return world.plus(side, mounts=(new,))


@kind("mounts: over and below", forbids=True)
def mounted_over(draw: st.DrawFn, world: World) -> World:
    """Something below the private area, on it, or where it is to be."""
    side = draw(st.sampled_from(SIDES))
    point = draw(st.sampled_from((f"{PRIVATE}/var/cache", PRIVATE, ROOT)))
    new = Mount(point, "8:250", "/", "ext3", "/dev/sdaf1", read_only=False, elsewhere=False)
    return world.plus(side, mounts=(new,))


@kind("fstab: others")
def fstab(draw: st.DrawFn, world: World) -> World:
    """What mounts other devices by itself."""
    offered = (
        Mounter("/etc/fstab", "LABEL=caf\u00e9", "/srv/caf\u00e9 bar"),
        Mounter("/etc/fstab", "UUID=00000000-dead-4000-8000-000000000000", "none"),
        Mounter("/etc/systemd/system/srv.mount", "/dev/disk/by-label/srv", "/srv"),
        Mounter("/etc/auto.misc", "/dev/cdrom", ""),
    )
    for side in SIDES:
        more = draw(st.lists(st.sampled_from(offered), unique=True))
        world = world.plus(side, mounters=tuple(more))
    return world


@kind("fstab: the device", forbids=True)
def fstab_device(draw: st.DrawFn, world: World) -> World:
    """By any of its names, or by its UUID."""
    if not _sides(world):
        return world
    side, device = draw(st.sampled_from(_sides(world)))
    assert device.filesystem is not None
    what = draw(st.sampled_from((*device.names, f"UUID={device.filesystem.uuid}")))
    where = draw(st.sampled_from(("/etc/fstab", "/etc/systemd/system/x.mount", "/etc/auto.vz")))
    return world.plus(side, mounters=(Mounter(where, what, "/mnt/x"),))


# --- hooks

CAREFUL: Final = {
    "premount": '#!/bin/sh\n. "$VE_CONFFILE"\nmountpoint -q "$VE_PRIVATE" || mount "$VE_DEVICE" "$VE_PRIVATE"\n',
    "postumount": '#!/bin/sh\n. "$VE_CONFFILE"\nmountpoint -q "$VE_PRIVATE" && umount "$VE_DEVICE" || true\n',
}
LOUD: Final = '#!/bin/sh -e\n. "$VE_CONFFILE"\nmount "$VE_DEVICE" "$VE_PRIVATE"\n'


def _node_scripts(side_scripts: dict[str, str], mode: int = 0o755) -> tuple[Script, ...]:
    return tuple(Script(f"vps.{name}", mode, text) for name, text in side_scripts.items())


@kind("hooks: careful")
def careful_hooks(draw: st.DrawFn, world: World) -> World:
    """They look first, or are vzplan's own, put in the node's place."""
    for side in SIDES:
        world = world.with_script(side, *_node_scripts(draw(st.sampled_from((CAREFUL, OURS)))))
    return world


@kind("hooks: of its own")
def own_scripts(draw: st.DrawFn, world: World) -> World:
    """Action scripts that it brings along, some of which nothing runs."""
    names = draw(st.lists(st.sampled_from(("start", "stop", "mount", "umount")), min_size=1, unique=True))
    ends = draw(st.sampled_from(("\n", "\r\n")))
    scripts = (
        Script(
            f"{CTID}.{name}",
            draw(st.sampled_from((0o755, 0o644, 0o700))),
            f"#!/bin/sh{ends}# {draw(texts)}{ends}exit 0{draw(st.sampled_from(('', ends)))}",
        )
        for name in names
    )
    return world.with_script(SOURCE, *scripts)


@kind("hooks: other ones of the node's")
def node_scripts(draw: st.DrawFn, world: World) -> World:
    """Which have nothing to do with devices."""
    script = Script("vps.mount", 0o755, f"#!/bin/bash\n# {draw(texts)}\n:\n")
    return world.with_script(draw(st.sampled_from(SIDES)), script)


def _without_hooks(world: World, side: str) -> World:
    names = {f"vps.{name}" for name in CAREFUL}
    facts = world.facts(side)
    return world.at(
        side,
        scripts=tuple(s for s in facts.scripts if s.name not in names),
        conf_names=tuple(n for n in facts.conf_names if n not in names),
    )


@kind("hooks: installed")
def installed_hooks(_draw: st.DrawFn, world: World) -> World:
    """The destination has none, and the operator wants ours."""
    if world.target is None:
        return world
    return _without_hooks(world, DESTINATION).asking(install_hooks=True)


@kind("hooks: wrong", forbids=True)
def wrong_hooks(draw: st.DrawFn, world: World) -> World:
    """None there, one that fails if it need not do anything, that nothing runs, or that is no text."""
    match draw(st.sampled_from(("none", "loud", "not run", "no text", "taken"))):
        case "none":
            return _without_hooks(world, DESTINATION)
        case "loud":
            return world.with_script(DESTINATION, Script("vps.premount", 0o755, LOUD))
        case "not run":
            return world.with_script(DESTINATION, *_node_scripts(CAREFUL, 0o644))
        case "no text":
            return world.with_script(SOURCE, Script(f"{CTID}.mount", 0o755, None))
        case _:
            world = _without_hooks(world, DESTINATION).asking(install_hooks=True)
            return world.with_script(SOURCE, Script(f"{CTID}.premount", 0o755, "#!/bin/sh\n:\n"))


# --- the container's config


def _requoted(draw: st.DrawFn, line: str) -> str:
    """The same setting as others would write it."""
    match = re.fullmatch(r'([A-Z_]+)="([^"]*)"', line)
    if match is None:
        return line
    name, text = match.groups()
    forms = [
        f'{name}="{text}"',
        f" \t{name}='{text}'",
        f'{name}="{text}" # {draw(texts)}',
        f'{name}="{text}"  ',
    ]
    if text and not re.search(r"[\s$]", text):
        forms.append(f"{name}={text}")
    if "$" in text:
        forms = [f.replace("$VEID", "${VEID}") for f in forms if "'" not in f] + [f'{name}="{text}"']
    return draw(st.sampled_from(forms))


@kind("config: quoting")
def odd_quoting(draw: st.DrawFn, world: World) -> World:
    """Single quotes, none, blanks, comments behind a setting."""
    lines = world.config.split("\n")
    return world.with_container(config="\n".join(_requoted(draw, line) for line in lines))


@kind("config: unicode")
def unicode_config(draw: st.DrawFn, world: World) -> World:
    """In comments and in what vzctl passes on."""
    text = f"# {draw(texts)}\n{world.config}"
    world = world.with_container(config=text)
    if draw(st.booleans()):
        said = draw(quotable)
        world = world.with_container(config=with_value(text, "DESCRIPTION", said))
    return world


@kind("config: twice")
def harmless_duplicates(draw: st.DrawFn, world: World) -> World:
    """Of what does not matter where it is."""
    name = draw(st.sampled_from(("HOSTNAME", "PHYSPAGES", "OSTEMPLATE")))
    return world.with_container(config=f'{world.config}{name}="{draw(quotable)}"\n')


@kind("config: no layout")
def no_layout(_draw: st.DrawFn, world: World) -> World:
    """Vzctl writes it there at the next start."""
    return world.with_container(config=without(world.config, "VE_LAYOUT"))


@kind("config: started at boot")
def boot(draw: st.DrawFn, world: World) -> World:
    """Yes, no, or what the list says."""
    how = draw(st.sampled_from(("yes", "no", "listed")))
    config = without(world.config, "ONBOOT")
    if how != "listed":
        config = f'ONBOOT="{how}"\n{config}'
    world = world.with_container(config=config)
    return world.at(SOURCE, reboots=(CTID,)) if how == "listed" else world


@kind("config: disabled")
def not_to_be_started(_draw: st.DrawFn, world: World) -> World:
    """Its owner does not want it to be started."""
    if value(world.config, "DISABLED") is not None:
        return world
    return world.with_container(config=f'{world.config}DISABLED="yes"\n')


@kind("quota: none of the second level")
def no_quota(draw: st.DrawFn, world: World) -> World:
    """Disk quotas that go along with the config."""
    more = draw(st.sampled_from(('QUOTAUGIDLIMIT="0"\n', "DISK_QUOTA=no\n", 'DISKSPACE="1048576:1153434"\n')))
    return world.with_container(config=world.config + more)


@kind("quota: second level", forbids=True)
def quota(_draw: st.DrawFn, world: World) -> World:
    """Which is not carried over."""
    return world.with_container(config=f'{world.config}QUOTAUGIDLIMIT="2000"\n')


@kind("config: wrong", forbids=True)
def wrong_config(draw: st.DrawFn, world: World) -> World:
    """What a shell would read otherwise, or not at all."""
    more = draw(
        st.sampled_from(
            (
                'VE_DEVICE="/dev/sda1"\nVE_DEVICE="/dev/sdb1"\n',
                'VE_PRIVATE="/vz/private/$VEID"\n',
                'HOSTNAME="$(reboot)"\n',
                "reboot\n",
                "export VE_DEVICE=/dev/sda1\n",
                'IP_ADDRESS="1.2.3"\n',
                "\0",
                'VE_LAYOUT="ploop"\n',
                'VE_PRIVATE="relative"\n',
                None,
            )
        )
    )
    if more is None:
        return world.with_container(config=None)
    first = draw(st.booleans())
    return world.with_container(config=more + world.config if first else world.config + more)


@kind("state: not movable", forbids=True)
def other_state(draw: st.DrawFn, world: World) -> World:
    """Neither up nor down."""
    return world.with_container(state=draw(st.sampled_from((State.DELETED, State.UNKNOWN))))


# --- others


def with_other(world: World, side: str, ctid: int, *, state: State, config: str) -> World:
    """One more container, with its areas."""
    world = world.plus(side, containers=(Container(ctid, state, config),)).with_file(side, f"{ctid}.conf")
    world = world.with_entry(side, f"/vz/private/{ctid}", PathKind.DIRECTORY, empty=False)
    world = world.with_entry(side, f"/vz/root/{ctid}", PathKind.DIRECTORY, empty=state is State.STOPPED)
    if state is not State.STOPPED:
        root = Mount(
            f"/vz/root/{ctid}",
            f"0:{1000 + ctid % 100}",
            "/",
            "simfs",
            f"/vz/private/{ctid}",
            read_only=False,
            elsewhere=False,
        )
        world = world.plus(side, mounts=(root,))
    return world


OTHER: Final = (
    'ONBOOT="{}"\nVE_ROOT="/vz/root/$VEID"\nVE_PRIVATE="/vz/private/$VEID"\nNAME="{}"\nIP_ADDRESS="{}"\n'
    'VE_LAYOUT="simfs"\n# {}\n'
)


@kind("others: more")
def others(draw: st.DrawFn, world: World) -> World:
    """Containers that have nothing to do with it, their numbers next to its own among them."""
    for number, ctid in enumerate(
        draw(st.lists(st.sampled_from((7, 12, 124, 1230, 2147483647)), min_size=1, max_size=3, unique=True))
    ):
        config = OTHER.format(
            draw(st.sampled_from(("yes", "no"))), f"other{number}", f"203.0.113.{number + 1}", draw(texts)
        )
        state = draw(st.sampled_from((State.STOPPED, State.RUNNING, State.MOUNTED)))
        world = with_other(world, draw(st.sampled_from(SIDES)), ctid, state=state, config=config)
    return world


@kind("others: in its way", forbids=True)
def others_in_the_way(draw: st.DrawFn, world: World) -> World:
    """With its address, its name, its area, its device; or nobody can say."""
    config = OTHER.format("yes", "other9", "203.0.113.9", "")
    more = draw(
        st.sampled_from(
            (
                with_value(config, "IP_ADDRESS", "2001:0db8:0:0::123"),
                with_value(config, "NAME", "web1"),
                with_value(config, "VE_PRIVATE", f"{PRIVATE}/inner"),
                with_value(config, "VE_DEVICE", "/dev/sda1"),
                config + "VE_PRIVATE=`pwd`\n",
            )
        )
    )
    return with_other(world, draw(st.sampled_from(SIDES)), 77, state=State.STOPPED, config=more)


# --- what earlier runs and persons left


@kind("history: was here before")
def backups(draw: st.DrawFn, world: World) -> World:
    """Old configs and scripts of earlier moves, on either node; not always numbered without a gap."""
    names = (
        f"{CTID}.conf.migrated",
        f"{CTID}.conf.migrated.1",
        f"{CTID}.conf.migrated.3",
        f"{CTID}.mount.migrated",
    )
    for side in SIDES:
        world = world.with_file(side, *draw(st.lists(st.sampled_from(names), unique=True)))
    return world


@kind("history: empty areas")
def empty_areas(draw: st.DrawFn, world: World) -> World:
    """Mount points that an earlier move or a person left at the destination."""
    areas = [ROOT, PRIVATE] if world.target is not None else [ROOT]
    for path in draw(st.lists(st.sampled_from(areas), min_size=1, unique=True)):
        world = world.with_entry(DESTINATION, path, PathKind.DIRECTORY, empty=True)
    return world


@kind("history: of others")
def leftovers_of_others(draw: st.DrawFn, world: World) -> World:
    """Records and locks of other containers, stale ones of its own."""
    for side in SIDES:
        if draw(st.booleans()):
            world = world.plus(side, owners=(Owner(12, "20250101-000000-abcdef", "old:/var/lib/vzplan"),))
        if draw(st.booleans()):
            world = world.plus(side, locks=(Lock(12, draw(st.sampled_from(Known))),))
            world = world.with_entry(side, "/vz/lock/12.lck", PathKind.FILE)
    return world


@kind("history: stale lock")
def stale_lock(_draw: st.DrawFn, world: World) -> World:
    """Of a vzctl that died."""
    return _locked(world, Known.NO)


def _locked(world: World, alive: Known) -> World:
    """There is one lock file a container."""
    others = (lock for lock in world.request.source.locks if lock.ctid != CTID)
    world = world.at(SOURCE, locks=(*others, Lock(CTID, alive)))
    return world.with_entry(SOURCE, f"/vz/lock/{CTID}.lck", PathKind.FILE)


@kind("history: in the way", forbids=True)
def leftovers(draw: st.DrawFn, world: World) -> World:
    """Of a run that is not over, or of one that nobody tidied up after."""
    match draw(st.sampled_from(("owner", "fence", "lock", "dump", "staged", "area", "retired", "listed"))):
        case "owner":
            owner = Owner(CTID, "20250101-000000-abcdef", "elsewhere:/var/lib/vzplan")
            return world.plus(draw(st.sampled_from(SIDES)), owners=(owner,))
        case "fence":
            return world.with_container(config=FENCE + world.config)
        case "lock":
            return _locked(world, draw(st.sampled_from((Known.YES, Known.UNKNOWN))))
        case "dump":
            return world.with_entry(draw(st.sampled_from(SIDES)), f"/vz/dump/Dump.{CTID}", PathKind.FILE)
        case "staged":
            return world.with_file(
                DESTINATION, draw(st.sampled_from((f"{CTID}.conf.vzplan", f"{CTID}.conf", f"{CTID}.mount")))
            )
        case "area":
            path, kind_ = (
                draw(st.sampled_from((ROOT, PRIVATE))),
                draw(
                    st.sampled_from((PathKind.DIRECTORY, PathKind.FILE, PathKind.SYMLINK, PathKind.UNKNOWN))
                ),
            )
            empty = False if kind_ is PathKind.DIRECTORY else None
            return world.with_entry(DESTINATION, path, kind_, empty=empty)
        case "retired":
            return world.with_entry(SOURCE, f"{PRIVATE}.vzplan-retired", PathKind.DIRECTORY, empty=False)
        case _:
            return world.at(DESTINATION, reboots=draw(st.sampled_from(((CTID,), None))))


# --- nodes and room


@kind("node: odd vz.conf")
def odd_vz_conf(draw: st.DrawFn, world: World) -> World:
    """Comments, other line ends, what only a shell would read, defaults instead of settings."""
    for side in SIDES:
        text = world.facts(side).vz_conf or ""
        more = draw(
            st.sampled_from(
                (
                    "",
                    "if [ -f /etc/x ]; then IPTABLES=1; fi\n",
                    "# caf\u00e9\n",
                    "VZREBOOTDIR=/var/vzreboot\n",
                )
            )
        )
        text += more
        if draw(st.booleans()):
            text = without(text, "VE_ROOT")
        if draw(st.booleans()):
            text = text.replace("\n", "\r\n")
        world = world.at(side, vz_conf=text)
    return world


@kind("node: wrong", forbids=True)
def wrong_node(draw: st.DrawFn, world: World) -> World:
    """A tool is missing, vz does not run, nobody knows; or both are one."""
    side = draw(st.sampled_from(SIDES))
    facts = world.facts(side)
    match draw(st.sampled_from(("tool", "vz", "vz.conf", "one"))):
        case "tool":
            tool = draw(st.sampled_from(facts.tools))
            return world.at(side, tools=tuple(t for t in facts.tools if t != tool))
        case "vz":
            return world.at(side, vz_running=draw(st.sampled_from((Known.NO, Known.UNKNOWN))))
        case "vz.conf":
            return world.at(side, vz_conf=draw(st.sampled_from((None, "VE_PRIVATE=$(pwd)\n"))))
        case _:
            return world.at(DESTINATION, boot_id=world.request.source.boot_id)


@kind("node: a third one")
def third_node(_draw: st.DrawFn, world: World) -> World:
    """It sees the device and leaves it alone."""
    target = world.target
    if target is None or world.options.also_seen_by:
        return world
    third = structs.replace(
        world.request.destination,
        node="hn3",
        boot_id="6f2f0a0e-5f2f-4c53-8a0c-6a4f1a1f0003",
        containers=(),
    )
    request = structs.replace(world.request, others=(third,))
    return world._replace(request=request).asking(also_seen_by=("hn3",))


@kind("room: other sizes")
def sizes(draw: st.DrawFn, world: World) -> World:
    """Less to copy, down to nothing."""
    usage = Usage(PRIVATE, draw(st.integers(0, 20)) << 30, draw(st.integers(0, 150_000)))
    return world.at(SOURCE, usage=(usage,))


@kind("room: none", forbids=True)
def no_room(draw: st.DrawFn, world: World) -> World:
    """It does not fit, is not known to fit, or does not get there."""
    match draw(st.sampled_from(("fits not", "not counted", "not reached"))):
        case "fits not":
            return world.at(SOURCE, usage=(Usage(PRIVATE, 1 << 50, 1 << 40),))
        case "not counted":
            return world.at(SOURCE, usage=())
        case _:
            peer = world.request.destination.node
            return world.at(SOURCE, reaches=(Reach(peer, draw(st.sampled_from((Known.NO, Known.UNKNOWN)))),))


# --- options


@kind("options: allowed")
def options(draw: st.DrawFn, world: World) -> World:
    """Flags that go with the way."""
    own, target = world.own, world.target
    believed = world.options.same_device
    handed_over = own is not None and target is not None and same_disk(own, target, believed=believed)
    world = world.asking(max_frozen_s=draw(st.sampled_from((None, 1, 60, 1_000_000))))
    world = world.asking(peer_ssh=draw(st.sampled_from(((), ("-p", "2222"), ("-i", "/root/a key")))))
    if not handed_over:
        world = world.asking(
            rsync=draw(st.sampled_from(((), ("--bwlimit=1000",), ("-z", "--whole-file")))),
            precopy=draw(
                st.integers(0, 1)
                if world.container.state in (State.STOPPED, State.SUSPENDED)
                else st.sampled_from((0, 1, 2, 3, "auto"))
            ),
        )
    if own is None and target is None:
        world = world.asking(remove_area=draw(st.booleans()))
    if world.options.online or world.container.state is State.SUSPENDED:
        world = world.asking(nodeps=draw(st.sampled_from(((), (Check.CPU,)))))
    return world


CONTRADICTIONS: Final[tuple[dict[str, object], ...]] = (
    {"dst_shared": True, "dst_device": "/dev/sdg1"},
    {"dst_shared": True},
    {"same_device": True},
    {"also_seen_by": ("hn1",)},
    {"install_hooks": True},
    {"remove_area": False},
    {"rsync": ("--delete-excluded",)},
    {"rsync": ("--bwlimit=1\n",)},
    {"precopy": -1},
    {"precopy": 2},
    {"nodeps": (Check.CPU,)},
    {"online": True},
    {"dump_device": "/dev/sdd1"},
)


@kind("options: contradictory", forbids=True)
def contradictions(draw: st.DrawFn, world: World) -> World:
    """Flags that do not go together, or with the container."""
    return world.asking(**draw(st.sampled_from(CONTRADICTIONS)))


# --- last, since they change what all the others wrote, or speak of it


@kind("clones: to the last letter")
def faithful_clone(_draw: st.DrawFn, world: World) -> World:
    """Only the truth shows that it is another disk."""
    own, target = world.own, world.target
    if own is None or target is None or not same_disk(own, target):
        return world
    here = (world.request.source.node, own.names[0])
    there = (world.request.destination.node, target.names[0])
    return world._replace(truth=Truth(different=((here, there),)))


@kind("config: CRLF")
def crlf(_draw: st.DrawFn, world: World) -> World:
    """Every line of it."""
    return world.with_container(config=re.sub(r"\r?\n", "\r\n", world.config))


@kind("config: no end")
def no_end(_draw: st.DrawFn, world: World) -> World:
    """The last line has no newline."""
    return world.with_container(config=world.config.rstrip("\r\n"))


@kind("node: areas at another place")
def elsewhere(draw: st.DrawFn, world: World) -> World:
    """Not in /vz, on both nodes."""
    place = draw(st.sampled_from(("/srv/vz", "/vz2", "/caf\u00e9/vz")))
    facts = msgspec.to_builtins((world.request.source, world.request.destination))
    source, destination = msgspec.convert(
        rewritten(facts, lambda text: re.sub(r"(?<![\w/.])/vz(?=[/\"']|$)", place, text)),
        tuple[NodeFacts, NodeFacts],
    )
    request = structs.replace(world.request, source=source, destination=destination)
    return world._replace(request=request)


def rewritten(
    builtins: Any,  # noqa: ANN401 # of any depth
    text: Callable[[str], str],
    number: Callable[[int], int] = int,
) -> Any:  # noqa: ANN401
    """The same builtins with every text and number changed; names of fields stay."""
    match builtins:
        case str():
            return text(builtins)
        case bool() | None:
            return builtins
        case int():
            return number(builtins)
        case list() | tuple():
            return [rewritten(each, text, number) for each in builtins]
        case _:
            return {name: rewritten(each, text, number) for name, each in builtins.items()}


HARMLESS: Final = tuple(k for k in KINDS if not k.forbids)
NEVER: Final = (False,)
SOMETIMES: Final = (False, False, True)
ALWAYS: Final = (True,)
"""How often a world is one in which the container may not be moved."""

DIMENSIONS: Final = tuple(dict.fromkeys(k.dimension for k in KINDS))


@st.composite
def worlds(
    draw: st.DrawFn,
    *,
    forbidden: Sequence[bool] = SOMETIMES,
    but: frozenset[str] = frozenset(),
    most: int = 5,
) -> World:
    """A world of up to ``most`` differences; in how many there is what forbids the move. ``but``: without these."""
    wrong = draw(st.sampled_from(forbidden))
    base = draw(st.sampled_from(tuple(BASES if wrong else WORLDS)))
    offered = tuple(k for k in (KINDS if wrong else HARMLESS) if k.name not in but)
    chosen = draw(st.lists(st.sampled_from(offered), max_size=most, unique=True))
    world = World(base, BASES[base], TRUTHS.get(base))
    for each in offered:
        if each in chosen:
            new = each.change(draw, world)
            if new != world:
                world = new._replace(kinds=(*new.kinds, each.name))
    return world
