"""The controller is killed after each entry of its journal; one ``recover`` must end what it had begun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.exit_codes import ExitCode
from executor.journal import list_runs, read_journal
from planner.model import State
from planner.saga import Pivot
from tests.sandbox import Sandbox, counter, leftovers, tree_hash
from tests.sandbox.driving import CTID, PRIVATE, Driver
from tests.sandbox.nodes import REPOSITORY

PARTS = 8
"""So many tests share the entries, so that they can be run beside each other."""


def _entries(box: Sandbox, folder: Path) -> int:
    """Entries in the journal of a hand-over without a failure: opened, and each step begun and ended."""
    return 1 + 2 * len(Driver(box, folder).plan().steps)


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_after_each_entry_of_a_hand_over(part: int, tmp_path: Path) -> None:
    with Sandbox("san") as box:
        entries = _entries(box, tmp_path)
    mine = [n for n in range(2, entries + 1) if n % PARTS == part]
    ends = [_killed_after(n, tmp_path / str(n)) for n in mine]
    # Both ends were met: back as long as the pivot was ahead, and from then on forward.
    assert set(ends) == {ExitCode.OK, ExitCode.UNWOUND}
    assert ends == sorted(ends, reverse=True)


def test_a_hand_over_has_no_entry_more(tmp_path: Path) -> None:
    with Sandbox("san") as box:
        entries = _entries(box, tmp_path)
        assert _apply_killed(Driver(box, tmp_path / "whole"), entries + 1) == ExitCode.OK


def _killed_after(entries: int, folder: Path) -> int:
    """Kill, recover, look, recover again; the exit status of both recoveries."""
    with Sandbox("san") as box:
        driver = Driver(box, folder)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        assert _apply_killed(driver, entries) == -signal.SIGKILL
        (run,) = list_runs(driver.state)
        record = read_journal(driver.state, run)
        assert len(record.entries) == entries
        assert not record.alive
        recovered = driver.vzplan("recover", run)
        said = f"killed after {entries} entries, the last {record.entries[-1]}:\n{recovered.stdout}{recovered.stderr}"
        after = driver.facts()
        if recovered.returncode == ExitCode.OK:
            assert record.past.pivot in (Pivot.ASKED, Pivot.PASSED), said
            here, gone = box.hn2, "hn1"
        else:
            assert recovered.returncode == ExitCode.UNWOUND, said
            assert record.past.pivot in (Pivot.AHEAD, Pivot.ASKED), said
            here, gone = box.hn1, "hn2"
            assert after == before, said
        moved = after[here.name].container(CTID)
        assert moved is not None, said
        assert moved.state is State.RUNNING, said
        assert after[gone].container(CTID) is None, said
        assert tree_hash(here, PRIVATE) == hash_before, said
        numbers = counter(here, PRIVATE)
        assert numbers == list(range(1, len(numbers) + 1)), said
        assert leftovers(box) == [], said
        # Once more changes nothing (I10).
        assert driver.vzplan("recover", run).returncode == recovered.returncode, said
        assert driver.facts() == after, said
        return recovered.returncode


def _apply_killed(driver: Driver, entries: int) -> int:
    words = ("apply", str(CTID), "hn2", "--from", "hn1", "--ssh", f"-F {driver.box.ssh_config}", "--yes")
    argv = [sys.executable, "-m", "tests.sandbox.killed", str(entries), *words]
    return subprocess.run(
        argv,
        cwd=REPOSITORY,
        env={**os.environ, "VZPLAN_STATE": str(driver.state)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    ).returncode
