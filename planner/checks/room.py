"""Whether what is copied fits, in bytes and in inodes, and whether the copy gets there at all."""

from __future__ import annotations

from typing import Final

from planner.findings import Finding, error, typed
from planner.model import Known, Reach
from planner.situation import Situation

SPARE: Final = 1.05
"""A container that is up goes on writing; filesystems count a little differently."""


def checks(at: Situation) -> tuple[Finding, ...]:
    """Findings about a copy; none for a hand-over, which copies nothing."""
    if at.handed_over:
        return ()
    return (*_reached(at), *_fits(at))


def _reached(at: Situation) -> list[Finding]:
    node, peer = at.source.node, at.destination.node
    reach = next((r for r in at.source.facts.reaches if r.peer == peer), Reach(peer, Known.UNKNOWN))
    if reach.reached is Known.YES:
        return []
    sure = "does not reach" if reach.reached is Known.NO else "may not reach: nothing says whether it does"
    # As it is asked, and as it is copied: by a connection of its own.
    own = ("-o", "BatchMode=yes", *at.options.peer_ssh, "-o", "ControlPath=none")
    trial = typed("ssh", *own, peer if "@" in peer else f"root@{peer}", "true")
    return [
        error(
            "not-reached",
            node,
            f"{node} {sure} {peer} by ssh as root",
            f"see that {trial} works on {node} and prints nothing (--peer-ssh gives it options), and that the login "
            f"shell of root on {peer} is one like sh (csh and fish read quotes otherwise)",
        )
    ]


def _fits(at: Situation) -> list[Finding]:
    needs = used(at)
    subject = f"{at.destination.node}:{at.destination.private}"
    if needs is None:
        return [
            error(
                "size-unknown",
                f"{at.source.node}:{at.source.private}",
                "nothing says how much is there to be copied",
                f"gather the facts again with 'vzplan facts {at.source.node} --measure {at.ctid}'",
            )
        ]
    free = _free(at)
    if free is None:
        return [
            error("size-unknown", subject, "nothing says how much room is there", "gather the facts again")
        ]
    found = []
    for needed, there, what in ((needs[0], free[0], "MiB"), (needs[1], free[1], "inodes")):
        if there is not None and needed is not None and needed * SPARE > there:
            unit = 1 << 20 if what == "MiB" else 1
            found.append(
                error(
                    "too-small",
                    subject,
                    f"{int(needed * SPARE) // unit} {what} are needed there, and {there // unit} are free",
                    "make room, or name a larger device",
                )
            )
    return found


def used(at: Situation) -> tuple[int, int | None] | None:
    """Bytes and inodes at the source that are copied: as counted, or as an unmounted device's superblock says."""
    usage = next((u for u in at.source.facts.usage if u.path == at.source.private), None)
    device = at.source.device
    if device is not None and at.source.facts.mounted_at(at.source.private) is None:
        filesystem = device.filesystem
        if filesystem is None or filesystem.free_bytes is None:
            return None
        inodes = (filesystem.inodes or 0) - (filesystem.free_inodes or 0)
        return device.size_bytes - filesystem.free_bytes, inodes or None
    return None if usage is None else (usage.bytes, usage.inodes)


def _free(at: Situation) -> tuple[int, int | None] | None:
    """Bytes and inodes at the destination; inodes None: made as needed."""
    facts, device = at.destination.facts, at.destination.device
    if device is not None:
        filesystem = device.filesystem
        if filesystem is None or filesystem.free_bytes is None:
            return (
                device.size_bytes,
                None,
            )  # an upper bound; what does not fit fails in prepare, and is taken back
        runs_out = filesystem.type.startswith("ext")  # the others make them as needed
        return filesystem.free_bytes, filesystem.free_inodes if runs_out else None
    mount = facts.mount_under(at.destination.private)
    room = next((r for r in facts.rooms if mount is not None and r.point == mount.point), None)
    return None if room is None else (room.free_bytes, room.free_inodes)
