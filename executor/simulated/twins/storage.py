"""Twins of the verbs that move data: copying, mounting, releasing."""

from __future__ import annotations

from executor.simulated import vz
from executor.simulated.twins.here import DONE, End, Here, Twin, die, dirty, held, not_up, same_disk
from executor.simulated.world import FILES, Data
from planner.verbs import NO_DEVICE


def mount_device(here: Here, device: str, identity: str, private: str, found: str) -> Twin:
    """The identity before and after; ``clean``: refused while any node has it mounted."""
    disk, node = here.device(device), here.node
    if disk is None:
        return not_up(f"{device} is not a block device")
    top = node.mounted_at(private)
    if top is not None and top.device == disk.number:
        return DONE if same_disk(disk, identity) else die(f"{device} is not {identity}")
    if not node.is_dir(private):
        return not_up(f"{private} is not there")
    if top is not None:
        return die(f"something else is mounted at {private}")
    if not same_disk(disk, identity):
        return not_up(f"{device} is not {identity}")
    why = held(here, disk)
    if why is not None and node.mounts_of(node.luns[disk.number]):
        return die(f"{device} is {why}")
    if found == "clean" and dirty(here, disk):
        return not_up(f"{device} is mounted read-write by some node (needs_recovery)")
    if not vz.mount(here.world, node, disk, private):
        return not_up(f"{device} cannot be mounted at {private}")
    yield
    return DONE


def release_device(here: Here, device: str, identity: str, private: str) -> Twin:
    """Never a lazy unmount, which only hides who still holds it."""
    disk, node = here.device(device), here.node
    if disk is None:
        return die(f"{device} is not a block device")
    while (top := node.mounted_at(private)) is not None and top.device == disk.number:
        if not vz.umount(here.world, node, private):
            return die(f"{private} cannot be unmounted")
        yield
    yield from here.sync()
    return _not_held(here, device, identity)


def prove_released(here: Here, device: str, identity: str) -> Twin:
    """Looks only: held by nothing here, mounted read-write by no node."""
    yield from ()
    end, disk = _not_held(here, device, identity), here.device(device)
    if end.status == 0 and disk is not None and dirty(here, disk):
        return die(f"{device} is mounted read-write by some node (needs_recovery)")
    return end


def _not_held(here: Here, device: str, identity: str) -> End:
    disk = here.device(device)
    if disk is None or not same_disk(disk, identity):
        return die(f"{device} is not {identity}")
    why = held(here, disk)
    return die(f"{device} is {why}") if why is not None else DONE


def copy_tree(
    here: Here,
    ctid: str,
    private: str,
    device: str,
    identity: str,
    peer: str,
    peer_private: str,
    which: str,
    rsh: str,
) -> Twin:
    """Source proved mounted and not empty, the peer's directory proved this run's own; synced there."""
    node, world = here.node, here.world
    if device != NO_DEVICE:
        disk, top = here.device(device), node.mounted_at(private)
        if disk is None or top is None or top.device != disk.number or not same_disk(disk, identity):
            return die(f"{private} is not on {device}")
    data = world.content(node, private)
    if data is None:
        return die(f"{private} is empty")
    there = world.nodes.get(peer)
    if there is None or not there.reachable or not node.reachable:
        return die(f"{peer} cannot be reached by {rsh}")
    twin = Here(world, there, here.run, here.generation, "")
    if twin.marker(peer_private) not in there.tree or not there.is_dir(peer_private):
        return die(f"{peer}:{peer_private} was not made by this run")
    target = peer_private + FILES
    old = there.tree.get(target)
    before = old if isinstance(old, Data) else Data(0, 0)
    there.put(target, Data(data.head, before.tail))
    yield
    if (data := world.content(node, private)) is None or not there.is_dir(peer_private):
        return die(f"{private} or {peer}:{peer_private} went away while it was copied")
    there.put(target, data)
    yield
    there.sync()
    yield
    return DONE
