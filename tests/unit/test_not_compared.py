"""What real and simulated nodes are not compared in: docs/verify.md lists it with its reasons, and nothing more."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Union, get_args, get_origin

import pytest
from msgspec import Struct, structs

from executor.simulated.faults import KINDS, fault
from planner.model import NodeFacts
from tests.kernels.alike import DIFFERENCES
from tests.sandbox.beside import NOT_COMPARED, NOT_COMPARED_OF_MOVES, comparable, of_any_run
from tests.sandbox.struck import NOT_MADE, REAL
from tests.sandbox.test_verbs import AT_ONCE, NEVER_EARLY, ONCE
from tests.sandbox.watched import NOT_COMPARED_OVER_BOOTS, over_boots

PAGE: Final = Path(__file__).parents[2] / "docs" / "verify.md"

LISTS: Final = {
    "Facts, wherever real nodes stand beside simulated ones": NOT_COMPARED,
    "Further facts, where each of the two is moved by a run of its own": NOT_COMPARED_OF_MOVES,
    "Further facts, where a node has booted": NOT_COMPARED_OVER_BOOTS,
    "Facts, where nodes of one kernel stand beside two guests": DIFFERENCES,
    "Kinds of failure that are not met by both": NOT_MADE,
    "Verbs that are not tried too early": NEVER_EARLY,
    "Verbs that are taken back only at the end": ONCE,
    "Verbs that are not killed at their syncs": AT_ONCE,
}


def test_the_page_lists_what_is_not_compared_and_nothing_more() -> None:
    section = PAGE.read_text().partition("### What is not compared, and why\n")[2].partition("\n## ")[0]
    found = {
        title: dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", rows, re.MULTILINE))
        for title, rows in re.findall(r"^(\S.*):\n\n((?:\|.*\n)+)", section, re.MULTILINE)
    }
    assert found == LISTS
    assert all(reason for reasons in LISTS.values() for reason in reasons.values())


def test_every_kind_of_failure_is_met_by_both_but_for_those_that_are_listed() -> None:
    left_out = [name for names in NOT_MADE for name in names.split(", ")]
    met = {fault(name).kind.name for name in REAL}
    assert sorted([*met, *left_out]) == sorted(kind.name for kind in KINDS)


def sample(kind: Any, *, other: bool) -> Any:  # noqa: ANN401 # of all that facts consist of
    """A value of that type, with one of everything; or another one."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return sample(args[0], other=other)
    if origin in (Union, types.UnionType):
        return sample(next(each for each in args if each is not type(None)), other=other)
    if origin is tuple:
        return (sample(args[0], other=other),)
    if issubclass(kind, Struct):
        return kind(**{field.name: sample(field.type, other=other) for field in structs.fields(kind)})
    if issubclass(kind, Enum):
        return list(kind)[other]
    if kind is str:
        return "/dev/block/2" if other else "/dev/block/1"
    return kind(1 + other)  # of a bool: both are true, which is why it is turned over below


def changed(value: Struct) -> Iterator[tuple[str, Any]]:
    """By name, the same with one fact changed; those of a list of structures are those of its first."""
    for field in structs.fields(value):
        now = getattr(value, field.name)
        inner = now[0] if isinstance(now, tuple) else now
        if isinstance(inner, Struct):
            for name, new in changed(inner):
                put = (new,) if isinstance(now, tuple) else new
                yield f"{field.name}.{name}", structs.replace(value, **{field.name: put})
        else:
            new = not now if isinstance(now, bool) else sample(field.type, other=True)
            assert new != now, field.name
            yield field.name, structs.replace(value, **{field.name: new})


def listed(name: str, *lists: dict[str, str]) -> bool:
    """Whether a fact, or all that it is part of, is not compared."""
    return any(name in names or name.partition(".")[0] in names for names in lists)


FACTS: Final[NodeFacts] = sample(NodeFacts, other=False)
OTHERS: Final = dict(changed(FACTS))


@pytest.mark.parametrize("name", OTHERS)
def test_every_fact_is_compared_but_for_those_that_are_listed(name: str) -> None:
    was, now = comparable({"hn1": FACTS}), comparable({"hn1": OTHERS[name]})
    assert (was == now) is listed(name, NOT_COMPARED)
    assert (of_any_run(was) == of_any_run(now)) is listed(name, NOT_COMPARED, NOT_COMPARED_OF_MOVES)
    assert (over_boots(was) == over_boots(now)) is listed(name, NOT_COMPARED, NOT_COMPARED_OVER_BOOTS)


def test_which_mount_came_first_is_not_compared() -> None:
    (mount,) = FACTS.mounts
    two = (mount, structs.replace(mount, point="/other"))
    one, other = (structs.replace(FACTS, mounts=mounts) for mounts in (two, two[::-1]))
    assert comparable({"hn1": one}) == comparable({"hn1": other})


def test_how_many_inodes_an_ext_has_is_compared() -> None:
    (device,) = FACTS.devices
    assert device.filesystem is not None
    ext = structs.replace(device.filesystem, type="ext4")
    one, other = (
        structs.replace(
            FACTS, devices=(structs.replace(device, filesystem=structs.replace(ext, inodes=inodes)),)
        )
        for inodes in (1, 2)
    )
    assert comparable({"hn1": one}) != comparable({"hn1": other})


def test_names_of_devices_are_compared_over_boots_but_for_numbers() -> None:
    (device,) = FACTS.devices
    one, other = (
        structs.replace(FACTS, devices=(structs.replace(device, names=(name,)),))
        for name in ("/dev/sda1", "/dev/sdb1")
    )
    assert over_boots({"hn1": one}) != over_boots({"hn1": other})
