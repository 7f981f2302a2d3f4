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

from executor.simulated.faults import fault, faults
from executor.simulated.loading import Truth
from executor.simulated.trial import Armed, Snapshot, Trial, Violation, schedule
from executor.simulated.world import World
from planner.make import make_plan
from planner.model import Request
from planner.plan import Compensation, Plan, What, Zone
from planner.saga import Past, Pivot

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
    moments: int  # places in time at which failures were put
    merged: int  # moments left out since their future is that of another
    outcomes: Counter[str]  # how runs ended; "IN_DOUBT > UNWOUND": by one recover
    violations: tuple[Violation, ...]

    def __str__(self) -> str:
        """For a person."""
        ends = ", ".join(f"{name} {count}" for name, count in sorted(self.outcomes.items()))
        head = f"{self.schedules} schedules at {self.moments} moments ({self.merged} merged): {ends}"
        return "\n".join([head, *map(str, self.violations)])


def single_faults(
    request: Request,
    plan: Plan | None = None,
    *,
    truth: Truth | None = None,
    stop_after: int | None = None,
) -> Report:
    """Try every single failure; ``stop_after``: enough violations to give up; ``truth``: what no facts show."""
    plan = plan if plan is not None else make_plan(request)
    world = _world(request, truth)
    seen: set[Hashable] = set()
    report = Report(0, 0, 0, Counter(), ())
    found: list[Violation] = []
    for moment in _moments(plan, world, seen, report):
        for each in faults(moment.effects):
            trial = moment.trial.fork((Armed(moment.place, each),))
            trial.run()
            report.schedules += 1
            report.outcomes[" > ".join(trial.outcomes)] += 1
            found += trial.violations
            if stop_after is not None and len(found) >= stop_after:
                report.violations = tuple(found)
                return report
    report.violations = tuple(found)
    return report


def run_schedule(
    request: Request, line: str, plan: Plan | None = None, *, truth: Truth | None = None
) -> Trial:
    """Play exactly one schedule, from the beginning.

    Raises:
        ValueError: the line is no schedule, or one of its places is never reached.
    """
    plan = plan if plan is not None else make_plan(request)
    world = _world(request, truth)
    trial = Trial(plan, world, schedule(line))
    trial.run()
    if trial.armed:
        raise ValueError(f"{trial.armed[0]} was never reached")
    return trial


def _world(request: Request, truth: Truth | None) -> World:
    return World.of(request.source, request.destination, truth=truth, writers=frozenset({request.asked.ctid}))


def _moments(plan: Plan, world: World, seen: set[Hashable], report: Report) -> Iterator[Snapshot]:
    """Every distinct moment before a command: without failures first, then after each trigger at each of those."""
    forward = list(_new(_borders(Trial(plan, world)), seen, report))
    yield from forward
    for moment in forward:
        for name in (*TRIGGERS, None):
            armed = Armed(moment.place, fault(name) if name is not None else None)
            yield from _new(_borders(moment.trial.fork((armed,)))[1:], seen, report)


def _borders(trial: Trial) -> list[Snapshot]:
    """Run it; every moment on the way, the first command's included."""
    found: list[Snapshot] = []
    effects: list[int] = []
    waiting: list[tuple[Trial, str]] = []

    def on_border(now: Trial, place: str) -> None:
        if len(effects) < len(waiting):
            effects.append(0)  # the command before this one never went out
        waiting.append((now.fork(()), place))

    trial.on_border, trial.on_end = on_border, effects.append
    trial.run()
    for (moment, place), count in zip(waiting, [*effects, 0][: len(waiting)], strict=True):
        found.append(Snapshot(moment, place, count))
    return found


def _new(moments: list[Snapshot], seen: set[Hashable], report: Report) -> Iterator[Snapshot]:
    for moment in moments:
        key = _key(moment)
        if key in seen:
            report.merged += 1
            continue
        seen.add(key)
        report.moments += 1
        yield moment


def _key(moment: Snapshot) -> Hashable:
    """Equal for moments with the same future."""
    trial = moment.trial
    return (trial.world.key(), trial.view.key(), _past_key(trial.plan, trial.past))


def _past_key(plan: Plan, past: Past) -> tuple[Hashable, ...]:
    """What of the journal still matters."""
    nodes = (frozenset(past.unsettled), frozenset(past.touched), past.pivot, past.unwinding is None)
    tries = {key: len(outcomes) for key, outcomes in past.failures.items() if outcomes}
    if past.pivot is Pivot.PASSED:
        ahead = frozenset(s.id for s in plan.steps if s.zone is Zone.RETIRE and s.id not in past.done)
        what = What.DO
    elif past.unwinding is not None and past.pivot is not Pivot.ASKED:
        ahead = frozenset(
            s.id for s in plan.steps if isinstance(s.undo, Compensation) and s.id in past.begun - past.undone
        )
        what = What.UNDO
    else:
        return (*nodes, frozenset(past.begun), frozenset(past.done), frozenset(tries.items()))
    matter = {k: n for k, n in tries.items() if (k[0] is what and k[1] in ahead) or k[0] is What.SETTLE}
    return (*nodes, what, ahead, frozenset(matter.items()))
