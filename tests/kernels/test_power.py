"""A guest loses power where the journal says so, and boots again: it ends as the invariants say."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from cli.exit_codes import OF_OUTCOME
from executor.journal import list_runs
from planner.plan import Outcome, What, Zone
from tests.kernels.disks import LUN, NAMES
from tests.kernels.guests import Guests
from tests.kernels.qemu import Guest
from tests.kernels.report import note
from tests.kernels.watched import (
    IN_THE_PIVOT,
    NONE,
    Impatient,
    Watching,
    World,
    comes_true,
    in_the_pivot,
    struck,
    tokens,
)
from tests.sandbox.test_power_and_network import ALL_AWAYS, AWAYS, END, ZONES, Away, is_noticed


@pytest.fixture
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run waits for a node that is not back is not what is tried here."""
    monkeypatch.setattr("planner.saga.PATIENCE_S", (0,))


LATER: Final = [away for away in ALL_AWAYS if away.way == "d2"]
"""By recover alone, without the operator's word."""


@pytest.mark.usefixtures("_no_patience")
@pytest.mark.parametrize(
    "away",
    [
        pytest.param(
            away,
            id=f"{away.name}-{away.step}",
            marks=[pytest.mark.smoke] if away.step == "hide-config" else [],
        )
        for away in LATER
    ],
)
def test_a_node_that_is_back_later_is_ended_with_by_recover(away: Away, tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World.new(stack, away.way, tmp_path)
        box = world.box
        watch = Watching({(What.DO, away.step): partial(box.power_cut, away.name)}, box=box)
        stop, run = world.apply(watch)
        assert stop.outcome is away.ends, stop
        box.boot(away.name)
        after = world.recover(run)
        world.assert_ended(after, END[away.moved])
        told = f"{away.way}: {away.name} before {away.step}, back after the run has given up; recover"
        note("power", told, f"{stop.outcome.value}, then {after.outcome.value}", world.frozen_s(run))


class Cut(NamedTuple):
    """Who loses power before which steps, each in a move of its own.

    ``unclean``: the disk that it had mounted, once 123 is on another: as it was when the power went.
    """

    way: str
    name: str
    steps: tuple[str, ...]
    unclean: frozenset[str] = frozenset()


CUTS: Final = [
    Cut("d2", "hn1", ZONES),
    Cut("d2", "hn2", ZONES),
    Cut("a", "hn1", ("copy-1", "hide-config")),
    Cut("a", "hn2", ("copy-last", "bring-up", "retire-private")),
    Cut("b", "hn2", ("copy-last", "bring-up")),
    Cut("c", "hn1", ("copy-last", "bring-up"), unclean=frozenset({LUN.name})),
    Cut("d1", "hn2", ("copy-last", "ensure-up")),
]


@pytest.mark.parametrize("cut", CUTS, ids=[f"{cut.way}-{cut.name}" for cut in CUTS])
def test_a_node_that_is_back_at_once_keeps_no_run_from_its_end(cut: Cut, tmp_path: Path) -> None:
    way, name = cut.way, cut.name
    with ExitStack() as stack:
        world = World.new(stack, way, tmp_path)
        steps = world.steps
        ids = [step.id for step in steps]
        for at in map(ids.index, cut.steps):
            watch = Watching({(What.DO, ids[at]): partial(world.box.reboot, name)}, box=world.box)
            stop, run = world.apply(watch)
            print(f"{name} before {ids[at]}: {stop}\n  {watch.moves}")
            moved = not is_noticed(steps, at, name)
            world.assert_ended(stop, END[moved], unclean=cut.unclean if moved else NONE)
            note(
                "power",
                f"{way}: {name} before {ids[at]}, back at once",
                stop.outcome.value,
                world.frozen_s(run),
            )
            if moved:  # else all is as it was, for the next one to begin with
                stack.close()
                world = World.new(stack, way, tmp_path)


# --- in the middle of a command -------------------------------------------------------------------------------------


def runs(guest: Guest, program: str) -> None:
    """Until such a process is there."""
    comes_true(guest, f"cat /proc/[0-9]*/comm 2>/dev/null | grep -x {program}")


@pytest.mark.parametrize("moment", ["waits", "returns"])
def test_a_pivot_that_loses_power_after_its_mark_goes_forward(moment: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World.new(stack, "d2", tmp_path)
        sign = in_the_pivot(world.box.hn2, moment)
        stop, run = struck(world, "bring-up", sign, partial(world.box.reboot, "hn2"))
        world.assert_ended(stop, Outcome.MIGRATED)
        told = f"d2: hn2 in the pivot, as vzctl {IN_THE_PIVOT[moment]} it"
        note("power", told, stop.outcome.value, world.frozen_s(run))


def test_a_copy_that_loses_power_is_taken_back(tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World.new(stack, "a", tmp_path)
        world = world.written_since("dd if=/dev/urandom of=large bs=1M count=20 2>/dev/null")
        world.box.hn1.sh("touch /run/faults/rsync-slow")
        box = world.box
        stop, run = struck(world, "copy-1", lambda: runs(box.hn2, "rsync"), partial(box.reboot, "hn2"))
        world.assert_ended(stop, Outcome.UNWOUND)
        told = "a: hn2 in the middle of copy-1, back at once"
        note("power", told, stop.outcome.value, world.frozen_s(run))


def test_a_dump_that_loses_power_is_not_taken_for_one(tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World.new(stack, "d2", tmp_path)
        box = world.box
        dumps = partial(runs, box.hn1, "criu")
        stop, run = struck(world, "suspend", dumps, partial(box.reboot, "hn1"), online=True)
        world.assert_ended(stop, Outcome.UNWOUND)
        told = "d2 online: hn1 while CRIU dumps, back at once"
        note("power", told, stop.outcome.value, world.frozen_s(run))


# --- with its memory ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "step"), [("hn1", "copy-dump"), ("hn1", "hide-config"), ("hn2", "bring-up")]
)
def test_a_dump_outlives_the_loss_of_power_and_is_taken_up_where_it_was_made(
    name: str, step: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        world = World.new(stack, "d2", tmp_path)
        watch = Watching({(What.DO, step): partial(world.box.reboot, name)}, box=world.box)
        stop, run = world.apply(watch, online=True)
        world.assert_ended(stop, Outcome.UNWOUND)
        assert {token for _, token in tokens(world.box.hn1)} == {world.first.token}
        told = f"d2 online: {name} before {step}, back at once: it goes on with its memory"
        note("power", told, stop.outcome.value, world.frozen_s(run))


# --- by the operator's word -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_no_patience")
@pytest.mark.parametrize("away", AWAYS, ids=lambda away: f"{away.way}-{away.name}-{away.step}")
def test_a_node_without_power_is_passed_by_the_operators_word_and_ended_with_once_it_is_back(
    away: Away, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        world = World.new(stack, away.way, tmp_path)
        box = world.box
        watch = Watching({(What.DO, away.step): partial(box.power_cut, away.name)}, box=box)
        stop, run = world.apply(watch)
        assert stop.outcome is away.ends, stop
        stop = world.recover(run, away.name)
        assert stop.outcome is away.if_off, stop
        box.boot(away.name)
        after = world.recover(run)
        world.assert_ended(after, END[away.moved])
        assert world.recover(run).outcome is after.outcome  # once more changes nothing (I10)
        world.assert_ended(after, END[away.moved])
        told = f"{away.way}: {away.name} before {away.step}, stays off; --node-is-off; back, and recover"
        outcomes = f"{away.ends.value}, then {stop.outcome.value}, then {after.outcome.value}"
        note("power", told, outcomes, world.frozen_s(run))


# --- all at once ----------------------------------------------------------------------------------------------------


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
            told = f"d2: both, and the controller dies, before {step.id}; recover"
            note("power", told, stop.outcome.value, world.frozen_s(run))
            if step.zone is Zone.RETIRE:
                stack.close()
                world = World.new(stack, "d2", tmp_path)


@pytest.mark.parametrize(("step", "moved"), [("hide-config", False), ("ensure-up", True)])
def test_a_controller_that_is_lost_with_a_node_and_its_journal_too_has_its_run_adopted_by_another(
    step: str, moved: bool, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        world = World.new(stack, "d2", tmp_path / "hn1")

        def die() -> None:
            world.box.power_cut("hn1")
            raise Dead

        with pytest.raises(Dead):
            world.apply(Watching({(What.DO, step): die}, box=world.box))
        (run,) = list_runs(world.driver.state)
        shutil.rmtree(world.driver.state)  # its disk is on a machine that is off
        world.box.boot("hn1")
        other = Impatient(world.box, tmp_path / "other")
        adopted = other.vzplan("recover", run, "--adopt", "hn2", "--ssh", f"-F {world.box.ssh_config}")
        world = replace(world, driver=other)
        stop = world.recover(run)
        assert adopted.returncode == OF_OUTCOME[stop.outcome], adopted.stdout + adopted.stderr
        world.assert_ended(stop, END[moved])
        told = f"d2: hn1, and the controller with its journal, before {step}; another adopts the run from hn2"
        note("power", told, stop.outcome.value, world.frozen_s(run))
