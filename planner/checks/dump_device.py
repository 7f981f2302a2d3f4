"""What must hold of the device that carries the memory of a container whose own device is handed over."""

from __future__ import annotations

import re
from typing import Final

from planner.checks.block import by_itself, free, shows_use, unused, writable
from planner.findings import Finding, error, warning
from planner.identity import look_alikes, same_disk
from planner.model import Device
from planner.situation import Situation
from planner.steps import dump_called, dump_room

_PLAIN: Final = re.compile(r"[\w/.,:+@%=-]+")
"""What may stand between double quotes in a config and means the same to vzctl and to a shell."""

WITHOUT: Final = "leave it out: the memory then goes from node to node"


def checks(at: Situation) -> tuple[Finding, ...]:
    """None if it goes from node to node."""
    if not at.by_device:
        return _no_meaning(at)
    device, peer, subject = at.source.dump_device, at.destination.dump_device, _subject(at)
    if device is None:
        return (error("device-missing", subject, "that is not a block device there", WITHOUT),)
    if at.source.device is not None and same_disk(device, at.source.device, believed=True):
        said = "the dump device is the container's own"
        return (error("options-contradict", subject, said, "name another one; or " + WITHOUT),)
    remedy = "take a device with ext4 for the dump; or " + WITHOUT
    found = [*writable(device, subject), *shows_use(device.filesystem, subject, remedy)]
    # Of one that is in use here its superblock says no more.
    found += free(at.source.facts, device, subject) or unused(device, subject)
    found += [*by_itself(at.source.facts, device), *_place(at)]
    if peer is None:
        return (*found, *_not_there(at, device))
    there = f"{at.destination.node}:{dump_called(at.destination)}"
    found += [*writable(peer, there), *free(at.destination.facts, peer, there)]
    return (*found, *by_itself(at.destination.facts, peer))


def _subject(at: Situation) -> str:
    return f"{at.source.node}:{at.dump_device_name or '--dump-device'}"


def _no_meaning(at: Situation) -> tuple[Finding, ...]:
    if at.dump_device_name is None or not (at.online or at.options.dump_device is not None):
        return ()
    why = "no memory is taken along (--online)"
    if at.online:
        why = "no device is handed over"
    elif at.has_memory:
        why = "the memory was written down already, and goes from node to node"
    said = f"a dump device has no meaning here, and is not used: {why}"
    return (warning("dump-device-unused", _subject(at), said, "nothing"),)


def _not_there(at: Situation, device: Device) -> list[Finding]:
    clones = [d for d in look_alikes(device, at.destination.facts) if not same_disk(device, d)]
    if device.wwid is None:
        said = "the device has no WWID, so nothing proves which of the destination's devices it is"
        return [error("no-identity", _subject(at), said, WITHOUT)]
    if clones:
        subject = f"{at.destination.node}:{clones[0].names[0]}"
        said = f"same filesystem UUID as {at.dump_device_name}, but another disk: a clone or snapshot"
        return [error("clone", subject, said, "see the array's mapping; or " + WITHOUT)]
    said = f"{at.dump_device_name} of {at.source.node} is not visible there"
    return [error("device-not-shared", at.destination.node, said, "map the LUN there too; or " + WITHOUT)]


def _place(at: Situation) -> list[Finding]:
    """Its path is written into the config, between quotes."""
    return [
        error(
            "config-path",
            f"{side.node}:{side.dumpdir}",
            f"DUMPDIR is {side.dumpdir!r}: a directory in it cannot be named in a config",
            "write it with plain letters; or " + WITHOUT,
        )
        for side in (at.source, at.destination)
        if not _PLAIN.fullmatch(dump_room(at, side))
    ]
