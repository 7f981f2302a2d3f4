"""The words of ``vzctl status``, as they were seen and as nobody should say them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.model import State
from planner.parse.status import state

CAPTURED = Path(__file__).resolve().parents[2] / "fixtures/captured"


def captured(case: str) -> str:
    return (CAPTURED / f"status-{case}.txt").read_bytes().decode(errors="replace")


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("running", State.RUNNING),
        ("mounted", State.MOUNTED),
        ("stopped", State.STOPPED),
        ("suspended", State.SUSPENDED),
        ("wrong-ctid", State.UNKNOWN),
        ("truncated", State.UNKNOWN),
        ("binary", State.UNKNOWN),
        ("chatty", State.UNKNOWN),
        ("veid", State.UNKNOWN),
    ],
)
def test_a_capture_tells_its_state(case: str, expected: State) -> None:
    assert state(123, captured(case)) is expected


def test_a_container_without_a_private_area_is_deleted() -> None:
    assert state(999, captured("none")) is State.DELETED


@pytest.mark.parametrize("case", ["running", "mounted", "stopped", "suspended", "none"])
def test_another_container_tells_nothing(case: str) -> None:
    for ctid in (0, 1, 12, 23, 1230, 99):
        assert state(ctid, captured(case)) is State.UNKNOWN


@pytest.mark.parametrize("case", ["running", "mounted", "stopped", "suspended", "none"])
def test_a_cut_never_tells_another_state_than_stopped_for_suspended(case: str) -> None:
    ctid = 999 if case == "none" else 123
    text = captured(case).rstrip("\n")
    told = {state(ctid, text[:end]) for end in range(len(text))}
    assert told <= {State.UNKNOWN, *([State.STOPPED] if case == "suspended" else [])}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "CTID",
        "CTID 123",
        "CTID 123 exist",
        "CTID 123 exist mounted",
        "CTID 123 exist unmounted running",
        "CTID 123 deleted mounted running",
        "CTID 0123 exist mounted running",
        "CTID +123 exist mounted running",
        "ctid 123 exist mounted running",
        "CTID 123 EXIST MOUNTED RUNNING",
        "Unable to open /dev/vzctl: No such file or directory",
        "Warning: x\nCTID 123 exist mounted running",
        "CTID 123 exist mounted running" * 2000 + "x",
    ],
)
def test_what_vzctl_never_says_is_unknown(text: str) -> None:
    assert state(123, text) is State.UNKNOWN


def test_more_words_after_the_known_ones_change_nothing() -> None:
    assert state(123, "CTID 123 exist mounted running\nCTID 123 deleted unmounted down\n") is State.RUNNING
    assert state(123, "CTID 123 exist unmounted down suspended later words") is State.SUSPENDED


@given(st.integers(), st.text())
def test_no_text_makes_it_fail(ctid: int, text: str) -> None:
    assert state(ctid, text) in State
