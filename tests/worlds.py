"""Requests for the tests, made in Python."""

from __future__ import annotations

from planner.model import (
    Asked,
    Container,
    Device,
    Filesystem,
    Journal,
    Known,
    Mount,
    NodeFacts,
    Path,
    PathKind,
    Request,
    Room,
    Script,
    State,
)

PREMOUNT = """#!/bin/bash
source ${VE_CONFFILE}
[ -d ${VE_PRIVATE} ] || mkdir ${VE_PRIVATE}
[ -n "$VE_DEVICE" ] && mount ${VE_DEVICE} ${VE_PRIVATE} || echo -n " "
"""
POSTUMOUNT = """#!/bin/bash
source ${VE_CONFFILE}
if [ -n "$VE_DEVICE" ]; then
   umount ${VE_PRIVATE} 2> /dev/null || echo -n ""
fi
"""
VZ_CONF = 'VIRTUOZZO=yes\nLOCKDIR=/vz/lock\nDUMPDIR=/vz/dump\nVE_ROOT="/vz/root/$VEID"\nVE_PRIVATE="/vz/private/$VEID"\n'
TOOLS = (
    "blkid",
    "blockdev",
    "dumpe2fs",
    "flock",
    "mke2fs",
    "rsync",
    "setsid",
    "sha256sum",
    "ssh",
    "timeout",
    "vzctl",
)
CONFIG = 'ONBOOT="yes"\nHOSTNAME="web1"\nNAME="web1"\nVE_ROOT="/vz/root/$VEID"\nVE_PRIVATE="/vz/private/$VEID"\nVE_LAYOUT="simfs"\n'
OTHER = 'ONBOOT="yes"\nHOSTNAME="mail"\nVE_ROOT="/vz/root/$VEID"\nVE_PRIVATE="/vz/private/$VEID"\nVE_LAYOUT="simfs"\n'
DEVICE_LINE = 'VE_DEVICE="/dev/sda1"\n'


def directory(path: str, entries: tuple[str, ...] | None = None, *, empty: bool | None = None) -> Path:
    """A directory's entry in the facts."""
    bare = (not entries) if empty is None else empty
    return Path(path, PathKind.DIRECTORY, path, bare, entries)


def lun(names: tuple[str, ...], number: str, *, mounted_here: bool, dirty: bool) -> Device:
    """The shared LUN as one node sees it."""
    ext4 = Filesystem("ext4", "11111111-2222-3333-4444-555555555555", Journal.INTERNAL, Known.YES if dirty else Known.NO)
    held = Known.NO if mounted_here else Known.YES
    return Device(tuple(sorted(names)), number, 10 << 30, Known.NO, "3600508b4000971f", 2048, (), held, ext4)


def disk_of_vz() -> Device:
    """The node's own disk, with /vz on it."""
    ext4 = Filesystem("ext4", "99999999-0000-0000-0000-000000000000", Journal.INTERNAL, Known.YES)
    return Device(("/dev/vda2",), "252:2", 100 << 30, Known.NO, None, 4096, (), Known.NO, ext4)


def node(
    name: str,
    containers: tuple[Container, ...],
    scripts: tuple[Script, ...] = (),
    devices: tuple[Device, ...] = (),
    mounts: tuple[Mount, ...] = (),
    more_names: tuple[str, ...] = (),
) -> NodeFacts:
    """A node with these containers, all of them under /vz."""
    ctids = tuple(str(c.ctid) for c in containers)
    names = (*(f"{c}.conf" for c in ctids), *(s.name for s in scripts), *more_names)
    points = {m.point for m in mounts}
    areas = []
    for c in containers:
        owns = "VE_DEVICE" in (c.config or "")
        private = f"/vz/private/{c.ctid}"
        areas.append(directory(private, empty=owns and private not in points))
        areas.append(directory(f"/vz/root/{c.ctid}", empty=c.state is not State.RUNNING))
    tops = (directory("/vz/private", ctids), directory("/vz/root", ctids), directory("/vz/dump", ()), directory("/vz/lock", ()))
    return NodeFacts(
        version=1,
        node=name,
        boot_id=f"boot-of-{name}",
        vz_running=Known.YES,
        vz_conf=VZ_CONF,
        tools=TOOLS,
        containers=containers,
        conf_names=tuple(sorted(names)),
        scripts=tuple(sorted(scripts, key=lambda s: s.name)),
        devices=(*devices, disk_of_vz()),
        mounts=(Mount("/vz", "252:2", "/", "ext4", "/dev/vda2", False, False), *mounts),
        paths=tuple(sorted((*tops, *areas), key=lambda p: p.path)),
        locks=(),
        owners=(),
        rooms=(Room("/vz", 100 << 30, 50 << 30, 1 << 20),),
    )


def shared(state: State, onboot: bool = True) -> Request:
    """Way a: 123 on hn1 beside 101, 102 on hn2; 123 has an action script and an older backup of its config."""
    config = CONFIG if onboot else CONFIG.replace("yes", "no")
    source = node(
        "hn1",
        (Container(101, State.RUNNING, OTHER), Container(123, state, config)),
        scripts=(Script("123.mount", 0o755, "#!/bin/sh\nexit 0\n"),),
        more_names=("123.conf.migrated", "ve-basic.conf-sample"),
    )
    destination = node("hn2", (Container(102, State.STOPPED, OTHER),), more_names=("ve-basic.conf-sample",))
    return Request(Asked(123, "hn1", "hn2"), source, destination)


def san(state: State, onboot: bool = True) -> Request:
    """Way d2: the LUN is /dev/sda1 on hn1 and /dev/sdm1 on hn2; the wiki's hooks on both."""
    config = (CONFIG if onboot else CONFIG.replace("yes", "no")) + DEVICE_LINE
    hooks = (Script("vps.premount", 0o755, PREMOUNT), Script("vps.postumount", 0o755, POSTUMOUNT))
    by_id = "/dev/disk/by-id/wwn-0x600508b4000971f-part1"
    runs = state is State.RUNNING
    mounts = (Mount("/vz/private/123", "8:1", "/", "ext4", "/dev/sda1", False, False),) if runs else ()
    source = node(
        "hn1",
        (Container(101, State.RUNNING, OTHER), Container(123, state, config)),
        hooks,
        (lun(("/dev/sda1", by_id), "8:1", mounted_here=runs, dirty=runs),),
        mounts,
    )
    destination = node(
        "hn2",
        (Container(102, State.STOPPED, OTHER),),
        hooks,
        (lun(("/dev/sdm1", by_id), "8:193", mounted_here=False, dirty=runs),),
    )
    return Request(Asked(123, "hn1", "hn2"), source, destination)


WORLDS = {
    f"{make.__name__}-{state}{'' if onboot else '-not-on-boot'}": make(state, onboot)
    for make in (shared, san)
    for state in (State.RUNNING, State.STOPPED)
    for onboot in (True, False)
}


