"""Moves between two kernels: nothing is lost, mounted twice or run twice."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from planner.model import State
from planner.plan import Outcome
from tests.kernels.alike import assert_as_in_the_sandbox
from tests.kernels.report import note
from tests.kernels.watched import WAYS, Watching, World, read_before, tokens

STATES: Final = (State.RUNNING, State.STOPPED)


CASES: Final = [
    pytest.param(way, state, marks=[pytest.mark.smoke] if (way, state) == ("d2", State.RUNNING) else [])
    for state in STATES
    for way in sorted(WAYS, reverse=True)
]


@pytest.mark.parametrize(("way", "state"), CASES)
def test_a_container_moves_to_another_kernel_with_all_that_it_has(
    way: str, state: State, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        world = World.new(stack, way, tmp_path, state)
        stop, run = world.move()
        world.assert_ended(stop, Outcome.MIGRATED)
        if way != "d2-lvm":  # the sandbox has no device-mapper
            assert_as_in_the_sandbox(way, state, world.driver.facts(), tmp_path / "box")
        note("move", f"{way}, {state}", stop.outcome.value, world.frozen_s(run))


@pytest.mark.parametrize("way", ["d2", "a", "b", "c", "d1"])
def test_a_container_moves_to_another_kernel_with_its_memory(way: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World.new(stack, way, tmp_path)
        stop, run = world.move(online=True)
        world.assert_ended(stop, Outcome.MIGRATED)
        assert_as_in_the_sandbox(way, State.RUNNING, world.driver.facts(), tmp_path / "box", online=True)
        known = tokens(world.box.hn2)
        assert {token for _, token in known} == {world.first.token}
        assert [number for number, _ in known] == list(range(1, len(known) + 1))
        note("move", f"{way}, running, with its memory by CRIU", stop.outcome.value, world.frozen_s(run))


def test_a_disk_that_the_destination_has_read_before_has_there_what_was_written_since(tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World.new(stack, "d2", tmp_path)
        hooks, worlds = read_before(world)
        stop, run = world.apply(Watching(hooks, box=world.box))
        worlds[-1].assert_ended(stop, Outcome.MIGRATED)
        note(
            "move", "d2, running, the destination had read the disk", stop.outcome.value, world.frozen_s(run)
        )
