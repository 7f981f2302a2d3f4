"""Verb by verb: each command of a plan, on real nodes and on simulated ones, in good order and in bad.

After every command the exit status must be the same, and all facts: when it is its turn, when it has been done already,
when it has been taken back, when what it rests on is not there, and when it was killed at any of its syncs.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from executor import control
from executor.node import Node, NodeOutcome
from executor.simulated.cells import PASSING
from executor.simulated.faults import fault
from executor.simulated.node import SimulatedNode
from executor.simulated.vz import mount_root, state_of
from executor.simulated.world import NodeState, World
from planner.make import make_plan
from planner.model import State
from planner.plan import Command, Compensation, Exited, Lost, Plan, Step, Zone
from tests.sandbox import Sandbox
from tests.sandbox.beside import StruckSite, comparable, simulated
from tests.sandbox.driving import CTID, PRIVATE, changes
from tests.sandbox.struck import REAL
from tests.sandbox.supervisor import NAMES
from tests.sandbox.test_every_step import Watcher, watching
from tests.sandbox.test_moves import HOWS, KEPT, WAYS, in_state, kept

RUN: Final = "20260101-000000-abcdef"
CONTROL: Final = "simulated"  # the word of simulated nodes for whoever is at work there


NEVER_EARLY: Final = {
    "release-device": "under a running container simfs keeps its device busy, as on simulated nodes; the bind mounts "
    "that stand for it in the sandbox do not"
}
"""Verbs that are not tried before their turn, and why."""

ONCE: Final = {
    "suspend-container": "once its memory has been taken up again a run suspends it no more, and what follows fails",
    "kill-container": "once its memory has been taken up from its dump that is void, and what follows fails",
}
"""Verbs that are taken back only at the end, and why."""


def undo(step: Step) -> list[Command]:
    return [step.undo.do] if isinstance(step.undo, Compensation) else []


def up_to_the_pivot(plan: Plan) -> list[Step]:
    return [step for step in plan.steps if step.zone is not Zone.RETIRE]


def each_twice(plan: Plan) -> Iterator[Command]:
    """There; and every command once more when it has been done already."""
    for step in plan.steps:
        yield step.do
        yield step.do
        if step.probe is not None:
            yield step.probe.do


def each_taken_back_twice(plan: Plan) -> Iterator[Command]:
    """Every undo before its step was done, after it, and once more; then the step again, and all of it back."""
    steps = up_to_the_pivot(plan)[:-1]
    for step in steps:
        if isinstance(step.undo, Compensation) and step.undo.forgets:
            yield step.do  # without what a node knows of the run nothing more would be tried there
            continue
        if step.do.argv[0] in ONCE:
            # What stands still goes on when it is taken back, and is not what is to be ended any more.
            yield from [*([] if step.do.argv[0] == "kill-container" else undo(step)), step.do, step.do]
            continue
        yield from [*undo(step), step.do, *undo(step), *undo(step), step.do]
    for step in reversed(steps):
        yield from undo(step)


def each_too_early(plan: Plan) -> Iterator[Command]:
    """Every step one too early: when what it rests on is not there; then in its turn."""
    steps = up_to_the_pivot(plan)
    owns = [step for step in steps if step.do.argv[0] == "own"]
    rest = [step for step in steps if step not in owns]
    yield from (step.do for step in owns)
    for step, following in zip(rest, [*rest[1:], None], strict=True):
        if (
            following is not None
            and following.zone is not Zone.PIVOT
            and following.do.argv[0] not in {*NEVER_EARLY, *ONCE}
        ):
            yield following.do
            yield from undo(following)
        yield step.do


ORDERS: Final[dict[str, Callable[[Plan], Iterator[Command]]]] = {
    "twice": each_twice,
    "taken-back": each_taken_back_twice,
    "too-early": each_too_early,
}


def hows(way: str) -> list[str]:
    """In which ways one that is moved so may keep its memory."""
    return [how for each, how in KEPT if each == way]


STATES: Final = (State.RUNNING, State.STOPPED, State.SUSPENDED)
SOAK: Final = os.environ.get("VZPLAN_SOAK") == "1"
CASES: Final = (
    [(way, state, order) for way in WAYS for state in (*STATES, *hows(way)) for order in ORDERS]
    if SOAK
    else [
        ("a", State.RUNNING, "too-early"),
        ("b", "online", "taken-back"),
        ("d2", "staged-by-device", "taken-back"),
        ("a", State.SUSPENDED, "taken-back"),
        ("c", State.STOPPED, "twice"),
        ("d1", State.RUNNING, "taken-back"),
        ("d2", State.RUNNING, "too-early"),
    ]
)
"""Each way and each order; with ``VZPLAN_SOAK=1`` all of them, running, stopped and suspended."""


HALVES: Final = (
    [(way, state) for way in WAYS for state in (*STATES, *hows(way))]
    if SOAK
    else [("b", State.STOPPED), ("d2", "online-by-device"), ("c", "staged")]
)
UNDONE: Final = HALVES if SOAK else [("d2", State.RUNNING)]
SYNCS: Final = range(1, 5)
"""At its first one, then at its second one, and so on until it ends by itself."""


AT_ONCE: Final = {
    "copy-tree": "it syncs at its other end; what becomes of a copy that is cut off is in test_failures",
    "disown": "it renames the run's folder and then deletes it; what is left of that, the next disown deletes",
}
"""Verbs of which some syncs are not those of their twins, and why that is all the same."""


class KilledError(Exception):
    """The twin ends at this sync."""


@dataclass
class Both:
    """One run's nodes, real and simulated."""

    box: Sandbox
    watcher: Watcher
    plan: Plan
    real: Mapping[str, Node]
    simulation: Mapping[str, Node]
    twins: StruckSite
    number: int = 0

    def run(self, command: Command) -> None:
        """On both; what comes of it must be the same."""
        where = f"{self.number}: {' '.join(command.argv)} on {command.node}"
        self.number += 1
        said, expected = self.real[command.node].run(command), self.simulation[command.node].run(command)
        assert status(said) == status(expected), (where, said, expected)
        self.compare(where, command)

    def compare(self, where: str, command: Command | None = None) -> None:
        """All facts; after a command those of its node, and of one that it names: the other is asked in its turn."""
        names = [name for name in NAMES if command is None or name == command.node or name in command.argv]
        there, told = comparable(self.watcher.facts(*names)), comparable(self.twins.facts(*names))
        assert "\n".join(changes(told, there)) == "", where

    def run_killed_at(self, sync: int, command: Command, patch: pytest.MonkeyPatch) -> bool:
        """Kill it on both at its so manieth sync, and settle; False: it did not come so far, and ended."""
        switch = self.box.nodes[0 if command.node == "hn1" else 1].path("/run/faults/sync-kills")
        switch.write_text(f"{sync}\n")
        said = self.real[command.node].run(command)
        switch.unlink(missing_ok=True)
        left, synced = [sync], World.sync

        def kills(world: World, node: NodeState) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise KilledError
            synced(world, node)

        twin = self.simulation[command.node]
        expected: NodeOutcome = Lost("killed")
        with patch.context() as killing, suppress(KilledError):
            killing.setattr(World, "sync", kills)
            expected = twin.run(command)
        where = f"{self.number}: {' '.join(command.argv)} on {command.node}, killed at sync {sync}: {said}, {expected}"
        assert isinstance(said, Lost) == isinstance(expected, Lost), where
        if isinstance(said, Exited):
            assert status(said) == status(expected), where
            self.compare(where, command)
            return False
        assert isinstance(twin, SimulatedNode)
        twin.generation += 1  # as a session's that was lost
        self.run(self.plan.settle_on(command.node))
        return True

    def run_in_trouble(self, kind: str, command: Command) -> None:
        """On both; if it can meet that kind of failure first while it is there."""
        if command.argv[0] in PASSING[kind][0]:
            REAL[kind].puts_in(self.box, command)
            self.twins.befalls(fault(kind))
            self.run(command)
            REAL[kind].takes_out(self.box, command)
            self.twins.befalls()
        self.run(command)


@contextmanager
def both(way: str, state: str, folder: Path) -> Iterator[Both]:
    """A container on real nodes, and the simulated ones that their facts tell of."""
    there = State.RUNNING if state in HOWS else State(state)
    with in_state(way, there) as box, watching(box, folder / "state") as watcher:
        for node in box.nodes:
            node.sh("cp /usr/sbin/mount /usr/sbin/sync")  # the one that can be made to fail (node/shim.sh)
        request = watcher.look(options=kept(box, state, WAYS[way].there))
        plan, live = make_plan(request), watcher.site()
        twins = simulated(request, folder / "nodes")
        opened = control.opened(request, plan, live, RUN, "test")
        try:
            real, simulation = live.nodes(opened, CONTROL, 1), twins.nodes(opened, CONTROL, 1)
            nodes = Both(box, watcher, plan, real, simulation, twins)
            yield nodes
            nodes.compare("at the end")
        finally:
            live.close()


def status(outcome: NodeOutcome) -> int | str:
    return outcome.status if isinstance(outcome, Exited) else outcome.reason


@pytest.mark.parametrize(("way", "state", "order"), CASES, ids=[f"{w}-{s}-{o}" for w, s, o in CASES])
def test_a_verb_does_to_real_nodes_what_its_twin_does_to_simulated_ones(
    way: str, state: str, order: str, tmp_path: Path
) -> None:
    with both(way, state, tmp_path) as nodes:
        for command in ORDERS[order](nodes.plan):
            nodes.run(command)


TROUBLES: Final = ("busy-once", "hooks-hide-failure", "will-not-mount-once", "will-not-start-once")
"""Kinds of failure that are over once the command has ended."""
TROUBLED: Final = (
    [(way, kind, kind) for way in WAYS for kind in TROUBLES]
    if SOAK
    else [("d2", "busy-once", "will-not-mount-once"), ("d2", "hooks-hide-failure", "will-not-start-once")]
)
"""A way; what its commands meet, and what the undos do."""


@pytest.mark.parametrize(("way", "there", "back"), TROUBLED, ids=["-".join(case) for case in TROUBLED])
def test_a_verb_in_trouble_does_what_its_twin_does(way: str, there: str, back: str, tmp_path: Path) -> None:
    with both(way, State.RUNNING, tmp_path) as nodes:
        steps = up_to_the_pivot(nodes.plan)[:-1]
        for step in steps:
            nodes.run_in_trouble(there, step.do)
        for step in reversed(steps):
            for command in undo(step):
                nodes.run_in_trouble(back, command)


def killed_at_each_sync(nodes: Both, commands: Iterable[Command], patch: pytest.MonkeyPatch) -> int:
    """Each is killed at its first sync, then at its second one, until it ends by itself; how many were killed."""
    killed = 0
    for command in commands:
        for sync in SYNCS if command.argv[0] not in AT_ONCE else ():
            if not nodes.run_killed_at(sync, command, patch):
                break
            killed += 1
        else:
            nodes.run(command)
    return killed


@pytest.mark.parametrize(("way", "state"), HALVES, ids=[f"{way}-{state}" for way, state in HALVES])
def test_a_verb_that_was_killed_at_a_sync_has_done_what_its_twin_has(
    way: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with both(way, state, tmp_path) as nodes:
        killed = killed_at_each_sync(nodes, (step.do for step in nodes.plan.steps), monkeypatch)
    assert killed > len(nodes.plan.steps) * 3 // 4


@pytest.mark.parametrize(("way", "state"), UNDONE, ids=[f"{way}-{state}" for way, state in UNDONE])
def test_an_undo_that_was_killed_at_a_sync_has_done_what_its_twin_has(
    way: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with both(way, state, tmp_path) as nodes:
        steps = up_to_the_pivot(nodes.plan)[:-1]
        for step in steps:
            nodes.run(step.do)
        undos = [command for step in reversed(steps) for command in undo(step)]
        killed = killed_at_each_sync(nodes, undos, monkeypatch)
    assert killed > len(undos) // 2


def test_a_container_that_was_mounted_by_hand_without_its_device_gets_it_back(tmp_path: Path) -> None:
    with both("d2", State.MOUNTED, tmp_path) as nodes:
        steps = list(itertools.takewhile(lambda step: step.zone is not Zone.PIVOT, nodes.plan.steps))
        done = list(itertools.takewhile(lambda step: step.do.argv[0] != "hide-config", steps))
        for step in done:
            nodes.run(step.do)
        # Its premount hook does nothing, and says that all is well ([seen] of a hook that hides its failure).
        hook = "/etc/vz/conf/vps.premount"
        nodes.box.hn1.sh(f"mv {hook} /tmp/aside; vzctl --skiplock mount {CTID}; mv /tmp/aside {hook}")
        twin = nodes.simulation["hn1"]
        assert isinstance(twin, SimulatedNode)
        here = twin.world.nodes["hn1"]
        here.hushed = True
        for _ in mount_root(twin.world, here, CTID, skiplock=True):
            pass
        here.hushed = False
        nodes.compare("mounted by hand")
        assert (state_of(here, CTID), here.mounted_at(PRIVATE)) == (State.MOUNTED, None)
        for step in reversed(done):
            for command in undo(step):
                nodes.run(command)
        assert (state_of(here, CTID), here.mounted_at(PRIVATE) is not None) == (State.MOUNTED, True)
        assert nodes.box.hn1.sh(f"ls /vz/root/{CTID}") == nodes.box.hn1.sh(f"ls {PRIVATE}") != ""
