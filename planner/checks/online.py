"""Whether a container's memory can be written down at the source and taken up at the destination."""

from __future__ import annotations

from typing import Final

from planner.findings import Finding, error
from planner.situation import Side, Situation

STAGED: Final = ("/proc/cpt", "/proc/rst")
"""What an OpenVZ kernel has that makes checkpoints itself, step by step; without it CRIU makes them whole."""


def checks(at: Situation) -> tuple[Finding, ...]:
    """For a container whose memory goes along."""
    if not at.has_memory:
        return ()
    if at.online:
        found = [*_no_checkpoint(at.source), *_no_checkpoint(at.destination)]
    else:
        found = _takes_up_nothing(at.destination)
    return tuple(found)


def _takes_up_nothing(side: Side) -> list[Finding]:
    if {"criu", "/proc/rst"} & set(side.facts.tools):
        return []
    why = "there is neither criu nor /proc/rst: a memory dump can never be taken up there"
    return [error("no-checkpoint", side.node, why, "install criu there, or move the container stopped")]


def _no_checkpoint(side: Side) -> list[Finding]:
    tools = side.facts.tools
    there = [name for name in STAGED if name in tools]
    if there:
        why, remedy = (
            f"{there[0]}: its kernel makes staged checkpoints, which are not moved yet",
            "leave out --online",
        )
    elif "criu" not in tools:
        why, remedy = "criu is not installed", "install criu there, or move the container without its memory"
    else:
        return []
    return [error("no-checkpoint", side.node, why, remedy)]
