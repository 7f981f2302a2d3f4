"""``make figures``: measures what docs/figures.md promises and writes it there; ``python -m tests.figures NAME``: one.

What is not measured anew keeps what stands there. Speed is the machine's affair: nothing here is asserted.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median
from tempfile import NamedTemporaryFile
from typing import Final, NamedTuple
from xml.etree import ElementTree as ET

from executor.simulated.explore import Report, explore
from executor.simulated.verify import verdict
from planner.make import make_plan
from tests.bench import CTID, vzplan
from tests.bench_exploration import USUAL, explored
from tests.exhaustive.test_pairs import ONE_A_WAY
from tests.sandbox.nodes import REPOSITORY
from tests.seeds import FRESH
from tests.worlds import NODES, TRUTHS, WORLDS

PAGE: Final = REPOSITORY / "docs" / "figures.md"
COLD: Final = 9
FUZZED_S: Final = 600
FUZZED_WITH: Final = 2000
"""Inputs of one reader and seed."""
SITE: Final = ("--simulate", str(NODES / "san"))

HEAD: Final = """# Figures

Written by `make figures` (tests/figures.py), each from a run on the day that stands beside it; nobody types them in.

| figure | aim | measured | on |
|---|---|---|---|
"""

FOOT: Final = """
## What is behind its aim, and why

- `verify` and `show` of one plan: some three thousand failures are put in, and the production engine plays what
  comes of each, `recover` included. That takes longer than a second of two cores at the rate that is measured
  above. `show` prints the plan before it, at once; and what was tried is remembered, so that `apply` after `show`
  does not wait.
- Every pair of failures of one plan a way is millions of schedules: `make test-rest` tries them, and CI runs it;
  `make test` would take three times as long.
- A hand-over (`make bench`) takes half to three quarters of what twelve commands by ssh take, not a quarter: one
  round trip a step is cheap, but what the steps do at the nodes, and looking at both nodes twice, is not.
"""


class Figure(NamedTuple):
    """A row of the page: what it is called, what it is to be, and how it is measured."""

    title: str
    aim: str
    measure: Callable[[], str]


def schedules() -> str:
    rates = []
    for world in USUAL:
        report, seconds = explored(world)
        rates.append(report.schedules / seconds * 60)
    return f"{min(rates):,.0f} to {max(rates):,.0f} ({len(rates)} plans)"


def cold(*words: str) -> str:
    return f"{median(vzplan(*words, str(CTID), 'hn2', *SITE).seconds for _ in range(COLD)):.2f} s (median of {COLD})"


def tried(worlds: tuple[str, ...], failures: int) -> str:
    """How often, how it ended, and what of it no reason is known for."""
    whole, unexplained = Report(), set[str]()
    for world in worlds:
        report = explore(WORLDS[world], failures=failures, truth=TRUTHS.get(world))
        unexplained |= set(verdict(make_plan(WORLDS[world]), report, failures).cells.unexplained)
        whole.join(report)
    changed = Counter(str(cell.what) for cell, did in whole.cells.items() if did)
    doubts = ", ".join(f"{count:,} since {why}" for why, count in whole.doubts.most_common())
    cells = ", ".join(f"{count:,} ({what})" for what, count in sorted(changed.items()))
    return (
        f"{whole.schedules:,} schedules ({whole.merged:,} merged) of {len(worlds)} plans: {len(whole.violations)} "
        f"violations; {whole.doubts.total():,} times IN_DOUBT ({doubts}); {cells} cells changed something, "
        f"{len(whole.cells) - changed.total():,} need not, {len(unexplained)} unexplained"
    )


def bugs() -> str:
    with NamedTemporaryFile(suffix=".xml") as report:
        _said("pytest", "-q", "tests/exhaustive/test_deliberate_bugs.py", f"--junitxml={report.name}")
        suite = ET.parse(report.name).getroot()[0]  # noqa: S314 # written by pytest just now
    parametrized = [case for case in suite.iter("testcase") if "[" in case.attrib["name"]]
    cases = [case for case in parametrized if "fails_the_run" not in case.attrib["name"]]
    missed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    slowest = max(float(case.attrib["time"]) for case in cases)
    return f"{len(cases) - len(missed)} of {len(cases)}, the slowest in {slowest:.1f} s"


def mutation() -> str:
    said = _said("tests.mutation", "--every", "10")
    tried, score = re.findall(r"(?m)^\d+ of \d+ mutants tried$", said), re.findall(r"(?m) (\S+ *%)$", said)
    known = "none unlisted" if "NOT LISTED" not in said else f"{said.count('NOT LISTED')} not listed"
    return f"{score[-1]} ({tried[-1]}; survivors: {known})"


def machine() -> str:
    said = _said("tests.soak", "machine")
    steps = next(line for line in said.splitlines() if line.startswith("machine: "))
    if "nothing was found" not in said:
        print(said)  # whatever was found, and the seed of it
    return f"{steps.removeprefix('machine: ')}: {'nothing found' if 'nothing was found' in said else 'SOMETHING FOUND'}"


def fuzzed() -> str:
    """Every reader, with inputs of one seed after the other, until the time is over."""
    seed, began, inputs, readers = int(FRESH), time.monotonic(), 0, 0
    while time.monotonic() - began < FUZZED_S:
        tried = {**os.environ, "VZPLAN_SEED": str(seed), "VZPLAN_EXAMPLES": str(FUZZED_WITH)}
        said = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "tests/property/test_fuzz.py"],
            cwd=REPOSITORY,
            env=tried,
            check=False,
            capture_output=True,
            text=True,
        )
        if said.returncode != 0:
            print(said.stdout)
            return f"SOMETHING FOUND with VZPLAN_SEED={seed} VZPLAN_EXAMPLES={FUZZED_WITH}"
        readers = int(re.findall(r"(\d+) passed", said.stdout)[-1])
        inputs += readers * FUZZED_WITH
        seed += 1
    return f"{(time.monotonic() - began) / 60:.1f} minutes, up to {inputs:,} inputs of {readers} readers: nothing found"


def _said(*module: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *module], cwd=REPOSITORY, check=False, capture_output=True, text=True
    )
    return done.stdout


def whole_test() -> str:
    began, said = time.monotonic(), ""
    with subprocess.Popen(["make", "test"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as test:
        assert test.stdout is not None
        for line in test.stdout:  # what failed is to be seen, too
            print(line, end="", flush=True)
            said += line
    last = re.findall(r"(\d+ (?:passed|failed)[^=]*?) in ", said)
    return f"{(time.monotonic() - began) / 60:.1f} minutes, {last[-1] if last else 'no test ran'}"


FIGURES: Final = {
    "schedules": Figure("schedules a minute and core", "40,000", schedules),
    "verify": Figure("`verify --faults 1` of one plan, cold", "< 1 s", lambda: cold("verify")),
    "show": Figure("`show` with its line of verification, cold", "< 0.8 s", lambda: cold("show")),
    "singles": Figure(
        "every single failure of every bundled world", "0 violations", lambda: tried(tuple(WORLDS), 1)
    ),
    "pairs": Figure("every pair of failures of one plan a way", "0 violations", lambda: tried(ONE_A_WAY, 2)),
    "bugs": Figure("deliberate bugs caught, each within 10 s", "all of at least 40", bugs),
    "mutation": Figure("mutation score", ">= 85 %", mutation),
    "machine": Figure("steps of the state machine", "1,000,000, nothing found", machine),
    "fuzz": Figure(
        "readers of files, nodes and the command line fuzzed", "10 minutes, nothing found", fuzzed
    ),
    "test": Figure("`make test` in all", "< 20 minutes", whole_test),
}


def rows() -> dict[str, str]:
    """What stands on the page: by title, what was measured and when."""
    if not PAGE.exists():
        return {}
    return dict(re.findall(r"(?m)^\| (.*?) \| .*? \| (.* \| \S+) \|$", PAGE.read_text()))


def main(names: tuple[str, ...]) -> None:
    """Measure, print, and write the page after each."""
    os.chdir(REPOSITORY)
    for name in names or tuple(FIGURES):
        figure = FIGURES[name]
        found = figure.measure()
        print(f"{figure.title}: {found} (aim: {figure.aim})", flush=True)
        known = {**rows(), figure.title: f"{found} | {datetime.now(UTC).date()}"}
        table = (f"| {f.title} | {f.aim} | {known.get(f.title, 'not yet | -')} |\n" for f in FIGURES.values())
        PAGE.write_text(HEAD + "".join(table) + FOOT)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
