"""A simulated disk is held as a kernel holds one: for as long as one of its partitions is."""

from __future__ import annotations

from msgspec import structs

from executor.simulated.world import World
from planner.model import Device, Known, NodeFacts
from tests.worlds import WORLDS

PART = "/dev/sda1"


def with_its_disk() -> NodeFacts:
    """hn1 of the world of hand-overs, whose probe has told of the whole disk as well."""
    facts = WORLDS["d2-running"].source
    part = facts.device(PART)
    assert part is not None
    disk = structs.replace(part, names=("/dev/sda",), number="8:0", start_sector=None, filesystem=None)
    return structs.replace(facts, devices=(disk, *facts.devices))


def told(world: World, name: str) -> Device:
    """What the simulated node says of it."""
    found = world.facts("hn1").device(name)
    assert found is not None
    return found


def test_a_disk_and_its_partition_are_held_by_what_stands_on_the_other() -> None:
    for holding in ("/dev/sda", PART):
        facts = with_its_disk()
        devices = (structs.replace(d, holders=("dm-0",) if holding in d.names else ()) for d in facts.devices)
        world = World.of(structs.replace(facts, devices=tuple(devices), mounts=()))
        assert (told(world, "/dev/sda").exclusive, told(world, PART).exclusive) == (Known.NO, Known.NO)


def test_another_path_to_the_same_lun_is_not_held_with_it() -> None:
    facts = with_its_disk()
    disk = facts.device("/dev/sda")
    assert disk is not None
    other = structs.replace(disk, names=("/dev/sdq",), number="65:0", exclusive=Known.YES)
    world = World.of(structs.replace(facts, devices=(*facts.devices, other)))
    assert (told(world, "/dev/sda").exclusive, told(world, "/dev/sdq").exclusive) == (Known.NO, Known.YES)


def test_a_disk_is_held_until_its_partition_is_unmounted() -> None:
    world = World.of(with_its_disk())
    assert (told(world, "/dev/sda").exclusive, told(world, PART).exclusive) == (Known.NO, Known.NO)
    hn1 = world.nodes["hn1"]
    hn1.mounts = type(hn1.mounts)(mount for mount in hn1.mounts if mount.device != told(world, PART).number)
    assert (told(world, "/dev/sda").exclusive, told(world, PART).exclusive) == (Known.YES, Known.YES)
