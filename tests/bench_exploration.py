"""How fast the exploration is: ``python -m tests.bench_exploration [WORLD ...]``, alone on a quiet core."""

from __future__ import annotations

import sys
import time
from statistics import median
from typing import Final

from executor.simulated.explore import Report, single_faults
from tests.worlds import TRUTHS, WORLDS

TIMES: Final = 3
USUAL: Final = ("a-running", "b-mounted", "c-stopped", "d1-running", "d2-running")


def explored(world: str) -> tuple[Report, float]:
    """The exploration, and the seconds of processor time that it took."""
    began = time.process_time()
    report = single_faults(WORLDS[world], truth=TRUTHS.get(world))
    return report, time.process_time() - began


def main(worlds: tuple[str, ...]) -> None:
    """Print a line for each world."""
    for world in worlds:
        runs = [explored(world) for _ in range(TIMES)]
        report, seconds = runs[0][0], median(took for _, took in runs)
        print(
            f"{world:24} {report.schedules:6} schedules, {report.merged:6} of them merged: "
            f"{seconds:5.1f} s, {report.schedules / seconds * 60:7.0f} a minute and core",
            flush=True,
        )


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or USUAL)
