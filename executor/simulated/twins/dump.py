"""Twins of the verbs about the dump of a suspended container's memory."""

from __future__ import annotations

from typing import Final

from executor.simulated.twins.files import remove_made
from executor.simulated.twins.here import DONE, End, Here, Twin, die, not_up, unfit
from executor.simulated.twins.storage import mount_device, release_device
from executor.simulated.vz import config_path


def put_dump(here: Here, copied: str, dump: str) -> Twin:
    """What this run has copied gets its name; what is there already stays."""
    node = here.node
    if copied in node.tree:
        if dump in node.tree:
            return die(f"{dump} is there already")
        yield from here.mark("put-dump", dump)
        node.move(copied, dump)
        yield
    elif here.note("put-dump") is None or dump not in node.tree:
        return die(f"{copied} is not there")
    yield from here.sync()
    return DONE


def withdraw_dump(here: Here, copied: str, dump: str) -> Twin:
    """What this run put there, and nothing else."""
    node = here.node
    if here.note("put-dump") is not None and dump in node.tree and copied not in node.tree:
        node.move(dump, copied)
        yield
    yield from here.sync()
    return DONE


def retire_dump(here: Here, ctid: str, dump: str, aside: str) -> Twin:
    """Its name goes first, durably; then it is deleted."""
    node = here.node
    if config_path(int(ctid)) in node.tree:
        return die(f"{config_path(int(ctid))} is there: the dump may still be taken up here")
    if dump in node.tree:
        if aside in node.tree:
            return die(f"{aside} is there already")
        yield from here.mark("retiring-dump", dump)
        node.move(dump, aside)
        yield
        yield from here.sync()
    if aside in node.tree:
        if here.note("retiring-dump") is None:
            return die(f"{aside} is there, and this run did not put it there")
        if "remove" in node.stubborn:
            return die(f"{aside} cannot be deleted")
        node.drop(aside)
        yield
    yield from here.sync()
    return DONE


def mount_dump(here: Here, device: str, identity: str, room: str, found: str, ctid: str) -> Twin:
    """Not with another's dump on it; noted, so that it can be mounted again."""
    disk = here.device(device)
    if disk is not None and here.node.lun_at(room) != here.node.luns[disk.number]:
        names = (name for name, _ in here.world.luns[here.node.luns[disk.number]].dumps)
        others = [name for name in names if name.startswith("Dump.") and name != f"Dump.{ctid}"]
        if others:
            return unfit(f"{device} has {others[0]} on it")
    end: End = yield from mount_device(here, device, identity, room, found)
    if end.status == 0:
        yield from here.mark("carrier", f"{device} {identity} {room}")
    return end


def fetch_carrier(here: Here) -> Twin:
    """Mount the device that carries the dump again, if there is something to be taken up on it."""
    carrier = here.note("carrier")
    if carrier is None or here.note("taken") is not None:
        return DONE
    device, identity, room = carrier.split(" ")
    end: End = yield from mount_device(here, device, identity, room, "any")
    return not_up(f"the memory is on {device}, which cannot be mounted") if end.status else DONE


def accept_dump(here: Here, dump: str) -> Twin:
    """On the device that has come here with it."""
    if dump not in here.node.tree:
        return die(f"{dump} is not there")
    yield from here.mark("put-dump", dump)
    return DONE


WRITTEN: Final = ("dumping", "put-dump", "taken", "writing", "undumped")
"""Marks of a run that a dump on the device that carries it may be of."""


def clear_dump(here: Here, device: str, identity: str, room: str, ctid: str) -> Twin:
    """What this run wrote onto the device goes, and nothing else."""
    node = here.node
    if here.note("carrier") is not None:
        node.drop(f"{here.folder}/carrier")
        yield
    written = any(here.note(name) is not None for name in WRITTEN) and here.note("cleared") is None
    if room in node.tree and written:
        end: End = yield from mount_device(here, device, identity, room, "any")
        if end.status:
            return end
        for path in (f"{room}/Dump.{ctid}", here.beside(f"{room}/Dump.{ctid}")):
            if path in node.tree:
                if "remove" in node.stubborn:
                    return die(f"{path} cannot be deleted")
                node.drop(path)
                yield
        yield from here.sync()
        yield from here.mark("cleared")
    released: End = yield from release_device(here, device, identity, room)
    if released.status:
        return released
    return (yield from remove_made(here, room))
