"""What tests have tried is summed up over all processes, and told where a person reads it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.worlds import NODES

REPOSITORY: Final = NODES.parents[1]
TESTS: Final = """
import pytest

from tests.sums import SUM


@pytest.mark.parametrize("number", [1, 20, 300, 4000])
def test_some(number, record_property):
    record_property("points", number)
    record_property(f"{SUM}points", number)
    record_property(f"{SUM}{number % 2} of two", 1)
    assert number != 20
"""


@pytest.mark.parametrize("processes", [0, 2])
def test_what_was_tried_is_told_at_the_end_of_a_run_whatever_process_tried_it(
    processes: int, tmp_path: Path
) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_terminal_summary\n")
    (tmp_path / "test_some.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", str(processes), "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "\n0 of two: 3\n1 of two: 1\npoints: 4,321\n" in done.stdout, done.stdout + done.stderr
