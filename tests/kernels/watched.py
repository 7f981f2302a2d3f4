"""A move of 123 between two kernels, looked at past vzplan: around every move, and whatever it ends as."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import structs

from executor.journal import read_journal
from executor.times import times
from planner.model import NodeFacts, Options, State
from planner.plan import Outcome, Step, Stop, What
from tests.kernels import snapshots
from tests.kernels.disks import BLOCK_BYTES, CTID, LUN, LUNS, POOL, PRIVATE, SPARE, START_BYTES, Lun
from tests.kernels.guests import WORLDS, Guests
from tests.kernels.qemu import NOTHING, Guest, Seen
from tests.sandbox.beside import same_move
from tests.sandbox.driving import Driver, Hooks, changes
from tests.sandbox.nodes import LOOK_FOR_LEFTOVERS, until
from tests.sandbox.watched import Guarding, assert_it_alone_moved, over_boots


class Way(NamedTuple):
    """A way: the world it begins in, its flags, and the disk that it ends on."""

    world: str
    flags: Options
    ends_on: Lun | None


WAYS: Final = {
    "a": Way("shared", Options(), None),
    "b": Way("shared", Options(dst_device=SPARE.seen_as("hn2"), install_hooks=True), SPARE),
    "c": Way("san", Options(dst_shared=True), None),
    "d1": Way("san", Options(dst_device=SPARE.seen_as("hn2")), SPARE),
    "d2": Way("san", Options(), LUN),
    "d2-lvm": Way("lvm", Options(), POOL),
}


def look(box: Guests) -> dict[str, Seen]:
    """Both nodes, at the same time."""
    with ThreadPoolExecutor() as pool:
        return dict(zip((guest.name for guest in box.nodes), pool.map(Guest.look, box.nodes), strict=True))


def dirty_on_disk(box: Guests) -> frozenset[str]:
    """The LUNs that some node has mounted read-write, by what is on the disks: no node's cache is asked."""
    found = set()
    for lun in LUNS:
        said = subprocess.run(
            ["dumpe2fs", "-h", f"{box.folder}/{lun.name}.img?offset={START_BYTES}"],
            capture_output=True,
            text=True,
            check=False,  # in the pool there is nothing in most worlds
        ).stdout
        assert lun is POOL or "Filesystem features:" in said, lun
        if "needs_recovery" in said:
            found.add(lun.name)
    return frozenset(found)


def dirty(guest: Guest) -> frozenset[str]:
    """The same, by what a node reads after a flush: in the end only, since that hides that one was missing."""
    found = set()
    for lun in LUNS:
        device = lun.filesystem
        if lun is POOL and not guest.sh(f"ls {device}", check=False):
            continue  # not in every world
        said = guest.sh(f"blockdev --flushbufs {device}; dumpe2fs -h {device} 2>/dev/null")
        (features,) = (
            line.split()[2:] for line in said.splitlines() if line.startswith("Filesystem features:")
        )
        if "needs_recovery" in features:
            found.add(lun.name)
    return frozenset(found)


def holding(lun: Lun | None, runs: bool) -> frozenset[str]:  # a plain question
    """The LUNs that are held for a container that owns this one."""
    return frozenset({lun.name}) if runs and lun is not None else frozenset()


@contextmanager
def readable(guest: Guest) -> Iterator[None]:
    """The private area with its device mounted, if it is down and owns one."""
    device = guest.sh(f"sed -n 's/^VE_DEVICE=\"\\(.*\\)\"/\\1/p' /etc/vz/conf/{CTID}.conf").strip()
    by_us = device and guest.sh(f"grep -c ' {PRIVATE} ' /proc/self/mountinfo || true").strip() == "0"
    if by_us:
        guest.sh(f"mount {device} {PRIVATE}")
    try:
        yield
    finally:
        if by_us:
            guest.sh(f"umount {PRIVATE}")


def content(guest: Guest) -> str:
    """See ``nodes.tree_hash``."""
    with readable(guest):
        return guest.tree_hash()


def counter(guest: Guest) -> list[int]:
    """What the container has counted, each on disk before it counts on; see ``node/init.sh`` for zeros."""
    with readable(guest):
        said = guest.sh(f"cat {PRIVATE}/counter 2>/dev/null || true").replace("\0", "")
        return [int(line) for line in said.splitlines()]


def tokens(guest: Guest) -> list[tuple[int, str]]:
    """The same, each with what is nowhere but in its memory; a power cut may have taken the last one."""
    lines = guest.sh(f"cat {PRIVATE}/tokens").replace("\0", "").splitlines()
    return [(int(number), token) for number, token in (line.split() for line in lines)]


def assert_counts_on(guest: Guest) -> None:
    """All that it has counted is there, once, and it goes on from there."""
    seen = counter(guest)
    until(lambda: len(counter(guest)) > len(seen))
    numbers = counter(guest)
    assert numbers == list(range(1, len(numbers) + 1))


def comes_true(guest: Guest, question: str) -> None:
    """Until a script says something. Asked again and again: others, who look at the guest, wait for each answer."""
    until(lambda: bool(guest.sh(question, check=False)))


def in_the_pivot(guest: Guest, moment: str) -> Callable[[], None]:
    """A sign for ``struck``: vzctl "waits", about to start 123 there, or "returns", having started it."""
    pipe = f"/run/faults/vzctl-start-{moment}"
    guest.sh(f"mkfifo {pipe}; head -n 1 {pipe} </dev/null >/run/faults/said 2>/dev/null &")
    return lambda: comes_true(guest, "cat /run/faults/said")


def leftovers(guest: Guest) -> list[str]:
    """See ``nodes``."""
    return guest.sh(LOOK_FOR_LEFTOVERS).splitlines()


@dataclass
class Watching(Guarding):
    """Of guests."""

    box: Guests = field(kw_only=True)

    def seen(self) -> Iterable[tuple[frozenset[str], bool]]:
        """See ``Guarding``."""
        return look(self.box).values()


def read_before(world: World) -> tuple[Hooks, list[World]]:
    """Hooks by which hn2 has read the whole disk of 123, which is open there, before 123 writes for the last time.

    The list has the world as it must be found then. What hn2 has read stays in its memory: while the disk is open, and
    if it has been read in the blocks of its filesystem, as when it was mounted there before. (Else a mount, which
    changes their size, forgets all that was read: fs/ext4/super.c, ``sb_set_blocksize``.)
    """
    own, worlds = WORLDS[world.way.world], [world]
    assert own is not None

    def read() -> None:
        device = own.seen_as("hn2")
        keep = "setsid sleep 3600 <&3 >/dev/null 2>&1 &"
        world.box.hn2.sh(
            f"exec 3<{device}; blockdev --setbsz {BLOCK_BYTES} {device}; cat <&3 >/dev/null; {keep}"
        )
        worlds.append(world.written_since("printf words >last"))

    return {(What.DO, "stop"): read}, worlds


class Impatient(Driver):
    """Gives up a node that is silent sooner than the product does: 12 seconds, where the product waits for 60."""

    @property
    def ssh(self) -> tuple[str, ...]:
        """Options for ssh."""
        return (*super().ssh, "-o", "ServerAliveInterval=3", "-o", "ConnectTimeout=12")


NONE: Final[frozenset[str]] = frozenset()
IN_THE_PIVOT: Final = {"waits": "is to start", "returns": "has started"}
"""What vzctl does at the moments of ``in_the_pivot``."""


class First(NamedTuple):
    """What is so in a snapshot."""

    facts: Mapping[str, NodeFacts]
    hash: str
    token: str
    """What 123 had in its memory; "" if it did not run."""


FIRST: Final[dict[tuple[str, bool], First]] = {}
"""By world, and whether 123 runs: all that goes on from one snapshot begins with the same."""


@dataclass(frozen=True)
class World:
    """Two nodes on which all that a boot starts runs, and how they were at first."""

    way: Way
    box: Guests
    driver: Driver
    state: State
    first: First

    @classmethod
    def new(cls, stack: ExitStack, way: str, folder: Path, state: State = State.RUNNING) -> World:
        """Container 123 and the others are there, and all of it is on disk."""
        known = WAYS[way]
        runs = state is State.RUNNING
        box = stack.enter_context(Guests(known.world, saved=snapshots.made(known.world, runs)))
        # So that to see nothing means something.
        held = holding(WORLDS[known.world], runs)
        assert look(box) == {"hn1": Seen(held, runs), "hn2": NOTHING}
        assert dirty_on_disk(box) == held
        driver = Impatient(box, folder)
        if (known.world, runs) not in FIRST:
            token = tokens(box.hn1)[0][1] if runs else ""
            FIRST[known.world, runs] = First(over_boots(driver.facts()), content(box.hn1), token)
        return cls(known, box, driver, state, FIRST[known.world, runs])

    @property
    def steps(self) -> tuple[Step, ...]:
        """Those of the move."""
        return self.driver.plan(options=self.way.flags).steps

    def apply(self, watch: Watching, *, online: bool = False) -> tuple[Stop, str]:
        """Move 123; ``online``: it keeps its memory."""
        flags = structs.replace(self.way.flags, online=online)
        stop, _, run = self.driver.apply(options=flags, watch=watch)
        assert not watch.hooks, "it did not come to that"
        return stop, run

    def move(self, *, online: bool = False) -> tuple[Stop, str]:
        """Move 123, and do the same on simulated nodes: with the same commands, and the same facts afterwards."""
        flags = structs.replace(self.way.flags, online=online)
        hooks = {}
        own = WORLDS[self.way.world]
        handed_over = own is not None and self.way.ends_on is own
        if handed_over and self.state is State.RUNNING:  # else it is not mounted

            def nobody_has_it() -> None:
                assert dirty_on_disk(self.box) == frozenset()

            hooks[What.DO, "mount-destination"] = nobody_has_it
        stop, watch, run, _ = same_move(self.driver, flags, watch=Watching(hooks, box=self.box))
        assert not watch.hooks, "it was not looked at"
        assert {what for what, *_ in watch.moves} == {What.DO}, (stop, watch.moves)
        return stop, run

    def written_since(self, script: str) -> World:
        """The same, once a script in its private area has written something more, which is on disk."""
        self.box.hn1.sh(f"cd {PRIVATE} && {script} && sync")
        return replace(self, first=self.first._replace(hash=content(self.box.hn1)))

    def recover(self, run: str, *off: str) -> Stop:
        """Take the run up again."""
        return self.driver.recover(run, off=off, watch=Watching(box=self.box))

    def frozen_s(self, run: str) -> float | None:
        """How long the container was down."""
        record = read_journal(self.driver.state, run)
        took = times(record.plan, record.entries)
        return None if took is None else took.frozen_s

    def assert_ended(self, stop: Stop, outcome: Outcome, *, unclean: frozenset[str] = NONE) -> None:
        """It is where the outcome says, as it was, has lost nothing, and nothing else was changed or is left."""
        assert stop.outcome is outcome, stop
        self.assert_found(moved=outcome is Outcome.MIGRATED, unclean=unclean)

    def assert_counted(self, here: Guest) -> None:
        """It counts on there, and nothing is missing of what was ever seen on its disk."""
        assert_counts_on(here)
        known = {f"{number} {token}" for number, token in tokens(here)}
        lost = set().union(*(guest.kept for guest in self.box.nodes)) - known
        assert not lost, f"it has lost what it had on its disk: {sorted(lost)}"

    def assert_found(self, *, moved: bool, unclean: frozenset[str] = NONE) -> None:
        """The same, past what vzplan says of it; ``unclean``: LUNs that nobody has, whose node lost power with them."""
        here, gone = self.box.nodes[::-1] if moved else self.box.nodes
        runs = self.state is State.RUNNING
        held = holding(self.way.ends_on if moved else WORLDS[self.way.world], runs)
        seen = look(self.box)
        told = ", ".join(f"{name}={sorted(found.mounted)}" for name, found in seen.items())
        assert seen == {here.name: Seen(held, runs), gone.name: NOTHING}, f"{told} are mounted, {seen}"
        assert dirty_on_disk(self.box) == held | unclean
        assert all(dirty(guest) == held | unclean for guest in self.box.nodes)
        assert {guest.name: leftovers(guest) for guest in self.box.nodes} == {here.name: [], gone.name: []}
        assert content(here) == self.first.hash, "another content"
        if runs:
            self.assert_counted(here)
        else:
            assert counter(here) == []
        after = over_boots(self.driver.facts())
        if not moved:
            assert "\n".join(changes(self.first.facts, after)) == ""
            return
        assert_it_alone_moved(self.first.facts, after, gone.name, here.name, self.state)


def struck(
    world: World,
    step: str,
    sign: Callable[[], object],
    strike: Callable[[], object],
    *,
    online: bool = False,
) -> tuple[Stop, str]:
    """Move 123; while ``step`` is under way, once ``sign`` has returned, ``strike`` is called: its answer is lost."""
    watch = Watching(box=world.box)

    def once_seen() -> None:
        sign()
        with watch.striking:
            strike()

    with ThreadPoolExecutor() as pool:
        striking: list[Future[None]] = []
        watch.hooks = {(What.DO, step): lambda: striking.append(pool.submit(once_seen))}
        stop, run = world.apply(watch, online=online)
        striking[0].result()
    came_of_it = [status for what, at, status in watch.moves if (what, at) == (What.DO, step)]
    assert came_of_it[0] != 0, watch.moves  # its answer was lost, or its other end
    return stop, run
