"""Action scripts that mount and unmount a container's own device: which are there, and ours.

[seen] With the wiki's scripts vzctl's start, mount and restore mount VE_DEVICE, its stop and umount unmount it, and a
failure of either is hidden. vzplan always mounts VE_PRIVATE itself and proves the device under it; the scripts are for
the container's later starts.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from planner.model import NodeFacts, Script
from planner.situation import Situation

NAMES: Final = {"premount": "mount", "postumount": "umount"}
"""Each script that has to deal with the device, and the tool by which it does."""


EXECUTABLE: Final = 0o111
"""vzctl runs no script that is not."""


class Kind(StrEnum):
    """What a script does about VE_DEVICE."""

    NONE = "none"  # it is not there, or says nothing of it
    SWALLOWS = (
        "swallows"  # as the wiki's: a failure is hidden, so a device that is mounted already does no harm
    )
    CAREFUL = "careful"  # it looks first whether the device is mounted
    LOUD = "loud"  # it fails if the device is mounted already


def kind(text: str, tool: str) -> Kind:
    """Read it off the text; nothing is run."""
    lines = [line for line in text.split("\n") if not line.lstrip().startswith("#")]
    code = "\n".join(lines)
    calls = [line for line in lines if re.search(rf"(?<![\w-]){tool}(?![\w-])", line)]
    if "VE_DEVICE" not in code and not any("VE_PRIVATE" in line for line in calls):
        return Kind.NONE
    if not calls:
        return Kind.NONE
    if re.search(r"mountpoint|/proc/(self/)?(mounts|mountinfo)|findmnt", code):
        return Kind.CAREFUL
    after = "\n".join(lines[lines.index(calls[-1]) :])
    fails = re.search(r"\b(?:exit|return) (?:[1-9]|\$\?)|\bfalse\b", after)
    hides = re.search(r"\|\||\bexit 0\b|;\s*true\b|^\s*true\b", after, re.MULTILINE)
    return Kind.SWALLOWS if hides and not fails else Kind.LOUD


def of(facts: NodeFacts, own: tuple[Script, ...], ctid: int, name: str) -> tuple[tuple[str, Kind], ...]:
    """The scripts that are run as ``name`` for a container, the node's first; ``own``: those that it brings along."""
    texts = {s.name: s.text or "" for s in (*facts.scripts, *own) if s.mode & EXECUTABLE}
    return tuple(
        (script, kind(texts[script], NAMES[name]))
        for script in (f"vps.{name}", f"{ctid}.{name}")
        if script in texts
    )


def brought(at: Situation) -> tuple[Script, ...]:
    """The action scripts that the container brings along."""
    return tuple(s for s in at.source.facts.scripts if s.name.startswith(f"{at.ctid}."))


def lacking(at: Situation) -> tuple[str, ...]:
    """Which of the two nothing stands for at the destination."""
    return tuple(
        name
        for name in NAMES
        if all(k is Kind.NONE for _, k in of(at.destination.facts, brought(at), at.ctid, name))
    )


_HEAD: Final = """#!/bin/sh
# Written by vzplan: this container owns the filesystem on VE_DEVICE. Fails loudly, so that it never runs on the files
# under the mount point.
device=$(sed -n 's/^[[:space:]]*VE_DEVICE="\\{0,1\\}\\([^"#[:space:]]*\\).*/\\1/p' "$VE_CONFFILE" | head -n 1)
[ -n "$device" ] || exit 0
place=$(readlink -f "$VE_PRIVATE")
numbered() { said=$(stat -L -c '0x%t 0x%T' "$1") && printf '%d:%d' $said; }
on() {
    awk -v at="$place" '
        $5 == at { found = $3 " " $4; sub(/.* - /, ""); found = found " " $1 " " $2 }
        END { print found }' /proc/self/mountinfo | {
        read -r number root type source
        # The number of a btrfs is none of a device.
        [ "$type" != btrfs ] || number=$(numbered "$source")
        [ "$root" != / ] || root=
        printf '%s%s' "$number" "$root"
    }
}
number=$(numbered "$device") || exit 1
"""

OURS: Final = {
    "premount": _HEAD
    + """[ "$(on)" = "$number" ] && exit 0
[ -z "$(on)" ] || { echo "something else than $device is mounted at $VE_PRIVATE" >&2; exit 1; }
mount "$device" "$VE_PRIVATE"
""",
    "postumount": _HEAD
    + """[ "$(on)" = "$number" ] || exit 0
umount "$VE_PRIVATE"
""",
}
"""Our own, by name."""
