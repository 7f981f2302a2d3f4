"""What the ways have in common: how every move begins, freezes and ends."""

from __future__ import annotations

from planner.hooks import brought
from planner.model import CONF_DIR, PathKind
from planner.plan import Step
from planner.situation import Situation
from planner.steps import device, fence_at, files, hooks, run


def prepare(at: Situation, config: str, *private: Step) -> tuple[Step, ...]:
    """Nobody notices: ownership, the staged config, scripts, directories. ``private`` make the private area."""
    root_is_there = at.destination.facts.path(at.destination.root).kind is PathKind.DIRECTORY
    return (
        run.own(at, at.source),
        run.own(at, at.destination),
        run.note_state(at),
        files.stage_config(at, fence_at(at, at.destination) + config),
        *(files.make_script(at, script, f"{CONF_DIR}/{script.name}") for script in brought(at)),
        *hooks.install(at),
        *(() if root_is_there else (files.make_root(at),)),
        *private,
    )


def freeze(at: Situation) -> tuple[Step, ...]:
    """From here on the container is ours: locks, a last look at what the plan rests on, the fence."""
    return (
        run.hold_lock(at, at.source),
        run.hold_lock(at, at.destination),
        run.guard_source(at),
        run.guard_destination(at, mounted=not at.handed_over),
        files.fence(at),
    )


def let_go(at: Situation) -> tuple[Step, ...]:
    """A stopped container's own device at the destination is mounted no longer: its hooks do that at its start."""
    return () if at.destination.device is None else (device.leave_destination(at),)


def retire(at: Situation, *private: Step) -> tuple[Step, ...]:
    """What the move leaves behind. The destination's lock goes first: its own daemons may need vzctl at any time."""
    old = backup(at)
    suffix = old.removeprefix(at.config_path)
    return (
        run.release_lock(at, at.destination),
        *private,
        files.remove_dir(at, at.source.root, "root"),
        *(
            files.retire_script(at, s, f"{CONF_DIR}/{s.name}", f"{CONF_DIR}/{s.name}{suffix}")
            for s in brought(at)
        ),
        files.tidy_backup(at, old),
        run.release_lock(at, at.source),
        run.disown(at, at.source),
        run.disown(at, at.destination),
    )


def backup(at: Situation) -> str:
    """The old config's new name: first free of ``.migrated``, ``.migrated.1``, ...; fixed here, at plan time."""
    taken = set(at.source.facts.conf_names)
    names = [f"{at.ctid}.conf", *(s.name for s in brought(at))]
    number = 0
    while any(f"{name}{_suffix(number)}" in taken for name in names):
        number += 1
    return f"{at.config_path}{_suffix(number)}"


def aside(at: Situation) -> str:
    """The name under which the old area is deleted, beside it in the same filesystem."""
    return f"{at.source.private}.vzplan-retired"


def _suffix(number: int) -> str:
    return ".migrated" if number == 0 else f".migrated.{number}"
