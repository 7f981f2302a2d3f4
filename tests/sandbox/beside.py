"""The same move on simulated nodes, made of what the real ones say: the same moves, and the same facts afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import structs

from executor import control
from executor.facts_files import write_facts
from executor.journal import MemoryJournal
from executor.signals import Signals
from executor.site import SimulatedSite
from planner.make import make_plan
from planner.model import NodeFacts, Options, Request
from planner.plan import Opened, Stop
from tests.sandbox.driving import Driver, Hooks, Telling, changes, lasting
from tests.sandbox.supervisor import NAMES


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


def same_move(
    driver: Driver,
    options: Options,
    hooks: Hooks | None = None,
    *,
    stubborn: tuple[str, ...] = (),
    watch: Telling | None = None,
) -> tuple[Stop, Telling, str, dict[str, NodeFacts]]:
    """Move 123 here and there, from hn1 to hn2; ``stubborn``: what fails on simulated hn2 (``executor.simulated``).

    And the name of the run here, and the facts afterwards; ``watch`` instead of one with these ``hooks``.
    """
    request = driver.look(options=options)
    site = simulated(request, driver.state / "nodes")
    site.world.nodes["hn2"].stubborn = frozenset(stubborn)
    told, journal = Telling(), MemoryJournal(Opened("run", make_plan(request)))
    expected = control.apply(request, site, journal, control="x", signals=Signals(), watch=told)
    stop, seen, run = driver.apply(hooks, looked=request, watch=watch)
    assert (stop.outcome, seen.moves) == (expected.outcome, told.moves), (stop, expected)
    after = driver.facts()
    left = changes(comparable(site.facts(*NAMES)), comparable(after))
    assert "\n".join(left) == ""
    return stop, seen, run, after
