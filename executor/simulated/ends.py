"""The invariants that are asked when a run has stopped and nothing is on its way any more (docs/saga.md).

Like the others (``invariants``) they look at worlds and at the journal, never at twins or at the saga.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from executor.simulated import vz
from executor.simulated.boot import auto_starts
from executor.simulated.invariants import bare, plain
from executor.simulated.loading import HOME, OWNERS
from executor.simulated.tree import Data, File, Thing, Tree
from executor.simulated.view import (
    View,
    state_of,
    text_at,
)
from executor.simulated.world import FILES, NodeState
from planner.model import CONF_DIR
from planner.parse.config import DUMP_PLACE, value, without_fence
from planner.plan import (
    Compensation,
    Outcome,
    Run,
    Stop,
    Zone,
)
from planner.verbs import MEMORY_LOST

OURS: Final = frozenset({"/var/lib/vzplan", HOME, OWNERS})
"""Folders of vzplan's own that stay."""


def i8_outcome_is_true(view: View, stop: Stop) -> str | None:
    """What is reported is what is."""
    return _outcome(view, stop) or _memory(view, stop)


def i8_something_is_left(view: View, stop: Stop) -> str | None:
    """Who is told that something is left is told what; and there is, or something was in the way of finding out."""
    if stop.outcome not in (Outcome.UNWOUND_NOT_CLEANED, Outcome.MIGRATED_NOT_CLEANED):
        return None
    if not stop.left:
        return f"{stop.outcome}, and it does not say what is left to be run"
    hindered = view.hindered or view.in_the_way()
    if hindered or _is_waited_for(view, stop) or _hit_at_the_last_try(view, stop):
        return None
    odd = _as_before(view) if stop.outcome is Outcome.UNWOUND_NOT_CLEANED else _as_planned(view)
    return f"{stop.outcome}, and nothing is left" if odd is None else None


def i8_a_wish_is_heeded(view: View, stop: Stop) -> str | None:
    """Who is told to stop before the pivot goes back."""
    moved = stop.outcome in (Outcome.MIGRATED, Outcome.MIGRATED_NOT_CLEANED)
    return (
        f"{stop.outcome}, although it was told to go back before the pivot" if view.wished and moved else None
    )


def _outcome(view: View, stop: Stop) -> str | None:
    match stop.outcome:
        case Outcome.REFUSED if view.untold and view.beside:
            # What the other one has begun since is its own to end.
            return _source_has_it(view) and _destination_has_it(view)
        case Outcome.REFUSED if view.untold:
            return nobody_knows(view)
        case Outcome.UNWOUND | Outcome.REFUSED:
            return _source_has_it(view) or _as_before(view)
        case Outcome.UNWOUND_NOT_CLEANED:
            return _source_has_it(view)
        case Outcome.MIGRATED:
            lost = f"what an operator added to the config on {view.source} did not come along"
            return _destination_has_it(view) or (lost if view.world.edited else _as_planned(view))
        case Outcome.MIGRATED_NOT_CLEANED:
            told = any(c.argv[0] == "activate-config" and c.node == view.destination for c in stop.left)
            return _destination_has_it(view, may_be_fenced=told)
        case Outcome.DOWN:
            # Somebody may have given power to a node that was said to be off; what it does then is not ours.
            woken = {name for name in view.off if not view.world.nodes[name].dark}
            running = (n.name for n in view.world.nodes.values() if n.awake(view.ctid))
            where = [name for name in running if name not in woken]
            return f"DOWN, but it runs on {where[0]}" if where else _safe_and_released(view, stop, woken)
        case Outcome.IN_DOUBT:
            return None


def nobody_knows(view: View) -> str | None:
    """Its journal is lost, and no node knows of the run: it had not begun, or was over; its own notes may stay."""
    folders = frozenset(
        p for n in view.nodes for p in n.tree.keys() | n.disk.keys() if p.startswith(HOME + "/")
    )
    before = _source_has_it(view) or _as_before(view, OURS | folders)
    if before is None or (_destination_has_it(view) or _as_planned(view, OURS | folders)) is None:
        return None
    return f"nobody knows of the run any more, and {before}"


def i8_who_wakes_leaves_nothing(view: View) -> str | None:
    """A run that another controller has ended for good stays ended, whatever one that only slept does after that."""
    before = _source_has_it(view) or _as_before(view)
    if before is None or (_destination_has_it(view) or _as_planned(view)) is None:
        return None
    return f"another controller had ended the run, and one that only slept has changed that: {before}"


def _safe_and_released(view: View, stop: Stop, woken: set[str]) -> str | None:
    """DOWN: all that was written is at the one node, and the other has let go of its device."""
    retiring = {step.do for step in view.plan.steps if step.zone is Zone.RETIRE}
    moved = retiring.issuperset(stop.left)
    keeper, other = (view.destination, view.source) if moved else (view.source, view.destination)
    if not view.newest(_files(view, view.world.nodes[keeper])):
        return f"DOWN, but the newest files are not at {keeper}"
    # Only what is handed over must be released.
    if view.lun is None or view.plan.way != "d2" or other in woken:
        return None
    if view.world.nodes[other].mounts_of(view.lun):
        return f"DOWN, but {other} still has {view.lun} mounted"
    return None


PATIENCE: Final = 6
"""A node that could not settle so many times running may be given up, whatever becomes of it meanwhile."""


def r12_doubt_has_a_reason(view: View, stop: Stop) -> str | None:
    """IN_DOUBT is right only while a node that is waited for cannot be reached, or something holds what it must let go.

    DOWN also while anything keeps the container from being started.
    """
    if stop.outcome not in (Outcome.IN_DOUBT, Outcome.DOWN) or why_open(view, stop) is not None:
        return None
    return f"{stop.outcome} with every node at hand that is needed: {stop.because}"


TAKEN_OVER: Final = "another controller has the run, or has ended it"


def why_open(view: View, stop: Stop) -> str | None:
    """What makes it right to leave the container to a person; None: nothing does."""
    return next((why for why, holds in WHY_OPEN if holds(view, stop)), None)


def _will_not_start(view: View, stop: Stop) -> bool:
    return stop.outcome is Outcome.DOWN and (view.hindered or bool(view.in_the_way()))


def _is_waited_for(view: View, stop: Stop) -> bool:
    """Whether what is left needs a node that cannot be reached, or could not for so long that it was given up."""
    needed = {command.node for command in stop.left}
    away = view.cut_off | view.cut_off_now() | view.passed_over
    return bool(needed & away) or any(view.silent.get(node, 0) >= PATIENCE for node in needed)


def _is_stuck(view: View, stop: Stop) -> bool:
    """Whether a blocking undo is left on a node where something holds what it has mounted.

    Or where it will not start, and the last try did not even say that it had not.
    """
    blocking = {s.undo.do for s in view.plan.steps if isinstance(s.undo, Compensation) and s.undo.blocking}
    stuck = view.held | view.held_now()
    if view.unsure:
        stuck |= {node.name for node in view.nodes if node.stubborn}
    return any(command in blocking and command.node in stuck for command in stop.left)


def _hit_at_the_last_try(view: View, stop: Stop) -> bool:
    return any(command.node in view.struck for command in stop.left)


def _up_by_hand(view: View, at: str) -> bool:
    """Whether it is up on a node where somebody has done something by hand: it is not for a run to end that."""
    return at in view.world.meddled and view.ctid in view.world.nodes[at].roots


def _others_in_ours(view: View) -> bool:
    """Whether somebody made something in a directory that this run made: it cannot be removed, then."""
    places = ((name, path.rpartition("/")[0]) for name, path, _ in view.world.others)
    return any(place != OWNERS and place not in view.start.nodes[name].tree for name, place in places)


def _two_versions(view: View) -> bool:
    """Edited while its rename was half done: under the one name as it was, under the other as somebody wrote it.

    Which of them counts is for a person to say (rule 10: a conflict stops the step), and the message says so.
    """
    tree = view.world.nodes[view.source].tree
    config, prefix = tree.get(vz.config_path(view.ctid)), f"{vz.config_path(view.ctid)}."
    if config is None or not view.world.edited:
        return False
    return any(_backup(path, prefix) and thing != config for path, thing in tree.items())


WHY_OPEN: Final[tuple[tuple[str, Callable[[View, Stop], object]], ...]] = (
    ("it cannot be started", _will_not_start),
    ("a node that is needed cannot be reached, or could not", _is_waited_for),
    ("a node does not let go of what it has mounted, or does not start it", _is_stuck),
    ("its config was edited while it was renamed", lambda view, _: _two_versions(view)),
    (
        "somebody has brought it up at the destination by hand",
        lambda view, _: _up_by_hand(view, view.destination),
    ),
    ("the failure hit the last try of all", _hit_at_the_last_try),
    (TAKEN_OVER, lambda view, stop: view.taken_over and not stop.left),
    (
        "its nodes know only that it was taken in hand: it may have moved",
        lambda view, stop: view.untold and stop.left,
    ),
)
"""What may make an end an open one (docs/saga.md, R12), the first that holds."""


def i10_again_is_nothing(stop: Stop, again: Run | Stop) -> str | None:
    """Of a run that has ended for good another ``recover`` makes nothing; ``again``: what it would do first."""
    if stop.outcome not in (Outcome.UNWOUND, Outcome.REFUSED, Outcome.MIGRATED):
        return None
    if isinstance(again, Run):
        return f"{stop.outcome}, and another recover sends out {again.what} {again.at}"
    return (
        None if again.outcome is stop.outcome else f"{stop.outcome}, and by another recover {again.outcome}"
    )


def i11_recover_ends_it(view: View, stop: Stop) -> str | None:
    """Once nothing stands in the way any more, one ``recover`` ends the run, and leaves nothing of it."""
    if stop.outcome is Outcome.IN_DOUBT and not (_two_versions(view) or _up_by_hand(view, view.destination)):
        return f"after one recover still IN_DOUBT: {stop.because}"
    if stop.outcome is Outcome.DOWN and not view.in_the_way():
        return f"after one recover still DOWN: {stop.because}"
    moved = stop.outcome is Outcome.MIGRATED_NOT_CLEANED
    if moved and view.world.edited and vz.config_path(view.ctid) in view.world.nodes[view.source].tree:
        return None  # edited behind the last look at it: it is kept, for a person to see whether it matters
    if moved and _up_by_hand(view, view.source):
        return None
    if not moved and _others_in_ours(view):
        return None
    if moved or stop.outcome is Outcome.UNWOUND_NOT_CLEANED:
        return f"after one recover still {stop.outcome}: {stop.because}"
    return None


def _source_has_it(view: View) -> str | None:
    """Back where it was: the newest data, in its former state, and nothing that could start at the destination."""
    node, there = view.world.nodes[view.source], view.world.nodes[view.destination]
    config = text_at(node.disk, vz.config_path(view.ctid))
    before = view.plan.config.before if view.plan.config else ""
    if config is None or value(config, "DISABLED") != value(before, "DISABLED"):
        return f"the config on {view.source} is hidden or fenced"
    if not view.newest(_files(view, node)):
        return f"the newest files are not at {view.source}"
    if view.ctid in there.running or view.ctid in auto_starts(there):
        return f"{view.ctid} runs or would start at {view.destination}"
    # Of a state that was never noted nothing is made sure.
    sure = view.noted and view.proved.get(node.name) == node.boots
    if view.lun is not None and view.ctid in node.bare and sure:
        return f"{view.ctid} shows on {view.source} what lies under its mount point, not its device"
    if _state_may_differ(view, node, known=view.noted):
        return None
    if state_of(node, view.ctid) != view.first:
        return f"{view.ctid} was {view.first} on {view.source}, and now it is {state_of(node, view.ctid)}"
    return None


def _destination_has_it(view: View, *, may_be_fenced: bool = False) -> str | None:
    """Moved: the newest data, in its state, may be started there, and not at the source."""
    node, old = view.world.nodes[view.destination], view.world.nodes[view.source]
    config = text_at(node.disk, vz.config_path(view.ctid))
    before = view.plan.config.before if view.plan.config else ""
    if config is None:
        return f"no config of {view.ctid} on {view.destination}"
    if not may_be_fenced and value(config, "DISABLED") != value(before, "DISABLED"):
        return f"{view.ctid} is still fenced on {view.destination}"
    if not view.newest(_files(view, node)):
        return f"the newest files are not at {view.destination}"
    if old.awake(view.ctid) or view.ctid in auto_starts(old):
        return f"{view.ctid} runs or would start at {view.source} too"
    where = vz.areas_of(node, view.ctid)
    device = node.devices.get(where.hook_device) if where is not None and where.hook_device else None
    if device is not None and old.mounts_of(node.luns[device.number]):
        return f"its device is still mounted on {view.source}"
    if _state_may_differ(view, node, known=True):
        return None
    if view.first == "suspended" and node.disk.get(view.dump_there) != view.was.tree[view.dump]:
        return f"its memory is not at {view.destination}"
    if state_of(node, view.ctid) != view.first:
        return f"{view.ctid} is {state_of(node, view.ctid)} on {view.destination}, and was {view.first}"
    return None


KEEPERS: Final = {
    Outcome.UNWOUND: "source",
    Outcome.UNWOUND_NOT_CLEANED: "source",
    Outcome.MIGRATED: "destination",
    Outcome.MIGRATED_NOT_CLEANED: "destination",
}


def _memory(view: View, stop: Stop) -> str | None:
    """Of a container that was to keep its memory: it has it, unless something was in the way; and then that is told."""
    if not view.plan.asked.options.online or stop.outcome not in KEEPERS:
        return None
    node = view.world.nodes[getattr(view.plan.asked, KEEPERS[stop.outcome])]
    if view.ctid not in node.running or view.ctid not in node.cold:
        return None
    if node.boots or node.name in view.world.meddled:
        return None
    if MEMORY_LOST not in stop.because and not view.adopted:
        return f"{view.ctid} on {node.name} was started anew, and that is not told"
    # Who starts it by hand, be it at the other node, may start it without its memory.
    kept_from = view.world.meddled or (node.name, view.ctid) in view.world.untaken
    if kept_from or any(each.boots for each in view.nodes):
        return None
    return f"{view.ctid} on {node.name} was started anew, although nothing kept it from its memory"


def _files(view: View, node: NodeState) -> Data | None:
    """The container's files at its place on ``node``: mounted there, on its LUN, or in its directory's durable form."""
    if node.name == view.source and view.lun is not None:
        return view.world.luns[view.lun].data
    name = vz.config_path(view.ctid)
    staged = node.text(f"{name}.vzplan")  # the pivot may have been cut off before it had its name
    config = node.text(name) or staged or ""
    where = vz.areas(view.ctid, config, node.given.vz_conf)
    if where is not None and where.hook_device:
        device = node.devices.get(where.hook_device)
        return view.world.luns[node.luns[device.number]].data if device is not None else None
    thing = node.disk.get(view.private(node.name) + FILES)
    return thing if isinstance(thing, Data) else None


def _state_may_differ(view: View, node: NodeState, *, known: bool) -> bool:
    """Another's doing: an operator's hand, or a power cut that came before we had any part in it or after our last."""
    if node.name in view.world.meddled:
        return True
    if node.boots == 0:
        return False
    where = vz.areas_of(node, view.ctid)
    booted = where is not None and vz.wanted_at_boot(node, node.tree, view.ctid, where)
    if view.first != "running" and booted:
        return True
    if view.first in ("down", "suspended"):
        return False
    return not known or (node.name in view.proved and view.proved[node.name] != node.boots)


def _as_before(view: View, ours: frozenset[str] = OURS) -> str | None:
    """Every file as it was, also after a power cut; no mount, lock or process that was not there."""
    odd = _luns_differ(view)
    if odd is not None:
        return odd
    for name, node in view.world.nodes.items():
        was = view.start.nodes[name]
        for tree in (node.tree, node.disk):
            odd = _tree_differs(view, name, was.tree, tree, ours)
            if odd is not None:
                return f"{odd} on {name} is not as it was"
        lost_power = node.boots > 0
        if (not lost_power and node.living != was.living) or node.living - was.living:
            return f"a process that holds a lock on {name} is left, or gone"
        if name in view.world.meddled or (
            name == view.source and _state_may_differ(view, node, known=view.noted)
        ):
            continue
        mine = {m for m in node.mounts if m.point == view.private(name)}
        if mine != {m for m in was.mounts if m.point == view.private(name)}:
            return f"what is mounted at {view.private(name)} on {name} is not as it was"
        if not lost_power and (set(node.mounts) != set(was.mounts) or node.roots != was.roots):
            return f"mounts on {name} are not as they were"
    return None


def _made_by_vzctl(view: View, node: str) -> frozenset[str]:
    """Roots of containers: a start, at a boot or by hand, makes those that were not there."""
    started = view.world.nodes[node].boots or node in view.world.meddled
    return frozenset(view.roots[node] - view.start.nodes[node].tree.keys()) if started else frozenset()


def _not_ours_to_judge(view: View, node: str, ours: frozenset[str]) -> frozenset[str]:
    """What may have come to a node meanwhile: folders of vzplan's own, what others made, and vzctl at a start."""
    return ours | _of_others(view, node) | _made_by_vzctl(view, node)


def _tree_differs(view: View, name: str, was: Tree, now: Tree, ours: frozenset[str]) -> str | None:
    for path in sorted(was.keys() | (now.keys() - _not_ours_to_judge(view, name, ours))):
        old, new = was.get(path), now.get(path)
        if old == new or (new is None and path == view.stale[name]):
            continue
        if new is None and path == view.dump and (name, view.ctid) in view.world.ran:
            continue  # taken up by a start that was not ours
        if isinstance(old, Data) and isinstance(new, Data):
            continue  # written on meanwhile; the oracle judges that
        if isinstance(old, File) and isinstance(new, File) and bare(old) == bare(new):
            continue
        return path
    return None


def _of_others(view: View, name: str) -> set[str]:
    """What came there meanwhile and is none of ours."""
    return {path for node, path, _ in view.world.others if node == name}


def _as_planned(view: View, ours: frozenset[str] = OURS) -> str | None:
    """The new config, the old one under its backup name; nothing else is left of the container or of the run."""
    node, old, was = view.world.nodes[view.destination], view.world.nodes[view.source], view.start
    assert view.plan.config is not None
    prefix = f"{CONF_DIR}/{view.ctid}."
    config, after = node.text(vz.config_path(view.ctid)), view.plan.config.after
    if config is None or plain(config) != plain(after) or ("vzplan" in config and "vzplan" not in after):
        return f"the config on {view.destination} is not the planned one"
    scripts = {p for p in was.nodes[view.source].tree if p.startswith(prefix) and ".migrated" not in p}
    private, root = view.private(view.destination), view.root(view.destination)
    hooks = {step.do.argv[1] for step in view.plan.steps if step.id.startswith("hook-")}
    wanted = was.nodes[view.destination].tree.keys() | scripts | hooks | {private, root, private + FILES}
    memory = view.first == "suspended"
    wanted |= {view.dump_there} if memory else set()
    left = sorted(node.tree.keys() - wanted - _not_ours_to_judge(view, node.name, ours))
    if left:
        return f"{left[0]} is left on {view.destination}"
    odd = _not_brought_along(view, scripts, hooks)
    if odd is not None:
        return f"{odd} on {view.destination} is missing, or is not what it was on {view.source}"
    gone = frozenset(path for path, _ in view.own) | ({view.dump} if memory else set())
    if not view.plan.asked.options.remove_area:
        area = view.private(view.source)
        kept = frozenset(p for p in gone if p == area or p.startswith(area + "/"))
        if not old.tree.keys() >= kept:
            return f"{area} on {view.source} was to be kept, and is gone"
        gone -= kept
    left = sorted(
        p
        for p in old.tree.keys() - (was.nodes[view.source].tree.keys() - gone)
        if not _backup(p, prefix) and p not in _not_ours_to_judge(view, old.name, ours)
    )
    if left:
        return f"{left[0]} is left on {view.source}"
    backups = [t for p, t in old.tree.items() if _backup(p, prefix) and p not in was.nodes[view.source].tree]
    if len(backups) != len(scripts):
        return f"{len(backups)} of {len(scripts)} of the container's configs and scripts were kept on {view.source}"
    if any(isinstance(t, File) and t.text is not None and t.text != without_fence(t.text) for t in backups):
        return f"the old config on {view.source} is still fenced"
    if memory and view.dump in old.disk:
        return f"a power cut would bring its old memory back on {view.source}"
    return _still_held(view)


def _not_brought_along(view: View, scripts: set[str], hooks: set[str]) -> str | None:
    """Of the config only who may read it is looked at here: what is in it is the plan's."""
    there, was = view.world.nodes[view.destination].tree, view.was.tree
    missing = sorted((scripts | hooks | {view.private(view.destination)}) - there.keys())
    changed = sorted(
        path
        for path in scripts & there.keys()
        if was[path] != there[path]
        and not (path == vz.config_path(view.ctid) and _mode(was[path]) == _mode(there[path]))
    )
    return next(iter(missing + changed), None)


def _mode(thing: Thing) -> int | None:
    return thing.mode if isinstance(thing, File) else None


def _still_held(view: View) -> str | None:
    """Locks and mounts that the run has left behind."""
    node, old, was = view.world.nodes[view.destination], view.world.nodes[view.source], view.start
    for each in (node, old):
        if each.living - was.nodes[each.name].living:
            return f"a process that holds a lock is left on {each.name}"
        held = [mount.point for mount in each.mounts if DUMP_PLACE in mount.point]
        if held:
            return f"{held[0]} is still mounted on {each.name}"
        odd = None if each.boots or each.name in view.world.meddled else _others_differ(view, each)
        if odd is not None:
            return f"{odd} on {each.name} is not as it was"
    if old.lun_at(view.private(view.source)) is not None:
        return f"{view.private(view.source)} is still mounted on {view.source}"
    return _dump_left(view)


def _others_differ(view: View, node: NodeState) -> str | None:
    """Of a node that never booted: other containers, and what is mounted elsewhere than where this one is."""
    was, own = view.start.nodes[node.name], {view.private(node.name)}
    for ctid in sorted(
        (was.running.keys() | node.running.keys() | was.roots.keys() | node.roots.keys()) - {view.ctid}
    ):
        if (was.running.get(ctid), was.roots.get(ctid)) != (node.running.get(ctid), node.roots.get(ctid)):
            return f"container {ctid}"
    mounts = {m for m in was.mounts if m.point not in own} ^ {m for m in node.mounts if m.point not in own}
    return min((f"what is mounted at {m.point}" for m in mounts), default=None)


def _luns_differ(view: View) -> str | None:
    for lun, first in view.start.luns.items():
        if lun != view.lun and view.world.luns[lun].data != first.data:
            return f"{lun} is not as it was"
    return _dump_left(view)


def _dump_left(view: View) -> str | None:
    """On a device that carried it."""
    left = [lun for lun, first in view.start.luns.items() if view.world.luns[lun].dumps != first.dumps]
    return f"a memory dump is left on {left[0]}" if left else None


def _backup(path: str, prefix: str) -> bool:
    return path.startswith(prefix) and ".migrated" in path


AT_THE_END: Final[tuple[tuple[str, Callable[[View, Stop], str | None]], ...]] = (
    ("I8", i8_outcome_is_true),
    ("I8", i8_something_is_left),
    ("I8", i8_a_wish_is_heeded),
    ("R12", r12_doubt_has_a_reason),
)
