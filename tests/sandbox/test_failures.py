"""Things that go wrong on real nodes: each ends with the container at the source as before, and nothing left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from planner.model import State
from planner.plan import Outcome, What
from tests.sandbox import (
    Sandbox,
    counter,
    cut_network,
    end_busy,
    leftovers,
    make_busy,
    restore_network,
    tree_hash,
)
from tests.sandbox.driving import CTID, PRIVATE, Driver, Hooks

Break = Callable[[Sandbox], None]


def switch(name: str, text: str = "") -> str:
    return f"printf '%s\\n' '{text}' >/run/faults/{name}"


def start_fails(box: Sandbox) -> None:
    box.hn2.sh(switch("vzctl-start-fails"))


def busy(box: Sandbox) -> None:
    make_busy(box.hn1, PRIVATE)


def hook_hides_that_it_failed(box: Sandbox) -> None:
    box.hn1.sh(switch("umount-fails", PRIVATE))


def mount_fails(box: Sandbox) -> None:
    box.hn2.sh(switch("mount-fails", PRIVATE))


def disk_fills_up(box: Sandbox) -> None:
    box.hn1.sh(f"head -c 40000000 /dev/urandom >{PRIVATE}/srv/large")


def assert_as_before(box: Sandbox, driver: Driver, before: object, hash_before: str) -> None:
    assert driver.facts() == before
    assert tree_hash(box.hn1, PRIVATE) == hash_before
    assert leftovers(box) == []
    # It runs, goes on where it was, and nothing that it wrote is lost or twice there.
    numbers = counter(box.hn1, PRIVATE)
    deadline = time.monotonic() + 15
    while len(counter(box.hn1, PRIVATE)) <= len(numbers):
        assert time.monotonic() < deadline, "the container does not count on"
        time.sleep(0.02)
    numbers = counter(box.hn1, PRIVATE)
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(
    ("world", "trouble", "at"),
    [
        ("shared", start_fails, "start"),
        ("san", start_fails, "start"),
        ("san", busy, "release-source"),
        ("san", hook_hides_that_it_failed, "release-source"),
        ("san", mount_fails, "mount-destination"),
        ("shared", disk_fills_up, "copy-first"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_failure_is_unwound(world: str, trouble: Break, at: str, tmp_path: Path) -> None:
    with Sandbox(world, vz_mb=24 if trouble is disk_fills_up else 256) as box:
        driver = Driver(box, tmp_path)
        if trouble is disk_fills_up:
            trouble(box)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        assert before["hn1"].container(CTID) is not None
        if trouble is not disk_fills_up:
            trouble(box)
        stop, watch, _ = driver.apply()
        assert stop.outcome is Outcome.UNWOUND, (stop, watch.moves)
        failed = [name for what, name, status in watch.moves if what is What.DO and status != 0]
        assert failed == [at], (stop, watch.moves)
        assert_as_before(box, driver, before, hash_before)


def _cut_while_copying(box: Sandbox, *, comes_back: bool) -> tuple[Hooks, threading.Thread]:
    """Hooks that cut hn2's network once the copy's first bytes are there."""
    box.hn1.sh(switch("rsync-slow"))

    def cut() -> None:
        deadline = time.monotonic() + 60
        while not box.hn2.sh(f"ls -A {PRIVATE} 2>/dev/null || true"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        cut_network(box.hn2)
        if comes_back:
            restore_network(box.hn2)

    thread = threading.Thread(target=cut)
    return {(What.DO, "copy-first"): thread.start}, thread


def test_ssh_cut_in_the_middle_of_the_copy_and_back_again_is_unwound(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        disk_fills_up(box)  # it does not: there is room here, and it takes a while
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        hooks, thread = _cut_while_copying(box, comes_back=True)
        stop, watch, _ = driver.apply(hooks)
        thread.join()
        assert stop.outcome is Outcome.UNWOUND, (stop, watch.moves)
        assert (What.SETTLE, "hn2", 0) in watch.moves
        assert_as_before(box, driver, before, hash_before)


def test_ssh_cut_for_good_leaves_the_rest_to_one_recover(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        disk_fills_up(box)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        hooks, thread = _cut_while_copying(box, comes_back=False)
        stop, watch, run = driver.apply(hooks)
        thread.join()
        assert stop.outcome is Outcome.UNWOUND_NOT_CLEANED, (stop, watch.moves)
        assert {command.node for command in stop.left} == {"hn2"}
        status = box.hn1.sh(f"vzctl status {CTID}")
        assert status == f"CTID {CTID} exist mounted running\n"
        restore_network(box.hn2)
        assert driver.recover(run).outcome is Outcome.UNWOUND
        assert_as_before(box, driver, before, hash_before)
        assert driver.recover(run).outcome is Outcome.UNWOUND  # once more changes nothing (I10)
        assert driver.facts() == before


def test_a_busy_mount_that_is_freed_moves_at_the_second_try(tmp_path: Path) -> None:
    with Sandbox("san") as box:
        driver = Driver(box, tmp_path)
        pid = make_busy(box.hn1, PRIVATE)
        assert driver.apply()[0].outcome is Outcome.UNWOUND
        end_busy(box.hn1, pid)
        assert driver.apply()[0].outcome is Outcome.MIGRATED
        moved = driver.facts()["hn2"].container(CTID)
        assert moved is not None
        assert moved.state is State.RUNNING


def test_a_config_edited_after_the_plan_was_shown_refuses_the_move(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)

        def edit() -> None:
            box.hn1.sh(f"echo 'ONBOOT=\"no\"' >>/etc/vz/conf/{CTID}.conf")

        stop, watch, _ = driver.apply({(What.DO, "own-hn2"): edit})
        assert stop.outcome is Outcome.REFUSED, (stop, watch.moves)
        assert "ONBOOT" in stop.because
        assert leftovers(box) == []
