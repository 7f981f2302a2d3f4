"""Steps about the device that carries an insulated container (domain.md, identity; rule 8: proof after fence)."""

from __future__ import annotations

from planner.model import State
from planner.plan import NothingToUndo, Step, Zone
from planner.situation import Side, Situation
from planner.steps import LOOKS_ONLY, SLOW_S, called, command, device_of, takes_back


def release_at_source(at: Situation) -> Step:
    """Unmount it and prove that nothing holds it; the stop's hook may have, or may have hidden that it could not."""
    side = at.source
    was_mounted = at.container.state is State.RUNNING or side.facts.mounted_at(side.private) is not None
    undo = (
        takes_back(
            "mount it again",
            command(side, "mount-device", *device_of(side), side.private, "any", deadline_s=SLOW_S),
            must=True,
        )
        if was_mounted
        else NothingToUndo("it was not mounted before")
    )
    return Step(
        id="release-source",
        title=f"release {called(side)}, prove it",
        zone=Zone.TRANSFER,
        do=command(side, "release-device", *device_of(side), side.private, deadline_s=SLOW_S),
        undo=undo,
    )


def prove_released(side: Side) -> Step:
    """Look once more, after the config is hidden: held by nothing here, mounted read-write by no node (N08)."""
    return Step(
        id=f"prove-released-{side.node}",
        title=f"prove that {called(side)} is released",
        zone=Zone.TRANSFER,
        do=command(side, "prove-released", *device_of(side), deadline_s=SLOW_S),
        undo=LOOKS_ONLY,
    )


def mount_at_destination(at: Situation) -> Step:
    """Mount it at the destination, its identity proved before and after; refused while any node has it mounted."""
    side = at.destination
    return Step(
        id="mount-destination",
        title=f"mount {called(side)} at {side.private}",
        zone=Zone.TRANSFER,
        do=command(side, "mount-device", *device_of(side), side.private, "clean", deadline_s=SLOW_S),
        undo=takes_back(
            "release it, prove it",
            command(side, "release-device", *device_of(side), side.private, deadline_s=SLOW_S),
            must=True,  # what may still be held here must not be mounted there
        ),
    )
