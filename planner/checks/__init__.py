"""Checks: a situation in, findings out; all of them at once, one file per concern.

Facts are yes, no or unknown, and unknown blocks what depends on it (rule 7).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from planner.checks import (
    container,
    destination,
    device,
    dump_device,
    hooks,
    memory,
    network,
    nodes,
    online,
    options,
    room,
    words,
)
from planner.findings import Finding
from planner.model import Asked, Request
from planner.situation import Situation

OF_WORDS: Final[tuple[Callable[[Asked], tuple[Finding, ...]], ...]] = (words.checks,)
"""Asked of what was typed: for these no node need be asked."""

OF_NODES: Final[tuple[Callable[[Request], tuple[Finding, ...]], ...]] = (nodes.checks,)
"""Asked of every request, also when the container cannot be read."""

OF_SITUATION: Final[tuple[Callable[[Situation], tuple[Finding, ...]], ...]] = (
    container.checks,
    destination.checks,
    device.checks,
    dump_device.checks,
    hooks.checks,
    network.checks,
    room.checks,
    options.checks,
    online.checks,
    memory.checks,
)
