"""A simulated world: hardware nodes, the LUNs that they share, and the truth that no node's facts show.

Made for forking: every field of a node holds a value that is replaced, never changed in place, so ``fork`` copies
references. ``tree`` is what a node's processes see of its own filesystems, ``disk`` is what a power cut would leave
of it; ``sync`` makes them the same.

What a container writes is one number, the tick of its last write, kept in two halves so that a copy can be half
done. ``ledger`` is the oracle: the last write that each container was told is safe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from executor.simulated.tree import EMPTY, FIRST, HALF, Data, Dir, File, Thing, Tree
from planner.model import Device, Mount, NodeFacts
from planner.parse.config import DUMP_PLACE
from planner.plan import Command

if TYPE_CHECKING:
    from executor.simulated.loading import Truth

FILES: Final = "/files"
"""Name, below a private area, of what stands for all the container's files."""


class Lun(NamedTuple):
    """What is on a disk that several nodes may see. ``dirty``: needs_recovery; ``mounted``: the mount count.

    ``dumps``: what else is on it, by its name: a node that has it mounted has that in its tree meanwhile.
    """

    data: Data
    dirty: bool
    mounted: int = 0
    dumps: tuple[tuple[str, Thing], ...] = ()


class Standing(NamedTuple):
    """Where a running container's files are: on a LUN, or (None) in the node's own directory."""

    private: str
    lun: str | None


class RootSeen(NamedTuple):
    """How a mounted root area showed in the facts: in the node's namespace, and to the container's own processes."""

    mount: Mount
    inside: Mount | None


class Late(NamedTuple):
    """A command that nobody waits for any more and whose effect is still to come, ``after`` more commands."""

    node: str
    command: Command
    run: str
    generation: int
    after: int
    goes_on: bool = False  # it is the rest of a copy

    @property
    def ends(self) -> tuple[str, ...]:
        """Nodes with whose power it ends: of a copy that is under way, its other end too."""
        return (self.node, self.command.argv[5]) if self.goes_on else (self.node,)


class NodeState:
    """One node. See the module's text for the rule that makes ``fork`` cheap."""

    __slots__ = (
        "back_in",
        "bare",
        "base",
        "boots",
        "busy",
        "cached",
        "cold",
        "dark",
        "devices",
        "disk",
        "frozen",
        "given",
        "hushed",
        "lasting",
        "living",
        "luns",
        "mounts",
        "name",
        "reachable",
        "renamed",
        "roots",
        "running",
        "stubborn",
        "told",
        "tree",
    )

    name: str
    given: NodeFacts  # as they were loaded; what the simulation does not act on is carried along
    base: NodeFacts | None  # what the world would have said of itself right after loading
    devices: Mapping[str, Device]  # every name -> device
    luns: Mapping[str, str]  # device number -> LUN
    renamed: int  # how often its disks were found in another order
    lasting: tuple[Mount, ...]  # mounts that every boot makes again
    reachable: bool
    back_in: int  # so many commands more have to go out until it can be reached again; 0: it stays as it is
    dark: bool  # without power: nothing runs, nothing answers
    boots: int
    tree: Tree
    disk: Tree
    cached: Mapping[str, Data]  # what was copied onto a mounted LUN and is not on it yet
    mounts: tuple[Mount, ...]  # but for containers' roots
    running: Mapping[int, Standing]
    told: frozenset[int]  # of these: they were told to end, and will, whoever waits for it or not
    frozen: frozenset[int]  # of these: they stand still for a staged checkpoint
    roots: Mapping[int, str]  # containers whose root area is mounted, and where
    cold: frozenset[int]  # of those that ever ran: it was started anew, its memory is not that of before
    bare: frozenset[int]  # of these: nothing was mounted at their private area when that was done
    living: frozenset[str]  # processes that hold a lock, as the lock file names them
    busy: frozenset[str]  # mount points in which something stands: they cannot be unmounted
    hushed: bool  # hooks do nothing and say that all is well
    stubborn: frozenset[str]  # "start", "mount", "remove": what fails here until someone mends it

    def go_down(self, ctid: int) -> None:
        """A guest ends; its root stays mounted."""
        self.running = {c: place for c, place in self.running.items() if c != ctid}
        self.told -= {ctid}

    def fork(self) -> NodeState:
        """An independent copy."""
        twin = NodeState.__new__(NodeState)
        for slot in NodeState.__slots__:
            setattr(twin, slot, getattr(self, slot))
        return twin

    def awake(self, ctid: int) -> bool:
        """Whether a container runs and does not stand still."""
        return ctid in self.running and ctid not in self.frozen

    # --- files

    def put(self, path: str, thing: Thing) -> None:
        """Make or replace what is at ``path``; volatile until ``sync``."""
        self.tree = self.tree.put(path, thing)

    def put_lasting(self, path: str, thing: Thing) -> None:
        """The same, and it is on the disk; what is not synced of all else stays so."""
        synced = self.disk is self.tree
        self.put(path, thing)
        self.disk = self.tree if synced else self.disk.put(path, thing)

    def comes_nearer(self) -> None:
        """One command more has gone out: what keeps it from being reached may be over."""
        if self.back_in:
            self.back_in -= 1
            self.reachable = self.reachable or not self.back_in

    def drop(self, path: str) -> None:
        """Remove what is at ``path`` and everything below it."""
        self.tree = self.tree.drop(path)

    def move(self, old: str, new: str) -> None:
        """Rename ``old``, and everything below it, to ``new``."""
        self.tree = self.tree.move(old, new)

    def link(self, old: str, new: str) -> None:
        """Give the file at ``old`` another name."""
        self.tree = self.tree.link(old, new)

    def text(self, path: str) -> str | None:
        """Text of the file at ``path``; None if there is none."""
        thing = self.tree.get(path)
        return thing.text if isinstance(thing, File) else None

    def is_dir(self, path: str) -> bool:
        """Whether a directory is at ``path``, links not followed."""
        return isinstance(self.tree.get(path), Dir)

    def children(self, path: str) -> tuple[str, ...]:
        """Names in the directory ``path``, what is mounted on it not looked at."""
        return self.tree.children(path)

    # --- mounts

    def mounted_at(self, point: str) -> Mount | None:
        """The topmost mount at ``point`` in the node's own namespace."""
        found = None
        for mount in self.mounts:
            if mount.point == point and not mount.elsewhere:
                found = mount
        return found

    def lun_at(self, point: str) -> str | None:
        """The LUN that is mounted at ``point``."""
        mount = self.mounted_at(point)
        return self.luns.get(mount.device) if mount is not None else None

    def mounts_of(self, lun: str) -> list[Mount]:
        """Every mount of a LUN on this node."""
        return [m for m in self.mounts if self.luns.get(m.device) == lun]

    def mounts_within(self, path: str) -> list[str]:
        """Mount points at or below ``path``, containers' roots included."""
        below = path + "/"
        points = [m.point for m in self.mounts] + list(self.roots.values())
        return sorted({p for p in points if p == path or p.startswith(below)})

    @property
    def boot_id(self) -> str:
        """Another one after every boot."""
        return self.given.boot_id if self.boots == 0 else f"{self.given.boot_id}+{self.boots}"


EDIT: Final = 'PHYSPAGES="0:262144"\n'
"""What an operator adds to a config by hand."""


class World:
    """All nodes and LUNs, and the oracle beside them."""

    __slots__ = (
        "clock",
        "edited",
        "late",
        "ledger",
        "logged",
        "losses",
        "luns",
        "meddled",
        "nodes",
        "others",
        "ran",
        "roots_seen",
        "untaken",
        "writers",
    )

    nodes: dict[str, NodeState]
    luns: Mapping[str, Lun]
    clock: int
    writers: frozenset[int] | None  # containers whose writes are simulated; None: all
    ledger: Mapping[int, int]
    losses: tuple[str, ...]  # writes that the oracle saw go onto a copy that lacks acknowledged ones
    ran: frozenset[tuple[str, int]]  # where each container has ever been running since the world began
    untaken: frozenset[tuple[str, int]]  # where a memory was to be taken up, and that did not come to its end
    meddled: frozenset[str]  # nodes on which an operator did something by hand
    edited: bool  # an operator added ``EDIT`` to the container's config at the source
    others: frozenset[tuple[str, str, Thing]]  # node, path, what another made there meanwhile
    late: tuple[Late, ...]
    roots_seen: Mapping[int, RootSeen]  # of containers whose mounted root the facts showed
    logged: tuple[tuple[str, str], ...]  # node, line: what the nodes' own logs of the run say

    def fork(self) -> World:
        """An independent copy: what happens in one does not happen in the other."""
        twin = World.__new__(World)
        twin.nodes = {name: node.fork() for name, node in self.nodes.items()}
        twin.luns, twin.clock, twin.writers, twin.ledger = self.luns, self.clock, self.writers, self.ledger
        twin.losses, twin.ran, twin.meddled, twin.late = self.losses, self.ran, self.meddled, self.late
        twin.roots_seen, twin.logged, twin.others = self.roots_seen, self.logged, self.others
        twin.untaken, twin.edited = self.untaken, self.edited
        return twin

    @staticmethod
    def of(
        *facts: NodeFacts,
        truth: Truth | None = None,
        writers: frozenset[int] | None = None,
    ) -> World:
        """The world that these nodes' facts tell of.

        ``truth``: what no facts show, which devices are one LUN and which are not.
        """
        from executor.simulated.loading import Truth, load  # noqa: PLC0415 # each needs the other

        return load(facts, truth or Truth(), writers)

    def facts(self, node: str) -> NodeFacts:
        """What ``node`` would say of itself now, to whoever asks."""
        from executor.simulated.loading import facts_of  # noqa: PLC0415

        return facts_of(self, self.nodes[node])

    # --- data

    def content(self, node: NodeState, private: str) -> Data | None:
        """A container's files as ``node`` sees them at ``private``."""
        return self.content_of(node, Standing(private, node.lun_at(private)))

    def content_of(self, node: NodeState, place: Standing) -> Data | None:
        """A container's files at ``place``."""
        if place.lun is not None:
            data = node.cached.get(place.lun, self.luns[place.lun].data)
            return None if data == EMPTY else data
        thing = node.tree.get(place.private + FILES)
        return thing if isinstance(thing, Data) else None

    def put_content(self, node: NodeState, private: str, data: Data) -> None:
        """Write a container's files at ``private``; volatile until ``sync``."""
        lun = node.lun_at(private)
        if lun is not None:
            node.cached = {**node.cached, lun: data}
        else:
            node.put(private + FILES, data)

    def sync(self, node: NodeState) -> None:
        """From here on a power cut leaves the node's files as they are now."""
        node.disk = node.tree
        for lun, data in node.cached.items():
            self.luns = {**self.luns, lun: self.luns[lun]._replace(data=data)}
        node.cached = {}

    def show_dumps(self, node: NodeState, lun: str, point: str) -> None:
        """What lies on a disk that was mounted there is in the node's tree, and on disk."""
        if DUMP_PLACE not in point:
            return
        for name, thing in self.luns[lun].dumps:
            node.put_lasting(f"{point}/{name}", thing)

    def keep_dumps(self, node: NodeState, lun: str, point: str, tree: Tree) -> None:
        """What of ``tree`` is on a disk that is mounted there no longer is on that, and not in the node's tree."""
        if DUMP_PLACE not in point:
            return
        below = f"{point}/"
        dumps = sorted((path.removeprefix(below), t) for path, t in tree.items() if path.startswith(below))
        self.luns = {**self.luns, lun: self.luns[lun]._replace(dumps=tuple(dumps))}
        for name, _ in dumps:
            synced = node.disk is node.tree
            node.drop(below + name)
            node.disk = node.tree if synced else node.disk.drop(below + name)

    def tick(self) -> None:
        """Time passes: every running container writes, and is told that its write is safe (fsync)."""
        self.clock += 1
        for node in self.nodes.values():
            for ctid, place in node.running.items():
                if ctid in node.frozen:
                    continue
                if self.writers is None or ctid in self.writers:
                    self._write(node, ctid, place)

    def _write(self, node: NodeState, ctid: int, place: Standing) -> None:
        before, known = self.content_of(node, place), self.ledger.get(ctid, 0)
        if before != Data(known, known):
            self.losses += (f"{ctid} writes on {node.name} to a copy that lacks acknowledged writes",)
        now = Data(self.clock, self.clock)
        if place.lun is not None:
            self.luns = {**self.luns, place.lun: self.luns[place.lun]._replace(data=now)}
            node.cached = {lun: data for lun, data in node.cached.items() if lun != place.lun}
        else:
            path = place.private + FILES
            synced = node.disk is node.tree
            node.tree = node.tree.put(path, now)
            if synced:
                node.disk = node.tree
            elif path in node.disk:
                node.disk = node.disk.put(path, now)
        self.ledger = {**self.ledger, ctid: self.clock}

    def end_what_was_told(self) -> None:
        """Guests that were told to end have come to it by now; nobody looks after their roots."""
        for node in self.nodes.values():
            for ctid in node.told:
                node.go_down(ctid)

    def heal(self) -> None:
        """Whatever stood in the way has been mended: networks, busy mounts, hooks, what would not start."""
        for node in self.nodes.values():
            node.reachable, node.busy, node.hushed, node.stubborn = True, frozenset(), False, frozenset()
            node.back_in = 0

    # --- comparing

    def key(self) -> tuple[Any, ...]:
        """Equal for worlds with the same future. Left out: what never changes, and ``logged``.

        First what is only known of a fault, and is no effect of it.
        Data are only ever compared with the first ones, and with the last write that their container was told is safe.
        """
        names = self._names_of_ticks()
        return (
            self.meddled,
            *[_node_key(node, names) for node in self.nodes.values()],
            tuple((name, *_lun_key(lun, names)) for name, lun in self.luns.items()),
            tuple(names[tick] for tick in self.ledger.values()),
            self.late,
            self.losses,
            self.ran,
            self.untaken,
            self.others,
            self.edited,
        )

    def _names_of_ticks(self) -> dict[int, Any]:
        """The first ones, and those that are the last of some containers; any other is an old one."""
        names: dict[int, Any] = {}
        for ctid, tick in self.ledger.items():
            names[tick] = (*names.get(tick, ()), ctid)
        return {**names, **{tick: tick for tick in (*EMPTY, *FIRST, *HALF)}}


def _lun_key(lun: Lun, names: Mapping[int, Any]) -> tuple[Any, ...]:
    dumps = ((name, _data_key(t, names) if isinstance(t, Data) else t) for name, t in lun.dumps)
    return (_data_key(lun.data, names), lun.dirty, lun.mounted, tuple(dumps))


def _node_key(node: NodeState, names: Mapping[int, Any]) -> tuple[Any, ...]:
    return (
        node.name,
        node.boots,
        tuple((name, device.number) for name, device in node.devices.items()) if node.renamed else None,
        node.reachable,
        node.back_in,
        node.dark,
        _tree_key(node.tree, names),
        "synced" if node.disk is node.tree else _tree_key(node.disk, names),
        node.mounts,
        frozenset((lun, _data_key(data, names)) for lun, data in node.cached.items()),
        frozenset(node.running.items()),
        frozenset(node.roots.items()),
        node.bare,
        node.cold,
        node.frozen,
        node.living,
        node.busy,
        node.hushed,
        node.stubborn,
        node.told,
    )


def _tree_key(tree: Tree, names: Mapping[int, Any]) -> tuple[Any, ...]:
    things, data, links = tree.shape()
    return (things, tuple((path, _data_key(each, names)) for path, each in data), links)


def _data_key(data: Data, names: Mapping[int, Any]) -> tuple[Any, Any]:
    return (names.get(data.head, "old"), names.get(data.tail, "old"))
