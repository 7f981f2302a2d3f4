"""Real containers, moved: both ways, running and stopped, there and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from planner.model import State
from planner.plan import Outcome, What
from tests.sandbox import Node, Sandbox, counter, leftovers, tree_hash
from tests.sandbox.driving import CTID, PRIVATE, Driver

CASES = [(world, running) for world in ("shared", "san") for running in (True, False)]
IDS = [f"{world}-{'running' if running else 'stopped'}" for world, running in CASES]


@contextmanager
def readable(node: Node) -> Iterator[None]:
    """The private area with its device mounted, if it is down and owns one."""
    device = node.sh(f"sed -n 's/^VE_DEVICE=\"\\(.*\\)\"/\\1/p' /etc/vz/conf/{CTID}.conf").strip()
    mounted = node.sh(f"grep -c ' {PRIVATE} ' /proc/self/mountinfo || true").strip() != "0"
    if device and not mounted:
        node.sh(f"mount {device} {PRIVATE}")
        yield
        node.sh(f"umount {PRIVATE}")
    else:
        yield


def content(node: Node) -> str:
    with readable(node):
        return tree_hash(node, PRIVATE)


def count(node: Node) -> list[int]:
    with readable(node):
        return counter(node, PRIVATE)


@pytest.mark.parametrize(("world", "running"), CASES, ids=IDS)
def test_a_container_moves_with_all_that_it_has(world: str, running: bool, tmp_path: Path) -> None:
    with Sandbox(world, running=running) as box:
        driver = Driver(box, tmp_path)
        before, hash_before = driver.facts(), content(box.hn1)
        seen: list[list[int]] = []
        # When the config is hidden the container is down, and its files are all there is of it.
        hook = {(What.DO, "hide-config"): lambda: seen.append(count(box.hn1) if world == "shared" else [])}
        stop, watch, _ = driver.apply(hook)
        assert stop.outcome is Outcome.MIGRATED, (stop, watch.moves)
        assert {what for what, *_ in watch.moves} == {What.DO}

        after = driver.facts()
        assert content(box.hn2) == hash_before
        assert after["hn1"].container(CTID) is None
        moved = after["hn2"].container(CTID)
        assert moved is not None
        assert moved.state is (State.RUNNING if running else State.STOPPED)
        numbers = count(box.hn2)
        if running:
            # Without a gap and without a number twice: nothing that was written is lost, and nobody wrote twice.
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) > len(seen[0])
            if world == "shared":
                assert seen[0] == numbers[: len(seen[0])]
        else:
            assert numbers == []
        assert leftovers(box) == []
        # Everyone else's containers are as they were.
        for node in ("hn1", "hn2"):
            others = [c for c in before[node].containers if c.ctid != CTID]
            assert [c for c in after[node].containers if c.ctid != CTID] == others
        assert after["hn1"].locks == after["hn2"].locks == ()
        assert set(after["hn1"].conf_names) == {
            *before["hn1"].conf_names,
            f"{CTID}.conf.migrated",
        } - {f"{CTID}.conf"}


@pytest.mark.parametrize(("world", "running"), CASES, ids=IDS)
def test_there_and_back_by_the_command_line(world: str, running: bool, tmp_path: Path) -> None:
    with Sandbox(world, running=running) as box:
        driver = Driver(box, tmp_path)
        before, hash_before = driver.facts(), content(box.hn1)
        options = ("--ssh", f"-F {box.ssh_config}", "--yes")
        there = driver.vzplan("apply", str(CTID), "hn2", "--from", "hn1", *options)
        assert there.returncode == 0, there.stdout + there.stderr
        assert "MIGRATED: the container has moved" in there.stdout
        back = driver.vzplan("apply", str(CTID), "hn1", "--from", "hn2", *options)
        assert back.returncode == 0, back.stdout + back.stderr
        assert content(box.hn1) == hash_before
        after = driver.facts()
        for node in ("hn1", "hn2"):
            # What stays of two moves: the old configs' backups, the root area that is made wherever it is not there,
            # and VE_DEVICE as a name that does not change.
            assert set(after[node].conf_names) - set(before[node].conf_names) == {f"{CTID}.conf.migrated"}
            roots = {"/vz/root", f"/vz/root/{CTID}"}
            assert [p for p in after[node].paths if p.path not in roots] == [
                p for p in before[node].paths if p.path not in roots
            ]
            assert [m.point for m in after[node].mounts] == [m.point for m in before[node].mounts]
            assert after[node].devices == before[node].devices
        was, now = before["hn1"].container(CTID), after["hn1"].container(CTID)
        assert was is not None
        assert was.config is not None
        assert now is not None
        by_id = "/dev/disk/by-id/wwn-0x600508b4000971f0"
        assert now.state == was.state
        assert (now.config or "").replace(by_id, "/dev/sda1") == was.config
        assert leftovers(box) == []
        # The journals can be read by whoever comes later, and say how it ended.
        runs = driver.vzplan("runs").stdout.splitlines()
        assert len(runs) == 2
        assert all(line.endswith("MIGRATED") for line in runs)
        status = driver.vzplan("status", runs[0].split()[0])
        assert "the pivot took effect: hn1 has the container" in status.stdout
