"""The controller is killed at every write of its journal, and again while it recovers; ``recover`` ends the run.

Each point is exact: before a record is written (what it tells of has happened, or is about to), and after it was; of
runs that go on to their end, and of runs that are taken back. ``VZPLAN_SOAK=1`` tries every point of every way;
otherwise each way has some of them, a hand-over most.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

import pytest

from executor import journal as journal_module
from executor.journal import Journal, Record, list_runs, read_journal
from planner.model import NodeFacts, Options, State
from planner.plan import Ended, Entry, Outcome
from planner.saga import Pivot
from tests.sandbox import Sandbox, counter, leftovers, tree_hash
from tests.sandbox.driving import CTID, PRIVATE, Driver
from tests.sandbox.test_failures import switch
from tests.sandbox.test_moves import KEPT, WAYS, in_state, kept, tokens
from tests.sums import SUM

SOAK: Final = os.environ.get("VZPLAN_SOAK") == "1"
PARTS: Final = 4
"""So many tests share the points of a way, so that they can be run beside each other."""
CASES: Final = [
    *((way, "") for way in WAYS),
    *((way, how) for way, how in KEPT if SOAK or (way, how) == ("d2", "staged-by-device")),
]
"""Each way, and how the container keeps its memory."""
EVERY: Final = {case: 1 if SOAK else 8 if case == ("d2", "") else 32 for case in CASES}
"""Of the points of each way every so manieth is tried."""
EVERY_BACK: Final = 1 if SOAK else 48
"""The same, while it is taken back."""
CASES_BACK: Final = CASES if SOAK else [("b", ""), ("d2", "staged-by-device")]
"""Otherwise those that have most to take back: a device that is to be emptied, and a memory."""
FAILS: Final = {"": "start", "online": "restore", "staged": "restore-resume"}
"""What vzctl fails at in the pivot, by the kind of memory."""


class Point(NamedTuple):
    """Where the controller is killed: before or after its so manieth record is written."""

    record: int
    before: bool

    def __str__(self) -> str:
        """For a person."""
        return f"{'before' if self.before else 'after'} record {self.record}"


def points(steps: int) -> list[Point]:
    """Every point of a walk without failures: opened (by ``create``), then each step begun and ended."""
    return [Point(record, before) for record in range(1, 2 * steps + 1) for before in (True, False)]


@contextmanager
def killed(point: Point) -> Iterator[None]:
    """A process in which this is done ends by SIGKILL there."""
    append = Journal.append

    def counted(self: Journal, entry: Entry) -> None:
        if point == (len(self.entries), True):
            os.kill(os.getpid(), signal.SIGKILL)
        append(self, entry)
        if point == (len(self.entries) - 1, False):
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.append = counted  # type: ignore[method-assign]
    yield


class Beginning(NamedTuple):
    """Where the controller is killed while it begins a journal: before or after the first call of that function."""

    function: str
    before: bool
    is_there: bool  # whether there is a journal then

    def __str__(self) -> str:
        """For a person."""
        return f"{'before' if self.before else 'after'} {self.function}"


BEGINNINGS: Final = (
    Beginning("_claimed", before=True, is_there=False),  # the run has a folder
    Beginning("_write", before=True, is_there=False),  # and a file
    Beginning("_write", before=False, is_there=False),  # which has no name yet, and holds the first record
    Beginning("_sync_directory", before=True, is_there=True),  # it has its name
    Beginning("_begun_by", before=True, is_there=True),  # which is on the disk
)


@contextmanager
def killed_there(point: Beginning) -> Iterator[None]:
    """As ``killed``."""
    call = getattr(journal_module, point.function)

    def struck(*words: object) -> NoReturn:
        if not point.before:
            call(*words)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("it lives")

    setattr(journal_module, point.function, struck)
    yield


def in_a_process(what: object, *words: object, point: Point | Beginning) -> int:
    """How a process ended that did this, or was killed at ``point``: its signal, or 0."""
    pid = os.fork()
    if pid == 0:
        _child(what, words, point)
    _, status = os.waitpid(pid, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _child(what: object, words: tuple[object, ...], point: Point | Beginning) -> NoReturn:
    try:
        with killed(point) if isinstance(point, Point) else killed_there(point):
            assert callable(what)
            what(*words)
    finally:
        os._exit(0)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(("way", "how"), CASES, ids=[f"{way}{how and f'-{how}'}" for way, how in CASES])
def test_killed_at_each_write_of_the_journal_and_again_in_recover(
    way: str, how: str, part: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    ends: Counter[Outcome] = Counter()
    with in_state(way, State.RUNNING) as first:
        flags = kept(first, how, WAYS[way].there)
        steps = len(Driver(first, tmp_path).plan(options=flags).steps)
    mine = points(steps)[part :: PARTS * EVERY[way, how]]
    waiting = list(mine)
    while waiting:
        with in_state(way, State.RUNNING) as box:
            # As long as everything is as before afterwards, the same nodes serve for the next point.
            while waiting:
                point = waiting.pop(0)
                folder = tmp_path / f"{point.record}-{point.before}"
                outcome = _killed_and_recovered(box, kept(box, how, WAYS[way].there), point, folder)
                ends[outcome] += 1
                if outcome is Outcome.MIGRATED:
                    break
    for outcome, number in ends.items():
        record_property(f"{SUM}points at which a controller was killed and its run ended {outcome}", number)
    assert sum(ends.values()) == len(mine)


def test_killed_while_the_journal_is_begun_nothing_else_was_and_the_next_run_is_made(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with in_state("d2", State.RUNNING) as box:
        driver = Driver(box, tmp_path)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        known: set[str] = set()
        for point in BEGINNINGS:
            assert in_a_process(driver.apply, point=point) == signal.SIGKILL
            new = set(list_runs(driver.state)) - known
            assert len(new) == point.is_there, point
            for run in new:
                assert read_journal(driver.state, run).entries[1:] == ()
                for _ in range(2):  # once more changes nothing (I10)
                    assert driver.recover(run).outcome is Outcome.UNWOUND, point
            known |= new
            assert leftovers(box) == [], point
        assert driver.facts() == before
        stop, _, run = driver.apply()  # whatever all of them have left
        assert stop.outcome is Outcome.MIGRATED
        assert set(list_runs(driver.state)) == {*known, run}
        _in_one_place(box, driver.facts(), stop.outcome, hash_before, "at the end")
    record_property(f"{SUM}points at which a controller was killed that began its journal", len(BEGINNINGS))


@pytest.mark.parametrize("part", range(PARTS if SOAK else 1))
@pytest.mark.parametrize(
    ("way", "how"), CASES_BACK, ids=[f"{way}{how and f'-{how}'}" for way, how in CASES_BACK]
)
def test_killed_at_each_write_of_the_journal_while_it_is_taken_back_and_again_in_recover(
    way: str, how: str, part: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with in_state(way, State.RUNNING) as box:
        driver, flags = Driver(box, tmp_path / "whole"), kept(box, how, WAYS[way].there)
        box.hn2.sh(switch(f"vzctl-{FAILS[how.partition('-')[0]]}-fails"))
        stop, _, run = driver.apply(options=flags)
        assert stop.outcome is Outcome.UNWOUND, stop
        mine = points_back(read_journal(driver.state, run))[
            part :: PARTS * EVERY_BACK if SOAK else EVERY_BACK
        ]
        assert mine
        for point in mine:
            folder = tmp_path / f"{point.record}-{point.before}"
            assert _killed_and_recovered(box, flags, point, folder, back=True) is Outcome.UNWOUND
    record_property(f"{SUM}points at which a controller was killed that took a run back", len(mine))


def points_back(record: Record) -> list[Point]:
    """Every point from where the pivot has failed to the end."""
    failed = next(
        number
        for number, entry in enumerate(record.entries)
        if isinstance(entry, Ended) and entry.at == record.plan.steps[record.plan.pivot].id
    )
    return [
        Point(number, before) for number in range(failed, len(record.entries)) for before in (True, False)
    ]


def _killed_and_recovered(
    box: Sandbox, flags: Options, point: Point, folder: Path, *, back: bool = False
) -> Outcome:
    driver = Driver(box, folder)
    before, hash_before, known = driver.facts(), tree_hash(box.hn1, PRIVATE), tokens(box.hn1)[-1][1]

    def apply() -> None:
        driver.apply(options=flags)

    assert in_a_process(apply, point=point) == signal.SIGKILL
    (run,) = list_runs(driver.state)
    record = read_journal(driver.state, run)
    assert len(record.entries) == point.record + (0 if point.before else 1)
    assert not record.alive
    # Killed again, a few records into the recovery: each point has another place for that.
    again = Point(len(record.entries) + 1 + point.record % 5, before=not point.before)
    in_a_process(driver.recover, run, point=again)
    stop = driver.recover(run)
    said = f"killed {point}, in recover {again}: {stop}"
    after = driver.facts()
    if stop.outcome is Outcome.MIGRATED:
        assert record.past.pivot in (Pivot.ASKED, Pivot.PASSED), said
    else:
        assert stop.outcome is Outcome.UNWOUND, said
        assert record.past.pivot in ((Pivot.ASKED, Pivot.NEVER) if back else (Pivot.AHEAD, Pivot.ASKED)), said
        assert after == before, said
    _in_one_place(box, after, stop.outcome, hash_before, said)
    if flags.online:  # it is the controller that died: what the container had in mind is there yet
        assert tokens(box.hn2 if stop.outcome is Outcome.MIGRATED else box.hn1)[-1][1] == known, said
    assert leftovers(box) == [], said
    assert driver.recover(run).outcome is stop.outcome, said  # once more changes nothing (I10)
    assert driver.facts() == after, said
    return stop.outcome


def _in_one_place(
    box: Sandbox, facts: dict[str, NodeFacts], outcome: Outcome, hash_before: str, said: str
) -> None:
    here, gone = (box.hn2, "hn1") if outcome is Outcome.MIGRATED else (box.hn1, "hn2")
    found = facts[here.name].container(CTID)
    assert found is not None, said
    assert found.state is State.RUNNING, said
    assert facts[gone].container(CTID) is None, said
    assert tree_hash(here, PRIVATE) == hash_before, said
    numbers = counter(here, PRIVATE)
    assert numbers == list(range(1, len(numbers) + 1)), said
