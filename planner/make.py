"""``make_plan``: checks, the choice of the way, the steps, the digest. The planner's one entrance."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from planner.checks import OF_NODES, OF_SITUATION, OF_WORDS
from planner.codec import sha256
from planner.estimate import estimate, limit_s
from planner.findings import Finding, Severity
from planner.model import Asked, Request
from planner.plan import PLAN_VERSION, Command, ConfigEdit, Plan, Step
from planner.situation import Situation, read
from planner.steps import SLOW_S
from planner.ways import Way, choose

OTHERS_OWN: Final = frozenset({"same-node", "run-open", "run-damaged"})
"""What else is in the way is the container's own then, or another run's: locks, files, the fence; not to be removed."""


def make_plan(request: Request) -> Plan:
    """The plan for a request; with findings and no steps if something forbids it. Same request, same bytes."""
    request = structs.replace(
        request,
        source=request.source.in_order(),
        destination=request.destination.in_order(),
        others=tuple(sorted((facts.in_order() for facts in request.others), key=lambda facts: facts.node)),
    )
    findings = list(word_findings(request.asked))
    findings += [finding for check in OF_NODES for finding in check(request)]
    if any(f.code in OTHERS_OWN for f in findings):
        return _plan(request, None, None, (), findings)
    at = read(request)
    if not isinstance(at, Situation):
        return _plan(request, None, None, (), [*findings, *at])
    findings += [finding for check in OF_SITUATION for finding in check(at)]
    if any(f.severity is Severity.ERROR for f in findings):
        return _plan(request, at, None, (), findings)
    way = choose(at)
    return _plan(request, at, way, way.steps(at), findings)


def word_findings(asked: Asked) -> tuple[Finding, ...]:
    """What speaks against a request whatever the nodes are like: before one of them is asked."""
    return tuple(finding for check in OF_WORDS for finding in check(asked))


def _plan(
    request: Request, at: Situation | None, way: Way | None, steps: tuple[Step, ...], findings: list[Finding]
) -> Plan:
    asked = request.asked
    settle = tuple(
        Command(node, ("settle",), "", SLOW_S) for node in (asked.source, asked.destination) if steps
    )
    unique = tuple(dict.fromkeys(findings))
    guess = estimate(at) if at is not None and way is not None else None
    config = ConfigEdit(at.config, way.new_config(at)) if at is not None and way is not None else None
    plan = Plan(
        version=PLAN_VERSION,
        asked=asked,
        facts=tuple((facts.node, sha256(facts)) for facts in (request.source, request.destination)),
        way=way.name if way else None,
        title=_title(request, at),
        summary=_summary(at, way),
        steps=steps,
        settle=settle,
        max_frozen_s=limit_s(asked.options.max_frozen_s, guess),
        config=config,
        findings=unique,
        digest="",
        estimate=guess,
    )
    return structs.replace(plan, digest=digest_of(plan))


def digest_of(plan: Plan) -> str:
    """The digest of what will be done: the same for two plans that do the same to the same.

    Estimates and measurements never belong in here: a plan shown today must still be the same plan tomorrow.
    """
    return sha256((plan.version, plan.asked, plan.way, plan.steps, plan.settle, plan.config, plan.findings))


def _title(request: Request, at: Situation | None) -> str:
    name = f" ({at.name})" if at is not None and at.name else ""
    asked = request.asked
    return f"Move container {asked.ctid}{name} from {asked.source} to {asked.destination}"


def _summary(at: Situation | None, way: Way | None) -> str:
    if at is None or way is None:
        return "not possible as things stand; see the findings"
    how = "offline"
    if at.online:
        how = f"{'frozen' if at.staged else 'suspended'} meanwhile: its memory goes along"
    return f"{way.summary(at)} · {at.container.state}, {how}"
