"""What an exploration remembers: from each moment after the last fault, how it went on (``alike``)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, NamedTuple

from executor.simulated.alike import rest_key
from executor.simulated.schedules import Violation
from planner.plan import Outcome

if TYPE_CHECKING:
    from executor.simulated.trial import Trial


class Rest(NamedTuple):
    """How a trial went on from some moment, and what was found there."""

    outcomes: tuple[Outcome | str, ...]
    doubts: tuple[str, ...]  # why, of each that is IN_DOUBT
    violations: tuple[Violation, ...]
    down_s: int


class Moment(NamedTuple):
    """A moment of a trial that others may come to as well."""

    key: tuple[int, ...]
    outcomes: int  # how many there were before it
    doubts: int
    down_s: int  # until then


class Rests:
    """What an exploration remembers: from each moment after the last fault, how it went on."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._numbers: dict[Hashable, int] = {}
        self._rests: dict[tuple[int, ...], Rest] = {}

    def copy(self) -> Rests:
        """The same memory; what is added to one is not known to the other."""
        twin = Rests()
        twin._numbers, twin._rests = dict(self._numbers), dict(self._rests)
        return twin

    def key(self, trial: Trial) -> tuple[int, ...]:
        """Of the moment at which ``trial`` is. Numbers: there are many combinations of few different parts."""
        numbers = self._numbers
        return tuple([numbers.setdefault(part, len(numbers)) for part in rest_key(trial)])

    def get(self, key: tuple[int, ...]) -> Rest | None:
        """How it went on there, if that is known."""
        return self._rests.get(key)

    def put(self, moment: Moment, trial: Trial) -> None:
        """Remember how ``trial`` went on from ``moment``, before which nothing had been found."""
        outcomes, down_s = tuple(trial.outcomes[moment.outcomes :]), trial.down_s - moment.down_s
        doubts = tuple(trial.doubts[moment.doubts :])
        self._rests[moment.key] = Rest(outcomes, doubts, tuple(trial.violations), down_s)


class SameFutureError(Exception):
    """Another trial came to a moment with the same future; how that went on is known."""

    def __init__(self, rest: Rest) -> None:
        """``rest``: how it went on."""
        super().__init__()
        self.rest = rest
