"""``dumpe2fs -h DEVICE`` (dumpe2fs(8)): an ext filesystem's superblock, read without mounting it."""

from __future__ import annotations

from typing import Final, NamedTuple

from planner.model import Journal, Known
from planner.parse import COUNT

RESERVED: Final = 11
"""Inodes in use on an empty filesystem: ten that are reserved, and lost+found (ext4(5))."""


class Superblock(NamedTuple):
    """What the header says. Bytes and inodes are None, the rest UNKNOWN, for anything that is no superblock."""

    journal: Journal | None
    needs_recovery: Known  # [seen] some node has it mounted read-write
    empty: Known  # in use are only the inodes that are reserved, and that of lost+found
    free_bytes: int | None
    inodes: int | None
    free_inodes: int | None


NOT_READ: Final = Superblock(None, Known.UNKNOWN, Known.UNKNOWN, None, None, None)


def superblock(text: str) -> Superblock:
    """The header of an ext filesystem."""
    # A volume's label may hold a newline, and then says whatever it likes on lines of its own; no real field stands
    # before it, and of the label's 16 bytes not enough is left for a whole one of those that are asked for here.
    lines = [line.partition(":") for line in text.splitlines()]
    fields = {name: value.strip() for name, colon, value in lines if colon}
    if "Filesystem features" not in fields or "Filesystem state" not in fields:  # or it was cut in the middle
        return NOT_READ
    features = fields["Filesystem features"].split()
    elsewhere = {"Journal UUID", "Journal device"} & fields.keys()
    if "has_journal" not in features:
        journal = Journal.NONE
    elif fields.get("Journal inode", "").isdecimal() and not elsewhere:
        journal = Journal.INTERNAL
    else:
        journal = Journal.EXTERNAL
    mounted = (
        "needs_recovery" in features
    )  # and then what is on the disk of the counts is of before the mount
    inodes, free, first = (_number(fields, name) for name in ("Inode count", "Free inodes", "First inode"))
    blocks, size = _number(fields, "Free blocks"), _number(fields, "Block size")
    if mounted:
        free = blocks = None
    empty = Known.UNKNOWN
    if inodes is not None and free is not None:
        empty = Known.YES if inodes - free <= (first or RESERVED) else Known.NO
    return Superblock(
        journal=journal,
        needs_recovery=Known.YES if mounted else Known.NO,
        empty=empty,
        free_bytes=blocks * size if blocks is not None and size is not None else None,
        inodes=inodes,
        free_inodes=free,
    )


def _number(fields: dict[str, str], name: str) -> int | None:
    text = fields.get(name, "")
    return int(text) if COUNT.fullmatch(text) else None
