"""``/proc/PID/mountinfo`` (proc(5)): what is mounted where, of what, and how."""

from __future__ import annotations

import re
from typing import Final

from planner.model import Mount
from planner.parse import ParseError

PSEUDO: Final = frozenset(
    [
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "nsfs",
        "proc",
        "pstore",
        "rpc_pipefs",
        "securityfs",
        "sysfs",
        "tmpfs",
        "tracefs",
        "usbfs",
    ]
)
"""Types that hold no container and say nothing about one."""

_OCTAL: Final = re.compile(r"\\([0-7]{3})")


def mount(line: str, *, elsewhere: bool) -> Mount | None:
    """One line; None for a pseudo filesystem.

    Raises:
        ParseError: it is not a line of mountinfo.
    """
    fields, separator, rest = line.partition(" - ")
    words, tail = fields.split(" "), rest.split(" ")
    if not separator or len(words) < 6 or len(tail) < 3 or not re.fullmatch(r"\d+:\d+", words[2]):  # noqa: PLR2004
        raise ParseError(f"not a line of mountinfo: {line[:120]!r}")
    if tail[0] in PSEUDO:
        return None
    return Mount(
        point=plain(words[4]),
        device=words[2],
        root=plain(words[3]),
        type=tail[0],
        source=plain(tail[1]),
        # Read-only for this mount, or for the filesystem as a whole.
        read_only="ro" in words[5].split(",") or "ro" in tail[2].split(","),
        elsewhere=elsewhere,
    )


def plain(word: str) -> str:
    r"""A word with ``\040`` and the like turned back into the bytes that they stand for."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), word)
