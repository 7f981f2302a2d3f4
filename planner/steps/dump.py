"""Steps about the memory of a container that is suspended: the dump in DUMPDIR, which goes where its disk goes.

At the destination it lies in a directory of this run's until nothing but the pivot is missing: a dump under its own
name is what ``vzctl start`` and ``restore`` take up.
"""

from __future__ import annotations

from planner.plan import NothingToUndo, Step, Zone
from planner.situation import Side, Situation
from planner.steps import COPY_S, DUMP_S, ONLY_FORWARD, SLOW_S, command, dump_file, dump_place, takes_back
from planner.steps.copy import remote_shell
from planner.verbs import NO_DEVICE


def make_places(at: Situation) -> tuple[Step, ...]:
    """Make the directories that it is written to and copied to; taken back with what is in them."""
    sides = (at.source, at.destination) if at.staged else (at.destination,)
    return tuple(_make_place(at, side) for side in sides) if at.has_memory else ()


def _make_place(at: Situation, side: Side) -> Step:
    place = dump_place(at, side)
    return Step(
        id="make-dump-place" if side is at.destination else "make-dump-place-source",
        title=f"make {place} for the memory dump",
        zone=Zone.PREPARE,
        do=command(side, "make-dir", place, "0700"),
        undo=takes_back(
            "delete it with the memory dump in it",
            command(side, "remove-made-tree", place, deadline_s=SLOW_S),
            must=False,
        ),
    )


def write(at: Situation) -> Step:
    """Of a staged checkpoint: what the container, which stands still, has in mind."""
    side = at.source
    return Step(
        id="dump",
        title=f"write its memory to {dump_file(at, side)}",
        zone=Zone.FREEZE,
        do=command(side, "dump-container", at.ctid, side.root, dump_file(at, side), deadline_s=DUMP_S),
        undo=NothingToUndo("the dump goes with the place that it is written to"),
    )


def bring(at: Situation) -> tuple[Step, ...]:
    """Copy it, and give it its name at the destination, where the config has none yet: nobody can take it up.

    A staged one is taken up from where it lies.
    """
    if not at.has_memory:
        return ()
    return (_copy(at),) if at.staged else (_copy(at), _put(at))


def _copy(at: Situation) -> Step:
    """Copy it, and look at both once more, byte by byte; synced there."""
    source, destination = at.source, at.destination
    # Of the operator's options for rsync those that only say how it is sent; others could leave out part of it.
    options = (word for word in at.options.rsync if word.startswith("--bwlimit"))
    return Step(
        id="copy-dump",
        title=f"copy the memory dump {_dump_at(at)} to {destination.node}, synced and compared there",
        zone=Zone.TRANSFER,
        do=command(
            source,
            "copy-tree",
            at.ctid,
            dump_place(at, source) if at.staged else source.dumpdir,
            NO_DEVICE,
            NO_DEVICE,
            destination.node,
            dump_place(at, destination),
            NO_DEVICE,
            NO_DEVICE,
            "dump",
            remote_shell(at.options.peer_ssh),
            "\n".join(options),
            deadline_s=COPY_S,
        ),
        undo=NothingToUndo("what was copied goes with the place that it was copied to"),
    )


def _put(at: Situation) -> Step:
    side = at.destination
    copied, dump = dump_file(at, side), dump_of(at, side)
    return Step(
        id="put-dump",
        title=f"put the memory dump at {dump}",
        zone=Zone.TRANSFER,
        do=command(side, "put-dump", copied, dump, deadline_s=SLOW_S),
        undo=takes_back(
            "put it back", command(side, "withdraw-dump", copied, dump, deadline_s=SLOW_S), must=False
        ),
    )


def void(at: Situation) -> tuple[Step, ...]:
    """Before its start is allowed again: a dump that was taken up, and that a power cut has brought back, goes."""
    side = at.destination
    step = Step(
        id="void-dump",
        title=f"make sure that {dump_of(at, side)} is used up",
        zone=Zone.RETIRE,
        do=command(side, "void-dump", dump_of(at, side), deadline_s=SLOW_S),
        undo=ONLY_FORWARD,
        ensures=True,
    )
    return (step,) if at.online and not at.staged else ()


def retire(at: Situation) -> tuple[Step, ...]:
    """The old dump, which matches no disk any more, and the places that it was written to and copied to."""
    if not at.has_memory:
        return ()
    if at.staged:
        return tuple(_remove_place(at, side) for side in (at.source, at.destination))
    old = dump_of(at, at.source)
    deleted = Step(
        id="retire-dump",
        title=f"delete the old memory dump {old}",
        zone=Zone.RETIRE,
        do=command(at.source, "retire-dump", at.ctid, old, f"{old}.vzplan-retired", deadline_s=SLOW_S),
        undo=ONLY_FORWARD,
    )
    tidy = Step(
        id="remove-dump-place",
        title=f"rmdir {dump_place(at, at.destination)}",
        zone=Zone.RETIRE,
        do=command(at.destination, "remove-made", dump_place(at, at.destination), deadline_s=SLOW_S),
        undo=ONLY_FORWARD,
    )
    return (deleted, tidy)


def _remove_place(at: Situation, side: Side) -> Step:
    return Step(
        id="remove-dump-place" if side is at.destination else "remove-dump-place-source",
        title=f"delete {dump_place(at, side)} with the memory dump, which is void",
        zone=Zone.RETIRE,
        do=command(side, "remove-made-tree", dump_place(at, side), deadline_s=SLOW_S),
        undo=ONLY_FORWARD,
    )


def dump_of(at: Situation, side: Side) -> str:
    """Where vzctl looks for it."""
    return f"{side.dumpdir}/Dump.{at.ctid}"


def _dump_at(at: Situation) -> str:
    return dump_file(at, at.source) if at.staged else dump_of(at, at.source)
