"""The same move on simulated nodes, made of what the real ones say: the same moves, and the same facts afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from msgspec import structs

from executor import control
from executor.facts_files import write_facts
from executor.journal import Journal, new_run_id
from executor.node import Node, NodeOutcome
from executor.signals import Signals
from executor.simulated.faults import Fault, Scene
from executor.simulated.node import SimulatedNode
from executor.simulated.schedules import Armed, schedule
from executor.simulated.trial import OPEN_ENDS
from executor.site import SimulatedSite
from planner.make import make_plan
from planner.model import NodeFacts, Options, Owner, Request
from planner.plan import Opened, Run, Stop, What
from tests.sandbox.driving import CTID, PRIVATE, ROOT, Driver, Hooks, Telling, changes, lasting
from tests.sandbox.supervisor import NAMES

NOT_COMPARED: Final = {
    "rooms": "simulated nodes count no bytes: what is copied takes no room there",
    "devices.filesystem.free_bytes": "the same, of what is not mounted",
    "devices.filesystem.free_inodes": "the same",
    "devices.filesystem.inodes": "but for ext: others make them as they need them",
    "available_bytes": "memory in use changes from one look to the next",
    "containers.resident_bytes": "as does a container's own",
    "containers.dump_bytes": "what a checkpoint writes down of it is as large as it is then",
    "usage": "told only of an area that is asked for, and it counts what was written meanwhile",
    "reaches": "told only of nodes that are asked for, with a speed that is never the same twice",
    "order of mounts": "simulated nodes list the containers' mounts last; what is mounted on what is compared",
}
"""Facts that are not compared wherever real nodes stand beside simulated ones, and why (docs/verify.md)."""

NOT_COMPARED_OF_MOVES: Final = {
    "owners.run": "each has a run of its own",
    "owners.control": "and a controller of its own",
}
"""And these, if each is moved by a run of its own."""


But = Callable[[dict[str, NodeFacts]], dict[str, NodeFacts]]


def comparable(facts: Mapping[str, NodeFacts]) -> dict[str, NodeFacts]:
    """Without what ``NOT_COMPARED`` lists."""
    return {
        name: structs.replace(lasting(found), mounts=tuple(sorted(found.mounts, key=str)), rooms=())
        for name, found in facts.items()
    }


class StruckSite(SimulatedSite):
    """Simulated nodes; ``acting``: what befalls the next command."""

    acting: Fault | None = None

    def befalls(self, fault: Fault | None = None) -> None:
        """The next command; None: nothing does."""
        self.acting = fault

    def nodes(self, opened: Opened, control: str, generation: int) -> Mapping[str, Node]:
        """See ``executor.site.Site``."""
        del control

        def node(name: str) -> Node:
            return SimulatedNode(
                self.world,
                name,
                run=opened.run,
                generation=generation,
                armed=lambda: self.acting,
                scene=self._scene,
            )

        return {name: node(name) for name in opened.plan.nodes}

    def _scene(self, name: str) -> Scene:
        here, (source, destination) = self.world.nodes[name], (self.world.nodes[each] for each in NAMES)
        peer = source if here is destination else destination
        return Scene(self.world, here, peer, source, destination, CTID, points=frozenset({PRIVATE, ROOT}))


@dataclass
class Schedule(Telling):
    """A watch at whose moves, in order, the faults of a schedule's line are put in, and taken out once they ended."""

    armed: tuple[Armed, ...] = ()
    put_in: Callable[[Fault, Run], None] = lambda _fault, _move: None
    take_out: Callable[[], None] = lambda: None
    times: dict[str, int] = field(default_factory=dict)

    def began(self, move: Run) -> None:
        """See ``executor.engine.Watch``."""
        super().began(move)
        name = move.at if move.what is What.DO else f"{move.what}/{move.at}"
        self.times[name] = times = self.times.get(name, 0) + 1
        if self.armed and self.armed[0].place == (name if times == 1 else f"{name}#{times}"):
            (now, *rest), fault = self.armed, self.armed[0].fault
            self.armed = tuple(rest)
            assert fault is not None, now
            self.put_in(fault, move)

    def ended(self, move: Run, outcome: NodeOutcome) -> None:
        """See ``executor.engine.Watch``."""
        super().ended(move, outcome)
        self.take_out()


def simulated(request: Request, folder: Path) -> StruckSite:
    """A world made of what the real nodes say now."""
    for found in (request.source, request.destination):
        write_facts(folder, found)
    return StruckSite(folder)


def same_move(
    driver: Driver,
    options: Options,
    hooks: Hooks | None = None,
    *,
    stubborn: tuple[str, ...] = (),
    line: str = "",
    watch: Telling | None = None,
    mend: Callable[[], None] | None = None,
    but: But = lambda facts: facts,
) -> tuple[Stop, Telling, str, dict[str, NodeFacts]]:
    """Move 123 here and there, from hn1 to hn2; ``stubborn``: what fails on simulated hn2 (``executor.simulated``).

    And the name of the run here, and the facts afterwards; ``watch`` instead of one with these ``hooks``. ``line``: the
    schedule that the simulated nodes meet; the real ones must be struck by ``watch``. ``mend`` what keeps the run open
    there, and both are recovered, to the same end. ``but``: the facts without what is not to be compared here.
    """
    request = driver.look(options=options)
    site = simulated(request, driver.state / "nodes")
    site.world.nodes["hn2"].stubborn = frozenset(stubborn)
    told = Schedule(armed=schedule(line), put_in=lambda fault, _: site.befalls(fault), take_out=site.befalls)
    name = new_run_id()
    with Journal.create(driver.state / "beside" / name, Opened(name, make_plan(request))) as journal:
        expected = control.apply(request, site, journal, control="x", signals=Signals(), watch=told)
        assert told.armed == (), told.moves
        stop, seen, run = driver.apply(hooks, looked=request, watch=watch)
        if mend is not None:  # and nodes can be asked again
            mend()
            site.world.heal()
        after = assert_the_same(driver, site, (expected, told), (stop, seen), but)
        if mend is not None:
            again, told_again = Telling(), Telling()
            expected = control.recover(site, journal, control="x", signals=Signals(), watch=told_again)
            last = driver.recover(run, watch=again)
            assert last.outcome not in OPEN_ENDS
            after = assert_the_same(driver, site, (expected, told_again), (last, again), but)
    return stop, seen, run, after


def assert_the_same(
    driver: Driver,
    site: SimulatedSite,
    expected: tuple[Stop, Telling],
    seen: tuple[Stop, Telling],
    but: But,
) -> dict[str, NodeFacts]:
    """How it ended, the moves that it took, and all facts, which are given."""
    (there, told), (stop, watch) = expected, seen
    assert (stop.outcome, watch.moves) == (there.outcome, told.moves), (stop, there)
    after = driver.facts()
    told_facts, seen_facts = (but(of_any_run(comparable(facts))) for facts in (site.facts(*NAMES), after))
    assert "\n".join(changes(told_facts, seen_facts)) == ""
    return after


def of_any_run(facts: Mapping[str, NodeFacts]) -> dict[str, NodeFacts]:
    """Without what ``NOT_COMPARED_OF_MOVES`` lists."""
    return {
        name: structs.replace(found, owners=tuple(Owner(owner.ctid, "", "") for owner in found.owners))
        for name, found in facts.items()
    }
