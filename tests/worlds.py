"""Requests for the tests: the bundled worlds, and variants of them made by small functions."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import structs

from executor.facts_files import read_world
from planner import model
from planner.model import Asked, Container, Known, NodeFacts, Request, Script, State

NODES: Final = Path(__file__).parent.parent / "fixtures" / "nodes"
CTID: Final = 123


def bundled(world: str) -> Request:
    """Container 123, running on hn1, is to go to hn2."""
    nodes = read_world(NODES / world)
    return Request(Asked(CTID, "hn1", "hn2"), nodes["hn1"], nodes["hn2"])


def stopped(request: Request) -> Request:
    """The same, but 123 is down: nothing of it is mounted, and its device is clean."""
    source = request.source
    areas = {f"/vz/private/{CTID}", f"/vz/root/{CTID}"}
    numbers = {m.device for m in source.mounts if m.point == f"/vz/private/{CTID}"}
    uuids = {d.filesystem.uuid for d in source.devices if d.number in numbers and d.filesystem}
    source = _with_container(source, state=State.STOPPED)
    source = structs.replace(
        source,
        mounts=tuple(m for m in source.mounts if m.point not in areas),
        rooms=tuple(r for r in source.rooms if r.point not in areas),
        paths=tuple(_emptied(p, insulated=bool(numbers)) for p in source.paths),
        devices=tuple(
            structs.replace(d, exclusive=Known.YES) if d.number in numbers else d for d in source.devices
        ),
    )
    return structs.replace(
        request, source=_clean(source, uuids), destination=_clean(request.destination, uuids)
    )


def not_on_boot(request: Request) -> Request:
    """The same, but 123 is not started when its node boots."""
    source = request.source
    config = (_container(source).config or "").replace('ONBOOT="yes"', 'ONBOOT="no"')
    return structs.replace(request, source=_with_container(source, config=config))


def with_history(request: Request) -> Request:
    """The same, but 123 has an action script of its own, and was on hn1 before."""
    source = request.source
    script = Script(f"{CTID}.mount", 0o755, "#!/bin/sh\nexit 0\n")
    return structs.replace(
        request,
        source=structs.replace(
            source,
            scripts=tuple(sorted((*source.scripts, script), key=lambda s: s.name)),
            conf_names=tuple(sorted((*source.conf_names, script.name, f"{CTID}.conf.migrated"))),
        ),
    )


def _container(facts: NodeFacts) -> Container:
    return next(c for c in facts.containers if c.ctid == CTID)


def _with_container(facts: NodeFacts, **changes: object) -> NodeFacts:
    return structs.replace(
        facts,
        containers=tuple(structs.replace(c, **changes) if c.ctid == CTID else c for c in facts.containers),
    )


def _emptied(path: model.Path, *, insulated: bool) -> model.Path:
    if path.path == f"/vz/root/{CTID}" or (insulated and path.path == f"/vz/private/{CTID}"):
        return structs.replace(path, empty=True)
    return path


def _clean(facts: NodeFacts, uuids: set[str | None]) -> NodeFacts:
    devices = []
    for device in facts.devices:
        filesystem = device.filesystem
        if filesystem is not None and filesystem.uuid in uuids:
            filesystem = structs.replace(filesystem, needs_recovery=Known.NO)
        devices.append(structs.replace(device, filesystem=filesystem))
    return structs.replace(facts, devices=tuple(devices))


WORLDS: Final = {
    "shared-running": bundled("shared"),
    "shared-running-not-on-boot": not_on_boot(with_history(bundled("shared"))),
    "shared-stopped": stopped(with_history(bundled("shared"))),
    "shared-stopped-not-on-boot": not_on_boot(stopped(bundled("shared"))),
    "san-running": with_history(bundled("san")),
    "san-running-not-on-boot": not_on_boot(bundled("san")),
    "san-stopped": stopped(bundled("san")),
    "san-stopped-not-on-boot": not_on_boot(stopped(with_history(bundled("san")))),
}
"""Both ways, both states, started at boot or not, with and without a history."""
