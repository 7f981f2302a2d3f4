"""Flags that contradict the container, or what is planned for it (``words.py``: those that contradict each other)."""

from __future__ import annotations

from planner.findings import Finding, error
from planner.model import Options, State
from planner.situation import Situation
from planner.verbs import AUTO_PASSES


def checks(at: Situation) -> tuple[Finding, ...]:
    """Findings about what was asked for."""
    return tuple(
        error("options-contradict", flag, why, "leave it out")
        for holds, flag, why in _contradictions(at, at.options)
        if holds
    )


def _contradictions(at: Situation, options: Options) -> tuple[tuple[object, str, str], ...]:
    """Whether it is so, which flag, and why that cannot be meant."""
    to_share = not options.dst_shared and at.destination.device is None and not at.handed_over
    passes = AUTO_PASSES if options.precopy == "auto" else options.precopy
    return (
        (options.dst_shared and not at.insulated, "--dst-shared", "it shares a filesystem already"),
        (
            options.same_device and not options.dst_shared and not at.handed_over,
            "--same-device",
            "no device is handed over",
        ),
        (options.also_seen_by and to_share, "--also-seen-by", "it owns no device there"),
        (options.install_hooks and to_share, "--install-hooks", "it owns no device there"),
        (not options.remove_area and at.insulated, "--remove-area no", "a device keeps its content anyway"),
        (options.rsync and at.handed_over, "--rsync", "nothing is copied"),
        (
            options.online and at.container.state is not State.RUNNING,
            "--online",
            f"the container is {at.container.state}: only one that runs can keep running"
            + ("; its memory goes along anyway" if at.container.state is State.SUSPENDED else ""),
        ),
        (options.nodeps and not at.has_memory, "--nodeps", "its memory does not go along"),
        (passes > 1 and at.handed_over, "--precopy", "nothing is copied"),
        (
            passes > 1 and not at.up,
            "--precopy",
            f"a {at.container.state} container is copied in one pass",
        ),
    )
