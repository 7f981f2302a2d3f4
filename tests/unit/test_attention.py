"""Signals and the limit on how long it may be down: a copy is given up at once, all else ends by itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from threading import Timer

import pytest

from executor.attention import Attention, attending
from executor.engine import Unwatched
from executor.signals import Signals, heeded, unheeded
from planner.estimate import FACTOR
from planner.make import make_plan
from planner.plan import (
    Began,
    Command,
    Ended,
    Entry,
    Exited,
    Opened,
    Plan,
    Restarted,
    Run,
    Want,
    What,
    Wish,
)
from planner.saga import Past
from tests.worlds import WORLDS, asking, bundled

PLAN = make_plan(asking(bundled("shared"), max_frozen_s=60))


class Nodes:
    """Whoever waits for commands: remembers which it was told to give up."""

    def __init__(self) -> None:
        """Of none yet."""
        self.given_up: list[tuple[str, str]] = []

    def abandon(self, command: Command, why: str) -> None:
        self.given_up.append((command.argv[0], why))


class StoppedClock(Timer):
    """A timer whose time comes when the test says so."""

    made: list[StoppedClock] = []  # noqa: RUF012 # made anew by the fixture

    def __init__(self, interval: float, function: Callable[[], None]) -> None:
        """As ``Timer``."""
        super().__init__(interval, function)
        self.cancelled = False
        self.made.append(self)

    def start(self) -> None:
        """It does not run by itself."""

    def cancel(self) -> None:
        self.cancelled = True

    def rings(self) -> None:
        self.function()


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> list[StoppedClock]:
    monkeypatch.setattr(StoppedClock, "made", [])
    return StoppedClock.made


def doing(plan: Plan, step_id: str) -> Run:
    step = next(step for step in plan.steps if step.id == step_id)
    return Run(What.DO, step.id, step.do, 0)


def at_work(nodes: Nodes, signals: Signals, plan: Plan = PLAN) -> Attention:
    attention = Attention(nodes, plan, signals, Unwatched(), StoppedClock)
    signals.listener = attention.signalled
    return attention


def test_a_signal_gives_up_a_copy_before_the_freeze_and_is_a_wish() -> None:
    nodes, signals = Nodes(), Signals()
    attention = at_work(nodes, signals)
    attention.began(doing(PLAN, "copy-1"))
    assert nodes.given_up == []
    signals.note(signal.SIGINT, None)
    assert nodes.given_up == [("copy-tree", "asked to by SIGINT")]
    assert attention.heed() == Wish(Want.UNWIND, "asked to by SIGINT")
    assert attention.heed() is None


@pytest.mark.parametrize("step", ["stage-config", "stop", "copy-last", "bring-up"])
def test_a_signal_lets_every_other_step_come_to_its_end(step: str) -> None:
    nodes, signals = Nodes(), Signals()
    attention = at_work(nodes, signals)
    attention.began(doing(PLAN, step))
    signals.note(signal.SIGTERM, None)
    attention.ended(doing(PLAN, step), Exited(0))
    assert nodes.given_up == []
    assert attention.heed() == Wish(Want.UNWIND, "asked to by SIGTERM")


def test_a_signal_between_two_steps_is_not_missed_by_the_copy_that_begins() -> None:
    nodes, signals = Nodes(), Signals()
    attention = at_work(nodes, signals)
    assert attention.heed() is None
    signals.note(signal.SIGINT, None)  # the engine has asked already
    attention.began(doing(PLAN, "copy-1"))
    assert nodes.given_up == [("copy-tree", "asked to by SIGINT")]


def test_time_counts_from_the_stop_and_its_end_gives_up_the_last_copy(clocks: list[StoppedClock]) -> None:
    nodes = Nodes()
    attention = at_work(nodes, Signals())
    attention.began(doing(PLAN, "copy-1"))
    assert clocks == []
    attention.began(doing(PLAN, "stop"))
    (clock,) = clocks
    assert clock.interval == 60
    attention.began(doing(PLAN, "copy-last"))
    clock.rings()
    why = "it was down for longer than 60 s (--max-frozen)"
    assert nodes.given_up == [("copy-tree", why)]
    assert attention.heed() == Wish(Want.UNWIND, why)


def test_who_keeps_its_memory_has_a_limit_though_none_was_asked_for(clocks: list[StoppedClock]) -> None:
    nodes, plan = Nodes(), make_plan(WORLDS["a-online"])
    attention = at_work(nodes, Signals(), plan)
    attention.began(doing(plan, "suspend"))
    (clock,) = clocks
    assert clock.interval == plan.max_frozen_s == FACTOR * 22  # by what its nodes have recorded
    attention.began(doing(plan, "copy-dump"))
    clock.rings()
    assert [verb for verb, _ in nodes.given_up] == ["copy-tree"]
    assert attention.heed() is not None


@pytest.mark.parametrize(
    ("world", "step", "given_up"),
    [
        ("a-staged", "dump", True),
        ("d2-staged-by-device", "undump", True),
        ("a-staged", "freeze", False),
        ("a-online", "suspend", False),  # CRIU is at work inside the container's own processes
        ("a-staged", "bring-up", False),
    ],
)
def test_time_that_is_up_ends_what_may_take_long_and_can_be_ended(
    world: str, step: str, given_up: bool, clocks: list[StoppedClock]
) -> None:
    nodes, plan = Nodes(), make_plan(WORLDS[world])
    attention = at_work(nodes, Signals(), plan)
    attention.began(doing(plan, str(plan.goes_down)))
    (clock,) = clocks
    attention.began(doing(plan, step))
    clock.rings()
    assert [verb for verb, _ in nodes.given_up] == [doing(plan, step).command.argv[0]] * given_up


def test_time_that_ends_between_two_steps_is_not_missed(clocks: list[StoppedClock]) -> None:
    nodes = Nodes()
    attention = at_work(nodes, Signals())
    attention.began(doing(PLAN, "stop"))
    attention.ended(doing(PLAN, "stop"), Exited(0))
    assert attention.heed() is None
    clocks[0].rings()
    attention.began(doing(PLAN, "copy-last"))
    assert [verb for verb, _ in nodes.given_up] == ["copy-tree"]


def test_time_counts_no_longer_once_the_pivot_goes_out(clocks: list[StoppedClock]) -> None:
    attention = at_work(Nodes(), Signals())
    attention.began(doing(PLAN, "stop"))
    assert not clocks[0].cancelled
    attention.began(doing(PLAN, "bring-up"))
    assert clocks[0].cancelled


def test_without_a_limit_no_time_counts(clocks: list[StoppedClock]) -> None:
    attention = at_work(Nodes(), Signals(), make_plan(bundled("shared")))
    attention.began(doing(PLAN, "stop"))
    assert clocks == []


def stood(to: str) -> list[Entry]:
    """Of a run that went as far as this step, which had begun."""
    steps = [step.id for step in PLAN.steps]
    done = [
        entry
        for step in steps[: steps.index(to)]
        for entry in (Began(What.DO, step, 1), Ended(What.DO, step, Exited(0), 2))
    ]
    return [*done, Began(What.DO, to, 3)]


@pytest.mark.parametrize(
    ("to", "after", "counts"),
    [
        ("copy-last", [Restarted(forward=True)], True),
        ("stop", [Restarted(forward=True)], True),
        ("fence", [Restarted(forward=True)], False),  # it is up, as far as is known
        ("copy-last", [Restarted()], False),
        ("copy-last", [Wish(Want.UNWIND, "asked to by SIGINT"), Restarted(forward=True)], True),
        ("copy-last", [Wish(Want.UNWIND, "asked to by SIGINT"), Restarted()], False),
        ("bring-up", [Restarted()], False),
    ],
)
def test_of_a_run_that_is_taken_up_again_time_counts_anew_if_it_is_down_and_goes_on(
    to: str, after: list[Entry], counts: bool, clocks: list[StoppedClock]
) -> None:
    past = Past(PLAN)
    for entry in (Opened("run", PLAN), *stood(to), *after):
        past.note(entry)
    with attending(Nodes(), PLAN, past, Signals(), Unwatched(), clock=StoppedClock):
        assert [clock.interval for clock in clocks] == [60] * counts
        assert not any(clock.cancelled for clock in clocks)
    assert all(clock.cancelled for clock in clocks)


def test_a_second_signal_stops_where_it_is_and_a_hangup_is_nothing() -> None:
    said: list[str] = []
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with heeded(said.append) as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        assert signals.wish() is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.wish() == Wish(Want.UNWIND, "asked to by SIGTERM")
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert said == ["SIGTERM"]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_over_in_a_moment_is_not_cut_in_two_by_a_signal(number: signal.Signals) -> None:
    with heeded() as signals:
        before = signal.getsignal(number)
        with unheeded():
            os.kill(os.getpid(), number)
        assert signals.wish() is None
        assert signal.getsignal(number) == before
