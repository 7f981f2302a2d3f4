"""Steps about the device that carries an insulated container (domain.md, identity; rule 8: proof after fence)."""

from __future__ import annotations

from planner.plan import NothingToUndo, Step, Zone
from planner.situation import Side, Situation
from planner.steps import LOOKS_ONLY, ONLY_FORWARD, SLOW_S, called, command, device_of, takes_back


def release_at_source(at: Situation) -> Step:
    """Unmount it and prove that nothing holds it; the stop's hook may have, or may have hidden that it could not."""
    side = at.source
    undo = (
        takes_back(
            "mount it again",
            command(side, "mount-device", *device_of(side), side.private, "any", deadline_s=SLOW_S),
            must=True,
        )
        if mounted_before(at)
        else NothingToUndo("it was not mounted before")
    )
    return Step(
        id="release-source",
        title=f"release {called(side)}, prove it",
        zone=Zone.TRANSFER,
        do=command(side, "release-device", *device_of(side), side.private, deadline_s=SLOW_S),
        undo=undo,
    )


def leave_source(at: Situation) -> Step:
    """After a copy: the old device keeps its content, and is let go of."""
    side = at.source
    return Step(
        id="leave-source",
        title=f"release {called(side)}; its content stays",
        zone=Zone.RETIRE,
        do=command(side, "release-device", *device_of(side), side.private, deadline_s=SLOW_S),
        undo=ONLY_FORWARD,
    )


def mount_at_source(at: Situation) -> Step:
    """Mount it where it is not, or not any more: a stopped insulated container has an empty directory ([seen])."""
    side = at.source
    operands = (*device_of(side), side.private, at.ctid)
    release = command(side, "release-unless-up", *operands, deadline_s=SLOW_S)
    # What was not mounted here may be mounted by another node; what was, may have stayed so after the stop.
    found = "any" if mounted_before(at) else "clean"
    undo = (
        NothingToUndo("taking the stop back needs it mounted")
        if mounted_before(at)
        else takes_back("release it, prove it", release, must=True)
    )
    return Step(
        id="mount-source",
        title=f"mount {called(side)} at {side.private}",
        zone=Zone.TRANSFER,
        do=command(side, "mount-device", *device_of(side), side.private, found, deadline_s=SLOW_S),
        undo=undo,
    )


def mounted_before(at: Situation) -> bool:
    """Whether the source had it mounted when the plan was made."""
    return at.up or at.source.facts.mounted_at(at.source.private) is not None


def note_superblock(at: Situation) -> Step:
    """The challenge of a stopped container begins: how does the disk read here before the source mounts it?"""
    side = at.destination
    return Step(
        id="note-superblock",
        title=f"note how {called(side)} reads here",
        zone=Zone.TRANSFER,
        do=command(side, "note-superblock", *device_of(side)),
        undo=LOOKS_ONLY,
    )


def see_mounted(at: Situation, zone: Zone) -> Step:
    """The challenge: what the source has mounted must be seen here. A clone, however faithful, does not change."""
    side = at.destination
    return Step(
        id="see-mounted",
        title=f"see that {called(side)} is what {at.source.node} has mounted",
        zone=zone,
        do=command(side, "see-mounted", *device_of(side)),
        undo=LOOKS_ONLY,
    )


def prove_released(side: Side) -> Step:
    """Look once more, after the config is hidden: held by nothing here, mounted read-write by no node (N08).

    At the destination this ends the challenge: what was seen mounted must now be seen released.
    """
    return Step(
        id=f"prove-released-{side.node}",
        title=f"prove that {called(side)} is released",
        zone=Zone.TRANSFER,
        do=command(side, "prove-released", *device_of(side), deadline_s=SLOW_S),
        undo=LOOKS_ONLY,
    )


def mount_at_destination(at: Situation, zone: Zone) -> Step:
    """Mount it at the destination, its identity proved before and after; refused while any node has it mounted."""
    side = at.destination
    return Step(
        id="mount-destination",
        title=f"mount {called(side)} at {side.private}",
        zone=zone,
        do=command(side, "mount-device", *device_of(side), side.private, "clean", deadline_s=SLOW_S),
        undo=takes_back(
            "release it, prove it",
            command(side, "release-device", *device_of(side), side.private, deadline_s=SLOW_S),
            must=True,  # what may still be held here must not be mounted there
        ),
    )


def claim_empty(at: Situation) -> Step:
    """Prove that there is nothing on it, so that whatever is there later is ours to take back."""
    side = at.destination
    return Step(
        id="claim-empty",
        title=f"prove that {called(side)} is empty",
        zone=Zone.PREPARE,
        do=command(side, "claim-empty", side.private, *device_of(side)),
        undo=takes_back(
            "delete what was copied onto it",
            command(side, "empty-claimed", side.private, *device_of(side), deadline_s=SLOW_S * 12),
            must=False,
        ),
    )


def leave_destination(at: Situation) -> Step:
    """The copy is on it and synced; a stopped container's device is mounted by its hooks when it starts."""
    side = at.destination
    return Step(
        id="leave-destination",
        title=f"release {called(side)}, prove it",
        zone=Zone.TRANSFER,
        do=command(side, "release-device", *device_of(side), side.private, deadline_s=SLOW_S),
        undo=NothingToUndo("what was copied onto it is taken back from wherever it is"),
    )
