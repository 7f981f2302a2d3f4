"""Way a: the container shares its filesystem with others and is copied by rsync.

Running: one pass while it runs, the last one when it is down. Stopped: one pass, fenced.
"""

from __future__ import annotations

from planner.plan import Step
from planner.situation import Situation
from planner.steps import container, copy, files
from planner.ways import parts


def summary(at: Situation) -> str:
    """What is done, in a few words."""
    return f"copy of {at.source.private}, rsync from node to node"


def new_config(at: Situation) -> str:
    """The config at the destination: every byte as it was."""
    return at.config


def steps(at: Situation) -> tuple[Step, ...]:
    """The whole move, in order."""
    return running(at) if at.running else stopped(at)


def running(at: Situation) -> tuple[Step, ...]:
    """A running container: stopped here, started there."""
    return (
        *parts.prepare(at, new_config(at), files.make_private(at)),
        copy.first_pass(at),
        *parts.freeze(at),
        container.stop(at),
        copy.last_pass(at),
        files.hide_config(at, parts.backup(at)),
        files.activate_config(at),
        container.start_pivot(at),
        files.allow_start(at),
        container.ensure_running(at),
        *parts.retire(at, files.retire_area(at, parts.aside(at))),
    )


def stopped(at: Situation) -> tuple[Step, ...]:
    """A stopped container: copied once, then allowed to start there instead of here."""
    return (
        *parts.prepare(at, new_config(at), files.make_private(at)),
        *parts.freeze(at),
        copy.last_pass(at),
        files.hide_config(at, parts.backup(at)),
        files.activate_config(at),
        container.enable_pivot(at),
        files.allow_start(at),
        *parts.retire(at, files.retire_area(at, parts.aside(at))),
    )
