"""What one node's facts say of a path, a mount and a disk."""

from __future__ import annotations

from itertools import permutations

import pytest
from msgspec import structs

from planner.identity import identity, is_called, same_disk, short_name, stable_name
from planner.model import Activation, Device, Filesystem, Mount, NodeFacts, Path, PathKind
from tests.worlds import bundled

SHARED, SAN = bundled("shared").source, bundled("san").source


def disk(**fields: object) -> Device:
    found = SAN.device("/dev/sda1")
    assert found is not None
    return structs.replace(found, **fields)


def formatted(**fields: object) -> Device:
    filesystem = disk().filesystem
    assert isinstance(filesystem, Filesystem)
    return disk(filesystem=structs.replace(filesystem, **fields))


def place(
    path: str, kind: PathKind, *, real: str | None = None, entries: tuple[str, ...] | None = None
) -> Path:
    return Path(path, kind, real, None, entries)


def mount(point: str, device: str, *, elsewhere: bool = False) -> Mount:
    return Mount(point, device, "/", "ext4", "/dev/x", read_only=False, elsewhere=elsewhere)


def knowing(*paths: Path, mounts: tuple[Mount, ...] = ()) -> NodeFacts:
    return structs.replace(SHARED, paths=paths, mounts=mounts)


# --- paths


def test_of_a_path_that_nobody_looked_at_its_directory_tells_whether_it_is_there() -> None:
    facts = knowing(
        place("/a", PathKind.DIRECTORY, entries=("b",)),
        place("/a/b", PathKind.DIRECTORY),
        place("/gone", PathKind.ABSENT),
        place("/closed", PathKind.DIRECTORY),
    )
    assert facts.path("/a/b").kind is PathKind.DIRECTORY
    assert facts.path("/a/c") == Path("/a/c", PathKind.ABSENT, None, None, None)
    assert facts.path("/gone/c").kind is PathKind.ABSENT
    for path in ("/closed/c", "/a/b/c", "/z"):  # not listed, or not looked at
        assert facts.path(path) == Path(path, PathKind.UNKNOWN, None, None, None)


def test_links_are_seen_through_wherever_they_stand_in_a_path() -> None:
    facts = knowing(
        place("/vz", PathKind.SYMLINK, real="/srv/vz"),
        place("/vz/private", PathKind.DIRECTORY),
        place("/all", PathKind.SYMLINK, real="/"),
    )
    assert facts.resolved("/vz") == "/srv/vz"
    assert facts.resolved("/vz/private/123") == "/srv/vz/private/123"
    assert facts.resolved("/all/123") == "/123"
    for path in ("/", "/home/x", "/vz2/x", "plain", ""):
        assert facts.resolved(path) == path


def test_of_mounts_on_one_point_the_last_of_this_nodes_own_counts() -> None:
    mounts = (mount("/srv/a", "8:1"), mount("/srv/a", "8:2"), mount("/srv/a", "8:3", elsewhere=True))
    facts = knowing(place("/a", PathKind.SYMLINK, real="/srv/a"), mounts=mounts)
    assert facts.mounted_at("/a") == mounts[1]
    assert facts.mounted_at("/srv") is None


def test_a_path_lies_on_the_deepest_mount_above_it() -> None:
    root, vz, over, beside = (
        mount("/", "8:1"),
        mount("/vz", "8:2"),
        mount("/vz", "8:3"),
        mount("/vz/private2", "8:4"),
    )
    deep = mount("/vz/private", "8:5", elsewhere=True)
    for mounts in ((root, vz, over, beside, deep), (vz, over, beside, deep, root)):
        facts = knowing(place("/l", PathKind.SYMLINK, real="/vz/private"), mounts=mounts)
        assert facts.mount_under("/vz/private/123") == over
        assert facts.mount_under("/vz") == over
        assert facts.mount_under("/l/123") == over
        assert facts.mount_under("/v") == root
    assert knowing(mounts=(vz,)).mount_under("/home") is None


# --- in order


def test_what_lvm_activates_is_in_one_order_whichever_way_it_was_found() -> None:
    found = (
        Activation("/etc/lvm/lvm.conf", "vg", None),
        Activation("/etc/lvm/lvm.conf", "vg", "A"),
        Activation("/etc/lvm/lvm.conf", "vg", "a"),
        Activation("/etc/lvm/lvm.conf", "vg", "b"),
        Activation("/etc/lvm/lvm.conf", "wg", "a"),
    )
    for each in permutations(found):
        assert structs.replace(SHARED, activations=each).in_order().activations == found


# --- disks


def test_what_is_not_known_of_a_disk_is_a_hyphen_in_its_identity() -> None:
    uuid = "3f6c1c1e-9b0a-4c7e-8a53-2b6f5f1d0123"
    assert identity(disk()) == f"3600508b4000971f0000a000000410000:2048:68719476736:ext4:{uuid}"
    assert identity(disk(wwid=None, start_sector=None, filesystem=None)) == "-:-:68719476736:-:-"
    assert identity(formatted(uuid=None)).endswith(":ext4:-")


@pytest.mark.parametrize(
    ("names", "stable"),
    [
        (("/dev/disk/by-id/scsi-1", "/dev/disk/by-id/wwn-1", "/dev/sda"), "/dev/disk/by-id/wwn-1"),
        (("/dev/disk/by-path/x", "/dev/disk/by-uuid/x", "/dev/mapper/x"), "/dev/mapper/x"),
        (("/dev/disk/by-label/x", "/dev/sdaa", "/dev/sdb"), "/dev/sdb"),
        (("/dev/sdb", "/dev/sda"), "/dev/sda"),
        (("/dev/a b", "/dev/longer"), "/dev/longer"),  # of what can be written into a config as it is
        (("/dev/disk/by-id/wwn 1", "/dev/sda"), "/dev/sda"),
        (("/dev/a b", "/dev/a  b"), "/dev/a b"),
    ],
)
def test_the_name_for_a_config_is_one_that_stays_if_there_is_one(names: tuple[str, ...], stable: str) -> None:
    assert stable_name(disk(names=names)) == stable


def test_the_name_for_people_is_the_shortest() -> None:
    assert short_name(disk(names=("/dev/disk/by-id/x", "/dev/sdb", "/dev/sda"))) == "/dev/sda"


def test_nothing_proves_that_two_are_one_disk_unless_all_of_it_is_known() -> None:
    assert same_disk(disk(), disk())
    assert same_disk(disk(), disk(names=("/dev/x",), number="9:9"))
    for unsure in (disk(filesystem=None), formatted(uuid=None)):
        assert not same_disk(unsure, unsure)
        assert not same_disk(unsure, unsure, believed=True)
    nameless = disk(wwid=None)
    assert not same_disk(nameless, nameless)
    assert same_disk(nameless, nameless, believed=True)
    assert same_disk(disk(), nameless, believed=True)
    assert not same_disk(disk(), disk(wwid="another"), believed=True)


def test_a_disk_without_a_filesystem_is_called_by_its_names_only() -> None:
    bare = disk(filesystem=None)
    assert is_called(bare, "/dev/sda1")
    assert not is_called(bare, "UUID=3f6c1c1e-9b0a-4c7e-8a53-2b6f5f1d0123")
    assert not is_called(disk(), "UUID=")


def test_a_disk_is_called_by_the_tags_of_its_filesystem() -> None:
    shop = formatted(label="shop")
    for name in ("LABEL=shop", 'LABEL="shop"', "UUID=3f6c1c1e-9b0a-4c7e-8a53-2b6f5f1d0123"):
        assert is_called(shop, name)
    for name in ("LABEL=other", "PARTLABEL=shop", "LABEL=3f6c1c1e-9b0a-4c7e-8a53-2b6f5f1d0123", "UUID=shop"):
        assert not is_called(shop, name)
