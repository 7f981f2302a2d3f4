"""What holds of every world that can be drawn: of the plan that is made in it, and of the walk along that plan."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from hypothesis import assume, event, given
from hypothesis import strategies as st
from msgspec import structs

from cli.output import plan_text
from executor.brief import packed, unpacked
from executor.simulated.explore import Report, _borders, start_of
from executor.simulated.faults import faults
from executor.simulated.loading import Truth
from executor.simulated.schedules import Armed
from executor.simulated.trial import Trial
from executor.simulated.verify import NotSimulatedError, _succeeds
from planner.codec import decode_entry, decode_facts, decode_plan, encode, pretty
from planner.findings import Finding, Severity
from planner.make import make_plan
from planner.model import Asked, NodeFacts, Options, Request, State
from planner.parse.config import settings
from planner.plan import Opened, Outcome, Plan
from planner.saga import Past, next_move
from tests.property.examples import chosen, holds
from tests.property.strategies import (
    ALWAYS,
    DIMENSIONS,
    HARMLESS,
    NEVER,
    OTHER,
    SIDES,
    World,
    rewritten,
    with_other,
    worlds,
)
from tests.property.test_plans import comparable, in_any_order
from tests.property.test_there_and_back import (
    BACK,
    after_both,
    but_for_what_a_move_leaves,
    prepared_for_the_way_back,
)
from tests.worlds import CTID, WORLDS, asking

SAME_DISK = "clones: to the last letter"
"""The one difference that no facts show: the challenge has to find it."""


def told(world: World, plan: Plan) -> Plan:
    """``plan``, and what it is of for Hypothesis's statistics."""
    event(plan.way or "refused")
    for name in world.kinds:
        event(name)
    return plan


def again(facts: NodeFacts) -> NodeFacts:
    """The same facts, none of them the same object."""
    return decode_facts(pretty(facts).encode(), "again")


def request_again(request: Request) -> Request:
    """The same request, read back from files."""
    others = tuple(map(again, request.others))
    return structs.replace(
        request, source=again(request.source), destination=again(request.destination), others=others
    )


# --- reached


def test_every_way_every_option_and_every_dimension_is_drawn_and_most_worlds_can_be_moved() -> None:
    """The other tests say something of all of these: within a fixed number of examples each is met, and planned."""
    ways: Counter[str | None] = Counter()
    met: Counter[str] = Counter()
    bases: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    unasked = Options()

    @given(world=worlds())
    @chosen("core", 900, 0)
    def draw(world: World) -> None:
        plan = make_plan(world.request)
        ways[plan.way] += 1
        bases[world.base] += 1
        met.update(world.kinds)
        if plan.way is not None:
            met.update({f"{name.partition(':')[0]} planned" for name in world.kinds})
            options = world.options
            asked.update(name for name in FLAGS if getattr(options, name) != getattr(unasked, name))

    draw()
    print(ways, met, asked)
    assert ways.keys() == {"a", "b", "c", "d1", "d2", None}
    assert min(ways.values()) > 20
    assert ways[None] < sum(ways.values()) / 3
    assert met.keys() >= {k.name for k in HARMLESS}
    assert met.keys() >= {f"{name} planned" for name in DIMENSIONS} - REFUSED_ALWAYS
    assert bases.keys() >= WORLDS.keys()
    assert asked.keys() == FLAGS


FLAGS: Final = frozenset(field.name for field in structs.fields(Options))
"""All that can be asked for; each is, in a world that is planned."""

REFUSED_ALWAYS: Final = {"state planned", "mounts planned"}
"""Dimensions that are only there to be refused."""


# --- plans


@holds(core=400, fresh=80, world=worlds(forbidden=ALWAYS))
def test_what_is_refused_is_told_with_a_place_and_a_remedy(world: World) -> None:
    """No world makes a traceback: a plan has steps, or findings of which each says where and what to do."""
    plan = told(world, make_plan(world.request))
    errors = [f for f in plan.findings if f.severity is Severity.ERROR]
    assert bool(errors) == (plan.way is None) == (not plan.steps)
    nodes = {world.request.asked.source, world.request.asked.destination, *world.options.also_seen_by}
    for finding in plan.findings:
        place = finding.subject
        assert place.partition(":")[0] in nodes or place.startswith("--"), finding
        assert finding.summary.strip()
        assert finding.remedy.strip()
    assert all(c.isprintable() or c == "\n" for c in plan_text(plan, verbose=True))


@holds(core=150, fresh=30, world=worlds(forbidden=NEVER))
def test_a_world_without_anything_that_forbids_it_is_planned(world: World) -> None:
    """What is called harmless in the strategies is: every such world has a plan."""
    plan = told(world, make_plan(world.request))
    assert plan.runnable, plan.findings


@holds(core=150, fresh=30, world=worlds())
def test_the_same_world_gives_the_same_plan_after_its_files_were_read_back(world: World) -> None:
    """Facts survive their files, a plan survives its own, a brief leads to the plan; all of it to the byte."""
    request = request_again(world.request)
    assert request == world.request
    plan = told(world, make_plan(world.request))
    assert encode(make_plan(request)) == encode(plan)
    assert decode_plan(pretty(plan).encode(), "plan") == plan == decode_plan(encode(plan), "plan")
    if plan.way is not None:
        assert unpacked(packed(request, plan, "1"), "hn1") == plan


@holds(core=120, fresh=30, world=worlds(), data=st.data())
def test_the_order_in_which_facts_were_found_does_not_matter(world: World, data: st.DataObject) -> None:
    """Every list but that of mounts, in which the later covers the earlier, says the same in any order."""
    assert make_plan(in_any_order(world.request, data)) == make_plan(world.request)


@holds(core=120, fresh=30, world=worlds(forbidden=NEVER), data=st.data())
def test_unrelated_containers_do_not_change_the_plan(world: World, data: st.DataObject) -> None:
    """Containers that share nothing with it may come and go on both nodes."""
    plan = told(world, make_plan(world.request))
    for number, ctid in enumerate(data.draw(st.lists(st.sampled_from((5, 321, 1123)), unique=True))):
        config = OTHER.format("yes", f"unrelated{number}", f"198.51.100.{number + 1}", "")
        side, state = (
            data.draw(st.sampled_from(SIDES)),
            data.draw(st.sampled_from((State.STOPPED, State.RUNNING))),
        )
        world = with_other(world, side, ctid, state=state, config=config)
    assert make_plan(world.request).digest == plan.digest


RENAMED = re.compile(
    r"(?<![0-9A-Za-z])(?<![0-9]\.)(?<!::)(hn1|hn2|123)(?![0-9A-Za-z])|(?<=/dev/)(sd)(?=[a-z]+[0-9]*(?![0-9A-Za-z]))"
)
"""Names of nodes, of the container where it is not part of an address, and of disks."""

HOSTS = st.from_regex(r"[a-z][a-z0-9]{0,5}(\.example\.org)?", fullmatch=True).filter(
    lambda name: name not in ("hn1", "hn2", "hn3")
)


@holds(
    core=120,
    fresh=30,
    world=worlds(),
    source=HOSTS,
    destination=HOSTS,
    ctid=st.integers(10_000, 2**31 - 2),
    disks=st.sampled_from(("sd", "ud", "vd")),
)
def test_renaming_nodes_container_and_disks_commutes_with_planning(
    world: World, source: str, destination: str, ctid: int, disks: str
) -> None:
    """A plan for the renamed world is the renamed plan: what things are called decides nothing."""
    assume(source != destination)
    names = {"hn1": source, "hn2": destination, "123": str(ctid), "sd": disks}

    def everywhere(builtins: Any) -> Any:  # noqa: ANN401 # builtins of any depth
        return rewritten(
            builtins,
            lambda text: RENAMED.sub(lambda m: names[m[0]], text),
            lambda number: ctid if number == CTID else number,
        )

    was = told(world, make_plan(world.request))
    now = make_plan(msgspec.convert(everywhere(msgspec.to_builtins(world.request)), Request))
    expected = msgspec.convert(everywhere(msgspec.to_builtins(unordered(was))), Plan)
    assert unordered(now) == unordered(expected)


def unordered(plan: Plan) -> Plan:
    """Comparable; findings are told in the order of what they are about, and so of its name."""
    plan = comparable(plan)
    return structs.replace(plan, findings=tuple(sorted(plan.findings, key=_told)))


def _told(finding: Finding) -> tuple[str, ...]:
    return (finding.code, finding.severity, finding.subject, finding.summary)


# --- walks


def walked(world: World, plan: Plan) -> Trial:
    """To the end, and nothing goes wrong."""
    trial = start_of(world.request, plan, truth=world.truth)
    trial.run()
    assert not trial.violations, trial.violations
    return trial


@holds(core=200, fresh=40, world=worlds(forbidden=NEVER))
def test_where_nothing_goes_wrong_the_container_moves(world: World) -> None:
    """The walk ends as MIGRATED with every invariant kept; onto a clone to the last letter nothing ever moves."""
    plan = told(world, make_plan(world.request))
    trial = walked(world, plan)
    if SAME_DISK in world.kinds:
        assert trial.outcomes in ([Outcome.REFUSED], [Outcome.UNWOUND])
    else:
        assert trial.outcomes == [Outcome.MIGRATED]
    replayed = Past(plan)
    for entry in trial.entries:
        known = decode_entry(encode(entry), "journal")
        assert known == entry or isinstance(entry, Opened)
        replayed.note(known)
    assert next_move(plan, replayed) == next_move(plan, trial.past)


@holds(core=120, fresh=30, world=worlds())
def test_a_plan_is_walked_or_the_simulation_says_why_not(world: World) -> None:
    """Also with something in the way that no check saw: ``apply`` walks nothing then, and tells the reason."""
    plan = told(world, make_plan(world.request))
    assume(plan.runnable and SAME_DISK not in world.kinds)
    why = not_simulated(world, plan)
    event("walked" if why is None else "not simulated")
    assert why is None or (why and not {*world.kinds} <= {k.name for k in HARMLESS}), why


def not_simulated(world: World, plan: Plan) -> str | None:
    """Why nothing can be said of the plan; None: it succeeds."""
    try:
        _succeeds(world.request, plan, world.truth or Truth())
    except NotSimulatedError as problem:
        return str(problem)
    return None


NOT_AS_BEFORE: Final = frozenset(
    {
        SAME_DISK,  # nothing moves
        "clones: at the source",  # on the way back it is a clone at the destination, and refused
        "config: no layout",  # vzctl writes one at the first start
        "filesystem: another one to copy onto",  # that it is empty again no facts tell
        "lvm: volume",  # the way back asks for /dev/sda1, which is a volume or a path now
        "multipath",
        "node: areas at another place",  # what an operator does in between is written down for /vz
    }
)
"""Differences with which a move leaves more, or the way back is none."""


@holds(core=80, fresh=20, world=worlds(forbidden=NEVER, but=NOT_AS_BEFORE))
def test_there_and_back_again_gives_the_first_world(world: World) -> None:
    """Of every drawn world, as ``test_there_and_back`` has it of the bundled ones; with what was there before."""
    plan = told(world, make_plan(world.request))
    assume(plan.way is not None and world.truth is None)  # what proves no identity is not believed twice
    assert plan.way is not None
    there = walked(world, plan)
    moved = {
        name: prepared_for_the_way_back(plan.way, there.world.facts(name), world.request)
        for name in plan.nodes
    }
    back = World("back", Request(Asked(CTID, "hn2", "hn1", BACK[plan.way]), moved["hn2"], moved["hn1"]))
    again = walked(back, make_plan(back.request))
    assert again.outcomes == [Outcome.MIGRATED]
    installed = any(step.id.startswith("hook-") for step in plan.steps)
    first = but_for_what_a_move_leaves(after_both(plan.way, asking(world.request, install_hooks=installed)))
    now = but_for_what_a_move_leaves({name: again.world.facts(name) for name in plan.nodes})
    assert [tidied(f, plan.way) for f in now.values()] == [tidied(f, plan.way) for f in first.values()]


def tidied(facts: NodeFacts, way: str) -> NodeFacts:
    """In order, without backups, a stale lock of the container, the empty area that it came to, and names of mounts.

    On all ways but a the line of VE_DEVICE is written anew: of configs only the settings are compared.
    """
    private = facts.path(f"/vz/private/{CTID}")
    paths = tuple(
        structs.replace(p, empty=None, entries=None) if p.path in ("/vz/lock", "/vz/private") else p
        for p in facts.paths
        if p.path != f"/vz/lock/{CTID}.lck" and (p != private or p.empty is False)
    )
    containers = (
        structs.replace(c, config=str(sorted(meant(facts, c.config or ""))))
        if way != "a"
        else structs.replace(c, config=(c.config or "").rstrip())
        for c in facts.containers
    )
    return structs.replace(
        facts,
        conf_names=tuple(n for n in facts.conf_names if ".migrated" not in n),
        scripts=tuple(s for s in facts.scripts if ".migrated" not in s.name),
        locks=tuple(lock for lock in facts.locks if lock.ctid != CTID),
        paths=paths,
        containers=tuple(containers),
        mounts=tuple(structs.replace(m, source="") for m in facts.mounts),
    ).in_order()


def meant(facts: NodeFacts, config: str) -> Iterator[tuple[str, str]]:
    """Settings of a config; a device by its number, whatever it is called."""
    for setting in settings(config):
        device = facts.device(setting.value)
        yield setting.name, setting.value if device is None else device.number


# --- failures


def named_by_order(plan: Plan) -> bool:
    """Whether a disk of the destination has no name but one of the order in which disks were found.

    When that comes to another disk nothing can be proved of the right one by its old name, and the run waits for a
    person until it has that name again: neither R12 nor I11 hold then.
    """
    there = (step.do.argv for step in plan.steps if step.do.node == plan.asked.destination)
    return any(re.fullmatch(r"/dev/sd[a-z]+[0-9]+", word) for argv in there for word in argv)


@holds(
    core=250,
    fresh=60,
    world=worlds(forbidden=NEVER),
    places=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=3),
)
def test_no_failures_in_any_world_break_an_invariant(world: World, places: list[tuple[int, int]]) -> None:
    """Up to three, each at a moment to which those before it have led."""
    plan = told(world, make_plan(world.request))
    trial = start_of(world.request, plan, truth=world.truth)
    harmed = trial.fork(())
    for where, which in places:
        moments = [moment for moment in _borders(trial, set(), Report()) if not moment.told]
        if not moments:
            break  # after the one before there was nothing left to do
        moment = moments[where % len(moments)]
        fitting = [
            f for f in faults(moment.effects) if f.kind.name != "names-move" or not named_by_order(plan)
        ]
        armed = Armed(moment.place, fitting[which % len(fitting)])
        trial, harmed = moment.trial.fork((armed,)), moment.trial.fork((armed,))
    harmed.run()
    event(f"failures: {harmed.line.count(' + ') + 1}")
    event(" > ".join(harmed.outcomes))
    assert not harmed.violations, (world, harmed.line, harmed.violations)
