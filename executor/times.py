"""How long the container was down, and what that time went into: read off the run's journal, which has the times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from msgspec import Struct

from planner.plan import Began, Ended, Entry, Exited, Plan, What
from planner.verbs import VERBS, YES

NAMES: Final = {
    "suspend-container": "suspend",
    "stop-container": "stop",
    "freeze-container": "freeze",
    "dump-container": "dump",
    "kill-container": "end what was frozen",
    "undump-container": "undump",
    "copy-tree": "last pass of the copy",
    "release-device": "hand over the device",
    "prove-released": "hand over the device",
    "mount-device": "hand over the device",
    "mount-dump": "hand over the device",
    "accept-dump": "hand over the device",
    "bring-up": "bring up",
}
"""By verb, what of the time down is told of by itself; of one name the sum."""
DUMP_COPIED: Final = "copy of the memory dump"
TAKEN_BACK: Final = "take back"
ALL_ELSE: Final = "all else"


class Part(Struct, frozen=True):
    """What some of the time went into."""

    what: str
    seconds: float


class Times(Struct, frozen=True):
    """From the moment in which the container was to go down; ``frozen_s``: None if it is not up again yet."""

    frozen_s: float | None
    parts: tuple[Part, ...]


class _Move(NamedTuple):
    """A move: that it began, which takes no time; or all of it."""

    began: Began
    ended: Ended | None
    from_ms: int
    to_ms: int


def times(plan: Plan, entries: Iterable[Entry]) -> Times | None:
    """The times of a run; None: the container did not go down, or the journal does not tell when."""
    down = list(_down(plan, entries))
    if not down:
        return None
    spent: dict[str, int] = {}
    for move in down:
        name = _name(plan, move.began)
        spent[name] = spent.get(name, 0) + move.to_ms - move.from_ms
    named = sum(spent.values()) - spent.pop(ALL_ELSE, 0)
    whole = down[-1].to_ms - down[0].from_ms
    told = {**spent, ALL_ELSE: whole - named}
    if min(told.values()) < 0:  # someone has set the clock meanwhile
        return None
    is_up = down[-1].ended is not None and _brings_up(plan, down[-1].ended)
    return Times(whole / 1000 if is_up else None, tuple(Part(name, ms / 1000) for name, ms in told.items()))


def _down(plan: Plan, entries: Iterable[Entry]) -> Iterator[_Move]:
    """The moves from the one that takes it down to the one that brings it up, there or here."""
    begun = False
    for move in _moves(entries):
        begun = begun or (move.began.what, move.began.at) == (What.DO, plan.goes_down)
        if begun:
            yield move
            if move.ended is not None and _brings_up(plan, move.ended):
                return


def _moves(entries: Iterable[Entry]) -> Iterator[_Move]:
    """Every move of which the journal tells when: as it begins, and once more, whole, when it has ended."""
    began, from_ms = None, 0
    for entry in entries:
        match entry:
            case Began(time_ms=int(from_ms)):
                began = entry
                yield _Move(began, None, from_ms, from_ms)
            case Ended(time_ms=int(to_ms)) if began is not None:
                yield _Move(began, entry, from_ms, to_ms)


def _brings_up(plan: Plan, ended: Ended) -> bool:
    status = ended.outcome.status if isinstance(ended.outcome, Exited) else None
    return (ended.what, ended.at, status) in {
        (What.DO, plan.steps[plan.pivot].id, 0),
        (What.PROBE, plan.steps[plan.pivot].id, YES),
        (What.UNDO, plan.goes_down, 0),
    }


def _name(plan: Plan, began: Began) -> str:
    if began.what is What.UNDO:
        return TAKEN_BACK
    argv = next((step.do.argv for step in plan.steps if step.id == began.at), ("settle",))
    return DUMP_COPIED if _pass(argv) == "dump" else NAMES.get(argv[0], ALL_ELSE)


def _pass(argv: tuple[str, ...]) -> str:
    """Of a copy, which one."""
    verb, *operands = argv
    return operands[VERBS[verb].operands.index("pass")] if verb == "copy-tree" else ""
