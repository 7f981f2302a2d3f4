"""A schedule of failures, as a line of text.

``PLACE:FAULT`` joined by `` + ``. A place is a step's id (its do), ``undo/STEP``, ``probe/STEP`` or ``settle/NODE``,
with ``#2`` for the second time it goes out. ``STEP:wish`` is a wish to unwind that arrives just before that step.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from executor.simulated.faults import Fault, fault

WISH: Final = "wish"


class Armed(NamedTuple):
    """A fault at its place; ``fault`` None: the wish to unwind."""

    place: str
    fault: Fault | None

    def __str__(self) -> str:
        """As it stands in a schedule."""
        return f"{self.place}:{self.fault.name if self.fault else WISH}"


class Violation(NamedTuple):
    """An invariant that did not hold: its name, the schedule as a line that can be pasted, what was seen."""

    invariant: str
    schedule: str
    seen: str

    def __str__(self) -> str:
        """One line for a person."""
        return f'{self.invariant}: schedule("{self.schedule}"): {self.seen}'


def schedule(line: str) -> tuple[Armed, ...]:
    """The faults of a schedule's line.

    Raises:
        ValueError: it has no ``PLACE:FAULT``, or no such fault is known.
    """
    armed = []
    for word in line.split(" + ") if line else ():
        place, colon, name = word.rpartition(":")
        if not colon:
            raise ValueError(f"{word!r} is not PLACE:FAILURE")
        try:
            armed.append(Armed(place, None if name == WISH else fault(name)))
        except KeyError as error:
            raise ValueError(error.args[0]) from None
    return tuple(armed)
