"""Steps about the memory of a container that is suspended: the dump in DUMPDIR, which goes where its disk goes.

At the destination it lies in a directory of this run's until nothing but the pivot is missing: a dump under its own
name is what ``vzctl start`` and ``restore`` take up.
"""

from __future__ import annotations

from planner.plan import NothingToUndo, Step, Zone
from planner.situation import Side, Situation
from planner.steps import COPY_S, ONLY_FORWARD, SLOW_S, command, takes_back
from planner.steps.copy import remote_shell
from planner.verbs import NO_DEVICE


def make_place(at: Situation) -> tuple[Step, ...]:
    """Make the directory that it is copied into; taken back with what was copied."""
    side, place = at.destination, _place(at)
    step = Step(
        id="make-dump-place",
        title=f"make {place} for the memory dump",
        zone=Zone.PREPARE,
        do=command(side, "make-dir", place, "0700"),
        undo=takes_back(
            "delete it and what was copied into it",
            command(side, "remove-made-tree", place, deadline_s=SLOW_S),
            must=False,
        ),
    )
    return (step,) if at.has_memory else ()


def bring(at: Situation) -> tuple[Step, ...]:
    """Copy it, and give it its name at the destination, where the config has none yet: nobody can take it up."""
    return (_copy(at), _put(at)) if at.has_memory else ()


def _copy(at: Situation) -> Step:
    """Copy it, and look at both once more, byte by byte; synced there."""
    source, destination = at.source, at.destination
    # Of the operator's options for rsync those that only say how it is sent; others could leave out part of it.
    options = (word for word in at.options.rsync if word.startswith("--bwlimit"))
    return Step(
        id="copy-dump",
        title=f"copy the memory dump {dump_of(at, source)} to {destination.node}, synced and compared there",
        zone=Zone.TRANSFER,
        do=command(
            source,
            "copy-tree",
            at.ctid,
            source.dumpdir,
            NO_DEVICE,
            NO_DEVICE,
            destination.node,
            _place(at),
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
    copied, dump = f"{_place(at)}/Dump.{at.ctid}", dump_of(at, side)
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
    return (step,) if at.online else ()


def retire(at: Situation) -> tuple[Step, ...]:
    """The old dump, which matches no disk any more, and the place that the new one came through."""
    if not at.has_memory:
        return ()
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
        title=f"rmdir {_place(at)}",
        zone=Zone.RETIRE,
        do=command(at.destination, "remove-made", _place(at), deadline_s=SLOW_S),
        undo=ONLY_FORWARD,
    )
    return (deleted, tidy)


def dump_of(at: Situation, side: Side) -> str:
    """Where vzctl looks for it."""
    return f"{side.dumpdir}/Dump.{at.ctid}"


def _place(at: Situation) -> str:
    return f"{at.destination.dumpdir}/.vzplan-dump-{at.ctid}"
