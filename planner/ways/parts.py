"""What the ways have in common: how every move begins, freezes and ends."""

from __future__ import annotations

from planner.codec import text_sha256
from planner.model import CONF_DIR, PathKind, Script
from planner.parse.config import FENCE
from planner.plan import Step
from planner.situation import Situation
from planner.steps import files, run


def prepare(at: Situation, config: str, private: Step) -> tuple[Step, ...]:
    """Nobody notices: ownership, the staged config, scripts, directories. ``private`` makes the private area."""
    root_is_there = at.destination.facts.path(at.destination.root).kind is PathKind.DIRECTORY
    private_is_there = at.destination.facts.path(at.destination.private).kind is PathKind.DIRECTORY
    return (
        run.own(at, at.source),
        run.own(at, at.destination),
        run.note_state(at),
        files.stage_config(at, FENCE + config),
        *(files.make_script(at, script, f"{CONF_DIR}/{script.name}") for script in scripts(at)),
        *(() if root_is_there else (files.make_root(at),)),
        *(() if private_is_there else (private,)),
    )


def freeze(at: Situation) -> tuple[Step, ...]:
    """From here on the container is ours: locks, a last look at what the plan rests on, the fence."""
    return (
        run.hold_lock(at, at.source),
        run.hold_lock(at, at.destination),
        run.guard_source(at, at.container.state, text_sha256(at.config)),
        run.guard_destination(at),
        files.fence(at),
    )


def retire(at: Situation, private: Step) -> tuple[Step, ...]:
    """What the move leaves behind. The destination's lock goes first: its own daemons may need vzctl at any time."""
    old = backup(at)
    suffix = old.removeprefix(at.config_path)
    return (
        run.release_lock(at, at.destination),
        private,
        files.remove_dir(at, at.source.root, "root"),
        *(
            files.retire_script(at, s, f"{CONF_DIR}/{s.name}", f"{CONF_DIR}/{s.name}{suffix}")
            for s in scripts(at)
        ),
        files.tidy_backup(at, old),
        run.release_lock(at, at.source),
        run.disown(at, at.source),
        run.disown(at, at.destination),
    )


def scripts(at: Situation) -> tuple[Script, ...]:
    """The container's own action scripts at the source (``CTID.NAME``; ``vps.NAME`` belongs to the node)."""
    return tuple(s for s in at.source.facts.scripts if s.name.startswith(f"{at.ctid}."))


def backup(at: Situation) -> str:
    """The old config's new name: first free of ``.migrated``, ``.migrated.1``, ...; fixed here, at plan time."""
    taken = set(at.source.facts.conf_names)
    names = [f"{at.ctid}.conf", *(s.name for s in scripts(at))]
    number = 0
    while any(f"{name}{_suffix(number)}" in taken for name in names):
        number += 1
    return f"{at.config_path}{_suffix(number)}"


def aside(at: Situation) -> str:
    """The name under which the old area is deleted, beside it in the same filesystem."""
    return f"{at.source.private}.vzplan-retired"


def _suffix(number: int) -> str:
    return ".migrated" if number == 0 else f".migrated.{number}"
