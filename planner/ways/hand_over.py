"""Way d2: both nodes see the same device. Unmount at the source, mount at the destination, copy nothing.

The order of transfer is the heart of it (rule 8): release, hide the config, and only then prove the release and
mount at the destination, with nothing in between. That it is one device is not only read off its identity but seen:
the destination's view of it changes with the source's mount and unmount (the challenge).
"""

from __future__ import annotations

from planner.identity import stable_name
from planner.model import PathKind
from planner.parse.config import value, with_value
from planner.plan import Step, Zone
from planner.situation import Situation
from planner.steps import called, container, device, dump, files
from planner.ways import parts


def summary(at: Situation) -> str:
    """What is done, in a few words."""
    wwid = at.source.device.wwid if at.source.device else None
    what = "nothing but its memory" if at.has_memory and not at.by_device else "nothing"
    return f"hand-over of {called(at.source)} (LUN {wwid or 'without a WWID'}): {what} is copied"


def new_config(at: Situation) -> str:
    """The config at the destination: VE_DEVICE is the destination's own, stable name; all else as it was."""
    there = at.destination.device
    if there is None:
        raise ValueError("a hand-over needs the device at the destination; the checks have not run")
    config = with_value(at.config, "VE_DEVICE", stable_name(there))
    carrier = at.destination.dump_device
    if carrier is not None and value(config, "VE_DUMP_DEVICE"):
        config = with_value(config, "VE_DUMP_DEVICE", stable_name(carrier))
    return config


def steps(at: Situation) -> tuple[Step, ...]:
    """The whole move, in order."""
    if at.staged:
        return still(at)
    return up(at) if at.up else down(at)


def up(at: Situation) -> tuple[Step, ...]:
    """A container that runs, or is mounted: taken down here, its device mounted there, brought up there."""
    return (
        *parts.prepare(at, new_config(at), *mount_point(at), *dump.make_places(at)),
        device.see_mounted(at, Zone.PREPARE),
        *parts.freeze(at),
        container.take_down(at),
        *dump.bring(at),
        *over(at),
        container.bring_up_pivot(at),
        *container.ensure_memory(at),
        *dump.void(at),
        files.allow_start(at),
        container.ensure_up(at),
        *parts.retire(at, files.remove_dir(at, at.source.private, "private"), *dump.retire(at)),
    )


def still(at: Situation) -> tuple[Step, ...]:
    """A container that stands still for a staged checkpoint: ended once its memory is safe, to free its device."""
    return (
        *parts.prepare(at, new_config(at), *mount_point(at), *dump.make_places(at)),
        device.see_mounted(at, Zone.PREPARE),
        *parts.freeze(at),
        container.freeze(at),
        dump.write(at),
        *dump.bring(at),
        container.kill(at),
        *over(at),
        files.name_config(at, Zone.TRANSFER),
        container.undump(at),
        container.bring_up_pivot(at),
        files.allow_start(at),
        container.ensure_up(at),
        *parts.retire(at, files.remove_dir(at, at.source.private, "private"), *dump.retire(at)),
    )


def down(at: Situation) -> tuple[Step, ...]:
    """A stopped container, or a suspended one with its dump: which node may mount its device is what changes.

    For the challenge the source mounts it once.
    """
    noted = () if device.mounted_before(at) else (device.note_superblock(at),)
    return (
        *parts.prepare(at, new_config(at), *mount_point(at), *dump.make_places(at)),
        *parts.freeze(at),
        *dump.bring(at),
        *noted,
        device.mount_at_source(at),
        device.see_mounted(at, Zone.TRANSFER),
        device.release_at_source(at),
        files.hide_config(at, parts.backup(at)),
        device.prove_released(at.source),
        device.prove_released(at.destination),
        container.enable_pivot(at),
        files.allow_start(at),
        *parts.retire(at, files.remove_dir(at, at.source.private, "private"), *dump.retire(at)),
    )


def over(at: Situation) -> tuple[Step, ...]:
    """Down at the source by now: its devices, and its config's name, go over (rule 8)."""
    return (
        *dump.let_go(at),
        device.release_at_source(at),
        files.hide_config(at, parts.backup(at)),
        device.prove_released(at.source),
        device.prove_released(at.destination),
        device.mount_at_destination(at, Zone.TRANSFER),
        *dump.take(at),
    )


def mount_point(at: Situation) -> tuple[Step, ...]:
    """Made if it is not there."""
    is_there = at.destination.facts.path(at.destination.private).kind is PathKind.DIRECTORY
    return () if is_there else (files.make_mount_point(at),)
