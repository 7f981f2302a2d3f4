"""What must hold of the device of an insulated container before it is handed over (domain.md, identity)."""

from __future__ import annotations

from typing import Final

from planner.findings import Finding, error, warning
from planner.identity import look_alikes, same_disk
from planner.model import Device, Journal, Known, NodeFacts
from planner.situation import Situation

NEEDED: Final = ("blkid", "blockdev", "dumpe2fs", "mke2fs")
TYPES: Final = ("ext3", "ext4")
"""Only ext with an internal journal shows on the device itself that some node has it mounted ([seen])."""

COPY_INSTEAD: Final = "move it to another device instead (way d1, --dst-device)"


def checks(at: Situation) -> tuple[Finding, ...]:
    """Findings about the device; none for a shared container."""
    if not at.insulated or at.device_name is None:
        return ()
    device = at.source.device
    subject = f"{at.source.node}:{at.device_name}"
    if device is None:
        return (
            error(
                "device-missing",
                subject,
                f"{at.device_name} is not a block device there",
                "see VE_DEVICE in the config",
            ),
        )
    return (
        *_tools(at),
        *_filesystem(device, subject),
        *_mounts_at_source(at, device),
        *_at_destination(at, device, subject),
        *_hooks(at),
        warning(
            "third-node",
            subject,
            "nothing but vzplan and your word keeps a third node from mounting this device",
            f"see that no other node uses it; 'tune2fs -O mmp {at.device_name}' while it is unmounted guards it",
        ),
    )


def _tools(at: Situation) -> list[Finding]:
    return [
        error("tool-missing", side.node, f"{tool} is not installed", f"install {tool} there")
        for side in (at.source, at.destination)
        for tool in NEEDED
        if tool not in side.facts.tools
    ]


def _filesystem(device: Device, subject: str) -> list[Finding]:
    filesystem = device.filesystem
    found = _writable(device, subject)
    if filesystem is None or filesystem.type not in TYPES or filesystem.journal is not Journal.INTERNAL:
        what = "no known filesystem" if filesystem is None else filesystem.type
        if filesystem is not None and filesystem.type in TYPES:
            what += " without an internal journal"
        found.append(
            error(
                "filesystem-not-movable",
                subject,
                f"{what}: it does not show whether another node uses it",
                COPY_INSTEAD,
            )
        )
    return found


def _writable(device: Device, subject: str) -> list[Finding]:
    if device.read_only is Known.NO:
        return []
    sure = "is read-only" if device.read_only is Known.YES else "may be read-only: nothing says"
    return [
        error(
            "device-read-only",
            subject,
            f"the device {sure}",
            "see the array's mapping, or 'blockdev --setrw'",
        )
    ]


def _mounts_at_source(at: Situation, device: Device) -> list[Finding]:
    """Mounted at the private area if it runs; nowhere else but as the container's root, which is a bind of it."""
    side, found = at.source, []
    mount = side.facts.mounted_at(side.private)
    if at.running and (mount is None or mount.device != device.number):
        found.append(
            error(
                "device-unmounted",
                f"{side.node}:{side.private}",
                f"the container runs, but not on {at.device_name}: something else is mounted there, or nothing",
                "it may run on stale files; stop it and see what lies under the mount point",
            )
        )
    if not at.running and mount is not None and mount.device != device.number:
        found.append(
            error(
                "device-mounted",
                f"{side.node}:{side.private}",
                "another device is mounted on the private area",
                "unmount it",
            )
        )
    found += [
        error(
            "device-mounted", f"{side.node}:{m.point}", f"{at.device_name} is mounted there too", "unmount it"
        )
        for m in side.facts.mounts_of(device)
        if not m.elsewhere
        and m.point not in (side.private, side.root)
        and not m.point.startswith(side.root + "/")
    ]
    return found


def _at_destination(at: Situation, device: Device, subject: str) -> list[Finding]:
    facts, peer = at.destination.facts, at.destination.device
    if device.wwid is None:
        return [
            error(
                "no-identity",
                subject,
                "the device has no WWID, so nothing proves which of the destination's devices it is",
                "see why scsi_id says nothing there; " + COPY_INSTEAD,
            )
        ]
    clones = [d for d in look_alikes(device, facts) if not same_disk(device, d)]
    found = [
        error(
            "clone",
            f"{facts.node}:{clone.names[0]}",
            f"same filesystem UUID as {at.device_name}, but {_difference(device, clone)}: a clone or snapshot",
            "see the array's mapping; a clone must not be visible where the original is handed to",
        )
        for clone in clones
    ]
    if peer is None:
        if not clones:
            found.append(
                error(
                    "device-not-shared",
                    facts.node,
                    f"{at.device_name} of {at.source.node} is not visible there",
                    f"map the LUN to {facts.node}; or " + COPY_INSTEAD,
                )
            )
        return found
    there = f"{facts.node}:{peer.names[0]}"
    return [*found, *_writable(peer, there), *_free(facts, peer, there)]


def _difference(one: Device, other: Device) -> str:
    if other.wwid is None:
        return "its WWID is not known"
    if one.wwid != other.wwid:
        return f"another disk (WWID {other.wwid}, not {one.wwid})"
    return "at another place of the disk"


def _free(facts: NodeFacts, peer: Device, subject: str) -> list[Finding]:
    mounts = facts.mounts_of(peer)
    if mounts:
        return [
            error(
                "device-busy",
                subject,
                f"it is mounted there at {mounts[0].point}",
                "unmount it: two nodes that mount it destroy it",
            )
        ]
    if peer.holders:
        return [
            error(
                "device-busy", subject, f"{', '.join(peer.holders)} is built on it", "see what uses it there"
            )
        ]
    if peer.exclusive is not Known.YES:
        sure = (
            "something there holds it"
            if peer.exclusive is Known.NO
            else "nothing says whether something there holds it"
        )
        return [
            error(
                "device-busy",
                subject,
                sure,
                "look in other mount namespaces ('grep DEVICE /proc/*/mountinfo')",
            )
        ]
    return []


def _hooks(at: Situation) -> list[Finding]:
    """After the move the destination's own hooks must mount it at the next start."""
    names = set(at.destination.facts.conf_names) | {
        s.name for s in at.source.facts.scripts if s.name.startswith(f"{at.ctid}.")
    }
    missing = [
        hook
        for hook in ("premount", "postumount")
        if f"vps.{hook}" not in names and f"{at.ctid}.{hook}" not in names
    ]
    return [
        error(
            "hook-missing",
            f"{at.destination.node}:/etc/vz/conf/vps.{hook}",
            f"no {hook} script there deals with VE_DEVICE at the next start",
            f"copy vps.{hook} from {at.source.node}",
        )
        for hook in missing
    ]
