"""A plan depends on what the facts say, not on what things are called or in which order they were found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from planner.codec import decode_facts, decode_plan, encode
from planner.make import make_plan
from planner.model import (
    Activation,
    Asked,
    Known,
    Lock,
    NodeFacts,
    Outside,
    Owner,
    Reach,
    Request,
    Usage,
)
from planner.plan import Plan
from tests.worlds import CTID, WORLDS, asking, bundled

MOVABLE = ("shared", "san")
SETS: Final = tuple(
    field.name
    for field in structs.fields(NodeFacts)
    if any(get_origin(kind) is tuple for kind in (field.type, *get_args(field.type)))
    and field.name != "mounts"
)
"""All lists of facts but that of mounts, whose order tells which covers which."""
NAMES = st.from_regex(r"[a-z][a-z0-9]{2,8}", fullmatch=True)


def renamed(text: bytes, names: Mapping[str, str]) -> bytes:
    """``text`` with every whole word replaced at once, so that swapped names do not meet half way."""
    words = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.sub(
        rf"(?<![0-9A-Za-z])(?:{words})(?![0-9A-Za-z])", lambda m: names[m[0]], text.decode()
    ).encode()


def comparable(plan: Plan) -> Plan:
    """Without digests, which are of the text and so change with any name."""
    guards = tuple(
        structs.replace(
            s, do=structs.replace(s.do, argv=tuple(re.sub(r"^[0-9a-f]{64}$", "HASH", w) for w in s.do.argv))
        )
        for s in plan.steps
    )
    return structs.replace(plan, facts=(), digest="", steps=guards)


@pytest.mark.parametrize("world", MOVABLE)
@given(source=NAMES, destination=NAMES, ctid=st.integers(1000, 2**31 - 1), device=NAMES)
@settings(max_examples=40)
def test_renaming_hosts_container_and_device_gives_the_renamed_plan(
    world: str, source: str, destination: str, ctid: int, device: str
) -> None:
    if source == destination:
        destination += "x"
    names = {"hn1": source, "hn2": destination, "123": str(ctid), "sda1": f"x{device}", "sdm1": f"y{device}"}
    was = bundled(world)
    source_facts = decode_facts(encode(was.source).replace(b"192.0.2.123 2001:db8::123", b""), "none")
    was = structs.replace(was, source=source_facts)  # an address is not renamed with the number
    now = Request(
        Asked(ctid, source, destination),
        decode_facts(renamed(encode(was.source), names), source),
        decode_facts(renamed(encode(was.destination), names), destination),
    )
    expected = decode_plan(renamed(encode(comparable(make_plan(was))), names), "renamed")
    assert comparable(make_plan(now)) == expected


def in_any_order(request: Request, data: st.DataObject) -> Request:
    """The same request, with its facts as they might have been found as well."""

    def shuffled(facts: NodeFacts) -> NodeFacts:
        changed: dict[str, Any] = {}
        for name in SETS:
            known = getattr(facts, name)
            changed[name] = known if known is None else tuple(data.draw(st.permutations(known)))
        changed["devices"] = tuple(
            structs.replace(d, names=tuple(reversed(d.names))) for d in changed["devices"]
        )
        return structs.replace(facts, **changed)

    return structs.replace(
        request,
        source=shuffled(request.source),
        destination=shuffled(request.destination),
        others=tuple(map(shuffled, data.draw(st.permutations(request.others)))),
    )


def with_more(request: Request) -> Request:
    """The same, with more of what few nodes have any of; two more nodes see the device that it is to own."""

    def more(facts: NodeFacts) -> NodeFacts:
        return structs.replace(
            facts,
            locks=tuple(Lock(ctid, Known.NO) for ctid in (12, 13)),
            owners=tuple(Owner(ctid, "20250101-000000-abcdef", "old:/var/lib/vzplan") for ctid in (12, 13)),
            activations=tuple(Activation("/etc/lvm/lvm.conf", group, None) for group in ("data", "spare")),
            reboots=(*(facts.reboots or ()), 12),
            usage=(*facts.usage, Usage("/vz/private/12", 4096, 1)),
            reaches=(*facts.reaches, Reach("hn9", Known.YES)),
            outside=tuple(Outside(f"/vz/root/{CTID}/{name}", Known.NO) for name in ("home", "srv")),
        )

    others = tuple(
        structs.replace(request.destination, node=name, boot_id=name, containers=(), mounts=())
        for name in ("hn3", "hn4")
    )
    seen = structs.replace(asking(request, also_seen_by=("hn3", "hn4")), others=others)
    given = seen if make_plan(request).way in {"b", "d1", "d2"} else request
    return structs.replace(given, source=more(given.source), destination=more(given.destination))


@pytest.mark.parametrize("world", WORLDS)
@given(data=st.data())
@settings(max_examples=12)
def test_the_order_of_facts_does_not_matter(world: str, data: st.DataObject) -> None:
    was = with_more(WORLDS[world])
    plan = make_plan(was)
    assert plan.runnable
    assert make_plan(in_any_order(was, data)) == plan


@given(data=st.data())
@settings(max_examples=20)
def test_what_speaks_against_the_move_on_further_nodes_is_told_in_one_order(data: st.DataObject) -> None:
    was = with_more(WORLDS["d2-running"])
    others = tuple(structs.replace(was.source, node=f"hn{n}", boot_id=str(n)) for n in (3, 4))
    was = structs.replace(was, others=others)
    plan = make_plan(was)
    assert [found.subject.partition(":")[0] for found in plan.findings if found.code == "device-busy"] == [
        "hn3",
        "hn4",
    ]
    assert make_plan(in_any_order(was, data)) == plan


def test_there_is_an_order_in_every_list_whose_order_does_not_matter() -> None:
    worlds = [with_more(request) for request in WORLDS.values()]
    alone = [
        name
        for name in SETS
        if all(len(getattr(facts, name)) < 2 for was in worlds for facts in (was.source, was.destination))
    ]
    assert alone == []


@pytest.mark.parametrize("world", MOVABLE)
def test_the_same_request_gives_the_same_bytes(world: str) -> None:
    assert encode(make_plan(bundled(world))) == encode(make_plan(bundled(world)))


@pytest.mark.parametrize("world", MOVABLE)
def test_a_plan_survives_its_json(world: str) -> None:
    plan = make_plan(bundled(world))
    assert decode_plan(encode(plan), "x") == plan
    assert plan.runnable


@pytest.mark.parametrize("world", MOVABLE)
def test_another_container_does_not_change_the_plan(world: str) -> None:
    was = bundled(world)
    others = tuple(c for c in was.source.containers if c.ctid == CTID)
    assert others != was.source.containers
    alone = Request(was.asked, structs.replace(was.source, containers=others), was.destination)
    assert make_plan(alone).digest == make_plan(was).digest
