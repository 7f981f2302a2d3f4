"""The simulated nodes against real ones: the same move from the same facts must leave the same facts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from msgspec import structs

from executor import control
from executor.facts_files import write_facts
from executor.journal import MemoryJournal
from executor.signals import Signals
from executor.site import SimulatedSite
from planner.make import make_plan
from planner.model import NodeFacts, Options, Request, State
from planner.plan import Opened, Outcome, Stop, What
from tests.sandbox import Sandbox
from tests.sandbox.driving import Driver, Telling, changes, lasting
from tests.sandbox.test_moves import CASES, IDS, KEPT, ONTO, WAYS, in_state, kept


def comparable(facts: Mapping[str, NodeFacts]) -> dict[str, NodeFacts]:
    """Exempt: free room, and what is only asked for (``driving``)."""
    return {
        name: structs.replace(lasting(found), mounts=tuple(sorted(found.mounts, key=str)), rooms=())
        for name, found in facts.items()
    }


def simulated(request: Request, folder: Path) -> SimulatedSite:
    """A world made of what the real nodes say now."""
    for found in (request.source, request.destination):
        write_facts(folder, found)
    return SimulatedSite(folder)


def applied(site: SimulatedSite, request: Request) -> tuple[Stop, Telling]:
    """The same walk on simulated nodes."""
    watch, journal = Telling(), MemoryJournal(Opened("run", make_plan(request)))
    return control.apply(request, site, journal, control="x", signals=Signals(), watch=watch), watch


def same_move(box: Sandbox, options: Options, tmp_path: Path) -> tuple[Stop, Telling]:
    """The same move here and there; it ends alike, by the same steps, and leaves the same facts."""
    driver = Driver(box, tmp_path / "state")
    request = driver.look(options=options)
    site = simulated(request, tmp_path / "nodes")
    if box.hn2.sh("ls /run/faults", check=False):
        site.world.nodes["hn2"].stubborn = frozenset({"start"})
    stop, watch = applied(site, request)
    real_stop, real_watch, _ = driver.apply(options=options)
    assert stop.outcome is real_stop.outcome, (stop, real_stop, watch.moves, real_watch.moves)
    assert watch.moves == real_watch.moves
    there, told = comparable(driver.facts()), comparable(site.facts("hn1", "hn2"))
    assert "\n".join(changes(told, there)) == ""
    return stop, watch


@pytest.mark.parametrize(
    ("way", "state", "spare"),
    [*((way, state, "ext4") for way, state in CASES), *ONTO[:2]],
    ids=[*IDS, *(f"{way}-{state}-{spare}" for way, state, spare in ONTO[:2])],
)
def test_the_same_move_leaves_the_same_facts(way: str, state: State, spare: str, tmp_path: Path) -> None:
    with in_state(way, state, spare) as box:
        stop, watch = same_move(box, WAYS[way].there, tmp_path)
        assert stop.outcome is Outcome.MIGRATED, (stop, watch.moves)


@pytest.mark.parametrize(("way", "how"), KEPT, ids=[f"{way}-{how}" for way, how in KEPT])
def test_the_same_move_that_keeps_its_memory_leaves_the_same_facts(
    way: str, how: str, tmp_path: Path
) -> None:
    with in_state(way, State.RUNNING) as box:
        stop, watch = same_move(box, kept(box, how, WAYS[way].there), tmp_path)
        assert stop.outcome is Outcome.MIGRATED, (stop, watch.moves)


FAILS: Final = [
    ("a", "", "start", "bring-up"),
    ("b", "", "start", "bring-up"),
    ("d2", "", "start", "bring-up"),
    ("c", "online", "restore", "bring-up"),
    ("d2", "online-by-device", "restore", "bring-up"),
    ("d1", "staged", "restore-undump", "undump"),
    ("d2", "staged-by-device", "restore-undump", "undump"),
]
"""A way, how memory is kept, what vzctl cannot do at the destination, and the step that meets it."""


@pytest.mark.parametrize(("way", "how", "fault", "step"), FAILS, ids=lambda value: value)
def test_the_same_failure_takes_the_same_moves(
    way: str, how: str, fault: str, step: str, tmp_path: Path
) -> None:
    with in_state(way, State.RUNNING) as box:
        box.hn2.sh(f"mkdir -p /run/faults; touch /run/faults/vzctl-{fault}-fails")
        stop, watch = same_move(box, kept(box, how, WAYS[way].there), tmp_path)
        assert stop.outcome is Outcome.UNWOUND
        done = [(what, at) for what, at, status in watch.moves if status]
        assert (What.DO, step) in done or (What.PROBE, step) in done, watch.moves
