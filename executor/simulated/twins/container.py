"""Twins of the verbs about the container: guards, stop, start, and the two pivots."""

from __future__ import annotations

from collections.abc import Generator

from executor.simulated import checkpoints, vz
from executor.simulated.loading import OWNERS
from executor.simulated.tree import File
from executor.simulated.twins import storage
from executor.simulated.twins.dump import fetch_carrier
from executor.simulated.twins.files import activate, hide_config, is_named, name_config
from executor.simulated.twins.here import (
    DONE,
    End,
    Here,
    Twin,
    die,
    half_up,
    not_up,
    of_this_run,
    same_disk,
    unfit,
)
from executor.simulated.twins.left import as_left, note_left
from executor.simulated.twins.staged import go_on, take_up_file
from executor.simulated.twins.storage import made_mounted, stands, take_off
from planner.codec import text_sha256
from planner.model import State
from planner.verbs import (
    ANY_CONTENT,
    ANY_MOUNT,
    MEMORY_LOST,
    NO,
    NO_DEVICE,
    NO_DUMP,
    NOT_STAGED,
    NOT_UP,
    UNPROVED,
    YES,
)


def guard_source(
    here: Here, ctid: str, state: str, sha256: str, fenced: str, private: str, device: str, identity: str
) -> Twin:
    """Looks only."""
    yield from ()
    node = here.node
    found = vz.state_of(node, int(ctid))
    if found != state:
        return unfit(f"container {ctid} is {found}, not {state}")
    text = node.text(vz.config_path(int(ctid)))
    known = (sha256, fenced) if here.note("frozen") is not None else (sha256,)
    if text is None or text_sha256(text) not in known:
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
    if state == State.RUNNING:
        yield from note_left(here, device, identity)
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


def suspend_container(here: Here, ctid: str, private: str, root: str, dumpdir: str) -> Twin:
    """vzctl's exit statuses are not believed; look."""
    number, node, dump = int(ctid), here.node, f"{dumpdir}/Dump.{ctid}"
    if vz.state_of(node, number) is State.RUNNING:
        if of_this_run(here):
            yield from _forget_dump(here, dump)
        elif dump in node.tree:
            return die(f"{dump} is there, and this run did not make it")
        if here.note("taken") is not None:
            return die(f"container {ctid} was suspended once, and runs again")
        yield from here.mark("dumping", node.boot_id)
        yield from checkpoints.chkpnt(here.world, node, number, skiplock=True)
    if not _may_be_whole(here):
        return die(f"container {ctid} is {vz.state_of(node, number)}, and this run has not suspended it")
    if vz.state_of(node, number) is State.MOUNTED:
        yield from vz.unmount_root(here.world, node, number)
    if vz.state_of(node, number) is not State.SUSPENDED:
        return die(f"container {ctid} is {vz.state_of(node, number)}, not suspended")
    yield from here.sync()
    yield from here.mark("dumped")
    return DONE


def _forget_dump(here: Here, dump: str) -> Generator[None, None, None]:
    """Its name goes first, durably."""
    node, forgotten = here.node, here.beside(dump)
    if dump in node.tree:
        if forgotten in node.tree:
            node.drop(forgotten)
            yield
        node.move(dump, forgotten)
        yield
        yield from here.sync()
    if forgotten in node.tree:
        node.drop(forgotten)
        yield
        yield from here.sync()


def _may_be_whole(here: Here) -> bool:
    """After a power cut a dump that was not synced may be only half there."""
    whole = here.note("put-dump") is not None or here.note("dumped") is not None
    return whole or here.note("dumping") == here.node.boot_id


def _had_memory(here: Here) -> bool:
    """Whether the container was to keep its memory, and this run has begun to take it along."""
    return of_this_run(here) or any(here.note(name) is not None for name in ("taken", "freezing"))


def _used_up(here: Here) -> Generator[None, None, None]:
    """Whoever finds a dump here from now on has another one before him."""
    yield from here.sync()
    if here.note("carrier") is not None:
        here.node.put(f"{here.folder}/writing", File("", 0o600))
    for name in ("dumping", "dumped", "put-dump"):
        if here.note(name) is not None:
            here.node.drop(f"{here.folder}/{name}")
    yield
    yield from here.sync()


def _void(here: Here, dump: str) -> Generator[None, None, None]:
    """It runs on: what this run wrote down of it, or half of that, must never be taken up."""
    if of_this_run(here):
        yield from _forget_dump(here, dump)
        yield from _used_up(here)
    if here.note("killing") is not None and here.note("taken") is None:
        yield from here.mark("taken")


def void_dump(here: Here, dump: str) -> Twin:
    """Of what was taken up nothing may be left."""
    if here.note("taken") is None or not of_this_run(here):
        yield from here.sync()
        return DONE
    yield from _forget_dump(here, dump)
    yield from _used_up(here)
    return DONE


def _take_up(here: Here, ctid: int) -> Generator[None, None, End | None]:
    """From this run's dump, which is void from here on; how it ended, or None: nothing came of it."""
    node = here.node
    if here.note("taken") is not None or not _may_be_whole(here):
        return None
    here.world.untaken |= {(node.name, ctid)}
    yield from here.mark("taken")
    status = yield from checkpoints.restore(here.world, node, ctid, skiplock=True)
    if vz.state_of(node, ctid) is State.MOUNTED:
        yield from vz.unmount_root(here.world, node, ctid)
    match vz.state_of(node, ctid):
        case State.RUNNING:
            return DONE
        case State.SUSPENDED if status:
            return None
        case state:
            return die(f"the memory of container {ctid} was to be taken up; it is {state} now")


def stop_container(here: Here, ctid: str, private: str, root: str) -> Twin:
    """vzctl's exit statuses are not believed; look."""
    number, node = int(ctid), here.node
    if vz.state_of(node, number) is State.RUNNING:
        yield from here.mark("stopping", node.boot_id)
        yield from vz.stop(here.world, node, number, skiplock=True)
    end: End = yield from take_off(here, number)
    if not end.status and here.note("stopping") is not None:
        yield from _has_stopped(here)
    return end


def _has_stopped(here: Here) -> Generator[None, None, None]:
    """No guest is left that was told to end."""
    here.node.drop(f"{here.folder}/stopping")
    yield
    yield from here.sync()


def _end_what_was_told(here: Here, ctid: str, private: str, root: str) -> Twin:
    """What seems to run, and may go down at any moment, is stopped, to be started anew."""
    told = here.note("stopping") == here.node.boot_id
    if told and vz.state_of(here.node, int(ctid)) is State.RUNNING:
        return (yield from stop_container(here, ctid, private, root))
    yield from _has_stopped(here)
    return DONE


def ensure_up(
    here: Here,
    ctid: str,
    private: str,
    root: str,
    device: str,
    identity: str,
    dumpdir: str,
    state: str,
    dumpfile: str,
) -> Twin:
    """Already up, or started by force (or mounted) after its device was mounted and proved; proved either way."""
    if device != NO_DEVICE:
        yield from as_left(here, device, identity)
    place = (private, root, device, identity, dumpdir)
    return (yield from _ensure_up(here, ctid, *place, state, dumpfile, pivot=False))


def _ensure_up(
    here: Here,
    ctid: str,
    private: str,
    root: str,
    device: str,
    identity: str,
    dumpdir: str,
    state: str,
    dumpfile: str,
    *,
    pivot: bool,
) -> Twin:
    number, node = int(ctid), here.node
    end: End = yield from _going_on(here, ctid, private, root, dumpfile)
    if end.status:
        return end
    is_up = vz.state_of(node, number) in (State.RUNNING, state)
    if is_up and device != NO_DEVICE and _may_be_taken_down(here, number, private, device, identity):
        stopped: End = yield from stop_container(here, ctid, private, root)
        if stopped.status:
            return stopped
        is_up = False
    if not is_up:
        place = (private, device, identity, dumpdir, dumpfile)
        end = yield from _bring_up(here, number, *place, State(state), pivot=pivot)
        if end.status:
            return end
    if state == State.RUNNING:
        yield from _void(here, f"{dumpdir}/Dump.{ctid}")
    if here.note("anew") is not None and not end.status:
        end = End(0, f"container {ctid} was started anew: {MEMORY_LOST}")
    if device == NO_DEVICE and node.mounted_at(private) is not None:
        return die(f"container {ctid} is {state}, but something is mounted over {private}")
    if device != NO_DEVICE and not stands(here, number, private, device):
        return die(f"container {ctid} is {state}, but not on {device}")
    return end


def _may_be_taken_down(here: Here, ctid: int, private: str, device: str, identity: str) -> bool:
    """Whether it came up on the stale files under the mount point, and can have its device now."""
    if stands(here, ctid, private, device):
        return False
    disk, top = here.device(device), here.node.mounted_at(private)
    if disk is not None and top is not None and top.device == disk.number:
        return same_disk(disk, identity)
    return top is None and not storage.not_held(here, device, identity).status


def _going_on(here: Here, ctid: str, private: str, root: str, dumpfile: str) -> Twin:
    """What stands still for a staged checkpoint goes on. It is not ended if it cannot: it has its memory."""
    number = int(ctid)
    runs = vz.state_of(here.node, number) is State.RUNNING
    undumped = here.note("undumped") is not None or here.note("taken") is not None
    begun = here.note("freezing") == here.node.boot_id or (undumped and number in here.node.frozen)
    if dumpfile == NO_DUMP or not runs or not begun or (yield from go_on(here, number)):
        return (yield from _end_what_was_told(here, ctid, private, root))
    return not_up(f"container {ctid} still stands still, with all that it has in mind")


def _bring_up(
    here: Here,
    ctid: int,
    private: str,
    device: str,
    identity: str,
    dumpdir: str,
    dumpfile: str,
    wanted: State,
    *,
    pivot: bool,
) -> Twin:
    end: End
    if wanted is State.RUNNING:
        end = yield from fetch_carrier(here)
        if end.status:
            return end
        if vz.state_of(here.node, ctid) is State.MOUNTED:
            yield from vz.unmount_root(here.world, here.node, ctid)
        place = (private, device, identity)
        known: End | None = yield from _from_memory(here, ctid, *place, dumpdir, dumpfile, pivot=pivot)
        if known is not None:
            return known
        if _had_memory(here):
            yield from here.mark("anew")
    end = yield from made_mounted(here, private, device, identity)
    if end.status:
        return end
    return (yield from _started(here, ctid, wanted))


def _from_memory(
    here: Here,
    ctid: int,
    private: str,
    device: str,
    identity: str,
    dumpdir: str,
    dumpfile: str,
    *,
    pivot: bool,
) -> Generator[None, None, End | None]:
    """How it ended, if this run has written its memory down; None: nothing is there, or nothing came of it."""
    dump = f"{dumpdir}/Dump.{ctid}"
    waits = dump in here.node.tree
    if pivot and dumpfile != NO_DUMP:
        return not_up(f"container {ctid} does not stand still any more: it is gone")
    if waits and not of_this_run(here):
        return not_up(f"{dump} is there")
    if not waits and pivot and here.note("put-dump") is not None:
        return not_up(f"{dump} is gone, which this run had put there")
    if not waits and dumpfile == NO_DUMP:
        return None
    end: End = yield from made_mounted(here, private, device, identity)
    if end.status:
        return end
    if not waits:
        return (yield from take_up_file(here, ctid, dumpfile))
    taken: End | None = yield from _take_up(here, ctid)
    if taken is None and pivot:
        return not_up(f"container {ctid} did not come up with its memory")
    if taken is None:
        yield from _forget_dump(here, dump)
    return taken


def _started(here: Here, ctid: int, wanted: State) -> Twin:
    """By force, or mounted."""
    node, world = here.node, here.world
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
        case State.MOUNTED:
            return half_up(f"container {ctid} did not come up and is still mounted")
        case state:
            return die(f"container {ctid} did not come up and is {state}")


def bring_up(
    here: Here,
    ctid: str,
    private: str,
    root: str,
    device: str,
    identity: str,
    dumpdir: str,
    state: str,
    dumpfile: str,
    staged: str,
) -> Twin:
    """The pivot of a container that is up: marks that outlive a power cut, before and after."""
    yield from here.mark("out")
    end = DONE
    if staged != NOT_STAGED:
        end = yield from name_config(here, ctid, staged)
        if not is_named(here, ctid, staged):
            yield from here.mark("refused", str(end.status))
    if end.status == 0:
        end = yield from _ensure_up(
            here, ctid, private, root, device, identity, dumpdir, state, dumpfile, pivot=True
        )
        if end.status == NOT_UP and staged != NOT_STAGED:
            config = vz.config_path(int(ctid))
            hidden: End = yield from hide_config(here, ctid, ANY_MOUNT, config, staged, ANY_CONTENT)
            if hidden.status:
                return hidden
        if end.status == NOT_UP:
            yield from here.mark("refused", str(end.status))
    return end


def enable_container(here: Here, ctid: str, staged: str) -> Twin:
    """The pivot of a stopped container."""
    yield from here.mark("out")
    end = yield from activate(here, ctid, staged)
    config = vz.config_path(int(ctid))
    if is_named(here, ctid, staged) and (here.node.text(config) or "").startswith(here.stdin):
        hidden: End = yield from hide_config(here, ctid, ANY_MOUNT, config, staged, ANY_CONTENT)
        if hidden.status:
            return hidden
    if not is_named(here, ctid, staged):
        yield from here.mark("refused", str(end.status))
    yield from here.sync()
    return end


def probe_pivot(here: Here, ctid: str, root: str) -> Twin:
    """Did it *ever* take effect; not: does it run now (N04)."""
    yield from ()
    if here.note("out") is not None and here.note("refused") is None:
        return End(YES)
    if (here.node.text(f"{OWNERS}/{ctid}") or "").split(" ")[0] != here.run:
        return End(UNPROVED)  # with the run's record its memory goes too
    if here.note("undumped") is not None and vz.state_of(here.node, int(ctid)) is State.RUNNING:
        return End(NO if int(ctid) in here.node.frozen else YES)  # it stands still until it is resumed
    state = vz.state_of(here.node, int(ctid))
    return End(NO if state in (State.STOPPED, State.SUSPENDED, State.MOUNTED, State.DELETED) else UNPROVED)
