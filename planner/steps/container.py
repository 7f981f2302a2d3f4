"""Steps that stop and start the container, and the two pivots."""

from __future__ import annotations

from planner.model import State
from planner.parse.config import FENCE
from planner.plan import Probe, Step, Zone
from planner.situation import Situation
from planner.steps import DUMP_S, ONLY_FORWARD, SLOW_S, command, takes_back, up_by
from planner.verbs import ANY_CONTENT


def stop(at: Situation) -> Step:
    """Take it down; vzctl's exit status is not believed, the verb looks ([seen] a hidden unmount failure, rc 0)."""
    side = at.source
    return Step(
        id="stop",
        title=f"{'stop' if _runs(at) else 'unmount'} {at.ctid}",
        zone=Zone.FREEZE,
        do=command(side, "stop-container", at.ctid, side.private, side.root, deadline_s=SLOW_S),
        undo=takes_back("start it" if _runs(at) else "mount it", up_by(at, side, "ensure-up"), must=True),
    )


def suspend(at: Situation) -> Step:
    """Freeze it, write its memory down and take it down; what was running is in the dump."""
    side = at.source
    return Step(
        id="suspend",
        title=f"suspend {at.ctid}: its memory goes to {side.dumpdir}/Dump.{at.ctid}",
        zone=Zone.FREEZE,
        do=command(
            side, "suspend-container", at.ctid, side.private, side.root, side.dumpdir, deadline_s=DUMP_S
        ),
        undo=takes_back(
            "take its memory up again (if that cannot be: start it, memory lost)",
            up_by(at, side, "ensure-up"),
            must=True,
        ),
    )


def take_down(at: Situation) -> Step:
    """Suspended if it is to keep its memory, else stopped."""
    return suspend(at) if at.online else stop(at)


def bring_up_pivot(at: Situation) -> Step:
    """The point of no return of a container that is up: once it has run here, its old data is history."""
    side = at.destination
    return Step(
        id="bring-up",
        title=f"{'take up the memory of' if at.online else 'start' if _runs(at) else 'mount'} {at.ctid}",
        zone=Zone.PIVOT,
        do=up_by(at, side, "bring-up"),
        undo=takes_back(
            "only if proved that it never came up: stop it, prove it",
            command(side, "stop-container", at.ctid, side.private, side.root, deadline_s=SLOW_S),
            must=True,
        ),
        probe=Probe(command(side, "probe-pivot", at.ctid)),
    )


def enable_pivot(at: Situation) -> Step:
    """The point of no return of a stopped container: from here on it may be started at the destination."""
    side = at.destination
    return Step(
        id="enable",
        title=f"allow start of {at.ctid} here",
        zone=Zone.PIVOT,
        do=command(side, "enable-container", at.ctid, at.config_path, stdin=FENCE, deadline_s=SLOW_S),
        undo=takes_back(
            "only if proved that it never was allowed: forbid it again",
            command(side, "fence", at.config_path, ANY_CONTENT, stdin=FENCE, deadline_s=SLOW_S),
            must=True,
        ),
        probe=Probe(command(side, "probe-pivot", at.ctid)),
    )


def ensure_up(at: Situation) -> Step:
    """The destination may have rebooted since the pivot: make sure that it is as it was."""
    return Step(
        id="ensure-up",
        title=f"make sure that {at.ctid} {'runs' if _runs(at) else 'is mounted'}",
        zone=Zone.RETIRE,
        do=up_by(at, at.destination, "ensure-up"),
        undo=ONLY_FORWARD,
        ensures=True,
    )


def _runs(at: Situation) -> bool:
    return at.container.state is State.RUNNING
