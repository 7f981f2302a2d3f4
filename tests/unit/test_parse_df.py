"""Room, as df of several ages tells it."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from planner.model import Room
from planner.parse.df import rooms

CAPTURED = Path(__file__).resolve().parents[2] / "fixtures/captured"


def lines(case: str) -> list[str]:
    return (CAPTURED / f"df-{case}.txt").read_text().splitlines()


def kib(point: str, size: int, free: int, inodes: int | None) -> Room:
    return Room(point, size * 1024, free * 1024, inodes)


def test_a_sandbox_node_has_room_on_its_disks_only() -> None:
    assert rooms(lines("bytes-sandbox"), lines("inodes-sandbox")) == (
        kib("/vz", 235431, 229368, 65503),
        kib("/vz/root/123", 86491, 82329, 24513),
    )


def test_df_of_rhel_6_is_read_whatever_the_width_of_its_columns() -> None:
    assert rooms(lines("bytes-rhel6"), lines("inodes-rhel6")) == (
        kib("/", 20642428, 16389436, 1222597),
        kib("/boot", 495844, 413944, 127965),
        kib("/vz", 515930552, 279374796, 31855655),
        kib("/vz/private/123", 10321208, 9456368, 655262),
        kib("/vz/root/101", 4194304, 3145728, 175000),  # simfs: a container's own quota
        kib("/vz/root/123", 10321208, 9456368, 655262),
        kib("/media/old", 1032088, 0, 0),  # full is no room, not no answer
        kib("/media/btrfs", 10485760, 9437184, None),  # no table of inodes
    )


def test_sources_with_blanks_are_no_devices_and_harm_nobody() -> None:
    found = rooms(lines("bytes-blanks"), lines("inodes-blanks"))
    assert [room.point for room in found] == ["/vz", "/vz/root/123"]


def test_of_a_hostile_table_only_whole_rows_are_believed() -> None:
    assert rooms(lines("bytes-hostile"), []) == (
        kib("/mnt/50% full and 1 2 3 4% /more", 100, 60, None),
        kib("/mnt/huge", 18446744073709551615, 18446744073709551614, None),
        kib("/mnt/twice", 9, 8, None),  # the later mount covers the earlier
    )


def test_inodes_belong_to_the_mount_point_of_their_row() -> None:
    table = ["/dev/sda1 100 40 60 40% /mnt/a b", "/dev/sdb1 100 40 60 40% /mnt/c"]
    inodes = ["/dev/sdb1 9 1 8 12% /mnt/a b", "/dev/sdb1 9 x y 12% /mnt/c", "nonsense"]
    assert rooms(table, inodes) == (kib("/mnt/a b", 100, 60, 8), kib("/mnt/c", 100, 60, None))


def test_nothing_gives_nothing() -> None:
    assert rooms([], []) == ()
    assert rooms([""], [""]) == ()
    assert rooms(lines("bytes-rhel6")[:1], lines("inodes-rhel6")[:1]) == ()
    assert rooms([], lines("inodes-rhel6")) == ()


def test_no_cut_of_the_table_makes_room() -> None:
    whole = {room.point: room for room in rooms(lines("bytes-rhel6"), lines("inodes-rhel6"))}
    text = "\n".join(lines("bytes-rhel6"))
    for end in range(len(text)):
        for room in rooms(text[:end].split("\n"), lines("inodes-rhel6")):
            # A cut in the last column shortens a mount point; sizes are never cut.
            known = [w for w in whole.values() if w.point.startswith(room.point)]
            assert (room.size_bytes, room.free_bytes) in {(w.size_bytes, w.free_bytes) for w in known}


@given(st.lists(st.text(max_size=40), max_size=5), st.lists(st.text(max_size=40), max_size=5))
def test_no_table_makes_it_fail(bytes_lines: list[str], inode_lines: list[str]) -> None:
    for room in rooms(bytes_lines, inode_lines):
        assert room.size_bytes >= 0
        assert room.free_bytes >= 0


def test_a_filesystem_of_no_size_has_no_percentage_and_no_room() -> None:
    assert rooms(["/dev/sda1 0 0 0 - /mnt/none"], []) == (kib("/mnt/none", 0, 0, None),)


def test_a_filesystem_none_of_whose_inodes_is_used_has_them_all() -> None:
    assert rooms(["/dev/sda1 100 0 100 0% /mnt"], ["/dev/sda1 50 0 50 0% /mnt"]) == (
        kib("/mnt", 100, 100, 50),
    )
