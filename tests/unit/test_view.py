"""What the invariants remember of a journal."""

from __future__ import annotations

import pytest

from executor.simulated.view import View
from executor.simulated.world import World
from planner.plan import Adopted, Want, Wish
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
