"""Superblocks as they lie on the disk: how much is in use, and nothing of what is no superblock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.model import Known
from planner.parse.dumpe2fs import NOT_READ, Superblock
from planner.parse.superblock import btrfs, xfs

CAPTURED = Path(__file__).resolve().parents[2] / "fixtures/captured"
MIB = 1 << 20
READERS = {"xfs": xfs, "btrfs": btrfs, "btrfs-of-2": btrfs}

each = pytest.mark.parametrize("case", READERS)


def captured(case: str) -> bytes:
    return (CAPTURED / f"superblock-{case}.bin").read_bytes()


def test_xfs_counts_its_blocks_and_the_inodes_that_it_has_made() -> None:
    found = xfs(captured("xfs"))
    assert found.free_bytes is not None
    # 320 MiB, of which df called 262144 KiB usable and 236768 free; the log and what xfs keeps are not for files.
    assert 236768 * 1024 <= found.free_bytes < 320 * MIB - 7_000_000
    assert (found.inodes, found.free_inodes) == (64, 53)  # df: 11 in use


@pytest.mark.parametrize("case", ["btrfs", "btrfs-of-2"])
def test_btrfs_counts_its_bytes(case: str) -> None:
    found = btrfs(captured(case))
    size = 200 * MIB * (2 if case == "btrfs-of-2" else 1)
    assert found.free_bytes is not None
    assert size - 9 * MIB < found.free_bytes < size - 7_000_000
    assert (found.inodes, found.free_inodes) == (None, None)


@each
def test_neither_says_whether_it_is_mounted_or_empty(case: str) -> None:
    found = READERS[case](captured(case))
    assert (found.journal, found.needs_recovery, found.empty) == (None, Known.UNKNOWN, Known.UNKNOWN)


@each
def test_what_is_cut_short_or_another_ones_says_nothing(case: str) -> None:
    data, read = captured(case), READERS[case]
    for end in (0, 4, 72, 100, 143):
        assert read(data[:end]) == NOT_READ
    others = [other for name, other in READERS.items() if other is not read]
    assert {other(data) for other in others} == {NOT_READ}
    assert read(bytes(512)) == NOT_READ


@given(st.binary(max_size=200), st.sampled_from([(xfs, b"XFSB", 0), (btrfs, b"_BHRfS_M", 64)]))
def test_no_bytes_make_it_fail_or_say_less_than_nothing(
    junk: bytes, form: tuple[Callable[[bytes], Superblock], bytes, int]
) -> None:
    read, magic, at = form
    found = read(junk[:at] + magic + junk[at + len(magic) :])
    assert found.free_bytes is None or found.free_bytes >= 0


@pytest.mark.parametrize(("used", "free"), [(100, 0), (101, 0), (99, 1), (0, 100)])
def test_a_full_btrfs_has_no_bytes_left(used: int, free: int) -> None:
    head = bytes(64) + b"_BHRfS_M" + bytes(40)
    assert (
        btrfs(head + (100).to_bytes(8, "little") + used.to_bytes(8, "little") + bytes(16)).free_bytes == free
    )


@each
def test_what_is_asked_for_is_all_that_must_be_there(case: str) -> None:
    data, read = captured(case), READERS[case]
    end = 152 if case == "xfs" else 144
    assert read(data[:end]) == read(data) != NOT_READ
    assert read(data[: end - 1]) == NOT_READ
