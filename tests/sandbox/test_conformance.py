"""Moves that fail end on real nodes as on simulated ones, with the same facts; those that do not: ``test_moves``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from executor.simulated.trial import OPEN_ENDS
from planner import saga
from planner.model import State
from planner.plan import Outcome, What
from tests.sandbox import leftovers
from tests.sandbox.beside import same_move
from tests.sandbox.driving import CTID, Driver
from tests.sandbox.struck import Troubled
from tests.sandbox.test_every_step import SOAK
from tests.sandbox.test_moves import WAYS, empty_again, in_state, kept
from tests.sandbox.watched import over_boots

FAILS: Final = [
    ("a", "", "start", "bring-up"),
    ("b", "", "start", "bring-up"),
    ("d2", "", "start", "bring-up"),
    ("c", "online", "restore", "bring-up"),
    ("d2", "online-by-device", "restore", "bring-up"),
    ("d1", "staged", "restore-undump", "undump"),
    ("d2", "staged-by-device", "restore-undump", "undump"),
]
"""A way, how memory is kept, what vzctl cannot do at the destination, and the step that meets it."""


@pytest.mark.parametrize(("way", "how", "fault", "step"), FAILS, ids=lambda value: value)
def test_the_same_failure_takes_the_same_moves(
    way: str, how: str, fault: str, step: str, tmp_path: Path
) -> None:
    with in_state(way, State.RUNNING) as box:
        box.hn2.sh(f"mkdir -p /run/faults; touch /run/faults/vzctl-{fault}-fails")
        driver = Driver(box, tmp_path)
        stop, watch, *_ = same_move(driver, kept(box, how, WAYS[way].there), stubborn=("start",))
        assert stop.outcome is Outcome.UNWOUND
        failed = [at for what, at, status in watch.moves if what is What.DO and status != 0]
        assert failed == [step], watch.moves
        if step == "bring-up":
            assert (What.PROBE, step, 11) in watch.moves


SCHEDULES: Final[Mapping[str, tuple[str, str, Mapping[str, Outcome]]]] = {
    "d2": (
        "d2",
        "",
        {
            "stop:busy": Outcome.UNWOUND,
            "mount-destination:will-not-mount": Outcome.UNWOUND,
            "bring-up:lost-before": Outcome.UNWOUND,
            "stop:hooks-hide-every-failure": Outcome.MIGRATED,
        },
    ),
    "d2-twice": (
        "d2",
        "",
        {
            "stop:hooks-hide-failure + release-source:busy": Outcome.UNWOUND,
            "bring-up:will-not-start + undo/release-source:will-not-mount": Outcome.DOWN,
            "mount-destination:fails-after + undo/mount-destination:busy": Outcome.IN_DOUBT,
        },
    ),
    "a": (
        "a",
        "",
        {
            "copy-1:half-1": Outcome.UNWOUND,
            "copy-last:lost-after": Outcome.UNWOUND,
            "bring-up:lost-after": Outcome.MIGRATED,
        },
    ),
    "b": (
        "b",
        "",
        {
            "mount-destination:will-not-mount-once": Outcome.UNWOUND,
            "copy-last:half-1": Outcome.UNWOUND,
            "bring-up:hooks-hide-every-failure": Outcome.MIGRATED,
        },
    ),
    "d1-staged": (
        "d1",
        "staged",
        {"undump:lost-after": Outcome.UNWOUND, "bring-up:lost-after": Outcome.MIGRATED},
    ),
    "d2-staged-power": (
        "d2",
        "staged",
        {
            "hide-config:reboot-after": Outcome.UNWOUND,
            "hide-config:operator-forces-start-at-source + undo/hide-config:reboot-before": Outcome.UNWOUND,
        },
    ),
    "d2-by-device-power": (
        "d2",
        "online-by-device",
        {
            "hide-config:reboot-after": Outcome.UNWOUND,
            "hide-config:operator-forces-start-at-source + undo/hide-config:reboot-before": Outcome.UNWOUND,
        },
    ),
    "d2-people": (
        "d2",
        "",
        {
            "own-hn2:second-run": Outcome.REFUSED,
            "stage-config:another-makes-it": Outcome.UNWOUND,
            "stop:operator-edits-config": Outcome.UNWOUND,
            "hide-config:operator-edits-config": Outcome.UNWOUND,
            "hide-config:operator-forces-start-at-source": Outcome.UNWOUND,
            "stop:operator-stops-at-source": Outcome.MIGRATED,
            "release-source:operator-mounts-at-source": Outcome.MIGRATED,
            "bring-up:operator-forces-start-at-destination": Outcome.MIGRATED,
            "bring-up:operator-forces-start-at-source": Outcome.MIGRATED,
            "allow-start:operator-stops-at-destination": Outcome.MIGRATED,
            "lock-hn1:operator-starts-at-source": Outcome.MIGRATED,
        },
    ),
    "d2-power": (
        "d2",
        "",
        {
            "stop:reboot-before": Outcome.UNWOUND,
            "hide-config:reboot-after": Outcome.UNWOUND,
            "mount-destination:reboot-before": Outcome.UNWOUND,
            "bring-up:both-reboot": Outcome.UNWOUND,
            "mount-destination:peer-reboot": Outcome.MIGRATED,
            "bring-up:reboot-after": Outcome.MIGRATED,
            "bring-up:peer-reboot": Outcome.MIGRATED,
        },
    ),
    "d2-network": (
        "d2",
        "",
        {
            "lock-hn2:unreachable": Outcome.UNWOUND_NOT_CLEANED,
            "release-source:unreachable": Outcome.IN_DOUBT,
            "hide-config:peer-unreachable": Outcome.UNWOUND_NOT_CLEANED,
            "bring-up:unreachable": Outcome.IN_DOUBT,
            "allow-start:unreachable": Outcome.IN_DOUBT,
            "see-mounted:both-unreachable": Outcome.IN_DOUBT,
            "prove-released-hn2:unreachable-next": Outcome.IN_DOUBT,
        },
    ),
    "c": (
        "c",
        "",
        {
            "copy-1:unreachable-after": Outcome.IN_DOUBT,
            "copy-last:reboot-after-stays-away": Outcome.IN_DOUBT,
            "hide-config:peer-reboot-stays-away": Outcome.IN_DOUBT,
            "bring-up:reboot-before-stays-away": Outcome.IN_DOUBT,
            "bring-up:will-not-start": Outcome.UNWOUND,
        },
    ),
    "a-people": (
        "a",
        "",
        {
            "make-private:another-makes-it": Outcome.UNWOUND,
            "copy-1:operator-stops-at-source": Outcome.REFUSED,
            "copy-last:operator-forces-start-at-source": Outcome.UNWOUND,
            "copy-last:operator-edits-config": Outcome.UNWOUND,
            "bring-up:operator-forces-start-at-destination": Outcome.MIGRATED,
            "allow-start:operator-stops-at-destination": Outcome.MIGRATED,
        },
    ),
    "a-power-and-network": (
        "a",
        "",
        {
            "copy-1:reboot-before": Outcome.UNWOUND,
            "copy-last:peer-reboot": Outcome.UNWOUND,
            "copy-last:reboot-after": Outcome.UNWOUND,
            "bring-up:reboot-before": Outcome.UNWOUND,
            "copy-1:unreachable": Outcome.IN_DOUBT,
            "copy-last:peer-unreachable": Outcome.UNWOUND_NOT_CLEANED,
            "ensure-up:reboot-after": Outcome.MIGRATED,
            "ensure-up:unreachable": Outcome.IN_DOUBT,
        },
    ),
}
"""By a way and how memory is kept: failures and what becomes of them, one after the other on the same nodes."""

MORE: Final[Mapping[str, tuple[str, str, Mapping[str, Outcome]]]] = {
    "d2-more": (
        "d2",
        "",
        {
            "see-mounted:lost-before": Outcome.UNWOUND,
            "stop:lost-after": Outcome.UNWOUND,
            "mount-destination:lost-after": Outcome.UNWOUND,
            "release-source:fails-after": Outcome.UNWOUND,
            "bring-up:will-not-start-once": Outcome.UNWOUND,
            "bring-up:fails-after": Outcome.MIGRATED,
        },
    ),
    "a-more": (
        "a",
        "",
        {
            "make-private:fails-after": Outcome.UNWOUND,
            "copy-1:lost-after": Outcome.UNWOUND,
            "stop:busy-once": Outcome.UNWOUND,
            "hide-config:lost-after": Outcome.UNWOUND,
        },
    ),
    "d1-staged-more": (
        "d1",
        "staged",
        {
            "mount-destination:will-not-mount-once": Outcome.UNWOUND,
            "copy-dump:lost-after": Outcome.UNWOUND,
        },
    ),
}
"""With ``VZPLAN_SOAK=1``."""

PLAYED: Final = {**SCHEDULES, **(MORE if SOAK else {})}


@pytest.mark.parametrize("name", PLAYED)
def test_the_same_schedule_of_failures_takes_the_same_moves(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saga, "PATIENCE_S", (0, 0))
    way, how, lines = PLAYED[name]
    with in_state(way, State.RUNNING) as box:
        driver, options = Troubled(box, tmp_path), kept(box, how, WAYS[way].there)
        for line, ends in lines.items():
            mend = driver.mend if ends in OPEN_ENDS else None
            but = over_boots if "reboot" in line else lambda facts: facts
            stop, watch, *_ = same_move(
                driver, options, line=line, watch=driver.watch(line), mend=mend, but=but
            )
            driver.mend()
            print(line, stop, *watch.moves, sep="\n")
            assert stop.outcome is ends, line
            assert leftovers(box) == [], line
            if driver.facts("hn2")["hn2"].container(CTID) is not None:  # for the next one it goes back
                empty_again(box, way)
                back, *_ = driver.apply(source="hn2", destination="hn1", options=WAYS[way].back)
                assert back.outcome is Outcome.MIGRATED, line
