"""A journal that was made anew from the nodes' logs, and what the nodes know beyond it."""

from __future__ import annotations

from planner.adopt import adopted, line, outrun
from planner.make import make_plan
from planner.plan import Began, Entry, Opened, What
from tests.worlds import WORLDS

PLAN = make_plan(WORLDS["d2-stopped"])
LOGS = {node: tuple(line(step.do) for step in PLAN.steps if step.do.node == node) for node in PLAN.nodes}
ADOPTED: list[Entry] = [Opened("run", PLAN), adopted(PLAN, "hn1", LOGS, 1)]


def test_a_journal_made_of_the_logs_knows_all_that_is_in_them() -> None:
    assert outrun(PLAN, ADOPTED, LOGS) is None


def test_one_command_more_in_a_log_is_more_than_the_journal_knows() -> None:
    given = len(LOGS["hn2"])
    assert outrun(PLAN, ADOPTED, LOGS | {"hn2": (*LOGS["hn2"], "began settle")}) == ("hn2", given + 1, given)


def test_a_node_that_has_forgotten_the_run_since_its_adoption_was_not_told_to_by_this_journal() -> None:
    assert outrun(PLAN, ADOPTED, LOGS | {"hn1": ()}) == ("hn1", 0, len(LOGS["hn1"]))


def test_a_node_that_is_not_asked_says_nothing() -> None:
    assert outrun(PLAN, ADOPTED, {"hn2": LOGS["hn2"], "hn1": None}) is None
    assert outrun(PLAN, ADOPTED, {"hn2": LOGS["hn2"]}) is None


def test_a_node_that_this_journal_has_given_up_may_have_forgotten_the_run() -> None:
    forgets = next(step for step in PLAN.steps if step.forgets and step.do.node == "hn1")
    assert outrun(PLAN, [*ADOPTED, Began(What.DO, forgets.id)], LOGS | {"hn1": ()}) is None
    assert outrun(PLAN, [*ADOPTED, Began(What.UNDO, "own-hn1")], LOGS | {"hn1": ()}) is None


def test_a_journal_that_was_not_adopted_may_be_ahead_of_a_node_that_knows_nothing() -> None:
    entries: list[Entry] = [Opened("run", PLAN), Began(What.DO, "own-hn1")]
    assert outrun(PLAN, entries, {"hn1": ()}) is None
