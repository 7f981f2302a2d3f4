"""Twins of the verbs that move data: copying, mounting, releasing."""

from __future__ import annotations

from executor.simulated import vz
from executor.simulated.tree import EMPTY, HALF, Data, Dir
from executor.simulated.twins.here import DONE, End, Here, Twin, die, dirty, held, not_up, same_disk, unfit
from planner.model import Device, State
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
    return not_held(here, device, identity)


def release_unless_up(here: Here, device: str, identity: str, private: str, ctid: str) -> Twin:
    """Under a container that somebody has mounted or started it stays."""
    state = vz.state_of(here.node, int(ctid))
    if state in (State.RUNNING, State.MOUNTED):
        return DONE
    if state is State.UNKNOWN:
        return die(f"the state of container {ctid} is not known")
    return (yield from release_device(here, device, identity, private))


def prove_released(here: Here, device: str, identity: str) -> Twin:
    """Looks only: held by nothing here, mounted read-write by no node."""
    yield from ()
    end, disk = not_held(here, device, identity), here.device(device)
    if end.status == 0 and disk is not None and dirty(here, disk):
        return die(f"{device} is mounted read-write by some node (needs_recovery)")
    return end


def not_held(here: Here, device: str, identity: str) -> End:
    """Whether nothing on this node mounts or holds it, and it is that disk."""
    disk = here.device(device)
    if disk is None or not same_disk(disk, identity):
        return die(f"{device} is not {identity}")
    why = held(here, disk)
    return die(f"{device} is {why}") if why is not None else DONE


def note_superblock(here: Here, device: str, identity: str) -> Twin:
    """What every read-write mount changes."""
    disk = here.device(device)
    if disk is None or not same_disk(disk, identity):
        return die(f"{device} is not {identity}")
    yield from here.mark("superblock", _superblock(here, disk))
    return DONE


def see_mounted(here: Here, device: str, identity: str) -> Twin:
    """The challenge: a clone, however faithful, does not change with its original."""
    yield from ()
    disk = here.device(device)
    if disk is None or not same_disk(disk, identity):
        return die(f"{device} is not {identity}")
    if here.node.mounts_of(here.node.luns[disk.number]):
        return die(f"{device} is mounted here")
    if not dirty(here, disk):
        return unfit(f"{device} does not show that the source has it mounted")
    if here.note("superblock") == _superblock(here, disk):
        return unfit(f"{device} did not change when the source mounted it")
    return DONE


def _superblock(here: Here, disk: Device) -> str:
    return str(here.world.luns[here.node.luns[disk.number]].mounted)


def claim_empty(here: Here, private: str, device: str, identity: str) -> Twin:
    """What it holds later is this run's, and may be deleted again."""
    disk, node = here.device(device), here.node
    if disk is None or node.lun_at(private) != node.luns[disk.number] or not same_disk(disk, identity):
        return die(f"{private} is not on {device}")
    if here.note("claimed") is not None:
        yield from here.sync()
        return DONE
    if here.world.content(node, private) is not None:
        return die(f"{device} is not empty")
    yield from here.mark("claimed", f"{device} {identity}")
    return DONE


def empty_claimed(here: Here, private: str, device: str, identity: str) -> Twin:
    """Only with the mark, and only in that very filesystem."""
    if here.note("claimed") is None:
        yield from here.sync()
        return DONE
    disk, node = here.device(device), here.node
    if disk is None:
        return die(f"{device} is not a block device")
    place = private
    if node.lun_at(private) != node.luns[disk.number]:
        place = f"{here.folder}/mnt"
        if not node.is_dir(place):
            node.put(place, Dir(0o700))
            yield
        end: End = yield from mount_device(here, device, identity, place, "any")
        if end.status:
            return end
    if not same_disk(disk, identity):
        return die(f"{device} is not {identity}")
    if "remove" in node.stubborn:
        yield from _left(here, place, private)
        return die(f"what is on {device} cannot be deleted")
    here.world.put_content(node, place, EMPTY)
    yield
    yield from here.sync()
    end = yield from _left(here, place, private)
    if end.status:
        return end
    node.drop(f"{here.folder}/claimed")
    yield
    yield from here.sync()
    return DONE


def _left(here: Here, place: str, private: str) -> Twin:
    """Whether it is empty or not: who releases the device next must not find it mounted in the run's own folder."""
    if place != private:
        if not vz.umount(here.world, here.node, place):
            return die(f"{place} cannot be unmounted")
        yield
        here.node.drop(place)
        yield
    return DONE


def copy_tree(
    here: Here,
    ctid: str,
    private: str,
    device: str,
    identity: str,
    peer: str,
    peer_private: str,
    peer_device: str,
    peer_identity: str,
    which: str,
    rsh: str,
    options: str,
) -> Twin:
    """Source proved mounted and not empty, the peer's place proved this run's own; synced there."""
    node, world = here.node, here.world
    if which == "dump":
        return (yield from _copy_dump(here, f"{private}/Dump.{ctid}", peer, peer_private, rsh))
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
    why = _not_ours(twin, peer_private, peer_device, peer_identity)
    if why is not None:
        return die(why)
    before = world.content(there, peer_private) or EMPTY
    world.put_content(there, peer_private, Data(data.head, before.tail))
    yield
    if (data := world.content(node, private)) is None or _not_ours(
        twin, peer_private, peer_device, peer_identity
    ):
        return die(f"{private} or {peer}:{peer_private} went away while it was copied")
    world.put_content(there, peer_private, data)
    yield
    world.sync(there)
    yield
    return DONE


def _copy_dump(here: Here, dump: str, peer: str, place: str, rsh: str) -> Twin:
    """The peer's place proved this run's own, synced there."""
    world, memory = here.world, here.node.tree.get(dump)
    if not isinstance(memory, Data):
        return die(f"{dump} is not there, or is a link")
    there = world.nodes.get(peer)
    if there is None or not there.reachable or not here.node.reachable:
        return die(f"{peer} cannot be reached by {rsh}")
    twin, copied = Here(world, there, here.run, here.generation, ""), f"{place}{dump[dump.rindex('/') :]}"
    why = _not_ours(twin, place, NO_DEVICE, NO_DEVICE)
    if why is not None:
        return die(why)
    there.put(copied, HALF)
    yield
    if _not_ours(twin, place, NO_DEVICE, NO_DEVICE) or here.node.tree.get(dump) != memory:
        return die(f"{dump} or {peer}:{place} went away while it was copied")
    there.put(copied, memory)
    yield
    world.sync(there)
    yield
    return DONE


def copy_on(here: Here, private: str, peer: str, peer_private: str) -> Twin:
    """The rest of a copy that nobody waits for: what was to be proved has been proved when it began."""
    there, data = (
        here.world.nodes[peer],
        here.world.content(here.node, private),
    )  # of a dump nothing comes any more
    if there.is_dir(peer_private) and data is not None:
        here.world.put_content(there, peer_private, data)
        yield
    return DONE


def _not_ours(there: Here, private: str, device: str, identity: str) -> str | None:
    """Why a copy must not go there."""
    node = there.node
    if not node.is_dir(private):
        return f"{private} is not there"
    if device == NO_DEVICE:
        return None if there.marker(private) in node.tree else f"{private} was not made by this run"
    disk = there.device(device)
    if disk is None or not same_disk(disk, identity) or node.lun_at(private) != node.luns[disk.number]:
        return f"{private} is not on {device}"
    return None if there.note("claimed") is not None else f"{device} was not claimed by this run"


def stands(here: Here, ctid: int, private: str, device: str) -> bool:
    """Whether its device is at its private area, and was so when its root area was mounted."""
    disk, top = here.device(device), here.node.mounted_at(private)
    there = disk is not None and top is not None and top.device == disk.number
    return there and ctid not in here.node.bare


def made_mounted(here: Here, private: str, device: str, identity: str) -> Twin:
    """The device, if it owns one, is mounted there."""
    if device == NO_DEVICE:
        return DONE
    return (yield from mount_device(here, device, identity, private, "any"))


def take_off(here: Here, ctid: int) -> Twin:
    """Nothing of a container runs; nothing of it stays mounted, either."""
    if vz.state_of(here.node, ctid) is State.MOUNTED:
        yield from vz.unmount_root(here.world, here.node, ctid)
    if (up := is_up(here, ctid)) is not None:
        return up
    yield from here.sync()
    return DONE


def is_up(here: Here, ctid: int) -> End | None:
    """Why it is not down; None: nothing of it runs or is mounted."""
    state = vz.state_of(here.node, ctid)
    down = state in (State.STOPPED, State.SUSPENDED, State.DELETED)
    return None if down else die(f"container {ctid} is still {state}")
