"""Cells: a kind of failure at a verb, as the do of a step, as a compensation, a probe or a settle.

An exploration says of each cell whether a fault there ever changed the world or how the run went on. One that never did
needs a reason; a cell without effect and without a reason is a hole in the proof, or in the simulation.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from executor.simulated.faults import BY_NAME, KINDS
from executor.simulated.schedules import WISH
from planner.plan import Compensation, Plan, What


class Cell(NamedTuple):
    """Where it hits, and what."""

    what: What
    verb: str
    kind: str

    def __str__(self) -> str:
        """As it is written in reports."""
        return f"{self.what} {self.verb}: {self.kind}"


def all_cells(plan: Plan) -> frozenset[Cell]:
    """Every kind of failure at every verb that a run of ``plan`` can ever send out."""
    places = {(What.SETTLE, "settle")}
    for step in plan.steps:
        places.add((What.DO, step.do.argv[0]))
        if isinstance(step.undo, Compensation):
            places.add((What.UNDO, step.undo.do.argv[0]))
        if step.probe is not None:
            places.add((What.PROBE, step.probe.do.argv[0]))
    kinds = (*(kind.name for kind in KINDS), WISH)
    return frozenset(Cell(what, verb, kind) for what, verb in places for kind in kinds)


STARTS: Final = frozenset({"bring-up", "ensure-up", "restore-state"})
"""Verbs that start a container, or mount it."""

UNMOUNTS: Final = frozenset(
    {"stop-container", "release-device", "release-unless-up", "empty-claimed", *STARTS}
)
MOUNTS: Final = frozenset({"mount-device", "empty-claimed", *STARTS})
RUNS_HOOKS: Final = frozenset({"stop-container", *STARTS})

PASSING: Final[dict[str, tuple[frozenset[str], str]]] = {
    "hooks-hide-failure": (RUNS_HOOKS, "runs no hook"),
    "busy-once": (UNMOUNTS, "unmounts nothing"),
    "will-not-start-once": (STARTS, "starts nothing"),
    "will-not-mount-once": (MOUNTS, "mounts nothing"),
    "another-makes-it": (frozenset({"make-file", "make-dir"}), "makes nothing that another could make first"),
    "second-run": (
        frozenset({"own"}),
        "makes no owner record; while this run's is there, nobody else's can be",
    ),
}
"""Troubles that have passed when the verb has ended: the verbs that can meet them, and why no other one can."""

SPARED: Final[dict[str, str]] = {
    "hooks-hide-failure": "its mounts are made and taken away by verbs of their own, which look for themselves",
    "busy-once": "nothing that it unmounts is mounted at that moment, or it is released at a later try of its own",
    "will-not-start-once": "it is up already, or is not to be up",
    "will-not-mount-once": "it is mounted already",
    "another-makes-it": "this run has made it already",
}
"""Why one of them may pass a verb that could meet it, in one plan. A test says which are met somewhere."""

_NO_CONFIG: Final = "or it has no config there"
PEOPLE: Final[dict[str, str]] = {
    "operator-starts-at-source": f"it is up already, start is forbidden or locked, {_NO_CONFIG}",
    "operator-forces-start-at-source": f"it is up already, or has been at the destination, {_NO_CONFIG}",
    "operator-stops-at-source": f"it is down already, or locked, {_NO_CONFIG}",
    "operator-starts-at-destination": f"it is up already, start is forbidden or locked, {_NO_CONFIG}",
    "operator-forces-start-at-destination": f"it is up already, or free to start at the source, {_NO_CONFIG}",
    "operator-stops-at-destination": f"it is down already, or locked, {_NO_CONFIG}",
    "operator-mounts-at-source": f"it is up already, or locked, {_NO_CONFIG}",
    "operator-edits-config": "its config has another name by then",
    WISH: "it goes back already, or from the pivot on nothing is taken back",
}
"""Why what somebody does need not do anything, at any verb. A test says where it must, in one world or another."""


def without_effect(cell: Cell) -> str | None:
    """Why a failure there need not change anything; None: no reason is known."""
    if cell.kind not in PASSING:
        return PEOPLE.get(cell.kind)
    verbs, why = PASSING[cell.kind]
    return SPARED.get(cell.kind) if cell.verb in verbs else f"{cell.verb} {why}"


def not_met(cell: Cell, failures: int, effects: dict[tuple[What, str], int]) -> str | None:
    """Why no failure was put there; None: no reason is known. ``effects``: the most that each verb had."""
    if failures == 1 and cell.what is not What.DO:
        return "it goes out only after another failure; '--faults 2' puts one there"
    if cell.kind in BY_NAME and BY_NAME[cell.kind].each and effects.get((cell.what, cell.verb), 0) <= 1:
        return "what has one effect at most is never half done"
    return None
