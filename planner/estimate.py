"""How long a container that keeps its memory is going to be frozen: worked out from what its source measured.

A guess, for people and for a limit's default; never in the digest. It adds up what comes one after the other: the steps
themselves; the memory, which is written down, sent and taken up; and where files are copied, those that were written
lately, which the last pass may have to send once more, and its look at every file.
"""

from __future__ import annotations

import re
from typing import Final

from planner.model import FROZEN_MAX_S
from planner.plan import Estimate
from planner.situation import Situation

STEPS_S: Final = 3
"""What takes its time whatever the container's size."""
DISK_BYTES_PER_S: Final = 100 << 20
"""So fast a disk takes memory, and gives it back: not measured, since that would write there; what old ones do."""
FILES_PER_S: Final = 20_000
"""So many files rsync looks at. Not measured, either."""

FACTOR: Final = 5
"""So much longer than estimated it may take."""
LEAST_S: Final = 60
"""However little is estimated."""
UNKNOWN_S: Final = 600
"""The limit where there is no estimate: enough for some GiB of memory, and for most people's patience."""


def estimate(at: Situation) -> Estimate | None:
    """For a container that runs and whose memory goes along; None for any other."""
    if not at.online:
        return None
    source = at.source.facts
    usage = next((u for u in source.usage if u.path == at.source.private), None)
    speed = _sent_at(at)
    memory = at.container.resident_bytes
    files, changed = (usage.inodes, usage.recent_bytes) if usage is not None else (None, None)
    if at.handed_over:
        files = changed = 0
    if at.by_device:
        speed = 0
    known = Estimate(memory, changed, files, speed, None)
    if memory is None or changed is None or files is None or speed is None:
        return known
    link_ms = 1000 * (memory + changed) // speed if speed else 0
    disks_ms, looks_ms = 2000 * memory // DISK_BYTES_PER_S, 1000 * files // FILES_PER_S
    return Estimate(memory, changed, files, speed, STEPS_S - (-(disks_ms + link_ms + looks_ms) // 1000))


def _sent_at(at: Situation) -> int | None:
    """Bytes a second from node to node: as measured, or as the operator has rsync go slower."""
    peer = at.destination.node
    measured = next((r.bytes_per_s for r in at.source.facts.reaches if r.peer == peer), None)
    asked = [value for word in at.options.rsync for value in word.split("--bwlimit=")[1:]]
    if measured is None or not asked:
        return measured
    if not re.fullmatch("[0-9]{1,9}", asked[-1]):  # in units that only newer ones know
        return None
    return min(measured, int(asked[-1]) * 1024) or measured  # rsync(1): in KiB, and 0 is no limit


def limit_s(asked: int | None, known: Estimate | None) -> int | None:
    """How long it may be down before everything is taken back: as asked for, or by the estimate."""
    if asked is not None or known is None:
        return asked
    if known.frozen_s is None:
        return UNKNOWN_S
    return min(FROZEN_MAX_S, max(LEAST_S, FACTOR * known.frozen_s))
