"""A plan depends on what the facts say, not on what things are called or in which order they were found."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from planner.codec import decode_facts, decode_plan, encode
from planner.make import make_plan
from planner.model import Asked, NodeFacts, Request
from planner.plan import Plan
from tests.worlds import CTID, WORLDS, bundled

MOVABLE = ("shared", "san")
SETS = (
    "containers",
    "scripts",
    "devices",
    "paths",
    "tools",
    "conf_names",
    "rooms",
    "locks",
    "mounters",
    "activations",
    "reboots",
    "usage",
    "reaches",
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


@pytest.mark.parametrize("world", WORLDS)
@given(data=st.data())
@settings(max_examples=20)
def test_the_order_of_facts_does_not_matter(world: str, data: st.DataObject) -> None:
    was = WORLDS[world]

    def shuffled(facts: NodeFacts) -> NodeFacts:
        changed = {}
        for name in SETS:
            changed[name] = tuple(data.draw(st.permutations(getattr(facts, name))))
        return structs.replace(facts, **changed)

    now = Request(was.asked, shuffled(was.source), shuffled(was.destination))
    assert make_plan(now).digest == make_plan(was).digest


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
