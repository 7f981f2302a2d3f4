"""Plans, findings and outcomes as text. Pure: values in, text out; whatever came from a node is escaped."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from difflib import unified_diff
from textwrap import wrap
from typing import Final

from msgspec import Struct

from executor.journal import Journal, MemoryJournal, Record
from executor.times import Times, times
from executor.verdicts import Tried
from planner.codec import pretty
from planner.estimate import FACTOR, LEAST_S
from planner.findings import Finding, Severity
from planner.model import RECENT_MIN, State
from planner.plan import Command, Compensation, Estimate, Outcome, Plan, Run, Step, Stop, What, Zone
from planner.saga import Past, Pivot, said_to_be_off
from planner.verbs import VERBS

ZONES: Final[dict[Zone, str]] = {
    Zone.PREPARE: "prepare: nobody notices",
    Zone.FREEZE: "freeze: the container goes down here",
    Zone.TRANSFER: "transfer",
    Zone.PIVOT: "pivot: from here on only forward",
    Zone.RETIRE: "retire: repeated until done",
}

MEANINGS: Final[dict[Outcome, str]] = {
    Outcome.MIGRATED: "the container has moved",
    Outcome.REFUSED: "nothing was changed",
    Outcome.UNWOUND: "everything is as it was before",
    Outcome.UNWOUND_NOT_CLEANED: "the container is as it was before; leftovers remain",
    Outcome.MIGRATED_NOT_CLEANED: "the container has moved; leftovers remain",
    Outcome.IN_DOUBT: "it is not known where the container stands; nothing was started anywhere",
    Outcome.DOWN: "the container is down, its data is safe",
}


def plain(text: str) -> str:
    """``text`` without anything that a terminal would act on: control characters and bidi marks are spelled out."""
    return "".join(c if c.isprintable() or c == " " else f"\\x{ord(c):02x}" for c in text)


def json_text(value: object) -> str:
    """JSON for a terminal or a program: what a terminal would act on is spelled out, in JSON's own way."""
    text = pretty(value)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def plan_text(plan: Plan, *, verbose: bool = False, room: int | None = None) -> str:
    """The plan as a person reads it: every step, beside it what takes it back, the pivot as a line.

    ``room``: so many columns there are; where they are too few, what takes a step back stands below it.
    """
    lines = [plain(plan.title), plain(f"{plan.summary} · plan {plan.digest[:7]}")]
    if plan.estimate is not None:
        lines.append(plain(f"estimate  {_estimate(plan.estimate, plan.asked.destination)}"))
    if plan.max_frozen_s is not None and plan.goes_down:
        lines.append(
            f"down for more than {plan.max_frozen_s} s before the pivot: everything is taken back "
            f"(as long as vzplan itself is at work{_but_not(plan)}; {_limit(plan)})"
        )
    if plan.steps:
        lines += ["", *_steps(plan, verbose=verbose, room=room)]
    lines += _config(plan)
    if plan.findings:
        lines += ["", *findings_lines(plan.findings)]
    return "\n".join(lines) + "\n"


def _estimate(guess: Estimate, peer: str) -> str:
    """How long it may be frozen, and by what; "?" is what nothing says."""
    parts = [f"{_mib(guess.memory_bytes)} of memory"]
    if guess.changed_bytes != 0 or guess.files != 0:
        files = "?" if guess.files is None else f"{guess.files:,}"
        parts.append(f"{_mib(guess.changed_bytes)} written in the last {RECENT_MIN} minutes")
        parts.append(f"{files} files to look at")
    if guess.link_bytes_per_s != 0:
        parts.append(f"{_mib(guess.link_bytes_per_s)}/s to {peer}")
    if guess.frozen_s is None:
        return f"none: {', '.join(parts)} (?: not known)"
    return f"frozen for about {guess.frozen_s} s: {', '.join(parts)}"


def _mib(size: int | None) -> str:
    return "? MiB" if size is None else f"{-(-size >> 20):,} MiB"


def _but_not(plan: Plan) -> str:
    """What is not interrupted when the time has come."""
    whole = any(step.do.argv[0] == "suspend-container" for step in plan.steps)
    return ", and not before its memory is written down" if whole else ""


def _limit(plan: Plan) -> str:
    """Where the limit comes from."""
    if plan.asked.options.max_frozen_s is not None:
        return "--max-frozen"
    if plan.estimate is None or plan.estimate.frozen_s is None:
        return "there is no estimate"
    return f"{FACTOR} times the estimate, {LEAST_S} s at least"


def _freeze(plan: Plan) -> str:
    if plan.goes_down is None:
        return "freeze"
    if plan.asked.options.online:
        return "freeze: the container stands still from here on, until it goes on with what it has in mind"
    return ZONES[Zone.FREEZE]


def _steps(plan: Plan, *, verbose: bool, room: int | None) -> list[str]:
    nodes = max(4, *(len(plain(node)) for node in plan.nodes))
    titles = max(len(plain(step.title)) for step in plan.steps)
    undos = max(len(plain(_undo(step))) for step in plan.steps)
    width = 4 + nodes + 2 + titles + 2 + undos + 2 + len(MUST)
    stacked = room is not None and room < width
    back = "to take it back"
    if room is not None and stacked:
        titles, width, back = 0, room, "what takes it back: below it"
    lines = [f"{'#':>2}  {'node':<{nodes}}  {'step':<{titles}}  {back}"]
    zone = None
    for number, step in enumerate(plan.steps, 1):
        if step.zone is not zone:
            zone = step.zone
            name = _freeze(plan) if zone is Zone.FREEZE else ZONES[zone]
            lines.append(f"── {name} ".ljust(width, "─") if zone is Zone.PIVOT else f" {name}")
        must = MUST if isinstance(step.undo, Compensation) and step.undo.blocking else ""
        columns = [(str(number).rjust(2), 2), (plain(step.do.node), nodes), (plain(step.title), titles)]
        if not stacked:
            columns += [(plain(_undo(step)), undos), (must, 0)]
        lines.append("  ".join(f"{text:<{width}}" for text, width in columns).rstrip())
        if stacked:
            lines += _below(plain(_undo(step)), must, 4 + nodes + 2 + 2, width)
        if verbose:
            lines.append(f"      {command_line(step.do)}")
            if isinstance(step.undo, Compensation):
                lines.append(f"      undo: {command_line(step.undo.do)}")
    return lines


MUST: Final = "must succeed"


def _below(undo: str, must: str, indent: int, room: int) -> list[str]:
    """What takes a step back, below it; wrapped, if there is room to speak of."""
    said = f"back: {undo}{must and f' ({must})'}" if undo else ""
    return wrap(
        said,
        max(room, indent + len(MUST)),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + len("back: ")),
    )


def _undo(step: Step) -> str:
    if isinstance(step.undo, Compensation):
        return step.undo.title
    return "" if step.zone is Zone.RETIRE else step.undo.because


def _config(plan: Plan) -> list[str]:
    if plan.config is None:
        return []
    before, after = _between(plan.config.before.splitlines(), plan.config.after.splitlines())
    changed = [line for line in unified_diff(before, after, n=0, lineterm="") if not line.startswith("@@")][
        2:
    ]
    if not changed:
        return ["", "config    unchanged"]
    return [
        "",
        *(f"{'config' if not n else '':<10}{line[0]} {plain(line[1:])}" for n, line in enumerate(changed)),
    ]


def _between(before: list[str], after: list[str]) -> tuple[list[str], list[str]]:
    """Both without the lines that they begin and end with alike; of many equal lines difflib would lose its way."""
    while before and after and before[0] == after[0]:
        before, after = before[1:], after[1:]
    while before and after and before[-1] == after[-1]:
        before, after = before[:-1], after[:-1]
    return before, after


def findings_lines(findings: Iterable[Finding]) -> list[str]:
    """Errors first, each with its subject and its remedy."""
    lines = []
    for finding in sorted(findings, key=lambda f: f.severity is not Severity.ERROR):
        lines.append(
            f"{finding.severity:<10}{finding.code}: {plain(finding.subject)}: {plain(finding.summary)}"
        )
        lines.append(f"{'':<10}-> {plain(finding.remedy)}")
    return lines


def command_line(command: Command) -> str:
    """``hn2: mount-device /dev/sdm1 ...``, quoted as a shell would want it."""
    return plain(f"{command.node}: {shlex.join(command.argv)}")


def verb_texts(plan: Plan, text: Callable[[str], str], around: Mapping[str, str]) -> str:
    """The sh behind every command that the plan may lead to, once each, and what is put around it."""
    commands = [
        c for s in plan.steps for c in (s.do, s.undo.do if isinstance(s.undo, Compensation) else s.do)
    ]
    commands += [step.probe.do for step in plan.steps if step.probe is not None]
    texts = {verb: text(verb) for verb in dict.fromkeys(c.argv[0] for c in commands)}
    return "".join(f"\n--- {name}\n{said}" for name, said in {**texts, **around}.items())


Told = Journal | MemoryJournal | Record
"""What knows a run's plan and past."""


def tried_line(tried: Tried) -> str:
    """One line on a plan of which every failure was tried, and that none speaks against."""
    killed = f", and {tried.killed:,} that end vzplan itself" if tried.killed else ""
    how = "every one unwinds, completes, or waits for you"
    return f"verified: {tried.schedules:,} failures; {how} ({tried.waits:,}{killed})"


def stop_text(stop: Stop, run: str | None, told: Told | None = None) -> str:
    """How a run ended, what that means, what is left and what to type next.

    ``told``: the run's journal; a move that was refused before it was a run has none, and nothing left.
    """
    lines = [
        f"{stop.outcome}: {MEANINGS[stop.outcome] if told is None else _meaning(stop, told.plan, told.past)}"
    ]
    lines += [f"  {plain(line)}" for line in stop.because.splitlines()]
    if stop.left:
        lines.append("  left to do:")
        lines += [f"    {_left(told, command)}" for command in stop.left]
        lines += _by_hand(stop, told)
        if run is not None:
            lines.append(f"  next: vzplan recover {run}")
    return "\n".join(lines) + "\n"


def _meaning(stop: Stop, plan: Plan, past: Past) -> str:
    if past.forgotten:
        return "a node has this run not on record any more, so it is not this controller's to end"
    if past.superseded is not None:  # the other may long have ended it
        return "another controller has taken this run over, and tells how it ends"
    if stop.outcome is Outcome.IN_DOUBT and past.pivot is Pivot.PASSED:
        return "the container has moved; it is not known whether it runs there"
    source = plan.asked.source
    if stop.outcome is Outcome.IN_DOUBT and plan.goes_down in past.undone and source not in past.unsettled:
        return f"the container is on {source} again, but not all that stands in its way there could be taken back"
    return MEANINGS[stop.outcome]


def _left(told: Told | None, command: Command) -> str:
    """What ``command`` does, in the plan's words: it is vzplan's own, and none that a person could type."""
    title = None if told is None else _title(told.plan, told.past, command)
    return command_line(command) if title is None else plain(f"{command.node}: {title}")


def _title(plan: Plan, past: Past, command: Command) -> str | None:
    # Some of the last steps are what takes first ones back, with words of their own that hold after the pivot only.
    if past.pivot is not Pivot.PASSED:
        for step in plan.steps:
            if isinstance(step.undo, Compensation) and step.undo.do == command:
                return taken_back(step)
            if step.probe is not None and step.probe.do == command:
                return f"tell whether '{step.title}' ever took effect"
    return next((step.title for step in plan.steps if step.do == command), None)


def taken_back(step: Step) -> str:
    """What takes ``step`` back, and what that is: away from the table nobody sees what 'it' is."""
    return f"{_undo(step)} ('{step.title}')"


def _by_hand(stop: Stop, told: Told | None) -> list[str]:
    """What shows why a container does not start where its data is; not where its memory may still be taken up."""
    if stop.outcome is not Outcome.DOWN or told is None or told.plan.asked.options.online:
        return []
    for command in stop.left:
        verb, *operands = command.argv
        if verb in ("ensure-up", "restore-state") and command.node not in told.past.off:
            said = dict(zip(VERBS[verb].operands, operands, strict=True))
            if said["state"] == State.RUNNING:
                start = f"vzctl --skiplock start {said['ctid']} --force"
                return [plain(f"  by hand on {command.node}: '{start}' says why it does not start")]
    return []


def times_text(took: Times | None) -> str:
    """How long it was down, and what that time went into."""
    if took is None:
        return "down       not known: it did not go down, or no clock was running\n"
    whole = "not up again yet" if took.frozen_s is None else f"{took.frozen_s:.1f} s in all"
    lines = [f"{'down':<11}{whole}", *(f"{part.seconds:>9.1f} s  {part.what}" for part in took.parts)]
    return "\n".join(lines) + "\n"


def move_line(plan: Plan, move: Run) -> str:
    """One line of progress: number, node, what is done."""
    node = plain(move.command.node)
    if move.what is What.SETTLE:
        return f"settle   {node}: wait until nothing of this run is still at work there"
    number = next(i for i, step in enumerate(plan.steps, 1) if step.id == move.at)
    step = plan.steps[number - 1]
    title = plain(taken_back(step) if move.what is What.UNDO else step.title)
    again = f" (again, after {move.after_s} s)" if move.after_s else ""
    words = {What.DO: "", What.UNDO: "undo ", What.PROBE: "ask  "}[move.what]
    return f"{words:<5}{number:>2}/{len(plan.steps)}  {node}: {title}{again}"


FINISHED: Final = frozenset({Outcome.MIGRATED, Outcome.REFUSED, Outcome.UNWOUND})
"""Nothing is left to be done."""


class Standing(Struct, frozen=True):
    """Where a run stands, as its journal tells."""

    run: str
    title: str
    zone: Zone
    last: str  # the step that went out last
    container: str  # where it is
    controller: str
    known: str
    outcome: str  # how it ended, if nothing more is to be done now
    because: str
    unknown: str
    next: str  # what to type
    word: str  # all of it in a few words
    finished: bool
    times: Times | None  # how long it was down

    @staticmethod
    def of(run: str, record: Record, move: Run | Stop) -> Standing:
        """Read it off the journal."""
        plan, past, alive = record.plan, record.past, record.alive
        source, destination = plan.nodes
        begun = [step for step in plan.steps if step.id in past.begun]
        last = begun[-1] if begun else plan.steps[0]
        taken_over = past.superseded is not None and not alive
        ended = (
            isinstance(move, Stop)
            and not alive
            and (move.outcome in FINISHED or (taken_over and not past.forgotten and not move.left))
        )
        if taken_over and isinstance(move, Stop) and past.forgotten and not move.left:
            word = "not on record any more where it was at work"
            following = (
                f"vzplan facts {source} {destination}, to see where it is; then remove this run's folder"
            )
        elif taken_over:  # of what only this one can know of something may be left
            word = "taken over by another controller"
            following = "nothing here: see there how it ends" if ended else f"vzplan recover {run}"
        elif record.holder is not None and record.holder.stopped:
            word, following = f"its controller is stopped (process {record.holder.pid})", record.holder.remedy
        elif alive:
            word, following = "at work", "wait for it"
        elif isinstance(move, Stop):
            word, following = move.outcome, "nothing" if ended else f"vzplan recover {run}"
        else:
            word, following = "open: its controller is gone", f"vzplan recover {run}"
        return Standing(
            run=run,
            title=plan.title,
            zone=last.zone,
            last=f"{last.title} ({last.do.node})" if begun else "nothing yet",
            container=_whereabouts(plan, past, ended=ended),
            controller=_controller(record, move),
            known="; ".join(_known(past)),
            outcome=f"{move.outcome}: {_meaning(move, plan, past)}" if isinstance(move, Stop) else "",
            because=move.because if isinstance(move, Stop) else past.unwinding or "",
            unknown="; ".join(() if ended else _unknown(plan, past, move)) or "nothing",
            next=following,
            word=word,
            finished=ended,
            times=times(plan, record.entries),
        )

    def text(self) -> str:
        """For people."""
        rows = (
            ("run", f"{self.run}: {self.title}"),
            ("zone", self.zone),
            ("last step", self.last),
            ("container", self.container),
            ("controller", self.controller),
            ("known", self.known),
            ("outcome", self.outcome),
            ("because", self.because),
            ("not known", self.unknown),
            ("next", self.next),
        )
        lines = [
            f"{'' if number else name:<11}{plain(line)}\n"
            for name, value in rows
            for number, line in enumerate(value.splitlines())
        ]
        return "".join(lines)


def _controller(record: Record, move: Run | Stop) -> str:
    if not record.alive:
        return "ended" if isinstance(move, Stop) else "gone"
    if record.holder is None:
        return "at work"
    pid = record.holder.pid
    return (
        f"there, but stopped (process {pid}, state T)"
        if record.holder.stopped
        else f"at work (process {pid})"
    )


def _whereabouts(plan: Plan, past: Past, *, ended: bool) -> str:
    """Where the container is; of a run that has ended, where that left it: it may have moved on since."""
    source, destination = plan.nodes
    if past.superseded is not None:
        return "not known here" if past.forgotten else "where the other controller has it"
    if ended:
        return f"was moved to {destination}" if past.pivot is Pivot.PASSED else f"was left on {source}"
    if past.pivot is Pivot.PASSED:
        return f"on {destination}"
    if past.pivot is Pivot.ASKED:
        return f"on {source} or on {destination}; started on neither before that is known"
    if plan.goes_down not in past.begun or plan.goes_down in past.undone:
        return f"on {source}"
    kill = next((step for step in plan.steps if step.do.argv[0] == "kill-container"), None)
    staged = kill is not None and (kill.zone is Zone.RETIRE or kill.id not in past.begun)
    if staged:
        return f"on {source}, frozen: it has its memory, and goes on when it is taken back (recover)"
    dumps = (step.id for step in plan.steps if step.do.argv[0] in ("suspend-container", "dump-container"))
    if past.memory_lost is None and any(dump in past.begun - past.undone for dump in dumps):
        return f"on {source}, down: its memory may wait in a dump, from which recover takes it: do not start it by hand"
    return f"on {source}, down"


def _known(past: Past) -> list[str]:
    known = {
        Pivot.AHEAD: "the point of no return is ahead",
        Pivot.NEVER: "the point of no return was never passed",
        Pivot.ASKED: "the point of no return was gone for",
        Pivot.PASSED: "the point of no return is passed",
    }[past.pivot]
    found = [known]
    if past.unwinding and past.pivot is not Pivot.PASSED:
        found.append("it is taken back")
    if past.off:
        found.append(said_to_be_off(past.off))
    return found


def _unknown(plan: Plan, past: Past, move: Run | Stop) -> list[str]:
    found = []
    if isinstance(move, Stop) and move.outcome is Outcome.IN_DOUBT and past.pivot is Pivot.PASSED:
        found.append(f"whether it runs on {plan.asked.destination}")
    if past.pivot is Pivot.ASKED:
        found.append(
            f"whether '{plan.steps[plan.pivot].title}' took effect on {plan.steps[plan.pivot].do.node}"
        )
    if past.open is not None:
        name = next(
            (step.title for step in plan.steps if step.id == past.open.at), f"settling {past.open.at}"
        )
        found.append(f"what came of '{name}' ({past.open.what})")
    found += [f"whether something of this run is still at work on {node}" for node in sorted(past.unsettled)]
    return found
