"""Steps that stop and start the container, and the two pivots."""

from __future__ import annotations

from planner.parse.config import FENCE
from planner.plan import Probe, Step, Zone
from planner.situation import Situation
from planner.steps import ONLY_FORWARD, SLOW_S, command, device_of, takes_back


def stop(at: Situation) -> Step:
    """Stop it; vzctl's exit status is not believed, the verb looks ([seen] a hidden unmount failure, rc 0)."""
    side = at.source
    return Step(
        id="stop",
        title=f"stop {at.ctid}",
        zone=Zone.FREEZE,
        do=command(side, "stop-container", at.ctid, side.private, side.root, deadline_s=SLOW_S),
        undo=takes_back(
            "start it",
            command(
                side,
                "ensure-running",
                at.ctid,
                side.private,
                side.root,
                *device_of(side),
                side.dumpdir,
                deadline_s=SLOW_S,
            ),
            must=True,
        ),
    )


def start_pivot(at: Situation) -> Step:
    """The point of no return of a running container: once it has run here, its old data is history."""
    side = at.destination
    return Step(
        id="start",
        title=f"start {at.ctid}",
        zone=Zone.PIVOT,
        do=command(
            side,
            "start-container",
            at.ctid,
            side.private,
            side.root,
            *device_of(side),
            side.dumpdir,
            deadline_s=SLOW_S,
        ),
        undo=takes_back(
            "only if proved that it never started: stop it, prove it",
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
            command(side, "fence", at.config_path, stdin=FENCE, deadline_s=SLOW_S),
            must=True,
        ),
        probe=Probe(command(side, "probe-pivot", at.ctid)),
    )


def ensure_running(at: Situation) -> Step:
    """The destination may have rebooted since the pivot: make sure that it runs."""
    side = at.destination
    return Step(
        id="ensure-running",
        title=f"make sure that {at.ctid} runs",
        zone=Zone.RETIRE,
        do=command(
            side,
            "ensure-running",
            at.ctid,
            side.private,
            side.root,
            *device_of(side),
            side.dumpdir,
            deadline_s=SLOW_S,
        ),
        undo=ONLY_FORWARD,
    )
