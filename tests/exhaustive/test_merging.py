"""Merging saves time and nothing else: what is found with it is what is found without."""

from __future__ import annotations

import os
from typing import Final

import pytest

from executor.simulated.explore import Report, single_faults
from planner.make import make_plan
from tests.exhaustive.bugs import BUGS
from tests.worlds import WORLDS


def found(report: Report) -> set[tuple[str, str]]:
    return {(violation.invariant, violation.schedule) for violation in report.violations}


SOAK: Final = os.environ.get("VZPLAN_SOAK") == "1"
"""Without merging each schedule is played to its end; all of them take minutes."""

AFTER: Final = (None,) if SOAK else ("", "copy-last:killed-after", "enable:lost-after")
"""What every schedule begins with; None: nothing, or any plain trouble."""


@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("world", ["a-stopped-area-kept", *(["d2-mounted", "b-running"] if SOAK else [])])
def test_every_run_ends_as_it_does_when_each_is_played_to_its_end(world: str, after: str | None) -> None:
    merged = single_faults(WORLDS[world], after=after)
    played = single_faults(WORLDS[world], after=after, merge=False)
    assert merged.outcomes == played.outcomes
    assert found(merged) == found(played)
    # And it was worth it.
    assert merged.merged > merged.schedules / 2
    assert played.merged == 0


@pytest.mark.parametrize("name", ["N02", "N05"] if SOAK else ["N05"])
def test_a_bug_is_found_in_the_very_same_schedules(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bug, world = BUGS[name].put_in, BUGS[name].world
    after = None if SOAK else BUGS[name].after
    plan = bug(monkeypatch, make_plan(WORLDS[world]))
    merged = single_faults(WORLDS[world], plan, after=after)
    played = single_faults(WORLDS[world], plan, after=after, merge=False)
    assert merged.outcomes == played.outcomes
    assert found(merged) == found(played) != set()
