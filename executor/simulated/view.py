"""What the invariants look at: a world, what it was before the run, and what the journal has said since.

Never at twins or at the saga.
"""

from __future__ import annotations

from functools import reduce
from itertools import compress
from operator import is_not, or_
from typing import Final

from executor.simulated import vz
from executor.simulated.tree import EMPTY, Data, File, Tree
from executor.simulated.world import FILES, NodeState, World
from planner.model import CONF_DIR, State
from planner.parse.config import value
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
    Plan,
    Restarted,
    Run,
    Want,
    What,
    Wish,
)
from planner.verbs import FORGOTTEN, HALF_UP, NOT_UP, TAKEN_OVER

LUNS, LEDGER, LOSSES, RAN, OTHERS = WORLD = (1, 2, 4, 8, 16)
TREE, DISK, MOUNTS, RUNNING, STUBBORN, HUSHED = NODE = (32, 64, 128, 256, 512, 1024)
"""What an invariant may look at: of the world, and of its nodes."""

EVERYTHING: Final = -1


class View:
    """What the invariants may look at, and what they remember so as not to look twice at what did not change."""

    def __init__(self, plan: Plan, world: World) -> None:
        """Begin with the world as it was before the run."""
        self.plan, self.start, self.world = plan, world.fork(), world
        self.nodes = tuple(world.nodes.values())
        self.ctid = plan.asked.ctid
        self.source, self.destination = plan.asked.source, plan.asked.destination
        self.was = self.start.nodes[self.source]
        config = self.was.text(vz.config_path(self.ctid)) or ""
        self.areas = {name: vz.areas(self.ctid, config, n.given.vz_conf) for name, n in world.nodes.items()}
        self.commands, self.pivot = commands_of(plan), plan.steps[plan.pivot].id
        self.intended: set[Command] = set()  # begun, and not known to be over
        self.others: frozenset[Command] = (
            frozenset()
        )  # what another controller has sent that may be on its way
        self.adopted = False  # its journal was made anew, and knows nothing of what nodes had said
        self.beside = False  # another controller was at work meanwhile
        self.pivoted = False  # the pivot has begun
        self.wished = False  # it was told to go back, before that
        self.taken_over = False  # it has heard that another one is at work, or was
        self.untold = False  # no node knows more of the run than that it was
        self.noted = False  # the former state is known to be on record
        # How often each node could not settle of late, since something was in the way.
        self.silent: dict[str, int] = {}
        self.unanswered: frozenset[str] = frozenset()  # nodes where a settle may still come to take effect
        self.proved: dict[str, int] = {}  # node -> its boot count when the state was last made sure of there
        self.hindered = False  # something was in the way of the last command, if only for that long
        self.held: frozenset[str] = (
            frozenset()
        )  # nodes where something could not be unmounted while it was out
        self.unsure = False  # its answer was no proof that the container does not run
        # Nodes of which the last command that did more than settle, or a settle after it, met a failure, or a
        # connection that was broken already.
        self.struck: frozenset[str] = frozenset()
        self.cut_off: frozenset[str] = frozenset()  # nodes that could not be reached while it was out
        self.boots = 0  # of the node that the last command went to, when it went
        self.last = self.source  # that node
        self.off: frozenset[str] = frozenset()  # nodes that were ever said to be off
        self.passed_over: frozenset[str] = frozenset()  # and those of the present controller
        own_paths = self._own_paths()
        self.first = state_of(self.was, self.ctid)
        self.dump, self.dump_there = self._dump(self.source), self._dump(self.destination)
        moves = own_paths | ({self.dump} if self.first == "suspended" else set())
        self.own = frozenset((path, self.was.tree[path]) for path in own_paths)
        self.stale = {name: _stale_lock(n, self.ctid) for name, n in self.start.nodes.items()}
        self.bystanders = {
            name: frozenset(
                (p, t)
                for p, t in node.tree.items()
                if p not in {self.private(name) + FILES, self.stale[name]}
                and (name != self.source or p not in moves)
            )
            for name, node in self.start.nodes.items()
        }
        self.roots = {name: _roots(node) for name, node in self.start.nodes.items()}
        self.lun = self.was.lun_at(self.private(self.source)) or _lun_of(
            self.was, config, self.areas[self.source]
        )
        self.bystanding_luns = {
            name: lun.data for name, lun in self.start.luns.items() if name != self.lun and lun.data != EMPTY
        }
        self.grounds = WORLD + NODE * len(self.nodes)
        self.seen: tuple[object, ...] = ()  # the grounds of the invariants, when they were asked last

    def of(self, world: World) -> View:
        """The same memory, looking at a fork."""
        twin = View.__new__(View)
        twin.__dict__.update(self.__dict__)
        twin.world, twin.nodes = world, tuple(world.nodes.values())
        twin.intended, twin.proved, twin.seen = set(self.intended), dict(self.proved), ()
        twin.silent = dict(self.silent)
        return twin

    def look(self) -> None:
        """While the last command is out."""
        away, held = self.cut_off_now(), self.held_now()
        self.hindered = self.hindered or bool(away or held) or any(n.stubborn for n in self.nodes)
        self.cut_off |= away
        self.held |= held

    def in_the_way(self) -> bool:
        """Whether something keeps a node from doing its part."""
        return any(n.busy or n.stubborn for n in self.nodes) or bool(self.cut_off_now())

    def held_now(self) -> frozenset[str]:
        """Nodes where something cannot be unmounted."""
        return frozenset(n.name for n in self.nodes if n.busy)

    def cut_off_now(self) -> frozenset[str]:
        """Nodes that cannot be reached; also the one that has booted since the last command went there."""
        away = frozenset(n.name for n in self.nodes if not n.reachable or n.dark)
        return away | {self.last} if self.world.nodes[self.last].boots != self.boots else away

    def key(self) -> tuple[object, ...]:
        """What is remembered and matters later; what was in the way of the last command and its ``boots`` are not."""
        silent = frozenset(self.silent.items())
        told = (
            self.noted,
            self.adopted,
            self.untold,
            self.taken_over,
            self.beside,
            self.pivoted,
            self.wished,
        )
        nodes = (self.off, self.passed_over, self.unanswered, silent, self.struck)
        return (*told, *nodes, frozenset(self.proved.items()), frozenset(self.intended))

    def turns_to(self, move: Run) -> None:
        """Before the next move goes out: what befell its node's last one matters no longer, unless it only settles."""
        if move.what is not What.SETTLE:
            self.struck -= {move.command.node}

    def note(self, entry: Entry) -> None:
        """An entry is on disk."""
        match entry:
            case Began(what, at):
                self._begins(what, at)
            case Ended(what, at, Exited(status)):
                self._answers(what, at, status)
            case Ended(What.SETTLE, node, Lost()):
                self.unanswered |= {node}
                if self.hindered or self.in_the_way():
                    self.silent[node] = self.silent.get(node, 0) + 1
            case Wish(Want.UNWIND):
                self.wished = self.wished or not self.pivoted
            case Restarted(forward):
                self.wished = self.wished and not forward
                self.silent.clear()
                self._taken_up()
            case NodeOff(node):
                self.off |= {node}
                self.passed_over |= {node}
            case Adopted(_, begun):
                self.adopted = True
                # What another controller sent out before this one had its say is not for it to stop any more.
                self.wished = self.wished and self.pivot not in begun
                self._taken_up()
                self.intended |= {self.commands[What.DO, step] for step in begun}
                self.untold = all(self.commands[What.DO, step].argv[0] == "own" for step in begun)
            case _:
                pass

    def _taken_up(self) -> None:
        """By another controller: what the last one had told nodes to settle may still come to take effect."""
        self.passed_over = self.struck = frozenset()
        self.unanswered |= {command.node for command in self.intended if command.argv[0] == "settle"}

    def _begins(self, what: What, at: str) -> None:
        command = self.commands[what, at]
        self.intended.add(command)
        self.pivoted = self.pivoted or (what is What.DO and at == self.pivot)
        self.boots, self.last = self.world.nodes[command.node].boots, command.node
        self.hindered, self.cut_off, self.held, self.unsure = False, frozenset(), frozenset(), True

    def _answers(self, what: What, at: str, status: int) -> None:
        command = self.commands[what, at]
        # Else the other end of a copy may still be at work, or an earlier settle.
        if status == 0 or not (command.argv[0] == "copy-tree" or at in self.unanswered):
            self.intended.discard(command)
        self.silent.pop(command.node, None)
        self.taken_over = self.taken_over or status in (TAKEN_OVER, FORGOTTEN)
        self.unsure = status not in (NOT_UP, HALF_UP)
        if status == 0:
            self._succeeded(what, command)

    def _succeeded(self, what: What, command: Command) -> None:
        if what is What.SETTLE:
            self.unanswered -= {command.node}
            self.intended = {
                other
                for other in self.intended
                if other.node != command.node
                and not (other.argv[0] == "copy-tree" and other.argv[5] == command.node)
            }
        if command.argv[0] == "note-state":
            self.noted = True
        was_up = self.first in ("running", "mounted")
        if was_up and command.argv[0] in ("restore-state", "ensure-up", "bring-up"):
            self.proved[command.node] = self.boots

    def private(self, node: str) -> str:
        """The container's private area on ``node``."""
        where = self.areas[node]
        return where.private if where is not None else f"/vz/private/{self.ctid}"

    def root(self, node: str) -> str:
        """The container's root area on ``node``."""
        where = self.areas[node]
        return where.root if where is not None else f"/vz/root/{self.ctid}"

    def _dump(self, node: str) -> str:
        """Where the container's memory waits while it is suspended."""
        where = self.areas[node]
        return f"{where.dumpdir if where is not None else '/vz/dump'}/Dump.{self.ctid}"

    def _own_paths(self) -> frozenset[str]:
        """The container's own things at the source: what the plan is about, so no bystanders."""
        private, root = self.private(self.source), self.root(self.source)
        prefix = f"{CONF_DIR}/{self.ctid}."
        return frozenset(
            p
            for p in self.was.tree
            if p in (private, root)
            or p.startswith(private + "/")
            or (p.startswith(prefix) and ".migrated" not in p)
        )

    def newest(self, data: Data | None) -> bool:
        """Whether these files hold every acknowledged write."""
        known = self.world.ledger.get(self.ctid, 0)
        return data == (known, known)

    def passed(self) -> bool:
        """Whether the container has been handed over for good: it ran, or may be started, at the destination."""
        if (self.destination, self.ctid) in self.world.ran:
            return True
        text = text_at(self.world.nodes[self.destination].disk, vz.config_path(self.ctid))
        return text is not None and value(text, "DISABLED") == value(
            self.plan.config.before if self.plan.config else "", "DISABLED"
        )

    def changed(self) -> int:
        """The grounds (``WORLD``, ``NODE``) that are not what they were when this was asked last."""
        world = self.world
        now: list[object] = [world.luns, world.ledger, world.losses, world.ran, world.others]
        for n in self.nodes:
            now += (n.tree, n.disk, n.mounts, n.running, n.frozen, n.stubborn, n.hushed)
        seen, self.seen = self.seen, tuple(now)
        if not seen:
            return EVERYTHING
        return reduce(or_, compress(self.grounds, map(is_not, seen, now)), 0)


def _lun_of(node: NodeState, config: str, where: vz.Areas | None) -> str | None:
    """The LUN that a stopped container owns."""
    device = node.devices.get(where.hook_device) if where is not None and where.hook_device else None
    return node.luns[device.number] if device is not None and value(config, "VE_DEVICE") else None


def _stale_lock(node: NodeState, ctid: int) -> str | None:
    """vzctl's lock on the container, if its process is dead: it holds nothing, and whoever comes next removes it."""
    where = vz.areas(ctid, "", node.given.vz_conf)
    lock = f"{where.lockdir}/{ctid}.lck" if where is not None else ""
    return lock if lock in node.tree and node.text(lock) not in node.living else None


def _roots(node: NodeState) -> frozenset[str]:
    """Where the containers of a node are mounted."""
    given = node.given
    areas = (vz.areas(c.ctid, c.config, given.vz_conf) for c in given.containers if c.config is not None)
    return frozenset(where.root for where in areas if where is not None)


def state_of(node: NodeState, ctid: int) -> str:
    """Whether a container is running, frozen, mounted, suspended or down there."""
    if ctid in node.frozen:
        return "frozen"
    if ctid in node.running or ctid in node.roots:
        return "running" if ctid in node.running else "mounted"
    return "suspended" if vz.state_of(node, ctid) is State.SUSPENDED else "down"


def commands_of(plan: Plan) -> dict[tuple[What, str], Command]:
    """Of every move that a run of ``plan`` can make: its command."""
    found = {(What.SETTLE, command.node): command for command in plan.settle}
    for step in plan.steps:
        found[What.DO, step.id] = step.do
        if isinstance(step.undo, Compensation):
            found[What.UNDO, step.id] = step.undo.do
        if step.probe is not None:
            found[What.PROBE, step.id] = step.probe.do
    return found


def text_at(tree: Tree, path: str) -> str | None:
    """Text of the file at ``path``; None if there is none."""
    thing = tree.get(path)
    return thing.text if isinstance(thing, File) else None
