"""What the tools on a node do: vzctl with its hooks, mount, umount. domain.md's [seen] lines, in code.

Generators yield after every effect, so that a fault can stop them there and the invariants can look.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from functools import lru_cache
from typing import Final, NamedTuple

from executor.simulated.tree import Dir, File, Link, Tree
from executor.simulated.world import NodeState, Standing, World
from planner.model import CONF_DIR, Device, Known, Mount, State
from planner.parse.config import ConfigError, expanded, settings, value
from planner.situation import DEFAULTS, reboot_dir

Effects = Generator[None, None, int]
"""Yields after each effect; returns an exit status."""

LOCKED: Final = 9
DISABLED: Final = 105
FAILED: Final = 1


class Areas(NamedTuple):
    """A container's settings as vzctl reads them (the first of a name), but for what a hook reads (the last)."""

    private: str
    root: str
    lockdir: str
    dumpdir: str
    hook_device: str | None
    onboot: Known  # UNKNOWN: it says neither yes nor no
    disabled: bool
    layout: str | None


@lru_cache(maxsize=4096)
def areas(ctid: int, config: str, vz_conf: str | None) -> Areas | None:
    """The settings; None if they would have to be evaluated by a shell."""
    try:
        private, root, lockdir, dumpdir = (
            expanded(
                name,
                (None if name == "LOCKDIR" else value(config, name)) or value(vz_conf or "", name) or default,
                ctid,
            )
            for name, default in DEFAULTS.items()
        )
    except ConfigError:
        return None
    devices = [s.value for s in settings(config) if s.name == "VE_DEVICE"]
    return Areas(
        private,
        root,
        lockdir,
        dumpdir,
        hook_device=devices[-1] if devices else None,
        onboot=_yes_or_no(value(config, "ONBOOT")),
        disabled=value(config, "DISABLED") == "yes",
        layout=value(config, "VE_LAYOUT"),
    )


def _yes_or_no(said: str | None) -> Known:
    return Known(said) if said in (Known.YES, Known.NO) else Known.UNKNOWN


def config_path(ctid: int) -> str:
    """The config that vzctl reads."""
    return f"{CONF_DIR}/{ctid}.conf"


def areas_of(node: NodeState, ctid: int) -> Areas | None:
    """The settings of a container that has an active config here."""
    text = node.text(config_path(ctid))
    return None if text is None else areas(ctid, text, node.given.vz_conf)


def state_of(node: NodeState, ctid: int) -> State:
    """The words of ``vzctl status``, and a dump that waits."""
    if ctid in node.running:
        return State.RUNNING
    if ctid in node.roots:
        return State.MOUNTED
    where = areas_of(node, ctid)
    if where is None or not isinstance(node.tree.get(where.private), Dir | Link):
        return State.DELETED  # [seen] also with a config present
    if f"{where.dumpdir}/Dump.{ctid}" in node.tree:
        return State.SUSPENDED
    return State.STOPPED


def wanted_at_boot(node: NodeState, tree: Tree, ctid: int, where: Areas) -> bool:
    """Whether the boot script would start it, as far as ``tree`` says: ONBOOT, or a file in VZREBOOTDIR."""
    if where.onboot is Known.UNKNOWN:
        return f"{reboot_dir(node.given.vz_conf)}/{ctid}" in tree
    return where.onboot is Known.YES


# --- mounts ---------------------------------------------------------------------------------------------------


def mount(world: World, node: NodeState, device: Device, point: str) -> bool:
    """``mount DEVICE POINT``. [seen] Nothing stops a second node from mounting the same ext4."""
    top = node.mounted_at(point)
    if (
        "mount" in node.stubborn
        or not node.is_dir(point)
        or (top is not None and top.device == device.number)
    ):
        return False
    kind = device.filesystem.type if device.filesystem is not None else "ext4"
    # What it was called when it was mounted before is what mount(8) will call it again.
    before = next((m.source for m in node.given.mounts if m.device == device.number), None)
    new = Mount(
        point, device.number, "/", kind, before or canonical(device), read_only=False, elsewhere=False
    )
    node.mounts += (new,)
    lun = node.luns[device.number]
    known = world.luns[lun]
    world.luns = {**world.luns, lun: known._replace(dirty=True, mounted=known.mounted + 1)}
    world.show_dumps(node, lun, point)
    return True


def umount(world: World, node: NodeState, point: str) -> bool:
    """``umount POINT``, of the topmost there; a container's mounted root holds its private area too."""
    top = node.mounted_at(point)
    held = any(_stands_on(node, ctid, point) for ctid in node.roots)
    if top is None or point in node.busy or held:
        return False
    index = len(node.mounts) - 1 - node.mounts[::-1].index(top)
    node.mounts = node.mounts[:index] + node.mounts[index + 1 :]
    lun = node.luns.get(top.device)
    if lun is not None and not node.mounts_of(lun):
        # [seen] the first clean unmount clears the flag, even while another node goes on writing
        data = node.cached.get(lun, world.luns[lun].data)
        world.luns = {**world.luns, lun: world.luns[lun]._replace(data=data, dirty=False)}
        node.cached = {name: data for name, data in node.cached.items() if name != lun}
        world.keep_dumps(node, lun, point, node.tree)
    return True


def _stands_on(node: NodeState, ctid: int, point: str) -> bool:
    if ctid in node.running:
        return node.running[ctid].private == point
    where = areas_of(node, ctid)
    return where is not None and where.private == point


def canonical(device: Device) -> str:
    """The name that mount(8) writes into mountinfo: links under /dev/disk followed, /dev/mapper kept."""
    names = sorted(
        device.names, key=lambda n: (n.startswith("/dev/disk/"), not n.startswith("/dev/mapper/"), n)
    )
    return names[0]


# --- vzctl ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _hook(text: str, tool: str) -> tuple[bool, bool]:
    """Whether an action script deals with VE_DEVICE by ``tool``, and whether it hides a failure as the wiki's does."""
    deals = "VE_DEVICE" in text and re.search(rf"(?<![a-z]){tool}\b", text) is not None
    return deals, "||" in text


def hooks(world: World, node: NodeState, ctid: int, name: str, tool: str) -> Effects:
    """Both action scripts of ``name``, the node's and then the container's."""
    where = areas_of(node, ctid)
    if where is None or node.hushed:
        return 0
    for script in (f"vps.{name}", f"{ctid}.{name}"):
        deals, hides = _hook(node.text(f"{CONF_DIR}/{script}") or "", tool)
        if not deals or not where.hook_device:
            continue
        if tool == "umount":
            good = umount(world, node, where.private)
        else:
            device = node.devices.get(where.hook_device)
            good = device is not None and mount(world, node, device, where.private)
        if good:
            yield
        elif not hides:
            return FAILED
    return 0


def kept_out(node: NodeState, ctid: int, lockdir: str) -> bool:
    """[seen] A lock counts while its process lives on that node; one whose process is dead is removed as stale."""
    lock = f"{lockdir}/{ctid}.lck"
    if node.text(lock) in node.living:
        return True
    if lock in node.tree:
        node.drop(lock)
    return False


def start(world: World, node: NodeState, ctid: int, *, force: bool, skiplock: bool) -> Effects:
    """``vzctl start``: one refusal after the other, as vzctl does."""
    where = areas_of(node, ctid)
    if where is None:
        return FAILED
    if not skiplock and kept_out(node, ctid, where.lockdir):
        return LOCKED
    if not isinstance(node.tree.get(where.private), Dir | Link):
        return FAILED  # [seen] asked before any hook runs
    if ctid in node.running:
        return FAILED
    if where.disabled and not force:
        return DISABLED
    if (yield from _mounted_anew(world, node, ctid, where)):
        return FAILED
    place = Standing(where.private, node.lun_at(where.private))
    if "start" in node.stubborn or world.content_of(node, place) is None:  # nothing there that could be run
        yield from unmount_root(world, node, ctid)
        return FAILED
    dump = f"{where.dumpdir}/Dump.{ctid}"
    node.cold |= {ctid}
    if dump in node.tree:  # it takes that up by itself
        take_up(world, node, ctid, place, dump)
        node.drop(dump)
        node.disk = node.disk.drop(dump)  # whether that is lasting by then is vzctl's own affair
    node.running = {**node.running, ctid: place}
    world.ran |= {(node.name, ctid)}
    yield
    if where.layout is None:  # vzctl writes into the config itself
        text = node.text(config_path(ctid)) or ""
        gap = "" if text.endswith("\n") or not text else "\n"
        node.put(config_path(ctid), File(f'{text}{gap}VE_LAYOUT="simfs"\n', 0o644))
        yield
    return 0


def _mounted_anew(world: World, node: NodeState, ctid: int, where: Areas) -> Effects:
    """[seen] A mounted container is unmounted first, hooks and all; one that something keeps so is started as it is."""
    if ctid in node.roots:
        yield from unmount_root(world, node, ctid)
    if ctid in node.roots:
        return 0
    if (yield from hooks(world, node, ctid, "premount", "mount")):
        return FAILED
    put_root(node, ctid, where)
    yield
    return 0


def take_up(world: World, node: NodeState, ctid: int, place: Standing, dump: str) -> None:
    """Its memory is back; on a disk that has changed since, that is a loss."""
    if node.tree[dump] != world.content_of(node, place):
        world.losses += (f"{ctid} got old memory on a newer disk on {node.name}",)
    node.cold -= {ctid}
    world.untaken -= {(node.name, ctid)}


def mount_root(world: World, node: NodeState, ctid: int, *, skiplock: bool) -> Effects:
    """``vzctl mount``. [seen] It ignores DISABLED."""
    where = areas_of(node, ctid)
    if where is None:
        return FAILED
    if not skiplock and kept_out(node, ctid, where.lockdir):
        return LOCKED
    if not isinstance(node.tree.get(where.private), Dir | Link) or ctid in node.roots:
        return FAILED
    if (yield from hooks(world, node, ctid, "premount", "mount")):
        return FAILED
    if "start" in node.stubborn:
        yield from hooks(world, node, ctid, "postumount", "umount")
        return FAILED
    put_root(node, ctid, where)
    yield
    return 0


def put_root(node: NodeState, ctid: int, where: Areas) -> None:
    """Its root area is mounted, made if it is not there."""
    if not isinstance(node.tree.get(where.root), Dir | Link):
        node.put(where.root, Dir(0o755))
    node.roots = {**node.roots, ctid: where.root}
    if node.mounted_at(where.private) is None:  # [seen] it comes up on what lies under the mount point
        node.bare |= {ctid}


def stop(world: World, node: NodeState, ctid: int, *, skiplock: bool) -> Effects:
    """``vzctl stop``: 0 also if the container was down but mounted, and then it unmounts nothing."""
    where = areas_of(node, ctid)
    if where is not None and not skiplock and kept_out(node, ctid, where.lockdir):
        return LOCKED
    if ctid not in node.running:
        return 0
    if ctid in node.frozen:
        return FAILED  # it cannot be told to end
    node.told |= {ctid}  # from here on vzctl only waits
    yield
    node.go_down(ctid)
    yield
    yield from unmount_root(world, node, ctid)
    return 0


def unmount_root(world: World, node: NodeState, ctid: int) -> Effects:
    """``vzctl umount``: of an unmounted root it skips the postumount hook. Not without its config."""
    if ctid not in node.roots or ctid in node.running or node.roots[ctid] in node.busy:
        return FAILED
    if areas_of(node, ctid) is None:
        return FAILED
    node.roots, node.bare = {c: r for c, r in node.roots.items() if c != ctid}, node.bare - {ctid}
    yield
    yield from hooks(world, node, ctid, "postumount", "umount")  # [seen] its failure is not passed on
    return 0
