"""What ``show`` and ``apply`` say of a plan before it is trusted; imports what tries it only if it must be tried."""

from __future__ import annotations

from typing import Final, NamedTuple

from cli import output
from executor.verdicts import Tried, Verdicts
from planner.model import Request
from planner.plan import Plan

TRIED_BEFORE: Final = "tried before, and nothing that it rests on has changed"


class Trusted(NamedTuple):
    """Whether all failures of a plan end well, and the line that says so."""

    holds: bool
    line: str


def trust(request: Request, plan: Plan, kept: Verdicts | None) -> Trusted:
    """Try every failure of the plan, unless all was tried before in this very world and nothing was found.

    ``kept``: None: of recorded nodes nothing is kept.

    Raises:
        UserError: the simulation cannot tell.
    """
    key = kept.key_of(request, plan) if kept is not None else None
    before = kept.read(key) if kept is not None and key is not None else None
    if before is not None:
        return Trusted(holds=True, line=f"{output.tried_line(before)}; {TRIED_BEFORE}")
    from cli import verification

    verdict = verification.verified(request, plan)
    if verdict.holds:
        remember(request, plan, verification.of_verdict(verdict), kept)
    return Trusted(verdict.holds, verification.line(verdict))


def remember(request: Request, plan: Plan, tried: Tried, kept: Verdicts | None) -> None:
    """Keep what came of a trial by which nothing was found."""
    key = kept.key_of(request, plan) if kept is not None else None
    if kept is not None and key is not None:
        kept.keep(key, tried)
