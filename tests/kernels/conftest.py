"""Tests with two kernels take a minute each and more: they run only with ``VZPLAN_KERNELS=1`` (make kernels)."""

from __future__ import annotations

import os
import time
from itertools import starmap
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ASKED = os.environ.get("VZPLAN_KERNELS") == "1"
DESELECTED: list[str] = []
BEGAN = time.monotonic()
TOLD = "kernels"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Unless they are asked for they are not even looked at."""
    return None if ASKED or HERE not in collection_path.parents else True


@pytest.fixture(autouse=True, scope="session")
def _can_be_made() -> None:
    from tests.kernels.images import why_not  # noqa: PLC0415 # only where they are asked for

    reason = why_not()
    assert reason is None, reason


def pytest_deselected(items: list[pytest.Item]) -> None:
    """A run of some is no whole run."""
    DESELECTED.extend(item.nodeid for item in items)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 # xdist has no types
    """What one of several processes has to tell."""
    from tests.kernels import report  # noqa: PLC0415 # only where they are asked for

    rows, deselected = getattr(node, "workeroutput", {}).get(TOLD, ([], []))  # none if it has crashed
    report.ROWS.extend(starmap(report.Row, rows))
    DESELECTED.extend(deselected)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """The report, of a whole run."""
    from tests.kernels import report  # noqa: PLC0415 # only where they are asked for

    told = getattr(session.config, "workeroutput", None)
    if told is not None:  # one of several processes
        told[TOLD] = [list(row) for row in report.ROWS], DESELECTED
    elif report.ASKED and report.ROWS and not DESELECTED and exitstatus == pytest.ExitCode.OK:
        report.PATH.write_text(report.text(report.ROWS, time.monotonic() - BEGAN))
