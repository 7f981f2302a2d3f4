"""One schedule, played: the production engine walks a plan over simulated nodes while a few faults are armed.

A schedule is a line of text, ``PLACE:FAULT`` joined by `` + ``. A place is a step's id (its do), ``undo/STEP``,
``probe/STEP`` or ``settle/NODE``, with ``#2`` for the second time it goes out. ``STEP:wish`` is a wish to unwind
that arrives just before that step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from executor.engine import walk
from executor.node import NodeOutcome
from executor.simulated.boot import power_back
from executor.simulated.faults import Dies, Fault, Scene, Then, fault
from executor.simulated.invariants import AT_EVERY_EFFECT, AT_THE_END, View, i11_recover_ends_it
from executor.simulated.node import SimulatedNode
from executor.simulated.twins.here import HOME
from executor.simulated.world import World
from planner.adopt import adopted
from planner.plan import (
    Began,
    Command,
    Ended,
    Entry,
    NodeOff,
    Opened,
    Outcome,
    Plan,
    Restarted,
    Run,
    Stop,
    Want,
    What,
    Wish,
)
from planner.saga import Past, may_go_forward

RUN: Final = "run-1"
RECOVERIES: Final = 3
"""A fault may hit a recovery too; one more always comes after it."""

OPEN_ENDS: Final = frozenset(
    {Outcome.IN_DOUBT, Outcome.DOWN, Outcome.UNWOUND_NOT_CLEANED, Outcome.MIGRATED_NOT_CLEANED}
)
"""What a person answers with ``vzplan recover``."""

WISH: Final = "wish"


class ControllerGoneError(Exception):
    """The controller ends here: it was killed, or could not write its journal."""


class Armed(NamedTuple):
    """A fault at its place; ``fault`` None: the wish to unwind."""

    place: str
    fault: Fault | None

    def __str__(self) -> str:
        """As it stands in a schedule."""
        return f"{self.place}:{self.fault.name if self.fault else WISH}"


class Snapshot(NamedTuple):
    """The moment before a move goes out; ``trial`` is never run itself, only forked."""

    trial: Trial
    place: str
    effects: int


class Violation(NamedTuple):
    """An invariant that did not hold: its name, the schedule as a line that can be pasted, what was seen."""

    invariant: str
    schedule: str
    seen: str

    def __str__(self) -> str:
        """One line for a person."""
        return f'{self.invariant}: schedule("{self.schedule}"): {self.seen}'


def schedule(line: str) -> tuple[Armed, ...]:
    """The faults of a schedule's line.

    Raises:
        ValueError: it has no ``PLACE:FAULT``, or no such fault is known.
    """
    armed = []
    for word in line.split(" + ") if line else ():
        place, colon, name = word.rpartition(":")
        if not colon:
            raise ValueError(f"{word!r} is not PLACE:FAULT")
        try:
            armed.append(Armed(place, None if name == WISH else fault(name)))
        except KeyError as error:
            raise ValueError(str(error)) from None
    return tuple(armed)


class Trial:
    """A world, a journal and the faults that are still to come. Run it once."""

    def __init__(self, plan: Plan, world: World, armed: tuple[Armed, ...] = ()) -> None:
        """Stand before the first move of ``plan``."""
        self.plan, self.world, self.armed = plan, world, armed
        self.line = " + ".join(map(str, armed))
        self.past = Past(plan)
        self.entries: list[Entry] = [Opened(RUN, plan)]
        self.view = View(plan, world)
        self.generation = 1
        self.counts: dict[tuple[What, str], int] = {}
        self.outcomes: list[Outcome] = []
        self.violations: list[Violation] = []
        self.acting: Fault | None = None
        self.then = Then.RECOVER
        self.on_border: Callable[[Trial, str], None] | None = None
        self.on_end: Callable[[int], None] | None = None

    def fork(self, armed: tuple[Armed, ...]) -> Trial:
        """The same moment with other faults to come."""
        twin = Trial.__new__(Trial)
        twin.__dict__.update(self.__dict__)
        twin.world = self.world.fork()
        twin.view = self.view.of(twin.world)
        twin.past = self.past.copy()
        twin.entries, twin.counts = list(self.entries), dict(self.counts)
        twin.outcomes, twin.violations = list(self.outcomes), []
        twin.armed = armed
        twin.line = " + ".join(filter(None, (self.line, *map(str, armed))))
        twin.on_border = twin.on_end = None
        return twin

    # --- the run

    def run(self) -> None:
        """To the end: walk, and while the end is an open one, mend the world and recover, as a person would."""
        stop = self._walk()
        for _ in range(RECOVERIES):
            if stop is not None and stop.outcome not in OPEN_ENDS:
                return
            then, self.then = self.then, Then.RECOVER
            if then is Then.OFF:
                self._restart()
                for node in self.world.nodes.values():
                    if node.dark:
                        self._append(NodeOff(node.name))
                stop = self._walk()
                if stop is not None and stop.outcome not in OPEN_ENDS:
                    return
            power_back(self.world)
            self.world.heal()
            if then is Then.ADOPT:
                if not self._adopt():
                    return
            else:
                self._restart(forward=then is Then.FORWARD and may_go_forward(self.past))
            unhindered = not self.armed
            stop = self._walk()
            if unhindered and stop is not None:
                self._check("I11", i11_recover_ends_it(self.view, stop))
                return

    def _restart(self, *, forward: bool = False) -> None:
        self.generation += 1
        self._append(Restarted(forward))

    def _adopt(self) -> bool:
        """A new journal, from what the nodes know of the run; False: they know nothing of it."""
        there = [name for name in self.plan.nodes if f"{HOME}/{RUN}" in self.world.nodes[name].tree]
        if not there:
            return False
        logs = {name: tuple(said for node, said in self.world.logged if node == name) for name in there}
        self.past, self.entries = Past(self.plan), [Opened(RUN, self.plan)]
        self.generation += 1
        self._append(adopted(self.plan, there[0], logs, self.generation))
        return True

    def _walk(self) -> Stop | None:
        """One life of a controller; None if it was cut short."""
        nodes = {name: _Tapped(self, name) for name in self.world.nodes}
        try:
            while isinstance(stop := walk(self, nodes, until=self._border, pause=_no_time_passes), Run):
                self._append(Wish(Want.UNWIND, "a person asked for it"))
        except ControllerGoneError:
            return None
        self.outcomes.append(stop.outcome)
        late, self.world.late = self.world.late, ()
        for each in late:  # nobody waits any more, and still it may come
            nodes[each.node].inner.land(each)
        for name, invariant in AT_THE_END:
            self._check(name, invariant(self.view, stop))
        return stop

    def _border(self, move: Run) -> bool:
        """Before every move: arm the fault that is meant for it. True: a wish comes in between."""
        place = self._place(move.what, move.at)
        if self.on_border is not None:
            self.on_border(self, place)
        self.acting = None
        if not self.armed or self.armed[0].place != place:
            return False
        self.acting, self.armed = self.armed[0].fault, self.armed[1:]
        if self.acting is not None:
            self.then = self.acting.kind.then
        return self.acting is None

    # --- the journal, as the engine sees it

    def append(self, entry: Entry) -> None:
        """Write an entry, or fail to, or end the controller."""
        dies = self.acting.kind.dies if self.acting is not None else Dies.NEVER
        match entry:
            case Began(what, at):
                if dies is Dies.AT_BEGAN:
                    raise ControllerGoneError
                self.counts[what, at] = self.counts.get((what, at), 0) + 1
                self._append(entry)
                if dies is Dies.BEFORE:
                    raise ControllerGoneError
            case Ended():
                if dies is Dies.AT_ENDED:
                    raise ControllerGoneError
                self._append(entry)
            case _:
                self._append(entry)

    def _append(self, entry: Entry) -> None:
        self.past.note(entry)
        self.entries.append(entry)
        self.view.note(entry)

    def _place(self, what: What, at: str) -> str:
        times = self.counts.get((what, at), 0) + 1
        place = at if what is What.DO else f"{what}/{at}"
        return place if times == 1 else f"{place}#{times}"

    # --- the nodes

    def scene(self, node: str) -> Scene:
        """What a fault's actions may touch when a command goes to ``node``."""
        world, asked = self.world, self.plan.asked
        source, destination = world.nodes[asked.source], world.nodes[asked.destination]
        here = world.nodes[node]
        points = frozenset({self.view.private(node), self.view.root(node)})
        return Scene(
            world,
            here,
            source if here is destination else destination,
            source,
            destination,
            asked.ctid,
            points,
        )

    def watch(self, command: Command | None) -> None:
        """After every effect."""
        self.view.hindered = self.view.hindered or self.view.in_the_way()
        for name, invariant in AT_EVERY_EFFECT:
            seen = invariant(self.view, command)
            if seen is not None:
                self._check(name, seen)

    def _check(self, name: str, seen: str | None) -> None:
        if seen is not None and all(v.invariant != name for v in self.violations):
            self.violations.append(Violation(name, self.line, seen))


def _no_time_passes(_seconds: float) -> None:
    """Pauses between retries take no time here."""


class _Tapped:
    """A simulated node whose controller may die while a command is out."""

    def __init__(self, trial: Trial, name: str) -> None:
        self.trial = trial
        self.inner = SimulatedNode(
            trial.world,
            name,
            RUN,
            trial.generation,
            watch=trial.watch,
            armed=lambda: trial.acting,
            scene=trial.scene,
        )

    def run(self, command: Command) -> NodeOutcome:
        """As ``SimulatedNode.run``."""
        trial = self.trial
        outcome = self.inner.run(command)
        if trial.on_end is not None:
            trial.on_end(self.inner.effects)
        if trial.acting is not None and trial.acting.kind.dies is Dies.AFTER:
            raise ControllerGoneError
        return outcome
