"""What ``show`` and ``apply`` say of a plan before it is trusted; imports what tries it only if it must be tried."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from cli import output
from executor import verdicts
from executor.journal import state_folder
from executor.verdicts import Tried
from planner.model import Request
from planner.plan import Plan

BEFORE: Final = "tried before, and nothing has changed since"


class Trust(NamedTuple):
    """Whether all failures of a plan end well, and the line that says so."""

    holds: bool
    line: str


def trust(request: Request, plan: Plan, *, live: bool) -> Trust:
    """Try every failure of the plan, unless all was tried before in this very world and nothing was found.

    ``live``: of real nodes; of recorded ones nothing is kept, as nothing else is.

    Raises:
        UserError: the simulation cannot tell.
    """
    if not live:
        return _tried(request, plan)[0]
    state, key = state_folder(os.environ), verdicts.key_of(request, plan)
    before = verdicts.read(state, key)
    if before is not None:
        return Trust(holds=True, line=f"{output.tried_line(before)}; {BEFORE}")
    said, found = _tried(request, plan)
    if said.holds:
        verdicts.keep(state, key, found)
    return said


def _tried(request: Request, plan: Plan) -> tuple[Trust, Tried]:
    from cli import verification

    verdict = verification.verified(request, plan)
    return Trust(verdict.holds, verification.line(verdict)), verification.of_verdict(verdict)
