"""What ``vzplan`` exits with. Scripts rely on these numbers; they never change their meaning."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from planner.plan import Outcome


class ExitCode(IntEnum):
    """Exit statuses of every command."""

    OK = 0
    DIFFERS = 1  # kept for verify: a violation or a difference
    USAGE = 2
    REFUSED = 3
    UNWOUND = 4
    UNWOUND_NOT_CLEANED = 5
    MIGRATED_NOT_CLEANED = 6
    IN_DOUBT = 7
    DOWN = 8
    BUG = 70  # what nobody foresaw, with a traceback; sysexits.h calls it EX_SOFTWARE


OF_OUTCOME: Final[dict[Outcome, ExitCode]] = {
    Outcome.MIGRATED: ExitCode.OK,
    Outcome.REFUSED: ExitCode.REFUSED,
    Outcome.UNWOUND: ExitCode.UNWOUND,
    Outcome.UNWOUND_NOT_CLEANED: ExitCode.UNWOUND_NOT_CLEANED,
    Outcome.MIGRATED_NOT_CLEANED: ExitCode.MIGRATED_NOT_CLEANED,
    Outcome.IN_DOUBT: ExitCode.IN_DOUBT,
    Outcome.DOWN: ExitCode.DOWN,
}
