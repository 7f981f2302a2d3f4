"""What must hold of the container at the source."""

from __future__ import annotations

from posixpath import normpath

from planner import hooks
from planner.findings import Finding, error
from planner.identity import is_called, same_disk
from planner.model import CONF_DIR, Container, Known, NodeFacts, PathKind, State
from planner.parse.config import FENCE, ConfigError, expanded, value
from planner.situation import AREAS, DEFAULTS, Side, Situation, lines_of_a_shell

MOVABLE = (State.RUNNING, State.MOUNTED, State.STOPPED, State.SUSPENDED)


def checks(at: Situation) -> tuple[Finding, ...]:
    """Findings about the container where it is."""
    return (
        *_state(at),
        *_config(at),
        *_scripts(at),
        *_lock(at),
        *_private(at),
        *_areas(at),
        *_others(at),
        *_below(at),
    )


def _state(at: Situation) -> list[Finding]:
    state = at.container.state
    if state in MOVABLE:
        return []
    remedy = {
        State.DELETED: "vzctl says deleted while VE_PRIVATE does not exist: see where its private area is",
    }.get(state, f"see what 'vzctl status {at.ctid}' says there")
    return [error("state-not-movable", f"{at.source.node}:{at.ctid}", f"the container is {state}", remedy)]


def _config(at: Situation) -> list[Finding]:
    subject = f"{at.source.node}:{at.config_path}"
    found = []
    if FENCE in at.config:
        found.append(
            error(
                "config-fenced",
                subject,
                "the config still carries the fence of an earlier run",
                "see 'vzplan runs' for that run; if there is none, take the two lines out by hand",
            )
        )
    layout = value(at.config, "VE_LAYOUT")
    image = at.source.facts.path(f"{at.source.private}/root.hdd")
    if (layout is not None and not layout.startswith("simfs")) or image.kind is PathKind.DIRECTORY:
        what = (
            f"the layout is {layout}"
            if layout and not layout.startswith("simfs")
            else "there is a root.hdd in it"
        )
        found.append(
            error("layout-not-movable", subject, f"{what}; vzplan moves simfs", "move it with vzmigrate")
        )
    quota = value(at.config, "QUOTAUGIDLIMIT") or "0"
    if quota.strip() != "0":
        found.append(
            error(
                "quota-not-movable",
                subject,
                f"it has a second-level quota (QUOTAUGIDLIMIT {quota}), which vzplan does not carry over",
                f"take it off while it is moved ('vzctl set {at.ctid} --quotaugidlimit 0 --save')",
            )
        )
    return found


def _scripts(at: Situation) -> list[Finding]:
    """What it brings along is written anew at the destination, as text."""
    return [
        error(
            "script-unreadable",
            f"{at.source.node}:{CONF_DIR}/{script.name}",
            "the action script is not UTF-8 text, or has a NUL byte in it",
            "take the odd bytes out, or move the script away and copy it by hand afterwards",
        )
        for script in hooks.brought(at)
        if script.text is None or "\0" in script.text
    ]


def _lock(at: Situation) -> list[Finding]:
    side = at.source
    lock = next((entry for entry in side.facts.locks if entry.ctid == at.ctid), None)
    if lock is None or lock.alive is Known.NO:
        return []
    file = f"{side.lockdir}/{at.ctid}.lck"
    said = "is held by a live process"
    remedy = (
        f"wait until that vzctl has ended, then try again; if the process in {file} is something else "
        "(a power cut left the file), remove it"
    )
    if lock.alive is Known.UNKNOWN:
        said = "may be held: its process is not known"
        remedy = f"if no vzctl is at work on {at.ctid}, remove {file}, then try again"
    return [error("locked", f"{side.node}:{at.ctid}", f"vzctl's lock {said}", remedy)]


def _private(at: Situation) -> list[Finding]:
    """A copy needs content; a stopped insulated container has an empty directory, and may ([seen])."""
    side = at.source
    area = side.facts.path(side.private)
    subject = f"{side.node}:{side.private}"
    if area.kind is not PathKind.DIRECTORY:
        return [
            error(
                "private-missing",
                subject,
                f"the private area is {_kind(area.kind)}",
                "it must be a directory; see VE_PRIVATE in the config",
            )
        ]
    if not at.insulated and area.empty is not False:
        sure = "is empty" if area.empty else "may be empty: nothing says"
        return [
            error(
                "private-missing",
                subject,
                f"the private area {sure}",
                "copying it would copy nothing; see what is mounted there",
            )
        ]
    aside = side.facts.path(f"{side.private}.vzplan-retired")
    if not at.insulated and aside.kind is not PathKind.ABSENT:
        return [
            error(
                "area-exists",
                f"{side.node}:{aside.path}",
                f"the name under which the old area is deleted is {_kind(aside.kind)}",
                "see what it is and remove it",
            )
        ]
    return []


def _others(at: Situation) -> list[Finding]:
    """Another container's area in the way, on either node, would be moved, deleted or written over along with it."""
    found = []
    for side in (at.source, at.destination):
        for other in side.facts.containers:
            if other.ctid == at.ctid:
                continue
            subject = f"{side.node}:{CONF_DIR}/{other.ctid}.conf"
            if other.config is None:
                found.append(
                    error(
                        "config-unreadable",
                        subject,
                        "the config is not UTF-8 text",
                        "see what it says, and mend it",
                    )
                )
                continue
            found += lines_of_a_shell(other.config, subject, AREAS)
            for name in ("VE_PRIVATE", "VE_ROOT"):
                theirs = _area_of(other, side, name)
                if theirs is not None and _overlap(side.facts, theirs, side.private):
                    found.append(
                        error(
                            "device-shared-by",
                            subject,
                            f"container {other.ctid} has {name} {theirs}, in the place of this one's VE_PRIVATE",
                            "give it its own",
                        )
                    )
            found += _same_device(at, side, other, subject)
    return found


def _area_of(other: Container, side: Side, name: str) -> str | None:
    """None if only a shell could say it."""
    for text in (other.config, side.facts.vz_conf):
        raw = value(text, name) if text else None
        if raw:
            try:
                return normpath(expanded(name, raw, other.ctid))
            except ConfigError:
                return None
    return expanded(name, DEFAULTS[name], other.ctid)


def _overlap(facts: NodeFacts, *areas: str) -> bool:
    """Whether one lies in the other, by whatever links they are named."""
    one, other = (f"{facts.resolved(area)}/" for area in areas)
    return one.startswith(other) or other.startswith(one)


def _same_device(at: Situation, side: Side, other: Container, subject: str) -> list[Finding]:
    """The device that it owns, or is to own, under whatever name it has on that node."""
    raw = value(other.config or "", "VE_DEVICE")
    if not raw:
        return []
    try:
        name = expanded("VE_DEVICE", raw, other.ctid)
    except ConfigError as problem:
        return [error("config-evaluates", subject, str(problem), "write the name of its device itself")]
    theirs = [device for device in side.facts.devices if is_called(device, name)]
    used = [at.source.device, at.destination.device]
    if at.by_device:
        used += [at.source.dump_device, at.destination.dump_device]
    ours = [device for device in used if device is not None]
    same = any(device is side.device or any(same_disk(own, device) for own in ours) for device in theirs)
    if not same and not (side is at.source and name == at.device_name):
        return []
    return [
        error(
            "device-shared-by", subject, f"container {other.ctid} has the same VE_DEVICE", "give it its own"
        )
    ]


def _areas(at: Situation) -> list[Finding]:
    """What vzctl mounts the container on cannot lie where its files are, nor they in it."""
    return [
        error(
            "config-path",
            f"{side.node}:{at.config_path}",
            f"VE_ROOT ({side.root}) and VE_PRIVATE ({side.private}) lie in each other",
            "give each a directory of its own",
        )
        for side in (at.source, at.destination)
        if _overlap(side.facts, side.root, side.private)
    ]


def _below(at: Situation) -> list[Finding]:
    """What is mounted below the private area is not copied, and keeps a device from being released."""
    side = at.source
    then = "keep the device from being released" if at.handed_over else "not be copied"
    top = side.facts.resolved(side.private) + "/"
    return [
        error(
            "mounted-below",
            f"{side.node}:{mount.point}",
            f"it is a filesystem of its own below the private area, and would {then}",
            "unmount it, or let an action script mount it below VE_ROOT",
        )
        for mount in side.facts.mounts
        if not mount.elsewhere and mount.point.startswith(top)
    ]


def _kind(kind: PathKind) -> str:
    return {PathKind.ABSENT: "not there", PathKind.UNKNOWN: "not known"}.get(kind, f"a {kind}")
