"""Flags that contradict each other, or the container."""

from __future__ import annotations

from typing import Final

from planner.findings import Finding, error
from planner.model import Options, State
from planner.situation import Situation
from planner.verbs import AUTO_PASSES

RSYNC: Final = frozenset(
    {
        "--bwlimit",
        "--compress",
        "--compress-level",
        "--skip-compress",
        "--contimeout",
        "--timeout",
        "--whole-file",
        "--no-whole-file",
        "--block-size",
        "--checksum",
        "--partial",
        "--partial-dir",
        "--fuzzy",
        "--preallocate",
        "--sockopts",
        "--blocking-io",
        "--outbuf",
        "--progress",
        "--stats",
        "--verbose",
        "--itemize-changes",
        "--human-readable",
        "--ipv4",
        "--ipv6",
        "-z",
        "-W",
        "-c",
        "-B",
        "-P",
        "-v",
        "-vv",
        "-i",
        "-h",
        "-4",
        "-6",
        "-y",
    }
)
"""What an operator may add: how it is sent, never what (rsync(1))."""


def checks(at: Situation) -> tuple[Finding, ...]:
    """Findings about what was asked for."""
    wrong = [
        error("options-contradict", flags, why, "leave it out")
        for holds, flags, why in _contradictions(at, at.options)
        if holds
    ]
    wrong += [
        error(
            "rsync-option",
            f"--rsync {word}",
            "it could change what is copied, not only how it is sent",
            "leave it out",
        )
        for word in at.options.rsync
        if word.partition("=")[0] not in RSYNC or "\n" in word
    ]
    return tuple(wrong)


def _contradictions(at: Situation, options: Options) -> tuple[tuple[object, str, str], ...]:
    """Whether it is so, which flags, and why that cannot be meant."""
    to_own = at.destination.device is not None or at.handed_over
    ends = {at.source.node, at.destination.node}
    passes = AUTO_PASSES if options.precopy == "auto" else options.precopy
    return (
        (
            options.dst_shared and options.dst_device,
            "--dst-shared --dst-device",
            "it can share a filesystem or own one, not both",
        ),
        (options.dst_shared and not at.insulated, "--dst-shared", "it shares a filesystem already"),
        (options.same_device and not at.handed_over, "--same-device", "no device is handed over"),
        (options.also_seen_by and not to_own, "--also-seen-by", "it owns no device there"),
        (ends & set(options.also_seen_by), "--also-seen-by", "source and destination are asked anyway"),
        (options.install_hooks and not to_own, "--install-hooks", "it owns no device there"),
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
        (passes < 0, "--precopy", "there cannot be fewer passes than none"),
        (
            passes > 1 and not at.up,
            "--precopy",
            f"a {at.container.state} container is copied in one pass",
        ),
    )
