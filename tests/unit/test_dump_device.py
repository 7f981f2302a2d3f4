"""The device that carries the memory of a container whose own device is handed over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from msgspec import structs

from executor.simulated.node import SimulatedNode
from executor.simulated.tree import FIRST
from executor.simulated.world import World
from planner.findings import Severity
from planner.make import make_plan
from planner.model import Device, Known, Request
from planner.plan import Exited
from planner.verbs import UNFIT
from tests.unit.test_checks import (
    at_destination,
    at_source,
    container,
    device,
    having,
    said,
    vz_conf,
    with_mounter,
)
from tests.worlds import CTID, DUMP_UUID, DUMP_WWID, asking, bundled, by_device, online, suspended

ERROR, WARNING = Severity.ERROR, Severity.WARNING
SHARED: Final = bundled("shared")
SAN: Final = bundled("san")
CARRIED: Final = by_device(online(SAN))


def config_of(request: Request, ctid: int) -> str:
    """Of a container at the source."""
    found = request.source.container(ctid)
    assert found is not None
    return found.config or ""


def carrier(node: str) -> Device:
    """The device that carries the memory, as that node has it."""
    facts = CARRIED.source if node == "hn1" else CARRIED.destination
    return next(d for d in facts.devices if d.wwid == DUMP_WWID)


@pytest.mark.parametrize(
    ("node", "change", "code"),
    [
        ("hn1", {"read_only": Known.YES}, "device-read-only"),
        ("hn2", {"read_only": Known.UNKNOWN}, "device-read-only"),
        ("hn1", {"exclusive": Known.NO}, "device-busy"),
        ("hn2", {"exclusive": Known.UNKNOWN}, "device-busy"),
        ("hn1", {"wwid": None}, "no-identity"),
        ("hn1", {"filesystem": None}, "filesystem-not-movable"),
        ("hn2", {"filesystem": None}, "device-not-shared"),
    ],
)
def test_a_dump_device_is_proved_like_any_that_is_handed_over(
    node: str, change: dict[str, Any], code: str
) -> None:
    device = carrier(node)
    facts = CARRIED.source if node == "hn1" else CARRIED.destination
    devices = tuple(structs.replace(d, **change) if d == device else d for d in facts.devices)
    request = (at_source if node == "hn1" else at_destination)(CARRIED, having(devices=devices))
    plan = make_plan(request)
    assert not plan.runnable
    assert code in {f.code for f in plan.findings if f.severity is ERROR}


def test_of_a_dump_device_what_is_wrong_is_said_of_the_node_that_has_it() -> None:
    another = at_destination(CARRIED, device("/dev/sdk1", wwid="3600508b4000971f0000a000000770000"))
    assert said(another, "clone") == [(ERROR, f"hn2:/dev/disk/by-id/wwn-0x{DUMP_WWID}-part1")]
    read_only = at_destination(CARRIED, device("/dev/sdk1", read_only=Known.YES))
    assert said(read_only, "device-read-only") == [(ERROR, "hn2:/dev/sdk1")]


@pytest.mark.parametrize(("at", "node"), [(at_source, "hn1"), (at_destination, "hn2")])
def test_a_dump_device_that_something_mounts_by_itself_is_refused(
    at: Callable[..., Request], node: str
) -> None:
    mounts = at(CARRIED, with_mounter("/etc/fstab", f"UUID={DUMP_UUID}"))
    assert said(mounts, "device-mounter") == [(ERROR, f"{node}:/etc/fstab")]


@pytest.mark.parametrize(("at", "node"), [(at_source, "hn1"), (at_destination, "hn2")])
def test_a_place_for_a_dump_device_that_cannot_stand_between_quotes_is_refused(
    at: Callable[..., Request], node: str
) -> None:
    odd = at(CARRIED, vz_conf("DUMPDIR=/vz/dump~", instead_of="DUMPDIR=/vz/dump"))
    assert said(odd, "config-path") == [(ERROR, f"{node}:/vz/dump~")]
    (remedy,) = (f.remedy for f in make_plan(odd).findings if f.code == "config-path")
    assert remedy.endswith("; or leave it out: the memory then goes from node to node")


def test_a_dump_device_that_is_not_there_or_the_containers_own_is_refused() -> None:
    assert said(asking(CARRIED, dump_device="/dev/nothing"), "device-missing") == [
        (ERROR, "hn1:/dev/nothing")
    ]
    assert said(asking(CARRIED, dump_device=""), "device-missing") == [(ERROR, "hn1:--dump-device")]
    own = asking(CARRIED, dump_device="/dev/sda1")
    assert (ERROR, "hn1:/dev/sda1") in said(own, "options-contradict")
    # Also where nothing but the name says so.
    nameless = at_source(own, device("/dev/sda1", wwid=None))
    assert (ERROR, "hn1:/dev/sda1") in said(nameless, "options-contradict")


def test_a_dump_device_of_another_container_is_refused() -> None:
    config = f'{config_of(CARRIED, 101)}VE_DEVICE="/dev/sdd1"\n'
    theirs = at_source(CARRIED, container(101, config=config))
    assert said(theirs, "device-shared-by") == [(ERROR, "hn1:/etc/vz/conf/101.conf")]


def test_the_config_may_name_the_dump_device_and_names_it_as_the_destination_does_afterwards() -> None:
    named = asking(CARRIED, dump_device=None)
    config = f'{config_of(named, CTID)}VE_DUMP_DEVICE="/dev/sdd1"\n'
    plan = make_plan(at_source(named, container(CTID, config=config)))
    assert "mount-dump-source" in {step.id for step in plan.steps}
    assert plan.config is not None
    assert f'VE_DUMP_DEVICE="/dev/disk/by-id/wwn-0x{DUMP_WWID}-part1"' in plan.config.after


def test_a_dump_device_that_has_no_meaning_is_not_used() -> None:
    for request in (asking(CARRIED, online=False), asking(online(SHARED), dump_device="/dev/sdd1")):
        assert said(request, "dump-device-unused") == [(WARNING, "hn1:/dev/sdd1")]
        assert [f.remedy for f in make_plan(request).findings if f.code == "dump-device-unused"] == [
            "nothing"
        ]
        assert not any("dump" in step.do.argv[0] for step in make_plan(request).steps if "device" in step.id)
        assert not {"mount-dump", "clear-dump"} & {step.do.argv[0] for step in make_plan(request).steps}


def test_of_a_suspended_container_it_is_not_said_that_its_memory_stays() -> None:
    request = asking(suspended(SAN), dump_device="/dev/sdd1")
    (finding,) = (f for f in make_plan(request).findings if f.code == "dump-device-unused")
    assert "goes from node to node" in finding.summary


@pytest.mark.parametrize(("name", "status"), [("Dump.777", UNFIT), ("Dump.123", UNFIT), ("lost+found", 0)])
def test_memory_on_it_whosever_keeps_it_from_being_mounted_at_the_source(name: str, status: int) -> None:
    world = World.of(CARRIED.source, CARRIED.destination)
    lun = world.nodes["hn1"].luns[carrier("hn1").number]
    world.luns = {**world.luns, lun: world.luns[lun]._replace(dumps=((name, FIRST),))}
    steps = {step.id: step for step in make_plan(CARRIED).steps}
    node = SimulatedNode(world, "hn1")
    for step in ("own-hn1", "make-dump-place-source", "make-dump-room-source"):
        assert node.run(steps[step].do) == Exited(0, "", "")
    said = node.run(steps["mount-dump-source"].do)
    assert isinstance(said, Exited)
    assert said.status == status
    assert bool(world.nodes["hn1"].mounts_of(lun)) is (status == 0)
