"""What changed between the plan that was agreed to and the one that would be made now, for a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import unified_diff

from msgspec import structs

from planner.codec import pretty
from planner.findings import Finding
from planner.plan import Plan


def difference(before: Plan, after: Plan) -> str:
    """One change a line, "-" as it was shown, "+" as it is now; what has no words of its own as a diff of the JSON."""
    lines = [
        *_findings(before, after),
        *_words(before, after),
        *_config(before, after),
        *_steps(before, after),
    ]
    return "\n".join(lines or _json(before, after))


def _findings(before: Plan, after: Plan) -> Iterator[str]:
    yield from (f"- {_finding(f)}" for f in before.findings if f not in after.findings)
    for finding in after.findings:
        if finding not in before.findings:
            yield f"+ {_finding(finding)}"
            yield f"  -> {finding.remedy}"


def _finding(finding: Finding) -> str:
    return f"{finding.severity} {finding.code}: {finding.subject}: {finding.summary}"


def _words(before: Plan, after: Plan) -> Iterator[str]:
    """The container's name, state and way, as they stand at the top of a plan; one that cannot be run has none."""
    for old, new in ((before.title, after.title), (before.summary, after.summary)):
        if old != new and before.steps and after.steps:
            yield f"- {old}"
            yield f"+ {new}"


def _config(before: Plan, after: Plan) -> Iterator[str]:
    """The config at the source; if that is as it was, what it is to be at the destination."""
    old, new = before.config, after.config
    if old is None or new is None or old == new:
        return
    texts = (old.before, new.before) if old.before != new.before else (old.after, new.after)
    yield "config:"
    yield from _changed(*(text.splitlines() for text in texts))


def _steps(before: Plan, after: Plan) -> Iterator[str]:
    """By their titles; of a plan that has none the findings have said why."""
    if not before.steps or not after.steps:
        return
    changed = [*_changed(*([f"{s.do.node}: {s.title}" for s in plan.steps] for plan in (before, after)))]
    if changed:
        yield "steps:"
        yield from changed


def _changed(old: Iterable[str], new: Iterable[str]) -> Iterator[str]:
    """The lines that differ, without those around them."""
    lines = unified_diff([*old], [*new], lineterm="", n=0)
    yield from (
        f"{line[0]} {line[1:]}" for n, line in enumerate(lines) if n > 1 and not line.startswith("@@")
    )


def _json(before: Plan, after: Plan) -> Iterator[str]:
    """Without what rests on measurements."""
    same = {"facts": (), "digest": "", "estimate": None, "max_frozen_s": None}
    old, new = (pretty(structs.replace(plan, **same)).splitlines() for plan in (before, after))
    return unified_diff(old, new, "as shown", "as it is now", lineterm="", n=1)
