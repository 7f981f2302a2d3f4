"""How long it is going to be frozen: what that is worked out from, and what may rest on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec import structs

from cli.output import plan_text
from executor import control
from executor.facts_files import write_facts
from executor.gather import Ask
from executor.site import SimulatedSite
from planner.difference import difference
from planner.estimate import DISK_BYTES_PER_S, FILES_PER_S, LEAST_S, UNKNOWN_S, limit_s
from planner.make import make_plan
from planner.model import FROZEN_MAX_S, NodeFacts, Options, Reach, Request, Usage
from planner.plan import Estimate
from tests.unit.conftest import Vzplan
from tests.worlds import CTID, NODES, WORLDS, asking, bundled

MIB = 1 << 20
PRIVATE = f"/vz/private/{CTID}"
COPY, HAND_OVER = WORLDS["a-online"], WORLDS["d2-online"]


def measured(
    request: Request,
    memory: int | None = 312 * MIB,
    recent: int | None = 4 * MIB,
    speed: int | None = 95 * MIB,
    files: int = 190_000,
) -> Request:
    """The same, with what its source measured."""
    source = request.source
    containers = tuple(
        structs.replace(c, resident_bytes=memory) if c.ctid == CTID else c for c in source.containers
    )
    usage = tuple(
        structs.replace(u, recent_bytes=recent, inodes=files) if u.path == PRIVATE else u
        for u in source.usage
    )
    reaches = tuple(structs.replace(r, bytes_per_s=speed) if r.peer == "hn2" else r for r in source.reaches)
    return structs.replace(
        request, source=structs.replace(source, containers=containers, usage=usage, reaches=reaches)
    )


def limit(request: Request) -> int | None:
    return make_plan(request).max_frozen_s


def test_memory_is_written_sent_and_taken_up_files_are_sent_and_looked_at() -> None:
    # 3 s for the steps, 2 x 312 / 100 for the disks, 316 / 95 for the link, 190,000 / 20,000 for the look
    assert make_plan(measured(COPY)).estimate == Estimate(312 * MIB, 4 * MIB, 190_000, 95 * MIB, 23)


def test_of_a_hand_over_only_memory_counts() -> None:
    # 3 + 6.24 + 312 / 95; its filesystem may be as large as it likes
    small, large = (
        make_plan(measured(HAND_OVER)),
        make_plan(measured(HAND_OVER, recent=1 << 50, files=1 << 40)),
    )
    assert small.estimate == large.estimate == Estimate(312 * MIB, 0, 0, 95 * MIB, 13)


def test_memory_that_goes_by_its_own_device_is_not_sent() -> None:
    for speed in (1, None, 95 * MIB):
        guess = make_plan(measured(WORLDS["d2-online-by-device"], speed=speed)).estimate
        assert guess == Estimate(312 * MIB, 0, 0, 0, 10)


@pytest.mark.parametrize(("files", "seconds"), [(FILES_PER_S, 7), (FILES_PER_S * 1001 // 1000, 8)])
def test_what_is_begun_of_a_second_counts_as_one(files: int, seconds: int) -> None:
    # 3 s for the steps, 2 for the disks, 1 for the link, and 1 for the look or one thousandth more
    guess = make_plan(
        measured(COPY, memory=DISK_BYTES_PER_S, recent=0, speed=DISK_BYTES_PER_S, files=files)
    ).estimate
    assert guess is not None
    assert guess.frozen_s == seconds


def test_what_is_refused_has_no_estimate() -> None:
    plan = make_plan(asking(COPY, nodeps=(), dst_shared=True))
    assert (plan.runnable, plan.estimate, plan.max_frozen_s) == (False, None, None)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (measured(COPY, memory=None), "? MiB of memory, 4 MiB written in the last 10 minutes"),
        (measured(COPY, recent=None), "312 MiB of memory, ? MiB written in the last 10 minutes"),
        (measured(COPY, speed=None), "190,000 files to look at, ? MiB/s to hn2 (?: not known)"),
        (measured(HAND_OVER, speed=None), "none: 312 MiB of memory, ? MiB/s to hn2 (?: not known)"),
    ],
    ids=["memory", "recent", "speed", "speed-of-a-hand-over"],
)
def test_what_is_not_known_makes_no_estimate_and_is_said(request_: Request, said: str) -> None:
    plan = make_plan(request_)
    assert plan.estimate is not None
    assert plan.estimate.frozen_s is None
    assert plan.max_frozen_s == UNKNOWN_S
    text = plan_text(plan)
    assert said in text
    assert "estimate  none: " in text
    assert "everything is taken back (as long as vzplan itself is at work, " in text
    assert "and not before its memory is written down; there is no estimate)" in text


def test_a_hand_over_needs_no_count_of_files() -> None:
    source = structs.replace(measured(HAND_OVER).source, usage=())
    plan = make_plan(structs.replace(HAND_OVER, source=source))
    assert plan.estimate == Estimate(312 * MIB, 0, 0, 95 * MIB, 13)


def test_what_was_measured_of_others_is_not_taken() -> None:
    source = structs.replace(
        COPY.source,
        usage=(Usage("/vz/private/101", 1, 1, 1), *COPY.source.usage),
        reaches=(Reach("hn3", COPY.source.reaches[0].reached, 1), *COPY.source.reaches),
    )
    request = structs.replace(COPY, source=source)
    assert make_plan(request).estimate == make_plan(COPY).estimate
    nothing = measured(request, memory=None, recent=None, speed=None)
    assert make_plan(nothing).estimate == Estimate(None, None, 190_000, None, None)


@pytest.mark.parametrize(
    ("words", "speed"),
    [
        (("--bwlimit=1024",), MIB),
        (("--bwlimit=1024", "-z", "--bwlimit=2048"), 2 * MIB),
        (("--bwlimit=999999999",), 95 * MIB),
        (("--bwlimit=0",), 95 * MIB),
        (("--bwlimit=1.5m",), None),
        (("--bwlimit=",), None),
        (("--bwlimit=\u0663",), None),
    ],
)
def test_it_is_sent_no_faster_than_the_operator_lets_rsync(words: tuple[str, ...], speed: int | None) -> None:
    plan = make_plan(asking(measured(COPY), rsync=words))
    assert plan.estimate is not None
    assert plan.estimate.link_bytes_per_s == speed
    nothing = make_plan(asking(measured(COPY, speed=None), rsync=words)).estimate
    assert nothing is not None
    assert nothing.link_bytes_per_s is None


def test_whatever_a_file_of_facts_says_there_is_a_plan() -> None:
    for size in (2**63 - 1, 0, -(2**63)):
        plan = make_plan(measured(COPY, recent=size, speed=2**62))
        assert "estimate  frozen for about " in plan_text(plan)
        assert plan.max_frozen_s is not None
        assert LEAST_S <= plan.max_frozen_s <= FROZEN_MAX_S


def test_it_may_take_five_times_as_long_a_minute_at_least_and_no_limit_is_absurd() -> None:
    assert limit(measured(COPY)) == 5 * 23
    assert limit(measured(COPY, memory=0, recent=0, files=1)) == LEAST_S
    assert limit(measured(COPY, speed=1)) == FROZEN_MAX_S


def test_what_was_asked_for_is_the_limit() -> None:
    assert limit_s(7, None) == limit_s(7, Estimate(0, 0, 0, 0, 23)) == 7


def test_the_limit_that_was_asked_for_is_shown() -> None:
    for base in (measured(COPY), COPY, bundled("shared")):
        plan = make_plan(asking(base, max_frozen_s=7))
        assert plan.max_frozen_s == 7
        assert "down for more than 7 s" in plan_text(plan)
        assert "; --max-frozen)" in plan_text(plan)


@pytest.mark.parametrize("world", [w for w in WORLDS if "online" not in w and "staged" not in w])
def test_who_does_not_keep_its_memory_while_it_runs_has_neither(world: str) -> None:
    plan = make_plan(measured(WORLDS[world]))
    assert (plan.estimate, plan.max_frozen_s) == (None, None)
    assert "estimate" not in plan_text(plan)


def test_show_says_how_long_by_what_and_where_the_limit_comes_from() -> None:
    lines = plan_text(make_plan(measured(COPY))).splitlines()
    assert lines[2] == (
        "estimate  frozen for about 23 s: 312 MiB of memory, 4 MiB written in the last 10 minutes, "
        "190,000 files to look at, 95 MiB/s to hn2"
    )
    assert lines[3] == (
        "down for more than 115 s before the pivot: everything is taken back "
        "(as long as vzplan itself is at work, and not before its memory is written down; "
        "5 times the estimate, 60 s at least)"
    )
    lines = plan_text(make_plan(measured(HAND_OVER))).splitlines()
    assert lines[2] == "estimate  frozen for about 13 s: 312 MiB of memory, 95 MiB/s to hn2"


@pytest.mark.parametrize("request_", [COPY, HAND_OVER], ids=["copy", "hand-over"])
def test_a_plan_is_the_same_whatever_is_measured(request_: Request) -> None:
    before, after = make_plan(measured(request_)), make_plan(measured(request_, 1 << 30, 1 << 40, MIB))
    assert before.max_frozen_s != after.max_frozen_s
    unknown = make_plan(measured(request_, None, None, None))
    assert before.digest == after.digest == unknown.digest
    assert difference(before, after) == ""


class Asked:
    """A site that remembers what its nodes were asked."""

    def __init__(self, site: SimulatedSite) -> None:
        """Of nothing yet."""
        self.site = site
        self.asks: dict[str, Ask] = {}

    def facts(self, *names: str, asks: Mapping[str, Ask] | None = None) -> dict[str, NodeFacts]:
        self.asks |= asks or {}
        return self.site.facts(*names)


@pytest.mark.parametrize("online", [True, False])
def test_it_is_measured_once_and_only_for_who_keeps_its_memory(online: bool) -> None:
    site = Asked(SimulatedSite(NODES / "shared"))
    asked = bundled("shared", Options(online=online)).asked
    request = control.look(asked, site)  # type: ignore[arg-type]
    assert {name: ask.estimated for name, ask in site.asks.items()} == {"hn1": online, "hn2": False}
    control.look(asked, site, request)  # type: ignore[arg-type]
    assert not any(ask.estimated for ask in site.asks.values())


def test_a_later_look_keeps_what_was_measured() -> None:
    before = measured(COPY)
    site = Asked(SimulatedSite(NODES / "shared"))
    again = control.look(before.asked, site, before)  # type: ignore[arg-type]
    assert again.source.usage == before.source.usage
    assert again.source.reaches == before.source.reaches


def test_recorded_nodes_tell_what_was_measured_when_they_were_recorded(
    vzplan: Vzplan, tmp_path: Path
) -> None:
    request = measured(COPY)
    for facts in (request.source, request.destination):
        write_facts(tmp_path / "recorded", facts)
    show = ("show", CTID, "hn2", "--online", "--simulate", tmp_path / "recorded", "--no-verify")
    assert "estimate  frozen for about 23 s" in vzplan(*show)[1]
    assert vzplan(*show)[1] == vzplan(*show)[1]
