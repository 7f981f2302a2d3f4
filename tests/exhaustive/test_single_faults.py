"""Every single failure at every command, undo, probe and settle of all five ways, through the production engine."""

from __future__ import annotations

from typing import Final

import pytest

from executor.simulated.cells import PASSING, PEOPLE
from executor.simulated.ends import WHY_OPEN
from executor.simulated.explore import explore, run_schedule, single_faults
from executor.simulated.faults import KINDS
from executor.simulated.loading import Truth
from executor.simulated.schedules import WISH
from executor.simulated.verify import Verdict, verdict
from planner.make import make_plan
from planner.plan import Began, Outcome, What
from tests.exhaustive import durable
from tests.worlds import EXPLORED, TRUTHS, WORLDS

EARLY: Final = {"own", "note-state", "make-file", "make-dir"}
LATE: Final = {"release-lock", "remove-dir", "disown"}
FREEZE: Final = {"hold-lock", "guard-source", "guard-destination", "fence", "stop-container"}
BY_HAND: Final = {
    "operator-starts-at-source": EARLY,
    "operator-forces-start-at-source": {*EARLY, "settle"},
    "operator-stops-at-source": EARLY,
    "operator-starts-at-destination": LATE - {"release-lock"},
    "operator-forces-start-at-destination": {*LATE, "undump-container"} - {"release-lock"},
    "operator-stops-at-destination": LATE - {"release-lock"},
    "operator-mounts-at-source": EARLY,
    "operator-edits-config": {*EARLY, *FREEZE, "hide-config"},
    WISH: {*EARLY, *FREEZE, "hide-config", "rename-file", "copy-tree", "mount-device", "prove-released"},
}
"""Verbs before which what is done by hand must do something, in one world or another."""

RUNNING = [name for name in WORLDS if "running" in name]


def quiet_by_themselves(said: Verdict) -> list[str]:
    """Cells without effect, but for what somebody does by hand, which most of the time comes to nothing."""
    return [cell for cell in said.cells.without_effect if cell.partition(": ")[2] not in PEOPLE]


@pytest.mark.parametrize("world", WORLDS)
def test_no_single_failure_breaks_an_invariant(world: str) -> None:
    report = explore(WORLDS[world], truth=TRUTHS.get(world), workers=1)
    plan = make_plan(WORLDS[world])
    assert not report.violations, "\n".join(map(str, report.violations[:10]))
    # All of it was tried: one moment a step, each kind of failure at each of them.
    assert report.moments == len(plan.steps)
    assert report.schedules > report.moments * len(KINDS) / 2
    # And each failure made a difference, or need not.
    said = verdict(plan, report, 1)
    assert said.cells.unexplained == ()
    assert said.cells.changes > 10 * len(quiet_by_themselves(said))
    assert said.waits < said.schedules
    # Each IN_DOUBT is counted by what allows it.
    in_doubt = sum(
        count * ends.split(" > ").count(Outcome.IN_DOUBT) for ends, count in report.outcomes.items()
    )
    assert sum(said.doubts.values()) == in_doubt > 0
    assert said.doubts.keys() <= {why for why, _ in WHY_OPEN}


MANY: Final = (
    ("a-running", None),
    ("a-suspended", None),
    ("b-stopped", None),
    ("d1-mounted", None),
    ("d2-staged", None),
    ("d2-running", "bring-up:will-not-start"),
    ("b-running", "bring-up:will-not-start"),
    ("d2-running", "stop:fails-after"),
    ("c-stopped", "enable:fails-before"),
    ("a-running", "copy-last:reboot-before-forward"),
)
"""Worlds that have every verb between them; and what lets them unwind, or takes the lock away."""

TAKES_MORE: Final = {
    *(("busy-once", verb) for verb in ("bring-up", "ensure-up", "restore-state", "empty-claimed")),
    *(("hooks-hide-failure", verb) for verb in ("bring-up", "ensure-up", "restore-state")),
    *(("will-not-mount-once", verb) for verb in ("bring-up", "restore-state")),
    ("will-not-start-once", "restore-state"),
}
"""Verbs that start it anew, or have to unmount something first, only after more than one other trouble."""


def test_what_may_pass_by_a_verb_that_could_meet_it_is_met_by_it_somewhere() -> None:
    met = set[tuple[str, str]]()
    for world, after in MANY:
        request = WORLDS[world]
        report = single_faults(request, after=after) if after is not None else explore(request, workers=1)
        met |= {(cell.kind, cell.verb) for cell, changed in report.cells.items() if changed}
    expected = {(kind, verb) for kind, (verbs, _) in PASSING.items() for verb in verbs}
    by_hand = {(kind, verb) for kind, verbs in BY_HAND.items() for verb in verbs}
    assert BY_HAND.keys() == PEOPLE.keys()
    assert (expected | by_hand) - met == TAKES_MORE


@pytest.mark.parametrize("world", EXPLORED)
def test_no_failure_after_a_plain_trouble_breaks_an_invariant(
    world: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = durable.watch(monkeypatch)
    report = single_faults(WORLDS[world], truth=TRUTHS.get(world))
    print(report)
    assert {verb: left for verb, left in ended.items() if left} == {}
    assert {"own", "disown", "make-file", "remove-made", "release-lock", "settle"} <= ended.keys()
    assert not report.violations, "\n".join(map(str, report.violations[:10]))
    # Every end was met.
    assert report.moments > len(make_plan(WORLDS[world]).steps)
    ends = {word for line in report.outcomes for word in line.split(" > ")}
    assert ends >= {
        Outcome.MIGRATED,
        Outcome.UNWOUND,
        Outcome.UNWOUND_NOT_CLEANED,
        Outcome.MIGRATED_NOT_CLEANED,
        Outcome.IN_DOUBT,
    }


@pytest.mark.parametrize("world", RUNNING)
def test_a_container_that_will_not_start_anywhere_is_reported_as_down(world: str) -> None:
    trial = run_schedule(WORLDS[world], "bring-up:will-not-start + undo/stop:will-not-start")
    assert trial.outcomes == [Outcome.DOWN, Outcome.UNWOUND]
    assert not trial.violations


@pytest.mark.parametrize("world", WORLDS)
def test_without_a_failure_the_container_moves(world: str) -> None:
    trial = run_schedule(WORLDS[world], "", truth=TRUTHS.get(world))
    assert trial.outcomes == [Outcome.MIGRATED]
    assert not trial.violations


@pytest.mark.parametrize("world", WORLDS)
def test_wherever_a_controller_dies_its_run_can_be_told_to_go_on(world: str) -> None:
    plan = make_plan(WORLDS[world])
    died = [
        f"{step.id}:killed-{when}-forward"
        for step in plan.steps[: plan.pivot]
        for when in ("before", "after")
    ]
    halves = ("fence:killed-half-forward-1", "fence:killed-half-forward-2")
    for line in (*died, f"{plan.steps[plan.pivot].id}:killed-after-forward", *halves):
        trial = run_schedule(WORLDS[world], line, plan, truth=TRUTHS.get(world))
        assert trial.outcomes == [Outcome.MIGRATED], line
        assert not trial.violations


def test_a_schedule_that_is_never_reached_says_so() -> None:
    with pytest.raises(ValueError, match="was never reached"):
        run_schedule(WORLDS["d2-running"], "undo/stop:busy")


def test_an_unknown_kind_of_failure_says_so() -> None:
    with pytest.raises(ValueError, match="no kind of failure is called 'earthquake'"):
        run_schedule(WORLDS["d2-running"], "stop:earthquake")


CLONE = Truth(different=((("hn1", "/dev/sda1"), ("hn2", "/dev/sdm1")),))
"""The destination's device has the identity of the source's to the last letter, and is another disk."""


@pytest.mark.parametrize("world", ["d2-running", "d2-mounted", "d2-stopped"])
def test_a_clone_with_the_same_identity_is_found_by_the_challenge(world: str) -> None:
    trial = run_schedule(WORLDS[world], "", truth=CLONE)
    assert not trial.violations
    moves = [entry.at for entry in trial.entries if isinstance(entry, Began) and entry.what is What.DO]
    assert moves[-1] in {"see-mounted", "prove-released-hn2"}
    # A look that finds another disk fails nothing; a release that cannot be proved comes after the container went down.
    assert trial.outcomes == [Outcome.REFUSED if moves[-1] == "see-mounted" else Outcome.UNWOUND]
    assert "mount-destination" not in moves


@pytest.mark.parametrize("world", ["d2-running", "d2-mounted", "d2-stopped"])
def test_no_single_failure_makes_a_clone_pass_the_challenge(world: str) -> None:
    report = single_faults(WORLDS[world], truth=CLONE)
    assert not report.violations, "\n".join(map(str, report.violations[:10]))
    assert not any("MIGRATED" in end for end in report.outcomes)
