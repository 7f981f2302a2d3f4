"""Whether the disk of a memory is as it was left: each mount of it shows in its superblock."""

from __future__ import annotations

from collections.abc import Generator

from executor.simulated.twins import files, storage
from executor.simulated.twins.dump import WRITTEN
from executor.simulated.twins.here import DONE, End, Here, Twin, die, dirty, same_disk
from planner.model import CONF_DIR
from planner.parse.config import DUMP_PLACE


def note_left(here: Here, device: str, identity: str) -> Generator[None, None, None]:
    """While its container runs on it, before its memory is written to a place of this run's."""
    made = (path for path in here.node.tree if path.startswith(f"{here.folder}/made"))
    placed = any(f"|{DUMP_PLACE}" in path for path in made)
    if placed and all(here.note(name) is None for name in WRITTEN):
        yield from here.mark("left", _reading(here, device, identity))


def as_left(here: Here, device: str, identity: str) -> Generator[None, None, None]:
    """Looked at before it is mounted here again; if it is not as it was left, the memory is given up."""
    if not _bound(here) or here.note("back") == here.node.boot_id:
        return
    disk = here.device(device)
    if disk is None or not same_disk(disk, identity):
        return
    if here.note("left") == _reading(here, device, identity):
        yield from here.mark("back", here.node.boot_id)
    else:
        yield from here.mark("taken")


def mount_device(here: Here, device: str, identity: str, private: str, found: str) -> Twin:
    """Looked at before."""
    yield from as_left(here, device, identity)
    return (yield from storage.mount_device(here, device, identity, private, found))


def prove_released(here: Here, device: str, identity: str) -> Twin:
    """Nobody can start the container here any more: who mounts it from here on is the destination."""
    end: End = yield from storage.prove_released(here, device, identity)
    left = here.note("left")
    if end.status or not _bound(here) or left is None or here.note("handed") is not None:
        return end
    if left != _reading(here, device, identity):
        return die(f"{device} was mounted here since the memory on it was written down")
    yield from here.mark("handed")
    return DONE


def rename_file(here: Here, old: str, new: str, sha256: str) -> Twin:
    """Before somebody can start the container here again, what the destination has made of its disk is noted."""
    left = here.note("left")
    if new.startswith(f"{CONF_DIR}/") and new.endswith(".conf") and here.note("handed") is not None and left:
        device, identity, _ = left.split(" ", 2)
        now = _reading(here, device, identity)
        if now.endswith(" torn") and here.note("written") is not None:
            yield from here.mark("taken")
        yield from here.mark("left", now)
        here.node.drop(f"{here.folder}/handed")
        yield
        yield from here.sync()
    return (yield from files.rename_file(here, old, new, sha256))


def _bound(here: Here) -> bool:
    """Whether what this run wrote down matches only a disk as it was left."""
    marked = {name for name in ("dumped", "taken", "written", "carrier") if here.note(name) is not None}
    return "dumped" in marked and "taken" not in marked and bool(marked & {"written", "carrier"})


def _reading(here: Here, device: str, identity: str) -> str:
    disk = here.node.devices[device]
    lun = here.node.luns[disk.number]
    torn = dirty(here, disk) and not here.node.mounts_of(lun)
    return f"{device} {identity} {here.world.luns[lun].mounted} {'torn' if torn else 'clean'}"
