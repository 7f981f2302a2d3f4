"""Ways a, b, c and d1: what the private area holds is copied by rsync, node to node.

Up: a pass or more while it is up, the last one when it is down. Down: one pass, fenced. What differs between the ways
is where the files are read and written: each end is a directory of a shared filesystem, or a device of its own.
"""

from __future__ import annotations

from planner.identity import stable_name
from planner.model import PathKind
from planner.parse.config import with_value, without
from planner.plan import Step, Zone
from planner.situation import Situation
from planner.steps import called, container, copy, device, dump, files
from planner.ways import parts


def summary(at: Situation) -> str:
    """What is done, in a few words."""
    out_of = f" out of {called(at.source)}" if at.source.device else ""
    onto = f" onto {called(at.destination)}" if at.destination.device else ""
    return f"copy of {at.source.private}{out_of}{onto}, rsync from node to node"


def new_config(at: Situation) -> str:
    """The config at the destination: VE_DEVICE is what the container is to own there; all else as it was."""
    there = at.destination.device
    if there is not None:
        return with_value(at.config, "VE_DEVICE", stable_name(there))
    return without(at.config, "VE_DEVICE") if at.device_name is not None else at.config


def steps(at: Situation) -> tuple[Step, ...]:
    """The whole move, in order."""
    if at.staged:
        return still(at)
    return up(at) if at.up else down(at)


def up(at: Situation) -> tuple[Step, ...]:
    """A container that runs, or is mounted: taken down here, brought up there."""
    return (
        *parts.prepare(at, new_config(at), *target(at), *dump.make_places(at)),
        *copy.first_passes(at),
        *parts.freeze(at),
        container.take_down(at),
        *readable(at),
        copy.last_pass(at),
        *dump.bring(at),
        files.hide_config(at, parts.backup(at)),
        container.bring_up_pivot(at),
        *container.ensure_memory(at),
        *dump.void(at),
        files.allow_start(at),
        container.ensure_up(at),
        *parts.retire(at, *leave(at), *dump.retire(at)),
    )


def down(at: Situation) -> tuple[Step, ...]:
    """A stopped container, or a suspended one with its dump: copied once, then allowed to start there, not here."""
    return (
        *parts.prepare(at, new_config(at), *target(at), *dump.make_places(at)),
        *parts.freeze(at),
        *readable(at),
        copy.last_pass(at),
        *dump.bring(at),
        files.hide_config(at, parts.backup(at)),
        *parts.let_go(at),
        container.enable_pivot(at),
        files.allow_start(at),
        *parts.retire(at, *leave(at), *dump.retire(at)),
    )


def still(at: Situation) -> tuple[Step, ...]:
    """A container that stands still for a staged checkpoint: at the source it is ended only once it runs there.

    Until then its old config keeps its name, for vzctl's sake, and the fence keeps it down if that node boots.
    """
    return (
        *parts.prepare(at, new_config(at), *target(at), *dump.make_places(at)),
        *copy.first_passes(at),
        *parts.freeze(at),
        container.freeze(at),
        dump.write(at),
        copy.last_pass(at),
        *dump.bring(at),
        files.name_config(at, Zone.TRANSFER),
        container.undump(at),
        container.prove_frozen(at),
        container.bring_up_pivot(at),
        files.allow_start(at),
        container.ensure_up(at),
        container.kill(at),
        files.put_config_away(at, parts.backup(at)),
        *parts.retire(at, *leave(at), *dump.retire(at)),
    )


def target(at: Situation) -> tuple[Step, ...]:
    """The place that is copied to: a directory that this run made, or an empty device that it claimed."""
    if at.destination.device is None:
        return (files.make_private(at),)
    is_there = at.destination.facts.path(at.destination.private).kind is PathKind.DIRECTORY
    return (
        *(() if is_there else (files.make_mount_point(at),)),
        device.mount_at_destination(at, Zone.PREPARE),
        device.claim_empty(at),
    )


def readable(at: Situation) -> tuple[Step, ...]:
    """The source's own filesystem is mounted for the copy: nothing else sees to it while the container is down."""
    return (device.mount_at_source(at),) if at.source.device is not None else ()


def leave(at: Situation) -> tuple[Step, ...]:
    """What becomes of the source's area: a device keeps its content, a directory goes unless it is to stay."""
    if at.source.device is not None:
        return (device.leave_source(at), files.remove_dir(at, at.source.private, "private"))
    return (files.retire_area(at, parts.aside(at)),) if at.options.remove_area else ()
