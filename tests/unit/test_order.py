"""Rule 8 and its like: what stands before what, in the plan of every way and state."""

from __future__ import annotations

import pytest

from planner.plan import Compensation, Plan, Step, Zone
from planner.verbs import NOT_STAGED
from tests.worlds import WORLDS, is_down, plan_of

HANDED_OVER = [world for world in WORLDS if world.startswith("d2-")]
COPIED = [world for world in WORLDS if world not in HANDED_OVER]
UP = [world for world in WORLDS if not is_down(world)]


def place(plan: Plan, verb: str, node: str | None = None) -> int:
    """Where a verb stands, for the first time."""
    return next(
        n for n, step in enumerate(plan.steps) if step.do.argv[0] == verb and node in (None, step.do.node)
    )


def taken_down_by(world: str) -> tuple[str, ...]:
    if "staged" in world:
        return ("freeze-container", "dump-container")
    return ("suspend-container",) if "online" in world else ("stop-container",)


def hiding(plan: Plan) -> int:
    return next(n for n, step in enumerate(plan.steps) if step.id == "hide-config")


def verbs(steps: tuple[Step, ...]) -> list[str]:
    return [step.do.argv[0] for step in steps]


@pytest.mark.parametrize("world", HANDED_OVER)
def test_release_is_proved_after_the_config_is_hidden_and_nothing_stands_between_that_and_the_mount(
    world: str,
) -> None:
    plan = plan_of(world)
    hidden = hiding(plan)
    assert place(plan, "release-device", "hn1") < hidden
    follow = plan.steps[hidden + 1 : hidden + 4]
    assert verbs(follow[:2]) == ["prove-released", "prove-released"]
    assert [step.do.node for step in follow[:2]] == ["hn1", "hn2"]
    if world in UP:
        assert verbs(follow)[2] == "mount-device"
        assert follow[2].do.argv[-1] == "clean"
    assert all(step.do.argv[0] != "mount-device" for step in plan.steps[:hidden] if step.do.node == "hn2")


@pytest.mark.parametrize("world", HANDED_OVER)
def test_the_challenge_is_seen_before_anything_is_mounted_at_the_destination(world: str) -> None:
    plan = plan_of(world)
    seen = place(plan, "see-mounted", "hn2")
    assert seen < place(plan, "prove-released", "hn2")
    if world in UP:
        assert seen < place(plan, taken_down_by(world)[0])
    else:
        assert place(plan, "note-superblock", "hn2") < place(plan, "mount-device", "hn1") < seen
        assert seen < place(plan, "release-device", "hn1")


@pytest.mark.parametrize("world", WORLDS)
def test_locks_guards_and_fence_come_before_anything_goes_down(world: str) -> None:
    plan = plan_of(world)
    freeze = tuple(step for step in plan.steps if step.zone is Zone.FREEZE)
    assert verbs(freeze)[:5] == ["hold-lock", "hold-lock", "guard-source", "guard-destination", "fence"]
    assert verbs(freeze)[5:] == (list(taken_down_by(world)) if world in UP else [])
    assert [step.do.node for step in freeze[:4]] == ["hn1", "hn2", "hn1", "hn2"]


@pytest.mark.parametrize("world", WORLDS)
def test_owners_come_first_and_the_records_go_last(world: str) -> None:
    plan = plan_of(world)
    assert verbs(plan.steps[:3]) == ["own", "own", "note-state"]
    assert verbs(plan.steps[-2:]) == ["disown", "disown"]
    for step in plan.steps[:2]:
        assert isinstance(step.undo, Compensation)
        assert step.undo.forgets
    assert all(step.forgets for step in plan.steps[-2:])


@pytest.mark.parametrize("world", WORLDS)
def test_the_destination_is_made_sure_of_before_anything_of_the_source_goes(world: str) -> None:
    plan = plan_of(world)
    retire = plan.steps[plan.pivot + 1 :]
    ensures = [step.id for step in retire if step.ensures]
    void = ["name-config", "ensure-memory", "void-dump"] if "online" in world else []
    assert ensures == [*void, "allow-start", *(["ensure-up"] if world in UP else [])]
    assert [step.id for step in retire[: len(ensures)]] == ensures


@pytest.mark.parametrize("world", COPIED)
def test_the_last_copy_is_made_while_the_container_is_down_and_fenced_and_before_its_config_goes(
    world: str,
) -> None:
    plan = plan_of(world)
    last = next(n for n, step in enumerate(plan.steps) if step.id == "copy-last")
    assert place(plan, "fence") < last < hiding(plan)
    assert (plan.steps[hiding(plan)].zone is Zone.RETIRE) is ("staged" in world)
    if world in UP:
        assert place(plan, taken_down_by(world)[-1]) < last
    # What stands still is mounted yet.
    if plan.way in ("c", "d1") and "staged" not in world:
        mounts = [
            n for n, s in enumerate(plan.steps) if s.do.argv[0] == "mount-device" and s.do.node == "hn1"
        ]
        assert mounts
        assert mounts[-1] == last - 1


STILL = [world for world in COPIED if "staged" in world]


@pytest.mark.parametrize("world", WORLDS)
def test_before_the_pivot_the_config_has_a_name_that_vzctl_does_not_read(world: str) -> None:
    """So nobody starts it at the destination, be it by force; only what is undumped needs its config there."""
    plan = plan_of(world)
    # It is given its name by verbs that say which was staged, and by nothing else, and nothing else is at its place.
    naming = [
        (n, step)
        for n, step in enumerate(plan.steps)
        if step.do.node == "hn2"
        and step.do.argv[0] != "make-file"
        and any(word.startswith("/etc/vz/conf/123.conf") for word in step.do.argv)
    ]
    first, step = naming[0]
    assert step.do.argv[0] in ("name-config", "enable-container", "bring-up")
    assert step.do.argv[-1] == "/etc/vz/conf/123.conf.vzplan"
    made = [step.do.argv[1] for step in plan.steps if step.do.argv[0] == "make-file"]
    assert "/etc/vz/conf/123.conf" not in made
    if "staged" in world:
        assert step.id == "name-config"
        assert plan.steps[first + 1].id == "undump"
        assert plan.steps[plan.pivot].do.argv[-1] == NOT_STAGED
    else:
        assert first == plan.pivot
    assert first > hiding(plan) or world in STILL


@pytest.mark.parametrize("world", STILL)
def test_what_stands_still_at_the_source_is_ended_once_it_runs_at_the_destination(world: str) -> None:
    plan = plan_of(world)
    ids = [step.id for step in plan.steps]
    order = ["fence", "freeze", "dump", "copy-last", "copy-dump", "name-config", "undump", "bring-up"]
    order += ["allow-start", "ensure-up", "kill", "hide-config"]
    assert [i for i in ids if i in order] == order
    assert plan.steps[plan.pivot].id == "bring-up"
    # Till then its config, by which it can be let go on, is fenced, and no other's name is given to it.
    assert plan.steps[ids.index("kill")].do.argv[-2:] == ("chkpnt", "-")


@pytest.mark.parametrize("world", [world for world in HANDED_OVER if "staged" in world])
def test_what_stands_still_is_ended_for_a_hand_over_once_its_memory_is_safe(world: str) -> None:
    plan = plan_of(world)
    ids = [step.id for step in plan.steps]
    carried = "by-device" in world
    order = ["freeze", "dump", *([] if carried else ["copy-dump"]), "kill"]
    order += [*(["release-dump-source"] if carried else []), "release-source", "hide-config"]
    order += ["mount-destination", *(["mount-dump-destination"] if carried else []), "undump", "bring-up"]
    assert [i for i in ids if i in {*order, "copy-dump"}] == order
    kill = plan.steps[ids.index("kill")]
    assert kill.do.argv[-2:] == ("chkpnt", plan.steps[ids.index("dump")].do.argv[-1])
    assert isinstance(kill.undo, Compensation)
    assert kill.undo.blocking
