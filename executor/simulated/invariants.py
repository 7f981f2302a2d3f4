"""The invariants of docs/saga.md, each a small function that says what is wrong, or None.

They look at worlds and at the journal, never at twins or at the saga. These are asked after every single effect, and
before every command, of the world as it is then; those of ``ends`` when a run has stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Final, NamedTuple

from executor.simulated.boot import auto_starts, boots_into
from executor.simulated.tree import EMPTY, Data, File, Thing, Tree
from executor.simulated.view import (
    DISK,
    HUSHED,
    LEDGER,
    LOSSES,
    LUNS,
    MOUNTS,
    OTHERS,
    RAN,
    RUNNING,
    STUBBORN,
    TREE,
    View,
)
from executor.simulated.world import EDIT, FILES
from planner.model import CONF_DIR
from planner.parse.config import without_fence
from planner.plan import Command


def i1_device_on_one_node(view: View) -> str | None:
    """A device is held read-write by at most one node."""
    holders: dict[str, str] = {}
    for node in view.nodes:
        for mount in node.mounts:
            lun = node.luns.get(mount.device)
            if lun is None or mount.read_only:
                continue
            if holders.setdefault(lun, node.name) != node.name:
                return f"{lun} is mounted on {holders[lun]} and on {node.name}"
    return None


def i2_runs_on_one_node(view: View) -> str | None:
    """The container runs on at most one node, also if any node reboots at this instant."""
    live = []
    for node in view.nodes:
        if node.awake(view.ctid):
            live.append(f"runs on {node.name}")
        elif view.ctid in auto_starts(node):
            live.append(f"would start on {node.name} if that booted now")
    return f"{view.ctid} {' and '.join(live)}" if len(live) > 1 else None


def i3_acknowledged_writes_exist(view: View) -> str | None:
    """Every acknowledged write is in a copy that survives a power cut, and no boot starts an older one."""
    world = view.world
    if not _durable(view):
        return f"the last acknowledged write of {view.ctid} is on no disk"
    for node in view.nodes:
        if view.ctid in auto_starts(node) and view.ctid not in node.running:
            data = boots_into(world, node, view.ctid)
            if data is not None and not view.newest(data):
                return f"if {node.name} booted now, it would start {view.ctid} on old or torn files"
    return None


def _durable(view: View) -> bool:
    """On a LUN, or on a node's disk, in the private area."""
    if any(view.newest(lun.data) for lun in view.world.luns.values()):
        return True
    for node in view.nodes:
        thing = node.disk.get(view.private(node.name) + FILES)
        if isinstance(thing, Data) and view.newest(thing):
            return True
    return False


def i4_one_copy_takes_writes(view: View) -> str | None:
    """No two copies both take writes; the oracle sees each write that goes to one that is not the newest."""
    return view.world.losses[0] if view.world.losses else None


def i5_bystanders_untouched(view: View) -> str | None:
    """Other containers, files, devices, older configs keep their bytes and their places; also what came meanwhile.

    An operator's line in the container's own config stays there, whatever name that has.
    """
    for name, path, thing in view.world.others:
        if view.world.nodes[name].tree.get(path) != thing:
            return f"{path}, which another made on {name} meanwhile, is not what it was"
    tree = view.world.nodes[view.source].tree
    if view.world.edited and not tree.once(("edited", view.ctid), partial(_has_edit, tree, view.ctid)):
        return f"what an operator added to the config of {view.ctid} on {view.source} is gone"
    for lun, was in view.bystanding_luns.items():
        if view.world.luns[lun].data != was:
            return f"{lun} is not what it was"
    for name, node in view.world.nodes.items():
        there, bystanders = node.tree, view.bystanders[name]
        lost = there.once(("I5", bystanders), partial(_lost, there, bystanders))
        if lost is not None:
            return f"{lost} on {name} is not what it was"
    return None


def _has_edit(tree: Tree, ctid: int) -> bool:
    texts = (t.text for p, t in tree.items() if p.startswith(f"{CONF_DIR}/{ctid}.") and isinstance(t, File))
    return any(EDIT in text for text in texts if text is not None)


def _lost(tree: Tree, bystanders: frozenset[tuple[str, Thing]]) -> str | None:
    """The first that is not what it was."""
    if bystanders <= tree.items():
        return None
    lost = ((path, was) for path, was in bystanders if tree.get(path) != was)
    return min((path for path, was in lost if not _only_layout_added(was, tree.get(path))), default=None)


def _only_layout_added(thing: Thing, then: Thing | None) -> bool:
    """A container started at boot: vzctl itself wrote its layout down."""
    was, now = (t.text if isinstance(t, File) else None for t in (thing, then))
    return was is not None and now is not None and now.startswith(was) and plain(now) == plain(was)


def i6_only_own_things_deleted(view: View) -> str | None:
    """Until the pivot nothing of the source is gone; after it its config and scripts still are there, renamed.

    What is on a device of its own stays there in any case: copied, it is left behind; handed over, it is all there is.
    And so does a private area that is not to be removed.
    """
    if view.lun is not None and view.world.luns[view.lun].data == EMPTY != view.start.luns[view.lun].data:
        return f"nothing is on {view.lun} any more"
    tree = view.world.nodes[view.source].tree
    waits = view.first == "suspended" and not view.passed() and (view.source, view.ctid) not in view.world.ran
    if waits and tree.get(view.dump) != view.was.tree[view.dump]:
        return f"{view.dump} on {view.source}, its memory, is gone before the pivot"
    gone = tree.once(("I6", view.own), partial(_gone, tree, view.own))
    if gone.file is not None:
        return f"{gone.file} on {view.source} is gone"
    if gone.other is not None and not view.passed():
        return f"{gone.other} on {view.source} is gone before the pivot"
    if gone.content and not view.plan.asked.options.remove_area:
        return f"what is in {view.private(view.source)} on {view.source} is gone, and was not to be removed"
    return None


class Gone(NamedTuple):
    """Of the container's own things the first file that is nowhere in its folder, and the first other thing."""

    file: str | None
    other: str | None
    content: bool  # its files, as a whole


def _gone(tree: Tree, own: frozenset[tuple[str, Thing]]) -> Gone:
    lost = [(p, t) for p, t in own if p not in tree or (isinstance(t, File) and tree[p] != t)]
    kept = {bare(t) for p, t in tree.items() if p.startswith(CONF_DIR + "/")} if lost else set()
    files = (p for p, t in lost if isinstance(t, File) and bare(t) not in kept)
    content = any(isinstance(t, Data) and p.endswith(FILES) and p not in tree for p, t in lost)
    others = (p for p, t in lost if not isinstance(t, File))
    return Gone(min(files, default=None), min(others, default=None), content)


def bare(thing: Thing) -> Thing:
    """A config as its owner wrote it."""
    return (
        File(plain(thing.text), thing.mode) if isinstance(thing, File) and thing.text is not None else thing
    )


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """Without our fence, the line that vzctl adds at a start, and what an operator adds by hand."""
    return "".join(
        line
        for line in without_fence(text).splitlines(keepends=True)
        if not line.startswith("VE_LAYOUT=") and line != EDIT
    ).rstrip("\n")


def i7_intent_before_effect(view: View, command: Command) -> str | None:
    """No effect of a command whose intent is not in the journal, or which is over by what the journal says."""
    if command not in view.intended and command not in view.others:
        return f"{command.argv[0]} on {command.node} took effect, and the journal does not expect it"
    return None


Invariant = Callable[[View], str | None]

AT_EVERY_EFFECT: Final[tuple[tuple[str, Invariant, int], ...]] = (
    ("I1", i1_device_on_one_node, MOUNTS),
    ("I2", i2_runs_on_one_node, DISK | RUNNING),
    ("I3", i3_acknowledged_writes_exist, LUNS | LEDGER | DISK | RUNNING | STUBBORN | HUSHED),
    ("I4", i4_one_copy_takes_writes, LOSSES),
    ("I5", i5_bystanders_untouched, LUNS | OTHERS | TREE),
    ("I6", i6_only_own_things_deleted, LUNS | RAN | TREE | DISK),
)
"""Name, invariant, and its ground: what it looks at. While that is the same, so is its answer."""


def broken(view: View) -> Iterator[tuple[str, str]]:
    """The invariants of every effect that do not hold, of those whose ground has changed; what is seen."""
    changed = view.changed()
    if changed == 0:
        return
    for name, invariant, ground in AT_EVERY_EFFECT:
        seen = invariant(view) if ground & changed else None
        if seen is not None:
            yield name, seen
