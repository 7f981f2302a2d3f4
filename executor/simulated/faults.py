"""The kinds of failure, as a closed table: to add one is one line in ``KINDS`` (and its action, if it is a new one).

A fault is a kind at one command. It may do something to the world before the command, let only some of the command's
effects happen, falsify or lose the answer, do something afterwards, or end the controller.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from executor.simulated import vz
from executor.simulated.boot import (
    happened_to_be_torn,
    happened_to_be_written,
    lose_power,
    power_back,
    reboot,
)
from executor.simulated.loading import HOME, OWNERS
from executor.simulated.tree import Dir, File, Thing
from executor.simulated.world import EDIT, NodeState, World
from planner.parse.config import without_fence

OTHER_RUN: Final = "another-run"

_FOUND: Final = re.compile(r"/dev/sd[a-z]+[0-9]+")
"""Names that say nothing but in which order the disks were found."""


class Answer(Enum):
    """What the controller hears of a command."""

    TRUE = "true"
    FAILS = "fails"  # an exit status of 1, whatever happened
    LOST = "lost"


class Dies(Enum):
    """When the controller ends, or cannot write its journal, which must come to the same."""

    NEVER = "never"
    AT_BEGAN = "at-began"  # Began could not be written
    BEFORE = "before"  # Began is written, the command did not go out
    AFTER = "after"  # the command was carried out
    AT_ENDED = "at-ended"  # Ended could not be written


class Then(Enum):
    """What the operator types when the run has ended open, or its controller is gone."""

    RECOVER = "recover"
    FORWARD = "forward"  # recover --forward, where that may be; else recover
    ADOPT = "adopt"  # the journal is gone too: recover --adopt
    OFF = "off"  # recover --node-is-off, while the node has no power; recover once it is back


class Scene(NamedTuple):
    """What an action may touch: the node that the command is for, and the other one."""

    world: World
    here: NodeState
    peer: NodeState
    source: NodeState
    destination: NodeState
    ctid: int
    points: frozenset[str]  # the container's private and root areas
    makes: tuple[str, Thing] | None = None  # what the command would make, if nobody had made it yet


Action = Callable[[Scene], None]


def _nothing(scene: Scene) -> None:
    pass


def _reboots(scene: Scene) -> None:
    reboot(scene.world, scene.here)


def _reboots_lucky(scene: Scene) -> None:
    reboot(scene.world, scene.here, keeps_all=True)


def _reboots_without_notes(scene: Scene) -> None:
    """Files are on the disk, and of the notes that were made of them before only those that were synced."""
    happened_to_be_written(scene.here, but=HOME)
    reboot(scene.world, scene.here)


def _reboots_torn(scene: Scene) -> None:
    """Names are on the disk, what was written under them is not. Notes are: those that are read are renamed."""
    happened_to_be_torn(scene.here, but=HOME)
    reboot(scene.world, scene.here)


def _peer_reboots(scene: Scene) -> None:
    reboot(scene.world, scene.peer)


def _names_move(scene: Scene) -> None:
    """The destination finds its disks anew, in another order: those that nothing uses have other names now."""
    node = scene.destination
    names = sorted(
        name
        for name, device in node.devices.items()
        if _FOUND.fullmatch(name) and not device.holders and not node.mounts_of(node.luns[device.number])
    )
    node.devices = {
        **node.devices,
        **{name: node.devices[names[number - 1]] for number, name in enumerate(names)},
    }
    node.renamed += 1


def _both_reboot(scene: Scene) -> None:
    """One power supply for both."""
    lose_power(scene.world, scene.here)
    lose_power(scene.world, scene.peer)
    power_back(scene.world)


def _cut_off(node: NodeState, *, back_in: int = 0) -> None:
    """It cannot be reached until so many commands have gone out anywhere; 0: until it is mended."""
    node.reachable, node.back_in = False, back_in


def _goes_away(scene: Scene) -> None:
    _cut_off(scene.here)


def _peer_goes_away(scene: Scene) -> None:
    _cut_off(scene.peer)


def _both_go_away(scene: Scene) -> None:
    """The controller's own network."""
    _cut_off(scene.here)
    _cut_off(scene.peer)


def _away_for(commands: int) -> Action:
    return lambda scene: _cut_off(scene.here, back_in=commands)


def _reboots_and_stays_away(scene: Scene) -> None:
    reboot(scene.world, scene.here)
    _cut_off(scene.here)


def _peer_reboots_and_stays_away(scene: Scene) -> None:
    reboot(scene.world, scene.peer)
    _cut_off(scene.peer)


def _power_lost(scene: Scene) -> None:
    lose_power(scene.world, scene.here)


def _peer_power_lost(scene: Scene) -> None:
    lose_power(scene.world, scene.peer)


def _busy(scene: Scene) -> None:
    """Something stands in the container's areas on this node: they cannot be unmounted until it leaves."""
    scene.here.busy = scene.points


def _free(scene: Scene) -> None:
    scene.here.busy = frozenset()


def _hush(scene: Scene) -> None:
    """This node's hooks do nothing and say that all is well."""
    scene.here.hushed = True


def _unhush(scene: Scene) -> None:
    scene.here.hushed = False


def _no_starts(scene: Scene) -> None:
    scene.here.stubborn |= {"start"}


def _no_mounts(scene: Scene) -> None:
    scene.here.stubborn |= {"mount"}


def _no_removals(scene: Scene) -> None:
    """Nothing can be removed here, until someone mends it: a file system gone read-only, a process inside."""
    scene.here.stubborn |= {"remove"}


def _all_will(scene: Scene) -> None:
    scene.here.stubborn = frozenset()


def _edits_config(scene: Scene) -> None:
    """Somebody sets the container's memory by hand, at the source, while its config is there."""
    node, path = scene.source, vz.config_path(scene.ctid)
    config = node.tree.get(path)
    if not node.dark and isinstance(config, File) and config.text is not None and EDIT not in config.text:
        node.put_lasting(path, File(config.text.rstrip("\n") + "\n" + EDIT, config.mode))
        scene.world.edited = True


def _operator(at: str, does: Callable[..., vz.Effects], *, skiplock: bool = False, **how: bool) -> Action:
    """What somebody does by hand with vzctl, on the source or the destination, if that has power."""

    def action(scene: Scene) -> None:
        node = scene.source if at == "source" else scene.destination
        if node.dark:
            return
        scene.world.meddled |= {node.name}
        for _ in does(scene.world, node, scene.ctid, skiplock=skiplock, **how):
            pass

    return action


def _forces_start(scene: Scene) -> None:
    """Somebody starts it at the source in spite of fence and lock, as long as it has never run at the destination."""
    if (scene.destination.name, scene.ctid) not in scene.world.ran:
        _operator("source", vz.start, force=True, skiplock=True)(scene)


def _forces_start_there(scene: Scene) -> None:
    """Somebody starts it at the destination in spite of fence and lock, since at the source it cannot be started.

    Where it is free to start at the source, the destination's name for it is a leftover, and vzplan has said so.
    """
    config = scene.source.text(vz.config_path(scene.ctid))
    if not scene.source.awake(scene.ctid) and (config is None or without_fence(config) != config):
        _operator("destination", vz.start, force=True, skiplock=True)(scene)


def _second_run(scene: Scene) -> None:
    """Another controller takes the container in hand on this node, if nobody has."""
    record = f"{OWNERS}/{scene.ctid}"
    if record not in scene.here.tree:
        if OWNERS not in scene.here.tree:
            scene.here.put_lasting(OWNERS, Dir(0o700))
        made = File(f"{OTHER_RUN} elsewhere", 0o600)
        scene.here.put_lasting(record, made)
        scene.world.others |= {(scene.here.name, record, made)}


def _second_run_gives_up(scene: Scene) -> None:
    """It could not have the other node, and takes its record back."""
    record = f"{OWNERS}/{scene.ctid}"
    if (scene.here.text(record) or "").startswith(OTHER_RUN):
        scene.here.drop(record)
        scene.world.sync(scene.here)
        scene.world.others = frozenset(o for o in scene.world.others if o[:2] != (scene.here.name, record))


def _another_makes_it(scene: Scene) -> None:
    """Someone makes what this command is about to make, a moment before it."""
    node = scene.here
    if scene.makes is None:
        return
    path, thing = scene.makes
    if path not in node.tree and path.rpartition("/")[0] in node.tree:
        node.put_lasting(path, thing)
        scene.world.others |= {(node.name, path, thing)}


class Kind(NamedTuple):
    """A kind of failure. Everything defaults to: nothing special."""

    name: str
    before: Action = _nothing
    effects: int | None = None  # how many effects happen; None: all
    each: bool = False  # one fault for every number of effects but none and all ("NAME-3")
    answer: Answer = Answer.TRUE
    after: Action = _nothing
    late: int = 0  # the command is carried out so many commands later, unless its node is settled
    dies: Dies = Dies.NEVER
    then: Then = Then.RECOVER
    goes_on: bool = False  # what is late is the rest of a copy, whose other end writes on
    wakes: int | None = (
        None  # it had only slept: it goes on before so many moves of who came after it; 0: at the end
    )


KINDS: Final[tuple[Kind, ...]] = (
    # the command
    Kind("fails-before", effects=0, answer=Answer.FAILS),
    Kind("fails-after", answer=Answer.FAILS),
    Kind("half", each=True, answer=Answer.FAILS),
    Kind("half-lost", each=True, answer=Answer.LOST),
    Kind("lost-before", effects=0, answer=Answer.LOST),
    Kind("lost-after", answer=Answer.LOST),
    Kind("late-1", effects=0, answer=Answer.LOST, late=1),
    Kind("late-2", effects=0, answer=Answer.LOST, late=2),
    Kind("late-3", effects=0, answer=Answer.LOST, late=3),
    Kind("goes-on", effects=1, answer=Answer.LOST, late=2, goes_on=True),
    Kind("goes-on-at-the-other-end", effects=1, answer=Answer.FAILS, late=3, goes_on=True),
    # the network: away from here on, back when all is mended
    Kind("unreachable", before=_goes_away),
    Kind("unreachable-after", after=_goes_away, answer=Answer.LOST),
    Kind("unreachable-half", each=True, after=_goes_away, answer=Answer.LOST),
    Kind("unreachable-next", after=_goes_away),
    Kind("peer-unreachable", before=_peer_goes_away),
    Kind("both-unreachable", before=_both_go_away),
    Kind("unreachable-for-2", before=_away_for(2)),
    Kind("unreachable-for-5", before=_away_for(5)),
    # power
    Kind("reboot-before", before=_reboots),
    Kind("reboot-after", after=_reboots),
    Kind("reboot-half", each=True, after=_reboots, answer=Answer.LOST),
    Kind(
        "reboot-half-lucky", each=True, after=_reboots_lucky, answer=Answer.LOST
    ),  # nothing unsynced was lost
    Kind("reboot-half-without-notes", each=True, after=_reboots_without_notes, answer=Answer.LOST),
    Kind("reboot-half-torn", each=True, after=_reboots_torn, answer=Answer.LOST),
    Kind("reboot-before-stays-away", before=_reboots_and_stays_away),
    Kind("reboot-half-stays-away", each=True, after=_reboots_and_stays_away, answer=Answer.LOST),
    Kind("reboot-after-stays-away", after=_reboots_and_stays_away, answer=Answer.LOST),
    Kind("peer-reboot", before=_peer_reboots),
    Kind("peer-reboot-half", each=True, after=_peer_reboots, answer=Answer.LOST),
    Kind("peer-reboot-stays-away", before=_peer_reboots_and_stays_away),
    Kind("both-reboot", before=_both_reboot),
    Kind("names-move", before=_names_move),
    # the controller
    Kind("killed-before", effects=0, dies=Dies.BEFORE),
    Kind("killed-half", each=True, dies=Dies.AFTER),
    Kind("killed-after", dies=Dies.AFTER),
    Kind("killed-late-1", effects=0, late=1, dies=Dies.AFTER),
    Kind("killed-late-2", effects=0, late=2, dies=Dies.AFTER),
    Kind("journal-fails-before", dies=Dies.AT_BEGAN),
    Kind("journal-fails-after", dies=Dies.AT_ENDED),
    Kind("killed-before-forward", effects=0, dies=Dies.BEFORE, then=Then.FORWARD),
    Kind("killed-half-forward", each=True, dies=Dies.AFTER, then=Then.FORWARD),
    Kind("killed-after-forward", dies=Dies.AFTER, then=Then.FORWARD),
    Kind("killed-late-forward", effects=0, late=1, dies=Dies.AFTER, then=Then.FORWARD),
    Kind("reboot-before-forward", before=_reboots, dies=Dies.AFTER, then=Then.FORWARD),
    Kind("reboot-after-forward", after=_reboots, dies=Dies.AFTER, then=Then.FORWARD),
    Kind("peer-reboot-forward", before=_peer_reboots, dies=Dies.AFTER, then=Then.FORWARD),
    # the controller, and a node with it
    Kind("reboot-and-killed", after=_reboots, dies=Dies.AFTER),
    Kind("reboot-half-and-killed", each=True, after=_reboots, dies=Dies.AFTER),
    Kind("peer-reboot-and-killed", after=_peer_reboots, dies=Dies.AFTER),
    Kind("both-reboot-and-killed", after=_both_reboot, dies=Dies.AFTER),
    # the controller's disk
    Kind("journal-lost-before", effects=0, dies=Dies.BEFORE, then=Then.ADOPT),
    Kind("journal-lost-half", each=True, dies=Dies.AFTER, then=Then.ADOPT),
    Kind("journal-lost-after", dies=Dies.AFTER, then=Then.ADOPT),
    Kind("journal-lost-and-reboot", after=_reboots, dies=Dies.AFTER, then=Then.ADOPT),
    Kind("journal-lost-and-peer-reboot", after=_peer_reboots, dies=Dies.AFTER, then=Then.ADOPT),
    # the controller was only asleep, and another one adopted the run
    Kind("sleeps-before", effects=0, dies=Dies.BEFORE, then=Then.ADOPT, wakes=0),
    Kind("sleeps-after", dies=Dies.AFTER, then=Then.ADOPT, wakes=0),
    Kind("sleeps-until-adopted", dies=Dies.AFTER, then=Then.ADOPT, wakes=1),
    Kind("sleeps-a-little", dies=Dies.AFTER, then=Then.ADOPT, wakes=2),
    Kind("sleeps-longer", dies=Dies.AFTER, then=Then.ADOPT, wakes=4),
    # a node without power, and the operator says so
    Kind("off", before=_power_lost, then=Then.OFF),
    Kind("off-half", each=True, after=_power_lost, answer=Answer.LOST, then=Then.OFF),
    Kind("off-after", after=_power_lost, then=Then.OFF),
    Kind("off-after-lost", after=_power_lost, answer=Answer.LOST, then=Then.OFF),
    Kind("peer-off", before=_peer_power_lost, then=Then.OFF),
    Kind("peer-off-and-killed", before=_peer_power_lost, dies=Dies.AFTER, then=Then.OFF),
    # the node's own tools
    Kind("hooks-hide-failure", before=_hush, after=_unhush),
    Kind("hooks-hide-every-failure", before=_hush),
    Kind("busy", before=_busy),
    Kind("busy-once", before=_busy, after=_free),
    Kind("will-not-start", before=_no_starts),
    Kind("will-not-start-once", before=_no_starts, after=_all_will),
    Kind("will-not-mount", before=_no_mounts),
    Kind("will-not-mount-once", before=_no_mounts, after=_all_will),
    Kind("will-not-be-removed", before=_no_removals),
    # people
    Kind("operator-starts-at-source", before=_operator("source", vz.start, force=False)),
    Kind("operator-forces-start-at-source", before=_forces_start),
    Kind("operator-stops-at-source", before=_operator("source", vz.stop)),
    Kind("operator-starts-at-destination", before=_operator("destination", vz.start, force=False)),
    Kind("operator-forces-start-at-destination", before=_forces_start_there),
    Kind("operator-stops-at-destination", before=_operator("destination", vz.stop)),
    # [seen] No fence keeps anybody from vzctl mount; a hidden config does. At the destination there is one: a double
    # mount by hand is none of I1, since it is by no step of ours, and by nothing that a node does alone.
    Kind("operator-mounts-at-source", before=_operator("source", vz.mount_root)),
    Kind("operator-edits-config", before=_edits_config),
    Kind("another-makes-it", before=_another_makes_it),
    Kind("second-run", before=_second_run, after=_second_run_gives_up),
)
"""Every kind of failure that is tried."""

BY_NAME: Final = {kind.name: kind for kind in KINDS}


class Fault(NamedTuple):
    """A kind at one command: ``effects`` says how many of an ``each`` kind."""

    kind: Kind
    effects: int | None

    @property
    def name(self) -> str:
        """As it is written in a schedule."""
        return f"{self.kind.name}-{self.effects}" if self.kind.each else self.kind.name


def faults(effects: int) -> list[Fault]:
    """Every fault that can hit a command which has so many effects when nothing fails."""
    return [
        Fault(kind, number)
        for kind in KINDS
        for number in (range(1, effects) if kind.each else (kind.effects,))
    ]


def fault(name: str) -> Fault:
    """The fault of that name.

    Raises:
        KeyError: there is no such kind.
    """
    if name in BY_NAME and not BY_NAME[name].each:
        return Fault(BY_NAME[name], BY_NAME[name].effects)
    kind, _, number = name.rpartition("-")
    if name in BY_NAME:
        raise KeyError(f"{name!r} needs a number, after how many effects: {name}-1")
    if kind not in BY_NAME or not BY_NAME[kind].each or not re.fullmatch("[1-9][0-9]?", number):
        raise KeyError(f"no kind of failure is called {name!r}; see executor/simulated/faults.py")
    return Fault(BY_NAME[kind], int(number))


NO_FAULT: Final = Fault(Kind("nothing"), None)
"""Nothing goes wrong; what every other one is compared with."""
