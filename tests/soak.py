"""``make soak``: hours of what the tests do for seconds; prints what was tried, and ends with 1 if anything was found.

``python -m tests.soak machine``: the state machine only; ``python -m tests.soak WORLD ...``: pairs of failures there.

``VZPLAN_SEED`` and ``VZPLAN_EXAMPLES`` as for the tests; of the machine so many runs, each of up to ``STEPS`` steps.
"""

from __future__ import annotations

import sys
import time
import traceback
from typing import Final

from hypothesis import Verbosity, seed
from hypothesis.stateful import invariant, run_state_machine_as_test

from executor.simulated.explore import explore
from executor.simulated.verify import verdict
from planner.make import make_plan
from tests.property.examples import chosen
from tests.property.test_machine import AnyRun
from tests.seeds import EXAMPLES, FRESH, repeated_by
from tests.worlds import TRUTHS, WORLDS

STEPS: Final = 50
RUNS: Final = EXAMPLES or 32_000
"""A million steps: a run has some 32."""


class Counted(AnyRun):
    """And how many runs and rules there were."""

    runs = steps = 0

    def __init__(self) -> None:
        """One more."""
        super().__init__()
        type(self).runs += 1

    @invariant()
    def is_counted(self) -> None:
        """After every rule."""
        type(self).steps += 1


def main(names: tuple[str, ...]) -> None:
    """Everything, or what is named, whatever is found on the way."""
    print(repeated_by())
    found = machine() if not names or "machine" in names else []
    found += pairs(tuple(name for name in names or WORLDS if name != "machine"))
    print("\n".join(found) or "nothing was found")
    sys.exit(1 if found else 0)


def machine() -> list[str]:
    """Runs with whatever comes in between."""
    began = time.process_time()
    how = chosen("soak", 0, RUNS, stateful_step_count=STEPS, verbosity=Verbosity.normal)
    try:
        run_state_machine_as_test(seed(int(FRESH))(Counted), settings=how)
    except Exception:  # noqa: BLE001 # whatever it is, it is told, and the pairs are tried as well
        return [traceback.format_exc()]
    finally:
        say(f"machine: {Counted.steps:,} steps in {Counted.runs:,} runs", began)
    return []


def pairs(worlds: tuple[str, ...]) -> list[str]:
    """Every pair of failures in each of these worlds."""
    found: list[str] = []
    schedules = 0
    for name in worlds:
        began, request = time.process_time(), WORLDS[name]
        plan = make_plan(request)
        report = explore(request, plan, failures=2, truth=TRUTHS.get(name))
        untold = verdict(plan, report, 2).cells.unexplained
        schedules += report.schedules
        what = f"{len(report.violations)} violations, {len(untold)} cells without a reason"
        say(f"pairs in {name}: {report.schedules:,} schedules, {what}", began)
        found += (f"{name}: {violation}" for violation in report.violations)
        found += (f"{name}: {cell}: without effect or not met, and without a reason" for cell in untold)
    print(f"pairs: {schedules:,} schedules in {len(worlds)} worlds")
    return found


def say(what: str, began: float) -> None:
    """One line, at once."""
    print(f"{what} ({time.process_time() - began:.0f} s of CPU here)", flush=True)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
