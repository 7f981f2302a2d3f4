"""Small functions that return a ``Step``: what is done, and beside it what takes it back."""

from __future__ import annotations

from planner.codec import text_sha256
from planner.identity import identity, short_name, stable_name
from planner.parse.config import DUMP_PLACE, fence
from planner.plan import Command, Compensation, NothingToUndo
from planner.situation import Side, Situation
from planner.verbs import NO_DEVICE, NO_DUMP

QUICK_S = 60
"""Deadline of a verb that touches a few files."""
SLOW_S = 300
"""Deadline of a verb that stops or starts a container (vzctl waits up to 120 s), unmounts, or syncs a busy node."""
DUMP_S = 3600
"""Deadline of a verb that writes a container's memory down or takes it up."""
COPY_S = 7 * 24 * 3600
"""Deadline of one copy; a copy that makes no progress ends long before (rsync --timeout)."""


def command(
    side: Side, verb: str, *operands: str | int, stdin: str = "", deadline_s: int = QUICK_S
) -> Command:
    """``verb`` for the node of ``side``."""
    return Command(side.node, (verb, *map(str, operands)), stdin, deadline_s)


def device_of(side: Side) -> tuple[str, str]:
    """The operands DEVICE and IDENTITY: the device by its stable name, "-" "-" for a shared container."""
    if side.device is None:
        return (NO_DEVICE, NO_DEVICE)
    return (stable_name(side.device), identity(side.device))


def dump_device_of(side: Side) -> tuple[str, str]:
    """The same of the device that carries its memory."""
    if side.dump_device is None:
        return (NO_DEVICE, NO_DEVICE)
    return (stable_name(side.dump_device), identity(side.dump_device))


def up_by(at: Situation, side: Side, verb: str, *further: str, fenced: bool = True) -> Command:
    """``verb``, one of those that bring the container up on that side, or make sure of its state there.

    ``further``: operands of its own. ``fenced``: while its config says where the dump is that this run writes.
    """
    return command(
        side,
        verb,
        at.ctid,
        side.private,
        side.root,
        *device_of(side),
        dumpdir(at, side) if fenced else side.dumpdir,
        at.container.state,
        dump_file(at, side) if at.staged else NO_DUMP,
        *further,
        deadline_s=DUMP_S if at.online else SLOW_S,
    )


def dump_place(at: Situation, side: Side) -> str:
    """A directory of this run's for the memory dump, under a name that vzctl does not take up."""
    return f"{side.dumpdir}/{DUMP_PLACE}{at.ctid}"


def dump_room(at: Situation, side: Side) -> str:
    """The directory in which it lies: that one, or in there where its own device is mounted."""
    return f"{dump_place(at, side)}/device" if at.by_device else dump_place(at, side)


def dump_file(at: Situation, side: Side) -> str:
    """Where the memory dump of this run's lies in there."""
    return f"{dump_room(at, side)}/Dump.{at.ctid}"


def dumpdir(at: Situation, side: Side) -> str:
    """What DUMPDIR is while the config is fenced; a whole checkpoint is always written there, whatever is asked for."""
    return dump_room(at, side) if at.by_device and not at.staged else side.dumpdir


def fence_at(at: Situation, side: Side) -> str:
    """What stands on top of the config while the container is being moved."""
    return fence(dumpdir(at, side) if at.by_device and not at.staged else None)


def fenced_sha256(at: Situation) -> str:
    """Of the container's config at the source once this run has fenced it."""
    return text_sha256(fence_at(at, at.source) + at.config)


def called(side: Side) -> str:
    """The device's name in titles."""
    return short_name(side.device) if side.device else NO_DEVICE


def dump_called(side: Side) -> str:
    """The same of the device that carries its memory."""
    return short_name(side.dump_device) if side.dump_device else NO_DEVICE


def takes_back(title: str, do: Command, *, must: bool) -> Compensation:
    """A compensation; ``must``: unless it is proved, nothing behind it is taken back."""
    return Compensation(title, do, blocking=must)


LOOKS_ONLY = NothingToUndo("looks only")
ONLY_FORWARD = NothingToUndo("after the pivot there is only forward")
