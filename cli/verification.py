"""``vzplan verify``, and what ``show`` and ``apply`` say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from msgspec import Struct

from cli import output
from cli.errors import UserError
from cli.exit_codes import ExitCode
from cli.paths import is_folder
from executor.facts_files import write_whole
from executor.simulated.verify import INVARIANTS, NotSimulatedError, Verdict, replay, verify
from executor.simulated.view import commands_of
from executor.verdicts import Tried
from planner.model import Request
from planner.plan import (
    Adopted,
    Began,
    Command,
    Ended,
    Entry,
    Exited,
    NodeOff,
    Outcome,
    Plan,
    Restarted,
    Run,
    What,
    Wish,
)
from planner.saga import words
from planner.verbs import NO, YES

SHOWN: Final = 10
"""So many violations are printed; ``--json`` has them all."""


def verified(request: Request, plan: Plan, *, failures: int = 1) -> Verdict:
    """Every schedule of so many failures, tried.

    Raises:
        UserError: the simulation cannot tell.
    """
    try:
        return verify(request, plan, failures=failures)
    except NotSimulatedError as problem:
        raise UserError(
            f"the plan cannot be verified: {problem}; see that the facts are whole ('vzplan facts'). "
            "'--unverified' applies a plan that nothing was tried of",
            ExitCode.REFUSED,
        ) from None


class Played(Struct, frozen=True):
    """One schedule: its moves and what came of each, in order; how it ended; what it breaks, in a few words each."""

    schedule: str
    moves: tuple[str, ...]
    outcomes: tuple[Outcome | str, ...]
    violations: tuple[str, ...]


def played(request: Request, plan: Plan, schedule: str) -> Played:
    """Walk the plan in simulation while exactly these failures happen.

    Raises:
        UserError: it is no schedule, or the run never comes to one of its places.
    """
    moves: list[str] = []
    commands = commands_of(plan)

    def note(entry: Entry) -> None:
        moves.extend(_told(plan, commands, entry))

    try:
        trial = replay(request, plan, schedule, note)
    except ValueError as problem:
        raise UserError(
            f"--schedule: {problem}; it is made of PLACE:FAILURE, such as 'stop:lost-after' or "
            "'bring-up:fails-before + undo/stop:busy' (docs/verify.md)"
        ) from None
    found = tuple(f"{v.invariant}: {v.seen}" for v in trial.violations)
    return Played(schedule, tuple(moves), tuple(trial.outcomes), found)


def _told(plan: Plan, commands: dict[tuple[What, str], Command], entry: Entry) -> list[str]:
    match entry:
        case Began(what, at):
            return [output.move_line(plan, Run(what, at, commands[what, at], 0))]
        case Ended(_, _, Exited(0)):
            return []
        case Ended(What.PROBE, _, Exited(status)) if status in (YES, NO):
            return [f"         {'yes' if status == YES else 'no'}"]
        case Ended(_, _, outcome):
            return [f"         {words(outcome)}"]
        case Wish(_, because):
            return [f"         {because}: it goes back"]
        case Restarted(forward):
            return [f"recover{' --forward' if forward else ''}"]
        case NodeOff(node):
            return [f"recover --node-is-off {node}"]
        case Adopted():
            return ["recover --adopt"]
        case _:
            return []


def story(played: Played) -> str:
    """For a person."""
    ends = " > ".join(outcome or NOBODY for outcome in played.outcomes)
    broken = [f"BROKEN   {output.plain(each)}" for each in played.violations]
    return "\n".join([*map(output.plain, played.moves), "", f"ends: {ends}", *broken]) + "\n"


def line(verdict: Verdict) -> str:
    """One line, as ``show`` ends with."""
    if not verdict.holds:
        found, untold = len(verdict.violations), len(verdict.cells.unexplained)
        what = f"{found} of {verdict.schedules:,} failures break an invariant" if found else ""
        holes = f"{untold} kinds of failure had no effect, and nobody knows why" if untold else ""
        return f"NOT verified: {'; '.join(filter(None, (what, holes)))}; see 'vzplan verify'"
    return output.tried_line(of_verdict(verdict))


def of_verdict(verdict: Verdict) -> Tried:
    """What is kept of one that holds."""
    return Tried(verdict.schedules, sum(verdict.killed.values()), verdict.waits)


def against(verdict: Verdict) -> list[str]:
    """What speaks against the plan, each in a few lines."""
    found = [f"{v.invariant}: {v.schedule}\n{v.seen}" for v in verdict.violations]
    return found + [
        f"{cell}: without effect or not met, and without a reason" for cell in verdict.cells.unexplained
    ]


def report(verdict: Verdict, plan: Plan) -> str:
    """All of it, for a person."""
    how = {1: "of one failure", 2: "of up to two failures"}.get(
        verdict.failures, f"of up to three failures (of three: {verdict.sampled:,}, not all)"
    )
    merged = f"{verdict.merged:,} merged with others of the same future"
    lines = [
        output.plain(plan.title),
        output.plain(f"{plan.summary} · plan {plan.digest[:7]}"),
        "",
        f"{verdict.schedules:,} schedules {how}, at {verdict.moments:,} moments; {merged}",
        "",
        *_ends(verdict),
    ]
    if plan.goes_down:
        lines.append(
            f"longest down in a run that ends by itself: {verdict.down_s:,} s (pauses and deadlines)"
        )
    lines += [f"{count:,} times IN_DOUBT: {why}" for why, count in verdict.doubts.items()]
    lines += ["", *(_invariant(name, verdict) for name in INVARIANTS), ""]
    cells = verdict.cells
    changed = ", ".join(f"{count:,} {OF[what]}" for what, count in cells.changed.items())
    lines.append(
        f"cells (kind of failure at a verb): {cells.changes:,} changed the world or the way it went ({changed}), "
        f"{len(cells.without_effect):,} need not, {len(cells.not_met):,} are not met (--json says why)"
    )
    lines += [f"  without effect or not met, and without a reason: {cell}" for cell in cells.unexplained]
    lines += ["", *_violations(verdict), line(verdict)]
    return "\n".join(lines) + "\n"


NOBODY: Final = "nothing: no node knew of it, it had not begun or was over"


OF: Final[dict[str, str]] = {
    What.DO: "of steps",
    What.UNDO: "of compensations",
    What.PROBE: "of probes",
    What.SETTLE: "of settling",
}
"""What a failure hit, in the words of a report."""


def _ends(verdict: Verdict) -> list[str]:
    """How runs ended: by themselves, after something stood in the way, after vzplan itself was ended."""
    by_itself, open_ends, stood, killed = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for ends, count in verdict.outcomes.items():
        first, again, _ = ends.partition(" > ")
        last, ended = ends.rpartition(" > ")[2] or NOBODY, verdict.killed.get(ends, 0)
        killed[last] += ended
        (stood if again else by_itself)[last] += count - ended
        open_ends[first] += count - ended if again else 0
    met = ", ".join(f"{name} {open_ends[name]:,}" for name in sorted(+open_ends, key=_rank))
    return [
        *_group("by itself", by_itself),
        *_group(f"something stood in the way ({met}), then one recover", stood),
        *_group("vzplan itself was ended, or its journal lost, then one recover", killed),
    ]


def _group(title: str, ends: Counter[str]) -> list[str]:
    lines = [f"    {name:<57}{ends[name]:>9,}" for name in sorted(+ends, key=_rank)]
    return [f"  {title}", *lines] if lines else []


def _rank(name: str) -> int:
    order = [str(outcome) for outcome in Outcome]
    return order.index(name) if name in order else len(order)


def _invariant(name: str, verdict: Verdict) -> str:
    return f"  {name:<4} {INVARIANTS[name]:<78} {'holds' if verdict.invariants[name] else 'BROKEN'}"


def _violations(verdict: Verdict) -> list[str]:
    lines = [
        f'{found.invariant}: schedule("{found.schedule}"): {output.plain(found.seen)}'
        for found in verdict.violations[:SHOWN]
    ]
    more = len(verdict.violations) - SHOWN
    return [*lines, *([f"and {more} more"] if more > 0 else []), *([""] if lines else [])]


def may_write(path: Path | None) -> None:
    """Before minutes are spent: whether a report can be written there, as far as that can be seen without writing.

    Raises:
        UserError: it cannot.
    """
    if path is None:
        return
    if is_folder(path):
        raise UserError(f"{path}: a folder; name a file")
    if not is_folder(path.parent):
        raise UserError(f"{path}: its folder is not there; name a file")


def write_error(path: Path | None, name: str, problem: Exception) -> None:
    """A JUnit report, if there is to be one, of what could not be tried: an older one would look like this one's.

    Raises:
        UserError: it cannot be written.
    """
    if path is not None:
        write_junit(path, [Reported(name, (str(problem),), error=True)])


class Reported(Struct, frozen=True):
    """A case of a JUnit report: what speaks against it, or nothing; ``error``: it could not be tried."""

    name: str
    against: tuple[str, ...]
    error: bool = False


def write_junit(path: Path, cases: Sequence[Reported]) -> None:
    """A JUnit report: every case on its own, also if two have one name.

    Raises:
        UserError: it cannot be written.
    """
    errors = sum(each.error for each in cases)
    failed = sum(bool(each.against) for each in cases if not each.error)
    counts = {"tests": len(cases), "failures": failed, "errors": errors}
    suite = ET.Element(
        "testsuite", {"name": "vzplan verify", **{name: str(count) for name, count in counts.items()}}
    )
    for each in cases:
        case = ET.SubElement(suite, "testcase", classname="vzplan", name=output.plain(each.name))
        for text in each.against:
            kind = "error" if each.error else "failure"
            failure = ET.SubElement(case, kind, message=output.plain(text.splitlines()[0]))
            failure.text = "\n".join(map(output.plain, text.splitlines()))
    ET.indent(suite)
    try:
        write_whole(path, ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n")
    except OSError as problem:
        raise UserError(f"{path}: {problem.strerror}; the report was not written") from None
