"""What must hold of the container at the source."""

from __future__ import annotations

from planner.findings import Finding, error
from planner.model import CONF_DIR, Known, PathKind, State
from planner.parse.config import FENCE, value
from planner.situation import Situation

MOVABLE = (State.RUNNING, State.STOPPED)


def checks(at: Situation) -> tuple[Finding, ...]:
    """Findings about the container where it is."""
    return (*_state(at), *_config(at), *_lock(at), *_private(at), *_others(at))


def _state(at: Situation) -> list[Finding]:
    state = at.container.state
    if state in MOVABLE:
        return []
    remedy = {
        State.MOUNTED: "stop or unmount it first ('vzctl umount')",
        State.SUSPENDED: "resume or stop it first",
        State.DELETED: "vzctl says deleted while VE_PRIVATE does not exist: see where its private area is",
    }.get(state, "see what 'vzctl status' says there")
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
    if layout is not None and not layout.startswith("simfs"):
        found.append(
            error(
                "layout-not-movable",
                subject,
                f"the layout is {layout}; vzplan moves simfs",
                "move it with vzmigrate",
            )
        )
    if at.insulated and at.device_name is None:
        found.append(
            error(
                "way-not-there",
                subject,
                f"{at.source.private} is a filesystem of its own, but no VE_DEVICE is set",
                "set VE_DEVICE to its device to hand it over",
            )
        )
    return found


def _lock(at: Situation) -> list[Finding]:
    lock = next((entry for entry in at.source.facts.locks if entry.ctid == at.ctid), None)
    if lock is None or lock.alive is Known.NO:
        return []
    sure = "is held by a live process" if lock.alive is Known.YES else "may be held: its process is not known"
    return [
        error(
            "locked",
            f"{at.source.node}:{at.ctid}",
            f"vzctl's lock {sure}",
            "wait until that vzctl has ended, then try again",
        )
    ]


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
    """Another container with the same private area or device would be moved, or deleted, along with it."""
    found = []
    for other in at.source.facts.containers:
        if other.ctid == at.ctid or other.config is None:
            continue
        private = value(other.config, "VE_PRIVATE")
        device = value(other.config, "VE_DEVICE")
        subject = f"{at.source.node}:{CONF_DIR}/{other.ctid}.conf"
        if private is not None and private.replace("$VEID", str(other.ctid)) == at.source.private:
            found.append(
                error(
                    "device-shared-by",
                    subject,
                    f"container {other.ctid} has the same VE_PRIVATE",
                    "give it its own",
                )
            )
        names = at.source.device.names if at.source.device else ()
        if device and (device == at.device_name or device in names):
            found.append(
                error(
                    "device-shared-by",
                    subject,
                    f"container {other.ctid} has the same VE_DEVICE",
                    "give it its own",
                )
            )
    return found


def _kind(kind: PathKind) -> str:
    return {PathKind.ABSENT: "not there", PathKind.UNKNOWN: "not known"}.get(kind, f"a {kind}")
