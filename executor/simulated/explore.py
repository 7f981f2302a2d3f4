"""The explorer: every single failure of a plan, at every command, undo, probe and settle, through the engine.

Forward commands come from the walk without failures. Undos, probes, settles, retries and recoveries only happen
after something else has gone wrong; so each plain trouble (``TRIGGERS``) is put at every step, and every moment that
this leads to is a place for a failure as well. Moments with the same future (world, journal and what is still on
its way) are tried once. No randomness, no clock: the same plan gives the same report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Final

from msgspec import Struct

from executor.simulated.alike import logs_key, moment_key
from executor.simulated.faults import Then, fault, faults
from executor.simulated.loading import Truth
from executor.simulated.trial import Armed, Rests, Snapshot, Trial, Violation, schedule
from executor.simulated.world import World
from planner.make import make_plan
from planner.model import Request
from planner.plan import Plan

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


class Report(Struct):
    """What was tried, how it ended, and every violation that was found."""

    schedules: int
    merged: int  # schedules of which only the first part was played: from there on they are what another was
    moments: int  # places in time at which failures were put
    alike: int  # moments left out since their future is that of another
    outcomes: Counter[str]  # how runs ended; "IN_DOUBT > UNWOUND": by one recover
    violations: tuple[Violation, ...]

    def __str__(self) -> str:
        """For a person."""
        ends = ", ".join(f"{name} {count}" for name, count in sorted(self.outcomes.items()))
        head = f"{self.schedules} schedules ({self.merged} merged) at {self.moments} moments ({self.alike} alike)"
        return "\n".join([f"{head}: {ends}", *map(str, self.violations)])


def single_faults(
    request: Request,
    plan: Plan | None = None,
    *,
    truth: Truth | None = None,
    stop_after: int | None = None,
    merge: bool = True,
) -> Report:
    """Try every single failure; ``stop_after``: enough violations to give up; ``truth``: what no facts show.

    ``merge``: a schedule ends where its rest is known. It finds the same without, and takes longer.
    """
    start = start_of(request, plan, truth=truth)
    start.rests = Rests() if merge else None
    report = Report(0, 0, 0, 0, Counter(), ())
    found: list[Violation] = []
    for trial in _schedules(start, report):
        trial.run()
        report.schedules += 1
        report.merged += trial.merged
        report.outcomes[" > ".join(trial.outcomes)] += 1
        found += trial.violations
        if stop_after is not None and len(found) >= stop_after:
            break
    report.violations = tuple(found)
    return report


def _schedules(start: Trial, report: Report) -> Iterator[Trial]:
    for moment in _moments(start, set(), report):
        for each in faults(moment.effects):
            if moment.told and each.kind.then is not Then.ADOPT:
                continue
            yield moment.trial.fork((Armed(moment.place, each),))


def run_schedule(
    request: Request, line: str, plan: Plan | None = None, *, truth: Truth | None = None
) -> Trial:
    """Play exactly one schedule, from the beginning.

    Raises:
        ValueError: the line is no schedule, or one of its places is never reached.
    """
    trial = start_of(request, plan, truth=truth)
    trial.armed, trial.line = schedule(line), line
    trial.run()
    if trial.armed:
        raise ValueError(f"{trial.armed[0]} was never reached")
    return trial


def start_of(request: Request, plan: Plan | None = None, *, truth: Truth | None = None) -> Trial:
    """Before the first move of ``plan`` (None: the request's), in the world of its facts."""
    world = World.of(
        request.source, request.destination, truth=truth, writers=frozenset({request.asked.ctid})
    )
    return Trial(plan if plan is not None else make_plan(request), world)


def _moments(start: Trial, seen: set[Hashable], report: Report) -> Iterator[Snapshot]:
    """Every distinct moment before a command: without failures first, then after each trigger at each of those."""
    forward = _borders(start.fork(()), seen, report)
    yield from forward
    for moment in forward:
        for name in (*TRIGGERS, None):
            armed = Armed(moment.place, fault(name) if name is not None else None)
            yield from _borders(moment.trial.fork((armed,)), seen, report)


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
        moment = now.fork(())
        moment.rests = rests
        waiting[-1] = (moment, place, key in seen)
        seen.update((key, with_logs))

    rests, trial.rests = trial.rests, None  # it must be gone through to its end
    trial.on_border, trial.on_end = on_border, effects.append
    trial.run()
    for new, count in zip(waiting, [*effects, 0][: len(waiting)], strict=True):
        if new is not None:
            moment, place, told = new
            found.append(Snapshot(moment, place, count, told))
    return found
