"""A move of 123 that is watched past vzplan: around every move that goes out, and whatever it ends as."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Final

from msgspec import structs

from executor.node import NodeOutcome
from planner.model import Device, NodeFacts, State
from planner.plan import Outcome, Run, Step, Stop
from planner.situation import REBOOT_DIR
from tests.sandbox import Node, Sandbox, kernel, leftovers, tree_hash
from tests.sandbox.driving import CTID, PRIVATE, Driver, Telling, changes
from tests.sandbox.nodes import assert_counts_on
from tests.sandbox.supervisor import BYSTANDERS, LUNS, NAMES
from tests.sandbox.test_moves import WAYS, in_state


def runs_on(node: Node) -> bool:
    """Whether a process of 123 lives on the node: its root is what its private or its root area shows."""
    if not node.pid:
        return False
    tops = {kernel.lies(node.path(area)) for area in (PRIVATE, f"/vz/root/{CTID}")} - {None}
    return any(kernel.lies(Path(f"/proc/{pid}/root")) in tops for pid in kernel.descendants(node.pid))


def mounted_on(node: Node) -> frozenset[str]:
    """The LUNs that the node has mounted, wherever."""
    if not node.pid:
        return frozenset()
    numbers = {line.split()[2] for line in Path(f"/proc/{node.pid}/mountinfo").read_text().splitlines()}
    found = set()
    for lun in LUNS:
        device = node.path(f"/dev/{lun.seen_as[NAMES.index(node.name)]}").stat().st_rdev
        if f"{os.major(device)}:{os.minor(device)}" in numbers:
            found.add(lun.name)
    return frozenset(found)


@dataclass
class Guarding(Telling, ABC):
    """A watch that sees to it, around every move, that nothing runs twice and no LUN is mounted twice (I1, I2)."""

    striking: Lock = field(default_factory=Lock, kw_only=True)
    """Held by whoever strikes while a command is under way: nothing is looked at meanwhile."""

    @abstractmethod
    def seen(self) -> Iterable[tuple[frozenset[str], bool]]:
        """Of both nodes: the LUNs that are mounted, by name, and whether 123 runs."""

    def began(self, move: Run) -> None:
        """See ``executor.engine.Watch``."""
        super().began(move)
        # Once: what is tried again is not struck again.
        self.hooks = {key: hook for key, hook in self.hooks.items() if key != (move.what, move.at)}
        self.look(f"before {move.what} {move.at}")

    def ended(self, move: Run, outcome: NodeOutcome) -> None:
        """See ``executor.engine.Watch``."""
        super().ended(move, outcome)
        self.look(f"after {move.what} {move.at}")

    def look(self, when: str) -> None:
        """Look at both nodes."""
        with self.striking:
            (here, runs_here), (there, runs_there) = self.seen()
        assert not (runs_here and runs_there), f"it runs on both nodes {when}"
        assert not here & there, f"{set(here & there)} is mounted on both nodes {when}"


@dataclass
class Watching(Guarding):
    """Of nodes of the sandbox."""

    box: Sandbox = field(kw_only=True)

    def seen(self) -> Iterable[tuple[frozenset[str], bool]]:
        """See ``Guarding``."""
        return [(mounted_on(node), runs_on(node)) for node in self.box.nodes]


@dataclass(frozen=True)
class World:
    """Two nodes on which all that a boot starts runs, and how they were at first."""

    way: str
    box: Sandbox
    driver: Driver
    before: dict[str, NodeFacts]
    hash_before: str

    @classmethod
    def new(cls, stack: ExitStack, way: str, folder: Path, *, is_listed: bool = False) -> World:
        """Container 123 and the others run, and all of it is on disk; ``is_listed``: hn1 starts 123 by VZREBOOTDIR."""
        box = stack.enter_context(in_state(way, State.RUNNING))
        if is_listed:
            box.hn1.sh(
                f"mkdir -p {REBOOT_DIR}; : >{REBOOT_DIR}/{CTID}; sed -i /^ONBOOT/d /etc/vz/conf/{CTID}.conf; sync"
            )
        box.hn2.sh(f"vzctl start {BYSTANDERS['hn2']}; sync")
        assert runs_on(box.hn1)  # so that to see nothing means something
        assert mounted_on(box.hn1) == ({"lun"} if WAYS[way].world == "san" else set())
        driver = Driver(box, folder)
        before = driver.facts()
        assert before["hn1"].reboots == ((CTID,) if is_listed else ())
        return cls(way, box, driver, over_boots(before), tree_hash(box.hn1, PRIVATE))

    @property
    def steps(self) -> tuple[Step, ...]:
        """Those of the move."""
        return self.driver.plan(options=WAYS[self.way].there).steps

    def apply(self, watch: Watching) -> tuple[Stop, str]:
        """Move 123."""
        stop, _, run = self.driver.apply(options=WAYS[self.way].there, watch=watch)
        return stop, run

    def recover(self, run: str, *off: str) -> Stop:
        """Take the run up again."""
        return self.driver.recover(run, off=off, watch=Watching(box=self.box))

    def assert_safe(self, stop: Stop, *, moved: bool) -> None:
        """However it ended: it runs nowhere but where the outcome says, if at all."""
        here, elsewhere = self.box.nodes[::-1] if moved else self.box.nodes
        assert not runs_on(elsewhere), stop
        assert not mounted_on(elsewhere) & mounted_on(here), stop
        if stop.outcome in {Outcome.UNWOUND_NOT_CLEANED, Outcome.MIGRATED_NOT_CLEANED}:
            assert runs_on(here) is bool(here.pid), stop
        if not moved and stop.outcome is not Outcome.IN_DOUBT:  # in doubt, what is mounted stays as it is
            assert mounted_on(elsewhere) == set(), stop

    def assert_ended(self, stop: Stop, outcome: Outcome) -> None:
        """It is where the outcome says, runs, has lost nothing, and nothing else was changed or is left."""
        assert stop.outcome is outcome, stop
        moved = outcome is Outcome.MIGRATED
        here, gone = self.box.nodes[::-1] if moved else self.box.nodes
        assert leftovers(self.box) == []
        assert tree_hash(here, PRIVATE) == self.hash_before
        assert_counts_on(here, PRIVATE)
        after = over_boots(self.driver.facts())
        if not moved:
            assert "\n".join(changes(self.before, after)) == ""
            return
        assert_it_alone_moved(self.before, after, gone.name, here.name, State.RUNNING)


def assert_it_alone_moved(
    before: Mapping[str, NodeFacts],
    after: Mapping[str, NodeFacts],
    source: str,
    destination: str,
    state: State,
) -> None:
    """123 is at the destination, and in that state; everyone else's containers are as they were."""
    there = after[destination].container(CTID)
    assert there is not None
    assert there.state is state
    assert after[source].container(CTID) is None
    for name, ctid in BYSTANDERS.items():
        assert after[name].container(ctid) == before[name].container(ctid)


NOT_COMPARED_OVER_BOOTS: Final = {
    "boot_id": "another one at each boot",
    "devices.number": "the kernel gives numbers as it finds them",
    "devices.names": "but for those below /dev/block, which are such numbers, all are",
    "mounts.device": "such a number",
}
"""What is not compared either, if a node has booted, and why (docs/verify.md)."""


def over_boots(facts: dict[str, NodeFacts]) -> dict[str, NodeFacts]:
    """Without what ``NOT_COMPARED_OVER_BOOTS`` lists."""
    return {
        name: structs.replace(
            found,
            boot_id="",
            devices=tuple(sorted((_but_for_number(device) for device in found.devices), key=str)),
            mounts=tuple(sorted((structs.replace(mount, device="") for mount in found.mounts), key=str)),
        )
        for name, found in facts.items()
    }


def _but_for_number(device: Device) -> Device:
    names = tuple(name for name in device.names if not name.startswith("/dev/block/"))
    return structs.replace(device, names=names, number="")
