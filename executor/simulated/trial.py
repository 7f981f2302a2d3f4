"""One schedule, played: the production engine walks a plan over simulated nodes while a few faults are armed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from itertools import count
from typing import Final, NamedTuple, NoReturn

from executor.engine import first_to, walk
from executor.node import NodeOutcome
from executor.simulated.alike import rest_key
from executor.simulated.boot import power_back
from executor.simulated.ends import (
    AT_THE_END,
    TAKEN_OVER,
    i8_outcome_is_true,
    i8_who_wakes_leaves_nothing,
    i10_again_is_nothing,
    i11_recover_ends_it,
    nobody_knows,
    why_open,
)
from executor.simulated.faults import Dies, Fault, Scene, Then
from executor.simulated.invariants import broken, i7_intent_before_effect
from executor.simulated.loading import HOME
from executor.simulated.node import SimulatedNode
from executor.simulated.rests import Moment, Rests, SameFutureError
from executor.simulated.schedules import Armed, Violation
from executor.simulated.view import View
from executor.simulated.world import World
from planner.adopt import Logs, adopted, line, moves, outrun, robbed, shows_it, telling
from planner.model import State
from planner.plan import (
    Began,
    Command,
    Compensation,
    Ended,
    Entry,
    Lost,
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
    Zone,
)
from planner.saga import Past, may_go_forward, next_move

RUN: Final = "run-1"
RECOVERIES: Final = 3
"""A fault may hit a recovery too; one more always comes after it."""

OPEN_ENDS: Final = frozenset(
    {Outcome.IN_DOUBT, Outcome.DOWN, Outcome.UNWOUND_NOT_CLEANED, Outcome.MIGRATED_NOT_CLEANED}
)
"""What a person answers with ``vzplan recover``."""

NOBODY: Final = ""
"""In the place of an outcome: nobody is left who would tell one, since no node knows of the run any more."""

STALLED_S: Final = 300
"""After which a copy that makes no progress gives up."""


def is_over(stop: Stop, *, another: bool) -> bool:
    """Whether nobody needs to take it up after this; ``another``: who has it has told so."""
    return not stop.left if another else stop.outcome not in OPEN_ENDS


class ControllerGoneError(Exception):
    """The controller ends here: it was killed, or could not write its journal."""


class Snapshot(NamedTuple):
    """The moment before a move goes out; ``trial`` is never run itself, only forked.

    ``told``: only what the nodes' logs say is new here, which matters if the journal is lost.
    """

    trial: Trial
    place: str
    effects: int
    told: bool


class Sleeper(NamedTuple):
    """A controller that was stopped in the middle of a move: what it knew, and what it will hear when it wakes up."""

    past: Past
    entries: list[Entry]
    generation: int
    boots: dict[str, int]
    intended: set[Command]
    compared: set[str]
    outcome: NodeOutcome | None  # None: its command has not gone out yet
    wakes: int
    serial: int  # tells it from every other one


_SERIALS: Final = count()


class After(Enum):
    """What comes after a walk whose end is an open one."""

    RECOVER = "recover"  # all is mended, and a person recovers
    JUDGE = "judge"  # it was a recovery that nothing stood in the way of: it must have ended the run
    NOTHING = "nothing"  # enough of it


class Trial:
    """A world, a journal and the faults that are still to come. Run it once."""

    def __init__(self, plan: Plan, world: World, armed: tuple[Armed, ...] = ()) -> None:
        """Stand before the first move of ``plan``."""
        self.plan, self.world, self.armed = plan, world, armed
        self.line = " + ".join(map(str, armed))
        self.retiring = frozenset(s.id for s in plan.steps if s.zone is Zone.RETIRE)
        self.frozen = tuple(s for s in plan.steps if s.zone is not Zone.PREPARE)
        self.moves, self.telling = moves(plan), frozenset(telling(plan).values())
        self.probing = frozenset(line(s.probe.do) for s in plan.steps if s.probe is not None)
        self.undoable = frozenset(s.id for s in plan.steps if isinstance(s.undo, Compensation))
        self.past = Past(plan)
        self.entries: list[Entry] = [Opened(RUN, plan)]
        self.view = View(plan, world)
        self.generation = 1
        self.counts: dict[tuple[What, str], int] = {}
        self.outcomes: list[Outcome | str] = []
        self.doubts: list[str] = []  # why, of each that is IN_DOUBT
        self.violations: list[Violation] = []
        self.down_s = 0  # how long it was down in the first controller's life, by pauses and deadlines
        self.hit: Run | None = None  # the move that the last fault was armed for
        # The moment that came after it, but for what is no effect.
        self.after: tuple[Hashable, ...] | None = None
        self.acting: Fault | None = None
        self.then = Then.RECOVER
        self.recoveries, self.after_this = 0, After.RECOVER
        self.nodes = self.connected()
        self.rests: Rests | None = None  # shared by the trials of an exploration
        self.merged = False  # its end is that of another trial
        self.moments: list[Moment] = []  # at which it was alone
        self.sleeper: Sleeper | None = None
        self.compared: set[str] = set()  # nodes of which it is known that the journal knows all
        self.outdated = False  # a node knows more than the journal
        self.moves_slept = 0
        self.forgotten = False  # it was to be adopted, and no node that can be asked knows of it
        self.cut_short = False  # the first controller was killed, or could not write its journal
        self.awake = False  # who slept has gone on, and may have ended the run
        self.on_border: Callable[[Trial, str], None] | None = None
        self.on_end: Callable[[int], None] | None = None
        self.on_entry: Callable[[Entry], None] | None = None

    def fork(self, armed: tuple[Armed, ...]) -> Trial:
        """The same moment with other faults to come."""
        twin = Trial.__new__(Trial)
        twin.__dict__.update(self.__dict__)
        twin.world = self.world.fork()
        twin.view = self.view.of(twin.world)
        twin.past = self.past.copy()
        twin.entries, twin.counts = list(self.entries), dict(self.counts)
        twin.outcomes, twin.doubts, twin.violations = list(self.outcomes), list(self.doubts), []
        twin.hit = twin.after = None
        twin.armed = armed
        twin.line = " + ".join(filter(None, (self.line, *map(str, armed))))
        twin.recoveries, twin.after_this = 0, After.RECOVER
        twin.nodes = twin.connected()
        for name, node in twin.nodes.items():
            node.inner.known_boots = self.nodes[name].inner.known_boots
        twin.moments, twin.compared = [], set(self.compared)
        twin.on_border = twin.on_end = None
        return twin

    def broken(self) -> frozenset[str]:
        """Nodes that have booted since the controller last heard of them: its connection there is broken."""
        nodes = self.world.nodes
        return frozenset(n for n, at in self.nodes.items() if at.inner.known_boots != nodes[n].boots)

    # --- the run

    def run(self) -> None:
        """To the end: walk, and while the end is an open one, mend the world and recover, as a person would."""
        try:
            while self._is_open(stop := self._walk()) and self._taken_up():
                pass
            if stop is None or self.forgotten:
                self.outcomes.append(NOBODY)
        except SameFutureError as same:
            self.merged = True
            self.outcomes += same.rest.outcomes
            self.doubts += same.rest.doubts
            self.down_s += same.rest.down_s
            for violation in same.rest.violations:
                self._check(violation.invariant, violation.seen)
        self._wake()
        if self.after is None:
            self.after = rest_key(self)[1:]
        if self.rests is not None:
            for moment in self.moments:
                self.rests.put(moment, self)
        self.nodes = {}  # they know the trial: without this it would stay until a collection

    def _is_open(self, stop: Stop | None) -> bool:
        """Whether the run has not ended with this walk; None: its controller is gone."""
        if self.after_this is After.JUDGE and stop is not None:
            if not self._ended_by_another():
                self._check("I11", i11_recover_ends_it(self.view, stop))
            return False
        return stop is None or stop.outcome in OPEN_ENDS

    def _taken_up(self) -> bool:
        """Mend the world and let someone take the run up again; False: nobody does, or nothing is left of it."""
        if self.after_this is not After.RECOVER:
            return False
        then, self.then = self.then, Then.RECOVER
        if then is Then.OFF:
            self.restart()
            for node in self.world.nodes.values():
                if node.dark:
                    self._append(NodeOff(node.name))
            return True
        power_back(self.world)
        self.world.heal()
        if then is not Then.ADOPT:
            self.restart(forward=then is Then.FORWARD and may_go_forward(self.past))
        elif not self._adopt():
            self.forgotten = True
            return False
        self.recoveries += 1
        if not self.armed:
            self.after_this = After.JUDGE
        elif self.recoveries == RECOVERIES:
            self.after_this = After.NOTHING
        return True

    def restart(self, *, forward: bool = False) -> None:
        """A controller takes the journal up."""
        self.generation += 1
        self.compared = set()
        self._append(Restarted(forward))
        self.nodes = self.connected()

    def _logs(self) -> dict[str, tuple[str, ...] | None]:
        """What each node keeps of the run; None: it cannot be asked, no entry: it knows nothing of it."""
        logs: dict[str, tuple[str, ...] | None] = {}
        for name in self.plan.nodes:
            node = self.world.nodes[name]
            if not node.reachable or node.dark:
                logs[name] = None
            elif f"{HOME}/{RUN}" in node.tree:
                logs[name] = tuple(said for at, said in self.world.logged if at == name)
        return logs

    def known_at(self, name: str) -> bool:
        """Whether a node has all that says that the run is on it: its folder with the record."""
        return f"{HOME}/{RUN}/record" in self.world.nodes[name].tree

    def _outrun(self, move: Run) -> bool:
        """Whether a node that has settled turns out to know more; asked before the first command to each (control)."""
        if not first_to(move, self.compared):
            return False
        settled = {*self.plan.nodes} - self.past.unsettled - self.past.off - self.compared
        told = self._logs()
        logs = {name: told.get(name, ()) for name in settled}
        if None in logs.values():
            raise ControllerGoneError  # it gives up: whoever recovers is told to try again
        if outrun(self.plan, self.entries, logs) is not None:
            return True
        self.compared |= {*settled, move.command.node}
        return False

    def _adopt(self) -> bool:
        """A new journal, from what the nodes know of the run; False: none that can be asked knows of it."""
        logs = self._logs()
        knows = next((name for name, log in logs.items() if log), None)
        if knows is None:
            if None not in logs.values():  # nobody does, and so it is never judged by an outcome
                self._check("I8", nobody_knows(self.view))
            return False
        if self._robbed(logs):
            return False
        self.past, self.entries, self.compared = Past(self.plan), [Opened(RUN, self.plan)], set()
        self.generation += 1
        self._append(adopted(self.plan, knows, logs, self.generation))
        self.nodes = self.connected()
        return True

    def _robbed(self, logs: Logs) -> bool:
        """Whether it cannot be adopted, since a node lost what it kept; nothing that is tried here takes that away."""
        node = robbed(self.plan, logs)
        if node is None or shows_it(self.plan, logs, node, self.world.facts(node)):
            return False
        self._check(
            "I11", f"it cannot be adopted: {node} knows nothing of the run, and cannot have given it up"
        )
        return True

    def connected(self) -> dict[str, _Tapped]:
        """New sessions, of the run's present generation."""
        return {name: _Tapped(self, name) for name in self.world.nodes}

    def _walk(self) -> Stop | None:
        """One life of a controller; None if it was cut short."""
        try:
            while isinstance(stop := walk(self, self.nodes, until=self._border, pause=self.passes), Run):
                if not self.outdated:
                    self._append(Wish(Want.UNWIND, "a person asked for it"))
                elif not self._adopt():  # as whoever recovers is told to
                    return None
        except ControllerGoneError:
            self.cut_short = self.cut_short or not (self.outcomes or self.recoveries)
            return None
        self.outcomes.append(stop.outcome)
        late, self.world.late = self.world.late, ()
        for each in late:  # nobody waits any more, and still it may come
            self.nodes[each.node].inner.land(each)
        self.world.end_what_was_told()
        self.watch(None)
        self._judge(stop)
        if stop.outcome is Outcome.IN_DOUBT:
            by_another = TAKEN_OVER if self._ended_by_another() else None
            self.doubts.append(by_another or why_open(self.view, stop) or "nothing")
        return stop

    def _judge(self, stop: Stop) -> None:
        if not self._ended_by_another():
            for name, invariant in AT_THE_END:
                self._check(name, invariant(self.view, stop))
            once_more = self.past.copy()
            once_more.note(Restarted(forward=False))
            self._check("I10", i10_again_is_nothing(stop, next_move(self.plan, once_more)))

    def _ended_by_another(self) -> bool:
        """Whether there are two controllers, and this one has heard that the other is at work, or has ended the run."""
        return self.awake and self.past.superseded is not None

    def _border(self, move: Run) -> bool:
        """Before every move: arm the fault that is meant for it. True: a wish comes in between."""
        place = self._place(move.what, move.at)
        self.acting = None
        self.outdated = self.generation > 1 and self._outrun(move)
        if self.outdated:
            return True
        self._look()
        self.view.turns_to(move)
        if self.on_border is not None:
            self.on_border(self, place)
        if self.sleeper is not None and self.sleeper.wakes:
            self.moves_slept += 1
            if self.moves_slept == self.sleeper.wakes:
                self._wake()
        if not self.armed:
            self._compare()
            return False
        if self.armed[0].place != place:
            return False
        self.acting, self.armed, self.hit = self.armed[0].fault, self.armed[1:], move
        if self.acting is not None:
            then = self.acting.kind.then
            self.then = then if then is not Then.RECOVER else self.then  # the node is still off
        return self.acting is None

    def _compare(self) -> None:
        """No fault comes any more: the rest may be that of another trial, and others' may be that of this one."""
        if self.rests is None or self.sleeper is not None:  # what a sleeper knows is no one else's
            return
        key = self.rests.key(self)
        if self.after is None and self.hit is not None:
            self.after = key[1:]
        rest = self.rests.get(key)
        if rest is not None:
            raise SameFutureError(rest)
        if not self.violations:  # what was found before is not of the rest, nor is it looked for twice
            self.moments.append(Moment(key, len(self.outcomes), len(self.doubts), self.down_s))

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
                if self.acting is not None:
                    self.view.struck |= {self.view.last}
                if dies is Dies.BEFORE:
                    self.gone(None)
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
        if self.on_entry is not None:
            self.on_entry(entry)

    def gone(self, outcome: NodeOutcome | None) -> NoReturn:
        """The controller ends here, or falls asleep; ``outcome``: of the command that is out, if it went out."""
        if self.acting is not None and self.acting.kind.wakes is not None:
            self.moves_slept = 0
            boots = {name: node.inner.known_boots for name, node in self.nodes.items()}
            self.sleeper = Sleeper(
                self.past.copy(),
                list(self.entries),
                self.generation,
                boots,
                set(self.view.intended),
                set(self.compared),
                outcome,
                self.acting.kind.wakes,
                next(_SERIALS),
            )
        raise ControllerGoneError

    def _wake(self) -> None:
        """Whoever only slept goes on from where it was, beside whoever took the run over, or after it."""
        if self.sleeper is None:
            return
        sleeper, self.sleeper = self.sleeper, None
        stop: Run | Stop | None = None
        with self._seated(sleeper):
            self._hears(sleeper.outcome)
            with suppress(ControllerGoneError):
                stop = walk(self, self.nodes, until=self._looked, pause=_no_time_passes)
            self.awake = self.view.beside = True
            # Beside another one that is at work neither knows all. And an open end may have been mended while it slept.
            if isinstance(stop, Stop) and not (
                sleeper.wakes or self._ended_by_another() or stop.outcome in OPEN_ENDS
            ):
                self._check("I8", i8_outcome_is_true(self.view, stop))
            # Else it waits for a person, too, who recovers it.
            over = isinstance(stop, Stop) and is_over(stop, another=self._ended_by_another())
        if over and self.outcomes and self.outcomes[-1] not in {NOBODY, *OPEN_ENDS}:
            self._check("I8", i8_who_wakes_leaves_nothing(self.view))

    @contextmanager
    def _seated(self, sleeper: Sleeper) -> Iterator[None]:
        """The trial's machinery is in the hands of who slept; no fault is put at what it does."""
        view = self.view
        other = (
            self.past,
            self.entries,
            self.generation,
            self.nodes,
            self.compared,
            self.acting,
            self.on_end,
        )
        seen = (view.intended, view.others, view.silent, view.struck)
        # Copies: other trials that were forked off since wake the same one.
        self.past, self.entries = sleeper.past.copy(), list(sleeper.entries)
        self.generation, self.compared = sleeper.generation, set(sleeper.compared)
        self.nodes = self.connected()
        for name, node in self.nodes.items():
            node.inner.known_boots = sleeper.boots[name]
        self.acting = self.on_end = None
        view.intended, view.others, view.silent = set(sleeper.intended), frozenset(view.intended), {}
        try:
            yield
        finally:
            self.past, self.entries, self.generation, self.nodes, self.compared, self.acting, self.on_end = (
                other
            )
            view.intended, view.others, view.silent, view.struck = seen

    def _hears(self, heard: NodeOutcome | None) -> None:
        """Whoever slept in the middle of a move hears what came of it; None: its command goes out only now."""
        began = self.past.open
        assert began is not None
        command = self.view.commands[began.what, began.at]
        proved = dict(self.view.proved)
        outcome = heard if heard is not None else self.nodes[command.node].run(command)
        self._append(Ended(began.what, began.at, outcome))
        if heard is not None:  # it was true when it fell asleep
            self.view.proved = proved

    def _looked(self, move: Run) -> bool:
        """Before each of its moves; True: it gives up, since a node knows more than its journal."""
        self._look()
        return self.generation > 1 and self._outrun(move)

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
        self.view.look()
        if command is not None:
            self._check("I7", i7_intent_before_effect(self.view, command))
        self._look()

    def passes(self, seconds: float) -> None:
        """So much time; counted while the container is down that ran, until its first controller ends."""
        runs = any(node.awake(self.view.ctid) for node in self.world.nodes.values())
        if seconds and not runs and self.view.first == State.RUNNING.value and self.generation == 1:
            self.down_s += round(seconds)

    def _look(self) -> None:
        for name, seen in broken(self.view):
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
        broken = self.inner.is_broken()
        outcome = self.inner.run(command)
        if isinstance(outcome, Lost):
            if broken:
                trial.view.hindered = True
                trial.view.cut_off |= {self.inner.name}
                if command.argv[0] != "settle":
                    trial.view.struck |= {self.inner.name}
            # A copy ends by itself once nothing moves any more (rsync's --timeout, verbs/copy-tree.sh).
            trial.passes(STALLED_S if command.argv[0] == "copy-tree" else command.deadline_s)
        if trial.on_end is not None:
            trial.on_end(self.inner.effects)
        if trial.acting is not None and trial.acting.kind.dies is Dies.AFTER:
            trial.gone(outcome)
        return outcome
