"""Superblocks of filesystems that no tool of an old node describes: the first bytes, as they lie on the disk.

Offsets and byte orders are those of the formats' own documentation. What is asked for is how much is in use; neither
says whether some node has it mounted.
"""

from __future__ import annotations

from planner.parse.dumpe2fs import NOT_READ, Superblock


def xfs(data: bytes) -> Superblock:
    """The first sector: big-endian; blocks and inodes are counted there when it is unmounted."""
    if len(data) < 152 or data[:4] != b"XFSB":  # noqa: PLR2004 # the end of the last field
        return NOT_READ
    block, free_blocks = _big(data, 4, 4), _big(data, 144, 8)
    return NOT_READ._replace(
        free_bytes=block * free_blocks, inodes=_big(data, 128, 8), free_inodes=_big(data, 136, 8)
    )


def btrfs(data: bytes) -> Superblock:
    """The sector at 64 KiB: little-endian; it has no inodes that could run out."""
    if len(data) < 144 or data[64:72] != b"_BHRfS_M":  # noqa: PLR2004 # the end of the last field
        return NOT_READ
    return NOT_READ._replace(free_bytes=max(0, _little(data, 112, 8) - _little(data, 120, 8)))


def _big(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")


def _little(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")
