"""One run, and all that may come between its commands, in any order and number.

The explorer puts up to three failures; here reboots, cut connections, an operator's hands, failures at commands and
further controllers follow one another as Hypothesis likes. Every controller walks by the production engine, and the
invariants are asked after every effect. What the operator types is what vzctl lets him: without --force a start is
refused by our fence, and by a config that is not there, so that none of the invariants is exempt for it. Only which
state the container is in afterwards is his doing (``World.meddled``), and I8 and I11 know that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from executor.engine import walk
from executor.node import NodeOutcome
from executor.simulated.boot import lose_power, power_back, reboot
from executor.simulated.ends import (
    AT_THE_END,
    i8_something_is_left,
    i8_who_wakes_leaves_nothing,
    i10_again_is_nothing,
    i11_recover_ends_it,
)
from executor.simulated.faults import KINDS, Fault, Kind, Then, fault
from executor.simulated.invariants import i7_intent_before_effect
from executor.simulated.loading import HOME, Truth
from executor.simulated.trial import OPEN_ENDS, RUN, ControllerGoneError, Trial, is_over
from executor.simulated.vz import config_path
from executor.simulated.world import NodeState, World
from planner.make import make_plan
from planner.parse.config import value
from planner.plan import (
    Command,
    Ended,
    Entry,
    Exited,
    NodeOff,
    Plan,
    Restarted,
    Run,
    Stop,
    Want,
    What,
    Wish,
    Zone,
)
from planner.saga import PAUSES_S, Past, may_go_forward, next_move
from tests.property import strategies
from tests.property.examples import machine_holds
from tests.property.strategies import NEVER, worlds
from tests.property.test_worlds import SAME_DISK, named_by_order

FORCED_THERE: Final = "operator-forces-start-at-destination"
"""Not drawn where the config has its name there before the pivot: docs/saga.md says what that leads to."""
NO_END: Final = 10_000
"""More moves than any controller makes in its life."""


@dataclass(eq=False)
class Controller:
    """What one controller has in its hands while another one is at work, or between two of its moves."""

    past: Past
    entries: list[Entry]
    generation: int
    nodes: dict[str, Any]
    compared: set[str]
    intended: set[Command]
    open: bool = False  # it sleeps in the middle of a move
    heard: NodeOutcome | None = (
        None  # what it will hear of that when it wakes up; None: it has not gone out yet
    )
    gone: bool = False  # it was killed, or could not write its journal
    stop: Stop | None = None
    wished: bool = False  # it was told to stop; nobody else was
    journal_lost: bool = False
    alone: bool = True  # nobody else did anything since it took the run up

    def to_send(self) -> Command | None:
        """What it has written down that it sends, if it fell asleep before it did."""
        began = self.past.open
        if began is None or began.what is What.SETTLE or not self.open or self.heard is not None:
            return None
        return self.past.command(began.what, began.at)


class Stage(Trial):
    """A trial of several controllers, of which one at a time is told to go on."""

    def __init__(self, plan: Plan, world: World) -> None:
        """Before the first move of the first controller."""
        super().__init__(plan, world)
        self.left = 0  # moves that it may make now
        self.armed_for_next: Fault | None = None
        self.struck: Counter[tuple[What, str]] = Counter()  # how often each move was hit by a failure
        self.highest = self.generation
        self.at_work = self.sitting = self._new()
        self.asleep: list[Controller] = []
        self.woken: list[Controller] = []  # to their ends, whatever those are

    def _new(self) -> Controller:
        return Controller(
            self.past, self.entries, self.generation, self.nodes, self.compared, self.view.intended
        )

    @contextmanager
    def seated(self, who: Controller) -> Iterator[None]:
        """The trial's machinery is in the hands of one of them."""
        self.past, self.entries, self.generation = who.past, who.entries, who.generation
        self.nodes, self.compared, self.view.intended = who.nodes, who.compared, who.intended
        self.sitting, self.view.wished = who, who.wished
        try:
            yield
        finally:
            who.past, who.entries, who.generation = self.past, self.entries, self.generation
            who.nodes, who.compared, who.intended = self.nodes, self.compared, self.view.intended
            who.wished = self.view.wished

    # --- what the engine and the nodes call

    def _border(self, move: Run) -> bool:
        """Before every move."""
        self.acting = None
        if self.left == 0:
            return True
        self.outdated = self.generation > 1 and self._outrun(move)
        if self.outdated:
            return True
        self.left -= 1
        self._look()
        self.view.turns_to(move)
        self.acting, self.armed_for_next = self.armed_for_next, None
        self.struck[move.what, move.at] += self.acting is not None
        return False

    def gone(self, outcome: NodeOutcome | None) -> None:  # type: ignore[override] # it never returns either
        """Killed, or asleep in the middle of a move."""
        if self.acting is not None and self.acting.kind.wakes is not None:
            self.sitting.open, self.sitting.heard = True, outcome
        raise ControllerGoneError

    def append(self, entry: Entry) -> None:
        """As the engine writes it down, when it has happened just now."""
        super().append(entry)
        match entry:
            case Ended(What.SETTLE, node, Exited(0)) if f"{HOME}/{RUN}" in self.world.nodes[node].tree:
                # What others sent there is over; all that they can still do is to settle what has gone since.
                for other in self._others():
                    yet = other.to_send()
                    other.intended = {
                        c for c in other.intended if c.node != node or c.argv[0] == "settle" or c == yet
                    }
            case _:
                pass

    def watch(self, command: Command | None) -> None:
        """After every effect; it may be one of a command that another one sent long ago."""
        others = self._others()
        self.view.look()
        if command is not None:
            if not any(command in other.intended for other in others):
                self._check("I7", i7_intent_before_effect(self.view, command))
            for other in others:
                other.alone = False
                self.view.beside = True
        self._look()

    def is_known(self) -> bool:
        """Whether any node knows of the run."""
        return any(f"{HOME}/{RUN}" in node.tree for node in self.world.nodes.values())

    def _others(self) -> list[Controller]:
        return [c for c in (self.at_work, *self.asleep) if c is not self.sitting]

    # --- what a rule does

    def goes_on(self, who: Controller, moves: int) -> None:
        """It makes so many moves, unless it ends before."""
        with self.seated(who):
            self.left = moves
            try:
                stop = self._walks(who)
            except ControllerGoneError:
                who.gone = not who.open
                return
            finally:
                self.acting = None
                self.outdated = False
            if stop is not None:
                self._ends(who, stop)

    def _walks(self, who: Controller) -> Stop | None:
        """Until it ends; None: it has made all the moves that it may make now."""
        if who.open:
            self._wakes_up(who)
        while isinstance(reached := walk(self, self.nodes, until=self._border, pause=self.passes), Run):
            if not self.outdated:
                return None
            if not self._adopts():  # as whoever recovers is told to
                raise ControllerGoneError
        return reached

    def _wakes_up(self, who: Controller) -> None:
        """In the middle of a move."""
        who.open = False
        self._hears(who.heard)

    def _ends(self, who: Controller, stop: Stop) -> None:
        who.stop = stop
        late, self.world.late = self.world.late, ()
        for each in late:  # nobody waits any more, and still it may come
            self.nodes[each.node].inner.land(each)
        self.world.end_what_was_told()
        if who.alone and self.past.superseded is None:
            # What failed at each of its tries may have had nothing to do, and who gave it up cannot know that.
            given_up = max(self.struck.values(), default=0) >= len(PAUSES_S)
            for name, invariant in AT_THE_END:
                if not (given_up and invariant is i8_something_is_left):
                    self._check(name, invariant(self.view, stop))
            once_more = self.past.copy()
            once_more.note(Restarted(forward=False))
            self._check("I10", i10_again_is_nothing(stop, next_move(self.plan, once_more)))

    def is_taken_up(self, *, forward: bool = False, off: bool = False) -> None:
        """Who is at work has ended open, or is gone; it is recovered from its journal."""
        who = self.at_work
        with self.seated(who):
            self.generation = self.highest
            self.restart(forward=forward)
            self.highest = self.generation
            for node in self.world.nodes.values():
                if off and node.dark:
                    self._append(NodeOff(node.name))
        who.gone = who.open = False
        who.stop, who.alone = None, True

    def is_adopted(self) -> bool:
        """Somebody makes the journal anew; False: no node that can be asked knows of the run."""
        sleeper = self.at_work
        if sleeper.stop is None and not sleeper.gone:
            self.asleep.append(sleeper)
            self.at_work = Controller(
                sleeper.past, sleeper.entries, sleeper.generation, dict(sleeper.nodes), set(), set()
            )
        with self.seated(self.at_work):
            adopted = self._adopts()
        if adopted:
            self.at_work.gone = self.at_work.journal_lost = self.at_work.open = False
            self.at_work.stop, self.at_work.alone = None, True
        elif self.at_work is not sleeper:
            self.asleep.remove(sleeper)
            self.at_work = sleeper
        return adopted

    def _adopts(self) -> bool:
        self.generation = self.highest
        adopted = self._adopt()
        self.highest = max(self.highest, self.generation)
        return adopted

    def nodes_there(self) -> tuple[NodeState, ...]:
        """Both."""
        return tuple(self.world.nodes.values())

    def by_hand(self, name: str) -> None:
        """An operator does what a fault of that name does."""
        fault(name).kind.before(self.scene(self.plan.asked.source))
        self.comes_between()

    def comes_between(self) -> None:
        """Something happened that was no command's doing."""
        self.watch(None)


class AnyRun(RuleBasedStateMachine):
    """Whatever comes in between, the invariants hold; and once nothing does any more, one recover ends the run."""

    stage: Stage

    @initialize(world=worlds(forbidden=NEVER, but=frozenset({SAME_DISK}), most=2), moves=st.integers(0, 35))
    def begins(self, world: strategies.World, moves: int) -> None:
        """A run in any world in which the container can be moved; nothing happens before so many moves."""
        plan = make_plan(world.request)
        facts = (world.request.source, world.request.destination)
        ctid = frozenset({plan.asked.ctid})
        self.stage = Stage(plan, World.of(*facts, truth=world.truth or Truth(), writers=ctid))
        event(f"way {plan.way}")
        self.stage.goes_on(self.stage.at_work, moves)

    # --- the controllers

    def works(self) -> bool:
        """Whether somebody is at work."""
        who = self.stage.at_work
        return who.stop is None and not who.gone and not who.open

    def waits(self) -> bool:
        """Whether it waits for a person."""
        who = self.stage.at_work
        return who.gone or who.open or (who.stop is not None and who.stop.outcome in OPEN_ENDS)

    @precondition(works)
    @rule()
    def makes_a_move(self) -> None:
        """One."""
        self.stage.goes_on(self.stage.at_work, 1)

    @precondition(works)
    @rule(moves=st.integers(2, 30))
    def makes_moves(self, moves: int) -> None:
        """Several."""
        self.stage.goes_on(self.stage.at_work, moves)

    def is_named_early(self) -> bool:
        """Whether the config gets its name at the destination before the pivot: what is undumped there needs it."""
        steps = self.stage.plan.steps
        return any(step.id == "name-config" and step.zone is Zone.TRANSFER for step in steps)

    @precondition(works)
    @rule(kind=st.sampled_from(KINDS), effects=st.integers(1, 4))
    def fails(self, kind: Kind, effects: int) -> None:
        """Any failure hits the next command."""
        if kind.name == FORCED_THERE and self.is_named_early():
            return
        self.stage.armed_for_next = Fault(kind, effects if kind.each else kind.effects)
        event(f"fault {kind.name}")
        self.stage.goes_on(self.stage.at_work, 1)
        self.stage.armed_for_next = None
        who = self.stage.at_work
        if who.gone and kind.then is Then.ADOPT:
            who.journal_lost = True

    @precondition(works)
    @rule()
    def is_told_to_stop(self) -> None:
        """Ctrl-C."""
        with self.stage.seated(self.stage.at_work):
            self.stage._append(Wish(Want.UNWIND, "a person asked for it"))

    def has_journal(self) -> bool:
        """Whether it can be recovered from it."""
        return self.waits() and not self.stage.at_work.journal_lost

    @precondition(has_journal)
    @rule()
    def is_recovered(self) -> None:
        """``recover``."""
        self.stage.is_taken_up()

    @precondition(lambda self: self.has_journal() and may_go_forward(self.stage.at_work.past))
    @rule()
    def is_recovered_forward(self) -> None:
        """``recover --forward``; ``--back`` is what ``recover`` does where that may be."""
        self.stage.is_taken_up(forward=True)

    @precondition(lambda self: self.has_journal() and any(n.dark for n in self.stage.nodes_there()))
    @rule()
    def is_recovered_without_a_node(self) -> None:
        """``recover --node-is-off``."""
        self.stage.is_taken_up(off=True)

    @precondition(waits)
    @rule()
    def is_adopted(self) -> None:
        """``recover --adopt``: from what the nodes keep."""
        event(f"adopted: {self.stage.is_adopted()}")

    @precondition(lambda self: self.works() and not self.stage.asleep)
    @rule()
    def falls_asleep_and_is_adopted(self) -> None:
        """Between two of its moves, and somebody thinks that it is gone."""
        event(f"adopted meanwhile: {self.stage.is_adopted()}")

    def sleep(self) -> bool:
        """Whether there are others."""
        return bool(self.stage.asleep)

    @precondition(sleep)
    @rule(data=st.data(), moves=st.integers(1, 30))
    def wakes_up(self, data: st.DataObject, moves: int) -> None:
        """One that slept goes on where it was, beside who took the run over."""
        who = data.draw(st.sampled_from(range(len(self.stage.asleep))))
        self._goes_on_beside(self.stage.asleep[who], moves)

    def _goes_on_beside(self, who: Controller, moves: int) -> None:
        self.stage.goes_on(who, moves)
        event(
            f"woke up {'alone' if who.alone else 'beside'}: {'goes on' if who.stop is None else who.stop.outcome}"
        )
        if who.stop is not None or who.gone:
            self.stage.asleep.remove(who)
            self.stage.woken.append(who)

    # --- nodes and people

    def has_power(self) -> bool:
        """Whether any node has."""
        return any(not node.dark for node in self.stage.nodes_there())

    @precondition(has_power)
    @rule(data=st.data(), keeps_all=st.booleans())
    def reboots(self, data: st.DataObject, *, keeps_all: bool) -> None:
        """A node loses power and comes up again."""
        reboot(self.stage.world, self._one_with_power(data), keeps_all=keeps_all)
        self.stage.comes_between()

    @precondition(has_power)
    @rule(data=st.data())
    def loses_power(self, data: st.DataObject) -> None:
        """And stays without."""
        lose_power(self.stage.world, self._one_with_power(data))
        self.stage.comes_between()

    def _one_with_power(self, data: st.DataObject) -> NodeState:
        names = [node.name for node in self.stage.nodes_there() if not node.dark]
        return self._node(data.draw(st.sampled_from(names)))

    @rule(node=st.sampled_from(("hn1", "hn2")))
    def is_cut_off(self, node: str) -> None:
        """It cannot be reached, and goes on by itself."""
        self._node(node).reachable = False
        self.stage.comes_between()

    def may_have_power(self) -> bool:
        """A node that is off by the operator's word stays so while anyone works by that word."""
        return not any(c.past.off and c.stop is None for c in (self.stage.at_work, *self.stage.asleep))

    @precondition(may_have_power)
    @rule()
    def is_mended(self) -> None:
        """All that stood in the way is not there any more."""
        power_back(self.stage.world)
        self.stage.world.heal()
        self.stage.comes_between()

    @rule(what=st.sampled_from(("starts", "stops")), at=st.sampled_from(("source", "destination")))
    def operator(self, what: str, at: str) -> None:
        """``vzctl start`` or ``stop`` by hand. A fence, and no config, let nobody start it."""
        asked = self.stage.plan.asked
        there = self._node(asked.source if at == "source" else asked.destination)
        ran = asked.ctid in there.running
        config = there.text(config_path(asked.ctid))
        self.stage.by_hand(f"operator-{what}-at-{at}")
        if what == "starts" and (config is None or value(config, "DISABLED") == "yes"):
            assert (asked.ctid in there.running) == ran

    @rule(node=st.sampled_from(("hn1", "hn2")), what=st.sampled_from(("start", "mount", "remove")))
    def will_not(self, node: str, what: str) -> None:
        """Something does not work there, until it is mended; that a mount fails, hooks hide."""
        self._node(node).stubborn |= {what}
        self.stage.comes_between()

    @precondition(lambda self: not named_by_order(self.stage.plan))
    @rule()
    def disks_are_found_anew(self) -> None:
        """At the destination, in another order."""
        self.stage.by_hand("names-move")

    def _node(self, name: str) -> NodeState:
        return self.stage.world.nodes[name]

    # --- always, and at the end

    @invariant()
    def nothing_is_broken(self) -> None:
        """They were asked after every effect."""
        assert not self.stage.violations, self.stage.violations

    def teardown(self) -> None:
        """All is mended; who is at work goes on to its end, one recover ends what is open, and the others wake up."""
        if not hasattr(self, "stage"):
            return
        stage = self.stage
        power_back(stage.world)
        stage.world.heal()
        stage.comes_between()
        if self.works():
            stage.goes_on(stage.at_work, NO_END)
        if self.waits() and self._is_taken_up():
            stage.goes_on(stage.at_work, NO_END)
            self._must_have_ended(stage.at_work)
        for who in list(stage.asleep):
            self._goes_on_beside(who, NO_END)
        # Who waits for a person is recovered, and takes back what is left then.
        over = (
            c.stop is not None and is_over(c.stop, another=c.past.superseded is not None) for c in stage.woken
        )
        ended = self._has_ended(stage.at_work)
        if ended and stage.woken and not stage.asleep and all(over):
            stage._check("I8", i8_who_wakes_leaves_nothing(stage.view))
        assert not stage.violations, stage.violations

    def _has_ended(self, who: Controller) -> bool:
        """And nobody has taken the run over from it, who would tell how it ends."""
        return who.past.superseded is None and who.stop is not None and is_over(who.stop, another=False)

    def _is_taken_up(self) -> bool:
        """As a person would; False: the journal is lost, and no node knows of the run any more."""
        if self.stage.at_work.journal_lost:
            return self.stage.is_adopted()
        self.stage.is_taken_up()
        return True

    def _must_have_ended(self, who: Controller) -> None:
        """Unless another one has ended the run everywhere: then it is told to look there where the container is."""
        if who.gone and who.past.adopted and not self.stage.is_known():
            event("ended by another one")
            return
        assert who.stop is not None
        event(f"ends {who.stop.outcome}")
        if who.alone and who.past.superseded is None:
            self.stage._check("I11", i11_recover_ends_it(self.stage.view, who.stop))


test_whatever_comes_in_between_one_recover_ends_the_run = machine_holds(AnyRun, core=250, fresh=80, steps=25)
