"""What makes two device names the same disk: WWID, partition start, size, filesystem type and UUID (domain.md).

Names only suggest; the identity is carried in every command that mounts or releases, and checked on the node.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import structs

from planner.model import Device, NodeFacts

STABLE_PREFIXES = (
    "/dev/disk/by-id/wwn-",
    "/dev/disk/by-id/",
    "/dev/mapper/",
    "/dev/disk/by-uuid/",
    "/dev/disk/by-path/",
)
"""Names that stay when a disk is found in another order, best first. A label anybody may give to another disk."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9/._:+@=,-]+")
"""A name that can be written into a config as it is."""


def identity(device: Device) -> str:
    """``WWID:START:SIZE:TYPE:UUID``, "-" for what is not known; the form in which verbs take and check it."""
    filesystem = device.filesystem
    parts = (
        device.wwid,
        None if device.start_sector is None else str(device.start_sector),
        str(device.size_bytes),
        filesystem.type if filesystem else None,
        filesystem.uuid if filesystem else None,
    )
    return ":".join("-" if part is None else part for part in parts)


def stable_name(device: Device) -> str:
    """The name to write into a config: one that stays where there is one, else the shortest."""
    plain = [name for name in device.names if _PLAIN.fullmatch(name)]
    for prefix in STABLE_PREFIXES:
        for name in plain:
            if name.startswith(prefix):
                return name
    return min(plain or device.names, key=lambda name: (len(name), name))


def is_called(device: Device, what: str) -> bool:
    """By any alias: a name in /dev, or a tag such as UUID=, of which udev makes a name too (fstab(5))."""
    tag, equals, name = what.partition("=")
    name = name.strip('"')
    if not equals:
        return what in device.names
    if f"/dev/disk/by-{tag.lower()}/{name}" in device.names:
        return True
    filesystem = device.filesystem
    if filesystem is None or not name:
        return False
    return (tag == "UUID" and name == filesystem.uuid) or (tag == "LABEL" and name == filesystem.label)


def short_name(device: Device) -> str:
    """The name for people to read: the shortest, which is the one they type."""
    return min(device.names, key=lambda name: (len(name), name))


def same_disk(one: Device, other: Device, *, believed: bool = False) -> bool:
    """Whether both are known to be one disk: every part of the identity is known and equal.

    ``believed``: the operator says so. That stands for a WWID that is not known, never against one that differs.
    """
    if one.filesystem is None or one.filesystem.uuid is None:
        return False
    if believed and (one.wwid is None or other.wwid is None):
        one, other = structs.replace(one, wwid=None), structs.replace(other, wwid=None)
    elif one.wwid is None:
        return False
    return identity(one) == identity(other)


def look_alikes(device: Device, on: NodeFacts) -> tuple[Device, ...]:
    """Devices of a node that carry the same filesystem UUID: the disk itself, or a clone or snapshot of it."""
    if device.filesystem is None or device.filesystem.uuid is None:
        return ()
    uuid = device.filesystem.uuid
    return tuple(d for d in on.devices if d.filesystem is not None and d.filesystem.uuid == uuid)


def is_part_of(part: Device, disk: Device) -> bool:
    """sda1 of sda, nvme0n1p1 of nvme0n1."""
    return any(
        re.fullmatch(re.escape(name) + ("p[0-9]+" if name[-1:].isdigit() else "[0-9]+"), other)
        for name in disk.names
        for other in part.names
    )
