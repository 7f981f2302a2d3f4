"""Merging saves time and nothing else: what is found with it is what is found without."""

from __future__ import annotations

import os
from typing import Final

import pytest

from executor.simulated import explore
from executor.simulated.explore import Report, single_faults, start_of
from executor.simulated.faults import NO_FAULT
from executor.simulated.rests import Moment, Rest, Rests
from executor.simulated.schedules import Armed, schedule
from executor.simulated.trial import Trial
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
    assert (merged.outcomes, merged.doubts) == (played.outcomes, played.doubts)
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


SLEEPS: Final = ("note-state:sleeps-a-little", "lock-hn2:sleeps-longer", "hide-config:sleeps-until-adopted")


class Doubting(Rests):
    """Believes no key: everything is played, and of equal keys what comes must be equal."""

    met = 0

    def get(self, key: tuple[int, ...]) -> Rest | None:
        """Never known."""
        del key
        return None

    def put(self, moment: Moment, trial: Trial) -> None:
        """It must be as it was before."""
        before = super().get(moment.key)
        super().put(moment, trial)
        now = super().get(moment.key)
        assert now is not None
        if before is not None:
            type(self).met += 1
            assert (now.outcomes, now.doubts) == (before.outcomes, before.doubts), trial.line
            assert {v.invariant for v in now.violations} == {v.invariant for v in before.violations}, (
                trial.line
            )


ALIKE: Final = [
    ("d2-stopped", after)
    for after in ("", "hide-config:lost-after", "enable:journal-lost-after", "lock-hn2:off-after", *SLEEPS)
]
WITH_MEMORY: Final = [
    (world, after)
    for world in ("a-staged", "b-online", "c-stopped", "d1-suspended", "d2-staged-by-device")
    for after in ("", "hide-config:lost-after", "lock-hn2:off-after")
]
"""With copies and memory; minutes."""


@pytest.mark.parametrize(("world", "after"), [*ALIKE, *(WITH_MEMORY if SOAK else [])])
def test_moments_that_are_taken_for_the_same_go_on_alike(
    world: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explore, "Rests", Doubting)
    Doubting.met = 0
    single_faults(WORLDS[world], after=after)
    assert Doubting.met > 100


@pytest.mark.parametrize("after", ["", "hide-config:lost-after", *SLEEPS])
def test_a_moment_knows_in_how_many_effects_its_command_can_be_stopped(after: str) -> None:
    start = start_of(WORLDS["d2-running"])
    moments = explore._borders(start.fork(schedule(after)), set(), Report())
    assert moments
    for moment in moments:
        effects: list[int] = []
        control = moment.trial.fork((Armed(moment.place, NO_FAULT),))
        control.on_end = effects.append
        control.run()
        assert moment.effects == (effects[0] if effects else 0), (after, moment.place)
