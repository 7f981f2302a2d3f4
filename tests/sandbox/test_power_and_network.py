"""Nodes lose power and boot again, or cannot be reached, in every zone of a move: it ends as the invariants say.

The controller is elsewhere and lives on, unless a test says otherwise. ``VZPLAN_SOAK=1``: all five ways, every step.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from executor import control
from executor.journal import MemoryJournal
from executor.signals import Signals
from executor.simulated import boot
from planner.make import make_plan
from planner.plan import Opened, Outcome, Step, Stop, What, Zone
from tests.sandbox import Sandbox, cut_network, restore_network
from tests.sandbox.beside import comparable, simulated
from tests.sandbox.driving import Telling, changes
from tests.sandbox.supervisor import NAMES
from tests.sandbox.test_moves import WAYS
from tests.sandbox.watched import Watching, World, mounted_on, over_boots, runs_on

SOAK: Final = os.environ.get("VZPLAN_SOAK") == "1"

Trouble = Callable[[Sandbox, str], None]
"""What befalls a node."""


def reboot(box: Sandbox, name: str) -> None:
    """It loses power, and boots at once."""
    box.reboot(name)


def cut_off(box: Sandbox, name: str) -> None:
    """Nobody reaches it any more."""
    cut_network({node.name: node for node in box.nodes}[name])


def back_again(box: Sandbox, name: str) -> None:
    """It can be reached again."""
    restore_network({node.name: node for node in box.nodes}[name])


def blink(box: Sandbox, name: str) -> None:
    """It is cut off, and can be reached again at once."""
    cut_off(box, name)
    back_again(box, name)


END: Final = {False: Outcome.UNWOUND, True: Outcome.MIGRATED}


def is_noticed(steps: tuple[Step, ...], at: int, name: str) -> bool:
    """Whether the node had been spoken to before step ``at``, and is asked once more up to the pivot."""
    pivot = next(n for n, step in enumerate(steps) if step.zone is Zone.PIVOT)
    asked = [n for n, step in enumerate(steps[: pivot + 1]) if step.do.node == name]
    return any(n < at for n in asked) and any(n >= at for n in asked)


# --- back at once: the run itself ends it ---------------------------------------------------------------------------

ZONES: Final = ("make-private", "stop", "hide-config", "bring-up", "ensure-up", "tidy-backup")
"""A step of each zone; two of those after the pivot."""
FEW: Final = ("stop", "tidy-backup")
REBOOTS: Final = [
    ("d2", "hn1", reboot, ZONES),
    ("d2", "hn2", reboot, ZONES),
    ("a", "hn1", reboot, ("copy-1", "hide-config")),
    ("a", "hn2", reboot, ("copy-last", "bring-up", "retire-private")),
    ("a", "hn1", blink, FEW),
    ("d2", "hn2", blink, FEW),
]
ALL_REBOOTS: Final = [
    (way, name, trouble, only)
    for way in WAYS
    for name in NAMES
    for trouble, only in ((reboot, None), (blink, ZONES))
]


def _ids(value: object) -> str | None:
    return getattr(value, "__name__", "" if isinstance(value, tuple) or value is None else None)


@pytest.mark.parametrize(("way", "name", "trouble", "only"), ALL_REBOOTS if SOAK else REBOOTS, ids=_ids)
def test_a_node_that_is_back_at_once_keeps_no_run_from_its_end(
    way: str, name: str, trouble: Trouble, only: tuple[str, ...] | None, tmp_path: Path
) -> None:
    strike_before_each(partial(World.new, way=way, folder=tmp_path), name, trouble, only)


LISTED: Final = [("d2", "hn1", reboot, FEW), ("a", "hn2", reboot, ("ensure-up",))]
ALL_LISTED: Final = [case for case in ALL_REBOOTS if case[2] is reboot]


@pytest.mark.parametrize(("way", "name", "trouble", "only"), ALL_LISTED if SOAK else LISTED, ids=_ids)
def test_a_node_that_starts_it_because_of_a_list_and_is_back_at_once_keeps_no_run_from_its_end(
    way: str, name: str, trouble: Trouble, only: tuple[str, ...] | None, tmp_path: Path
) -> None:
    strike_before_each(partial(World.new, way=way, folder=tmp_path, is_listed=True), name, trouble, only)


def strike_before_each(
    new: Callable[[ExitStack], World], name: str, trouble: Trouble, only: tuple[str, ...] | None
) -> None:
    """In new worlds: the node is struck before each step, or each of these, and the run ends as it is to."""
    with ExitStack() as stack:
        world = new(stack)
        steps = world.steps
        ids = [step.id for step in steps]
        for at in range(len(steps)) if only is None else map(ids.index, only):
            step = steps[at]
            watch = Watching({(What.DO, step.id): partial(trouble, world.box, name)}, box=world.box)
            stop, _ = world.apply(watch)
            print(f"{name} {trouble.__name__} before {step.id}: {stop}\n  {watch.moves}")
            moved = not is_noticed(steps, at, name)
            # Before anything is touched the nodes are looked at once more; that fails.
            refused = step.do.argv[0] == "own" and not moved
            world.assert_ended(stop, Outcome.REFUSED if refused else END[moved])
            if moved:  # else all is as it was, for the next one to begin with
                stack.close()
                world = new(stack)


REBOOTS_TWICE: Final = [("d2", "hn1", "hide-config"), ("a", "hn2", "bring-up")]
ALL_REBOOTS_TWICE: Final = [(way, name, step) for way in WAYS for name in NAMES for step in ZONES[:-1]]


@pytest.mark.parametrize(("way", "name", "step"), ALL_REBOOTS_TWICE if SOAK else REBOOTS_TWICE)
def test_a_reboot_of_a_simulated_node_takes_the_same_moves_and_leaves_the_same_facts(
    way: str, name: str, step: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        world = World.new(stack, way, tmp_path / "state")
        request = world.driver.look(options=WAYS[way].there)
        site = simulated(request, tmp_path / "nodes")
        hook = partial(boot.reboot, site.world, site.world.nodes[name])
        watch, journal = Telling({(What.DO, step): hook}), MemoryJournal(Opened("run", make_plan(request)))
        stop = control.apply(request, site, journal, control="x", signals=Signals(), watch=watch)
        real_watch = Watching({(What.DO, step): partial(reboot, world.box, name)}, box=world.box)
        real_stop, _ = world.apply(real_watch)
        assert stop.outcome is real_stop.outcome
        assert watch.moves == real_watch.moves
        real = over_boots(comparable(world.driver.facts()))
        assert "\n".join(changes(over_boots(comparable(site.facts(*NAMES))), real)) == ""


# --- in the middle of the pivot -------------------------------------------------------------------------------------

WAITS, RETURNS = "vzctl-start-waits", "vzctl-start-returns"
PIVOTS: Final = [("d2", "hn2", reboot, WAITS), ("d2", "hn1", reboot, RETURNS), ("a", "hn2", reboot, RETURNS)]
ALL_PIVOTS: Final = [
    (way, name, trouble, pipe)
    for way in WAYS
    for name in NAMES
    for trouble in (reboot, blink)
    for pipe in (WAITS, RETURNS)
]


def strike_in_the_pivot(
    world: World, pipe: str, strike: Callable[[], None], watch: Watching
) -> tuple[Stop, str]:
    """Move 123; ``strike`` comes when hn2's vzctl is at the pipe, that is after the pivot's mark is on disk."""
    world.box.hn2.sh(f"mkfifo /run/faults/{pipe}")
    place = world.box.hn2.path(f"/run/faults/{pipe}")
    said = os.open(place, os.O_RDONLY | os.O_NONBLOCK)

    def wait_and_strike() -> None:
        assert select.select([said], [], [], 120)[0], "the pivot was never reached"
        assert os.read(said, 5) == b"here\n"
        with watch.striking:
            strike()
            if place.exists():
                place.write_text("go on\n")

    with ThreadPoolExecutor() as pool:
        striking = pool.submit(wait_and_strike)
        ended = world.apply(watch)
        striking.result()
    os.close(said)
    return ended


@pytest.mark.parametrize(("way", "name", "trouble", "pipe"), ALL_PIVOTS if SOAK else PIVOTS, ids=_ids)
def test_a_pivot_that_is_struck_after_its_mark_goes_forward(
    way: str, name: str, trouble: Trouble, pipe: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        world = World.new(stack, way, tmp_path)

        def strike() -> None:
            assert runs_on(world.box.hn2) is (pipe == RETURNS)
            trouble(world.box, name)

        watch = Watching(box=world.box)
        stop, _ = strike_in_the_pivot(world, pipe, strike, watch)
        print(stop, watch.moves)
        assert ((What.PROBE, "bring-up", 10) in watch.moves) is (name == "hn2")
        world.assert_ended(stop, Outcome.MIGRATED)


# --- not back before the run has given up ---------------------------------------------------------------------------


class Away(NamedTuple):
    """A node that goes before a step and stays away, and how the run ends: then, by the operator's word, once back."""

    way: str
    name: str
    step: str
    ends: Outcome
    if_off: Outcome
    moved: bool


AWAYS: Final = [
    Away("a", "hn2", "copy-last", Outcome.UNWOUND_NOT_CLEANED, Outcome.UNWOUND_NOT_CLEANED, False),
    Away("d2", "hn1", "hide-config", Outcome.IN_DOUBT, Outcome.DOWN, False),
    Away("d2", "hn2", "mount-destination", Outcome.IN_DOUBT, Outcome.UNWOUND_NOT_CLEANED, False),
    Away("d2", "hn2", "bring-up", Outcome.IN_DOUBT, Outcome.IN_DOUBT, False),
    Away("d2", "hn2", "ensure-up", Outcome.IN_DOUBT, Outcome.DOWN, True),
]
ALL_AWAYS: Final = [
    *AWAYS,
    Away("a", "hn1", "make-private", Outcome.IN_DOUBT, Outcome.DOWN, False),
    Away("a", "hn1", "copy-last", Outcome.IN_DOUBT, Outcome.DOWN, False),
    Away("a", "hn1", "bring-up", Outcome.MIGRATED_NOT_CLEANED, Outcome.MIGRATED_NOT_CLEANED, True),
    Away("a", "hn2", "bring-up", Outcome.IN_DOUBT, Outcome.IN_DOUBT, False),
    Away("a", "hn1", "retire-private", Outcome.MIGRATED_NOT_CLEANED, Outcome.MIGRATED_NOT_CLEANED, True),
    Away("b", "hn2", "copy-last", Outcome.IN_DOUBT, Outcome.UNWOUND_NOT_CLEANED, False),
    Away("d2", "hn1", "stop", Outcome.IN_DOUBT, Outcome.DOWN, False),
    Away("d2", "hn2", "stop", Outcome.UNWOUND_NOT_CLEANED, Outcome.UNWOUND_NOT_CLEANED, False),
    Away("d2", "hn1", "bring-up", Outcome.MIGRATED_NOT_CLEANED, Outcome.MIGRATED_NOT_CLEANED, True),
    Away("d2", "hn2", "unlock-hn2", Outcome.MIGRATED_NOT_CLEANED, Outcome.MIGRATED_NOT_CLEANED, True),
    Away("d2", "hn1", "tidy-backup", Outcome.MIGRATED_NOT_CLEANED, Outcome.MIGRATED_NOT_CLEANED, True),
]


def _away_id(away: Away) -> str:
    return f"{away.way}-{away.name}-{away.step}"


CUT_OFF: Final = [
    away
    for away in ALL_AWAYS
    if _away_id(away) in {"d2-hn1-stop", "d2-hn1-hide-config", "d2-hn2-bring-up", "d2-hn2-unlock-hn2"}
]
"""One in the freeze, in the transfer, in the pivot and behind it."""


@pytest.fixture
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run waits for a node that is not back is not what is tried here."""
    monkeypatch.setattr("planner.saga.PATIENCE_S", (0,))


@pytest.mark.usefixtures("_no_patience")
@pytest.mark.parametrize("away", ALL_AWAYS if SOAK else AWAYS, ids=_away_id)
def test_a_node_without_power_is_passed_by_the_operators_word_and_ended_with_once_it_is_back(
    away: Away, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        world = World.new(stack, away.way, tmp_path)
        hooks = {(What.DO, away.step): partial(world.box.power_cut, away.name)}
        stop, run = world.apply(Watching(hooks, box=world.box))
        assert stop.outcome is away.ends, stop
        world.assert_safe(stop, moved=away.moved)
        stop = world.recover(run, away.name)
        assert stop.outcome is away.if_off, stop
        world.assert_safe(stop, moved=away.moved)
        world.box.boot(away.name)
        world.assert_safe(stop, moved=away.moved)
        world.assert_ended(world.recover(run), END[away.moved])
        world.assert_ended(world.recover(run), END[away.moved])  # once more changes nothing (I10)


@pytest.mark.usefixtures("_no_patience")
@pytest.mark.parametrize("away", ALL_AWAYS if SOAK else CUT_OFF, ids=_away_id)
def test_a_node_that_cannot_be_reached_is_waited_for(away: Away, tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World.new(stack, away.way, tmp_path)
        hooks = {(What.DO, away.step): partial(cut_off, world.box, away.name)}
        stop, run = world.apply(Watching(hooks, box=world.box))
        assert stop.outcome is away.ends, stop
        world.assert_safe(stop, moved=away.moved)
        # It may be in the middle of anything: to try once more changes nothing.
        assert world.recover(run).outcome is away.ends
        world.assert_safe(stop, moved=away.moved)
        back_again(world.box, away.name)
        world.assert_ended(world.recover(run), END[away.moved])


@pytest.mark.usefixtures("_no_patience")
@pytest.mark.parametrize("way", WAYS if SOAK else ("d2",))
def test_a_start_that_nobody_heard_of_is_left_alone_until_its_node_can_be_asked(
    way: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        world = World.new(stack, way, tmp_path)
        box = world.box
        stop, run = strike_in_the_pivot(world, RETURNS, partial(cut_off, box, "hn2"), Watching(box=box))
        assert stop.outcome is Outcome.IN_DOUBT, stop
        assert runs_on(box.hn2)
        world.assert_safe(stop, moved=True)
        restore_network(box.hn2)
        world.assert_ended(world.recover(run), Outcome.MIGRATED)


@pytest.mark.usefixtures("_no_patience")
@pytest.mark.parametrize("way", WAYS if SOAK else ("d2",))
def test_that_a_node_is_off_never_proves_that_nothing_started_there(way: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World.new(stack, way, tmp_path)
        box = world.box
        stop, run = strike_in_the_pivot(world, WAITS, partial(box.power_cut, "hn2"), Watching(box=box))
        for _ in range(2):
            assert stop.outcome is Outcome.IN_DOUBT, stop
            assert not runs_on(box.hn1)
            if way == "d2":  # after a copy the old device may stay where it is
                assert mounted_on(box.hn1) == set()
            stop = world.recover(run, "hn2")
        assert "that hn2 is off does not tell" in stop.because
        box.boot("hn2")
        world.assert_ended(world.recover(run), Outcome.MIGRATED)


# --- the controller is dead too -------------------------------------------------------------------------------------


class Dead(BaseException):
    """The controller is no more."""


DEATHS: Final = [
    ("d2", NAMES, ("see-mounted", "mount-destination", "bring-up", "remove-private")),
    ("a", NAMES, ("copy-last",)),
]
ALL_DEATHS: Final = [(way, names, None) for way in WAYS for names in (("hn1",), ("hn2",), NAMES)]


@pytest.mark.parametrize(
    ("way", "names", "only"),
    ALL_DEATHS if SOAK else DEATHS,
    ids=[f"{way}-{'-'.join(names)}" for way, names, _ in (ALL_DEATHS if SOAK else DEATHS)],
)
def test_a_controller_and_nodes_that_go_down_together_leave_the_rest_to_one_recover(
    way: str, names: tuple[str, ...], only: tuple[str, ...] | None, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        world = World.new(stack, way, tmp_path)
        steps = {step.id: step for step in world.steps}
        for step in steps.values() if only is None else map(steps.__getitem__, only):

            def die(box: Sandbox = world.box) -> None:
                for name in names:
                    box.reboot(name)
                raise Dead

            with pytest.raises(Dead):
                world.apply(Watching({(What.DO, step.id): die}, box=world.box))
            run = max((world.driver.state / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns).name
            stop = world.recover(run)
            print(f"{names} before {step.id}: {stop}")
            moved = step.zone is Zone.RETIRE
            world.assert_ended(stop, END[moved])
            if moved:
                stack.close()
                world = World.new(stack, way, tmp_path)


@pytest.mark.parametrize("way", WAYS if SOAK else ("d2",))
def test_all_of_them_go_down_in_the_middle_of_the_pivot(way: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World.new(stack, way, tmp_path)
        box = world.box

        def strike() -> None:
            for name in NAMES:
                box.power_cut(name)

        def die() -> None:
            raise Dead

        watch = Watching({(What.SETTLE, "hn2"): die}, box=box)
        with pytest.raises(Dead):
            strike_in_the_pivot(world, WAITS, strike, watch)
        (run,) = (path.name for path in (world.driver.state / "runs").iterdir())
        for name in NAMES:
            box.boot(name)
        assert not any(runs_on(node) for node in box.nodes)
        world.assert_ended(world.recover(run), Outcome.MIGRATED)
