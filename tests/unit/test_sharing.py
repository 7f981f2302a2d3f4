"""Work that is shared among processes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from executor.simulated.sharing import shared
from tests.worlds import NODES

PAUSES: Final = """
import os, signal, sys
from executor.simulated.sharing import shared

def works():
    os.write(1, b"%d " % os.getpid())
    signal.pause()

shared([works, works])
"""


def test_what_each_returns_comes_in_order() -> None:
    def works(number: int) -> tuple[int, bool]:
        return number, os.getpid() == here

    here = os.getpid()
    assert shared([partial(works, n) for n in range(3)]) == [(0, True), (1, False), (2, False)]


def test_one_that_fails_ends_all(capfd: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        raise ValueError("here")

    with pytest.raises(RuntimeError, match="without an answer"):
        shared([lambda: None, fails])
    assert "ValueError: here" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_who_shares_its_work_ends_with_it(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PAUSES], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout is not None
        said = b""
        while said.count(b" ") < 2:
            said += os.read(process.stdout.fileno(), 100)
        process.send_signal(number)
        # Both hold the other end of the pipe: it is at its end once both have gone.
        assert select.select([process.stdout], [], [], 60)[0]
        assert os.read(process.stdout.fileno(), 100) == b""
    assert str(process.pid).encode() in said.split()


EXPLORED: Final = """
from executor.simulated.explore import explore
from planner.codec import sha256
from tests.worlds import WORLDS
report = explore(WORLDS["a-stopped-area-kept"], workers=1)
print(report.schedules, report.merged, sha256([sorted(map(str, report.cells.items())), report.outcomes, str(report)]))
"""


def test_an_exploration_is_the_same_whatever_python_makes_of_the_order_of_sets() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", EXPLORED],
            cwd=NODES.parents[1],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
