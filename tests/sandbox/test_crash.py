"""The controller is killed after each entry of its journal; one ``recover`` must end what it had begun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from cli.exit_codes import ExitCode
from executor.journal import list_runs, read_journal
from planner.model import State
from planner.plan import Began, What
from planner.saga import Pivot
from tests.sandbox import Sandbox, counter, leftovers, tree_hash
from tests.sandbox.driving import CTID, PRIVATE, Driver
from tests.sandbox.nodes import REPOSITORY


def test_killed_after_each_entry_of_a_hand_over(tmp_path: Path) -> None:
    ends: list[int] = []
    entries = 2
    while True:
        with Sandbox("san") as box:
            driver = Driver(box, tmp_path / str(entries))
            before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
            killed = _apply_killed(driver, entries)
            if killed == ExitCode.OK:
                break  # the journal has fewer entries than that
            assert killed == -signal.SIGKILL
            (run,) = list_runs(driver.state)
            record = read_journal(driver.state, run)
            assert len(record.entries) == entries
            recovered = driver.vzplan("recover", run)
            said = f"killed after {entries} entries, the last {record.entries[-1]}:\n{recovered.stdout}"
            ends.append(recovered.returncode)
            began = record.entries[-1]
            if recovered.returncode == ExitCode.OK:
                assert record.past.pivot in (Pivot.ASKED, Pivot.PASSED), said
                here, gone = box.hn2, "hn1"
            else:
                assert recovered.returncode == ExitCode.UNWOUND, said
                assert record.past.pivot in (Pivot.AHEAD, Pivot.ASKED), said
                here, gone = box.hn1, "hn2"
                assert driver.facts() == before, said
            after = driver.facts()
            moved = after[here.name].container(CTID)
            assert moved is not None, said
            assert moved.state is State.RUNNING, said
            assert after[gone].container(CTID) is None, said
            assert tree_hash(here, PRIVATE) == hash_before, said
            numbers = counter(here, PRIVATE)
            assert numbers == list(range(1, len(numbers) + 1)), said
            assert leftovers(box) == [], said
            # And once more changes nothing (I10).
            assert driver.vzplan("recover", run).returncode == recovered.returncode, said
            assert driver.facts() == after, said
            assert isinstance(began, Began) == (entries % 2 == 0)
        entries += 1
    # Every entry was the last one once, and both ends were met: first always back, then always forward.
    assert entries == 2 + len(ends)
    assert set(ends) == {ExitCode.OK, ExitCode.UNWOUND}
    assert ends == sorted(ends, reverse=True)
    assert sum(
        1 for entry in _whole(driver) if isinstance(entry, Began) and entry.what is What.DO
    ) * 2 + 1 == (entries - 1)


def _whole(driver: Driver) -> tuple[object, ...]:
    (run,) = list_runs(driver.state)
    return read_journal(driver.state, run).entries


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
