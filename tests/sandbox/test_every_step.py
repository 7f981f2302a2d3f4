"""Every step up to the pivot fails once on real nodes, in three ways: each time the world is as it was before.

The failure is made at the node protocol, between the engine and the session: product and nodes know nothing of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

import pytest

from executor import control
from executor.journal import Journal, new_run_id
from executor.node import Exited, Lost, Node, NodeOutcome
from executor.shell import ShellNode
from executor.signals import Signals
from executor.site import LiveSite
from planner.make import make_plan
from planner.model import NodeFacts, Request, State
from planner.plan import Command, Opened, Outcome, Step, Stop, What, Zone
from planner.saga import receivers
from tests.sandbox import Sandbox, counter, leftovers, tree_hash
from tests.sandbox.driving import ASKS, CTID, PRIVATE, Driver, Telling, lasting
from tests.sandbox.supervisor import NAMES
from tests.sandbox.test_failures import assert_as_before
from tests.sandbox.test_moves import KEPT, WAYS, in_state, kept, tokens


class Kind(StrEnum):
    """What happens to the command."""

    BEFORE = "before"  # it never reaches the node, and counts as failed
    AFTER = "after"  # it does all that it is there for, and counts as failed
    LOST = "lost"  # it does all that it is there for, and the connection ends before the answer
    CUT = "cut"  # the connection ends before it goes out

    @property
    def reaches(self) -> bool:
        """Whether the node gets it."""
        return self in (Kind.AFTER, Kind.LOST)

    @property
    def answers(self) -> bool:
        """Whether anything is heard of it."""
        return self in (Kind.BEFORE, Kind.AFTER)


SOAK: Final = os.environ.get("VZPLAN_SOAK") == "1"
CASES: Final = (
    [(way, kind, how) for kind in Kind for way, how in [*((way, "") for way in WAYS), *KEPT]]
    if SOAK
    else [
        ("b", Kind.BEFORE, ""),
        ("c", Kind.BEFORE, "staged"),
        ("d2", Kind.AFTER, "online"),
        ("d2", Kind.LOST, "staged-by-device"),  # the way in which a mount decides whose the data is
    ]
)
"""Each takes a minute; with ``VZPLAN_SOAK=1`` all of them."""
IDS: Final = [f"{way}-{kind}{f'-{how}' if how else ''}" for way, kind, how in CASES]


@dataclass
class Trouble:
    """Which command fails, the first time that it goes out."""

    kind: Kind
    command: Command | None = None
    met: bool = False
    said: NodeOutcome | None = None  # by the node, when it got the command

    def awaits(self, command: Command) -> None:
        """From now on this one."""
        self.command, self.met, self.said = command, False, None


@dataclass(frozen=True)
class TroubledNode:
    """A real node, but for one command."""

    shell: ShellNode
    trouble: Trouble

    def run(self, command: Command) -> NodeOutcome:
        """See ``executor.node.Node``."""
        trouble = self.trouble
        if trouble.met or command != trouble.command:
            return self.shell.run(command)
        trouble.met = True
        if trouble.kind is Kind.BEFORE:
            return Exited(1, "", "made to fail before")
        if trouble.kind.reaches:
            trouble.said = self.shell.run(command)
        if trouble.kind is Kind.AFTER:
            return Exited(1, "", "made to fail after")
        self.shell.close()
        self.shell._generation += 1  # as ``ShellNode.run`` does before it gives Lost
        return Lost("cut")


class TroubledSite(LiveSite):
    """Real nodes, but for one command."""

    def __init__(self, ssh: tuple[str, ...], trouble: Trouble) -> None:
        """As ``LiveSite``."""
        super().__init__(ssh, None)
        self._trouble = trouble

    def nodes(self, opened: Opened, control: str, generation: int) -> Mapping[str, Node]:
        """See ``executor.site.Site``."""
        super().nodes(opened, control, generation)
        return {name: TroubledNode(self._shells[name], self._trouble) for name in opened.plan.nodes}


@dataclass(frozen=True)
class Watcher(Driver):
    """A driver that looks again and again, and so stays connected."""

    looking: list[LiveSite] = field(default_factory=list)

    def facts(self, *names: str) -> dict[str, NodeFacts]:
        """See ``Driver``."""
        if not self.looking:
            self.looking.append(self.site())
        found = self.looking[0].facts(*names or NAMES, asks=ASKS)
        return {name: lasting(facts) for name, facts in found.items()}

    def close(self) -> None:
        """Let go of the connections."""
        for site in self.looking:
            site.close()


@contextmanager
def watching(box: Sandbox, state: Path) -> Iterator[Watcher]:
    """A watcher, closed at the end."""
    watcher = Watcher(box, state)
    try:
        yield watcher
    finally:
        watcher.close()


def apply(driver: Driver, request: Request, trouble: Trouble) -> tuple[Stop, Telling]:
    """Move 123 as it was agreed to at the very first: the second look finds the world as it was then."""
    plan, run, watch, site = make_plan(request), new_run_id(), Telling(), TroubledSite(driver.ssh, trouble)
    try:
        with Journal.create(
            driver.state / "runs" / run, control.opened(request, plan, site, run, "test")
        ) as journal:
            stop = control.apply(request, site, journal, control="test", signals=Signals(), watch=watch)
            return stop, watch
    finally:
        site.close()


def assert_moved(box: Sandbox, driver: Driver, hash_before: str) -> None:
    after = driver.facts()
    moved = after["hn2"].container(CTID)
    assert moved is not None
    assert moved.state is State.RUNNING
    assert after["hn1"].container(CTID) is None
    assert tree_hash(box.hn2, PRIVATE) == hash_before
    numbers = counter(box.hn2, PRIVATE)
    assert numbers == list(range(1, len(numbers) + 1))
    assert leftovers(box) == []


def assert_failed_once(step: Step, trouble: Trouble, watch: Telling) -> None:
    """That step failed as it was to, and nothing else did: neither another step nor a compensation."""
    took_effect = 0 if trouble.kind.reaches else None
    assert trouble.met
    assert (trouble.said.status if isinstance(trouble.said, Exited) else None) == took_effect, trouble.said
    failed = [(what, at) for what, at, status in watch.moves if status != 0 and what is not What.PROBE]
    assert failed == [(What.DO, step.id)], watch.moves
    settled = {at for what, at, _ in watch.moves if what is What.SETTLE}
    expected = set[str]() if trouble.kind.answers else {step.do.node}
    assert settled == expected | receivers(step.do), watch.moves  # rsync's other end may go on


@pytest.mark.parametrize(("way", "kind", "how"), CASES, ids=IDS)
def test_a_step_that_fails_once_is_unwound(way: str, kind: Kind, how: str, tmp_path: Path) -> None:
    with in_state(way, State.RUNNING) as box, watching(box, tmp_path) as driver:
        trouble = Trouble(kind)
        options = kept(box, how, WAYS[way].there)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        request = driver.look(options=options)
        plan = make_plan(request)
        assert plan.way == way
        token = tokens(box.hn1)[0][1]
        # One after the other on the same nodes: each unwinding gives back what the next one begins with.
        for step in plan.steps[: plan.pivot + 1]:
            trouble.awaits(step.do)
            stop, watch = apply(driver, request, trouble)
            print(step.id, stop, watch.moves)
            assert_failed_once(step, trouble, watch)
            if step.zone is Zone.PIVOT and kind.reaches:
                assert stop.outcome is Outcome.MIGRATED  # the probe said that it had taken effect
                assert_moved(box, driver, hash_before)
            else:
                refused = step.do.argv[0] == "own"  # the container was never this run's
                assert stop.outcome is (Outcome.REFUSED if refused else Outcome.UNWOUND)
                assert (f"made to fail {kind}" if kind.answers else "cut") in stop.because
                assert_as_before(box, driver, before, hash_before)
            if how:  # wherever it is now, it was never started anew
                here = box.hn2 if stop.outcome is Outcome.MIGRATED else box.hn1
                assert {known for _, known in tokens(here)} == {token}, step.id
