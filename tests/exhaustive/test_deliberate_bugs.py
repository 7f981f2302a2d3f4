"""Bugs put in on purpose: the exploration that finds nothing in the product must find each of these.

N01 to N05 are those of the old tools and of naive ones; each lost data, or hid that it had, when it was tried.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs

from executor.simulated import node, vz
from executor.simulated.explore import run_schedule, single_faults
from executor.simulated.twins import TWINS
from executor.simulated.twins.here import End, Here, Twin
from executor.simulated.vz import Effects
from executor.simulated.world import NodeState, World
from planner import saga
from planner.make import make_plan
from planner.model import State
from planner.plan import NothingToUndo, Plan, Run, Step, Zone
from planner.saga import Past
from planner.verbs import NO, YES
from tests.worlds import WORLDS

Bug = Callable[[pytest.MonkeyPatch, Plan], Plan]


def n01_start_without_force(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The undo of stop starts the container as an operator would: its own fence refuses (exit 105)."""
    real = vz.start

    def start(world: World, at: NodeState, ctid: int, *, force: bool, skiplock: bool) -> Effects:  # noqa: ARG001 # that is the bug
        return real(world, at, ctid, force=False, skiplock=skiplock)

    patch.setattr(vz, "start", start)
    return plan


def n02_nothing_settles(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Commands go out to a node where an earlier one may still be at work, and nothing there holds them up."""

    def settled(_plan: Plan, _past: Past, run: Run) -> Run:
        return run

    patch.setattr(saga, "_settled", settled)
    patch.setattr(node, "lock_is_taken", lambda _here: False)
    patch.setattr(node, "refusal", lambda _here, _verb: None)
    return plan


def n03_pivot_without_undo(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A pivot of several parts, config activated, start allowed, started, that failed half way and has no undo."""
    allow = next(step for step in plan.steps if step.id == "allow-start")
    steps: list[Step] = []
    for step in plan.steps:
        if step.zone is Zone.PIVOT:
            steps.append(structs.replace(allow, zone=Zone.TRANSFER))
        if step.id in ("activate-config", "bring-up"):
            steps.append(structs.replace(step, undo=NothingToUndo("it failed")))
        elif step is not allow:
            steps.append(step)
    return structs.replace(plan, steps=tuple(steps))


def n04_probe_asks_whether_it_runs_now(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Started, acknowledgement lost, rebooted: "not running" is read as "never started"."""

    def probe(here: Here, ctid: str) -> Twin:
        yield from ()
        return End(YES if vz.state_of(here.node, int(ctid)) is State.RUNNING else NO)

    patch.setitem(TWINS, "probe-pivot", probe)
    return plan


def n05_any_failure_of_the_probe_is_no(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A probe that fails for its own reasons is taken for an answer."""

    class AnythingButYes(int):
        __hash__ = int.__hash__

        def __eq__(self, other: object) -> bool:
            return other != YES

    patch.setattr(saga, "NO", AnythingButYes(NO))
    return plan


def the_old_controller_is_kept_from_nodes_only_when_they_are_needed(
    patch: pytest.MonkeyPatch, plan: Plan
) -> Plan:
    """Adopted while the first controller only slept: it goes on where its generation still counts."""
    patch.setattr(saga, "_knows", lambda _plan, _past, _node: False)
    return plan


BUGS: dict[str, tuple[Bug, str]] = {
    "N01": (n01_start_without_force, "d2-running"),
    "N02": (n02_nothing_settles, "d2-running"),
    "N03": (n03_pivot_without_undo, "d2-running"),
    "N04": (n04_probe_asks_whether_it_runs_now, "a-running-not-on-boot"),
    "N05": (n05_any_failure_of_the_probe_is_no, "a-running"),
    "taken-over-late": (the_old_controller_is_kept_from_nodes_only_when_they_are_needed, "a-stopped"),
}


@pytest.mark.parametrize("name", BUGS)
def test_the_exploration_finds_a_bug_that_was_put_in(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bug, world = BUGS[name]
    request = WORLDS[world]
    plan = bug(monkeypatch, make_plan(request))
    report = single_faults(request, plan, stop_after=1)
    assert report.violations, f"{name} was not noticed"
    found = report.violations[0]
    print(found)
    # The schedule that it names leads there again, by itself.
    again = run_schedule(request, found.schedule, plan)
    assert found.invariant in {violation.invariant for violation in again.violations}
    # And it is the bug's doing: without it the same schedule does no harm.
    monkeypatch.undo()
    assert not run_schedule(request, found.schedule, make_plan(request)).violations
