"""How long it was down: what the journal's times say of it, and that nothing is said where they say nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cli.output import times_text
from executor.engine import walk
from executor.journal import MemoryJournal
from executor.times import Part, Times, times
from planner.make import make_plan
from planner.plan import (
    Began,
    Command,
    Ended,
    Entry,
    Exited,
    Lost,
    Opened,
    Plan,
    Restarted,
    What,
)
from tests.worlds import WORLDS, bundled

COPY = make_plan(bundled("shared"))
HAND_OVER = make_plan(bundled("san"))
ONLINE = make_plan(WORLDS["a-online"])


class Answers:
    """A node on which every command works, but for those of ``failing``."""

    def __init__(self, *failing: str) -> None:
        """By verb."""
        self.failing = failing

    def run(self, command: Command) -> Exited | Lost:
        verb = command.argv[0]
        return Exited(1) if verb in self.failing else Exited(0)


def walked(plan: Plan, *failing: str, step_ms: int = 1000) -> list[Entry]:
    """The journal of a run in which each entry is so many milliseconds after the one before."""
    journal = MemoryJournal(Opened("20260101-000000-abcdef", plan))
    ticks: Iterator[int] = iter(range(1_000_000, 10_000_000, step_ms))
    nodes = dict.fromkeys(plan.nodes, Answers(*failing))
    walk(journal, nodes, pause=lambda _: None, clock=lambda: next(ticks))
    return journal.entries


def seconds(plan: Plan, *failing: str) -> dict[str, float]:
    took = times(plan, walked(plan, *failing))
    assert took is not None
    return {part.what: part.seconds for part in took.parts}


def down(plan: Plan) -> int:
    """How many steps are walked while it is down, the first and the last among them."""
    ids = [step.id for step in plan.steps]
    return plan.pivot - ids.index(plan.goes_down or "") + 1


@pytest.mark.parametrize("plan", [COPY, HAND_OVER, ONLINE])
def test_it_is_down_from_the_step_that_takes_it_down_to_the_end_of_the_pivot(plan: Plan) -> None:
    took = times(plan, walked(plan))
    assert took is not None
    assert took.frozen_s == 2 * down(plan) - 1  # a second a step, and one between two of them
    assert sum(part.seconds for part in took.parts) == took.frozen_s


def test_a_copy_is_told_apart_from_what_is_done_before_it_goes_down() -> None:
    assert seconds(COPY) == {
        "stop": 1,
        "last pass of the copy": 1,
        "bring up": 1,
        "all else": 2 * down(COPY) - 1 - 3,
    }


def test_a_hand_over_is_told_as_one() -> None:
    assert seconds(HAND_OVER)["hand over the device"] == 4  # release, prove it here and there, mount


def test_the_memory_of_a_suspended_container_is_a_copy_of_its_own() -> None:
    told = seconds(ONLINE)
    assert (told["suspend"], told["copy of the memory dump"], told["last pass of the copy"]) == (1, 1, 1)


def test_what_is_taken_back_ends_when_it_is_up_again_here() -> None:
    entries = walked(ONLINE, "put-dump")
    took = times(ONLINE, entries)
    assert took is not None
    began = next(e for e in entries if isinstance(e, Began) and e.at == "suspend")
    again = next(e for e in entries if isinstance(e, Ended) and (e.what, e.at) == (What.UNDO, "suspend"))
    assert began.time_ms is not None
    assert again.time_ms is not None
    assert took.frozen_s == (again.time_ms - began.time_ms) / 1000
    assert {part.what: part.seconds for part in took.parts}[
        "take back"
    ] == 2  # the dump's name, and the suspension


def test_one_that_cannot_be_taken_back_is_not_up_again() -> None:
    took = times(ONLINE, walked(ONLINE, "put-dump", "ensure-up"))
    assert took is not None
    assert took.frozen_s is None
    assert "not up again yet" in times_text(took)


def test_a_journal_that_ends_in_the_middle_tells_what_there_was_of_it() -> None:
    whole = walked(COPY)
    at = next(n for n, entry in enumerate(whole) if isinstance(entry, Began) and entry.at == "copy-last")
    took = times(COPY, whole[: at + 1])
    assert took is not None
    assert took.frozen_s is None
    assert Part("stop", 1) in took.parts
    assert Part("last pass of the copy", 0) in took.parts


def test_the_time_until_someone_took_the_run_up_again_counts() -> None:
    entries: list[Entry] = [
        Began(What.DO, "stop", 10_000),
        Restarted(),
        Began(What.SETTLE, "hn1", 60_000),
        Ended(What.SETTLE, "hn1", Exited(0), 61_000),
        Began(What.UNDO, "stop", 62_000),
        Ended(What.UNDO, "stop", Exited(0), 65_000),
    ]
    assert times(COPY, entries) == Times(55, (Part("stop", 0), Part("take back", 3), Part("all else", 52)))


def test_a_pivot_of_which_nothing_was_heard_ends_when_it_is_asked() -> None:
    entries: list[Entry] = [
        Began(What.DO, "stop", 0),
        Ended(What.DO, "stop", Exited(0), 1_000),
        Began(What.DO, "bring-up", 1_000),
        Ended(What.DO, "bring-up", Lost("gone"), 4_000),
        Began(What.PROBE, "bring-up", 5_000),
        Ended(What.PROBE, "bring-up", Exited(10), 6_000),
        Began(What.DO, "allow-start", 7_000),
    ]
    took = times(COPY, entries)
    assert took is not None
    assert took.frozen_s == 6
    assert took.parts == (Part("stop", 1), Part("bring up", 4), Part("all else", 1))


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [Began(What.DO, "own-hn1", 5), Ended(What.DO, "own-hn1", Exited(0), 6)],
        [Began(What.DO, "stop"), Ended(What.DO, "stop", Exited(0))],
        [Began(What.DO, "stop", 9), Ended(What.DO, "stop", Exited(0), 5)],
    ],
    ids=["nothing", "never down", "no clock", "a clock that was set back"],
)
def test_nothing_is_told_where_nothing_is_known(entries: list[Entry]) -> None:
    assert times(COPY, entries) is None
    assert "not known" in times_text(None)


def test_people_read_the_whole_and_a_line_a_part() -> None:
    took = Times(6.34, (Part("suspend", 1.25), Part("all else", 5.09)))
    assert times_text(took) == "down       6.3 s in all\n      1.2 s  suspend\n      5.1 s  all else\n"
