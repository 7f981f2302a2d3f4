"""The engine: what is written down before and after a command, who is told, and what stops it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from executor.engine import first_to, walk
from executor.journal import MemoryJournal
from executor.node import NodeOutcome
from planner.make import make_plan
from planner.plan import Began, Command, Ended, Entry, Exited, Opened, Outcome, Run, Stop, Want, What, Wish
from planner.saga import PAUSES_S
from tests.worlds import bundled

PLAN = make_plan(bundled("shared"))
FIRST = PLAN.steps[0]


class Told:
    """Everything that happens, in order: what is written, what goes out, who is told."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.all: list[object] = []
        self.answers: Callable[[Command], NodeOutcome] = lambda _: Exited(0)

    def run(self, command: Command) -> NodeOutcome:
        self.all.append(command)
        return self.answers(command)

    def began(self, move: Run) -> None:
        self.all.append(("began", move.at))

    def ended(self, move: Run, outcome: NodeOutcome) -> None:
        self.all.append(("ended", move.at, outcome))

    def pause(self, seconds: float) -> None:
        self.all.append(seconds)


class ToldJournal(MemoryJournal):
    def __init__(self, told: Told) -> None:
        """Nothing is written but that the run began."""
        super().__init__(Opened("20260101-000000-abcdef", PLAN))
        self.told = told

    def append(self, entry: Entry) -> None:
        self.told.all.append(entry)
        super().append(entry)


def wishes(*wanted: Wish | None) -> Callable[[], Wish | None]:
    coming: Iterator[Wish | None] = iter(wanted)
    return lambda: next(coming, None)


def walked(told: Told, **how: object) -> Run | Stop:
    nodes = dict.fromkeys(PLAN.nodes, told)
    return walk(ToldJournal(told), nodes, watch=told, pause=told.pause, **how)  # type: ignore[arg-type]


def test_a_command_goes_out_after_it_was_written_down_and_what_came_of_it_is_written_before_anyone_is_told() -> (
    None
):
    told = Told()
    found = walked(told)
    assert isinstance(found, Stop)
    assert found.outcome is Outcome.MIGRATED
    assert told.all[:6] == [
        0,
        Began(What.DO, FIRST.id),
        ("began", FIRST.id),
        FIRST.do,
        Ended(What.DO, FIRST.id, Exited(0)),
        ("ended", FIRST.id, Exited(0)),
    ]
    assert [said for said in told.all if isinstance(said, Command)] == [step.do for step in PLAN.steps]
    assert not any(isinstance(said, Wish) or said is None for said in told.all)


def test_a_wish_is_written_down_before_the_next_move_is_asked_for() -> None:
    told = Told()
    wish = Wish(Want.UNWIND, "asked to")
    found = walked(told, heed=wishes(None, wish))
    assert told.all.index(wish) == 6  # behind the first step, which is all that is done forward
    assert [said.argv for said in told.all if isinstance(said, Command)] == [
        FIRST.do.argv,
        ("disown", *FIRST.do.argv[1:2]),
    ]
    assert isinstance(found, Stop)
    assert (found.outcome, found.because) == (Outcome.UNWOUND, "asked to")


def test_before_a_move_that_it_is_to_stop_at_nothing_is_written_and_nothing_goes_out() -> None:
    told = Told()
    found = walked(told, until=lambda move: move.at == PLAN.steps[1].id)
    assert isinstance(found, Run)
    assert found.at == PLAN.steps[1].id
    assert [said for said in told.all if isinstance(said, Command)] == [FIRST.do]
    assert told.all[-1] == ("ended", FIRST.id, Exited(0))


def test_retries_are_paced_and_the_pause_lies_before_the_record() -> None:
    told = Told()
    told.answers = lambda command: Exited(1 if command.argv[0] in {"make-file", "remove-made"} else 0)
    walked(told)
    undo = "stage-config"
    before = [told.all[n - 1] for n, said in enumerate(told.all) if said == Began(What.UNDO, undo)]
    assert before == list(PAUSES_S)


def test_a_journal_that_cannot_be_written_stops_everything_at_once() -> None:
    told = Told()

    class Full(ToldJournal):
        def append(self, entry: Entry) -> None:
            raise OSError(entry)

    with pytest.raises(OSError, match="Began"):
        walk(Full(told), dict.fromkeys(PLAN.nodes, told), watch=told, pause=told.pause)
    assert told.all == [0]


@pytest.mark.parametrize(
    ("what", "known", "first"),
    [
        (What.DO, set(), True),
        (What.UNDO, {"hn9"}, True),
        (What.PROBE, {"hn1"}, False),
        (What.SETTLE, set(), False),
    ],
)
def test_to_settle_is_no_first_command(what: What, known: set[str], first: bool) -> None:
    assert first_to(Run(what, "own-hn1", Command("hn1", ("own", "123"), "", 60), 0), known) is first
