"""What was tried with two kernels and how it ended: docs/kernels.md, written at the end of a whole run."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import Counter
from operator import attrgetter
from pathlib import Path
from typing import Final, NamedTuple

PATH: Final = Path(__file__).resolve().parents[2] / "docs/kernels.md"
ASKED: Final = os.environ.get("VZPLAN_KERNELS_REPORT") == "1"
KINDS: Final = {
    "move": "Moves",
    "power": "Power cuts",
    "network": "Network cuts",
    "canary": "Canaries: a rule is broken on purpose, and the damage shows",
}


ABOUT: Final = (
    "Written by `make kernels`. Two guests of QEMU, emulated in software, each with a kernel of Debian's. Around every",
    "command of a move both are looked at past vzplan: no disk is mounted twice, 123 runs at most once. In the end:",
    "a hash of the content, what the container has counted, the mounts of both kernels, `needs_recovery` as each reads",
    "it from the disks, and all other facts. *frozen*: how long the container was down; what is emulated is many times",
    "slower than a machine. A power cut ends the guest's process: what its kernel had not given to its disks is lost.",
    "Not modelled: a disk that loses what is in a cache of its own, and sectors that are half written.",
)


class Row(NamedTuple):
    """One scenario that ended as it must."""

    kind: str
    scenario: str
    outcome: str
    frozen_s: float | None


ROWS: Final[list[Row]] = []
LEAST: Final = {"move": 18, "power": 24, "network": 12, "canary": 3}
"""What a whole run has of each kind; in all at least ``SCENARIOS``."""
SCENARIOS: Final = 40


def note(kind: str, scenario: str, outcome: str, frozen_s: float | None = None) -> None:
    """It was tried, and all that was looked at was as it must be."""
    assert kind in KINDS
    ROWS.append(Row(kind, scenario, outcome, frozen_s))
    print(ROWS[-1])


def text(rows: list[Row], took_s: float) -> str:
    """The page of a whole run in which nothing failed.

    Raises:
        ValueError: there are fewer scenarios than there must be.
    """
    count = Counter(row.kind for row in rows)
    few = [f"{count[kind]} of {least} of kind {kind}" for kind, least in LEAST.items() if count[kind] < least]
    if few or len(rows) < SCENARIOS:
        raise ValueError(f"that is no whole run: {len(rows)} of {SCENARIOS} scenarios {', '.join(few)}")
    lines = ["# What was tried with two kernels", "", *ABOUT, ""]
    minutes, machine = round(took_s / 60), f"{os.cpu_count()} CPUs, {platform.machine()}"
    lines.append(f"{len(rows)} scenarios, 0 violations, {minutes} minutes ({machine}; {_emulator()}).")
    for kind, title in KINDS.items():
        mine = sorted((row for row in rows if row.kind == kind), key=attrgetter("scenario"))
        if not mine:
            continue
        lines += ["", f"## {title}: {len(mine)}", "", "| scenario | outcome | frozen |", "|---|---|---|"]
        for row in mine:
            frozen = "" if row.frozen_s is None else f"{row.frozen_s:.0f} s"
            lines.append(f"| {row.scenario} | {row.outcome} | {frozen} |")
    return "\n".join(lines) + "\n"


def _emulator() -> str:
    said = subprocess.run(
        ["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True
    ).stdout
    return said.partition("\n")[0]
