"""Moves that fail end on real nodes as on simulated ones, with the same facts; those that do not: ``test_moves``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from planner.model import State
from planner.plan import Outcome, What
from tests.sandbox.beside import same_move
from tests.sandbox.driving import Driver
from tests.sandbox.test_moves import WAYS, in_state, kept

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
