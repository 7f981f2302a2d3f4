"""Way d2: both nodes see the same device. Unmount at the source, mount at the destination, copy nothing.

The order of transfer is the heart of it (rule 8): release, hide the config, and only then prove the release and
mount at the destination, with nothing in between.
"""

from __future__ import annotations

from planner.identity import stable_name
from planner.parse.config import with_value
from planner.plan import Step
from planner.situation import Situation
from planner.steps import container, device, files
from planner.ways import parts


def summary(at: Situation) -> str:
    """What is done, in a few words."""
    wwid = at.source.device.wwid if at.source.device else None
    return f"hand-over of {at.device_name} (LUN {wwid}): nothing is copied"


def new_config(at: Situation) -> str:
    """The config at the destination: VE_DEVICE is the destination's own, stable name; all else as it was."""
    there = at.destination.device
    if there is None:
        raise ValueError("a hand-over needs the device at the destination; the checks have not run")
    return with_value(at.config, "VE_DEVICE", stable_name(there))


def steps(at: Situation) -> tuple[Step, ...]:
    """The whole move, in order."""
    return running(at) if at.running else stopped(at)


def running(at: Situation) -> tuple[Step, ...]:
    """A running container: stopped here, its device mounted there, started there."""
    return (
        *parts.prepare(at, new_config(at), files.make_mount_point(at)),
        *parts.freeze(at),
        container.stop(at),
        device.release_at_source(at),
        files.hide_config(at, parts.backup(at)),
        device.prove_released(at.source),
        device.prove_released(at.destination),
        device.mount_at_destination(at),
        files.activate_config(at),
        container.start_pivot(at),
        files.allow_start(at),
        container.ensure_running(at),
        *parts.retire(at, files.remove_dir(at, at.source.private, "private")),
    )


def stopped(at: Situation) -> tuple[Step, ...]:
    """A stopped container: its device stays unmounted; which node may mount it is what changes."""
    return (
        *parts.prepare(at, new_config(at), files.make_mount_point(at)),
        *parts.freeze(at),
        device.release_at_source(at),
        files.hide_config(at, parts.backup(at)),
        device.prove_released(at.source),
        device.prove_released(at.destination),
        files.activate_config(at),
        container.enable_pivot(at),
        files.allow_start(at),
        *parts.retire(at, files.remove_dir(at, at.source.private, "private")),
    )
