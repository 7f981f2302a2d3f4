"""Whether a container's memory can be written down at the source and taken up at the destination."""

from __future__ import annotations

from planner.findings import Finding, error
from planner.situation import CHECKPOINTS, TAKES_UP, Side, Situation


def checks(at: Situation) -> tuple[Finding, ...]:
    """For a container whose memory goes along."""
    if not at.has_memory:
        return ()
    return tuple(_by_kind(at))


def _by_kind(at: Situation) -> list[Finding]:
    if not at.online:
        return _takes_up_nothing(at.destination)
    return _stages(at) if at.staged else _whole(at)


def _takes_up_nothing(side: Side) -> list[Finding]:
    if {"criu", TAKES_UP} & set(side.facts.tools):
        return []
    why = "there is neither criu nor /proc/rst: a memory dump can never be taken up there"
    return [error("no-checkpoint", side.node, why, "install criu there, or move the container stopped")]


def _stages(at: Situation) -> list[Finding]:
    """Its own kernel makes the checkpoint, so both must take one up: the source, should it have to be taken back."""
    return [
        error(
            "no-checkpoint",
            side.node,
            f"there is no {TAKES_UP}: what the kernel of {at.source.node} writes down cannot be taken up there",
            f"load the module that makes {TAKES_UP} (vzrst), or move the container without its memory",
        )
        for side in (at.source, at.destination)
        if TAKES_UP not in side.facts.tools
    ]


def _whole(at: Situation) -> list[Finding]:
    found = [
        error(
            "no-checkpoint",
            side.node,
            "criu is not installed",
            "install criu there, or move the container without its memory",
        )
        for side in (at.source, at.destination)
        if "criu" not in side.facts.tools
    ]
    there = [name for name in (CHECKPOINTS, TAKES_UP) if name in at.destination.facts.tools]
    if there and not found:
        found.append(
            error(
                "no-checkpoint",
                at.destination.node,
                f"there is {there[0]}: its vzctl takes up what such a kernel has written down, and not CRIU's dumps",
                "move the container without its memory",
            )
        )
    return found
