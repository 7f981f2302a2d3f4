"""Words that cannot be meant, whatever the nodes are like: what no node need be asked for."""

from __future__ import annotations

from typing import Final

from planner.findings import Finding, error
from planner.model import Asked

RSYNC: Final = frozenset(
    {
        "--bwlimit",
        "--compress",
        "--compress-level",
        "--skip-compress",
        "--timeout",
        "--whole-file",
        "--no-whole-file",
        "--block-size",
        "--checksum",
        "--partial",
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


def checks(asked: Asked) -> tuple[Finding, ...]:
    """Findings about the request as it was typed."""
    found = [
        error("options-contradict", flags, why, remedy)
        for holds, flags, why, remedy in _contradictions(asked)
        if holds
    ]
    found += [
        error(
            "rsync-option",
            f"--rsync {word}",
            "rsync takes it only for its own daemon, and the copy goes by ssh"
            if word.partition("=")[0] == "--contimeout"
            else "it could change what is copied, not only how it is sent",
            "leave it out",
        )
        for word in asked.options.rsync
        if word.partition("=")[0] not in RSYNC or "\n" in word
    ]
    if asked.source == asked.destination:
        one = "source and destination are one node"
        found.append(error("same-node", asked.destination, one, "name another destination"))
    return tuple(found)


def _contradictions(asked: Asked) -> tuple[tuple[object, str, str, str], ...]:
    """Whether it is so, which words, why that cannot be meant, and what to do."""
    options = asked.options
    shared = options.dst_shared
    asked_anyway = sorted({asked.source, asked.destination} & set(options.also_seen_by))
    one_of_them = "leave one of them out"
    return (
        (
            shared and options.dst_device is not None,
            "--dst-shared --dst-device",
            "it can share a filesystem or own one, not both",
            one_of_them,
        ),
        (
            shared and options.same_device,
            "--dst-shared --same-device",
            "no device is handed over",
            one_of_them,
        ),
        (
            shared and options.also_seen_by,
            "--dst-shared --also-seen-by",
            "it owns no device there",
            one_of_them,
        ),
        (
            shared and options.install_hooks,
            "--dst-shared --install-hooks",
            "it owns no device there",
            one_of_them,
        ),
        (
            asked_anyway,
            " ".join(("--also-seen-by", *asked_anyway)),
            "source and destination are asked anyway",
            "leave it out" if len(asked_anyway) == 1 else "leave both out",
        ),
        (
            options.precopy != "auto" and options.precopy < 0,
            "--precopy",
            "there cannot be fewer passes than none",
            "leave it out",
        ),
    )
