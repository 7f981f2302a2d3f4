"""The explorer: every failure of a plan, at every command, undo, probe and settle, through the production engine.

``explore`` puts every kind of failure, and a person's wish to stop, at every command of the walk; with two, a second
one at every moment that each of these leads to; with three, a third one at some of the moments after that. Moments with
the same future (world, journal and what is still on its way) are tried once. ``single_faults`` is between one and two:
what it puts first are the plain troubles of ``TRIGGERS`` only. No randomness, no clock: the same plan gives the same
report, on any number of cores.
"""

from __future__ import annotations

import gc
import os
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import accumulate, pairwise
from typing import Final

from msgspec import Struct, field

from executor.simulated.alike import logs_key, moment_key
from executor.simulated.cells import Cell
from executor.simulated.faults import NO_FAULT, Fault, Then, fault, faults
from executor.simulated.loading import Truth
from executor.simulated.rests import Rests
from executor.simulated.schedules import WISH, Armed, Violation, schedule
from executor.simulated.trial import OPEN_ENDS, Snapshot, Trial
from executor.simulated.world import World
from planner.make import make_plan
from planner.model import Request
from planner.plan import Entry, Plan, What

TRIGGERS: Final = (
    "fails-before",
    "fails-after",
    "lost-before",
    "lost-after",
    "will-not-start",
    "killed-before",
    "killed-after",
)
"""Plain troubles that lead to where undos, probes, settles and recoveries happen."""

PARTS: Final = 2
"""An exploration is cut into so many, each with a memory of its own: what is merged does not depend on the machine."""

A_WISH: Final = None
"""Ctrl-C, where a failure could stand."""

PAIRS: Final = 2

THIRD: Final = 97
"""Of the schedules of two failures every so manieth is gone through for places of a third."""


class Report(Struct):
    """What was tried, how it ended, and every violation that was found."""

    schedules: int = 0
    merged: int = 0  # schedules of which only the first part was played; then they are what another was
    sampled: int = 0  # schedules of three failures: after every so manieth of two
    moments: int = 0  # places in time at which failures were put
    alike: int = 0  # moments left out since their future is that of another
    down_s: int = 0  # the longest that it was down in a run that ended by itself: pauses and deadlines
    waits: int = (
        0  # schedules whose end is an open one: something stood in the way, and a person has to recover
    )
    # How runs ended; "IN_DOUBT > UNWOUND": by one recover.
    outcomes: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(
        default_factory=Counter
    )  # of these, those whose first controller ended before
    doubts: Counter[str] = field(default_factory=Counter)  # every end that is IN_DOUBT, by what makes it one
    cells: dict[Cell, bool] = {}  # each that was met, and whether a fault there ever changed world or outcome
    effects: dict[tuple[What, str], int] = {}  # of each verb that was met: the most that it had
    violations: tuple[Violation, ...] = ()

    def __str__(self) -> str:
        """For a person."""
        ends = ", ".join(f"{name} {count}" for name, count in sorted(self.outcomes.items()))
        head = f"{self.schedules} schedules ({self.merged} merged) at {self.moments} moments ({self.alike} alike)"
        return "\n".join([f"{head}: {ends}", *map(str, self.violations)])

    def add(self, trial: Trial, hit: Fault | None, effects: int, *, changed: bool) -> None:
        """One more schedule was played; ``hit``: its last failure (None: a wish), at a command with so many effects."""
        assert trial.hit is not None
        self.schedules += 1
        ends = " > ".join(trial.outcomes)
        self.merged += trial.merged
        self.outcomes[ends] += 1
        self.doubts.update(trial.doubts)
        if trial.cut_short:
            self.killed[ends] += 1
        elif trial.outcomes[0] in OPEN_ENDS:
            self.waits += 1
        else:
            self.down_s = max(self.down_s, trial.down_s)
        self.violations += tuple(trial.violations)
        place = (trial.hit.what, trial.hit.command.argv[0])
        cell = Cell(*place, hit.kind.name if hit is not None else WISH)
        self.effects[place] = max(effects, self.effects.get(place, 0))
        self.cells[cell] = self.cells.get(cell, False) or changed

    def join(self, other: Report) -> None:
        """Add what another part found."""
        self.schedules += other.schedules
        self.merged += other.merged
        self.moments += other.moments
        self.alike += other.alike
        self.down_s = max(self.down_s, other.down_s)
        self.waits += other.waits
        self.outcomes += other.outcomes
        self.killed += other.killed
        self.doubts += other.doubts
        for cell, changed in other.cells.items():
            self.cells[cell] = self.cells.get(cell, False) or changed
        for place, effects in other.effects.items():
            self.effects[place] = max(effects, self.effects.get(place, 0))
        self.violations += other.violations


def explore(
    request: Request,
    plan: Plan | None = None,
    *,
    failures: int = 1,
    truth: Truth | None = None,
    workers: int | None = None,
) -> Report:
    """Try every schedule of up to ``failures`` failures (of three: some); violations are shrunk.

    ``workers``: processes that share the work; None: as many as there are cores. The report is the same.
    """
    start = start_of(request, plan, truth=truth)
    report, seen, rests = Report(), set[Hashable](), Rests()
    unharmed = start.fork(())
    moments = _borders(unharmed, seen, report)
    report.violations += tuple(unharmed.violations)
    if failures < PAIRS:
        _share(moments, rests, workers, report)
    else:
        _play_all(moments, rests, report)  # what is learnt here spares much of what follows
        with _no_collections():
            second = [
                found
                for moment in moments
                for each in (*faults(moment.effects), A_WISH)
                for found in _borders(moment.trial.fork((Armed(moment.place, each),)), seen, report)
            ]
        _share(second, rests, workers, report)
        if failures > PAIRS:
            before = report.schedules
            _share(_thirds(second, seen, report), rests, workers, report)
            report.sampled = report.schedules - before
    report.violations = tuple(_shrunk(start, violation) for violation in report.violations)
    return report


def _play_all(moments: Sequence[Snapshot], rests: Rests, report: Report) -> Report:
    with _no_collections():
        for moment in moments:
            _play(moment, rests, report)
    return report


@contextmanager
def _no_collections() -> Iterator[None]:
    """A trial that has run breaks its own cycles: looking for others takes a tenth of the time, and finds none."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _play(moment: Snapshot, rests: Rests | None, report: Report) -> None:
    """Every failure at one moment; what changes nothing is told from what does by a run without it."""
    control = moment.trial.fork((Armed(moment.place, NO_FAULT),))
    control.rests = rests
    control.run()
    for each in _faults_at(moment):
        trial = moment.trial.fork((Armed(moment.place, each),))
        trial.rests = rests
        trial.run()
        same = (trial.after, trial.outcomes) == (control.after, control.outcomes)
        report.add(trial, each, moment.effects, changed=not same)


def _faults_at(moment: Snapshot) -> list[Fault | None]:
    """Every failure that is to be tried there, and a wish, which asks nothing of what nodes were told."""
    if moment.told:
        return [f for f in faults(moment.effects) if f.kind.then is Then.ADOPT]
    return [*faults(moment.effects), A_WISH]


def _thirds(second: list[Snapshot], seen: set[Hashable], report: Report) -> list[Snapshot]:
    """Moments after some of the schedules of two failures."""
    found: list[Snapshot] = []
    number = 0
    for moment in second:
        for each in (*faults(moment.effects), A_WISH):
            number += 1
            if number % THIRD == 0 and not moment.told:
                found += _borders(moment.trial.fork((Armed(moment.place, each),)), seen, report)
    return found


def _share(moments: Sequence[Snapshot], rests: Rests, workers: int | None, report: Report) -> None:
    """Play all of them, in so many processes, and join what they found in the order of the parts."""
    workers = min(workers or len(os.sched_getaffinity(0)), PARTS)
    work: list[Callable[[], Report]] = [
        partial(_play_all, part, rests.copy(), Report()) for part in _parts(moments)
    ]
    if workers == 1:
        found = [each() for each in work]
    else:
        # One process needs none of what starts others, and much of what vzplan does is done in one.
        from executor.simulated.sharing import shared  # noqa: PLC0415

        found = shared(work)
    for each in found:
        report.join(each)


def _parts(moments: Sequence[Snapshot]) -> list[Sequence[Snapshot]]:
    """As much to play in each; moments that are near each other stay together, since their futures are alike."""
    ends = list(accumulate(len(_faults_at(moment)) for moment in moments))
    cuts = [bisect(ends, part * ends[-1] // PARTS) if ends else 0 for part in range(1, PARTS)]
    return [moments[start:end] for start, end in pairwise([0, *cuts, len(moments)])]


def _shrunk(start: Trial, violation: Violation) -> Violation:
    """The same with as few of its failures as still break the invariant."""
    armed = schedule(violation.schedule)
    for left_out in range(len(armed)):
        trial = start.fork((*armed[:left_out], *armed[left_out + 1 :]))
        trial.run()
        for found in trial.violations:
            if found.invariant == violation.invariant and not trial.armed:
                return _shrunk(start, found)
    return violation


def single_faults(
    request: Request,
    plan: Plan | None = None,
    *,
    truth: Truth | None = None,
    until: frozenset[str] | None = None,
    merge: bool = True,
    after: str | None = None,
) -> Report:
    """Try every single failure, and each after every plain trouble; ``truth``: what no facts show.

    ``until``: enough when each of these invariants was seen broken. ``merge``: a schedule ends where its rest is known;
    it finds the same without, and takes longer. ``after``: only a schedule that is given, and what can follow it.
    """
    start = start_of(request, plan, truth=truth)
    rests = Rests() if merge else None
    report = Report()
    if after is None:
        moments = _moments(start, set(), report)
    else:
        first = start.fork(schedule(after))
        moments = iter(_borders(first, set(), report))
        if first.armed:
            raise ValueError(f"{first.armed[0]} was never reached")
        report.violations += tuple(first.violations)
    for moment in moments:
        if until is not None and until <= {violation.invariant for violation in report.violations}:
            break
        _play(moment, rests, report)
    return report


def run_schedule(
    request: Request,
    line: str,
    plan: Plan | None = None,
    *,
    truth: Truth | None = None,
    tell: Callable[[Entry], None] | None = None,
) -> Trial:
    """Play exactly one schedule, from the beginning; ``tell``: hears of every entry of its journals.

    Raises:
        ValueError: the line is no schedule, or one of its failures can never happen there.
    """
    trial = start_of(request, plan, truth=truth)
    trial.armed, trial.line, trial.on_entry = schedule(line), line, tell
    too_many: list[str] = []

    def ended(effects: int) -> None:
        hit = trial.acting
        if hit is not None and hit.kind.each and (hit.effects or 0) > effects and trial.hit is not None:
            too_many.append(
                f"{hit.name}: '{trial.hit.at}' has {effects} effects there, it is never so half done"
            )

    trial.on_end = ended
    trial.run()
    if trial.armed:
        raise ValueError(f"{trial.armed[0]} was never reached")
    if too_many:
        raise ValueError(too_many[0])
    return trial


def start_of(request: Request, plan: Plan | None = None, *, truth: Truth | None = None) -> Trial:
    """Before the first move of ``plan`` (None: the request's), in the world of its facts."""
    world = World.of(
        request.source, request.destination, truth=truth, writers=frozenset({request.asked.ctid})
    )
    return Trial(plan if plan is not None else make_plan(request), world)


def _moments(start: Trial, seen: set[Hashable], report: Report) -> Iterator[Snapshot]:
    """Every distinct moment before a command: without failures first, then after each trigger at each of those."""
    unharmed = start.fork(())
    forward = _borders(unharmed, seen, report)
    report.violations += tuple(unharmed.violations)
    yield from forward
    for moment in forward:
        for each in (*map(fault, TRIGGERS), A_WISH):
            yield from _borders(moment.trial.fork((Armed(moment.place, each),)), seen, report)


def _borders(trial: Trial, seen: set[Hashable], report: Report) -> list[Snapshot]:
    """Run it; every new moment on the way. The one at which a fault is armed is not new."""
    found: list[Snapshot] = []
    effects: list[int] = []
    waiting: list[tuple[Trial, str, bool] | None] = []

    def on_border(now: Trial, place: str) -> None:
        if len(effects) < len(waiting):
            effects.append(0)  # the command before this one never went out
        waiting.append(None)
        if now.armed:
            return
        key = moment_key(now)
        with_logs = (key, logs_key(now))
        if with_logs in seen:
            report.alike += 1
            return
        report.moments += 1
        waiting[-1] = (now.fork(()), place, key in seen)
        seen.update((key, with_logs))

    trial.on_border, trial.on_end = on_border, effects.append
    trial.run()
    for new, count in zip(waiting, [*effects, 0][: len(waiting)], strict=True):
        if new is not None:
            moment, place, told = new
            found.append(Snapshot(moment, place, count, told))
    return found
