"""What must hold of any device that the move uses: writable, free, mounted by nobody else, now and at the next boot."""

from __future__ import annotations

from typing import Final

from planner.findings import Finding, error, typed
from planner.identity import is_called, same_disk
from planner.model import Activation, Device, Filesystem, Journal, Known, NodeFacts

HANDED_OVER: Final = ("ext3", "ext4")
"""Only ext with an internal journal shows on the device itself that some node has it mounted ([seen])."""


def shows_use(filesystem: Filesystem | None, subject: str, remedy: str) -> list[Finding]:
    """Whether it would show that another node has it mounted."""
    if filesystem is not None and filesystem.type in HANDED_OVER and filesystem.journal is Journal.INTERNAL:
        return []
    what = "no known filesystem" if filesystem is None else filesystem.type
    if filesystem is not None and filesystem.type in HANDED_OVER:
        what += " without an internal journal"
    said = f"{what}: it does not show whether another node uses it"
    return [error("filesystem-not-movable", subject, said, remedy)]


def writable(device: Device, subject: str) -> list[Finding]:
    """Whether it can be written to (blockdev --getro)."""
    if device.read_only is Known.NO:
        return []
    sure = "is read-only" if device.read_only is Known.YES else "may be read-only: nothing says"
    remedy = "see the array's mapping, or 'blockdev --setrw'"
    return [error("device-read-only", subject, f"the device {sure}", remedy)]


def free(facts: NodeFacts, device: Device, subject: str) -> list[Finding]:
    """Mounted nowhere there, and held by nothing."""
    mounts = facts.mounts_of(device)
    if mounts:
        said = f"it is mounted there at {mounts[0].point}"
        return [error("device-busy", subject, said, "unmount it: two nodes that mount it destroy it")]
    if device.holders:
        said = f"{', '.join(device.holders)} is built on it"
        return [error("device-busy", subject, said, "see what uses it there")]
    if device.exclusive is Known.YES:
        return []
    sure = (
        "something there holds it"
        if device.exclusive is Known.NO
        else "nothing says whether something there holds it"
    )
    remedy = "look in other mount namespaces ('grep DEVICE /proc/*/mountinfo')"
    return [error("device-busy", subject, sure, remedy)]


def is_path(facts: NodeFacts, device: Device) -> bool:
    """Whether only multipath holds it: what is built on it is the same disk, and is asked in its own right."""
    above = [facts.device("/dev/" + holder.replace("!", "/")) for holder in device.holders]
    paths = bool(above) and all(held is not None and same_disk(held, device) for held in above)
    return paths and not facts.mounts_of(device)


def unused(device: Device, subject: str) -> list[Finding]:
    """Mounted nowhere here: then no other node may have it mounted, or it would be mounted twice."""
    filesystem = device.filesystem
    if filesystem is None or filesystem.needs_recovery is Known.NO or not filesystem.type.startswith("ext"):
        return []
    shortest = min(device.names, key=lambda name: (len(name), name), default="-")
    cleaned = typed("e2fsck", "-p", shortest)
    sure = "says" if filesystem.needs_recovery is Known.YES else "does not tell whether"
    return [
        error(
            "device-dirty",
            subject,
            f"its superblock {sure} some node has it mounted (needs_recovery), and it is not mounted here",
            f"see which node has it; if none, one lost power with it: {cleaned} cleans it up",
        )
    ]


def by_itself(facts: NodeFacts, device: Device) -> list[Finding]:
    """What happens to it whatever containers' configs say: at the next boot, on both nodes."""
    return [*_mounters(facts, device), *_activations(facts, device)]


def _mounters(facts: NodeFacts, device: Device) -> list[Finding]:
    """fstab, mount units and autofs mount it."""
    return [
        error(
            "device-mounter",
            f"{facts.node}:{mounter.where}",
            f"{mounter.what} is mounted by it at {mounter.point or 'some place'}, whatever the containers' configs say",
            "take it out of there; vzctl's action scripts mount a container's device",
        )
        for mounter in facts.mounters
        if is_called(device, mounter.what)
    ]


def _activations(facts: NodeFacts, device: Device) -> list[Finding]:
    """LVM makes it usable there, although which node may use it is the move's to decide."""
    names = [name for each in _with_holders(facts, device) for name in each.names]
    return [
        error(
            "device-activated",
            f"{facts.node}:{activation.where}",
            f"LVM activates {'/'.join(filter(None, (activation.group, activation.volume)))} at every boot, whatever "
            "the containers' configs say",
            "take it out of that list; an action script can activate it where its container is ('lvchange -ay')",
        )
        for activation in facts.activations
        if any(_is_volume(name, activation) for name in names)
    ]


def _with_holders(facts: NodeFacts, device: Device) -> list[Device]:
    """The device and all that is built on it: of a physical volume the volumes that lie on it."""
    found, waiting = [], [device]
    while waiting:
        each = waiting.pop()
        found.append(each)
        # sysfs writes the slashes of a name (cciss/c0d0) as exclamation marks.
        above = [facts.device("/dev/" + holder.replace("!", "/")) for holder in each.holders]
        waiting += [held for held in above if held is not None and held not in (*found, *waiting)]
    return found


def _is_volume(name: str, of: Activation) -> bool:
    """Whether a name in /dev is /dev/VG/LV, or what device-mapper makes of it (hyphens in names are doubled)."""
    for place in ("/dev/mapper/", "/dev/disk/by-id/dm-name-"):
        if name.startswith(place):
            group, volume = f"{place}{_mapped(of.group)}-", _mapped(of.volume or "")
            rest = name.removeprefix(group)
            return rest != name and (rest == volume if volume else not rest.startswith("-"))
    match name.split("/"):
        case ["", "dev", group, volume]:
            return group == of.group and of.volume in (None, volume)
        case _:
            return False


def _mapped(name: str) -> str:
    return name.replace("-", "--")
