"""What must hold at the destination: nothing of that number, name or place is there."""

from __future__ import annotations

from planner.findings import Finding, error, typed
from planner.model import CONF_DIR, PathKind, State
from planner.parse.config import DUMP_PLACE, value
from planner.situation import Side, Situation, reboot_dir


def checks(at: Situation) -> tuple[Finding, ...]:
    """Findings about what is in the way at the destination."""
    return (*_configs(at), *_name(at), *_areas(at), *_dumps(at), *_boot_list(at))


def _configs(at: Situation) -> list[Finding]:
    facts = at.destination.facts
    taken = [name for name in facts.conf_names if name.startswith(f"{at.ctid}.") and ".migrated" not in name]
    return [
        error(
            "ct-exists",
            f"{facts.node}:{CONF_DIR}/{name}",
            f"the destination has a {name} already",
            "if it is a leftover of an earlier move, rename it; else that number is taken there",
        )
        for name in taken
    ]


def _name(at: Situation) -> list[Finding]:
    if at.name is None:
        return []
    return [
        error(
            "name-taken",
            f"{at.destination.node}:{other.ctid}",
            f"container {other.ctid} there is called {at.name} too",
            f"rename one of them ('vzctl set {other.ctid} --name NAME --save')",
        )
        for other in at.destination.facts.containers
        if other.ctid != at.ctid and other.config is not None and value(other.config, "NAME") == at.name
    ]


def _areas(at: Situation) -> list[Finding]:
    side, found = at.destination, []
    for path, what in ((side.private, "private"), (side.root, "root")):
        area, subject = side.facts.path(path), f"{side.node}:{path}"
        if side.facts.mounted_at(path) is not None:
            found.append(
                error(
                    "area-exists",
                    subject,
                    f"something is mounted where the {what} area is to be",
                    "see whose it is; unmount it only if nobody needs it",
                )
            )
        elif (
            area.kind is PathKind.DIRECTORY
            and area.empty
            and (what == "root" or at.destination.device is not None)
        ):
            continue  # an empty directory serves as the mount point that it is
        elif area.kind is PathKind.UNKNOWN:
            found.append(
                error(
                    "area-exists",
                    subject,
                    f"nothing says whether the {what} area is there",
                    "gather the facts again",
                )
            )
        elif area.kind is not PathKind.ABSENT:
            found.append(
                error(
                    "area-exists",
                    subject,
                    f"a {area.kind} is where the {what} area is to be",
                    "see whose it is; put it out of the way only if nobody needs it",
                )
            )
        else:
            found += _parent(at.destination, path)
    return found


def _parent(side: Side, path: str) -> list[Finding]:
    parent = path.rpartition("/")[0] or "/"
    kind = side.facts.path(parent).kind
    if kind is PathKind.DIRECTORY or (kind is PathKind.SYMLINK and side.facts.path(parent).real is not None):
        return []
    return [
        error(
            "parent-missing",
            f"{side.node}:{parent}",
            f"{parent} is not a directory",
            f"make it: {typed('mkdir', '-p', parent)}",
        )
    ]


def _dumps(at: Situation) -> list[Finding]:
    """[seen] ``vzctl start`` restores DUMPDIR/Dump.CTID by itself: old memory on a newer disk."""
    found = []
    suspended = at.container.state is State.SUSPENDED
    if at.has_memory:
        for side in (at.source, at.destination):
            found += _parent(side, f"{side.dumpdir}/Dump.{at.ctid}")
        left = (
            (at.source, f"Dump.{at.ctid}.vzplan-retired"),
            (at.destination, f"{DUMP_PLACE}{at.ctid}"),
            *([(at.source, f"{DUMP_PLACE}{at.ctid}")] if at.staged or at.by_device else []),
        )
        found += [
            error(
                "dump-exists",
                f"{side.node}:{side.dumpdir}/{name}",
                "an earlier run has left that there, and this one needs the name",
                "see that no run is open ('vzplan runs'), then remove it",
            )
            for side, name in left
            if name in (side.facts.path(side.dumpdir).entries or ())
        ]
    for side in (at.destination,) if suspended else (at.source, at.destination):
        path = f"{side.dumpdir}/Dump.{at.ctid}"
        kind = side.facts.path(path).kind
        if side.facts.path(side.dumpdir).kind is PathKind.ABSENT or kind is PathKind.ABSENT:
            continue
        sure = (
            "a memory dump waits there"
            if kind is not PathKind.UNKNOWN
            else "nothing says whether a memory dump waits there"
        )
        found.append(
            error(
                "dump-exists",
                f"{side.node}:{path}",
                sure,
                "see what it belongs to; rename it if it is a leftover",
            )
        )
    return found


def _boot_list(at: Situation) -> list[Finding]:
    """What VZREBOOTDIR names is started at boot, unless its config says ONBOOT=no: a leftover would start this one."""
    facts = at.destination.facts
    if at.container.state is State.RUNNING or value(at.config, "ONBOOT") == "no":
        return []
    if facts.reboots is not None and at.ctid not in facts.reboots:
        return []
    place = f"{reboot_dir(facts.vz_conf)}/{at.ctid}"
    sure = "nothing says whether it is" if facts.reboots is None else "it is"
    return [
        error(
            "boot-list",
            f"{facts.node}:{place}",
            f"{sure} on the list of what that node starts at its next boot; the container is {at.container.state}",
            f"remove it there: {typed('rm', '-f', place)}; or say that it is not to be started ("
            f"'vzctl set {at.ctid} --onboot no --save')",
        )
    ]
