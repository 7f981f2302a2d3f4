"""Plans, findings and outcomes as text. Pure: values in, text out; whatever came from a node is escaped."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from difflib import ndiff
from typing import Final

from planner.findings import Finding, Severity
from planner.plan import Command, Compensation, Outcome, Plan, Step, Stop, Zone

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


def plan_text(plan: Plan, *, verbose: bool = False) -> str:
    """The plan as a person reads it: every step, beside it what takes it back, the pivot as a line."""
    lines = [plain(plan.title), plain(f"{plan.summary} · plan {plan.digest[:7]}")]
    if plan.steps:
        lines += ["", *_steps(plan, verbose=verbose)]
    lines += _config(plan)
    if plan.findings:
        lines += ["", *findings_lines(plan.findings)]
    return "\n".join(lines) + "\n"


def _steps(plan: Plan, *, verbose: bool) -> list[str]:
    nodes = max(4, *(len(plain(node)) for node in plan.nodes))
    titles = max(len(plain(step.title)) for step in plan.steps)
    undos = max(len(plain(_undo(step))) for step in plan.steps)
    width = 4 + nodes + 2 + titles + 2 + undos + 2 + len("must succeed")
    lines = [f"{'#':>2}  {'node':<{nodes}}  {'step':<{titles}}  to take it back"]
    zone = None
    for number, step in enumerate(plan.steps, 1):
        if step.zone is not zone:
            zone = step.zone
            name = ZONES[zone] if zone is not Zone.FREEZE or _goes_down(plan) else "freeze"
            lines.append(f"── {name} ".ljust(width, "─") if zone is Zone.PIVOT else f" {name}")
        must = "must succeed" if isinstance(step.undo, Compensation) and step.undo.blocking else ""
        row = f"{number:>2}  {plain(step.do.node):<{nodes}}  {plain(step.title):<{titles}}  {plain(_undo(step)):<{undos}}  {must}"
        lines.append(row.rstrip())
        if verbose:
            lines.append(f"      {command_line(step.do)}")
            if isinstance(step.undo, Compensation):
                lines.append(f"      undo: {command_line(step.undo.do)}")
    return lines


def _goes_down(plan: Plan) -> bool:
    return any(step.do.argv[0] == "stop-container" for step in plan.steps)


def _undo(step: Step) -> str:
    if isinstance(step.undo, Compensation):
        return step.undo.title
    return "" if step.zone is Zone.RETIRE else step.undo.because


def _config(plan: Plan) -> list[str]:
    if plan.config is None:
        return []
    before, after = (text.splitlines() for text in (plan.config.before, plan.config.after))
    changed = [line for line in ndiff(before, after) if line[:1] in "+-"]
    if not changed:
        return ["", "config    unchanged"]
    return ["", *(f"{'config' if not n else '':<10}{plain(line)}" for n, line in enumerate(changed))]


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


def verb_texts(plan: Plan, texts: dict[str, str]) -> str:
    """The sh behind every verb of the plan, once each."""
    commands = [
        c for s in plan.steps for c in (s.do, s.undo.do if isinstance(s.undo, Compensation) else s.do)
    ]
    verbs = dict.fromkeys(c.argv[0] for c in commands)
    return "".join(f"\n--- {verb}\n{texts[verb]}" for verb in verbs)


def stop_text(stop: Stop, run: str | None) -> str:
    """How a run ended, what that means, what is left and what to type next."""
    lines = [f"{stop.outcome}: {MEANINGS[stop.outcome]}"]
    if stop.because:
        lines.append(f"  {plain(stop.because)}")
    if stop.left:
        lines.append("  left to do:")
        lines += [f"    {command_line(command)}" for command in stop.left]
        if run is not None:
            lines.append(f"  next: vzplan recover {run}")
    return "\n".join(lines) + "\n"
