"""A journal made anew from the nodes' logs: what may have happened counts as happened, and nothing is undone twice."""

from __future__ import annotations

import pytest
from msgspec import structs

from executor import brief
from executor.brief import BriefError, packed, unpacked
from planner.adopt import adopted, line, outrun, robbed, shows_it
from planner.make import make_plan
from planner.model import Options, Request
from planner.plan import Adopted, Began, Command, Compensation, Entry, Opened, Plan, What
from tests.worlds import WORLDS, bundled

PLAN = make_plan(WORLDS["a-running"])
STOPPED = make_plan(WORLDS["d2-stopped"])


def do(step_id: str, plan: Plan = PLAN) -> Command:
    return next(step.do for step in plan.steps if step.id == step_id)


def undo(step_id: str, plan: Plan = PLAN) -> Command:
    found = next(step.undo for step in plan.steps if step.id == step_id)
    assert isinstance(found, Compensation)
    return found.do


def log(*commands: Command | tuple[Command, int]) -> tuple[str, ...]:
    """What a node writes down of these: each with what it ended with, 0 if nothing is said."""
    lines: list[str] = []
    for each in commands:
        command, status = each if isinstance(each, tuple) else (each, 0)
        lines += [line(command), f"ended {command.argv[0]} {status}"]
    return tuple(lines)


def from_hn1(*commands: Command | tuple[Command, int], plan: Plan = PLAN) -> Adopted:
    """Adopted where hn1 was given these commands and hn2 nothing but its record."""
    own = do("own-hn1"), do("own-hn2")
    return adopted(plan, "hn1", {"hn1": log(own[0], *commands), "hn2": log(own[1])}, 3)


def test_what_a_log_begins_counts_as_happened_however_it_ended() -> None:
    entry = from_hn1(do("note-state"), (do("fence"), 1))
    assert entry.begun == ("own-hn1", "own-hn2", "note-state", "fence")
    assert entry.undone == ()
    assert (entry.node, entry.generation, entry.gone) == ("hn1", 3, ())


def test_the_same_words_on_the_other_node_are_another_command() -> None:
    assert "lock-hn2" not in from_hn1(do("lock-hn1")).begun


def test_on_a_node_that_cannot_be_asked_everything_up_to_the_pivot_may_have_happened() -> None:
    entry = adopted(PLAN, "hn1", {"hn1": log(do("own-hn1")), "hn2": None}, 1)
    there = [step.id for step in PLAN.steps[: PLAN.pivot + 1] if step.do.node == "hn2"]
    assert [step for step in entry.begun if step != "own-hn1"] == there
    assert "bring-up" in entry.begun
    assert "allow-start" not in entry.begun
    assert entry.undone == ()
    assert entry.gone == ()
    assert [name for name, _ in entry.logged] == ["hn1"]


def test_a_node_that_knows_nothing_is_gone_and_may_still_have_its_record_back_after_a_power_cut() -> None:
    entry = adopted(PLAN, "hn1", {"hn1": log(do("own-hn1"))}, 1)
    assert entry.gone == ("hn2",)
    assert entry.begun == ("own-hn1", "own-hn2")


def given(node: str, *but: str, until: str = "bring-up") -> tuple[Command, ...]:
    """What a node is given up to a step and with it; ``but``: without these."""
    ids = [step.id for step in PLAN.steps]
    steps = PLAN.steps[: ids.index(until) + 1]
    return tuple(step.do for step in steps if step.do.node == node and step.id not in but)


def undone(node: str, until: str) -> tuple[Command, ...]:
    """And all of that is taken back."""
    ids = [step.id for step in PLAN.steps]
    steps = PLAN.steps[ids.index(until) :: -1]
    undos = [step.undo.do for step in steps if isinstance(step.undo, Compensation)]
    return tuple(command for command in undos if command.node == node and command.argv[0] != "disown")


@pytest.mark.parametrize(
    ("logs", "lost"),
    [
        ({"hn1": given("hn1")}, "hn2"),
        ({"hn1": given("hn1", until="stop")}, "hn2"),
        ({"hn1": (*given("hn1", until="stop"), *undone("hn1", "stop")[:1])}, "hn2"),
        ({"hn1": (*given("hn1", until="stop"), *undone("hn1", "stop"))}, None),
        ({"hn1": given("hn1", until="note-state")}, None),  # nothing was begun there but the record
        ({"hn2": given("hn2", until="stage-config")}, "hn1"),
        ({"hn2": given("hn2")}, "hn1"),
        ({"hn2": given("hn2", until="ensure-up")}, "hn1"),
        ({"hn2": (*given("hn2"), *undone("hn2", "bring-up"))}, None),
        ({"hn2": given("hn2", until="disown-hn1")}, None),
        ({"hn1": given("hn1"), "hn2": given("hn2")}, None),
    ],
)
def test_a_node_that_knows_nothing_and_cannot_have_given_the_run_up_was_robbed_of_it(
    logs: dict[str, tuple[Command, ...]], lost: str | None
) -> None:
    assert robbed(PLAN, {node: log(*commands) for node, commands in logs.items()}) == lost


def test_a_log_that_is_lost_tells_nothing_of_the_other_node() -> None:
    assert robbed(PLAN, {"hn1": None}) == "hn2"
    assert robbed(PLAN, {}) is None


def test_a_source_that_knows_nothing_has_the_container_still_if_its_config_is_there_and_no_pivot_was_seen() -> (
    None
):
    before = WORLDS["a-running"].source
    staged = {"hn2": log(*given("hn2", until="copy-last"))}
    assert shows_it(PLAN, staged, "hn1", before)
    assert not shows_it(PLAN, {"hn2": log(*given("hn2"))}, "hn1", before)
    assert not shows_it(PLAN, {"hn2": None}, "hn1", before)
    assert not shows_it(PLAN, staged, "hn1", structs.replace(before, containers=()))


def test_a_destination_that_knows_nothing_has_nothing_to_be_feared_if_no_such_container_is_there() -> None:
    logs, world = {"hn1": log(*given("hn1"))}, WORLDS["a-running"]
    assert shows_it(PLAN, logs, "hn2", world.destination)
    there = structs.replace(world.destination, containers=world.source.containers)
    assert not shows_it(PLAN, logs, "hn2", there)


def test_a_destination_that_knows_nothing_may_have_its_disk_mounted() -> None:
    world = WORLDS["d2-running"]
    plan, free = make_plan(world), world.destination
    (place,) = (step.do.argv[3] for step in plan.steps if step.id == "mount-destination")
    held = structs.replace(free, mounts=(structs.replace(free.mounts[0], point=place),))
    assert shows_it(plan, {"hn1": ()}, "hn2", free)
    assert not shows_it(plan, {"hn1": ()}, "hn2", held)


def test_a_folder_without_a_record_of_the_run_is_not_knowing_anything_of_it() -> None:
    entry = adopted(PLAN, "hn1", {"hn1": log(do("own-hn1")), "hn2": log(do("stage-config"))}, 1)
    assert entry.gone == ("hn2",)
    assert "stage-config" not in entry.begun
    assert entry.logged == (("hn1", 1), ("hn2", 1))


def test_how_many_commands_each_node_was_given_is_kept() -> None:
    assert from_hn1(do("note-state"), (do("fence"), 1)).logged == (("hn1", 3), ("hn2", 1))


@pytest.mark.parametrize(
    ("said", "back"),
    [
        ([undo("fence")], True),
        ([(undo("fence"), 1)], False),
        ([(undo("fence"), 1), undo("fence")], True),
        ([undo("fence"), (undo("fence"), 1)], False),
    ],
    ids=["worked", "failed", "worked at last", "failed at last"],
)
def test_what_was_taken_back_last_with_success_is_not_taken_back_again(
    said: list[Command | tuple[Command, int]], back: bool
) -> None:
    entry = from_hn1(do("fence"), *said)
    assert "fence" in entry.begun
    assert ("fence" in entry.undone) is back


def test_an_undo_that_never_ended_is_done_once_more() -> None:
    logs = {"hn1": (*log(do("own-hn1"), do("fence")), line(undo("fence"))), "hn2": log(do("own-hn2"))}
    assert adopted(PLAN, "hn1", logs, 1).undone == ()


def test_what_made_sure_of_the_state_of_before_is_done_again_since_a_boot_takes_it_away() -> None:
    entry = from_hn1(do("note-state"), undo("note-state"))
    assert "note-state" in entry.begun
    assert entry.undone == ()


def test_an_undo_that_is_named_like_what_is_done_later_tells_nothing() -> None:
    assert from_hn1(do("lock-hn1"), undo("lock-hn1")).undone == ()  # unlock-hn1 is the same command


def test_such_an_undo_has_worked_if_it_holds_data_and_the_undo_of_something_before_it_has_begun() -> None:
    # Its release is a step, too; what it lies on is removed after it on the way back, and would not without it.
    plan = make_plan(WORLDS["b-stopped"])
    steps = ("own-hn2", "make-private", "mount-destination")
    mounted = (*(do(step, plan) for step in steps), undo("mount-destination", plan))
    logs = {"hn1": log(do("own-hn1", plan)), "hn2": log(*mounted)}
    assert adopted(plan, "hn1", logs, 1).undone == ()
    logs["hn2"] = log(*mounted, (undo("make-private", plan), 1))
    assert adopted(plan, "hn1", logs, 1).undone == ("mount-destination",)
    locked = (do("lock-hn1", STOPPED), do("fence", STOPPED))
    entry = from_hn1(*locked, undo("fence", STOPPED), plan=STOPPED)
    assert entry.undone == ("fence",), "a lock holds no data, and may be held still"


def test_a_node_that_was_given_more_than_the_journal_knows_has_outrun_it() -> None:
    known: list[Entry] = [Began(What.DO, "own-hn1"), Began(What.DO, "note-state"), Began(What.SETTLE, "hn1")]
    own, note = do("own-hn1"), do("note-state")
    assert outrun(PLAN, known, {"hn1": log(own, note)}) is None
    assert outrun(PLAN, known, {"hn1": log(own)}) is None
    assert outrun(PLAN, known, {"hn1": log(own, note, note)}) == ("hn1", (line(note),))
    assert outrun(PLAN, known, {"hn1": None, "hn2": log(do("own-hn2"))}) == (
        "hn2",
        (line(do("own-hn2")),),
    )


def test_undos_and_questions_count_where_they_went() -> None:
    known: list[Entry] = [Began(What.DO, "own-hn1"), Began(What.UNDO, "fence"), Began(What.PROBE, "bring-up")]
    probe = next(step.probe for step in PLAN.steps if step.id == "bring-up")
    assert probe is not None
    on = {"hn1": log(do("own-hn1"), undo("fence")), "hn2": log((probe.do, 10))}
    assert outrun(PLAN, known, on) is None
    assert outrun(PLAN, known[:2], on) == ("hn2", (line(probe.do),))


def test_what_was_written_down_and_never_got_there_makes_up_for_nothing_else() -> None:
    own, root, stop = do("own-hn1"), do("make-root"), do("stop")
    tried = [Began(What.DO, at) for at in ("own-hn1", "own-hn1", "make-root", "make-root")]
    on = {"hn1": log(own), "hn2": log(root)}
    assert outrun(PLAN, tried, on) is None
    assert outrun(PLAN, tried, on | {"hn1": log(own, stop)}) == ("hn1", (line(stop),))


def test_what_the_logs_said_when_the_run_was_adopted_is_known() -> None:
    known: list[Entry] = [Adopted("hn1", ("own-hn1",), (), 1, (("hn1", 2),)), Began(What.UNDO, "fence")]
    commands = (do("own-hn1"), do("fence"), undo("fence"))
    assert outrun(PLAN, known, {"hn1": log(*commands)}) is None
    assert outrun(PLAN, known, {"hn1": log(*commands, undo("fence"))}) == ("hn1", (line(undo("fence")),))


def test_a_line_of_the_log_is_one_line() -> None:
    assert line(Command("hn1", ("own", "123\n4 "), "", 60)) == "began own 123 4"


# --- of a hand-over, whose logs both nodes have whole

LOGS = {
    node: tuple(line(step.do) for step in STOPPED.steps if step.do.node == node) for node in STOPPED.nodes
}
ADOPTED: list[Entry] = [Opened("run", STOPPED), adopted(STOPPED, "hn1", LOGS, 1)]


def test_a_journal_made_of_the_logs_knows_all_that_is_in_them() -> None:
    assert outrun(STOPPED, ADOPTED, LOGS) is None


def test_one_command_more_in_a_log_is_more_than_the_journal_knows() -> None:
    more = "began disown 123"
    assert outrun(STOPPED, ADOPTED, LOGS | {"hn2": (*LOGS["hn2"], more)}) == ("hn2", (more,))


def test_a_node_that_has_forgotten_the_run_since_its_adoption_was_not_told_to_by_this_journal() -> None:
    assert outrun(STOPPED, ADOPTED, LOGS | {"hn1": ()}) == ("hn1", ())


def test_a_node_that_is_not_asked_says_nothing() -> None:
    assert outrun(STOPPED, ADOPTED, {"hn2": LOGS["hn2"], "hn1": None}) is None
    assert outrun(STOPPED, ADOPTED, {"hn2": LOGS["hn2"]}) is None


def test_a_node_that_this_journal_has_given_up_may_have_forgotten_the_run() -> None:
    forgets = next(step for step in STOPPED.steps if step.forgets and step.do.node == "hn1")
    assert outrun(STOPPED, [*ADOPTED, Began(What.DO, forgets.id)], LOGS | {"hn1": ()}) is None
    assert outrun(STOPPED, [*ADOPTED, Began(What.UNDO, "own-hn1")], LOGS | {"hn1": ()}) is None


def test_a_journal_that_was_not_adopted_may_be_ahead_of_a_node_that_knows_nothing() -> None:
    entries: list[Entry] = [Opened("run", STOPPED), Began(What.DO, "own-hn1")]
    assert outrun(STOPPED, entries, {"hn1": ()}) is None


# --- what the nodes keep of the request


def named(node: str) -> Request:
    """The destination is called like that."""
    request = WORLDS["a-running"]
    return Request(
        structs.replace(request.asked, destination=node),
        structs.replace(request.source, reaches=(structs.replace(request.source.reaches[0], peer=node),)),
        structs.replace(request.destination, node=node),
    )


def test_what_a_node_keeps_leads_to_the_plan_that_was_agreed_to() -> None:
    assert unpacked(packed(WORLDS["a-running"], PLAN, "1"), "hn1") == PLAN


@pytest.mark.parametrize(
    "request_",
    [bundled("shared", Options(dst_device="/dev/nope")), named("-oProxyCommand=x")],
    ids=["no such device", "an option of ssh"],
)
def test_what_can_never_have_been_applied_is_not_adopted(request_: Request) -> None:
    plan = make_plan(request_)
    assert plan.runnable == (plan.nodes != PLAN.nodes), "one reason each"
    text = packed(request_, plan, "1")
    with pytest.raises(BriefError, match="no plan that can have been applied; ask the other node"):
        unpacked(text, "hn1")


def test_what_is_too_large_to_be_of_vzplan_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    text = packed(WORLDS["a-running"], PLAN, "1")
    monkeypatch.setattr(brief, "LIMIT_BYTES", len(text))  # unpacked it is some times as long
    with pytest.raises(BriefError, match="too large"):
        unpacked(text, "hn1")
