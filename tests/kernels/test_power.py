"""A guest loses power where the journal says so, and boots again: it ends as the invariants say."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from cli.exit_codes import OF_OUTCOME
from executor.journal import list_runs
from planner.plan import Outcome, Stop, What, Zone
from tests.kernels.disks import NAMES
from tests.kernels.guests import Guests
from tests.kernels.qemu import ANSWER_S, Guest
from tests.kernels.report import note
from tests.kernels.watched import Impatient, Watching, World, tokens
from tests.sandbox.test_power_and_network import AWAYS, END, ZONES, Away, is_noticed


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
            watch = Watching({(What.DO, ids[at]): partial(world.box.reboot, name)}, box=world.box)
            stop, run = world.apply(watch)
            print(f"{name} before {ids[at]}: {stop}\n  {watch.moves}")
            moved = not is_noticed(steps, at, name)
            # What was copied from stays as it was when the power went, with what is to be recovered.
            left = frozenset({"lun"}) if moved and (way, name) == ("c", "hn1") else frozenset()
            world.assert_ended(stop, END[moved], unclean=left)
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


def struck(
    world: World, step: str, sign: Callable[[], object], name: str, *, online: bool = False
) -> tuple[Stop, str]:
    """Move 123; ``name`` loses power while ``step`` is under way, once ``sign`` has returned, and boots at once."""
    watch = Watching(box=world.box)

    def strike() -> None:
        sign()
        with watch.striking:
            world.box.reboot(name)

    with ThreadPoolExecutor() as pool:
        striking: list[Future[None]] = []
        watch.hooks = {(What.DO, step): lambda: striking.append(pool.submit(strike))}
        stop, run = world.apply(watch, online=online)
        striking[0].result()
    came_of_it = [status for what, at, status in watch.moves if (what, at) == (What.DO, step)]
    assert came_of_it[0] != 0, watch.moves  # its answer was lost, or its other end
    return stop, run


def comes_true(guest: Guest, question: str) -> None:
    """Until a script says something. Asked again and again: others, who look at the guest, wait for each answer."""
    until = time.monotonic() + ANSWER_S
    while not guest.sh(question, check=False):
        assert time.monotonic() < until, question
        time.sleep(0.02)  # nothing in a guest tells of it


def runs(guest: Guest, program: str) -> None:
    """Until such a process is there."""
    comes_true(guest, f"cat /proc/[0-9]*/comm 2>/dev/null | grep -x {program}")


@pytest.mark.parametrize("moment", ["waits", "returns"])
def test_a_pivot_that_loses_power_after_its_mark_goes_forward(moment: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World.new(stack, "d2", tmp_path)
        hn2, pipe = world.box.hn2, f"/run/faults/vzctl-start-{moment}"
        # vzctl says there that it is about to start, or has.
        hn2.sh(f"mkfifo {pipe}; head -n 1 {pipe} </dev/null >/run/faults/said 2>/dev/null &")
        stop, run = struck(world, "bring-up", lambda: comes_true(hn2, "cat /run/faults/said"), "hn2")
        world.assert_ended(stop, Outcome.MIGRATED)
        told = f"d2: hn2 in the pivot, as vzctl {'has started' if moment == 'returns' else 'is to start'} it"
        note("power", told, stop.outcome.value, world.frozen_s(run))


def test_a_copy_that_loses_power_is_taken_back(tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World.new(stack, "a", tmp_path)
        world = world.written_since("dd if=/dev/urandom of=large bs=1M count=20 2>/dev/null")
        world.box.hn1.sh("touch /run/faults/rsync-slow")
        stop, _ = struck(world, "copy-1", lambda: runs(world.box.hn2, "rsync"), "hn2")
        world.assert_ended(stop, Outcome.UNWOUND)
        note("power", "a: hn2 in the middle of copy-1, back at once", stop.outcome.value)


def test_a_dump_that_loses_power_is_not_taken_for_one(tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World.new(stack, "d2", tmp_path)
        stop, run = struck(world, "suspend", lambda: runs(world.box.hn1, "criu"), "hn1", online=True)
        world.assert_ended(stop, Outcome.UNWOUND)
        note(
            "power", "d2 online: hn1 while CRIU dumps, back at once", stop.outcome.value, world.frozen_s(run)
        )


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
@pytest.mark.parametrize("away", AWAYS[1::3], ids=lambda away: f"{away.way}-{away.name}-{away.step}")
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
        told = f"{away.way}: {away.name} before {away.step}, stays off; --node-is-off; back, and recover"
        note("power", told, f"{away.ends.value}, then {stop.outcome.value}, then {after.outcome.value}")


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
            note("power", f"d2: both, and the controller dies, before {step.id}; recover", stop.outcome.value)
            if step.zone is Zone.RETIRE:
                stack.close()
                world = World.new(stack, "d2", tmp_path)


@pytest.mark.parametrize(("step", "moved"), [("hide-config", False), ("ensure-up", True)])
def test_a_controller_that_runs_on_a_node_is_lost_with_it_and_another_adopts_its_run(
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
        told = f"d2: hn1, on which the controller runs, before {step}; another adopts the run from hn2"
        note("power", told, stop.outcome.value)
