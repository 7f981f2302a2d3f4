"""What must hold of the devices: the one that an insulated container owns, and the one that it is to own."""

from __future__ import annotations

from typing import Final

from planner.checks.block import by_itself, free, is_path, shows_use, unused, writable
from planner.findings import Finding, error, typed, warning
from planner.identity import is_part_of, look_alikes, same_disk, short_name
from planner.model import Device, Journal, Known, Mount, NodeFacts
from planner.situation import Side, Situation

NEEDED: Final = ("blkid", "blockdev", "dumpe2fs", "mke2fs")
COPIED_ONTO: Final = ("ext2", "ext3", "ext4", "xfs", "btrfs")
SPREAD: Final = "btrfs-of-"
"""How the type of a filesystem on several devices begins; nothing that is done to one of them is done to it."""

COPY_INSTEAD: Final = "move it to another device instead (--dst-device)"


def checks(at: Situation) -> tuple[Finding, ...]:
    """Findings about devices; none if there is none in it."""
    asked = at.options.dst_device
    found: list[Finding] = []
    if at.insulated or asked:
        found += _tools(at)
    if at.insulated and at.source.device is None:
        subject = f"{at.source.node}:{at.device_name or at.source.private}"
        found.append(
            error(
                "device-missing", subject, "that is not a block device there", "see VE_DEVICE in the config"
            )
        )
        return tuple(found)
    spread = _spread(at, at.source)
    found += spread
    if at.source.device is not None and not spread:
        found += _at_source(at, at.source.device)
    if asked and at.destination.device is None and not at.options.dst_shared:
        there = f"{at.destination.node}:{asked}"
        found.append(error("device-missing", there, "that is not a block device there", "see --dst-device"))
    elif at.handed_over:
        found += [] if spread else _handed_over(at)
    elif at.destination.device is not None:
        found += _spread(at, at.destination) or _copied_onto(at, at.destination.device)
    return tuple(found)


def _tools(at: Situation) -> list[Finding]:
    return [
        error("tool-missing", side.node, f"{tool} is not installed", f"install {tool} there")
        for side in (at.source, at.destination)
        for tool in NEEDED
        if tool not in side.facts.tools
    ]


def _spread(at: Situation, side: Side) -> list[Finding]:
    filesystem = side.device.filesystem if side.device is not None else None
    if filesystem is None or not filesystem.type.startswith(SPREAD):
        return []
    said = f"it is one of {filesystem.type.removeprefix(SPREAD)} devices that a btrfs lies on"
    remedy = "see 'btrfs filesystem show' there; a container's filesystem must have one device and no other"
    return [error("filesystem-spread", f"{side.node}:{_called(at, side)}", said, remedy)]


def _at_source(at: Situation, device: Device) -> list[Finding]:
    """Mounted at the private area if the container is up; nowhere else but as its root, which is a bind of it."""
    side = at.source
    found = by_itself(side.facts, device)
    mount = side.facts.mounted_at(side.private)
    if mount is not None and mount.device == device.number and mount.root != "/":
        found.append(_in_part(mount, f"{side.node}:{side.private}", _called(at, side)))
    elif at.up and (mount is None or mount.device != device.number):
        found.append(
            error(
                "device-unmounted",
                f"{side.node}:{side.private}",
                f"the container is {at.container.state}, but not on {_called(at, side)}: something else is mounted "
                "there, or nothing",
                "it may run on stale files; stop it and see what lies under the mount point",
            )
        )
    elif mount is not None and mount.device != device.number:
        found.append(
            error(
                "device-mounted",
                f"{side.node}:{side.private}",
                "another device is mounted on the private area",
                "unmount it",
            )
        )
    if mount is None and not at.up:
        subject = f"{side.node}:{_called(at, side)}"
        found += [*free(side.facts, device, subject), *unused(device, subject)]
    private, root = side.facts.resolved(side.private), side.facts.resolved(side.root)
    found += [
        error(
            "device-mounted",
            f"{side.node}:{m.point}",
            f"{_called(at, side)} is mounted there too",
            "unmount it",
        )
        for m in side.facts.mounts_of(device)
        if not m.elsewhere and m.point not in (private, root) and not m.point.startswith(root + "/")
    ]
    return found


def _in_part(mount: Mount, subject: str, called: str) -> Finding:
    """Of a subvolume or a bind mount the rest of the device would be left out by a copy and handed over with it."""
    tops = typed("btrfs", "subvolume", "set-default", "5", mount.point)
    return error(
        "device-mounted",
        subject,
        f"not the top of {called} is mounted there, but {mount.root} in it",
        f"let the container have the device's top: move its files there; of btrfs {tops}",
    )


# --- hand-over ------------------------------------------------------------------------------------------------


def _handed_over(at: Situation) -> list[Finding]:
    device, peer = at.source.device, at.destination.device
    assert device is not None  # who owns one that is not there is told so, and no more
    subject = f"{at.source.node}:{_called(at, at.source)}"
    found = [*writable(device, subject), *shows_use(device.filesystem, subject, COPY_INSTEAD)]
    clones = _clones(at, device)
    found += clones
    if peer is None:
        if device.wwid is None and not at.options.same_device:
            found.append(
                error(
                    "no-identity",
                    subject,
                    "the device has no WWID, so nothing proves which of the destination's devices it is",
                    "see why scsi_id says nothing there; or say --same-device, and the challenge decides; or "
                    + COPY_INSTEAD,
                )
            )
        elif not clones:
            found.append(
                error(
                    "device-not-shared",
                    at.destination.node,
                    f"{_called(at, at.source)} of {at.source.node} is not visible there",
                    f"map the LUN to {at.destination.node}; or " + COPY_INSTEAD,
                )
            )
        return found
    there = f"{at.destination.node}:{_called(at, at.destination)}"
    found += [*writable(peer, there), *free(at.destination.facts, peer, there)]
    found += by_itself(at.destination.facts, peer)
    return [*found, *_others(at, device, at.source)]


def _clones(at: Situation, device: Device) -> list[Finding]:
    """The same UUID on what is not proved to be the same disk: nothing may be mounted, or copied onto, by mistake."""
    facts, believed = at.destination.facts, at.options.same_device
    chosen = at.destination.device if at.handed_over else None
    return [
        error(
            "clone",
            f"{facts.node}:{clone.names[0]}",
            f"same filesystem UUID as {_called(at, at.source)}, but {_difference(device, clone)}: a clone or snapshot",
            "see the array's mapping; a clone must not be visible where the original is handed to",
        )
        for clone in look_alikes(device, facts)
        if clone is not chosen
        and not same_disk(device, clone)
        and not (believed and same_disk(device, clone, believed=True))
        and (device.wwid is not None or clone.wwid is not None or not at.handed_over)
    ]


def _difference(one: Device, other: Device) -> str:
    if one.wwid is None or other.wwid is None:
        return "nothing proves that it is the same disk"
    if one.wwid != other.wwid:
        return f"another disk (WWID {other.wwid}, not {one.wwid})"
    return "at another place of the disk"


def _others(at: Situation, device: Device, side: Side) -> list[Finding]:
    """A third node that has it mounted would not be noticed by unmounting it here."""
    if not at.options.also_seen_by:
        ext = device.filesystem is not None and device.filesystem.type.startswith("ext")
        mmp = (
            f"; {typed('tune2fs', '-O', 'mmp', _called(at, side))} while it is unmounted guards it"
            if ext
            else ""
        )
        return [
            warning(
                "third-node",
                f"{side.node}:{_called(at, side)}",
                "nothing but vzplan and your word keeps a third node from mounting this device",
                f"name every node that sees it (--also-seen-by){mmp}",
            )
        ]
    found = []
    for facts in at.request.others:
        for other in facts.devices:
            if same_disk(device, other, believed=at.options.same_device) and not is_path(facts, other):
                subject = f"{facts.node}:{min(other.names, key=len)}"
                found += [*free(facts, other, subject), *by_itself(facts, other)]
    return found


# --- copied onto ----------------------------------------------------------------------------------------------


def _copied_onto(at: Situation, target: Device) -> list[Finding]:
    """It is mounted and filled in prepare: it must be free, empty, and nobody else's."""
    facts = at.destination.facts
    subject = f"{facts.node}:{_called(at, at.destination)}"
    parts = [
        f"{node.node}:{short_name(p)}"
        for node in (facts, at.source.facts)
        for p in _partitions(node, target, facts)
    ]
    if parts:
        return [
            error(
                "target-divided",
                subject,
                f"it is a whole disk, and has partitions: {', '.join(parts)}",
                "name one of them, if it is free",
            )
        ]
    found = [*writable(target, subject), *free(facts, target, subject), *by_itself(facts, target)]
    if not facts.mounts_of(target):
        found += unused(target, subject)
    here = at.source.facts
    for seen in here.devices:
        alike = same_disk(seen, target) or (seen in look_alikes(target, here) and here.mounts_of(seen))
        if alike and not is_path(here, seen):
            found += free(here, seen, f"{here.node}:{min(seen.names, key=len)}")
    found += _clones(at, at.source.device) if at.source.device is not None else []
    filesystem = target.filesystem
    if filesystem is None or filesystem.type not in COPIED_ONTO:
        what = (
            "no known filesystem" if filesystem is None else f"{filesystem.type}, which vzplan does not know"
        )
        found.append(
            error(
                "target-filesystem",
                subject,
                f"there is {what} on it",
                f"see on {facts.node} what is on it ({typed('blkid', '-p', _called(at, at.destination))}): "
                "a volume group, a LUKS or RAID member has data; only if nothing is, make a filesystem ('mkfs.ext4')",
            )
        )
    elif filesystem.empty is Known.NO:
        found.append(error("target-not-empty", subject, "its filesystem is not empty", "name another device"))
    elif filesystem.empty is Known.UNKNOWN and not filesystem.type.startswith("ext"):
        found.append(
            warning(
                "target-not-empty",
                subject,
                f"whether its filesystem is empty is seen only once it is mounted ({filesystem.type})",
                "nothing; if it is not, the move is refused before anything is copied",
            )
        )
    if filesystem is not None and filesystem.journal is not Journal.INTERNAL:
        found += _others(at, target, at.destination)  # it does not show whether another node has it mounted
    return found


def _partitions(facts: NodeFacts, disk: Device, seen_by: NodeFacts) -> list[Device]:
    """Of a whole disk, by identity, or by name where it has it: whatever is written to it is written over them."""
    if disk.start_sector is not None:
        return []
    return [
        part
        for part in facts.devices
        if part.start_sector is not None
        and (
            (disk.wwid is not None and part.wwid == disk.wwid)
            or (facts is seen_by and is_part_of(part, disk))
        )
    ]


def _called(at: Situation, side: Side) -> str:
    if side is at.destination and at.options.dst_device:
        return at.options.dst_device
    if side is at.source and at.device_name:
        return at.device_name
    return min(side.device.names, key=lambda name: (len(name), name)) if side.device else "-"
