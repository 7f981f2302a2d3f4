"""What the operator's commands do, apart from printing: plan, apply, recover.

Nothing is decided here either: plans come from the planner, moves from the saga.
"""

from __future__ import annotations

from difflib import unified_diff
from typing import Final

from msgspec import Struct, structs

from executor.engine import Watch, walk
from executor.gather import Ask, GatherError
from executor.journal import Journal, MemoryJournal
from executor.signals import Signals
from executor.site import Site
from planner.codec import pretty
from planner.make import make_plan
from planner.model import Asked, NodeFacts, Request, Usage
from planner.plan import Plan, Restarted, Run, Stop, Want, What, Wish
from planner.situation import unseen

GENERATIONS_A_CONTROLLER: Final = 1000
"""Each controller counts its own reconnections from a number of its own, so that a later one is always higher."""


class Choice(Struct, frozen=True):
    """Which node has a container, asked of a set of facts: exactly one, or why not."""

    node: str | None
    why: str


def source_of(ctid: int, world: dict[str, NodeFacts], destination: str) -> Choice:
    """The one node of a recorded world that has the container, the destination left out unless it is the only one."""
    having = [name for name, facts in world.items() if facts.container(ctid) is not None]
    others = [name for name in having if name != destination] or having
    if len(others) == 1:
        return Choice(others[0], "")
    if not others:
        return Choice(None, f"none of {', '.join(world)} has a container {ctid}")
    return Choice(None, f"container {ctid} is on {', '.join(others)}: name the source with --from")


def look(asked: Asked, site: Site, usage: tuple[Usage, ...] | None = None) -> Request:
    """Gather what a plan is made from: every node in one round trip, all at once.

    The destination is asked once more if the container lies where nobody had looked. ``usage``: what was counted
    before and is not counted again, since it may take long.
    """
    options = asked.options
    counted = asked.ctid if usage is None else None
    asks = {asked.source: Ask(measured=counted, peers=(asked.destination,), peer_ssh=options.peer_ssh)}
    facts = site.facts(asked.source, asked.destination, *options.also_seen_by, asks=asks)
    source = facts[asked.source]
    request = Request(
        asked,
        source if usage is None else structs.replace(source, usage=usage),
        facts[asked.destination],
        tuple(facts[name] for name in options.also_seen_by),
    )
    paths = unseen(request)
    if not paths:
        return request
    again = site.facts(asked.destination, asks={asked.destination: Ask(paths=paths)})
    return structs.replace(request, destination=again[asked.destination])


def plan_now(asked: Asked, site: Site) -> Plan:
    """Gather facts and plan."""
    return make_plan(look(asked, site))


def apply(
    request: Request,
    site: Site,
    journal: Journal | MemoryJournal,
    *,
    control: str,
    signals: Signals,
    watch: Watch,
) -> Stop:
    """Walk the journal's plan, made from ``request``, to its end or back.

    The owner records come first (they make the run's folder on both nodes). Then facts are gathered once more and
    planned again: a plan that differs from the one that was agreed to is a wish to stop, and ends as REFUSED.
    ``control`` says where this controller is ("HOST:STATE-FOLDER"), for whoever finds the owner records.
    """
    plan, run = journal.plan, journal.opened.run
    nodes = site.nodes(run, control, plan.nodes, 1)
    reached = walk(journal, nodes, heed=signals.wish, watch=watch, until=_after_owning)
    if isinstance(reached, Run):
        wish = _second_look(request, plan, site, run)
        if wish is not None:
            journal.append(wish)
        reached = walk(journal, nodes, heed=signals.wish, watch=watch)
    if isinstance(reached, Run):
        raise TypeError("the engine stopped before a move that nobody asked it to stop at")
    return reached


def recover(site: Site, journal: Journal, *, control: str, signals: Signals, watch: Watch) -> Stop:
    """Take up a run whose controller is gone: what it began is unknown, every node it spoke to settles first."""
    journal.append(Restarted())
    restarts = sum(isinstance(entry, Restarted) for entry in journal.entries)
    generation = 1 + restarts * GENERATIONS_A_CONTROLLER
    nodes = site.nodes(journal.opened.run, control, journal.plan.nodes, generation)
    reached = walk(journal, nodes, heed=signals.wish, watch=watch)
    if isinstance(reached, Run):
        raise TypeError("the engine stopped before a move that nobody asked it to stop at")
    return reached


def _second_look(request: Request, plan: Plan, site: Site, run: str) -> Wish | None:
    """A wish to stop, if the nodes are no longer as they were when the plan was agreed to."""
    try:
        again = plan_again(request, site, run)
    except GatherError as problem:
        return Wish(Want.REFUSE, f"the second look failed: {problem}")
    if again.digest == plan.digest:
        return None
    return Wish(Want.REFUSE, "the nodes are no longer as they were shown:\n" + difference(plan, again))


def plan_again(request: Request, site: Site, run: str) -> Plan:
    """The plan as it would be made now, this run's own records not counted."""
    now = look(request.asked, site, request.source.usage)
    return make_plan(
        structs.replace(
            now, source=without_run(now.source, run), destination=without_run(now.destination, run)
        )
    )


def without_run(facts: NodeFacts, run: str) -> NodeFacts:
    """``facts`` without the owner records of ``run``."""
    return structs.replace(facts, owners=tuple(owner for owner in facts.owners if owner.run != run))


def difference(before: Plan, after: Plan) -> str:
    """What changed between two plans, as a diff that a person can read."""
    old, new = (pretty(structs.replace(plan, facts=(), digest="")).splitlines() for plan in (before, after))
    return "\n".join(unified_diff(old, new, "as shown", "as it is now", lineterm="", n=1))


def _after_owning(move: Run) -> bool:
    return move.what is What.DO and move.command.argv[0] != "own"
