"""A simulated node behind the same protocol as a real one, with the wrapper's rules around every command."""

from __future__ import annotations

from collections.abc import Callable

from executor.node import NodeOutcome
from executor.simulated.faults import Answer, Fault, Scene
from executor.simulated.tree import Dir, File, Thing
from executor.simulated.twins import TWINS
from executor.simulated.twins.here import End, Here, Twin
from executor.simulated.twins.run import make_folder
from executor.simulated.twins.storage import copy_on
from executor.simulated.world import Late, World
from planner.adopt import line
from planner.plan import Command, Exited, Lost
from planner.verbs import FORGOTTEN, REFUSED, TAKEN_OVER, VERBS


def _unwatched(command: Command | None) -> None:
    pass


class SimulatedNode:
    """One session of one run with one node of ``world``.

    ``watch`` is called after every single effect, with the command that it is of (None: it is of a fault).
    ``armed`` gives the fault for the next command, if there is one; ``scene`` says what its actions may touch.
    """

    def __init__(
        self,
        world: World,
        name: str,
        run: str = "run",
        generation: int = 1,
        *,
        watch: Callable[[Command | None], None] = _unwatched,
        armed: Callable[[], Fault | None] | None = None,
        scene: Callable[[str], Scene] | None = None,
    ) -> None:
        """Open the session; a later reboot of the node breaks its connection."""
        self.world, self.name, self.run_id, self.generation = world, name, run, generation
        self.watch, self.armed, self.scene = watch, armed, scene
        self.effects = 0  # of the last command
        self.known_boots = world.nodes[name].boots  # of the node, when it last answered

    def run(self, command: Command) -> NodeOutcome:
        """Run one verb on the node, with whatever fault is armed for it."""
        if command.node != self.name:
            raise ValueError(f"a command for {command.node} came to {self.name}")
        self._land_what_is_late()
        for node in self.world.nodes.values():
            node.comes_nearer()
        self.world.tick()
        fault = self.armed() if self.armed is not None else None
        if fault is None or self.scene is None:
            return self._send(command, None)
        scene = self.scene(self.name)._replace(makes=_would_make(command))
        fault.kind.before(scene)
        self.watch(None)
        outcome: NodeOutcome
        if fault.kind.goes_on:
            outcome = self._send(command, fault.effects)
            self._leave_behind(command, fault.kind.late)
        elif fault.kind.late:
            late = Late(self.name, command, self.run_id, self.generation, fault.kind.late)
            outcome = Lost("timed out")
            if self._connected():
                self._set_out(late)
        else:
            outcome = self._send(command, fault.effects)
        self.world.tick()  # what was started has been at work by the time that the next thing goes wrong
        fault.kind.after(scene)
        self.watch(None)
        if fault.kind.answer is Answer.LOST:
            return Lost("no trailer came")
        if fault.kind.answer is Answer.FAILS and isinstance(outcome, Exited):
            return Exited(1, "", "it was made to fail")
        return outcome

    def _leave_behind(self, command: Command, after: int) -> None:
        """A copy that is under way goes on at its other end, which holds the place that it writes to."""
        if command.argv[0] == "copy-tree" and self.effects:
            peer = self.world.nodes[command.argv[5]]
            peer.busy |= {command.argv[6]}
            self.world.late += (Late(self.name, command, self.run_id, self.generation, after, goes_on=True),)

    def _set_out(self, late: Late) -> None:
        """It passes the wrapper now, which writes it down, and does its work later."""
        here = self._here(late.command)
        verb = late.command.argv[0]
        if refusal(here, verb) is None:
            self.world.late += (late,)
            if verb == "own" and here.folder not in here.node.tree:
                _forget_log(here)
                make_folder(here)
            if verb != "settle" and here.folder in here.node.tree:
                self.world.logged += ((self.name, line(late.command)),)

    def is_broken(self) -> bool:
        """Whether the node has booted since it last answered."""
        return self.known_boots != self.world.nodes[self.name].boots

    def _connected(self) -> bool:
        """Whether the session's connection stands; a broken one is made anew for the next command."""
        node = self.world.nodes[self.name]
        known, self.known_boots = self.known_boots, node.boots
        return node.reachable and not node.dark and known == node.boots

    def _send(self, command: Command, effects: int | None) -> NodeOutcome:
        self.effects = 0
        if not self._connected():
            return Lost("the connection is broken")
        end = self._carry_out(command, wrapped(self._here(command), command), effects)
        return (
            Exited(end.status, "", end.said) if end is not None else Exited(1, "", "it was stopped half way")
        )

    def _here(self, command: Command) -> Here:
        return Here(self.world, self.world.nodes[command.node], self.run_id, self.generation, command.stdin)

    def _carry_out(self, command: Command, twin: Twin, effects: int | None) -> End | None:
        """Let ``effects`` effects happen (None: all). None: it was stopped."""
        if effects == 0:
            return None
        while True:
            try:
                next(twin)
            except StopIteration as stop:
                end: End = stop.value
                return end
            self.effects += 1
            self.watch(command)
            if self.effects == effects:
                return None

    def _land_what_is_late(self) -> None:
        """One command more has gone out anywhere: effects whose time has come happen now."""
        if not self.world.late:
            return
        waiting = [late._replace(after=late.after - 1) for late in self.world.late]
        self.world.late = tuple(late for late in waiting if late.after > 0)
        for late in waiting:
            if late.after <= 0:
                self.land(late)

    def land(self, late: Late) -> None:
        """Carry out what nobody waits for any more; it had passed the wrapper long ago."""
        node = self.world.nodes[late.node]
        here = Here(self.world, node, late.run, late.generation, late.command.stdin)
        verb, *operands = late.command.argv
        if late.goes_on:
            private, peer, place = late.command.argv[2], late.command.argv[5], late.command.argv[6]
            self._carry_out(late.command, copy_on(here, private, peer, place), None)
            self.world.nodes[peer].busy -= {place}
        elif here.folder in node.tree or verb == "own":
            self._carry_out(late.command, TWINS[verb](here, *operands), None)


def _would_make(command: Command) -> tuple[str, Thing] | None:
    """What another could make first."""
    match command.argv:
        case ["make-file", path, _]:
            return path, File("another's\n", 0o644)
        case ["make-dir", path, _]:
            return path, Dir(0o700)
        case _:
            return None


def wrapped(here: Here, command: Command) -> Twin:
    """A verb inside the wrapper: nothing without the run's folder, its lock, this generation and this boot.

    Raises:
        ValueError: a verb that the table does not have, or a wrong number of operands.
    """
    verb, *operands = command.argv
    if verb not in VERBS or len(operands) != len(VERBS[verb].operands):
        raise ValueError(f"no node understands {command.argv!r}")
    refused = refusal(here, verb)
    if refused is not None:
        return refused
    if here.folder not in here.node.tree:  # of a new folder the log is new too
        _forget_log(here)
    end: End
    if verb == "settle":
        end = yield from TWINS[verb](here)
        if here.folder in here.node.tree:
            here.world.logged += ((here.node.name, f"settled {here.generation}"),)
        return end
    here.world.logged += ((here.node.name, line(command)),)
    end = yield from TWINS[verb](here, *operands)
    if here.folder in here.node.tree:
        here.world.logged += ((here.node.name, f"ended {verb} {end.status}"),)
    else:  # the log went with it
        _forget_log(here)
    return end


def _forget_log(here: Here) -> None:
    here.world.logged = tuple(said for said in here.world.logged if said[0] != here.node.name)


def refusal(here: Here, verb: str) -> End | None:
    """How the wrapper ends instead of the verb, or None."""
    if here.folder not in here.node.tree:
        may = verb in ("own", "disown", "settle")
        return None if may else End(FORGOTTEN, "this run is not on record here any more")
    stored = int(here.note("generation") or 0)
    if verb == "settle":
        return (
            End(TAKEN_OVER, f"generation {stored} has taken this run over")
            if stored > here.generation
            else None
        )
    if stored != here.generation:
        return End(REFUSED, f"this session is generation {here.generation}, the run here is at {stored}")
    if here.note("boot") != here.node.boot_id:
        return End(REFUSED, "the node has booted since")
    if lock_is_taken(here):
        return End(REFUSED, "a command of this run is still at work here")
    if verb not in ("own", "disown") and here.note("record") is None:
        here.node.drop(here.folder)
        return End(FORGOTTEN, "this run is not on record here any more")
    return None


def lock_is_taken(here: Here) -> bool:
    """Whether an earlier command of this run, given up by its controller, still holds the run's lock here."""
    return any(late.node == here.node.name and late.run == here.run for late in here.world.late)
