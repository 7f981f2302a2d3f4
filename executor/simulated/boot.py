"""What a node does alone: losing power, coming up again, starting what its durable configs say."""

from __future__ import annotations

import re
from functools import partial

from executor.simulated import vz
from executor.simulated.tree import EMPTY, Data, Dir, File, Thing, Tree
from executor.simulated.world import FILES, NodeState, Standing, World
from planner.model import CONF_DIR

_CONFIG = re.compile(rf"{CONF_DIR}/([0-9]+)\.conf")


def reboot(world: World, node: NodeState, *, keeps_all: bool = False) -> None:
    """Power is cut and comes back: unsynced changes are gone (or happen to be there), processes and mounts too."""
    lose_power(world, node, keeps_all=keeps_all)
    come_up(world, node)


def lose_power(world: World, node: NodeState, *, keeps_all: bool = False) -> None:
    """Unsynced changes are gone (or happen to be on the disk), processes and mounts too; the node stays dark."""
    if keeps_all:
        world.sync(node)
    for mount in node.mounts:
        if mount.device in node.luns:
            world.keep_dumps(node, node.luns[mount.device], mount.point, node.disk)
    node.tree, node.cached = node.disk, {}
    node.mounts = node.lasting
    node.running, node.roots, node.bare, node.frozen = {}, {}, frozenset(), frozenset()
    node.living, node.busy, node.told = frozenset(), frozenset(), frozenset()
    world.late = tuple(late for late in world.late if node.name not in late.ends)
    node.boots += 1
    node.dark = True


def happened_to_be_written(node: NodeState, *, but: str) -> None:
    """Of what was not synced, all that is not below ``but`` is on the disk: the kernel writes when it likes to."""
    below = but + "/"
    kept = {path: thing for path, thing in node.disk.items() if path.startswith(below)}
    new = {path: thing for path, thing in node.tree.items() if not path.startswith(below)}
    node.disk = Tree({**new, **kept})


def happened_to_be_torn(node: NodeState, *, but: str) -> None:
    """All names are on the disk; new files, but for those below ``but``, are empty unless the like of them was synced.

    A filesystem makes names durable when it likes to, what is in the files later ([seen] ext4). Which names are of one
    file is not looked at: a file is taken for synced if one with its text and mode is.
    """
    below = but + "/"
    known = {thing for thing in node.disk.values() if isinstance(thing, File)}

    def torn(path: str, thing: Thing) -> Thing:
        if not isinstance(thing, File) or thing in known or path.startswith(below):
            return thing
        return node.disk.get(path, File("", thing.mode))

    node.disk = Tree({path: torn(path, thing) for path, thing in node.tree.items()})


def come_up(world: World, node: NodeState) -> None:
    """Power is back: what its durable configs say is started, or tried: vzctl itself refuses what is forbidden."""
    node.dark = False
    for ctid in sorted(node.disk.once("tried", partial(_all_that_are_tried, node))):
        for _ in vz.start(world, node, ctid, force=False, skiplock=False):
            pass


def power_back(world: World) -> None:
    """Every node that is without power gets it back."""
    for node in world.nodes.values():
        if node.dark:
            come_up(world, node)


def auto_starts(node: NodeState) -> frozenset[int]:
    """Containers that the next boot would try to start, were the power cut now."""
    return node.disk.once("starts", partial(_all_that_start, node))


def _all_that_start(node: NodeState) -> frozenset[int]:
    return frozenset(ctid for ctid in _configured(node.disk) if _starts(node, ctid))


def _all_that_are_tried(node: NodeState) -> frozenset[int]:
    return frozenset(ctid for ctid in _configured(node.disk) if _wanted(node, ctid) is not None)


def _wanted(node: NodeState, ctid: int) -> vz.Areas | None:
    where = _areas_on_disk(node, ctid)
    return where if where is not None and vz.wanted_at_boot(node, node.disk, ctid, where) else None


def _configured(disk: Tree) -> list[int]:
    return [int(m[1]) for m in map(_CONFIG.fullmatch, disk) if m is not None]


def _starts(node: NodeState, ctid: int) -> bool:
    where = _wanted(node, ctid)
    return where is not None and not where.disabled and isinstance(node.disk.get(where.private), Dir)


def _areas_on_disk(node: NodeState, ctid: int) -> vz.Areas | None:
    thing = node.disk.get(vz.config_path(ctid))
    if not isinstance(thing, File) or thing.text is None:
        return None
    return vz.areas(ctid, thing.text, node.given.vz_conf)


def boots_into(world: World, node: NodeState, ctid: int) -> Data | None:
    """The files on which the next boot would start a container, were the power cut now; None: it would not."""
    if ctid not in auto_starts(node):
        return None
    # Where it would be started depends on this alone; what is there, on what was written since.
    filled = tuple([lun.data != EMPTY for lun in world.luns.values()])
    key = ("boots into", ctid, node.stubborn, node.hushed, filled)
    place = node.disk.once(key, partial(_started_at, world, node, ctid))
    if place is None:
        return None
    thing = world.luns[place.lun].data if place.lun is not None else node.disk.get(place.private + FILES)
    return thing if isinstance(thing, Data) else None


def _started_at(world: World, node: NodeState, ctid: int) -> Standing | None:
    """The hooks' own code decides; on a fork, since this only asks."""
    twin = world.fork()
    there = twin.nodes[node.name]
    reboot(twin, there)
    return there.running.get(ctid)
