"""``df -P -k`` and ``df -P -i`` (df(1)): room on mounted filesystems, in bytes and in inodes."""

from __future__ import annotations

from collections.abc import Iterable

from planner.model import Room
from planner.parse import COUNT


def rooms(bytes_lines: Iterable[str], inode_lines: Iterable[str]) -> tuple[Room, ...]:
    """Room on every filesystem of a real device, in df's order; lines that are no rows of df are passed over."""
    inodes = {row[-1]: (_number(row[1]), _number(row[3])) for row in map(_row, inode_lines) if row}
    found = {}
    for row in map(_row, bytes_lines):
        if not row or not row[0].startswith("/"):
            continue
        size, free = _number(row[1]), _number(row[3])
        if size is None or free is None:
            continue
        total, left = inodes.get(row[-1], (None, None))
        # Filesystems without a table of inodes (btrfs) say 0 of 0.
        found[row[-1]] = Room(row[-1], size * 1024, free * 1024, left if total else None)
    return tuple(found.values())


def _row(line: str) -> list[str]:
    """The six columns; the last, a mount point, may have blanks in it."""
    words = line.split(maxsplit=5)
    return words if len(words) == 6 and (words[4] == "-" or words[4].endswith("%")) else []  # noqa: PLR2004


def _number(word: str) -> int | None:
    return int(word) if COUNT.fullmatch(word) else None
