"""Requests for the tests: the bundled worlds, and variants of them made by small functions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from msgspec import structs

from executor.facts_files import read_world
from executor.simulated.loading import Truth
from planner import model
from planner.make import make_plan
from planner.model import Asked, Container, Criu, Known, NodeFacts, Options, Request, Script, State
from planner.parse.config import without
from planner.plan import Plan

NODES: Final = Path(__file__).parent.parent / "fixtures" / "nodes"
CTID: Final = 123


FLAGS: Final = {
    "to-insulated": Options(dst_device="/dev/sdg1"),
    "too-small": Options(dst_device="/dev/sdg1"),
    "to-shared": Options(dst_shared=True),
    "other-device": Options(dst_device="/dev/sdm1"),
    "shared-criu": Options(online=True),
    "san-staged": Options(online=True, dump_device="/dev/sdd1"),
}
"""The flags that a bundled world is meant for; the others need none."""

REFUSED: Final = {
    "san-clone": "clone",
    "no-identity": "no-identity",
    "ct-exists": "ct-exists",
    "ip-in-use": "address-in-use",
    "hook-missing": "hook-missing",
    "busy-device": "device-busy",
    "too-small": "too-small",
}
"""The bundled worlds that must be refused, and by which finding."""


def bundled(world: str, options: Options | None = None) -> Request:
    """Container 123, running on hn1, is to go to hn2, with the flags that the world is meant for."""
    nodes = read_world(NODES / world)
    asked = Asked(CTID, "hn1", "hn2", options or FLAGS.get(world, Options()))
    return Request(asked, nodes["hn1"], nodes["hn2"])


def stopped(request: Request) -> Request:
    """The same, but 123 is down: nothing of it is mounted, and its device is clean."""
    source = request.source
    areas = {f"/vz/private/{CTID}", f"/vz/root/{CTID}"}
    numbers = {m.device for m in source.mounts if m.point == f"/vz/private/{CTID}"}
    uuids = {d.filesystem.uuid for d in source.devices if d.number in numbers and d.filesystem}
    source = _with_container(source, state=State.STOPPED, resident_bytes=None)
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


def online(request: Request) -> Request:
    """The same, but 123 is to run on, and both nodes have CRIU."""
    return asking(with_criu(request), online=True)


def suspended(request: Request) -> Request:
    """The same, but 123 is suspended: it is down, and its memory waits in DUMPDIR."""
    down = stopped(request)
    source = structs.replace(
        _with_container(down.source, state=State.SUSPENDED, dump_bytes=300 << 20),
        paths=tuple(
            structs.replace(p, empty=False, entries=(f"Dump.{CTID}",)) if p.path == "/vz/dump" else p
            for p in down.source.paths
        ),
    )
    return with_criu(structs.replace(down, source=source))


def with_criu(request: Request) -> Request:
    """The same, but both nodes have CRIU, and it works there."""
    source, destination = (
        structs.replace(
            facts,
            tools=tuple(sorted({*facts.tools, "criu"})),
            criu=Criu(Known.YES, "Looks good."),
        )
        for facts in (request.source, request.destination)
    )
    return structs.replace(request, source=source, destination=destination)


def staged(request: Request) -> Request:
    """The same, but 123 is to run on, and both nodes have kernels that make checkpoints themselves."""
    source, destination = (
        structs.replace(
            facts, tools=tuple(sorted({*facts.tools, "/proc/cpt", "/proc/rst"})), cpt_version=0x308
        )
        for facts in (request.source, request.destination)
    )
    return asking(structs.replace(request, source=source, destination=destination), online=True)


DUMP_UUID: Final = "7d0c2f5e-1b7a-4f0e-9c55-1f2a3b4c5d6e"
DUMP_WWID: Final = "3600508b4000971f0000a000000990000"


def by_device(request: Request) -> Request:
    """The same, but its memory goes by a device of its own."""

    def added(facts: NodeFacts, name: str, number: str) -> NodeFacts:
        like = next(d for d in facts.devices if d.filesystem is not None and d.filesystem.type == "ext4")
        assert like.filesystem is not None
        device = structs.replace(
            like,
            names=(name, f"/dev/disk/by-id/wwn-0x{DUMP_WWID}-part1"),
            number=number,
            wwid=DUMP_WWID,
            filesystem=structs.replace(
                like.filesystem,
                uuid=DUMP_UUID,
                needs_recovery=Known.NO,
                empty=Known.YES,
                free_bytes=like.size_bytes // 2,
                free_inodes=(like.filesystem.inodes or 0) - 11,
            ),
            holders=(),
            exclusive=Known.YES,
        )
        return structs.replace(facts, devices=(*facts.devices, device))

    source = added(request.source, "/dev/sdd1", "8:49")
    return asking(
        structs.replace(request, source=source, destination=added(request.destination, "/dev/sdk1", "8:161")),
        dump_device="/dev/sdd1",
    )


def mounted(request: Request) -> Request:
    """The same, but 123 is mounted and does not run."""
    return structs.replace(
        request, source=_with_container(request.source, state=State.MOUNTED, resident_bytes=None)
    )


def without_device(request: Request) -> Request:
    """The same, but the operator took VE_DEVICE out of the config of 123, as the seed does it."""
    config = without(_container(request.source).config or "", "VE_DEVICE")
    return structs.replace(request, source=_with_container(request.source, config=config))


def asking(request: Request, **options: object) -> Request:
    """The same, with other flags too."""
    asked = request.asked
    return structs.replace(
        request, asked=structs.replace(asked, options=structs.replace(asked.options, **options))
    )


def not_on_boot(request: Request) -> Request:
    """The same, but 123 is not started when its node boots."""
    source = request.source
    config = (_container(source).config or "").replace('ONBOOT="yes"', 'ONBOOT="no"')
    return structs.replace(request, source=_with_container(source, config=config))


def never_started(request: Request) -> Request:
    """The same, but vzctl has not written into its config yet, as it does at the first start."""
    config = (_container(request.source).config or "").replace('VE_LAYOUT="simfs"\n', "")
    return structs.replace(request, source=_with_container(request.source, config=config))


def on_boot_list(request: Request) -> Request:
    """The same, but its config does not say whether 123 is started at boot: its node's VZREBOOTDIR does."""
    config = (_container(request.source).config or "").replace('ONBOOT="yes"\n', "")
    source = structs.replace(_with_container(request.source, config=config), reboots=(CTID,))
    return structs.replace(request, source=source)


def disabled(request: Request) -> Request:
    """The same, but the owner of 123 does not want it to be started."""
    source = request.source
    config = (_container(source).config or "") + 'DISABLED="yes"\n'
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


def with_neighbour(request: Request) -> Request:
    """The same, but on the destination's bus is one more disk, which holds something of somebody else."""
    destination = request.destination
    wanted = request.asked.options.dst_device
    disk = next(device for device in destination.devices if wanted in device.names)
    assert disk.filesystem is not None
    neighbour = structs.replace(
        disk,
        number="8:241",
        names=("/dev/sdp1",),
        wwid=f"{disk.wwid}f",
        filesystem=structs.replace(
            disk.filesystem,
            uuid="0c7b9e44-52d1-4b0f-9d1e-6f7a8b9c0f41",
            empty=Known.NO,
            free_inodes=(disk.filesystem.inodes or 0) - 190_000,
        ),
    )
    return structs.replace(
        request, destination=structs.replace(destination, devices=(*destination.devices, neighbour))
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
            filesystem = structs.replace(
                filesystem,
                needs_recovery=Known.NO,
                empty=Known.NO,
                free_bytes=device.size_bytes - (22 << 30),
                free_inodes=(filesystem.inodes or 0) - 190_000,
            )
        devices.append(structs.replace(device, filesystem=filesystem))
    return structs.replace(facts, devices=tuple(devices))


WORLDS: Final = {
    "a-running": bundled("shared"),
    "a-running-not-on-boot": not_on_boot(with_history(bundled("shared"))),
    "a-online": online(bundled("shared")),
    "a-online-criu": bundled("shared-criu"),
    "a-staged": staged(bundled("shared")),
    "a-mounted": mounted(bundled("shared")),
    "a-stopped": stopped(with_history(bundled("shared"))),
    "a-stopped-never-started": never_started(stopped(bundled("shared"))),
    "a-suspended": suspended(bundled("shared")),
    "a-running-disabled": disabled(bundled("shared")),
    "a-running-on-boot-list": on_boot_list(bundled("shared")),
    "a-stopped-area-kept": asking(not_on_boot(stopped(bundled("shared"))), remove_area=False),
    "b-running": with_history(bundled("to-insulated")),
    "b-running-two-disks": with_neighbour(bundled("to-insulated")),
    "b-online": online(not_on_boot(bundled("to-insulated"))),
    "b-staged": staged(not_on_boot(bundled("to-insulated"))),
    "b-mounted": not_on_boot(mounted(bundled("to-insulated"))),
    "b-stopped": stopped(bundled("to-insulated")),
    "b-suspended": not_on_boot(suspended(bundled("to-insulated"))),
    "c-running": bundled("to-shared"),
    "c-running-by-config": not_on_boot(without_device(bundled("to-shared", Options()))),
    "c-online": online(bundled("to-shared")),
    "c-staged": staged(bundled("to-shared")),
    "c-mounted": mounted(with_history(bundled("to-shared"))),
    "c-stopped": not_on_boot(stopped(bundled("to-shared"))),
    "c-suspended": suspended(with_history(bundled("to-shared"))),
    "d1-running": not_on_boot(bundled("other-device")),
    "d1-online": online(bundled("other-device")),
    "d1-staged": staged(bundled("other-device")),
    "d1-mounted": mounted(bundled("other-device")),
    "d1-stopped": stopped(bundled("other-device")),
    "d1-suspended": suspended(bundled("other-device")),
    "d2-running": with_history(bundled("san")),
    "d2-running-not-on-boot": not_on_boot(bundled("san")),
    "d2-running-own-hooks": asking(bundled("hook-missing"), install_hooks=True),
    "d2-online": online(bundled("san")),
    "d2-staged": staged(bundled("san")),
    "d2-online-not-on-boot": online(not_on_boot(with_history(bundled("san")))),
    "d2-staged-not-on-boot": staged(not_on_boot(with_history(bundled("san")))),
    "d2-online-by-device": by_device(online(bundled("san"))),
    "d2-staged-by-device": by_device(staged(not_on_boot(bundled("san")))),
    "d2-staged-by-device-at-boot": bundled("san-staged"),
    "d2-mounted": mounted(bundled("san")),
    "d2-stopped": stopped(bundled("san")),
    "d2-stopped-not-on-boot": not_on_boot(stopped(with_history(bundled("san")))),
    "d2-stopped-on-boot-list": on_boot_list(stopped(bundled("san"))),
    "d2-suspended": suspended(bundled("san")),
    "d2-suspended-not-on-boot": not_on_boot(suspended(with_history(bundled("san")))),
    "d2-stopped-believed": asking(stopped(bundled("no-identity")), same_device=True, dst_device="/dev/sdm1"),
}
"""All ways and states, started at boot or not, with and without a history, and the flags."""


def is_down(world: str) -> bool:
    """Whether 123 is stopped or suspended there."""
    return _container(WORLDS[world].source).state in (State.STOPPED, State.SUSPENDED)


def plan_of(world: str) -> Plan:
    """The plan for one of ``WORLDS``, made anew for each test: only so does each execute what makes it."""
    return make_plan(WORLDS[world])


_ONE_DISK: Final = Truth(same=((("hn1", "/dev/sda1"), ("hn2", "/dev/sdm1")),))

TRUTHS: Final = {"d2-stopped-believed": _ONE_DISK}
"""What the facts of a world do not show, and a simulated world has to know."""

EXPLORED: Final = (
    tuple(WORLDS)
    if os.environ.get("VZPLAN_SOAK") == "1"
    else (
        "b-running-two-disks",
        "d2-running-own-hooks",
    )
)
"""Those in which each failure is also put after every plain trouble; in all of them each is put at every step."""
