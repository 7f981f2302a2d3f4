"""The saga: the only place that decides what comes next, in normal running, in unwinding and after a crash.

``Past`` folds the journal's entries into what is known; ``next_move(plan, past)`` reads it and answers with a ``Run``
or a ``Stop``. No clock, no network, no memory of its own: the same journal always gives the same move, so a
controller that died is replaced by reading its journal again.

The rules are those of docs/saga.md. In short: unknown counts as happened; nothing goes to a node that has not
settled; unwinding is the list backwards; a blocking compensation that is not proved halts everything; the pivot is
asked, never guessed; after it, only forward.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

from msgspec import structs

from planner.plan import (
    Adopted,
    Began,
    Command,
    Compensation,
    Ended,
    Entry,
    Exited,
    Lost,
    NodeOff,
    NothingToUndo,
    Opened,
    Outcome,
    Plan,
    Probe,
    Restarted,
    Run,
    Step,
    Stop,
    Want,
    What,
    Wish,
    Zone,
)
from planner.verbs import FORGOTTEN, HALF_UP, MEMORY_LOST, NO, NOT_UP, REFUSED, TAKEN_OVER, UNFIT, VERBS, YES

PAUSES_S: Final = (0, 1, 3)
"""Tries of one move before it counts as failed, and the pause before each (retries are paced)."""
PATIENCE_S: Final = (0, 1, 3, 10, 30, 60)
"""The same for settling: a node that cannot be reached may only be slow to come back, and a container may be down."""


NAMING: Final = frozenset({"name-config", "activate-config"})
"""Verbs after which vzctl knows the container at the destination."""

LINES: Final = 4
"""How much of what a failed command said is repeated: the cause often stands before the last line."""
LENGTH: Final = 500
"""And of each line."""


class Pivot(Enum):
    """What is known of the point of no return."""

    AHEAD = "ahead"  # not gone out yet
    ASKED = "asked"  # gone out, not known what came of it
    NEVER = "never"  # proved: it never took effect
    PASSED = "passed"  # it took effect, or must be treated so


class Past:
    """What the journal says, folded. Feed it every entry in order; it holds nothing else."""

    def __init__(self, plan: Plan) -> None:
        """Begin with an empty journal of ``plan``."""
        self._plan = plan
        self._steps = {step.id: step for step in plan.steps}
        self.begun: set[str] = set()  # steps whose do went out: they count as happened
        self.done: set[str] = set()  # steps whose do is known to have succeeded
        self.undone: set[str] = set()  # steps whose undo is known to have succeeded
        self.failures: dict[tuple[What, str], list[Exited | Lost]] = {}  # since the last (re)start
        self.unsettled: set[str] = set()
        self.touched: set[str] = set()  # nodes that any command went to
        self.gone: set[str] = set()  # nodes that knew nothing of the run when it was adopted
        self.off: set[str] = set()  # nodes that are powered off, by the operator's word
        self.open: Began | None = None
        self.unwinding: str | None = None  # why
        self.superseded: str | None = None  # what a node says of the controller that took the run over
        self.told_by = ""  # that node
        self.forgotten = (
            False  # it has the run not on record any more: that another one has ended it is not sure
        )
        self.taken_back = False  # an undo has gone out
        self.taking_over = False  # taken up again, and nothing but settling was done since
        self.taken_up = False  # ever
        self.adopted = False  # its journal was made anew, from what the nodes kept
        self.untold = False  # and they knew no more than that it was
        self.heard: set[str] = set()  # nodes that any command but settling went to since
        self.refused = False
        self.memory_lost: str | None = None  # what a node said of it
        self.pivot = Pivot.AHEAD

    def copy(self) -> Past:
        """An independent copy: what is noted in one is not known to the other."""
        twin = Past.__new__(Past)
        twin.__dict__.update(self.__dict__)
        twin.begun, twin.done, twin.undone = set(self.begun), set(self.done), set(self.undone)
        twin.unsettled, twin.touched, twin.off = set(self.unsettled), set(self.touched), set(self.off)
        twin.heard = set(self.heard)
        twin.failures = {key: list(outcomes) for key, outcomes in self.failures.items()}
        return twin

    def note(self, entry: Entry) -> None:
        """Take one more entry of the journal into account.

        Raises:
            ValueError: the entry cannot follow those before it (a journal of another plan, or a damaged one).
        """
        match entry:
            case Opened():
                pass
            case Began(what, at):
                self._began(entry, what, at)
            case Ended(what, at, outcome):
                if self.open is None or (self.open.what, self.open.at) != (what, at):
                    raise ValueError(f"the journal ends {what} {at}, which it had not begun")
                self.open = None
                self._heard(what, at, outcome)
            case Wish(want, because):
                if self.pivot is Pivot.AHEAD and self.unwinding is None:
                    self.unwinding = because
                    self.refused = want is Want.REFUSE
            case Restarted(forward):
                self._restarted(forward=forward)
            case Adopted(node, begun, undone):
                self._adopted(node, begun, undone)
                self.gone = set(entry.gone)
                retired = (s for s in self._plan.steps if s.zone is Zone.RETIRE and not s.forgets)
                self.done |= {step.id for step in retired if step.do.node in entry.gone}
            case NodeOff(node):
                self._switched_off(node)

    def _began(self, entry: Began, what: What, at: str) -> None:
        if self.open is not None:
            raise ValueError(f"the journal begins {what} {at} while {self.open.what} {self.open.at} is open")
        if at not in (self._plan.nodes if what is What.SETTLE else self._steps):
            raise ValueError(f"the journal speaks of {what} {at}, which its plan does not know")
        self.open = entry
        self.taking_over = self.taking_over and what is What.SETTLE
        self.touched.add(at if what is What.SETTLE else self.command(what, at).node)
        if what is not What.SETTLE:
            self.heard.add(self.command(what, at).node)  # it was asked what it had been given, before
        if what is What.DO:
            self.begun.add(at)
            if self._steps[at].zone is Zone.PIVOT:
                self.pivot = Pivot.ASKED
        elif what is What.UNDO:
            self.taken_back = True
            self.unwinding = self.unwinding or "the run could not go on"  # from here on it cannot be told to

    def _heard(self, what: What, at: str, outcome: Exited | Lost) -> None:
        if isinstance(outcome, Exited) and MEMORY_LOST in outcome.err:
            told = next(line for line in outcome.err.splitlines() if MEMORY_LOST in line)
            self.memory_lost = f"{self.command(what, at).node}: {told}"
        if isinstance(outcome, Exited) and outcome.status in (TAKEN_OVER, FORGOTTEN):
            node = at if what is What.SETTLE else self.command(what, at).node
            self.superseded, self.told_by = f"{node}: {words(outcome)}", node
            self.forgotten = outcome.status == FORGOTTEN
        else:
            self._ended(what, at, outcome)

    def _ended(self, what: What, at: str, outcome: Exited | Lost) -> None:
        good = isinstance(outcome, Exited) and outcome.status == 0
        if not good:
            self._may_go_on(what, at, outcome)
        if (
            not good or what is What.PROBE
        ):  # a probe answers by 10 and 11 only; even a 0 of its own counts as a try
            self.failures.setdefault((what, at), []).append(outcome)
        match what:
            case What.DO if good:
                self.done.add(at)
                if self._steps[at].zone is Zone.PIVOT:
                    self.pivot = Pivot.PASSED
            case What.DO if self.pivot is Pivot.AHEAD:
                undo = self._steps[at].undo
                never_ours = isinstance(undo, Compensation) and undo.forgets
                self.refused = never_ours or (isinstance(outcome, Exited) and outcome.status == UNFIT)
                self.unwinding = f"{self._steps[at].title} on {self._steps[at].do.node}: {words(outcome)}"
            case What.UNDO if good:
                self.undone.add(at)
            case What.PROBE if isinstance(outcome, Exited) and outcome.status == YES:
                self.pivot = Pivot.PASSED
                self.done.add(at)
            case What.PROBE if isinstance(outcome, Exited) and outcome.status == NO:
                self.pivot = Pivot.NEVER
                failed = self.failures.get((What.DO, at), [Lost("the controller stopped meanwhile")])[-1]
                self.unwinding = f"{self._steps[at].title} on {self._steps[at].do.node}: {words(failed)}"
            case What.SETTLE if good:
                self.unsettled.discard(at)
                self.failures.pop((what, at), None)  # it is there again: patience begins anew
            case _:
                pass

    def _may_go_on(self, what: What, at: str, outcome: Exited | Lost) -> None:
        """Where something of a command that failed may still be at work."""
        if isinstance(outcome, Lost) or outcome.status == REFUSED:
            # Refused: something of this run is still at work there, or the node has booted since.
            self.unsettled.add(at if what is What.SETTLE else self.command(what, at).node)
        if what is What.DO:
            self.unsettled |= receivers(self.command(what, at))

    def _switched_off(self, node: str) -> None:
        if node not in self._plan.nodes:
            raise ValueError(f"the journal speaks of {node}, which its plan does not know")
        self.off.add(node)

    def _adopted(self, node: str, begun: tuple[str, ...], undone: tuple[str, ...]) -> None:
        """Nobody knows how far it went: all that may have happened counts as happened."""
        strange = [step for step in (*begun, *undone) if step not in self._steps]
        if strange:
            raise ValueError(f"the journal speaks of {strange[0]}, which its plan does not know")
        self.begun, self.undone, self.touched = set(begun), set(undone), set(self._plan.nodes)
        self.adopted, self.heard = True, set()
        self.unwinding = f"its journal was lost; what is known of it comes from {node}"
        undos = [self._steps[step].undo for step in begun]
        if all(isinstance(undo, Compensation) and undo.forgets for undo in undos):
            self.refused = self.untold = True
            self.unwinding += (
                ", and that is nothing but that it was taken in hand: it had hardly begun, or had ended and was "
                "being tidied up; see where the container is"
            )
        pivot = self._plan.steps[self._plan.pivot].id
        if pivot in begun:
            self.pivot = Pivot.NEVER if pivot in undone else Pivot.ASKED
        self._restarted(forward=False)

    def _restarted(self, *, forward: bool) -> None:
        """Whoever was at work may only be asleep: every node it spoke to must settle, every count begins anew."""
        self.open = self.superseded = None
        self.forgotten = False
        self.taking_over = self.taken_up = True
        self.off = set()
        self.unsettled |= self.touched
        # What went wrong on the way there is still to be told; how often something was tried since is not.
        retire = {step.id for step in self._plan.steps if step.zone is Zone.RETIRE}
        self.failures = {
            key: outcomes
            for key, outcomes in self.failures.items()
            if key[0] is What.DO and key[1] not in retire
        }
        if self.pivot is Pivot.AHEAD and forward and may_go_forward(self):
            self.unwinding = None
            self._look_again()
        elif self.pivot is Pivot.AHEAD and self.unwinding is None:
            self.unwinding = "the controller stopped before the pivot"

    def _look_again(self) -> None:
        """Whoever goes on later must know what the guards prove: the freeze begins anew, unless it froze something.

        Then it must know that it still rules: a lock that was lost meanwhile let others start the container. What only
        looks, or writes memory down, freezes nothing.
        """
        freeze = [step for step in self._plan.steps if step.zone is Zone.FREEZE]
        guards = (n for n, step in enumerate(freeze) if isinstance(step.undo, NothingToUndo))
        freezing = {step.id for step in freeze[next(guards, 0) :] if isinstance(step.undo, Compensation)}
        froze = bool(freezing & self.done)
        self.done -= {step.id for step in freeze if not froze or step.do.argv[0] == "hold-lock"}

    def command(self, what: What, at: str) -> Command:
        """What goes out for a move.

        Raises:
            ValueError: the plan has no such move.
        """
        step = self._steps[at]
        match what:
            case What.DO:
                return step.do
            case What.UNDO if isinstance(step.undo, Compensation):
                return step.undo.do
            case What.PROBE if step.probe is not None:
                return step.probe.do
        raise ValueError(f"the journal speaks of {what} {at}, which its plan does not have")

    def tries(self, what: What, at: str) -> int:
        """How often this move has failed since the last (re)start."""
        return len(self.failures.get((what, at), ()))


def next_move(plan: Plan, past: Past) -> Run | Stop:
    """What to do now, given what the journal of ``plan`` says."""
    move = _next(plan, past)
    if isinstance(move, Stop) and past.memory_lost is not None:
        return structs.replace(move, because="\n".join(filter(None, (move.because, past.memory_lost))))
    return move


def _next(plan: Plan, past: Past) -> Run | Stop:
    if past.superseded is not None:
        return _superseded(plan, past)
    if past.taking_over:
        # Whoever was at work may only be asleep: first it must be kept from all nodes that can be reached.
        for node in plan.nodes:
            if (
                node in past.unsettled - past.off
                and _knows(plan, past, node)
                and not past.tries(What.SETTLE, node)
            ):
                return Run(What.SETTLE, node, plan.settle_on(node), 0)
    if past.pivot is Pivot.PASSED:
        return _retire(plan, past)
    if past.pivot is Pivot.ASKED:
        return _ask(plan, past)
    if past.unwinding is not None:
        return _unwind(plan, past)
    step = next(step for step in plan.steps if step.id not in past.done)
    # What was unknown when the run was taken up again is done once more: a verb ensures, whatever it finds.
    move = _settled(plan, past, Run(What.DO, step.id, step.do, 0))
    return move if move is not None else _unwind(plan, past)


def _superseded(plan: Plan, past: Past) -> Run | Stop:
    """Another controller has the run, or has ended it: nothing is done any more but what only this one can know of."""
    see = "with 'vzplan facts' where it is" if past.forgotten else "there how it ends"
    because = f"{past.superseded}; this one does nothing any more, see {see}"
    step = _owned_too_late(plan, past)
    if step is None:
        return Stop(Outcome.IN_DOUBT, because, ())
    undo, tries = step.undo, past.tries(What.UNDO, step.id)
    assert isinstance(undo, Compensation)  # only what has one is taken back
    move = None
    if tries < len(PAUSES_S):
        move = _settled(plan, past, Run(What.UNDO, step.id, undo.do, PAUSES_S[tries]))
    if move is not None:
        return move
    return Stop(Outcome.IN_DOUBT, f"{because}; its record on {undo.do.node} may be left", (undo.do,))


def _owned_too_late(plan: Plan, past: Past) -> Step | None:
    """By what this controller took a node in hand that knew nothing of the run; who took it over cannot know of that.

    Only where nothing else was begun: else who took it over knew that node, and nothing but its own word counts there.
    """
    for step in plan.steps:
        undo, node = step.undo, step.do.node
        if not isinstance(undo, Compensation) or not undo.forgets or node == past.told_by:
            continue
        begun = {s.id for s in plan.steps if s.do.node == node} & past.begun
        if begun == {step.id} and step.id not in past.undone:
            return step
    return None


def may_go_forward(past: Past) -> bool:
    """Whether a run that is taken up again may be told to go on: nothing of it has been taken back yet.

    Not if it was to be refused, nor if its journal was lost: then it is not known what was done, only what was begun.
    """
    if past.pivot is Pivot.AHEAD and past.unwinding is not None:
        return not (past.taken_back or past.refused or past.adopted)
    return past.pivot is not Pivot.NEVER


def may_go_back(past: Past) -> bool:
    """Whether it may be told to take everything back: the pivot has not gone out, or never took effect."""
    return past.pivot in (Pivot.AHEAD, Pivot.NEVER)


def _knows(plan: Plan, past: Past, node: str) -> bool:
    """Whether ``node`` may still know of the run; where it is forgotten nobody can do anything for it any more."""
    forgotten = past.gone | {s.do.node for s in plan.steps if s.forgets and s.id in past.done}
    held = {
        s.do.node
        for s in plan.steps
        if isinstance(s.undo, Compensation)
        and s.undo.forgets
        and s.id in past.begun
        and s.id not in past.undone
    }
    return node in held - forgotten


def _settled(plan: Plan, past: Past, run: Run) -> Run | None:
    """``run`` if its node has settled, else the settling; None if the node cannot be settled."""
    node = run.command.node
    if node in past.off:
        return None
    return _settling(plan, past, node) if node in past.unsettled else run


def _settling(plan: Plan, past: Past, node: str) -> Run | None:
    """One more try to settle ``node``; None: it has been tried often enough."""
    tries = past.tries(What.SETTLE, node)
    return (
        Run(What.SETTLE, node, plan.settle_on(node), PATIENCE_S[tries]) if tries < len(PATIENCE_S) else None
    )


def _not_heard(plan: Plan, past: Past) -> str | None:
    """A node without whose word nothing may be started or mounted by who took the run up: it may know more.

    A journal that was cut, or is an old copy, does not know how far the run went. Before the freeze the source alone
    tells that; later the destination may be ahead of all that the source has seen.
    """
    if not past.taken_up:
        return None
    # Who adopts a run knows from the logs how far it went; the old controller may have gone on since they were read.
    never_heard = past.off - past.heard if past.adopted else set()
    if any(step.id in past.begun and step.zone is not Zone.PREPARE for step in plan.steps):
        silent = (past.unsettled - past.off) | never_heard
    else:
        silent = never_heard & {plan.asked.source}
    return next((n for n in plan.nodes if n in silent and _knows(plan, past, n)), None)


def _unheard(plan: Plan, past: Past, node: str) -> Stop:
    silence = "is off" if node in past.off else "cannot be settled"
    why = past.unwinding or "the run could not go on"
    because = f"{why}; {node} {silence}, and only it can tell whether this journal knows all"
    return Stop(Outcome.IN_DOUBT, because, _remaining(plan, past))


def _remaining(plan: Plan, past: Past) -> tuple[Command, ...]:
    """What is still to be taken back."""
    return tuple(
        s.undo.do
        for s in reversed(plan.steps)
        if s.id in past.begun and s.id not in past.undone and isinstance(s.undo, Compensation)
    )


def _ask(plan: Plan, past: Past) -> Run | Stop:
    """The pivot went out and its success was not heard: settle its node, then ask."""
    step = plan.steps[plan.pivot]
    tries = past.tries(What.PROBE, step.id)
    assert isinstance(step.probe, Probe)  # a rule of Plan's constructor
    move = None
    if tries < len(PAUSES_S):
        move = _settled(plan, past, Run(What.PROBE, step.id, step.probe.do, PAUSES_S[tries]))
    if move is None:
        node = step.do.node
        off = f"; that {node} is off does not tell" if node in past.off else ""
        return Stop(
            Outcome.IN_DOUBT,
            f"not known whether '{step.title}' took effect on {node}{off}; nothing is started anywhere until it is",
            (step.probe.do,),
        )
    return move


def _unwind(plan: Plan, past: Past) -> Run | Stop:
    """The list backwards, from the last step that may have happened."""
    left: list[Command] = []
    down, why = False, past.unwinding or "the run could not go on"
    for step in reversed(plan.steps):
        undo = step.undo
        if step.id not in past.begun or step.id in past.undone or not isinstance(undo, Compensation):
            continue
        if undo.forgets and any(command.node == undo.do.node for command in left):
            left.append(undo.do)  # a later try needs to know what this run made there
            continue
        if undo.do.node in past.off and step.zone is not Zone.PIVOT:
            left.append(
                undo.do
            )  # nothing is held or runs there; what its disk says starts and mounts nothing
            down = down or (undo.blocking and undo.do.node == plan.asked.source)
            continue
        move = _undoing(plan, past, step, undo)
        if move is not None:
            return move
        left.append(undo.do)
    if down:
        silent = _not_heard(plan, past)
        if silent is not None:  # who was asleep meanwhile may have gone on there
            return _unheard(plan, past, silent)
        because = f"{why}; the data is safe on {plan.asked.source}, which is off, and released elsewhere"
        return Stop(Outcome.DOWN, because, tuple(left))
    if left and past.untold:
        return Stop(Outcome.IN_DOUBT, why, tuple(left))
    if left:
        away = {command.node for command in left} & past.off
        off = f" ({said_to_be_off(away)})" if away else ""
        because = f"{why}; everything is as before, but some of it could not be cleaned up{off}"
        return Stop(Outcome.UNWOUND_NOT_CLEANED, because, tuple(left))
    outcome = Outcome.REFUSED if past.refused else Outcome.UNWOUND
    return Stop(outcome, why, ())


def _undoing(plan: Plan, past: Past, step: Step, undo: Compensation) -> Run | Stop | None:
    """One more try of an undo, or why nothing behind it may be taken back; None: it is left."""
    if undo.blocking and (silent := _not_heard(plan, past)) is not None:
        move = _settling(plan, past, silent) if silent not in past.off else None
        return move or _unheard(plan, past, silent)
    tries = past.tries(What.UNDO, step.id)
    move = None
    if tries < len(PAUSES_S):
        move = _settled(plan, past, Run(What.UNDO, step.id, undo.do, PAUSES_S[tries]))
    return move if move is not None or not undo.blocking else _halted(plan, past, step, undo)


def _halted(plan: Plan, past: Past, step: Step, undo: Compensation) -> Stop:
    """A blocking compensation is not proved: nothing behind it may be taken back."""
    remaining = _remaining(plan, past)
    outcomes = past.failures.get((What.UNDO, step.id), [])
    node, cause = undo.do.node, past.unwinding or "the run could not go on"
    back = f"'{undo.title}' (of '{step.title}')"
    if node not in past.unsettled and outcomes and _does_not_run(outcomes[-1]) and node == plan.asked.source:
        safe = f"{cause}; the data is safe on {node}, released elsewhere"
        because = f"{safe}, but {back} did not work: {words(outcomes[-1])}"
        return Stop(Outcome.DOWN, because, remaining)
    silent = f"{node} is off" if node in past.off else f"{node} cannot be settled"
    why = words(outcomes[-1]) if outcomes else silent
    return Stop(Outcome.IN_DOUBT, f"{cause}; then {back} on {node}: {why}", remaining)


def _retire(plan: Plan, past: Past) -> Run | Stop:
    """After the pivot: what makes sure of the destination, then all the rest, each until it works."""
    failed: list[Step] = []
    for ensures in (True, False):
        for step in plan.steps:
            if step.zone is not Zone.RETIRE or step.id in past.done or step.ensures is not ensures:
                continue
            # What the nodes know of the run is all there is if this journal is lost; and what still holds the areas
            # at the source can be ended as long as its config is there.
            if (step.forgets and failed) or any(s.frees and s.do.node == step.do.node for s in failed):
                failed.append(step)
                continue
            tries = past.tries(What.DO, step.id)
            if tries < len(PAUSES_S):
                move = _settled(plan, past, Run(What.DO, step.id, step.do, PAUSES_S[tries]))
                if move is not None:
                    return move
            failed.append(step)
            # The config has not got its name: whatever else may have it is not to be started.
            if step.do.argv[0] in NAMING and _proved_down(past, step):
                break
        if failed and ensures:
            return _not_ensured(plan, past, failed)
    if failed:
        return Stop(Outcome.MIGRATED_NOT_CLEANED, _why(past, failed[0]), tuple(step.do for step in failed))
    destination = plan.steps[plan.pivot].do.node
    return Stop(Outcome.MIGRATED, f"container {plan.asked.ctid} is on {destination}", ())


def _not_ensured(plan: Plan, past: Past, failed: list[Step]) -> Stop:
    """The destination is not made sure of: nothing of the source is touched."""
    left = tuple(s.do for s in plan.steps if s.zone is Zone.RETIRE and s.id not in past.done)
    last = failed[-1]
    if last.do.node in past.off:
        because = f"it has moved to {last.do.node}, which is off; its data is safe there"
        return Stop(Outcome.DOWN, because, left)
    if last.do.node in past.unsettled:
        return Stop(Outcome.IN_DOUBT, _why(past, last), left)
    if _proved_down(past, last):
        return Stop(Outcome.DOWN, "; ".join(dict.fromkeys(_why(past, step) for step in failed)), left)
    first = next(step for step in plan.steps if step.ensures)
    if (
        last is first
    ):  # it is there, and is as it was; only that it may start again by itself is not made sure of
        return Stop(Outcome.MIGRATED_NOT_CLEANED, _why(past, first), left)
    return Stop(Outcome.IN_DOUBT, _why(past, last), left)


def _proved_down(past: Past, step: Step) -> bool:
    """Whether the last try of a step has proved that the container does not run there."""
    outcomes = past.failures.get((What.DO, step.id), [])
    return bool(outcomes) and _does_not_run(outcomes[-1])


def _why(past: Past, step: Step) -> str:
    outcomes = past.failures.get((What.DO, step.id), [])
    node = step.do.node
    silent = f"{node} is off" if node in past.off else f"{node} cannot be settled"
    return f"'{step.title}' on {node}: {words(outcomes[-1]) if outcomes else silent}"


def receivers(command: Command) -> set[str]:
    """Nodes at which something of ``command`` may go on when it has failed: rsync's other end."""
    verb, *operands = command.argv
    return {operands[VERBS[verb].operands.index("peer")]} if verb == "copy-tree" else set()


def _does_not_run(outcome: Exited | Lost) -> bool:
    """Proved by the node itself; it may still be mounted there."""
    return isinstance(outcome, Exited) and outcome.status in (NOT_UP, HALF_UP)


def said_to_be_off(names: Iterable[str]) -> str:
    """Nodes that are off by the operator's word, in a person's words; at least one."""
    found = sorted(names)
    return f"{' and '.join(found)} {'is' if len(found) == 1 else 'are'} off, by the operator's word"


def words(outcome: Exited | Lost) -> str:
    """An outcome in a person's words: what the command said last, or why nothing was heard."""
    if isinstance(outcome, Lost):
        return f"no answer ({outcome.reason})"
    said = [line.strip()[:LENGTH] for line in (outcome.err or outcome.out).splitlines() if line.strip()]
    return "; ".join(said[-LINES:]) if said else f"exit status {outcome.status}"
