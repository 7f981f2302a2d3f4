"""The same move in the sandbox, whose nodes share a kernel: the same facts afterwards, but for what is listed here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import structs

from planner.model import Container, Device, Known, Mount, NodeFacts, State
from planner.plan import Outcome
from tests.kernels.disks import LUN, NAMES, SPARE
from tests.sandbox.driving import Driver, changes
from tests.sandbox.supervisor import BYSTANDERS
from tests.sandbox.supervisor import LUNS as BOX_LUNS
from tests.sandbox.test_moves import WAYS, in_state, kept

DIFFERENCES: Final = {
    "boot_id": "another one at each boot",
    "tools": "the nodes of the sandbox have this machine's programs, guests those of their image",
    "rooms": "of the guests' own disks, which are others",
    "cpu": "the guests' is emulated",
    "ipv6": "of this machine's kernel in the sandbox",
    "mounters": "the nodes of the sandbox have this machine's /etc/fstab and mount units",
    "activations": "and its lvm.conf",
    "devices": "only the two LUNs are on both; their names, sizes and identities differ, and a guest's have partitions",
    "mounts": "of the node's own system; devices and sources are named as each node names them",
    "containers": "VE_DEVICE is such a name; which LUN it leads to is compared",
}
"""What is not compared, and why. All else is, of every move but d2-lvm's: the sandbox has no device-mapper."""


def assert_as_in_the_sandbox(
    way: str, state: State, facts: Mapping[str, NodeFacts], folder: Path, *, online: bool = False
) -> None:
    """Make the move of 123 there, and compare with the facts of the guests after theirs."""
    with in_state(way, state) as box:
        box.hn2.sh(f"vzctl start {BYSTANDERS['hn2']}; sync")  # in a guest a boot has done that
        driver = Driver(box, folder)
        stop, _, _ = driver.apply(options=kept(box, "online" if online else "", WAYS[way].there))
        assert stop.outcome is Outcome.MIGRATED, stop
        there = driver.facts()
    boxed = {name: {lun.name: f"/dev/{lun.seen_as[NAMES.index(name)]}" for lun in BOX_LUNS} for name in NAMES}
    guests = {name: {lun.name: lun.seen_as(name) for lun in (LUN, SPARE)} for name in NAMES}
    left = changes(
        {name: _alike(found, boxed[name]) for name, found in there.items()},
        {name: _alike(found, guests[name]) for name, found in facts.items()},
    )
    assert "\n".join(left) == ""


def _alike(facts: NodeFacts, luns: Mapping[str, str]) -> NodeFacts:
    """What is compared; ``luns``: what this node calls them."""
    devices = {lun: facts.device(name) for lun, name in luns.items()}
    numbers = {device.number: lun for lun, device in devices.items() if device is not None}
    alike = {
        "boot_id": "",
        "tools": (),
        "rooms": (),
        "cpu": None,
        "ipv6": Known.UNKNOWN,
        "mounters": (),
        "activations": (),
        "devices": tuple(_device(lun, device) for lun, device in devices.items() if device is not None),
        "mounts": tuple(sorted((_mount(m, numbers) for m in facts.mounts if _counts(m)), key=str)),
        "containers": tuple(_container(container, facts, numbers) for container in facts.containers),
    }
    assert alike.keys() == DIFFERENCES.keys()
    return structs.replace(facts, **alike)


def _device(lun: str, device: Device) -> Device:
    filesystem = device.filesystem
    if filesystem is not None:
        filesystem = structs.replace(filesystem, uuid="", inodes=None)
    return structs.replace(
        device, names=(lun,), number=lun, size_bytes=0, wwid=None, start_sector=None, filesystem=filesystem
    )


def _counts(mount: Mount) -> bool:
    return mount.elsewhere or mount.point == "/vz" or mount.point.startswith("/vz/")


def _mount(mount: Mount, numbers: Mapping[str, str]) -> Mount:
    return structs.replace(mount, device=numbers.get(mount.device, ""), source="")


def _container(container: Container, facts: NodeFacts, numbers: Mapping[str, str]) -> Container:
    def lun(found: re.Match[str]) -> str:
        device = facts.device(found[1])
        return f'VE_DEVICE="{None if device is None else numbers.get(device.number)}"'

    config = re.sub('(?m)^VE_DEVICE="([^"]*)"$', lun, container.config or "")
    return structs.replace(container, config=config)
