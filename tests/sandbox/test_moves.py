"""Real containers, moved: five ways, running, mounted and stopped, there and back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from msgspec import structs

from cli.trust import TRIED_BEFORE
from executor.journal import read_journal
from executor.times import times
from planner.model import Options, State
from planner.plan import Ended, Exited, Outcome, What
from planner.verbs import AUTO_PASSES
from tests.sandbox import Node, Sandbox, counter, leftovers, population, tree_hash
from tests.sandbox.beside import same_move
from tests.sandbox.driving import CTID, PRIVATE, Driver
from tests.sandbox.nodes import assert_counts_on
from tests.sandbox.supervisor import NAMES


class Way(NamedTuple):
    """A way: the world it begins in, its flags there and back, and the disk that is made anew in between."""

    world: str
    there: Options
    back: Options
    anew: str | None = None


WAYS: Final = {
    "a": Way("shared", Options(), Options()),
    "b": Way("shared", Options(dst_device="/dev/sdg1", install_hooks=True), Options(dst_shared=True)),
    "c": Way("san", Options(dst_shared=True), Options(dst_device="/dev/sda1"), anew="/dev/sda1"),
    "d1": Way("san", Options(dst_device="/dev/sdg1"), Options(dst_device="/dev/sda1"), anew="/dev/sda1"),
    "d2": Way("san", Options(), Options()),
}
STATES: Final = (State.RUNNING, State.MOUNTED, State.STOPPED, State.SUSPENDED)
SPARED: Final = (
    []
    if os.environ.get("VZPLAN_SOAK") == "1"
    else [(way, State.MOUNTED) for way in ("a", "c", "d1")]
    + [(way, State.SUSPENDED) for way in ("b", "c", "d1")]
)
"""Each takes ten seconds and more; what they have of their own is the state that others are moved in, too."""
CASES: Final = [(way, state) for way in WAYS for state in STATES if (way, state) not in SPARED]
IDS: Final = [f"{way}-{state}" for way, state in CASES]
ONTO: Final = [
    # Which filesystem it is copied onto, and back from, is seen at every mount; what the state changes is the same.
    ("b", State.RUNNING, "btrfs"),
    ("b", State.STOPPED, "xfs"),
    ("d1", State.STOPPED, "btrfs"),
    ("d1", State.RUNNING, "xfs"),
]
"""Way, state and what is on the device that it is copied onto, where that is not ext4."""


DUMP: Final = f"/vz/dump/Dump.{CTID}"
PAGES: Final = "head -c 3000000 /dev/urandom"
DUMPS: Final = {
    **dict.fromkeys("ac", f"umask 077; {PAGES} >{DUMP}; chmod 600 {DUMP}; sync"),  # by the kernel
    **dict.fromkeys(
        ("b", "d1", "d2"), f"umask 077; mkdir {DUMP}; {PAGES} >{DUMP}/pages.img; sync"
    ),  # by CRIU
}
"""How a dump comes to be on the source: a file, or a directory."""


@contextmanager
def in_state(way: str, state: State, spare: str = "ext4") -> Iterator[Sandbox]:
    """Nodes with 123 in that state on hn1; ``spare``: what is on the disk that is free."""
    with Sandbox(WAYS[way].world, running=state is State.RUNNING, spare=spare) as box:
        if state is State.MOUNTED:
            box.hn1.sh(f"vzctl mount {CTID}")
        if state is State.SUSPENDED:
            box.hn1.sh(DUMPS[way])
        yield box


def empty_again(box: Sandbox, way: str) -> None:
    """The disk that keeps its content when its container has left: as an operator makes it, who wants it back there."""
    if (device := WAYS[way].anew) is not None:
        box.hn1.sh(f"mke2fs -q -F -t ext4 {device}")


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


def memory(node: Node) -> str:
    """What is in the dump, and who may read it; nothing if there is none."""
    found = f"find {DUMP} -exec stat -c '%n %a %s' {{}} + -type f -exec sha256sum {{}} +"
    return node.sh(f"test ! -e {DUMP} || {found}")


def closed(box: Sandbox) -> dict[str, bool]:
    """By node that has a dump: whether nobody but its owner may do anything with it."""
    look = f"find /vz/dump -path '*/Dump.{CTID}*' -printf '%m\\n'"
    modes = {node.name: node.sh(look).split() for node in box.nodes}
    return {name: all(int(mode, 8) & 0o077 == 0 for mode in found) for name, found in modes.items() if found}


def holes_stay_holes(node: Node) -> bool:
    with readable(node):
        found = node.path(f"{PRIVATE}/srv/data/sparse").stat()
        return found.st_blocks * 512 < found.st_size // 8


@pytest.mark.parametrize(
    ("way", "state", "spare"),
    [*((way, state, "ext4") for way, state in CASES), *ONTO],
    ids=[*IDS, *(f"{way}-{state}-{spare}" for way, state, spare in ONTO)],
)
def test_a_container_moves_with_all_that_it_has_and_back(
    way: str, state: State, spare: str, tmp_path: Path
) -> None:
    with in_state(way, state, spare) as box:
        driver, flags = Driver(box, tmp_path), WAYS[way]
        before, hash_before, memory_before = driver.facts(), content(box.hn1), memory(box.hn1)
        assert (memory_before != "") == (state is State.SUSPENDED)
        seen: list[list[int]] = []
        # When the config is hidden the container is down, and its files are all there is of it.
        hook = {
            (What.DO, "hide-config"): lambda: seen.append([] if way == "d2" else counter(box.hn1, PRIVATE))
        }
        stop, watch, run, after = same_move(driver, flags.there, hook)
        assert stop.outcome is Outcome.MIGRATED, (stop, watch.moves)
        assert {what for what, *_ in watch.moves} == {What.DO}
        assert read_journal(driver.state, run).plan.way == way

        assert content(box.hn2) == hash_before
        assert holes_stay_holes(box.hn2)
        assert (memory(box.hn1), memory(box.hn2)) == ("", memory_before)
        assert after["hn1"].container(CTID) is None
        moved = after["hn2"].container(CTID)
        assert moved is not None
        assert moved.state is state
        numbers = count(box.hn2)
        if state is State.RUNNING:
            # Without a gap and without a number twice: nothing that was written is lost, and nobody wrote twice.
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) > len(seen[0])
            assert seen[0] == numbers[: len(seen[0])]
        else:
            assert numbers == []
        assert leftovers(box) == []
        # Everyone else's containers are as they were.
        for node in ("hn1", "hn2"):
            others = [c for c in before[node].containers if c.ctid != CTID]
            assert [c for c in after[node].containers if c.ctid != CTID] == others
            assert after[node].locks == ()
        assert {n for n in after["hn1"].conf_names if n.startswith(str(CTID))} == {f"{CTID}.conf.migrated"}
        if flags.world == "san" and way != "d2":  # the old device keeps its content
            box.hn1.sh(
                "mkdir /tmp/old; mount -o ro /dev/sda1 /tmp/old; test -f /tmp/old/srv/data/plain; umount /tmp/old"
            )

        # And back again.
        empty_again(box, way)
        stop, watch, _ = driver.apply(options=flags.back, source="hn2", destination="hn1")
        assert stop.outcome is Outcome.MIGRATED, (stop, watch.moves)
        assert content(box.hn1) == hash_before
        assert (memory(box.hn1), memory(box.hn2)) == (memory_before, "")
        again = driver.facts()
        was, now = before["hn1"].container(CTID), again["hn1"].container(CTID)
        assert was is not None
        assert was.config is not None
        assert now is not None
        assert now.state is state
        by_id = "/dev/disk/by-id/wwn-0x600508b4000971f0"
        lines = (now.config or "").replace(by_id, "/dev/sda1").splitlines()
        assert sorted(lines) == sorted(was.config.splitlines())
        numbers = count(box.hn1)
        assert numbers == list(range(1, len(numbers) + 1))
        assert leftovers(box) == []


def tokens(node: Node) -> list[tuple[int, str]]:
    """What the container has counted, each with what is nowhere but in its memory."""
    lines = node.path(f"{PRIVATE}/tokens").read_text().replace("\0", "").splitlines()
    return [(int(number), token) for number, token in (line.split() for line in lines)]


KINDS: Final = ("online", "staged")
HOWS: Final = (*KINDS, "online-by-device", "staged-by-device")
"""How a container keeps its memory: a whole checkpoint or a staged one, and by which road that goes."""
CARRIERS: Final = ("/dev/sdb1", "/dev/sdg1")
"""What hn1 and hn2 call the device that carries the memory."""
KEPT: Final = [
    *((way, how) for way in WAYS for how in KINDS),
    *(("d2", how) for how in HOWS if how not in KINDS),
]


def kept(box: Sandbox, how: str, flags: Options, carrier: str = CARRIERS[0]) -> Options:
    """The flags by which it keeps its memory, and kernels that fit; "": it does not."""
    if "staged" in how:
        for node in box.nodes:
            population.make_staged(node.path("/"))
    return structs.replace(
        flags, online=how in HOWS, dump_device=carrier if how.endswith("by-device") else None
    )


@pytest.mark.parametrize(("way", "how"), KEPT, ids=[f"{way}-{how}" for way, how in KEPT])
def test_a_container_keeps_its_memory_when_it_is_moved_online_and_back(
    way: str, how: str, tmp_path: Path
) -> None:
    with in_state(way, State.RUNNING) as box:
        driver, flags, by_device = Driver(box, tmp_path), WAYS[way], how.endswith("by-device")
        hash_before = content(box.hn1)
        ((_, token),) = tokens(box.hn1)[:1]
        for node, flag, ends, carrier in (
            (box.hn2, flags.there, ("hn1", "hn2"), CARRIERS[0]),
            (box.hn1, flags.back, ("hn2", "hn1"), CARRIERS[1]),
        ):
            options = kept(box, how, flag, carrier)
            seen: list[dict[str, bool]] = []
            look = {(What.DO, "bring-up"): lambda seen=seen: seen.append(closed(box))}
            if node is box.hn2:
                stop, watch, _, facts = same_move(driver, options, look)
            else:
                stop, watch, _ = driver.apply(look, options=options, source=ends[0], destination=ends[1])
                facts = driver.facts()
            assert stop.outcome is Outcome.MIGRATED, (stop, watch.moves)
            assert {what for what, *_ in watch.moves} == {What.DO}
            done = {at for _, at, _ in watch.moves}
            assert ("freeze" in done) is ("staged" in how)
            assert ("copy-dump" in done) is not by_device
            # Just before it is taken up the dump is at both ends, but for a device that has been handed over.
            assert seen == [dict.fromkeys(ends[1:] if by_device else NAMES, True)]
            assert content(node) == hash_before
            moved = facts[ends[1]].container(CTID)
            assert moved is not None
            assert moved.state is State.RUNNING
            # Not started anew, without a gap, and without a number twice; and it counts on.
            assert_counts_on(node, PRIVATE)
            numbers, known = zip(*tokens(node), strict=True)
            assert set(known) == {token}
            assert numbers == tuple(range(1, len(numbers) + 1))
            assert (memory(box.hn1), memory(box.hn2)) == ("", "")
            assert leftovers(box) == []
            if by_device:
                assert on_device(node, CARRIERS[ends[1] == "hn2"]) == ["lost+found"]
            if node is box.hn2:
                empty_again(box, way)


def on_device(node: Node, device: str) -> list[str]:
    """What is at the top of a device that nobody has mounted."""
    return node.sh(
        f"mkdir /tmp/look; mount -o ro {device} /tmp/look; ls -A /tmp/look; umount /tmp/look; rmdir /tmp/look"
    ).split()


def test_it_is_copied_again_until_little_is_left_and_what_it_took_is_known(tmp_path: Path) -> None:
    with in_state("a", State.RUNNING) as box:
        driver, hash_before = Driver(box, tmp_path), content(box.hn1)
        stop, watch, run = driver.apply(options=Options(online=True, precopy="auto"))
        assert stop.outcome is Outcome.MIGRATED, (stop, watch.moves)
        assert content(box.hn2) == hash_before
        ((_, token),) = tokens(box.hn2)[:1]
        assert {known for _, known in tokens(box.hn2)} == {token}
        record = read_journal(driver.state, run)
        (said,) = (
            entry.outcome.out
            for entry in record.entries
            if isinstance(entry, Ended) and entry.at == "copy-auto" and isinstance(entry.outcome, Exited)
        )
        sent = [
            int(line.split()[2].replace(",", ""))
            for line in said.splitlines()
            if line.startswith("Literal data:")
        ]
        assert 2 <= len(sent) <= AUTO_PASSES
        assert sent[1] < sent[0] / 100  # all that it wrote meanwhile are some numbers
        # Before: the nodes measured all that an estimate needs. After: the journal has all times.
        guess = record.plan.estimate
        assert guess is not None
        assert guess.frozen_s is not None
        assert guess.memory_bytes
        assert record.plan.max_frozen_s == max(60, 5 * guess.frozen_s)
        took = times(record.plan, record.entries)
        assert took is not None
        assert took.frozen_s is not None
        named = {"suspend", "copy of the memory dump", "last pass of the copy", "bring up", "all else"}
        assert {part.what for part in took.parts} == named
        assert all(part.seconds > 0 for part in took.parts)
        assert leftovers(box) == []


def connections(box: Sandbox) -> list[int]:
    """How many each node has taken in so far."""
    return [node.path("/var/log/sshd.log").read_text().count("Accepted publickey") for node in box.nodes]


@pytest.mark.parametrize("way", ["a", "d2"])
def test_there_and_back_by_the_command_line(way: str, tmp_path: Path) -> None:
    with in_state(way, State.RUNNING) as box:
        driver = Driver(box, tmp_path)
        before, hash_before = driver.facts(), content(box.hn1)
        options = ("--ssh", f"-F {box.ssh_config}", "--yes")
        shown = driver.vzplan("show", str(CTID), "hn2", "--from", "hn1", *options[:2])
        assert shown.returncode == 0, shown.stdout + shown.stderr
        connected = connections(box)
        there = driver.vzplan("apply", str(CTID), "hn2", "--from", "hn1", *options)
        assert there.returncode == 0, there.stdout + there.stderr
        # One for facts and run together; and at the destination the source's own, which tries it, and copies.
        at_source, at_destination = (
            now - then for now, then in zip(connections(box), connected, strict=True)
        )
        assert at_source == 1
        assert at_destination == 2 if way == "d2" else at_destination > 2
        assert f"{shown.stdout.splitlines()[-1]}; {TRIED_BEFORE}" in there.stdout.splitlines()
        assert "MIGRATED: the container has moved" in there.stdout
        assert " s in all" not in there.stdout
        back = driver.vzplan("apply", str(CTID), "hn1", "--from", "hn2", "--times", *options)
        assert back.returncode == 0, back.stdout + back.stderr
        told = [" s in all\n", " s  stop\n", " s  bring up\n", " s  all else\n"]
        told.append(" s  hand over the device\n" if way == "d2" else " s  last pass of the copy\n")
        assert all(line in back.stdout for line in told), back.stdout
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
        assert leftovers(box) == []
        # The journals can be read by whoever comes later, and say how it ended.
        runs = driver.vzplan("runs").stdout.splitlines()
        assert len(runs) == 2
        assert all(line.endswith("MIGRATED") for line in runs)
        status = driver.vzplan("status", runs[0].split()[0])
        assert "container  was moved to hn1\n" in status.stdout
        later = driver.vzplan("status", runs[0].split()[0], "--times").stdout
        assert later.startswith(status.stdout)
        assert back.stdout.endswith(later.removeprefix(status.stdout))
