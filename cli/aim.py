"""What the flags of show, check and apply say; kept apart so that ``--help`` need not wait for what they do."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from planner.model import Options


class Aim(Struct, frozen=True):
    """The flags that say what is to move from where to where."""

    ctid: int
    destination: str
    source: str | None
    ssh: str
    peer_ssh: str | None
    rsync: str
    simulate: Path | None
    options: Options  # all but those that are still words of a shell
    plan: Path | None = None  # a plan of ``show -o``, which says all but how its nodes are reached
