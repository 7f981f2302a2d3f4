"""Which tests ``make test`` leaves to ``make test-rest``: it is to end while one waits for it; the two of them are all.

Nothing is left out for good: ``.ci/run`` runs both, and so does ``python -m pytest``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

FAMILIES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "exhaustive/test_pairs.py": {
        "test_no_pair_of_failures_breaks_an_invariant": (),
    },
    "exhaustive/test_single_faults.py": {
        "test_no_failure_after_a_plain_trouble_breaks_an_invariant": (),
        "test_no_single_failure_makes_a_clone_pass_the_challenge": (),
        "test_what_may_pass_by_a_verb_that_could_meet_it_is_met_by_it_somewhere": (),
    },
    "exhaustive/test_damaged_journal.py": {
        "test_a_journal_with_any_byte_changed_is_refused": ("a", "d2"),
    },
    "property/test_there_and_back.py": {
        "test_to_and_fro_any_number_of_times_only_adds_backups": (),
    },
    "sandbox/test_controllers.py": {
        "test_a_run_that_is_told_to_go_forward_is_completed": ("copy-1", "hide-config"),
        "test_a_run_without_its_journal_is_adopted_from_what_a_node_keeps": (
            "san-bring-up-hn2-4",
            "shared-copy-last-hn1-4",
        ),
    },
    "sandbox/test_conformance.py": {
        "test_the_same_failure_takes_the_same_moves": ("d2--start-bring-up", "c-online-restore-bring-up"),
        "test_the_same_schedule_of_failures_takes_the_same_moves": ("d2",),
    },
    "sandbox/test_crash.py": {
        "test_killed_at_each_write_of_the_journal_and_again_in_recover": (
            "a-0",
            "b-1",
            "c-2",
            "d1-3",
            "d2-0",
        ),
        "test_killed_at_each_write_of_the_journal_while_it_is_taken_back_and_again_in_recover": (),
    },
    "sandbox/test_every_sh.py": {
        "test_every_verb_of_every_plan_does_its_work_and_is_taken_back": (),
    },
    "sandbox/test_every_step.py": {
        "test_a_step_that_fails_once_is_unwound": ("d2-after-online",),
    },
    "sandbox/test_failures.py": {
        "test_a_checkpoint_that_fails_at_any_stage_is_taken_back_with_its_memory": ("d2-online-by-device-",),
        "test_what_still_stands_still_can_be_dealt_with_by_hand_as_the_docs_say": ("--resume-True",),
    },
    "sandbox/test_looking.py": {
        "test_who_only_looks_changes_nothing": ("san",),
    },
    "sandbox/test_moves.py": {
        "test_a_container_keeps_its_memory_when_it_is_moved_online_and_back": (
            "d2-online",
            "d2-staged-by-device",
            "a-staged",
        ),
        "test_a_container_moves_with_all_that_it_has_and_back": (
            "a-running",
            "b-running",
            "c-running",
            "d1-running",
            "d2-running",
            "d2-stopped",
        ),
    },
    "sandbox/test_old_tools.py": {
        "test_a_container_moves_between_nodes_with_old_tools": (),
    },
    "sandbox/test_on_the_node.py": {
        "test_a_run_whose_controller_died_on_the_source_is_ended_on_either_node": (
            "prove-released-hn2-hn2-4",
        ),
    },
    "sandbox/test_power_and_network.py": {
        "test_a_controller_and_nodes_that_go_down_together_leave_the_rest_to_one_recover": ("a-hn1-hn2",),
        "test_a_node_that_cannot_be_reached_is_waited_for": ("d2-hn1-hide-config", "d2-hn2-bring-up"),
        "test_a_node_that_is_back_at_once_keeps_no_run_from_its_end": ("a-hn1-reboot-", "d2-hn2-blink-"),
        "test_a_node_that_starts_it_because_of_a_list_and_is_back_at_once_keeps_no_run_from_its_end": (),
        "test_a_node_without_power_is_passed_by_the_operators_word_and_ended_with_once_it_is_back": (
            "a-hn2-copy-last",
            "d2-hn2-bring-up",
        ),
    },
    "sandbox/test_verbs.py": {
        "test_a_verb_does_to_real_nodes_what_its_twin_does_to_simulated_ones": (
            "a-running-too-early",
            "d2-running-too-early",
        ),
        "test_a_verb_in_trouble_does_what_its_twin_does": (),
        "test_a_verb_that_was_killed_at_a_sync_has_done_what_its_twin_has": ("b-stopped",),
    },
}
"""Files below tests/, their families that take long, and of each of these which ``make test`` runs as well."""


class Test(Protocol):
    """As pytest has it."""

    @property
    def nodeid(self) -> str:
        """Its name: ``tests/FILE::FAMILY[WHICH]``."""
        ...


T = TypeVar("T", bound=Test)


def parted(tests: Sequence[T], *, rest: bool) -> tuple[list[T], list[T]]:
    """Those of one part, and all others."""
    mine = [test for test in tests if _is_rest(test.nodeid) == rest]
    return mine, [test for test in tests if _is_rest(test.nodeid) != rest]


def _is_rest(name: str) -> bool:
    """Whether a test is one of a family that takes long, and none of those that ``make test`` runs of it."""
    file, _, test = name.removeprefix("tests/").partition("::")
    family, _, which = test.partition("[")
    some = FAMILIES.get(file, {}).get(family)
    return some is not None and which.removesuffix("]") not in some
