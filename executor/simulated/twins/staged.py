"""Twins of the verbs of a staged checkpoint: the container stands still, its memory is in a file, and it can go on."""

from __future__ import annotations

from collections.abc import Generator

from executor.simulated import checkpoints, vz
from executor.simulated.twins.here import DONE, End, Here, Twin, die, not_up
from executor.simulated.twins.storage import made_mounted, stands, take_off
from planner.model import State
from planner.verbs import NO_DEVICE, NO_DUMP


def freeze_container(here: Here, ctid: str, root: str) -> Twin:
    """It stays mounted, and can go on."""
    number, node = int(ctid), here.node
    if vz.state_of(node, number) is not State.RUNNING:
        return die(f"container {ctid} is {vz.state_of(node, number)}, not running")
    if number not in node.frozen:
        yield from here.mark("freezing", node.boot_id)
        if (yield from checkpoints.freeze(node, number, skiplock=True)):
            return die(f"container {ctid} cannot be frozen")
    if here.note("freezing") != node.boot_id:
        return die(f"container {ctid} stands still, and this run has not frozen it")
    yield from here.sync()
    return DONE


def dump_container(here: Here, ctid: str, root: str, dumpfile: str) -> Twin:
    """What stands still is written down."""
    number, node = int(ctid), here.node
    if number not in node.frozen:
        return die(f"container {ctid} does not stand still")
    if here.marker(dumpfile.rpartition("/")[0]) not in node.tree:
        return die(f"{dumpfile} would not lie in a place of this run's")
    if here.note("writing") is None:
        if dumpfile in node.tree:
            return die(f"{dumpfile} is there, and this run did not write it")
        yield from here.mark("writing")
    elif dumpfile in node.tree:
        node.drop(dumpfile)
        yield
    if (yield from checkpoints.dump(here.world, node, number, dumpfile)):
        return die(f"the memory of container {ctid} cannot be written to {dumpfile}")
    yield from here.sync()
    yield from here.mark("written")
    return DONE


def prove_frozen(here: Here, ctid: str, root: str) -> Twin:
    """Looks only."""
    yield from ()
    if int(ctid) not in here.node.frozen or here.note("freezing") != here.node.boot_id:
        return die(f"container {ctid} does not stand still any more")
    return DONE


def kill_container(here: Here, ctid: str, private: str, root: str, how: str, dumpfile: str) -> Twin:
    """What was frozen, or undumped."""
    if dumpfile != NO_DUMP and (here.note("written") is None or dumpfile not in here.node.tree):
        return die(f"what container {ctid} has in mind is not written down: it is not killed")
    end: End = yield from kill_frozen(here, int(ctid), dumpfile)
    if not end.status and dumpfile != NO_DUMP and here.note("dumped") is None:
        return die(f"container {ctid} was down already: its dump may not match its disk")
    return end


def kill_frozen(here: Here, ctid: int, dumpfile: str) -> Twin:
    """What stands still ends; what runs is left alone."""
    node = here.node
    if vz.state_of(node, ctid) is State.RUNNING:
        if ctid not in node.frozen:
            return die(f"container {ctid} runs; only one that stands still is killed")
        yield from here.mark("killing", node.boot_id)
        yield from checkpoints.kill(node, ctid)
    end: End = yield from take_off(here, ctid)
    if not end.status and _as_written(here, dumpfile):
        yield from here.mark("dumped")
    return end


def _as_written(here: Here, dumpfile: str) -> bool:
    """Whether the disk is as it was when that was written: only if what stood still then was killed by this run."""
    killed = here.note("dumped") is not None or here.note("killing") == here.node.boot_id
    return killed and here.note("written") is not None and dumpfile in here.node.tree


def undump_container(
    here: Here, ctid: str, private: str, root: str, device: str, identity: str, dumpdir: str, dumpfile: str
) -> Twin:
    """It is here, with its memory, and stands still."""
    number, node = int(ctid), here.node
    if here.note("taken") is not None:
        return die(f"the memory of container {ctid} was taken up already")
    if vz.state_of(node, number) is State.RUNNING:
        if here.note("undumped") is None or number not in node.frozen:
            return die(f"container {ctid} runs")
    else:
        if f"{dumpdir}/Dump.{ctid}" in node.tree:
            return die(f"{dumpdir}/Dump.{ctid} is there")
        if vz.state_of(node, number) is State.MOUNTED:
            yield from vz.unmount_root(here.world, node, number)
        end: End = yield from made_mounted(here, private, device, identity)
        if end.status:
            return end
        yield from here.mark("undumped")
        yield from checkpoints.undump(here.world, node, number, dumpfile, resumed=False)
        if vz.state_of(node, number) is not State.RUNNING:
            return die(f"the memory of container {ctid} cannot be taken up")
    if device == NO_DEVICE and node.mounted_at(private) is not None:
        return die(f"something is mounted over {private}")
    if device != NO_DEVICE and not stands(here, number, private, device):
        return die(f"container {ctid} is here, but not on {device}")
    yield from here.sync()
    return DONE


def go_on(here: Here, ctid: int) -> Generator[None, None, bool]:
    """What stands still runs on; False: it still stands still."""
    if here.note("undumped") is not None and here.note("taken") is None:
        here.world.untaken |= {(here.node.name, ctid)}
    begun = here.note("undumped") is not None or here.note("killing") is not None
    if begun and here.note("taken") is None:
        yield from here.mark("taken")
    still = ctid in here.node.frozen
    yield from checkpoints.resume(here.world, here.node, ctid)
    if ctid in here.node.frozen:
        return False
    if still:
        here.world.untaken -= {(here.node.name, ctid)}
    yield from here.sync()
    return True


def take_up_file(here: Here, ctid: int, dumpfile: str) -> Generator[None, None, End | None]:
    """From the file of a staged checkpoint, which is void from here on; None: nothing came of it."""
    node = here.node
    if here.note("taken") is not None or not _as_written(here, dumpfile):
        return None
    if vz.state_of(node, ctid) is State.MOUNTED:
        return not_up(f"container {ctid} is down, its memory is in its dump; its root cannot be unmounted")
    here.world.untaken |= {(node.name, ctid)}
    yield from here.mark("taken")
    yield from checkpoints.undump(here.world, node, ctid, dumpfile, resumed=True)
    if vz.state_of(node, ctid) is State.MOUNTED:
        yield from vz.unmount_root(here.world, node, ctid)
    if ctid in node.frozen:
        end: End = yield from kill_frozen(here, ctid, NO_DUMP)
        return end if end.status else None
    match vz.state_of(node, ctid):
        case State.RUNNING:
            return DONE
        case State.STOPPED:
            return None
        case state:
            return die(f"the memory of container {ctid} was to be taken up; it is {state} now")
