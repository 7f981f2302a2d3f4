"""Steps about configs, action scripts and directories."""

from __future__ import annotations

from posixpath import basename

from planner.codec import text_sha256
from planner.model import Script
from planner.plan import Command, Compensation, Step, Zone
from planner.situation import Side, Situation
from planner.steps import ONLY_FORWARD, SLOW_S, command, fence_at, fenced_sha256, takes_back
from planner.verbs import ANY_CONTENT, ANY_MOUNT


def staged(at: Situation) -> str:
    """The new config under a name that vzctl does not read: it takes only NAME.conf (rule 8)."""
    return at.config_path + ".vzplan"


def stage_config(at: Situation, text: str) -> Step:
    """Write the new config, fenced, where a stray ``vzctl mount`` does not find it."""
    side, path = at.destination, staged(at)
    return Step(
        id="stage-config",
        title=f"stage the config as {basename(path)}",
        zone=Zone.PREPARE,
        do=command(side, "make-file", path, "0644", stdin=text),
        undo=takes_back("remove it", command(side, "remove-made", path), must=False),
    )


def make_script(at: Situation, script: Script, path: str) -> Step:
    """Carry one of the container's own action scripts over."""
    side = at.destination
    return Step(
        id=f"script-{script.name}",
        title=f"copy the action script {script.name}",
        zone=Zone.PREPARE,
        do=command(side, "make-file", path, f"{script.mode:04o}", stdin=script.text or ""),
        undo=takes_back("remove it", command(side, "remove-made", path), must=False),
    )


def make_root(at: Situation) -> Step:
    """Make the directory that vzctl mounts the container on."""
    side = at.destination
    undo = takes_back("rmdir it", command(side, "remove-made", side.root), must=False)
    return _make_dir(side, "make-root", side.root, "0755", undo)


def make_mount_point(at: Situation) -> Step:
    """Make the mount point; [seen] while it is missing vzctl calls the container deleted and starts nothing."""
    side = at.destination
    undo = takes_back("rmdir it", command(side, "remove-made", side.private), must=False)
    return _make_dir(side, "make-private", side.private, "0700", undo)


def make_private(at: Situation) -> Step:
    """Make the directory that the copy goes into; taken back with all that was copied."""
    side = at.destination
    deleted = command(side, "remove-made-tree", side.private, deadline_s=SLOW_S * 12)
    undo = takes_back("delete it and what was copied into it", deleted, must=False)
    return _make_dir(side, "make-private", side.private, "0700", undo)


def _make_dir(side: Side, step_id: str, path: str, mode: str, undo: Compensation) -> Step:
    return Step(
        id=step_id,
        title=f"make {path}",
        zone=Zone.PREPARE,
        do=command(side, "make-dir", path, mode),
        undo=undo,
    )


def fence(at: Situation) -> Step:
    """Forbid to start it at the source, also when that node boots in the middle (exit 105, [seen])."""
    side = at.source
    return Step(
        id="fence",
        title="forbid start (DISABLED)",
        zone=Zone.FREEZE,
        do=command(
            side, "fence", at.config_path, text_sha256(at.config), stdin=fence_at(at, side), deadline_s=SLOW_S
        ),
        undo=takes_back(
            "allow it again",
            command(side, "unfence", at.config_path, stdin=fence_at(at, side), deadline_s=SLOW_S),
            must=True,
        ),
    )


def hide_config(at: Situation, backup: str) -> Step:
    """Take the config's name away at the source: invisible to vzctl, vzlist and the boot script."""
    side = at.source
    return Step(
        id="hide-config",
        title=f"rename the config to {basename(backup)}",
        zone=Zone.TRANSFER,
        do=_hidden(at, backup),
        undo=takes_back(
            "give it its name back",
            command(side, "rename-file", backup, at.config_path, ANY_CONTENT, deadline_s=SLOW_S),
            must=True,
        ),
    )


def put_config_away(at: Situation, backup: str) -> Step:
    """The same once it has moved: what stood still at the source until then was vzctl's to end, by its config."""
    return Step(
        id="hide-config",
        title=f"rename the config to {basename(backup)}",
        zone=Zone.RETIRE,
        do=_hidden(at, backup),
        undo=ONLY_FORWARD,
    )


def _hidden(at: Situation, backup: str) -> Command:
    operands = (at.ctid, at.source.root, at.config_path, backup, fenced_sha256(at))
    return command(at.source, "hide-config", *operands, deadline_s=SLOW_S)


def name_config(at: Situation, zone: Zone) -> Step:
    """Give the staged config its real name; it is fenced still.

    Before the pivot only what is undumped needs it: without it nobody starts anything at the destination, be it by
    force. After the pivot, of which it is a part, for a node that lost power then.
    """
    after = zone is Zone.RETIRE
    return Step(
        id="name-config",
        title=f"{'make sure that the config has' if after else 'give the config'} its name; start stays forbidden",
        zone=zone,
        do=command(at.destination, "name-config", at.ctid, staged(at), deadline_s=SLOW_S),
        undo=ONLY_FORWARD
        if after
        else takes_back("take the name away again", unnamed(at, ANY_MOUNT), must=True),
        ensures=after,
    )


def unnamed(at: Situation, root: str) -> Command:
    """Take the config's name away at the destination, unless the container runs there; ``root`` is proved free."""
    operands = (at.ctid, root, at.config_path, staged(at), ANY_CONTENT)
    return command(at.destination, "hide-config", *operands, deadline_s=SLOW_S)


def allow_start(at: Situation) -> Step:
    """Take the fence out of the new config: from now on it starts at boot as it did at the source."""
    side = at.destination
    return Step(
        id="allow-start",
        title="allow start, as it was before",
        zone=Zone.RETIRE,
        do=command(side, "activate-config", at.ctid, staged(at), stdin=fence_at(at, side), deadline_s=SLOW_S),
        undo=ONLY_FORWARD,
        ensures=True,
    )


def tidy_backup(at: Situation, backup: str) -> Step:
    """Take the fence out of the old config too: who needs it one day finds it as it was."""
    side = at.source
    return Step(
        id="tidy-backup",
        title=f"take the fence out of {basename(backup)}",
        zone=Zone.RETIRE,
        do=command(side, "unfence", backup, stdin=fence_at(at, side), deadline_s=SLOW_S),
        undo=ONLY_FORWARD,
    )


def retire_script(at: Situation, script: Script, old: str, new: str) -> Step:
    """Rename one of the container's action scripts out of vzctl's sight."""
    return Step(
        id=f"retire-{script.name}",
        title=f"rename the action script {script.name} to {basename(new)}",
        zone=Zone.RETIRE,
        do=command(at.source, "rename-file", old, new, ANY_CONTENT, deadline_s=SLOW_S),
        undo=ONLY_FORWARD,
    )


def retire_area(at: Situation, aside: str) -> Step:
    """Delete the old private area: proved free of mounts and of a config, renamed aside, deleted by our own verb.

    Never ``vzctl destroy``: [seen] it deletes whatever is mounted there, and returns before it is done.
    """
    side = at.source
    return Step(
        id="retire-private",
        title=f"delete {side.private}",
        zone=Zone.RETIRE,
        do=command(side, "retire-area", at.ctid, side.private, side.root, aside, deadline_s=SLOW_S * 12),
        undo=ONLY_FORWARD,
    )


def remove_dir(at: Situation, path: str, what: str) -> Step:
    """Remove an emptied directory of the source by rmdir; what is mounted or not empty stays and is reported."""
    return Step(
        id=f"remove-{what}",
        title=f"rmdir {path}",
        zone=Zone.RETIRE,
        do=command(at.source, "remove-dir", path),
        undo=ONLY_FORWARD,
    )
