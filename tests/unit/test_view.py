"""What the invariants remember of a journal."""

from __future__ import annotations

import pytest

from executor.simulated.explore import run_schedule
from executor.simulated.view import View
from executor.simulated.world import World
from planner.plan import Adopted, Outcome, Want, Wish
from tests.worlds import WORLDS, plan_of


@pytest.mark.parametrize(("begun", "wished"), [("hide-config", True), ("bring-up", False)])
def test_a_wish_is_heeded_by_who_adopts_unless_the_pivot_had_gone_out(begun: str, wished: bool) -> None:
    """Another controller, which was only asleep, may have sent it out meanwhile: what has moved has moved."""
    plan, request = plan_of("a-running"), WORLDS["a-running"]
    ids = [step.id for step in plan.steps]
    view = View(plan, World.of(request.source, request.destination))
    view.note(Wish(Want.UNWIND, "a person asked for it"))
    view.note(Adopted("hn2", tuple(ids[: ids.index(begun) + 1]), (), 1))
    assert view.wished is wished


@pytest.mark.parametrize("hit", ["lost-before", "reboot-before", "reboot-half-1"])
def test_a_failure_that_hits_the_last_try_is_the_reason_though_the_node_settles_after_it(hit: str) -> None:
    """Who adopted the run hears every node before it says more; all is at hand by then, and no try is left."""
    tries = " + ".join(f"undo/hide-config{number}:{hit}" for number in ("", "#2", "#3"))
    trial = run_schedule(WORLDS["a-running"], f"hide-config:journal-lost-after + {tries}")
    assert trial.violations == []
    assert trial.outcomes == [Outcome.IN_DOUBT, Outcome.UNWOUND]
    assert trial.doubts == ["the failure hit the last try of all"]
