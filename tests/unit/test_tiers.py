"""The two parts of the tests are all of them, and what the table names is there."""

from __future__ import annotations

import subprocess
import sys
from typing import NamedTuple

import pytest

from tests.tiers import FAMILIES, parted
from tests.worlds import NODES


class Named(NamedTuple):
    """A test."""

    nodeid: str


def collected(*words: str) -> list[Named]:
    """The tests that pytest would run."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *words],
        cwd=NODES.parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    return [Named(line) for line in done.stdout.splitlines() if "::" in line]


def named() -> set[str]:
    """The families of the table."""
    return {f"tests/{file}::{family}" for file, families in FAMILIES.items() for family in families}


@pytest.fixture(scope="module")
def every() -> list[Named]:
    """All of those with families that take long."""
    return collected(*(f"tests/{file}" for file in FAMILIES))


def test_what_the_table_names_is_there(every: list[Named]) -> None:
    there = {test.nodeid for test in every}
    assert named() <= {name.partition("[")[0] for name in there}
    some = {
        f"tests/{file}::{family}[{each}]"
        for file, of in FAMILIES.items()
        for family in of
        for each in of[family]
    }
    assert some <= there


def test_each_test_is_in_one_of_two_parts(every: list[Named]) -> None:
    some, others = parted(every, rest=False)
    rest, _ = parted(every, rest=True)
    assert others == rest
    assert {*some, *rest} == {*every}
    assert {*some}.isdisjoint(rest)
    assert {test.nodeid.partition("[")[0] for test in rest} == named()


def test_pytest_runs_the_part_that_it_is_told_to(every: list[Named]) -> None:
    file = f"tests/{next(iter(FAMILIES))}"
    own = [test for test in every if test.nodeid.startswith(file)]
    for part in ("some", "rest"):
        assert collected(file, "--part", part) == parted(own, rest=part == "rest")[0]
