"""Twins of the verbs about the container: guards, stop, start, and the two pivots."""

from __future__ import annotations

from executor.simulated import vz
from executor.simulated.loading import OWNERS
from executor.simulated.twins import storage
from executor.simulated.twins.files import unfenced
from executor.simulated.twins.here import DONE, End, Here, Twin, die, not_up, same_disk, unfit
from planner.codec import text_sha256
from planner.model import State
from planner.verbs import NO, NO_DEVICE, NOT_UP, UNPROVED, YES


def guard_source(
    here: Here, ctid: str, state: str, sha256: str, private: str, device: str, identity: str
) -> Twin:
    """Looks only."""
    yield from ()
    node = here.node
    found = vz.state_of(node, int(ctid))
    if found != state:
        return unfit(f"container {ctid} is {found}, not {state}")
    text = node.text(vz.config_path(int(ctid)))
    if text is None or text_sha256(text) != sha256:
        return unfit(f"{vz.config_path(int(ctid))} was changed since the plan was made")
    if not node.is_dir(private):
        return unfit(f"{private} is not there")
    if device == NO_DEVICE:
        return DONE
    disk, top = here.device(device), node.mounted_at(private)
    if disk is None or not same_disk(disk, identity):
        return unfit(f"{device} is not {identity}")
    if state not in (State.STOPPED, State.SUSPENDED) and (top is None or top.device != disk.number):
        return unfit(f"{private} is not on {device}")
    return DONE


def guard_destination(here: Here, ctid: str, private: str, device: str, identity: str, dumpdir: str) -> Twin:
    """Looks only."""
    yield from ()
    for path in (vz.config_path(int(ctid)), f"{dumpdir}/Dump.{ctid}"):
        if path in here.node.tree:
            return unfit(f"{path} is there now")
    if not here.node.is_dir(private):
        return unfit(f"{private} is not there")
    if device == NO_DEVICE:
        held = here.node.mounts_within(private)
        return unfit(f"something is mounted at {private}") if held else DONE
    disk, top = here.device(device), here.node.mounted_at(private)
    if disk is None or not same_disk(disk, identity) or top is None or top.device != disk.number:
        return unfit(f"{private} is not on {device}")
    return DONE


def stop_container(here: Here, ctid: str, private: str, root: str) -> Twin:
    """vzctl's exit statuses are not believed; look."""
    number, node = int(ctid), here.node
    if vz.state_of(node, number) is State.RUNNING:
        yield from vz.stop(here.world, node, number, skiplock=True)
    if vz.state_of(node, number) is State.MOUNTED:
        yield from vz.unmount_root(here.world, node, number)
    state = vz.state_of(node, number)
    if state not in (State.STOPPED, State.SUSPENDED, State.DELETED):
        return die(f"container {ctid} is still {state}")
    yield from here.sync()
    return DONE


def ensure_up(
    here: Here, ctid: str, private: str, root: str, device: str, identity: str, dumpdir: str, state: str
) -> Twin:
    """Already up, or started by force (or mounted) after its device was mounted and proved; proved either way."""
    number, node = int(ctid), here.node
    is_up = vz.state_of(node, number) in (State.RUNNING, state)
    if is_up and device != NO_DEVICE and _may_be_taken_down(here, number, private, device, identity):
        stopped: End = yield from stop_container(here, ctid, private, root)
        if stopped.status:
            return stopped
        is_up = False
    if not is_up:
        end: End = yield from _bring_up(here, number, private, device, identity, dumpdir, State(state))
        if end.status:
            return end
    if device == NO_DEVICE and node.mounted_at(private) is not None:
        return die(f"container {ctid} is {state}, but something is mounted over {private}")
    if device != NO_DEVICE and not _stands(here, number, private, device):
        return die(f"container {ctid} is {state}, but not on {device}")
    return DONE


def _stands(here: Here, ctid: int, private: str, device: str) -> bool:
    """Whether its device is at its private area, and was so when its root area was mounted."""
    disk, top = here.device(device), here.node.mounted_at(private)
    there = disk is not None and top is not None and top.device == disk.number
    return there and ctid not in here.node.bare


def _may_be_taken_down(here: Here, ctid: int, private: str, device: str, identity: str) -> bool:
    """Whether it came up on the stale files under the mount point, and can have its device now."""
    if _stands(here, ctid, private, device):
        return False
    disk, top = here.device(device), here.node.mounted_at(private)
    if disk is not None and top is not None and top.device == disk.number:
        return same_disk(disk, identity)
    return top is None and not storage.not_held(here, device, identity).status


def _bring_up(
    here: Here, ctid: int, private: str, device: str, identity: str, dumpdir: str, wanted: State
) -> Twin:
    node, world = here.node, here.world
    if wanted is State.RUNNING:
        if vz.state_of(node, ctid) is State.MOUNTED:
            yield from vz.unmount_root(world, node, ctid)
        if f"{dumpdir}/Dump.{ctid}" in node.tree:
            return not_up(f"{dumpdir}/Dump.{ctid} is there")
    if device != NO_DEVICE:
        end: End = yield from storage.mount_device(here, device, identity, private, "any")
        if end.status:
            return end
    if wanted is State.RUNNING:
        status = yield from vz.start(world, node, ctid, force=True, skiplock=True)
    else:
        status = yield from vz.mount_root(world, node, ctid, skiplock=True)
    if vz.state_of(node, ctid) is State.MOUNTED and wanted is not State.MOUNTED:
        yield from vz.unmount_root(world, node, ctid)
    match vz.state_of(node, ctid):
        case state if state is wanted:
            return DONE
        case State.STOPPED | State.SUSPENDED | State.DELETED:
            return not_up(f"container {ctid} did not come up (vzctl: exit status {status})")
        case state:
            return die(f"container {ctid} did not come up and is {state}")


def bring_up(
    here: Here, ctid: str, private: str, root: str, device: str, identity: str, dumpdir: str, state: str
) -> Twin:
    """The pivot of a container that is up: marks that outlive a power cut, before and after."""
    yield from here.mark("out")
    end = yield from ensure_up(here, ctid, private, root, device, identity, dumpdir, state)
    if end.status == NOT_UP:
        yield from here.mark("refused", str(end.status))
    return end


def enable_container(here: Here, ctid: str, config: str) -> Twin:
    """The pivot of a stopped container."""
    yield from here.mark("out")
    end = yield from unfenced(here, config)
    if (here.node.text(config) or "").startswith(here.stdin):
        yield from here.mark("refused", str(end.status))
        return not_up(f"{config} is still fenced")
    yield from here.sync()
    return end


def probe_pivot(here: Here, ctid: str) -> Twin:
    """Did it *ever* take effect; not: does it run now (N04)."""
    yield from ()
    if here.note("out") is not None and here.note("refused") is None:
        return End(YES)
    if (here.node.text(f"{OWNERS}/{ctid}") or "").split(" ")[0] != here.run:
        return End(UNPROVED)  # with the run's record its memory goes too
    state = vz.state_of(here.node, int(ctid))
    return End(NO if state in (State.STOPPED, State.SUSPENDED, State.MOUNTED, State.DELETED) else UNPROVED)
