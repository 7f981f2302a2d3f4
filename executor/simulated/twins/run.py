"""Twins of the verbs about the run itself: who owns the container, what its state was, who holds vzctl's lock."""

from __future__ import annotations

from executor.simulated import vz
from executor.simulated.loading import HOME, OWNERS
from executor.simulated.tree import Dir, File
from executor.simulated.twins.container import ensure_up
from executor.simulated.twins.here import DONE, Here, Twin, die
from planner.model import State


def make_folder(here: Here) -> None:
    """The run's folder, for this session's generation and this boot; one effect."""
    node = here.node
    if here.folder not in node.tree:
        node.put("/var/lib/vzplan", Dir(0o700))
        node.put(HOME, Dir(0o700))
        node.put(here.folder, Dir(0o700))
    node.put(f"{here.folder}/generation", File(str(here.generation), 0o600))
    node.put(f"{here.folder}/boot", File(node.boot_id, 0o600))


def own(here: Here, ctid: str) -> Twin:
    """Run folder first, then the record, created exclusively."""
    record = f"{OWNERS}/{ctid}"
    make_folder(here)
    yield
    other = here.node.text(record)
    if other is not None and other.split(" ")[0] != here.run:
        return die(f"run {other} has container {ctid} in hand")
    here.node.put(f"{here.folder}/record", File(f"{here.run} simulated", 0o600))
    yield
    yield from here.sync()
    here.node.put(OWNERS, Dir(0o700))
    here.node.link(f"{here.folder}/record", record)
    yield
    yield from here.sync()
    return DONE


def disown(here: Here, ctid: str) -> Twin:
    """The record first: while the folder stands, the verb can be repeated."""
    record = f"{OWNERS}/{ctid}"
    if (here.node.text(record) or "").split(" ")[0] == here.run:
        here.node.drop(record)
        yield
        yield from here.sync()
    held = here.node.mounts_within(here.folder)
    if held:
        return die(f"still mounted: {held}")
    if here.folder in here.node.tree:
        here.node.drop(here.folder)
        yield
    yield from here.sync()
    return DONE


def settle(here: Here) -> Twin:
    """End what this run started here (also a copy that another node sends here), then raise the generation."""
    name, world = here.node.name, here.world
    if any(late.run == here.run for late in world.late):
        for late in world.late:
            if late.goes_on and name in late.ends:
                world.nodes[late.command.argv[5]].busy -= {late.command.argv[6]}
        world.late = tuple(
            late
            for late in world.late
            if late.run != here.run
            or (
                late.node != name
                and not (late.command.argv[0] == "copy-tree" and late.command.argv[5] == name)
            )
        )
        yield
    if here.folder in here.node.tree:
        make_folder(here)
        yield
    yield from here.sync()
    return DONE


def note_state(here: Here, ctid: str, state: str) -> Twin:
    """State and boot id, noted before anything changes."""
    found = vz.state_of(here.node, int(ctid))
    if found != state:
        return die(f"container {ctid} is {found}, not {state}")
    yield from here.mark("noted", f"{state} {here.node.boot_id}")
    return DONE


def restore_state(
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
    """Make sure of the former state, if it may be our doing that it is another one."""
    noted = here.note("noted")
    if noted is None:
        return DONE
    if here.note("frozen") is None and noted.split(" ")[1] == here.node.boot_id:
        return DONE
    if state in (State.RUNNING, State.MOUNTED):
        place = (private, root, device, identity, dumpdir)
        return (yield from ensure_up(here, ctid, *place, state, dumpfile))
    return DONE


def hold_lock(here: Here, ctid: str, lockdir: str) -> Twin:
    """A live process of this run; [seen] vzctl asks whether the PID in the lock file lives on that node."""
    node, lock = here.node, f"{lockdir}/{ctid}.lck"
    holder, other = here.note("holder"), node.text(lock)
    if holder is not None and holder in node.living and other == holder:
        return DONE
    if holder is not None and holder not in node.living and other == holder:  # of an earlier boot
        node.drop(lock)
        yield
        yield from here.sync()
        other = None
    if here.note("frozen") is not None:
        return die(
            f"vzctl's lock on {ctid} was lost since it was frozen, as by a power cut: somebody may have started it "
            "meanwhile"
        )
    if other is not None and other in node.living:
        return die(f"vzctl's lock is held by process {other}")
    pid = f"holder of {here.run} since boot {node.boots}"
    # It waits for "go", which it is told once it is on record; stopped before that, it leaves with the verb.
    yield from here.mark("holder", pid)
    node.living |= {pid}
    yield
    if lock in node.tree:  # stale: its process is dead
        node.drop(lock)
        yield
    here.put_whole(here.beside(lock), File(pid, 0o644))
    yield
    node.link(here.beside(lock), lock)
    yield
    node.drop(here.beside(lock))
    yield
    return DONE


def release_lock(here: Here, ctid: str, lockdir: str) -> Twin:
    """The file first, if it is ours; then the process."""
    node, lock = here.node, f"{lockdir}/{ctid}.lck"
    if here.beside(lock) in node.tree:
        node.drop(here.beside(lock))
        yield
    holder = here.note("holder")
    if holder is not None:
        if node.text(lock) == holder:
            node.drop(lock)
            yield
        if holder in node.living:
            node.living -= {holder}
            yield
        node.drop(f"{here.folder}/holder")
        yield
    yield from here.sync()
    return DONE
