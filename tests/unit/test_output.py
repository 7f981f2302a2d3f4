"""What a person reads of a run: how it ended, what is left in the plan's own words, where it stands."""

from __future__ import annotations

from typing import Final

import pytest

from cli.output import Standing, move_line, stop_text
from executor.journal import MemoryJournal, Record
from planner.make import make_plan
from planner.plan import (
    Began,
    Compensation,
    Ended,
    Entry,
    Exited,
    Lost,
    NodeOff,
    Opened,
    Outcome,
    Plan,
    Restarted,
    Run,
    Stop,
    What,
    Zone,
)
from planner.saga import next_move
from planner.verbs import FORGOTTEN, NO, NOT_UP, TAKEN_OVER
from tests.worlds import WORLDS, bundled

RUN = "20260314-030000-a1b2c3"
PLAN = make_plan(bundled("san"))


def journal_of(*entries: Entry, plan: Plan = PLAN) -> MemoryJournal:
    journal = MemoryJournal(Opened(RUN, plan))
    for entry in entries:
        journal.append(entry)
    return journal


def walked(to: str, plan: Plan = PLAN) -> list[Entry]:
    """Every step up to this one, done."""
    found: list[Entry] = []
    for step in plan.steps:
        found += [Began(What.DO, step.id), Ended(What.DO, step.id, Exited(0))]
        if step.id == to:
            break
    return found


def played(journal: MemoryJournal, fails: dict[tuple[What, str], Exited | Lost]) -> Stop:
    """To its end; what is not said to fail works, and a pivot that is asked never happened."""
    while not isinstance(move := next_move(journal.plan, journal.past), Stop):
        journal.append(Began(move.what, move.at))
        worked = Exited(NO if move.what is What.PROBE else 0)
        journal.append(Ended(move.what, move.at, fails.get((move.what, move.at), worked)))
    return move


def told(journal: MemoryJournal, stop: Stop) -> str:
    return stop_text(stop, RUN, journal)


# --- what is left


def test_what_is_left_to_take_back_is_said_in_the_words_of_the_plan() -> None:
    journal = journal_of(*walked("make-private"))
    stop = played(
        journal, {(What.DO, "see-mounted"): Exited(1), (What.UNDO, "make-private"): Exited(1, "", "busy")}
    )
    assert stop.outcome is Outcome.UNWOUND_NOT_CLEANED
    assert told(journal, stop).splitlines()[-4:] == [
        "  left to do:",
        "    hn2: rmdir it ('make /vz/private/123')",
        "    hn2: remove the record ('record this run as owner of 123')",
        f"  next: vzplan recover {RUN}",
    ]


def test_what_is_left_to_clean_up_after_the_pivot_is_said_in_the_words_of_its_steps() -> None:
    journal = journal_of(*walked("bring-up"))
    stop = played(journal, {(What.DO, "unlock-hn1"): Exited(1, "", "no")})
    assert stop.outcome is Outcome.MIGRATED_NOT_CLEANED
    assert told(journal, stop).splitlines()[-5:] == [
        "  left to do:",
        "    hn1: release vzctl's lock",
        "    hn1: remove the owner record",
        "    hn2: remove the owner record",
        f"  next: vzplan recover {RUN}",
    ]


def test_a_pivot_that_nobody_can_be_asked_of_is_what_is_left() -> None:
    journal = journal_of(*walked("mount-destination"), Began(What.DO, "bring-up"))
    journal.append(Ended(What.DO, "bring-up", Lost("gone")))
    stop = played(journal, {(What.SETTLE, "hn2"): Lost("gone")})
    assert stop.outcome is Outcome.IN_DOUBT
    assert "    hn2: tell whether 'give the config its name, start 123' ever took effect\n" in told(
        journal, stop
    )


@pytest.mark.parametrize("world", WORLDS)
def test_no_verb_of_vzplans_own_is_left_to_a_person(world: str) -> None:
    plan = make_plan(WORLDS[world])
    for passed in (False, True):
        journal = journal_of(*(walked(plan.steps[plan.pivot].id, plan) if passed else ()), plan=plan)
        steps = [step for step in plan.steps if not passed or step.zone is Zone.RETIRE]
        commands = [step.do for step in steps]
        if not passed:
            commands += [step.undo.do for step in steps if isinstance(step.undo, Compensation)]
            commands += [step.probe.do for step in steps if step.probe is not None]
        said = told(journal, Stop(Outcome.IN_DOUBT, "", tuple(commands))).splitlines()[2:-1]
        assert len(said) == len(commands)
        for line, command in zip(said, commands, strict=True):
            assert line.startswith(f"    {command.node}: ")
            assert f" {command.argv[0]} " not in f"{line} "


def test_a_container_that_is_down_is_named_with_what_shows_why_it_does_not_start() -> None:
    journal = journal_of(*walked("hide-config"))
    fails = {(What.DO, "prove-released-hn1"): Exited(1), (What.UNDO, "stop"): Exited(NOT_UP, "", "no init")}
    stop = played(journal, dict(fails))
    assert stop.outcome is Outcome.DOWN
    lines = told(journal, stop).splitlines()
    first = lines.index("  left to do:") + 1
    assert lines[first : first + 2] == [
        "    hn1: start it ('stop 123')",
        "    hn1: allow it again ('forbid start (DISABLED)')",
    ]
    assert lines[-2:] == [
        "  by hand on hn1: 'vzctl --skiplock start 123 --force' says why it does not start",
        f"  next: vzplan recover {RUN}",
    ]


def test_nothing_is_to_be_started_by_hand_on_a_node_that_is_off_or_where_its_memory_may_wait() -> None:
    off = journal_of(*walked("stop"), Restarted(), NodeOff("hn1"))
    assert played(off, {}).outcome is Outcome.DOWN
    assert "by hand" not in told(off, played(off, {}))
    plan = make_plan(WORLDS["a-online"])
    step = next(step for step in plan.steps if step.do.argv[0] == "suspend-container")
    assert isinstance(step.undo, Compensation)
    memory = journal_of(*walked(step.id, plan), plan=plan)
    assert "by hand" not in told(memory, Stop(Outcome.DOWN, "", (step.undo.do,)))


def test_a_move_that_was_refused_before_it_was_a_run_has_no_plan_to_speak_of() -> None:
    said = stop_text(Stop(Outcome.REFUSED, "see the errors above", ()), None)
    assert said == "REFUSED: nothing was changed\n  see the errors above\n"


# --- moves


def test_a_move_that_takes_back_names_what_it_takes_back() -> None:
    for at, said in {
        "fence": "undo 12/28  hn1: allow it again ('forbid start (DISABLED)')",
        "stop": "undo 13/28  hn1: start it ('stop 123')",
        "lock-hn2": "undo  9/28  hn2: release it ('hold vzctl's lock on 123')",
        "stage-config": "undo  4/28  hn2: remove it ('stage the config as 123.conf.vzplan')",
    }.items():
        step = next(step for step in PLAN.steps if step.id == at)
        assert isinstance(step.undo, Compensation)
        assert move_line(PLAN, Run(What.UNDO, at, step.undo.do, 0)) == said
        assert move_line(PLAN, Run(What.UNDO, at, step.undo.do, 3)) == f"{said} (again, after 3 s)"
        assert move_line(PLAN, Run(What.DO, at, step.do, 0)).endswith(f" {step.do.node}: {step.title}")


# --- where it stands


def standing(journal: MemoryJournal) -> Standing:
    record = Record(RUN, journal.plan, journal.past, tuple(journal.entries), alive=False)
    return Standing.of(RUN, record, next_move(journal.plan, journal.past))


def test_what_a_run_waits_for_is_said_once() -> None:
    journal = journal_of(*walked("mount-destination"), Restarted())
    stop = played(journal, {(What.SETTLE, "hn2"): Lost("no route to host")})
    assert stop.outcome is Outcome.IN_DOUBT
    said = standing(journal).text()
    assert said.count("the controller stopped before the pivot") == 1
    rows = {line[:11].strip(): line[11:] for line in said.splitlines()}
    assert rows["known"] == "the point of no return is ahead; it is taken back"
    assert (
        rows["outcome"]
        == "IN_DOUBT: it is not known where the container stands; nothing was started anywhere"
    )
    assert rows["because"] == stop.because
    assert max(map(len, said.splitlines())) < 180


def test_a_run_that_goes_back_says_why_and_one_that_goes_on_says_no_such_thing() -> None:
    back = standing(journal_of(*walked("stop"), Restarted())).text()
    assert "because    the controller stopped before the pivot\n" in back
    assert "outcome" not in back
    on = standing(journal_of(*walked("stop"))).text()
    assert "known      the point of no return is ahead\n" in on
    assert "because" not in on


def test_every_line_of_a_cause_has_its_own() -> None:
    journal = journal_of(*walked("stage-config"))
    refused = Stop(Outcome.REFUSED, "no longer as shown:\n- one\n+ two", ())
    record = Record(RUN, PLAN, journal.past, tuple(journal.entries), alive=False)
    said = Standing.of(RUN, record, refused).text()
    assert f"because    no longer as shown:\n{'':<11}- one\n{'':<11}+ two\n" in said


GONE: Final = Exited(TAKEN_OVER, "", "this run has ended here; another controller saw to that")


def test_whoever_was_taken_over_says_so_instead_of_that_nobody_knows() -> None:
    journal = journal_of(*walked("stop"), Began(What.DO, "release-source"))
    journal.append(Ended(What.DO, "release-source", GONE))
    stop = next_move(journal.plan, journal.past)
    assert isinstance(stop, Stop)
    said = told(journal, stop)
    headline = "IN_DOUBT: another controller has taken this run over, and tells how it ends"
    assert said.splitlines()[0] == headline
    assert "not known" not in said
    assert "left to do" not in said
    assert f"outcome    {headline}\n" in standing(journal).text()


def test_a_node_that_has_the_run_not_on_record_any_more_does_not_say_that_another_one_has_it() -> None:
    journal = journal_of(*walked("bring-up"), Began(What.DO, "allow-start"))
    journal.append(Ended(What.DO, "allow-start", Exited(FORGOTTEN, "", "this run is not on record here")))
    stop = next_move(journal.plan, journal.past)
    assert isinstance(stop, Stop)
    said = told(journal, stop).splitlines()
    assert said[0] == (
        "IN_DOUBT: a node has this run not on record any more, so it is not this controller's to end"
    )
    assert said[1].endswith("see with 'vzplan facts' where it is")
    assert row(journal, "container") == "not known here"
    assert row(journal, "next").startswith("vzplan facts hn1 hn2, to see where it is")
    assert not standing(journal).finished


def test_whoever_was_taken_over_tells_of_a_record_that_only_it_can_know_of_and_cannot_give_back() -> None:
    journal = journal_of(*walked("own-hn2"), Began(What.DO, "note-state"))
    journal.append(Ended(What.DO, "note-state", GONE))
    assert row(journal, "next") == f"vzplan recover {RUN}"  # if it is killed now
    cut: Exited | Lost = Lost("cut")
    silent = {(What.UNDO, "own-hn2"): cut, (What.SETTLE, "hn2"): cut}
    stop = played(journal, silent)
    said = told(journal, stop)
    assert "see there how it ends; its record on hn2 may be left\n" in said
    assert "  left to do:\n    hn2: remove the record (" in said
    assert said.endswith(f"  next: vzplan recover {RUN}\n")
    assert row(journal, "next") == f"vzplan recover {RUN}"
    assert not standing(journal).finished
    again = played(journal_of(*journal.entries[1:], Restarted()), {(What.UNDO, "note-state"): GONE})
    assert (again.outcome, again.left) == (Outcome.IN_DOUBT, ())


def row(journal: MemoryJournal, name: str) -> str:
    found = [line[11:] for line in standing(journal).text().splitlines() if line[:11].strip() == name]
    assert len(found) == 1
    return found[0]


def test_where_a_run_that_has_ended_left_the_container_is_told_of_the_past() -> None:
    moved = journal_of(*walked(PLAN.steps[-1].id))
    assert (row(moved, "container"), row(moved, "next")) == ("was moved to hn2", "nothing")
    back = journal_of(*walked("stop"), Restarted())
    assert row(back, "container") == "on hn1, down"
    assert played(back, {}).outcome is Outcome.UNWOUND
    assert (row(back, "container"), row(back, "next")) == ("was left on hn1", "nothing")


def test_what_is_not_known_behind_the_pivot_is_whether_it_runs() -> None:
    journal = journal_of(*walked("bring-up"))
    stop = played(journal, {(What.DO, "ensure-up"): Exited(1, "", "no")})
    assert stop.outcome is Outcome.IN_DOUBT
    headline = "IN_DOUBT: the container has moved; it is not known whether it runs there"
    assert told(journal, stop).splitlines()[0] == headline
    assert row(journal, "outcome") == headline
    assert (row(journal, "container"), row(journal, "not known")) == ("on hn2", "whether it runs on hn2")


def test_where_it_is_up_again_and_only_its_start_is_still_forbidden_that_is_told() -> None:
    journal = journal_of(*walked("stop"), Restarted())
    stop = played(journal, {(What.UNDO, "fence"): Exited(1, "", "read-only file system")})
    assert stop.outcome is Outcome.IN_DOUBT
    headline = "IN_DOUBT: the container is on hn1 again, but not all that stands in its way there could be taken back"
    assert told(journal, stop).splitlines()[0] == headline
    assert (row(journal, "outcome"), row(journal, "container")) == (headline, "on hn1")


def test_two_nodes_that_are_off_are_off() -> None:
    one = journal_of(*walked("stop"), Restarted(), NodeOff("hn2"))
    assert row(one, "known").endswith("; hn2 is off, by the operator's word")
    both = journal_of(*walked("stop"), Restarted(), NodeOff("hn2"), NodeOff("hn1"))
    assert row(both, "known").endswith("; hn1 and hn2 are off, by the operator's word")
