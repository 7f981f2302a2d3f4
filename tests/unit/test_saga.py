"""The saga's rules, each on the smallest plan that shows it. A journal in, the next move out."""

from __future__ import annotations

from copy import deepcopy

import pytest
from msgspec import structs

from planner.findings import error
from planner.model import Asked
from planner.plan import (
    PLAN_VERSION,
    Adopted,
    Began,
    Command,
    Compensation,
    Ended,
    Entry,
    Exited,
    Lost,
    NodeOff,
    NothingToUndo,
    Outcome,
    Plan,
    Probe,
    Restarted,
    Run,
    Step,
    Stop,
    Want,
    What,
    Wish,
    Zone,
)
from planner.saga import PATIENCE_S, PAUSES_S, Past, may_go_back, may_go_forward, next_move
from planner.verbs import HALF_UP, MEMORY_LOST, NO, NOT_UP, TAKEN_OVER, UNFIT, UNPROVED, YES

OK = Exited(0)
FAILED = Exited(1, err="it broke")
LOST = Lost("connection closed")


def command(node: str, verb: str = "own", *operands: str) -> Command:
    return Command(node, (verb, *(operands or ("123",))), "", 60)


def step(
    name: str,
    node: str,
    zone: Zone,
    *,
    must: bool | None = False,
    probe: bool = False,
    ensures: bool = False,
    forgets: bool = False,
) -> Step:
    undo = (
        NothingToUndo("looks only")
        if must is None
        else Compensation(f"undo {name}", command(node, "disown"), must)
    )
    asked = Probe(command(node, "probe-pivot", "123", "/vz/root/123")) if probe else None
    return Step(name, name, zone, command(node), undo, asked, ensures, forgets)


def plan(*steps: Step) -> Plan:
    settle = tuple(Command(node, ("settle",), "", 60) for node in ("src", "dst"))
    return Plan(PLAN_VERSION, Asked(123, "src", "dst"), (), "a", "", "", steps, settle, None, None, (), "")


PLAN = plan(
    step("own", "src", Zone.PREPARE),
    step("stop", "src", Zone.FREEZE, must=True),
    step("look", "src", Zone.TRANSFER, must=None),
    step("mount", "dst", Zone.TRANSFER, must=True),
    step("start", "dst", Zone.PIVOT, must=True, probe=True),
    step("ensure", "dst", Zone.RETIRE, must=None, ensures=True),
    step("tidy", "src", Zone.RETIRE, must=None),
)


def move(*entries: Entry) -> Run | Stop:
    past = Past(PLAN)
    for entry in entries:
        past.note(entry)
    return next_move(PLAN, past)


def ran(what: What, at: str, outcome: Exited | Lost = OK, times: int = 1) -> list[Entry]:
    return [entry for _ in range(times) for entry in (Began(what, at), Ended(what, at, outcome))]


def done(*steps: str) -> list[Entry]:
    return [entry for name in steps for entry in ran(What.DO, name)]


def expect(found: Run | Stop, what: What, at: str) -> Run:
    assert isinstance(found, Run), found
    assert (found.what, found.at) == (what, at)
    return found


def stopped(found: Run | Stop, outcome: Outcome) -> Stop:
    assert isinstance(found, Stop), found
    assert found.outcome is outcome, found
    return found


def test_it_begins_with_the_first_step_and_goes_on_in_order() -> None:
    expect(move(), What.DO, "own")
    expect(move(*done("own")), What.DO, "stop")


def test_all_done_is_migrated() -> None:
    everything = done("own", "stop", "look", "mount", "start", "ensure", "tidy")
    stopped(move(*everything), Outcome.MIGRATED)
    stopped(move(*everything, Restarted()), Outcome.MIGRATED)  # recovering it again does nothing


def test_memory_that_was_lost_is_told_however_it_ends() -> None:
    said = f"vzctl's words\ncontainer 123 was started anew: {MEMORY_LOST}\n"
    taken_back = [*done("own"), *ran(What.DO, "stop", FAILED), Began(What.UNDO, "stop")]
    lost = [*taken_back, Ended(What.UNDO, "stop", Exited(0, "", said))]
    expect(move(*lost), What.UNDO, "own")
    lost += ran(What.UNDO, "own")
    end = stopped(move(*lost), Outcome.UNWOUND)
    assert "it broke" in end.because
    assert end.because.splitlines()[-1] == f"src: container 123 was started anew: {MEMORY_LOST}"
    kept = [*taken_back, Ended(What.UNDO, "stop", Exited(0, "", "")), *ran(What.UNDO, "own")]
    assert MEMORY_LOST not in stopped(move(*kept), Outcome.UNWOUND).because


def test_a_failed_step_is_taken_back_itself_then_those_before_it() -> None:
    failed = [*done("own"), *ran(What.DO, "stop", FAILED)]
    expect(move(*failed), What.UNDO, "stop")
    expect(move(*failed, *ran(What.UNDO, "stop")), What.UNDO, "own")
    end = stopped(move(*failed, *ran(What.UNDO, "stop"), *ran(What.UNDO, "own")), Outcome.UNWOUND)
    assert "it broke" in end.because


def test_a_step_without_a_compensation_is_passed_over() -> None:
    expect(move(*done("own", "stop"), *ran(What.DO, "look", FAILED)), What.UNDO, "stop")


def test_nothing_goes_to_a_node_that_has_not_settled() -> None:
    lost = [*done("own"), *ran(What.DO, "stop", LOST)]
    expect(move(*lost), What.SETTLE, "src")
    expect(move(*lost, *ran(What.SETTLE, "src")), What.UNDO, "stop")


def test_a_node_that_has_settled_is_waited_for_anew_when_it_goes_away_again() -> None:
    almost = ran(What.SETTLE, "src", LOST, len(PATIENCE_S) - 1)
    back = [*done("own"), *ran(What.DO, "stop", LOST), *almost, *ran(What.SETTLE, "src")]
    again = [*back, *ran(What.UNDO, "stop", LOST), *almost]
    assert expect(move(*again), What.SETTLE, "src").after_s == PATIENCE_S[-1]
    stopped(move(*again, *ran(What.SETTLE, "src", LOST)), Outcome.IN_DOUBT)


def test_the_other_node_needs_no_settling() -> None:
    lost = [
        *done("own", "stop", "look"),
        *ran(What.DO, "mount", LOST),
        *ran(What.SETTLE, "dst"),
        *ran(What.UNDO, "mount"),
    ]
    expect(move(*lost), What.UNDO, "stop")


def test_a_node_that_cannot_settle_halts_a_blocking_undo() -> None:
    lost = [*done("own"), *ran(What.DO, "stop", LOST), *ran(What.SETTLE, "src", LOST, len(PATIENCE_S))]
    end = stopped(move(*lost), Outcome.IN_DOUBT)
    assert [c.argv[0] for c in end.left] == ["disown", "disown"]


def test_a_node_that_cannot_settle_does_not_halt_the_cleaning_up() -> None:
    lost = [*ran(What.DO, "own", LOST), *ran(What.SETTLE, "src", LOST, len(PATIENCE_S))]
    stopped(move(*lost), Outcome.UNWOUND_NOT_CLEANED)


def test_an_undo_is_tried_again_with_a_growing_pause() -> None:
    failed = [*done("own"), *ran(What.DO, "stop", FAILED)]
    pauses = [
        expect(move(*failed, *ran(What.UNDO, "stop", FAILED, n)), What.UNDO, "stop").after_s for n in range(3)
    ]
    assert pauses == list(PAUSES_S)


def test_an_unproved_blocking_undo_halts_everything_behind_it() -> None:
    failed = [*done("own"), *ran(What.DO, "stop", FAILED), *ran(What.UNDO, "stop", FAILED, len(PAUSES_S))]
    end = stopped(move(*failed), Outcome.IN_DOUBT)
    assert "it broke" in end.because


@pytest.mark.parametrize("status", [NOT_UP, HALF_UP])
def test_a_source_that_is_proved_not_to_come_up_is_down_not_in_doubt(status: int) -> None:
    not_up = Exited(status, err="vzctl: exit status 1")
    failed = [*done("own"), *ran(What.DO, "stop", FAILED), *ran(What.UNDO, "stop", not_up, len(PAUSES_S))]
    stopped(move(*failed), Outcome.DOWN)


def test_a_source_that_has_not_settled_since_is_in_doubt_whatever_it_said_before() -> None:
    # No run of today gets there; but what is at work there may start it, whatever led to that.
    said = ran(What.UNDO, "stop", Exited(NOT_UP), len(PAUSES_S))
    silent = [*done("own"), *ran(What.DO, "stop", FAILED), *said, *ran(What.SETTLE, "src", LOST)]
    stopped(move(*silent), Outcome.IN_DOUBT)
    stopped(move(*silent, *ran(What.SETTLE, "src")), Outcome.DOWN)


def test_a_destination_that_is_not_released_is_in_doubt_whatever_it_says() -> None:
    failed = [*done("own", "stop", "look"), *ran(What.DO, "mount", FAILED)]
    stopped(move(*failed, *ran(What.UNDO, "mount", Exited(NOT_UP), len(PAUSES_S))), Outcome.IN_DOUBT)


def test_leftovers_are_reported_not_swallowed() -> None:
    failed = [*ran(What.DO, "own", FAILED), *ran(What.UNDO, "own", FAILED, len(PAUSES_S))]
    end = stopped(move(*failed), Outcome.UNWOUND_NOT_CLEANED)
    assert end.left == (command("src", "disown"),)
    assert end.because == (
        "own on src: it broke; everything is as before, but some of it could not be cleaned up"
    )


BEFORE = done("own", "stop", "look", "mount")


def test_a_pivot_that_failed_is_asked_before_anything_is_taken_back() -> None:
    expect(move(*BEFORE, *ran(What.DO, "start", FAILED)), What.PROBE, "start")


def test_a_pivot_that_was_lost_is_settled_then_asked() -> None:
    lost = [*BEFORE, *ran(What.DO, "start", LOST)]
    expect(move(*lost), What.SETTLE, "dst")
    expect(move(*lost, *ran(What.SETTLE, "dst")), What.PROBE, "start")


def test_yes_goes_forward_and_a_proved_no_takes_the_pivot_back_first() -> None:
    asked = [*BEFORE, *ran(What.DO, "start", FAILED)]
    expect(move(*asked, *ran(What.PROBE, "start", Exited(YES))), What.DO, "ensure")
    expect(move(*asked, *ran(What.PROBE, "start", Exited(NO))), What.UNDO, "start")
    past = Past(PLAN)
    for entry in [*asked, *ran(What.PROBE, "start", Exited(YES))]:
        past.note(entry)
    assert past.done == {"own", "stop", "look", "mount", "start"}


@pytest.mark.parametrize("answer", [Exited(UNPROVED), Exited(1), Exited(0), Exited(137)])
def test_any_other_answer_is_no_answer(answer: Exited) -> None:
    asked = [*BEFORE, *ran(What.DO, "start", FAILED), *ran(What.PROBE, "start", answer, len(PAUSES_S))]
    doubt = stopped(move(*asked), Outcome.IN_DOUBT)
    said = "not known whether 'start' took effect on dst; nothing is started anywhere until it is"
    assert (doubt.because, doubt.left) == (said, (command("dst", "probe-pivot", "123", "/vz/root/123"),))


def test_after_the_pivot_a_failure_is_repeated_never_undone() -> None:
    passed = [*BEFORE, *done("start", "ensure")]
    expect(move(*passed, *ran(What.DO, "tidy", FAILED)), What.DO, "tidy")
    expect(move(*passed, *ran(What.DO, "tidy", LOST)), What.SETTLE, "src")
    end = stopped(move(*passed, *ran(What.DO, "tidy", FAILED, len(PAUSES_S))), Outcome.MIGRATED_NOT_CLEANED)
    assert end.left == (command("src"),)
    assert end.because == "'tidy' on src: it broke"
    silent = [*ran(What.DO, "tidy", LOST), *ran(What.SETTLE, "src", LOST, len(PATIENCE_S))]
    assert stopped(move(*passed, *silent), Outcome.MIGRATED_NOT_CLEANED).because == (
        "'tidy' on src: no answer (connection closed)"
    )


def test_migrated_is_not_claimed_before_the_destination_is_ensured() -> None:
    ensuring = plan(
        step("own", "src", Zone.PREPARE),
        step("start", "dst", Zone.PIVOT, must=True, probe=True),
        step("allow", "dst", Zone.RETIRE, must=None, ensures=True),
        step("tidy", "src", Zone.RETIRE, must=None),
        step("ensure", "dst", Zone.RETIRE, must=None, ensures=True),
        step("forget", "src", Zone.RETIRE, must=None, forgets=True),
    )

    def after(*entries: Entry) -> Run | Stop:
        past = Past(ensuring)
        for entry in [*done("own", "start"), *entries]:
            past.note(entry)
        return next_move(ensuring, past)

    def failing(at: str, outcome: Exited | Lost) -> list[Entry]:
        return ran(What.DO, at, outcome, len(PAUSES_S))

    not_up = Exited(NOT_UP, err="vzctl: exit status 1")
    unreachable = ran(What.SETTLE, "dst", LOST, len(PATIENCE_S))
    expect(after(), What.DO, "allow")
    expect(after(*done("allow")), What.DO, "ensure")  # nothing else before that
    stopped(after(*done("allow"), *failing("ensure", FAILED)), Outcome.IN_DOUBT)
    stopped(after(*done("allow"), *failing("ensure", not_up)), Outcome.DOWN)
    stopped(after(*done("allow"), *failing("ensure", Exited(HALF_UP))), Outcome.DOWN)
    stopped(after(*done("allow"), *ran(What.DO, "ensure", LOST), *unreachable), Outcome.IN_DOUBT)
    expect(after(*failing("allow", FAILED)), What.DO, "ensure")
    end = stopped(after(*failing("allow", FAILED), *done("ensure")), Outcome.MIGRATED_NOT_CLEANED)
    assert [c.node for c in end.left] == ["dst", "src", "src"]
    ensured = done("allow", "ensure")
    expect(after(*ensured), What.DO, "tidy")
    end = stopped(after(*ensured, *failing("tidy", FAILED)), Outcome.MIGRATED_NOT_CLEANED)
    assert [c.node for c in end.left] == ["src", "src"]  # it forgets nothing while something is left there
    stopped(after(*ensured, *done("tidy", "forget")), Outcome.MIGRATED)


def test_what_the_config_has_not_got_its_name_for_is_not_started() -> None:
    allow = step("allow", "dst", Zone.RETIRE, must=None, ensures=True)
    made = plan(
        step("start", "dst", Zone.PIVOT, must=True, probe=True),
        structs.replace(allow, do=Command("dst", ("activate-config", "123", "/staged"), "fence", 60)),
        step("ensure", "dst", Zone.RETIRE, must=None, ensures=True),
    )
    for status in (NOT_UP, HALF_UP):
        tried = ran(What.DO, "allow", Exited(status, err="not named"), len(PAUSES_S))
        end = stopped(next_of(made, *done("start"), *tried), Outcome.DOWN)
        assert end.because == "'allow' on dst: not named"
        assert [c.argv[0] for c in end.left] == ["activate-config", made.steps[2].do.argv[0]]
    # It has its name, and only its fence is still there: then it is made sure of all the same, and both are told.
    fenced = [*done("start"), *ran(What.DO, "allow", FAILED, len(PAUSES_S))]
    expect(next_of(made, *fenced), What.DO, "ensure")
    down = ran(What.DO, "ensure", Exited(NOT_UP, err="no init"), len(PAUSES_S))
    end = stopped(next_of(made, *fenced, *down), Outcome.DOWN)
    assert end.because == "'allow' on dst: it broke; 'ensure' on dst: no init"


def test_a_wish_unwinds_before_the_pivot_and_is_too_late_after_it() -> None:
    wish = Wish(Want.UNWIND, "asked to by SIGINT")
    expect(move(*done("own"), wish), What.UNDO, "own")
    expect(move(*BEFORE, *done("start"), wish), What.DO, "ensure")
    expect(move(*BEFORE, *ran(What.DO, "start", FAILED), wish), What.PROBE, "start")


def test_of_two_wishes_the_first_counts_and_behind_the_pivot_none() -> None:
    wishes = [Wish(Want.UNWIND, "asked to"), Wish(Want.REFUSE, "the config changed")]
    end = stopped(move(*done("own"), *wishes, *ran(What.UNDO, "own")), Outcome.UNWOUND)
    assert end.because == "asked to"
    past = Past(PLAN)
    for entry in [*BEFORE, *done("start"), *wishes]:
        past.note(entry)
    assert (past.unwinding, past.refused) == (None, False)


def test_a_world_that_moved_ends_as_refused() -> None:
    wish = Wish(Want.REFUSE, "the config changed")
    stopped(move(*done("own"), wish, *ran(What.UNDO, "own")), Outcome.REFUSED)


SAW = Exited(UNFIT, err="it is another disk")


def test_a_look_that_finds_the_plan_without_ground_ends_as_refused() -> None:
    unfit = [*done("own", "stop"), *ran(What.DO, "look", SAW)]
    expect(move(*unfit), What.UNDO, "stop")
    end = stopped(move(*unfit, *ran(What.UNDO, "stop"), *ran(What.UNDO, "own")), Outcome.REFUSED)
    assert "it is another disk" in end.because
    again = [Restarted(), *ran(What.SETTLE, "src"), *ran(What.UNDO, "stop"), *ran(What.UNDO, "own")]
    stopped(move(*unfit, *again), Outcome.REFUSED)  # also if another controller took it back


def test_what_is_not_taken_back_is_never_called_refused() -> None:
    unfit = [*done("own", "stop"), *ran(What.DO, "look", SAW)]
    stopped(move(*unfit, *ran(What.UNDO, "stop", FAILED, len(PAUSES_S))), Outcome.IN_DOUBT)
    left = [*unfit, *ran(What.UNDO, "stop"), *ran(What.UNDO, "own", FAILED, len(PAUSES_S))]
    stopped(move(*left), Outcome.UNWOUND_NOT_CLEANED)


def test_a_pivot_is_asked_whatever_it_says() -> None:
    expect(move(*BEFORE, *ran(What.DO, "start", SAW)), What.PROBE, "start")
    never = [*ran(What.DO, "start", SAW), *ran(What.PROBE, "start", Exited(NO))]
    undone = [
        *ran(What.UNDO, "start"),
        *ran(What.UNDO, "mount"),
        *ran(What.UNDO, "stop"),
        *ran(What.UNDO, "own"),
    ]
    stopped(move(*BEFORE, *never, *undone), Outcome.UNWOUND)


def test_a_controller_that_died_counts_what_it_began_as_happened() -> None:
    died = [*done("own"), Began(What.DO, "stop"), Restarted()]
    expect(move(*died), What.SETTLE, "src")
    expect(move(*died, *ran(What.SETTLE, "src")), What.UNDO, "stop")


def test_after_a_restart_every_node_it_spoke_to_settles_even_if_nothing_was_open() -> None:
    died = [*done("own", "stop", "look", "mount"), Restarted()]
    expect(move(*died), What.SETTLE, "dst")
    expect(move(*died, *ran(What.SETTLE, "dst"), *ran(What.UNDO, "mount")), What.SETTLE, "src")


def test_a_controller_that_died_in_the_pivot_asks() -> None:
    died = [*BEFORE, Began(What.DO, "start"), Restarted(), *ran(What.SETTLE, "dst")]
    expect(move(*died), What.PROBE, "start")


def test_a_controller_that_died_after_the_pivot_goes_on() -> None:
    died = [*BEFORE, *done("start"), Began(What.DO, "ensure"), Restarted(), *ran(What.SETTLE, "dst")]
    expect(move(*died), What.DO, "ensure")


def test_a_restart_begins_the_counts_anew() -> None:
    doubt = [*BEFORE, *ran(What.DO, "start", LOST), *ran(What.SETTLE, "dst", LOST, len(PATIENCE_S))]
    stopped(move(*doubt), Outcome.IN_DOUBT)
    expect(move(*doubt, Restarted()), What.SETTLE, "dst")


@pytest.mark.parametrize(
    "entries",
    [
        [Ended(What.DO, "own", OK)],
        [Began(What.DO, "own"), Began(What.DO, "stop")],
        [Began(What.DO, "own"), Ended(What.DO, "stop", OK)],
        [Began(What.DO, "nowhere")],
        [Began(What.SETTLE, "third-node")],
        [Began(What.UNDO, "look")],
        [NodeOff("third-node")],
        [Adopted("src", ("nowhere",), (), 1)],
        [Adopted("src", (), ("nowhere",), 1)],
    ],
)
def test_a_journal_that_does_not_fit_its_plan_is_refused(entries: list[Entry]) -> None:
    with pytest.raises(ValueError, match="the journal"):
        move(*entries)


def test_what_is_noted_in_a_copy_stays_there() -> None:
    past = Past(PLAN)
    twin = past.copy()
    for entry in ran(What.DO, "own", LOST):
        twin.note(entry)
    assert next_move(PLAN, past) == Run(What.DO, "own", command("src"), 0)


@pytest.mark.parametrize(
    ("steps", "rule"),
    [
        ((), "no steps"),
        ((PLAN.steps[0], PLAN.steps[0], *PLAN.steps[1:]), r"not unique: \['own', 'own'\]"),
        ((PLAN.steps[1], PLAN.steps[0], *PLAN.steps[2:]), "out of order"),
        (PLAN.steps[:4], "0 pivots"),
        ((*PLAN.steps[:4], step("start", "dst", Zone.PIVOT)), "no probe"),
        ((*PLAN.steps[:5], step("late", "dst", Zone.RETIRE, must=True)), "only forward"),
        ((step("third", "elsewhere", Zone.PREPARE), *PLAN.steps), "neither source nor destination"),
    ],
)
def test_a_plan_that_breaks_a_rule_cannot_be_made(steps: tuple[Step, ...], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        plan(*steps)


def test_a_plan_settles_each_of_its_nodes_by_one_command() -> None:
    for settle in (PLAN.settle[:1], (), (*PLAN.settle, PLAN.settle[0])):
        with pytest.raises(ValueError, match="each node needs one settle command"):
            structs.replace(PLAN, settle=settle)


def test_a_plan_with_an_error_may_have_no_steps_but_is_never_runnable() -> None:
    finding = error("no-container", "hn1", "there is none", "look elsewhere")
    refused = Plan(PLAN_VERSION, Asked(1, "a", "b"), (), None, "", "", (), (), None, None, (finding,), "")
    assert not refused.runnable
    assert PLAN.runnable
    assert not structs.replace(PLAN, findings=(finding,)).runnable


@pytest.mark.parametrize(
    ("argv", "stdin", "problem"),
    [
        ((), "", "unknown verb"),
        (("rm", "-rf"), "", "unknown verb"),
        (("own",), "", "takes ctid"),
        (("own", "1", "2"), "", "takes ctid"),
        (("own", "1"), "x", "no standard input"),
        (("make-dir", "/a\0b", "0755"), "", "NUL"),
        (("make-file", "/a", "0644"), "a\0b", "NUL"),
        (("make-file", "/a", "0644"), "a\0", "NUL"),
    ],
)
def test_a_command_that_no_node_understands_cannot_be_made(
    argv: tuple[str, ...], stdin: str, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        Command("hn1", argv, stdin, 60)


def test_a_node_on_which_something_is_left_keeps_what_it_knows_of_the_run() -> None:
    forgetting = Step(
        "own",
        "own",
        Zone.PREPARE,
        command("src"),
        Compensation("forget", command("src", "disown"), blocking=False, forgets=True),
    )
    made = plan(
        forgetting,
        step("make", "src", Zone.PREPARE),
        step("stop", "src", Zone.FREEZE),
        *PLAN.steps[4:],
    )
    past = Past(made)
    for what, at, outcome in (
        (What.DO, "own", OK),
        (What.DO, "make", OK),
        (What.DO, "stop", FAILED),
        (What.UNDO, "stop", OK),
        *((What.UNDO, "make", FAILED) for _ in PAUSES_S),
    ):
        past.note(Began(what, at))
        past.note(Ended(what, at, outcome))
    stopped = next_move(made, past)
    assert isinstance(stopped, Stop)
    assert stopped.outcome is Outcome.UNWOUND_NOT_CLEANED
    assert [c.argv[0] for c in stopped.left] == ["disown", "disown"]
    past.note(Restarted())
    again = next_move(made, past)
    assert isinstance(again, Run)
    assert (again.what, again.at) == (What.SETTLE, "src")


def test_a_controller_that_was_overtaken_does_nothing_any_more_until_it_is_restarted() -> None:
    taken = Exited(TAKEN_OVER, err="refused: this run has ended here")
    for entries in (
        ran(What.DO, "stop", taken),
        [*ran(What.DO, "stop", LOST), *ran(What.SETTLE, "src", taken)],
    ):
        stop = stopped(move(*done("own"), *entries), Outcome.IN_DOUBT)
        assert stop.left == ()
        assert "src: refused: this run has ended here" in stop.because
        expect(move(*done("own"), *entries, Restarted()), What.SETTLE, "src")


def owning(name: str, node: str) -> Step:
    mine = step(name, node, Zone.PREPARE)
    assert isinstance(mine.undo, Compensation)
    return structs.replace(mine, undo=structs.replace(mine.undo, forgets=True))


OWNED = plan(
    owning("own-src", "src"),
    owning("own-dst", "dst"),
    step("stop", "src", Zone.FREEZE, must=True),
    step("mount", "dst", Zone.TRANSFER, must=True),
    step("start", "dst", Zone.PIVOT, must=True, probe=True),
    step("ensure", "dst", Zone.RETIRE, must=None, ensures=True),
    step("disown-src", "src", Zone.RETIRE, must=None, forgets=True),
    step("disown-dst", "dst", Zone.RETIRE, must=None, forgets=True),
)


def owned(*entries: Entry) -> Run | Stop:
    past = Past(OWNED)
    for entry in entries:
        past.note(entry)
    return next_move(OWNED, past)


def test_who_takes_a_run_up_keeps_the_old_controller_from_every_node_before_anything_else() -> None:
    died = [*done("own-src", "own-dst"), Began(What.DO, "stop"), Restarted()]
    expect(owned(*died), What.SETTLE, "src")
    expect(owned(*died, *ran(What.SETTLE, "src")), What.SETTLE, "dst")
    expect(owned(*died, *ran(What.SETTLE, "src"), *ran(What.SETTLE, "dst")), What.UNDO, "stop")


def test_it_does_so_before_the_freeze_too() -> None:
    made = frozen_by(
        step("make", "src", Zone.PREPARE),
        step("stop", "src", Zone.FREEZE, must=True),
    )
    died = [*done("own-src", "own-dst", "make"), Restarted(), *ran(What.SETTLE, "src")]
    expect(next_of(made, *died), What.SETTLE, "dst")
    expect(next_of(made, *died, *ran(What.SETTLE, "dst")), What.UNDO, "make")


def test_what_has_begun_to_be_taken_back_is_not_gone_on_with() -> None:
    made = frozen_by(
        step("make", "dst", Zone.PREPARE),
        step("stop", "src", Zone.FREEZE, must=True),
    )
    silent = [*ran(What.SETTLE, "src"), *ran(What.SETTLE, "dst", LOST, len(PATIENCE_S))]
    entries = [*done("own-src", "own-dst"), Restarted(forward=True), *silent]
    expect(next_of(made, *entries), What.UNDO, "own-src")
    past = Past(made)
    for entry in entries:
        past.note(entry)
    assert may_go_forward(past)
    past.note(Began(What.UNDO, "own-src"))
    assert not may_go_forward(past)


def test_a_node_that_cannot_be_reached_is_tried_once_and_then_when_it_is_needed() -> None:
    died = [*done("own-src", "own-dst"), Began(What.DO, "stop"), Restarted(), *ran(What.SETTLE, "src")]
    died += ran(What.SETTLE, "dst", LOST)
    needed = owned(*died)
    expect(needed, What.SETTLE, "dst")
    assert isinstance(needed, Run)
    assert needed.after_s == PATIENCE_S[1]


def test_who_takes_a_run_up_starts_nothing_before_every_node_has_said_how_far_it_went() -> None:
    silent = [
        *ran(What.SETTLE, "src"),
        *(entry for _ in PATIENCE_S for entry in ran(What.SETTLE, "dst", LOST)),
    ]
    frozen = [*done("own-src", "own-dst"), Began(What.DO, "stop"), Restarted(), *silent]
    assert stopped(owned(*frozen), Outcome.IN_DOUBT).because == (
        "the controller stopped before the pivot; dst cannot be settled, and only it can tell whether this journal "
        "knows all"
    )
    expect(owned(*frozen[:6], NodeOff("dst"), *ran(What.SETTLE, "src")), What.UNDO, "stop")
    # Before the freeze the source itself tells that it went no further.
    prepared = [*done("own-src"), Began(What.DO, "own-dst"), Restarted(), *silent]
    expect(owned(*prepared), What.UNDO, "own-src")
    # And who has been at work all the time knows what it has done.
    alive = [*done("own-src", "own-dst"), *ran(What.DO, "stop", FAILED)]
    expect(owned(*alive), What.UNDO, "stop")


def test_of_a_run_that_was_adopted_a_node_that_is_off_must_have_been_heard() -> None:
    begun = ("own-src", "own-dst", "stop", "mount")
    adopted: list[Entry] = [
        Adopted("src", begun, (), 2, (("dst", 1), ("src", 2)), ()),
        Restarted(),
        NodeOff("dst"),
    ]
    stop = stopped(owned(*adopted, *ran(What.SETTLE, "src")), Outcome.IN_DOUBT)
    assert "dst is off, and only it can tell" in stop.because
    heard = [
        *adopted[:1],
        *ran(What.SETTLE, "src"),
        *ran(What.SETTLE, "dst"),
        *ran(What.UNDO, "mount"),
        *adopted[1:],
    ]
    expect(owned(*heard, *ran(What.SETTLE, "src")), What.UNDO, "stop")


def test_a_copy_that_failed_may_go_on_at_its_other_end() -> None:
    copy = structs.replace(
        step("copy", "src", Zone.PREPARE),
        do=command("src", "copy-tree", "123", "/p", "-", "-", "dst", "/p", "-", "-", "first", "ssh", "-"),
    )
    made = plan(owning("own-src", "src"), owning("own-dst", "dst"), copy, *PLAN.steps[4:])
    for outcome, unsettled in ((FAILED, {"dst"}), (LOST, {"src", "dst"}), (OK, set())):
        past = Past(made)
        for entry in ran(What.DO, "copy", outcome):
            past.note(entry)
        assert past.unsettled == unsettled


def test_a_node_that_has_forgotten_the_run_is_not_made_to_know_of_it_again() -> None:
    unwound = [*done("own-src", "own-dst"), Wish(Want.UNWIND, "asked"), *ran(What.UNDO, "own-dst")]
    expect(owned(*unwound, Restarted()), What.SETTLE, "src")
    expect(owned(*unwound, Restarted(), *ran(What.SETTLE, "src")), What.UNDO, "own-src")
    retired = [*done("own-src", "own-dst", "stop", "mount", "start", "ensure", "disown-src"), Restarted()]
    expect(owned(*retired), What.SETTLE, "dst")
    expect(owned(*retired, *ran(What.SETTLE, "dst")), What.DO, "disown-dst")


def test_a_node_that_knew_nothing_when_the_run_was_adopted_is_settled_only_to_tidy_up() -> None:
    begun = ("own-src", "own-dst", "stop", "mount", "start")
    adopted = [Adopted("dst", begun, (), 2, (), ("src",))]
    expect(owned(*adopted), What.SETTLE, "dst")
    asked = [*adopted, *ran(What.SETTLE, "dst"), *ran(What.PROBE, "start", Exited(YES)), *done("ensure")]
    expect(owned(*asked), What.SETTLE, "src")
    expect(owned(*asked, *ran(What.SETTLE, "src")), What.DO, "disown-src")


def frozen_by(*freeze: Step) -> Plan:
    return plan(owning("own-src", "src"), owning("own-dst", "dst"), *freeze, *PLAN.steps[4:])


def next_of(made: Plan, *entries: Entry) -> Run | Stop:
    past = Past(made)
    for entry in entries:
        past.note(entry)
    return next_move(made, past)


def test_who_goes_on_looks_again_unless_something_is_frozen() -> None:
    made = frozen_by(
        step("lock", "src", Zone.FREEZE),
        step("guard", "src", Zone.FREEZE, must=None),
        step("fence", "src", Zone.FREEZE, must=True),
        step("stop", "src", Zone.FREEZE, must=True),
    )
    on = [Restarted(forward=True), *ran(What.SETTLE, "src"), *ran(What.SETTLE, "dst")]
    owned_ = done("own-src", "own-dst")
    expect(next_of(made, *owned_, *done("lock", "guard"), *on), What.DO, "lock")
    expect(next_of(made, *owned_, *done("lock", "guard", "fence"), *on), What.DO, "stop")
    # And that nobody could start it meanwhile.
    lock = structs.replace(made.steps[2], do=command("src", "hold-lock", "123", "/vz/lock"))
    locked = structs.replace(made, steps=(*made.steps[:2], lock, *made.steps[3:]))
    assert lock.id == "lock"
    expect(next_of(locked, *owned_, *done("lock", "guard", "fence"), *on), What.DO, "lock")
    expect(next_of(locked, *owned_, *done("lock", "guard", "fence", "stop"), *on), What.DO, "lock")
    # What only looks after that changes nothing: it is looked at again only if nothing is frozen.
    late = frozen_by(*made.steps[2:6], step("dump", "src", Zone.FREEZE, must=None))
    expect(next_of(late, *owned_, *done("lock", "guard", "fence", "stop", "dump"), *on), What.DO, "start")
    expect(next_of(late, *owned_, *done("lock", "guard", "fence"), *on), What.DO, "stop")
    blind = frozen_by(
        step("fence", "src", Zone.FREEZE, must=True), step("stop", "src", Zone.FREEZE, must=True)
    )
    expect(next_of(blind, *owned_, *done("fence"), *on), What.DO, "stop")


def test_before_the_freeze_a_node_that_says_nothing_keeps_the_other_from_nothing() -> None:
    made = plan(
        owning("own-src", "src"),
        owning("own-dst", "dst"),
        step("note", "src", Zone.PREPARE, must=True),
        step("stop", "src", Zone.FREEZE, must=True),
        *PLAN.steps[4:],
    )
    silent = [*ran(What.SETTLE, "src"), *ran(What.SETTLE, "dst", LOST, len(PATIENCE_S))]
    expect(next_of(made, *done("own-src", "own-dst", "note"), Restarted(), *silent), What.UNDO, "note")
    frozen = [*done("own-src", "own-dst", "note"), Began(What.DO, "stop"), Restarted(), *silent]
    stopped(next_of(made, *frozen), Outcome.IN_DOUBT)


def test_who_was_at_work_all_the_time_takes_the_source_back_whatever_is_left_at_the_other_end() -> None:
    copy = structs.replace(
        step("copy", "src", Zone.TRANSFER, must=None),
        do=command("src", "copy-tree", "123", "/p", "-", "-", "dst", "/p", "-", "-", "last", "ssh", "-"),
    )
    made = frozen_by(step("stop", "src", Zone.FREEZE, must=True), copy)
    failed = [*done("own-src", "own-dst", "stop"), *ran(What.DO, "copy", FAILED)]
    expect(next_of(made, *failed), What.UNDO, "stop")
    expect(next_of(made, *failed, *ran(What.UNDO, "stop")), What.SETTLE, "dst")


def test_who_adopted_a_run_does_not_say_that_it_is_down_while_a_node_was_never_heard() -> None:
    made = frozen_by(step("stop", "src", Zone.FREEZE, must=True))
    taken = Adopted("src", ("own-src", "own-dst", "stop"), (), 1, (("src", 2),))
    assert (
        "only it can tell"
        in stopped(next_of(made, taken, NodeOff("src"), NodeOff("dst")), Outcome.IN_DOUBT).because
    )
    known = [*done("own-src", "own-dst"), Began(What.DO, "stop"), Restarted(), NodeOff("src"), NodeOff("dst")]
    stopped(next_of(made, *known), Outcome.DOWN)


def test_before_the_freeze_too_the_source_of_a_run_that_was_adopted_must_have_been_heard() -> None:
    made = plan(
        owning("own-src", "src"),
        owning("own-dst", "dst"),
        step("note", "src", Zone.PREPARE, must=True),
        *PLAN.steps[4:],
    )
    # The old controller may have moved it since the logs were read, and forgotten the run.
    taken = Adopted("src", ("own-src", "own-dst", "note"), (), 1, (("dst", 1), ("src", 2)))
    silent = (entry for _ in PATIENCE_S for entry in ran(What.SETTLE, "dst", LOST))
    stop = stopped(next_of(made, taken, NodeOff("src"), *silent), Outcome.IN_DOUBT)
    assert "src is off, and only it can tell" in stop.because
    # Heard since, it would have told.
    heard = [taken, *ran(What.SETTLE, "src"), *ran(What.UNDO, "note", FAILED), Restarted(), NodeOff("src")]
    silent = (entry for _ in PATIENCE_S for entry in ran(What.SETTLE, "dst", LOST))
    stopped(next_of(made, *heard, *silent), Outcome.DOWN)


def test_once_all_have_settled_a_node_that_is_lost_again_is_settled_when_it_is_needed() -> None:
    made = frozen_by(
        step("make", "dst", Zone.PREPARE),
        step("stop", "src", Zone.FREEZE, must=True),
    )
    lost = ran(What.UNDO, "make", LOST)
    settled = ran(What.SETTLE, "dst")
    entries = [
        *done("own-src", "own-dst", "make"),
        Restarted(),
        *ran(What.SETTLE, "src"),
        *settled,
        *lost,
        *settled,
        *lost,
        *settled,
        *lost,
    ]
    expect(next_of(made, *entries), What.UNDO, "own-src")


def test_a_run_of_which_only_the_records_are_known_ends_as_refused_or_in_doubt() -> None:
    adopted = [
        Adopted("src", ("own-src", "own-dst"), (), 2),
        *ran(What.SETTLE, "src"),
        *ran(What.SETTLE, "dst"),
    ]
    taken_back = [*ran(What.UNDO, "own-dst"), *ran(What.UNDO, "own-src")]
    end = stopped(owned(*adopted, *taken_back), Outcome.REFUSED)
    assert "see where the container is" in end.because
    left = [*ran(What.UNDO, "own-dst", FAILED, len(PAUSES_S)), *ran(What.UNDO, "own-src")]
    assert stopped(owned(*adopted, *left), Outcome.IN_DOUBT).left == (command("dst", "disown"),)
    more = [Adopted("src", ("own-src", "own-dst", "stop"), ("stop",), 2), *adopted[1:]]
    stopped(owned(*more, *taken_back), Outcome.UNWOUND)


def test_what_a_node_that_knew_nothing_had_to_do_in_the_end_is_done() -> None:
    tidying = plan(*OWNED.steps[:6], step("tidy", "src", Zone.RETIRE, must=None), *OWNED.steps[6:])
    begun = ("own-src", "own-dst", "stop", "mount", "start")
    asked = [
        Adopted("dst", begun, (), 2, (), ("src",)),
        *ran(What.SETTLE, "dst"),
        *ran(What.PROBE, "start", Exited(YES)),
        *done("ensure"),
        *ran(What.SETTLE, "src"),
    ]
    expect(next_of(tidying, *asked), What.DO, "disown-src")


def test_why_the_pivot_failed_is_told_although_another_controller_asks() -> None:
    died = [
        *BEFORE,
        *ran(What.DO, "start", FAILED),
        Restarted(),
        *ran(What.SETTLE, "dst"),
        *ran(What.SETTLE, "src"),
    ]
    past = Past(PLAN)
    for entry in [*died, *ran(What.PROBE, "start", Exited(NO))]:
        past.note(entry)
    assert past.unwinding == "start on dst: it broke"


def test_what_is_not_taken_back_on_a_node_that_is_off_is_told() -> None:
    off = [*done("own", "stop", "look", "mount"), Wish(Want.UNWIND, "asked"), NodeOff("dst")]
    end = stopped(move(*off, *ran(What.UNDO, "stop"), *ran(What.UNDO, "own")), Outcome.UNWOUND_NOT_CLEANED)
    assert end.left == (command("dst", "disown"),)
    assert end.because.endswith("could not be cleaned up (dst is off, by the operator's word)")


def test_two_nodes_that_are_off_are_off() -> None:
    off = [*done("own-src", "own-dst"), Wish(Want.UNWIND, "asked"), NodeOff("src"), NodeOff("dst")]
    end = stopped(owned(*off), Outcome.UNWOUND_NOT_CLEANED)
    assert end.because.endswith("could not be cleaned up (dst and src are off, by the operator's word)")


def test_nothing_that_is_noted_in_a_copy_is_known_to_the_other() -> None:
    past = Past(OWNED)
    for entry in ran(What.DO, "own-src", LOST):
        past.note(entry)
    before, twin = deepcopy(vars(past)), past.copy()
    later = [
        *ran(What.UNDO, "own-src"),
        *done("own-dst"),
        *ran(What.UNDO, "own-dst", LOST),
        *ran(What.SETTLE, "dst"),
        *ran(What.UNDO, "own-dst"),
        *done("stop", "mount"),
        NodeOff("dst"),
    ]
    for entry in later:
        twin.note(entry)
    assert vars(past) == before
    assert vars(twin) != before


def test_of_an_adopted_run_the_pivot_is_asked_unless_it_was_taken_back() -> None:
    begun = ("own-src", "own-dst", "stop", "mount", "start")
    settled = [*ran(What.SETTLE, "src"), *ran(What.SETTLE, "dst")]
    expect(owned(Adopted("src", begun, (), 2), *settled), What.PROBE, "start")
    expect(owned(Adopted("src", begun, ("start",), 2), *settled), What.UNDO, "mount")
    expect(owned(Adopted("src", begun[:-1], (), 2), *settled), What.UNDO, "mount")


@pytest.mark.parametrize(
    ("entries", "forward", "back"),
    [
        ([], True, True),
        (done("own", "stop"), True, True),
        ([*done("own"), *ran(What.DO, "stop", FAILED)], True, True),
        ([*done("own"), *ran(What.DO, "stop", FAILED), Restarted(), *ran(What.SETTLE, "src")], True, True),
        ([*done("own"), *ran(What.DO, "stop", FAILED), Began(What.UNDO, "stop")], False, True),
        ([*done("own"), Wish(Want.UNWIND, "asked to"), Restarted()], True, True),
        ([*done("own"), Wish(Want.REFUSE, "the nodes are no longer as they were")], False, True),
        ([Adopted("src", ("own",), (), 2)], False, True),
        ([*done("own", "stop", "look", "mount"), Began(What.DO, "start")], True, False),
        (done("own", "stop", "look", "mount", "start"), True, False),
        (
            [
                *done("own", "stop", "look", "mount"),
                *ran(What.DO, "start", FAILED),
                *ran(What.PROBE, "start", Exited(NO)),
            ],
            False,
            True,
        ),
    ],
    ids=[
        "nothing",
        "under way",
        "failed",
        "failed and settled",
        "taken back",
        "stopped by a person",
        "refused",
        "adopted",
        "in the pivot",
        "behind it",
        "it never was",
    ],
)
def test_a_run_that_is_taken_up_goes_on_or_back_as_far_as_that_is_possible(
    entries: list[Entry], forward: bool, back: bool
) -> None:
    past = Past(PLAN)
    for entry in entries:
        past.note(entry)
    assert (may_go_forward(past), may_go_back(past)) == (forward, back)


def test_what_failed_is_done_once_more_by_who_goes_forward() -> None:
    failed = [*done("own"), *ran(What.DO, "stop", FAILED)]
    expect(move(*failed, Restarted(forward=True), *ran(What.SETTLE, "src")), What.DO, "stop")
    undone = [*failed, *ran(What.UNDO, "stop")]
    expect(move(*undone, Restarted(forward=True), *ran(What.SETTLE, "src")), What.UNDO, "own")


def test_who_wakes_up_after_the_run_has_ended_gives_back_what_it_took_in_hand_since() -> None:
    ended = Exited(TAKEN_OVER, err="this run has ended here")
    made = frozen_by(
        step("note", "src", Zone.PREPARE),
        step("make", "dst", Zone.PREPARE),
        step("stop", "src", Zone.FREEZE, must=True),
    )
    late = [*done("own-src", "own-dst"), *ran(What.DO, "note", ended)]
    assert expect(next_of(made, *late), What.UNDO, "own-dst").after_s == 0
    for answer in (Exited(0), Exited(TAKEN_OVER, err="generation 2 has it")):
        end = stopped(next_of(made, *late, *ran(What.UNDO, "own-dst", answer)), Outcome.IN_DOUBT)
        assert "this one does nothing any more" in end.because
        assert end.left == ()
    # A node that has booted since, or cannot be reached, is heard again first; what it keeps for good is told.
    lost = [*late, *ran(What.UNDO, "own-dst", LOST)]
    assert expect(next_of(made, *lost), What.SETTLE, "dst").after_s == 0
    settled = [*lost, *ran(What.SETTLE, "dst")]
    assert expect(next_of(made, *settled), What.UNDO, "own-dst").after_s == PAUSES_S[1]
    silent = [*lost, *ran(What.SETTLE, "dst", LOST, len(PATIENCE_S))]
    failing = [*late, *ran(What.UNDO, "own-dst", FAILED, len(PAUSES_S))]
    for entries in (silent, failing):
        end = stopped(next_of(made, *entries), Outcome.IN_DOUBT)
        assert end.because.endswith("see there how it ends; its record on dst may be left")
        assert [command.node for command in end.left] == ["dst"]
    # Where it had done more than that, who took the run over knew of it.
    known = [*done("own-src", "own-dst", "note", "make"), *ran(What.DO, "stop", ended)]
    stopped(next_of(made, *known), Outcome.IN_DOUBT)


def test_what_halts_the_way_back_is_told_with_what_led_to_it() -> None:
    halted = [*done("own"), *ran(What.DO, "stop", FAILED), *ran(What.UNDO, "stop", FAILED, len(PAUSES_S))]
    end = stopped(move(*halted), Outcome.IN_DOUBT)
    assert end.because == "stop on src: it broke; then 'undo stop' (of 'stop') on src: it broke"
    not_up = Exited(NOT_UP, err="no memory")
    down = [*done("own"), *ran(What.DO, "stop", FAILED), *ran(What.UNDO, "stop", not_up, len(PAUSES_S))]
    end = stopped(move(*down), Outcome.DOWN)
    assert end.because == (
        "stop on src: it broke; the data is safe on src, released elsewhere, "
        "but 'undo stop' (of 'stop') did not work: no memory"
    )
    silent = [*done("own"), *ran(What.DO, "stop", LOST), *ran(What.SETTLE, "src", LOST, len(PATIENCE_S))]
    end = stopped(move(*silent), Outcome.IN_DOUBT)
    assert end.because.endswith("then 'undo stop' (of 'stop') on src: src cannot be settled")


def test_a_node_that_is_off_is_asked_again_by_who_takes_the_run_up_next() -> None:
    died = [*done("own-src", "own-dst"), Began(What.DO, "stop"), Restarted(), NodeOff("dst")]
    again = [*died, *ran(What.SETTLE, "src"), Restarted(), *ran(What.SETTLE, "src")]
    assert expect(owned(*again), What.SETTLE, "dst").after_s == 0


def test_a_source_that_is_off_has_its_data_and_is_down() -> None:
    off = [*done("own", "stop", "look", "mount"), Wish(Want.UNWIND, "asked"), NodeOff("src")]
    end = stopped(move(*off, *ran(What.UNDO, "mount")), Outcome.DOWN)
    assert end.because == "asked; the data is safe on src, which is off, and released elsewhere"
    assert end.left == (command("src", "disown"), command("src", "disown"))
    prepared = [*done("own"), Wish(Want.UNWIND, "asked"), NodeOff("src")]
    stopped(move(*prepared), Outcome.UNWOUND_NOT_CLEANED)  # nothing was taken down


def test_a_destination_that_is_off_has_it_and_is_down() -> None:
    off = [*BEFORE, *done("start"), *ran(What.DO, "ensure", LOST), NodeOff("dst")]
    end = stopped(move(*off), Outcome.DOWN)
    assert end.because == "it has moved to dst, which is off; its data is safe there"
    assert end.left == (command("dst"), command("src"))


def test_what_is_left_at_a_source_that_is_off_is_told() -> None:
    end = stopped(move(*BEFORE, *done("start", "ensure"), NodeOff("src")), Outcome.MIGRATED_NOT_CLEANED)
    assert end.because == "'tidy' on src: src is off"


def test_the_last_answer_tells_whether_it_is_down() -> None:
    not_up = Exited(NOT_UP, err="no memory")
    for answers, outcome in (
        ((FAILED, FAILED, not_up), Outcome.DOWN),
        ((not_up, not_up, FAILED), Outcome.IN_DOUBT),
    ):
        back = [entry for answer in answers for entry in ran(What.UNDO, "stop", answer)]
        halted = stopped(move(*done("own"), *ran(What.DO, "stop", FAILED), *back), outcome)
        assert halted.because.endswith(f": {answers[-1].err}")
        on = [entry for answer in answers for entry in ran(What.DO, "ensure", answer)]
        end = move(*BEFORE, *done("start"), *on)
        # That it is as it was when it was started is all that the first of these is for.
        stopped(end, outcome if outcome is Outcome.DOWN else Outcome.MIGRATED_NOT_CLEANED)


def test_all_that_is_not_done_behind_the_pivot_is_told() -> None:
    tidying = plan(*OWNED.steps[:6], step("tidy", "src", Zone.RETIRE, must=None), *OWNED.steps[6:])
    passed = done("own-src", "own-dst", "stop", "mount", "start", "ensure")
    end = next_of(tidying, *passed, *ran(What.DO, "tidy", FAILED, len(PAUSES_S)))
    assert stopped(end, Outcome.MIGRATED_NOT_CLEANED).left == tuple(s.do for s in tidying.steps[6:])


def test_what_ends_what_still_holds_the_area_is_done_before_its_config_goes() -> None:
    kill = structs.replace(step("kill", "src", Zone.RETIRE, must=None), frees=True)
    hide, unlock = (step(name, "src", Zone.RETIRE, must=None) for name in ("hide", "unlock"))
    tidy = step("tidy", "dst", Zone.RETIRE, must=None)
    made = plan(*OWNED.steps[:6], kill, hide, unlock, tidy, *OWNED.steps[6:])
    passed = done("own-src", "own-dst", "stop", "mount", "start", "ensure")
    expect(next_of(made, *passed, *done("kill")), What.DO, "hide")
    not_freed = [*passed, *ran(What.DO, "kill", FAILED, len(PAUSES_S))]
    expect(next_of(made, *not_freed), What.DO, "tidy")  # nothing of that node waits for it
    end = stopped(next_of(made, *not_freed, *done("tidy")), Outcome.MIGRATED_NOT_CLEANED)
    left = (kill, hide, unlock, *OWNED.steps[6:])
    assert (end.left, end.because) == (tuple(s.do for s in left), "'kill' on src: it broke")
