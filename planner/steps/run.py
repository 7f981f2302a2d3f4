"""Steps about the run itself: who owns the container, what state it was in, who holds vzctl's lock."""

from __future__ import annotations

from planner.codec import text_sha256
from planner.plan import Compensation, NothingToUndo, Step, Zone
from planner.situation import Side, Situation
from planner.steps import LOOKS_ONLY, ONLY_FORWARD, command, device_of, fenced_sha256, takes_back, up_by
from planner.verbs import NO_DEVICE


def own(at: Situation, side: Side) -> Step:
    """Record this run as owner; created exclusively, so that of two runs one loses at once (rule 11)."""
    return Step(
        id=f"own-{side.node}",
        title=f"record this run as owner of {at.ctid}",
        zone=Zone.PREPARE,
        do=command(side, "own", at.ctid),
        undo=Compensation(
            "remove the record", command(side, "disown", at.ctid), blocking=False, forgets=True
        ),
    )


def note_state(at: Situation) -> Step:
    """Note the state that unwinding must bring back.

    The undo is the last word of every unwinding: a node that booted meanwhile lifted no fence and started nothing
    while we held it, so the former state is made sure of, not assumed (N06).
    """
    side, state = at.source, at.container.state
    return Step(
        id="note-state",
        title=f"note that {at.ctid} is {state}",
        zone=Zone.PREPARE,
        do=command(side, "note-state", at.ctid, state),
        undo=takes_back(
            f"make sure that it is {state} again",
            up_by(at, side, "restore-state", fenced=False),
            must=True,
        ),
    )


def hold_lock(at: Situation, side: Side) -> Step:
    """Hold vzctl's lock by a live process on that node; nobody's vzctl starts or stops it while it is moved."""
    return Step(
        id=f"lock-{side.node}",
        title=f"hold vzctl's lock on {at.ctid}",
        zone=Zone.FREEZE,
        do=command(side, "hold-lock", at.ctid, side.lockdir),
        undo=takes_back("release it", command(side, "release-lock", at.ctid, side.lockdir), must=False),
    )


def guard_source(at: Situation) -> Step:
    """Prove just before the freeze that what the plan rests on still holds at the source."""
    side = at.source
    config = (text_sha256(at.config), fenced_sha256(at))
    return Step(
        id="guard-source",
        title=f"prove that {at.ctid} is still as planned",
        zone=Zone.FREEZE,
        do=command(
            side, "guard-source", at.ctid, at.container.state, *config, side.private, *device_of(side)
        ),
        undo=LOOKS_ONLY,
    )


def guard_destination(at: Situation, *, mounted: bool) -> Step:
    """Prove just before the freeze that nobody else has put container things on the destination.

    ``mounted``: the device that it is to own there is mounted by now; nothing else may be, in any case.
    """
    side = at.destination
    device = device_of(side) if mounted else (NO_DEVICE, NO_DEVICE)
    return Step(
        id="guard-destination",
        title=f"prove that nothing else of {at.ctid} is here",
        zone=Zone.FREEZE,
        do=command(side, "guard-destination", at.ctid, side.private, *device, side.dumpdir),
        undo=NothingToUndo("looks only"),
    )


def release_lock(at: Situation, side: Side) -> Step:
    """Let go of vzctl's lock for good."""
    return Step(
        id=f"unlock-{side.node}",
        title="release vzctl's lock",
        zone=Zone.RETIRE,
        do=command(side, "release-lock", at.ctid, side.lockdir),
        undo=ONLY_FORWARD,
    )


def disown(at: Situation, side: Side) -> Step:
    """Remove record and run folder: the last that this run does on the node."""
    return Step(
        id=f"disown-{side.node}",
        title="remove the owner record",
        zone=Zone.RETIRE,
        do=command(side, "disown", at.ctid),
        undo=ONLY_FORWARD,
        forgets=True,
    )
