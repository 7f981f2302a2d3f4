"""What a run shows of itself while it is walked and when it has ended; its journal, and what a signal answers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cli import output
from cli.errors import UserError
from cli.exit_codes import OF_OUTCOME, ExitCode
from cli.host import own_state
from cli.streams import tell
from executor.journal import Journal, JournalError, MemoryJournal
from executor.site import LiveSite, Site
from executor.times import Times
from planner.plan import Exited, Lost, Opened, Outcome, Plan, Run, Stop, What
from planner.saga import Pivot, words


@contextmanager
def journal_of(site: Site, opened: Opened) -> Iterator[Journal | MemoryJournal]:
    """The journal of a new run; a simulated one leaves nothing behind."""
    if isinstance(site, LiveSite):
        with Journal.create(own_state() / "runs" / opened.run, opened) as journal:
            yield journal
    else:
        yield MemoryJournal(opened)


class Acknowledged:
    """What is said when a signal comes: at once, since the step that is under way may take long."""

    def __init__(self, run: str, journal: Journal | MemoryJournal | None = None) -> None:
        """``journal``: of the run, once it has one; it tells which way the run goes."""
        self._run = run
        self.journal = journal

    def __call__(self, name: str) -> None:
        """``name``: of the signal."""
        pivot = Pivot.AHEAD if self.journal is None else self.journal.past.pivot
        tell(
            f"\n{name}: {ACKNOWLEDGED[pivot]}; a second one stops here, 'vzplan recover {self._run}' goes on",
            sys.stderr,
        )


ACKNOWLEDGED: Final[dict[Pivot, str]] = {
    Pivot.AHEAD: "it is taken back as soon as this step has ended",
    Pivot.ASKED: "it is at the point of no return: if that is passed it is brought to its end, else taken back",
    Pivot.NEVER: "it is being taken back already",
    Pivot.PASSED: "it has moved already and is brought to its end",
}
"""By what is known of the point of no return."""


@contextmanager
def no_way_on(run: str, *, json: bool) -> Iterator[None]:
    """A run whose journal cannot be written stops where it is, and says so by its exit code."""
    try:
        yield
    except JournalError as problem:
        raise _open(run, str(problem), json=json) from None
    except KeyboardInterrupt:
        raise _open(run, f"stopped in the middle; 'vzplan recover {run}' ends it", json=json) from None


def _open(run: str, because: str, *, json: bool) -> UserError:
    if json:
        _answer(Stop(Outcome.IN_DOUBT, because, ()), run, None)
    return UserError(because, ExitCode.IN_DOUBT)


def reported(
    stop: Stop,
    run: str | None,
    journal: Journal | MemoryJournal | None = None,
    *,
    json: bool,
    took: Times | None = None,
    timed: bool = False,
) -> int:
    """Say how it ended; the exit code for it. ``run``: None if nothing is left of it to be recovered."""
    if json:
        _answer(stop, run, took)
    else:
        told = output.stop_text(stop, run, journal) + ("\n" + output.times_text(took) if timed else "")
        tell("\n" + told.removesuffix("\n"), sys.stdout)
    return OF_OUTCOME[stop.outcome]


def _answer(stop: Stop, run: str | None, took: Times | None) -> None:
    answer = {
        "run": run,
        "outcome": stop.outcome,
        "because": stop.because,
        "left": stop.left,
        "exit": OF_OUTCOME[stop.outcome],
        "times": took,
    }
    tell(output.json_text(answer).removesuffix("\n"), sys.stdout)


class Progress:
    """Tells each move as it begins, and what came of it if it did not succeed."""

    def __init__(self, plan: Plan, *, quiet: bool) -> None:
        """``quiet``: standard output is for what a program reads."""
        self._plan = plan
        self._stream = sys.stderr if quiet else sys.stdout

    def began(self, move: Run) -> None:
        """See ``executor.engine.Watch``."""
        self._tell(output.move_line(self._plan, move))

    def ended(self, move: Run, outcome: Exited | Lost) -> None:
        """See ``executor.engine.Watch``."""
        good = isinstance(outcome, Exited) and (outcome.status == 0 or move.what is What.PROBE)
        if not good:
            self._tell(f"         {output.plain(words(outcome))}")

    def _tell(self, line: str) -> None:
        tell(line, self._stream)
