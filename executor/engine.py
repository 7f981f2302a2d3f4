"""The engine: ask what comes next, write it down, do it, write down what came of it. It decides nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from executor.node import Node, NodeOutcome
from planner.plan import Began, Ended, Entry, Plan, Run, Stop, What, Wish
from planner.saga import Past, next_move


class Ledger(Protocol):
    """A journal, as the engine sees it: durable when ``append`` returns, or an exception."""

    @property
    def plan(self) -> Plan:
        """The plan that is walked."""
        ...

    @property
    def past(self) -> Past:
        """What the entries so far say."""
        ...

    def append(self, entry: Entry) -> None:
        """Write one entry down, durably, and note it in ``past``."""
        ...


class Watch(Protocol):
    """Told of every move; for progress, never for decisions."""

    def began(self, move: Run) -> None:
        """The move is written down and goes out now."""
        ...

    def ended(self, move: Run, outcome: NodeOutcome) -> None:
        """What came of it is written down."""
        ...


class Unwatched:
    """Nobody looks."""

    def began(self, move: Run) -> None:
        """See ``Watch``."""

    def ended(self, move: Run, outcome: NodeOutcome) -> None:
        """See ``Watch``."""


def never(_move: Run) -> bool:
    """Stop before no move."""
    return False


def first_to(move: Run, known: set[str]) -> bool:
    """Whether this is the first command to a node of which it is not known whether the journal knows all of it."""
    return move.what is not What.SETTLE and move.command.node not in known


def no_wish() -> Wish | None:
    """Nobody wishes for anything."""
    return None


def timeless() -> int | None:
    """Nobody asks when something was."""
    return None


def walk(
    journal: Ledger,
    nodes: Mapping[str, Node],
    *,
    heed: Callable[[], Wish | None] = no_wish,
    watch: Watch | None = None,
    until: Callable[[Run], bool] = never,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], int | None] = timeless,
) -> Run | Stop:
    """Walk the journal's plan until there is nothing more to do, or until the first move that ``until`` names.

    Whatever the journal raises flies: if it cannot be written, nothing more is done. ``clock`` gives milliseconds since
    1970; the journal tells them to people, nothing is decided by them.
    """
    watch = watch or Unwatched()
    while True:
        wish = heed()
        if wish is not None:
            journal.append(wish)
        move = next_move(journal.plan, journal.past)
        if isinstance(move, Stop) or until(move):
            return move
        pause(move.after_s)
        journal.append(Began(move.what, move.at, clock()))
        watch.began(move)
        outcome = nodes[move.command.node].run(move.command)
        journal.append(Ended(move.what, move.at, outcome, clock()))
        watch.ended(move, outcome)
