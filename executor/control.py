"""What the operator's commands do, apart from printing: plan, apply, recover.

Nothing is decided here either: plans come from the planner, moves from the saga.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

from msgspec import Struct, structs

from executor.adoption import Kept, ask, way_in
from executor.attention import attending
from executor.brief import packed
from executor.engine import Watch, first_to, never, walk
from executor.gather import Ask, GatherError
from executor.journal import Journal, MemoryJournal
from executor.signals import Signals
from executor.site import LiveSite, Site
from planner.adopt import has_it_still, outrun
from planner.difference import difference
from planner.make import make_plan
from planner.model import Asked, NodeFacts, Request
from planner.plan import (
    Adopted,
    Entry,
    Exited,
    Lost,
    NodeOff,
    Opened,
    Plan,
    Restarted,
    Run,
    Stop,
    Want,
    What,
    Wish,
    Zone,
)
from planner.saga import Past, may_go_back, may_go_forward
from planner.situation import areas, unseen

ANSWERS_S: Final = 10
LIMIT_BYTES: Final = 1 << 16

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


def look(asked: Asked, site: Site, before: Request | None = None) -> Request:
    """Gather what a plan is made from: every node in one round trip, all at once.

    The destination is asked once more if the container lies where nobody had looked. ``before``: of a look some time
    ago; what takes long is not asked again, and where to look is known from it.
    """
    options = asked.options
    asks = {
        asked.source: Ask(
            measured=asked.ctid if before is None else None,
            peers=(asked.destination,) if before is None else (),
            peer_ssh=options.peer_ssh,
            estimated=options.online and before is None,
        ),
        asked.destination: Ask(paths=areas(before) if before is not None else (), expected=asked.ctid),
    }
    facts = site.facts(asked.source, asked.destination, *options.also_seen_by, asks=asks)
    source = facts[asked.source]
    request = Request(
        asked,
        source if before is None else _not_asked_again(source, before.source),
        facts[asked.destination],
        tuple(facts[name] for name in options.also_seen_by),
    )
    paths = unseen(request)
    if not paths:
        return request
    again = site.facts(asked.destination, asks={asked.destination: Ask(paths=paths, expected=asked.ctid)})
    return structs.replace(request, destination=again[asked.destination])


def _not_asked_again(now: NodeFacts, before: NodeFacts) -> NodeFacts:
    """What was counted and measured, and whether the peer is reached: else copying fails and is taken back."""
    return structs.replace(now, usage=before.usage, reaches=before.reaches)


def opened(request: Request, plan: Plan, site: Site, run: str, by: str) -> Opened:
    """The first entry of a new run's journal; ``by``: the version of vzplan."""
    if isinstance(site, LiveSite):
        return Opened(run, plan, site.ssh, site.here, by=by, brief=packed(request, plan, by))
    return Opened(run, plan, by=by)


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
    planned again: a plan that differs from the one that was agreed to is a wish to stop, and ends as REFUSED. And once
    more after the first copies, just before the freeze: they may have taken hours.
    ``control`` says where this controller is ("HOST:STATE-FOLDER"), for whoever finds the owner records.
    """
    plan, run = journal.plan, journal.opened.run
    nodes = site.nodes(journal.opened, control, 1)
    with attending(site, journal.plan, journal.past, signals, watch) as attention:
        reached = walk(
            journal, nodes, heed=attention.heed, watch=attention, until=_after_owning, clock=site.time_ms
        )
        for again, until in ((plan_again, _before_freeze(plan)), (plan_before_freeze, never)):
            if isinstance(reached, Run):
                wish = _another_look(again, request, plan, site, run)
                if wish is not None:
                    journal.append(wish)
                reached = walk(
                    journal, nodes, heed=attention.heed, watch=attention, until=until, clock=site.time_ms
                )
    return _ended(reached)


class Towards(Enum):
    """Where a run that is taken up again is to go."""

    AS_IT_STANDS = "as it stands"  # back before the pivot, forward after it
    FORWARD = "forward"
    BACK = "back"


class RecoverError(Exception):
    """A run cannot be taken up again in the way that was asked for; says why, and what may be asked for instead."""


def recover(
    site: Site,
    journal: Journal,
    *,
    control: str,
    signals: Signals,
    watch: Watch,
    towards: Towards = Towards.AS_IT_STANDS,
    off: tuple[str, ...] = (),
) -> Stop:
    """Take up a run whose controller is gone: what it began is unknown, every node it spoke to settles first.

    ``off``: nodes that are powered off, by the operator's word.

    Raises:
        RecoverError: it cannot be told to go that way any more, or has no such node.
    """
    may(journal.plan, journal.entries, towards, off)
    if isinstance(site, LiveSite):
        _are_off(site, off)
        _knows_all(site, journal, [node for node in journal.plan.nodes if node not in off])
    journal.append(Restarted(forward=towards is Towards.FORWARD))
    for node in off:
        journal.append(NodeOff(node))
    nodes = site.nodes(journal.opened, control, generation(journal.entries))
    with attending(site, journal.plan, journal.past, signals, watch) as attention:
        compared: set[str] = set()

        def is_first(move: Run) -> bool:
            """To a node, after it has settled, so that nobody else does anything there any more."""
            return first_to(move, compared)

        while True:
            reached = walk(
                journal, nodes, heed=attention.heed, watch=attention, until=is_first, clock=site.time_ms
            )
            if isinstance(reached, Stop):
                return reached
            settled = [n for n in journal.plan.nodes if n not in journal.past.unsettled | {*off, *compared}]
            if isinstance(site, LiveSite):
                _knows_all(site, journal, settled, must_answer=True)
            compared |= {*settled, reached.command.node}


def generation(entries: Sequence[Entry]) -> int:
    """The generation in which the last controller of these entries speaks to the nodes; above all that came before."""
    known = max((entry.generation for entry in entries if isinstance(entry, Adopted)), default=1)
    return known + GENERATIONS_A_CONTROLLER * sum(isinstance(entry, Restarted) for entry in entries)


def began_nothing(plan: Plan, past: Past) -> bool:
    """Whether nothing but owner records may have been made, as far as this past tells."""
    return all(step.do.argv[0] == "own" for step in plan.steps if step.id in past.begun)


def _are_off(site: LiveSite, off: tuple[str, ...]) -> None:
    """The operator's word that a node is off counts as long as the node does not say otherwise itself."""
    for node in off:
        if isinstance(site.read(node, "true", ANSWERS_S, LIMIT_BYTES), Exited):
            raise RecoverError(
                f"{node} is not off: it answers; leave out --node-is-off, so that it is asked itself, or cut its power"
            )


def _knows_all(site: LiveSite, journal: Journal, nodes: list[str], *, must_answer: bool = False) -> None:
    """Refuse a journal that knows less than its nodes.

    What it does not know of would not be taken back before the container is started again. A node that cannot be asked
    tells nothing; nothing goes to it before it has settled, and has been asked.
    """
    plan = journal.plan
    told = {node: ask(site, journal.opened.run, node) for node in nodes}
    for node, kept in told.items():
        if must_answer and isinstance(kept, Lost):  # it has settled, and went away before it could be asked
            raise RecoverError(
                f"{node} cannot be asked what it was given ({kept.reason}); {_once(site, node)}"
            )
    logs = {
        node: kept.log if isinstance(kept, Kept) else ()
        for node, kept in told.items()
        if not isinstance(kept, Lost)
    }
    more = outrun(plan, journal.entries, logs)
    if more is not None:
        node, unknown = more
        if not unknown:
            (other,) = {*plan.nodes} - {node}
            raise RecoverError(
                f"{node} knows nothing of this run any more: another controller went on there after it was adopted; "
                f"remove its folder {journal.path.parent} and recover it with --adopt {other}, or see with "
                f"'vzplan facts' where the container is if {other} knows nothing of it either"
            )
        verbs = ", ".join(dict.fromkeys(said.split(" ")[1] for said in unknown))
        raise RecoverError(
            f"{node} was given commands of which its journal here does not know ({verbs}): it was cut, or is an old "
            f"copy, or was adopted before {node} could be asked; remove its folder {journal.path.parent} and recover "
            f"it with --adopt {node}"
        )
    if not must_answer and began_nothing(plan, journal.past):
        _nothing_was_begun(site, journal, told)


def _once(site: LiveSite, node: str) -> str:
    return f"try again once this works: {way_in(site, node)}"


def _nothing_was_begun(site: LiveSite, journal: Journal, told: dict[str, Kept | Lost | None]) -> None:
    """A run that never began and one that has long ended leave the same on the nodes: nothing."""
    plan, source = journal.plan, journal.plan.asked.source
    said = "its journal here says that nothing was begun"
    for node, kept in told.items():
        if isinstance(kept, Lost):
            raise RecoverError(
                f"{said}, and {node} must say so too, but cannot be asked ({kept.reason}); {_once(site, node)}"
            )
    if any(told.values()):
        return
    try:
        facts = site.facts(source)[source]
    except GatherError as problem:
        raise RecoverError(f"{said}, and {source} must say so too: {problem}") from None
    if not has_it_still(plan, facts):
        raise RecoverError(
            f"{said}, and container {plan.asked.ctid} has not the config on {source} that it had: the journal was cut, "
            f"or is an old copy of a run that has ended, or someone changed the config since. No node knows of the run "
            f"any more: see where the container is, then remove its folder {journal.path.parent}"
        )


def may(plan: Plan, entries: Sequence[Entry], towards: Towards, off: tuple[str, ...] = ()) -> None:
    """See that a run of these entries can be told to go that way.

    Raises:
        RecoverError: it cannot any more, or one of ``off`` is none of its nodes.
    """
    past = Past(plan)
    for entry in entries:
        past.note(entry)
    for node in off:
        if node not in plan.nodes:
            raise RecoverError(f"{node} has no part in this run; its nodes are {' and '.join(plan.nodes)}")
    if towards is Towards.FORWARD and not may_go_forward(past):
        raise RecoverError(
            f"it cannot go forward any more: it is being taken back ({past.unwinding}); "
            "without --forward that is completed, then 'vzplan apply' can be tried again"
        )
    if towards is Towards.BACK and not may_go_back(past):
        raise RecoverError(
            "it cannot be taken back any more: the point of no return has been passed, or may have been; "
            "without --back it is asked, and completed"
        )


def _ended(reached: Run | Stop) -> Stop:
    if isinstance(reached, Run):
        raise TypeError("the engine stopped before a move that nobody asked it to stop at")
    return reached


Again = Callable[[Request, Plan, Site, str], Plan]


def _another_look(again: Again, request: Request, plan: Plan, site: Site, run: str) -> Wish | None:
    """A wish to stop, if the nodes are no longer as they were when the plan was agreed to."""
    try:
        now = again(request, plan, site, run)
    except GatherError as problem:
        return Wish(Want.REFUSE, f"another look failed: {problem}")
    if now.digest == plan.digest:
        return None
    return Wish(Want.REFUSE, "the nodes are no longer as they were shown:\n" + difference(plan, now))


def plan_again(request: Request, _plan: Plan, site: Site, run: str) -> Plan:
    """The plan as it would be made now, this run's own records not counted."""
    now = look(request.asked, site, request)
    return make_plan(
        structs.replace(
            now, source=without_run(now.source, run), destination=without_run(now.destination, run)
        )
    )


STILL: Final = (
    "vz_running",
    "vz_conf",
    "containers",
    "scripts",
    "mounters",
    "activations",
    "reboots",
    "locks",
)
"""Facts that this run changes nothing of in *prepare*, but for what it makes itself in /etc/vz/conf."""


def plan_before_freeze(request: Request, plan: Plan, site: Site, run: str) -> Plan:
    """The plan as it would be made after a copy that may have taken hours, what this run made not counted."""
    now = site.facts(*plan.nodes)
    made = {(s.do.node, s.do.argv[1].rpartition("/")[2]) for s in plan.steps if s.do.argv[0] == "make-file"}

    def still(then: NodeFacts) -> NodeFacts:
        facts = without_run(now[then.node], run)
        names = tuple(name for name in facts.conf_names if (then.node, name) not in made)
        scripts = tuple(script for script in facts.scripts if (then.node, script.name) not in made)
        seen = {name: getattr(facts, name) for name in STILL}
        return structs.replace(then, **{**seen, "conf_names": names, "scripts": scripts})

    return make_plan(
        structs.replace(request, source=still(request.source), destination=still(request.destination))
    )


def without_run(facts: NodeFacts, run: str) -> NodeFacts:
    """``facts`` without the owner records of ``run``."""
    return structs.replace(facts, owners=tuple(owner for owner in facts.owners if owner.run != run))


def _after_owning(move: Run) -> bool:
    return move.what is What.DO and move.command.argv[0] != "own"


def _before_freeze(plan: Plan) -> Callable[[Run], bool]:
    """Stop there if a copy came before it; what takes no time is looked at twice as it is (guards)."""
    copies = any(s.zone is Zone.PREPARE and s.do.argv[0] == "copy-tree" for s in plan.steps)
    first = next((s.id for s in plan.steps if s.zone is Zone.FREEZE), None)
    return lambda move: copies and move.what is What.DO and move.at == first
