"""A plan is verified: every way it can fail is tried, in the world that its facts tell of, before it is trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from executor.simulated.cells import all_cells, not_met, without_effect
from executor.simulated.explore import Report, explore, run_schedule, start_of
from executor.simulated.loading import Truth
from executor.simulated.trial import Trial
from planner.model import Request
from planner.plan import Entry, Outcome, Plan
from planner.situation import Situation, read

INVARIANTS: Final = {
    "I1": "a device is held read-write by one node at most",
    "I2": "the container runs on one node at most, also if a node boots at any moment",
    "I3": "what was written and confirmed is in the copy that is kept",
    "I4": "never do two copies both take writes",
    "I5": "other containers, devices and files keep their bytes",
    "I6": "nothing is deleted that this run did not make, save the source after the pivot, as the options say",
    "I7": "nothing takes effect that the journal does not expect",
    "I8": "the outcome that is reported is the truth",
    "I10": "of a run that has ended another recover makes nothing",
    "R12": "it waits for a person only while something stands in its way",
    "I11": "once nothing does, one recover ends the run",
}
"""What was asked after every single effect, and at every end (docs/saga.md)."""


class NotSimulatedError(Exception):
    """The simulation does not know this site well enough for its word to count; says why."""


class Violated(Struct, frozen=True):
    """A schedule of failures that breaks an invariant; ``schedule`` can be pasted into a test."""

    invariant: str
    schedule: str
    seen: str


class Cells(Struct, frozen=True):
    """Kinds of failure at verbs, of all that there are in the plan; each is in one of these.

    How many changed world or outcome, why others need not, why others were not met, and those without a reason.
    """

    changed: dict[str, int]  # of steps ("do"), compensations ("undo"), probes and settles
    without_effect: dict[str, str]
    not_met: dict[str, str]
    unexplained: tuple[str, ...]

    @property
    def changes(self) -> int:
        """How many changed something in all."""
        return sum(self.changed.values())


class Verdict(Struct, frozen=True):
    """What an exploration came to; documented in docs/verify.md, since other programs read it."""

    digest: str  # of the plan
    failures: int  # so many at most in one schedule
    schedules: int
    merged: int  # of which only the first part had to be played
    sampled: int  # of three failures, of which not all are tried
    moments: int
    outcomes: dict[str, int]
    doubts: dict[str, int]  # every end that is IN_DOUBT, by what makes it one: one schedule may have several
    killed: dict[str, int]  # those of them in which vzplan itself ended before: a person types "recover"
    waits: int  # those of the others that end open, since something stood in the way: so does a person there
    down_s: int
    invariants: dict[str, bool]
    violations: tuple[Violated, ...]
    cells: Cells

    @property
    def holds(self) -> bool:
        """Whether nothing was found against the plan, and nothing was left out without a reason."""
        return not self.violations and not self.cells.unexplained


def verify(
    request: Request,
    plan: Plan,
    *,
    failures: int = 1,
    truth: Truth | None = None,
    workers: int | None = None,
) -> Verdict:
    """Try every schedule of so many failures.

    Raises:
        NotSimulatedError: in simulation the plan does not even succeed where nothing fails.
    """
    truth = truth if truth is not None else _believed(request)
    _succeeds(request, plan, truth)
    report = explore(request, plan, failures=failures, truth=truth, workers=workers)
    return verdict(plan, report, failures)


def replay(request: Request, plan: Plan, line: str, tell: Callable[[Entry], None]) -> Trial:
    """Play one schedule in the world that ``verify`` tries them in.

    Raises:
        ValueError: see ``run_schedule``.
    """
    return run_schedule(request, line, plan, truth=_believed(request), tell=tell)


def verdict(plan: Plan, report: Report, failures: int) -> Verdict:
    """What a report comes to."""
    quiet = {str(cell): without_effect(cell) for cell, changed in report.cells.items() if not changed}
    missed = {
        str(cell): not_met(cell, failures, report.effects)
        for cell in sorted(all_cells(plan) - report.cells.keys())
    }
    broken = {violation.invariant for violation in report.violations}
    return Verdict(
        digest=plan.digest,
        failures=failures,
        schedules=report.schedules,
        merged=report.merged,
        sampled=report.sampled,
        moments=report.moments,
        outcomes=dict(sorted(report.outcomes.items())),
        doubts=dict(sorted(report.doubts.items())),
        killed=dict(sorted(report.killed.items())),
        waits=report.waits,
        down_s=report.down_s,
        invariants={name: name not in broken for name in INVARIANTS},
        violations=tuple(Violated(*violation) for violation in report.violations),
        cells=Cells(
            changed=dict(
                sorted(Counter(str(cell.what) for cell, did in report.cells.items() if did).items())
            ),
            without_effect={cell: why for cell, why in quiet.items() if why is not None},
            not_met={cell: why for cell, why in missed.items() if why is not None},
            unexplained=tuple(cell for cell, why in {**quiet, **missed}.items() if why is None),
        ),
    )


def _believed(request: Request) -> Truth | None:
    """With ``--same-device`` the operator's word is the ground of the plan: in its world both names are one disk."""
    at = read(request)
    if not isinstance(at, Situation) or not request.asked.options.same_device:
        return None
    if at.source.device is None or at.destination.device is None:
        return None
    one, other = at.source.device.names[0], at.destination.device.names[0]
    return Truth(same=(((at.source.node, one), (at.destination.node, other)),))


def _succeeds(request: Request, plan: Plan, truth: Truth | None) -> None:
    try:
        trial = start_of(request, plan, truth=truth)
        trial.run()
    except (LookupError, ValueError) as problem:
        raise NotSimulatedError(f"the simulation does not know what these facts tell of: {problem}") from None
    # What breaks an invariant although nothing fails is the plan's fault, and found once more by who explores.
    if trial.outcomes != [Outcome.MIGRATED] and not trial.violations:
        raise NotSimulatedError(
            f"in simulation it ends as {' > '.join(trial.outcomes)} although nothing fails"
        )
