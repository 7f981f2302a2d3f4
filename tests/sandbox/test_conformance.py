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
from planner.model import Asked, NodeFacts
from planner.plan import Opened, Outcome, What
from tests.sandbox import Sandbox
from tests.sandbox.driving import CTID, PRIVATE, Driver, Telling
from tests.sandbox.test_moves import CASES, IDS


def comparable(facts: Mapping[str, NodeFacts]) -> dict[str, NodeFacts]:
    """Exempt: free room (``driving``), and the number that the kernel gives to a mount of /vz on itself."""
    return {
        name: structs.replace(found, mounts=tuple(sorted(found.mounts, key=str)), rooms=())
        for name, found in facts.items()
    }


def simulated(driver: Driver, folder: Path) -> SimulatedSite:
    """A world made of what the real nodes say now."""
    for found in driver.facts().values():
        write_facts(folder, found)
    return SimulatedSite(folder)


@pytest.mark.parametrize(("world", "running"), CASES, ids=IDS)
def test_the_same_move_leaves_the_same_facts(world: str, running: bool, tmp_path: Path) -> None:
    with Sandbox(world, running=running) as box:
        driver = Driver(box, tmp_path / "state")
        site = simulated(driver, tmp_path / "nodes")
        plan = control.plan_now(Asked(CTID, "hn1", "hn2"), site)
        assert plan.digest == driver.plan().digest
        journal = MemoryJournal(Opened("run", plan))
        stop = control.apply(plan, site, journal, control="x", signals=Signals(), watch=Telling())
        assert stop.outcome is Outcome.MIGRATED
        assert driver.apply()[0].outcome is Outcome.MIGRATED
        assert comparable(site.facts("hn1", "hn2")) == comparable(driver.facts())


@pytest.mark.parametrize("world", ["shared", "san"])
def test_the_same_failure_takes_the_same_moves(world: str, tmp_path: Path) -> None:
    with Sandbox(world) as box:
        driver = Driver(box, tmp_path / "state")
        site = simulated(driver, tmp_path / "nodes")
        box.hn2.sh("touch /run/faults/vzctl-start-fails")
        site.world.nodes["hn2"].stubborn = frozenset({"start"})
        plan, watch = control.plan_now(Asked(CTID, "hn1", "hn2"), site), Telling()
        journal = MemoryJournal(Opened("run", plan))
        stop = control.apply(plan, site, journal, control="x", signals=Signals(), watch=watch)
        real_stop, real_watch, _ = driver.apply()
        assert stop.outcome is real_stop.outcome is Outcome.UNWOUND
        assert watch.moves == real_watch.moves
        assert (What.PROBE, "start", 11) in watch.moves
        assert comparable(site.facts("hn1", "hn2")) == comparable(driver.facts())
        assert box.hn1.sh(f"test -f {PRIVATE}/counter && echo yes") == "yes\n"
