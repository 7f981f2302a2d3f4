"""``make mutation``: change the source in one place, run the tests that execute it, see whether one fails.

    python -m tests.mutation [--every N [--first K]] [--only PART_OF_A_FILE_NAME]

Survivors that ``survivors.txt`` gives a reason for are known; any other makes this fail, as does a line of it that is
true no more. Nothing is random: the same source and the same tests give the same mutants, in the same order.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.trial import Seen, first_that_fails, forget, functions_in, run_once

ROOT: Final = Path(__file__).parent.parent.parent
SURVIVORS: Final = Path(__file__).parent / "survivors.txt"
SCORE: Final = 0.85
"""At least so many of the mutants that are tried must be killed."""

KNOWN: Final = ROOT / ".mutation.json"
TESTS: Final = (
    "tests/unit",
    "tests/golden",
    "tests/cases",
    "tests/property/test_plans.py",
    "tests/property/test_fuzz.py",
)
LEFT_OUT: Final = (
    "test_verify.py",
    "test_verdicts.py",
    "test_shell.py",
    "test_lasting.py",
    "test_library.py",
    "test_old_nodes.py",
    "test_tiers.py",
)
"""Those that explore notice more and take too long; those that need a shell are about its text; one is about tests."""
FILES: Final = (
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "planner").rglob("*.py")),
    "executor/engine.py",
    "executor/framing.py",
    "executor/journal.py",
)
SLOW_S: Final = 3.0
"""A test that takes longer is left out as well."""
ENOUGH_S: Final = 15.0
"""Tests that take so long together are enough for one mutant: what they do not notice survives."""


class Tried(NamedTuple):
    """A mutant, and the test that noticed; None: it survived."""

    mutant: Mutant
    test: str | None


class Campaign:
    """A plugin for pytest: instead of running the tests once it runs them for each mutant."""

    def __init__(self, mutants: list[Mutant]) -> None:
        """Try these."""
        self.mutants = mutants
        self.tried: list[Tried] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Called with all tests collected, none run: the forks begin here, where no cache is filled yet."""
        where = {str(ROOT / name): name for name in FILES}
        items = {item.nodeid: item for item in session.items}
        known = _known(session.items, where)
        seconds = {test: seen.seconds for test, seen in known.items()}
        executing = _executing(known)
        functions = functions_in(where)
        forget(where)
        # Were they not to pass in a fork, every mutant would seem to be killed.
        if first_that_fails([items[test] for test in _enough(set(items), seconds)], seconds, []) is not None:
            raise pytest.UsageError("the tests fail in a fork, although nothing is changed")
        likely: dict[
            str, str
        ] = {}  # the test that noticed the last change to a function may notice this one, too
        began = time.monotonic()
        for number, mutant in enumerate(self.mutants, 1):
            tests = {test for line in mutant.lines for test in executing.get((mutant.file, line), ())}
            chosen = _enough(tests, seconds, likely.get(mutant.file + mutant.function))
            changed = [
                (function, code)
                for name, code in mutant.codes(str(ROOT / mutant.file)).items()
                for function in functions.get((mutant.file, name), ())
            ]
            failed = first_that_fails([items[test] for test in chosen], seconds, changed)
            test = None if failed is None else chosen[failed]
            self.tried.append(Tried(mutant, test))
            if test is not None:
                likely[mutant.file + mutant.function] = test
            said = test or f"SURVIVED {len(chosen)} tests"
            print(
                f"{time.monotonic() - began:6.0f} s {number}/{len(self.mutants)} {_line(mutant)}  {said}",
                flush=True,
            )
        return True


def _executing(known: dict[str, Seen]) -> dict[tuple[str, int], list[str]]:
    """The tests that execute a line of a file, but for those that are slow."""
    tests: dict[tuple[str, int], list[str]] = {}
    for test, seen in known.items():
        if seen.seconds < SLOW_S:
            for file, lines in seen.lines.items():
                for line in lines:
                    tests.setdefault((file, line), []).append(test)
    return tests


def _enough(tests: set[str], seconds: dict[str, float], first: str | None = None) -> list[str]:
    """As many of the tests as there is time for: ``first``, if it is one of them, then the fastest."""
    chosen: list[str] = []
    total = 0.0
    for test in sorted(tests, key=lambda test: (test != first, seconds[test], test)):
        total += seconds[test]
        if chosen and total > ENOUGH_S:
            break
        chosen.append(test)
    return chosen


def _known(items: list[pytest.Item], where: dict[str, str]) -> dict[str, Seen]:
    """What is known of the tests; those of which that is not true any more are run, in a child."""
    product = (ROOT / folder for folder in ("planner", "executor", "cli", "fixtures"))
    shared = _digest(
        *(path for folder in product for path in folder.rglob("*")),
        *(ROOT / "tests").glob("*.py"),
        *(ROOT / "tests").rglob("conftest.py"),
        *(ROOT / "tests/golden").rglob("*.txt"),
    )
    digests = {item.path: f"{shared} {_digest(item.path)}" for item in items}
    kept = json.loads(KNOWN.read_bytes()) if KNOWN.exists() else {}
    new = [item for item in items if kept.get(item.nodeid, [None])[0] != digests[item.path]]
    if new:
        print(f"{len(new)} tests are run once, to see what each of them executes", flush=True)
        child = os.fork()
        if not child:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            seen = run_once(new, where)
            fresh = {item.nodeid: (digests[item.path], seen[item.nodeid]) for item in new}
            same = {item.nodeid: kept[item.nodeid] for item in items if item not in new}
            KNOWN.write_text(json.dumps(same | fresh))
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            raise pytest.UsageError("the tests fail although nothing is changed")
        kept = json.loads(KNOWN.read_bytes())
    return {item.nodeid: Seen(*kept[item.nodeid][1]) for item in items}


def _digest(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in paths if path.is_file() and "__pycache__" not in path.parts):
        digest.update(f"{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def main() -> int:
    """Measure, print a table, compare the survivors with those that are known."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="try only every Nth mutant")
    parser.add_argument(
        "--first", type=int, default=0, metavar="K", help="begin with the Kth, counted from 0"
    )
    parser.add_argument("--only", default="", metavar="PART", help="only of files whose name has this in it")
    asked = parser.parse_args()
    everything = [mutant for file in FILES for mutant in mutants_of(ROOT, file)]
    chosen = [mutant for mutant in everything[asked.first :: asked.every] if asked.only in mutant.file]
    campaign = Campaign(chosen)
    os.environ.pop("VZPLAN_GOLDEN", None)
    ignored = [f"--ignore-glob=*/{name}" for name in LEFT_OUT]
    status = pytest.main(
        [*TESTS, *ignored, "-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist"], [campaign]
    )
    if status not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        return int(status)
    _print_table(campaign.tried, len(everything))
    score = sum(test is not None for _, test in campaign.tried) / len(campaign.tried)
    if score < SCORE:
        print(f"\nthe score is below {SCORE:.0%}")
    return 1 if _compare(campaign.tried, everything) or score < SCORE else 0


def _print_table(tried: list[Tried], of: int) -> None:
    files = sorted({mutant.file for mutant, _ in tried})
    print(f"\n{len(tried)} of {of} mutants tried\n\n{'':30} killed survived  score")
    for name, part in [
        *((file, [t for t in tried if t.mutant.file == file]) for file in files),
        ("total", tried),
    ]:
        killed = sum(1 for one in part if one.test is not None)
        print(f"{name:30} {killed:6} {len(part) - killed:8} {killed / len(part):6.1%}")


def _compare(tried: list[Tried], everything: list[Mutant]) -> int:
    """Say in which lines ``survivors.txt`` is wrong; the number of the exit."""
    reasons = _reasons()
    survived = [mutant for mutant, test in tried if test is None]
    killed = {_key(mutant): test for mutant, test in tried if test is not None}
    new = [mutant for mutant in survived if _key(mutant) not in reasons]
    wrong = {key: f"is killed by {killed[key]}" for key in reasons if key in killed}
    wrong |= dict.fromkeys(reasons.keys() - {_key(mutant) for mutant in everything}, "is no mutant")
    for mutant in new:
        print(f"{_line(mutant)} -- NOT LISTED")
    for key, why in wrong.items():
        print(f"{key} -- listed, but {why}")
    return 1 if new or wrong else 0


def _line(mutant: Mutant) -> str:
    return f"{mutant.file}:{mutant.lines.start} {mutant.name}"


def _key(mutant: Mutant) -> str:
    return f"{mutant.file} {mutant.name}"


def _reasons() -> dict[str, str]:
    """Known survivors with their reasons: ``FILE:LINE FUNCTION: CHANGE -- REASON``; the line is for the reader."""
    reasons = {}
    for line in SURVIVORS.read_text().splitlines():
        if line and not line.startswith("#"):
            what, _, reason = line.rpartition(" -- ")
            place, _, name = what.partition(" ")
            reasons[f"{place.partition(':')[0]} {name}"] = reason
    return reasons


if __name__ == "__main__":
    sys.exit(main())
