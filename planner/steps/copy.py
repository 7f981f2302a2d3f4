"""Steps that copy a private area, node to node."""

from __future__ import annotations

from planner.plan import NothingToUndo, Step, Zone
from planner.situation import Side, Situation
from planner.steps import COPY_S, command, device_of
from planner.verbs import AUTO_PASSES


def first_passes(at: Situation) -> tuple[Step, ...]:
    """Copy while the container is up, so that little is left for the frozen pass."""
    if at.options.precopy == "auto":
        title = f"copy {{}} to {{}} while it is up, {AUTO_PASSES} times at most"
        return (_pass(at, Zone.PREPARE, "copy-auto", "auto", title),)
    return tuple(
        _pass(at, Zone.PREPARE, f"copy-{number}", "first", "copy {} to {} while it is up")
        for number in range(1, at.options.precopy + 1)
    )


def last_pass(at: Situation) -> Step:
    """Copy what is still missing, and sync it at the destination (N09)."""
    return _pass(at, Zone.TRANSFER, "copy-last", "last", "copy {} to {}, synced there")


def remote_shell(options: tuple[str, ...]) -> str:
    """The value of rsync's ``-e``: ssh and its options as rsync itself splits them (rsync(1), ``--rsh``).

    Words with spaces or quotes go between single quotes, a single quote within them is doubled.
    """
    words = ("ssh", "-o", "BatchMode=yes", *options)
    return " ".join("'" + w.replace("'", "''") + "'" if not w or set(w) & set(" '\"\t") else w for w in words)


def _type(side: Side) -> str | None:
    """Of the filesystem that the private area lies on."""
    if side.device is not None:
        return side.device.filesystem.type if side.device.filesystem is not None else None
    mount = side.facts.mount_under(side.private)
    return mount.type if mount is not None else None


def _pass(at: Situation, zone: Zone, step_id: str, which: str, title: str) -> Step:
    source, destination = at.source, at.destination
    return Step(
        id=step_id,
        title=title.format(source.private, destination.node),
        zone=zone,
        do=command(
            source,
            "copy-tree",
            at.ctid,
            source.private,
            *device_of(source),
            destination.node,
            destination.private,
            *device_of(destination),
            f"{which}-xfs" if _type(destination) == "xfs" else which,
            remote_shell(at.options.peer_ssh),
            "\n".join(at.options.rsync),
            deadline_s=COPY_S,
        ),
        undo=NothingToUndo("what was copied goes with the place that it was copied to"),
    )
