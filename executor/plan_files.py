"""A plan as a file: what ``show -o`` writes, and ``apply`` compares with the plan that it makes itself.

Nothing in the file is ever run: it says what was agreed to, and the plan is made anew from facts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from executor.facts_files import read_whole, write_whole
from planner.codec import MAKE_AGAIN, decode_plan, pretty
from planner.make import digest_of
from planner.plan import PLAN_VERSION, Plan

LIMIT_BYTES: Final = 64 << 20


class PlanFileError(Exception):
    """A plan's file cannot be read or written; names it, and says what to do."""


def write_plan(path: Path, plan: Plan) -> None:
    """Write it, whole or not at all; an older one is replaced.

    Raises:
        PlanFileError: it cannot be written.
    """
    try:
        write_whole(path, pretty(plan))
    except OSError as problem:
        raise PlanFileError(f"{path}: {problem.strerror}; the plan was not written") from None


def read_plan(path: Path) -> Plan:
    """The plan that was agreed to.

    Raises:
        PlanFileError: no such file, of another version, changed since it was written, or never one that may be applied.
        CodecError: it is no plan; names the place in it.
    """
    try:
        text = read_whole(path, LIMIT_BYTES)
    except OSError as problem:
        raise PlanFileError(f"{path}: {problem.strerror}; name a file that 'vzplan show -o' wrote") from None
    if text is None:
        raise PlanFileError(
            f"{path}: not a file, or too large for a plan; name a file that 'vzplan show -o' wrote"
        )
    plan = decode_plan(text, str(path))
    if plan.version != PLAN_VERSION or digest_of(plan) != plan.digest:
        raise PlanFileError(f"{path}: it was changed since it was written (digest); {MAKE_AGAIN}")
    if not plan.runnable:
        raise PlanFileError(f"{path}: errors speak against this plan; mend what they name, and make it again")
    return plan
