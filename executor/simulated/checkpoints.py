"""What vzctl makes of a container's memory: whole checkpoints, as CRIU does, and staged ones (domain.md).

Generators as in ``executor.simulated.vz``.
"""

from __future__ import annotations

from executor.simulated.tree import EMPTY, HALF, Dir, Link
from executor.simulated.vz import (
    FAILED,
    LOCKED,
    Effects,
    areas_of,
    hooks,
    kept_out,
    put_root,
    take_up,
    unmount_root,
)
from executor.simulated.world import NodeState, Standing, World


def chkpnt(world: World, node: NodeState, ctid: int, *, skiplock: bool) -> Effects:
    """``vzctl chkpnt``, whole: the dump, which matches the disk as it is then; then it is killed and unmounted."""
    where = areas_of(node, ctid)
    if where is None or ctid not in node.running:
        return FAILED
    if not skiplock and kept_out(node, ctid, where.lockdir):
        return LOCKED
    written, dump = world.content_of(node, node.running[ctid]), f"{where.dumpdir}/Dump.{ctid}"
    node.put(dump, HALF)
    yield
    node.put(dump, written if written is not None else EMPTY)
    node.go_down(ctid)
    yield
    yield from unmount_root(world, node, ctid)  # its failure is not passed on
    return 0


def restore(world: World, node: NodeState, ctid: int, *, skiplock: bool) -> Effects:
    """``vzctl restore``. [seen] It ignores DISABLED."""
    where = areas_of(node, ctid)
    dump = f"{where.dumpdir}/Dump.{ctid}" if where is not None else ""
    if where is None or not isinstance(node.tree.get(where.private), Dir | Link) or dump not in node.tree:
        return FAILED
    if not skiplock and kept_out(node, ctid, where.lockdir):
        return LOCKED
    if ctid in node.roots or (yield from hooks(world, node, ctid, "premount", "mount")):
        return FAILED
    put_root(node, ctid, where)
    yield
    place = Standing(where.private, node.lun_at(where.private))
    broken = node.tree[dump] == HALF or world.content_of(node, place) is None
    if "start" in node.stubborn or broken:
        yield from unmount_root(world, node, ctid)
        return FAILED
    take_up(world, node, ctid, place, dump)
    node.running = {**node.running, ctid: place}
    world.ran |= {(node.name, ctid)}
    yield
    node.drop(dump)
    yield
    return 0


def freeze(node: NodeState, ctid: int, *, skiplock: bool) -> Effects:
    """``vzctl chkpnt --suspend``: it stands still."""
    where = areas_of(node, ctid)
    if where is None or not node.awake(ctid):
        return FAILED
    if not skiplock and kept_out(node, ctid, where.lockdir):
        return LOCKED
    node.frozen |= {ctid}
    yield
    return 0


def dump(world: World, node: NodeState, ctid: int, file: str) -> Effects:
    """``vzctl chkpnt --dump --dumpfile``: what stands still, written down."""
    if ctid not in node.frozen:
        return FAILED
    node.put(file, HALF)
    yield
    node.put(file, world.content_of(node, node.running[ctid]) or EMPTY)
    yield
    return 0


def resume(world: World, node: NodeState, ctid: int) -> Effects:
    """``vzctl chkpnt --resume``, or ``restore --resume``."""
    if ctid not in node.frozen or "start" in node.stubborn:
        return FAILED
    node.frozen -= {ctid}
    world.ran |= {(node.name, ctid)}
    yield
    return 0


def kill(node: NodeState, ctid: int) -> Effects:
    """``vzctl chkpnt --kill``, or ``restore --kill``: it stays mounted. Not without its config."""
    if ctid not in node.frozen or areas_of(node, ctid) is None:
        return FAILED
    node.frozen -= {ctid}
    node.go_down(ctid)
    yield
    return 0


def undump(world: World, node: NodeState, ctid: int, file: str, *, resumed: bool) -> Effects:
    """``vzctl restore --dumpfile``, and with ``--undump`` it stands still afterwards. The file stays."""
    where = areas_of(node, ctid)
    if where is None or not isinstance(node.tree.get(where.private), Dir | Link) or ctid in node.roots:
        return FAILED
    if (yield from hooks(world, node, ctid, "premount", "mount")):
        return FAILED
    put_root(node, ctid, where)
    yield
    place, memory = Standing(where.private, node.lun_at(where.private)), node.tree.get(file)
    if "start" in node.stubborn or memory in (None, HALF) or world.content_of(node, place) is None:
        yield from unmount_root(world, node, ctid)
        return FAILED
    take_up(world, node, ctid, place, file)
    node.running, node.frozen = {**node.running, ctid: place}, node.frozen | {ctid}
    yield
    return (yield from resume(world, node, ctid)) if resumed else 0
