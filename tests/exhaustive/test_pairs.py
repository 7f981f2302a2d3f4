"""Every pair of failures: the second at every moment that the first leads to."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import product
from typing import Final

import pytest

from executor.simulated.ends import WHY_OPEN
from executor.simulated.explore import explore, run_schedule
from executor.simulated.verify import verdict
from planner.make import make_plan
from planner.plan import Outcome, What
from tests.exhaustive import durable
from tests.exhaustive.test_single_faults import quiet_by_themselves
from tests.worlds import TRUTHS, WORLDS

ONE_A_WAY: Final = ("a-stopped-area-kept", "b-mounted", "c-running-by-config", "d1-stopped", "d2-running")

PAIRED: Final = tuple(WORLDS) if os.environ.get("VZPLAN_SOAK") == "1" else ONE_A_WAY
"""Each takes ten minutes and more; of all worlds they are tried by ``make soak``."""

DOWN_AGAIN_UNSEEN: Final = {
    # Started by force once it was ended to free its disk, and down again before anybody looked: its memory is given up.
    "release-source:operator-forces-start-at-source + undo/release-source:reboot-before": "UNWOUND",
    "release-source:operator-forces-start-at-source + undo/release-source:reboot-after": "UNWOUND",
    "hide-config:operator-forces-start-at-source + undo/hide-config:reboot-before": "UNWOUND",
    "hide-config:operator-forces-start-at-source + undo/hide-config:reboot-after": "UNWOUND",
    "hide-config:operator-forces-start-at-source + undo/release-source:reboot-before": "UNWOUND",
    "hide-config:fails-before + undo/hide-config:operator-forces-start-at-source"
    " + undo/release-source:reboot-before": "UNWOUND",
}

STARTED_BY_FORCE: Final = {
    # What is undumped has its config early: the source does not go on beside what is started there.
    "name-config:killed-after + settle/hn1:operator-forces-start-at-destination": "IN_DOUBT > IN_DOUBT",
    "undump:fails-before + undo/name-config:operator-forces-start-at-destination": "IN_DOUBT > IN_DOUBT",
}

FOUND: Final = {
    "d2-stopped": {
        # A node is given up by its controller and is back a moment later.
        "fence:off-after + settle/hn1#5:reboot-after": "IN_DOUBT > UNWOUND",
        "note-state:off-after + undo/make-private:peer-reboot": "IN_DOUBT > UNWOUND",
        "own-hn1:busy + undo/mount-source#2:reboot-after": "IN_DOUBT > UNWOUND",
        "enable:off-half-6 + settle/hn2#5:reboot-after": "IN_DOUBT > MIGRATED",
        # Whoever slept is refused what the other one has on its way.
        "prove-released-hn1:sleeps-longer + undo/hide-config:late-3": "UNWOUND",
        "release-source:sleeps-longer + undo/mount-source:killed-late-2": "UNWOUND",
        # The run ends on a node between its adoption and the first command there.
        "disown-hn1:killed-late-1 + settle/hn1:sleeps-before": "MIGRATED",
        "disown-hn1:late-1 + settle/hn1:journal-lost-before": "MIGRATED",
        # A node is given up, and is back before that is told: what is left there was never done.
        "own-hn1:peer-unreachable + settle/hn2#5:unreachable-for-2": "UNWOUND_NOT_CLEANED > REFUSED",
        # Killed between a file's mark and the file; then another makes one of that name.
        "stage-config:killed-half-forward-2 + stage-config#2:another-makes-it": "UNWOUND",
    },
    "d1-stopped": {
        # What was to be emptied stayed mounted in the run's own folder, and could not be released.
        "own-hn2:will-not-be-removed + claim-empty:reboot-after": "UNWOUND_NOT_CLEANED > UNWOUND",
        # Edited while its rename was half done: only a person knows which is right.
        "hide-config:half-1 + undo/hide-config:operator-edits-config": "IN_DOUBT > IN_DOUBT",
    },
    "a-running": {
        # After a power cut nobody has the lock: what somebody starts by force, or mounts, is not moved.
        "copy-last:reboot-before-forward + settle/hn1:operator-forces-start-at-source": "UNWOUND",
        "stop:reboot-before-forward + settle/hn2:operator-forces-start-at-source": "UNWOUND",
        "copy-last:reboot-before-forward + settle/hn1:operator-mounts-at-source": "UNWOUND",
        # Before the pivot the destination has nothing that could be started, be it by force.
        "hide-config:killed-after + settle/hn1:operator-forces-start-at-destination": "UNWOUND",
        "bring-up:will-not-start + undo/bring-up:operator-forces-start-at-destination": "UNWOUND",
    },
    "a-stopped-area-kept": {
        # Who woke up after the run had ended cannot reach the node that would say so: a person recovers that, too.
        "own-hn1:sleeps-after + undo/own-hn1:unreachable-next": "REFUSED",
    },
    "c-running-by-config": {
        # What it hears then was true when it fell asleep, and proves nothing of what a boot has changed since.
        "ensure-up:sleeps-after + unlock-hn1:peer-reboot": "MIGRATED",
        "bring-up:sleeps-after + ensure-up:reboot-after": "MIGRATED",
    },
    "a-stopped-never-started": {
        # Both its names are there, and vzctl has made two files of them: it is this run's config all the same.
        "enable:half-5 + allow-start:operator-forces-start-at-destination": "MIGRATED",
        "enable:half-6 + probe/enable:operator-forces-start-at-destination": "MIGRATED",
    },
    "d2-running": {
        # Cut off between its mark and the config's name, the pivot counts as happened.
        "bring-up:reboot-half-2 + probe/bring-up:off-after": "IN_DOUBT > DOWN > MIGRATED",
        "bring-up:reboot-half-3 + probe/bring-up:off-after": "IN_DOUBT > DOWN > MIGRATED",
    },
    "a-staged": STARTED_BY_FORCE,
    "d2-staged": {
        **STARTED_BY_FORCE,
        **DOWN_AGAIN_UNSEEN,
        # And at the destination.
        "undump:operator-forces-start-at-destination + undo/undump:reboot-before": "UNWOUND",
        "undump:operator-forces-start-at-destination + settle/hn2:reboot-after": "IN_DOUBT > UNWOUND",
        "undump:operator-forces-start-at-destination + settle/hn1:peer-reboot": "IN_DOUBT > UNWOUND",
    },
    "d2-staged-by-device": {
        **DOWN_AGAIN_UNSEEN,
        "hide-config:operator-forces-start-at-source + undo/kill:reboot-before": "UNWOUND",
        "undump:operator-forces-start-at-destination + undo/undump:reboot-before": "UNWOUND",
    },
    "d2-online-by-device": {
        **DOWN_AGAIN_UNSEEN,
        "hide-config:operator-forces-start-at-source + undo/suspend:reboot-before": "UNWOUND",
    },
}
"""Pairs that broke an invariant once, or might, by world, and how they end."""


@pytest.mark.parametrize("world", PAIRED)
def test_no_pair_of_failures_breaks_an_invariant(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = durable.watch(monkeypatch)
    report = explore(WORLDS[world], failures=2, truth=TRUTHS.get(world), workers=1)
    print(report)
    assert not report.violations, "\n".join(map(str, report.violations[:10]))
    assert {verb: left for verb, left in ended.items() if left} == {}
    assert {"own", "disown", "make-file", "remove-made", "release-lock", "settle"} <= ended.keys()
    # All of it was tried: far more moments than the plan has steps, every end was met, each failure made a difference.
    plan = make_plan(WORLDS[world])
    assert report.moments > 100 * len(plan.steps)
    ends = {word for line in report.outcomes for word in line.split(" > ")}
    assert ends >= {outcome.value for outcome in Outcome} - {Outcome.REFUSED}
    said = verdict(plan, report, 2)
    assert said.cells.unexplained == ()
    assert said.doubts.keys() <= {why for why, _ in WHY_OPEN}
    assert {What.DO, What.UNDO, What.PROBE, What.SETTLE} == said.cells.changed.keys()
    assert said.cells.changes > 10 * len(quiet_by_themselves(said))


@pytest.mark.parametrize(
    ("world", "line", "ends"),
    [(world, line, ends) for world, found in FOUND.items() for line, ends in found.items()],
)
def test_what_pairs_have_found_stays_mended(world: str, line: str, ends: str) -> None:
    trial = run_schedule(WORLDS[world], line)
    assert not trial.violations, "\n".join(map(str, trial.violations))
    assert " > ".join(trial.outcomes) == ends


@pytest.mark.parametrize("world", ["d2-staged", "d2-staged-by-device", "d2-online-by-device"])
def test_what_somebody_starts_while_its_disk_is_on_its_way_never_gets_old_memory(world: str) -> None:
    plan = make_plan(WORLDS[world])
    tried = 0
    for step in plan.steps[: plan.pivot + 1]:
        for side, power_cut in product(
            ("source", "destination"), ("reboot-before", "reboot-after", "peer-reboot")
        ):
            line = f"{step.id}:operator-forces-start-at-{side} + undo/{step.id}:{power_cut}"
            with suppress(ValueError):  # it can be taken up there, or the step is never taken back
                trial = run_schedule(WORLDS[world], line)
                tried += 1
                assert not trial.violations, "\n".join(map(str, trial.violations))
    assert tried >= 6
