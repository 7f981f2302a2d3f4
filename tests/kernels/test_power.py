"""A guest loses power where the journal says so, and boots again: it ends as the invariants say."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from planner.plan import Outcome, What, Zone
from tests.kernels.disks import NAMES
from tests.kernels.guests import Guests
from tests.kernels.report import note
from tests.kernels.watched import Watching, World
from tests.sandbox.test_power_and_network import END, ZONES, is_noticed


def reboot(box: Guests, name: str) -> None:
    """It loses power, and boots at once."""
    box.reboot(name)


@pytest.fixture
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run waits for a node that is not back is not what is tried here."""
    monkeypatch.setattr("planner.saga.PATIENCE_S", (0,))


@pytest.mark.smoke
@pytest.mark.usefixtures("_no_patience")
@pytest.mark.parametrize("step", ["hide-config"])
def test_a_source_that_is_back_later_is_ended_with_by_recover(step: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World.new(stack, "d2", tmp_path)
        box = world.box
        watch = Watching({(What.DO, step): partial(box.power_cut, "hn1")}, box=box)
        stop, run = world.apply(watch)
        assert stop.outcome is Outcome.IN_DOUBT, stop
        box.boot("hn1")
        stop = world.recover(run)
        world.assert_ended(stop, Outcome.UNWOUND)
        note("power", f"d2: hn1 before {step}, back after the run has given up; recover", stop.outcome.value)


CUTS: Final = [
    ("d2", "hn1", ZONES),
    ("d2", "hn2", ZONES),
    ("a", "hn1", ("copy-1", "hide-config")),
    ("a", "hn2", ("copy-last", "bring-up", "retire-private")),
    ("b", "hn2", ("copy-last", "bring-up")),
    ("c", "hn1", ("copy-last", "bring-up")),
    ("d1", "hn2", ("copy-last", "ensure-up")),
]


@pytest.mark.parametrize(("way", "name", "only"), CUTS, ids=[f"{way}-{name}" for way, name, _ in CUTS])
def test_a_node_that_is_back_at_once_keeps_no_run_from_its_end(
    way: str, name: str, only: tuple[str, ...], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        world = World.new(stack, way, tmp_path)
        steps = world.steps
        ids = [step.id for step in steps]
        for at in map(ids.index, only):
            watch = Watching({(What.DO, ids[at]): partial(reboot, world.box, name)}, box=world.box)
            stop, run = world.apply(watch)
            print(f"{name} before {ids[at]}: {stop}\n  {watch.moves}")
            moved = not is_noticed(steps, at, name)
            world.assert_ended(stop, END[moved])
            note(
                "power",
                f"{way}: {name} before {ids[at]}, back at once",
                stop.outcome.value,
                world.frozen_s(run),
            )
            if moved:  # else all is as it was, for the next one to begin with
                stack.close()
                world = World.new(stack, way, tmp_path)


class Dead(BaseException):
    """The controller is no more."""


@pytest.mark.parametrize("only", [("see-mounted", "mount-destination", "bring-up", "remove-private")])
def test_a_controller_and_both_nodes_that_go_down_together_leave_the_rest_to_one_recover(
    only: tuple[str, ...], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        world = World.new(stack, "d2", tmp_path)
        steps = {step.id: step for step in world.steps}
        for step in map(steps.__getitem__, only):

            def die(box: Guests = world.box) -> None:
                box.reboot(*NAMES)
                raise Dead

            with pytest.raises(Dead):
                world.apply(Watching({(What.DO, step.id): die}, box=world.box))
            run = max((world.driver.state / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns).name
            stop = world.recover(run)
            print(f"both before {step.id}: {stop}")
            world.assert_ended(stop, END[step.zone is Zone.RETIRE])
            note("power", f"d2: both, and the controller dies, before {step.id}; recover", stop.outcome.value)
            if step.zone is Zone.RETIRE:
                stack.close()
                world = World.new(stack, "d2", tmp_path)
