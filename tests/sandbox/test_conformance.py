"""The simulated nodes against real ones: the same move from the same facts must leave the same facts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec import structs

from executor import control
from executor.facts_files import write_facts
from executor.journal import MemoryJournal
from executor.signals import Signals
from executor.site import SimulatedSite
from planner.make import make_plan
from planner.model import NodeFacts, Request, State
from planner.plan import Opened, Outcome, Stop, What
from tests.sandbox.driving import Driver, Telling, lasting
from tests.sandbox.test_moves import CASES, IDS, ONTO, WAYS, in_state


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


@pytest.mark.parametrize(
    ("way", "state", "spare"),
    [*((way, state, "ext4") for way, state in CASES), *ONTO[:2]],
    ids=[*IDS, *(f"{way}-{state}-{spare}" for way, state, spare in ONTO[:2])],
)
def test_the_same_move_leaves_the_same_facts(way: str, state: State, spare: str, tmp_path: Path) -> None:
    with in_state(way, state, spare) as box:
        driver, options = Driver(box, tmp_path / "state"), WAYS[way].there
        request = driver.look(options=options)
        site = simulated(request, tmp_path / "nodes")
        stop, watch = applied(site, request)
        assert stop.outcome is Outcome.MIGRATED, (stop, watch.moves)
        real_stop, real_watch, _ = driver.apply(options=options)
        assert real_stop.outcome is Outcome.MIGRATED
        assert watch.moves == real_watch.moves
        assert comparable(site.facts("hn1", "hn2")) == comparable(driver.facts())


@pytest.mark.parametrize("way", ["a", "b", "d2"])
def test_the_same_failure_takes_the_same_moves(way: str, tmp_path: Path) -> None:
    with in_state(way, State.RUNNING) as box:
        driver, options = Driver(box, tmp_path / "state"), WAYS[way].there
        request = driver.look(options=options)
        site = simulated(request, tmp_path / "nodes")
        box.hn2.sh("touch /run/faults/vzctl-start-fails")
        site.world.nodes["hn2"].stubborn = frozenset({"start"})
        stop, watch = applied(site, request)
        real_stop, real_watch, _ = driver.apply(options=options)
        assert stop.outcome is real_stop.outcome is Outcome.UNWOUND
        assert watch.moves == real_watch.moves
        assert (What.PROBE, "bring-up", 11) in watch.moves
        assert comparable(site.facts("hn1", "hn2")) == comparable(driver.facts())
