"""vzplan run on a node itself: one of the two is this machine, whoever is reached by ssh from there."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.exit_codes import ExitCode
from executor.journal import list_runs
from tests.sandbox import Sandbox, leftovers, tree_hash
from tests.sandbox.driving import CTID, PRIVATE, Driver
from tests.sandbox.onboard import STATE, lay_vzplan, vzplan, vzplan_dies
from tests.sandbox.test_controllers import assert_moved
from tests.sandbox.test_failures import assert_as_before

APPLY = ("apply", str(CTID), "hn2", "--yes")
KILLED = 128 + 9


def test_a_container_is_moved_from_the_node_that_has_it(tmp_path: Path) -> None:
    with Sandbox("san") as box:
        lay_vzplan(box.hn1)
        hash_before = tree_hash(box.hn1, PRIVATE)
        status, said = vzplan(box.hn1, *APPLY)
        assert (status, "MIGRATED: the container has moved" in said) == (ExitCode.OK, True), said
        assert_moved(box, Driver(box, tmp_path), hash_before)
        (run,) = list_runs(box.hn1.path(STATE))
        status, said = vzplan(box.hn1, "status", run)
        assert status == ExitCode.OK, said
        assert "container  was moved to hn2\n" in said


@pytest.mark.parametrize(
    ("step", "on", "end"),
    [
        ("make-private", "hn1", ExitCode.UNWOUND),
        ("prove-released-hn2", "hn1", ExitCode.UNWOUND),
        ("bring-up", "hn1", ExitCode.OK),
        # The journal is brought to the other node: it does there what the run's controller had done by ssh.
        ("prove-released-hn2", "hn2", ExitCode.UNWOUND),
        ("bring-up", "hn2", ExitCode.OK),
    ],
    ids=str,
)
def test_a_run_whose_controller_died_on_the_source_is_ended_on_either_node(
    step: str, on: str, end: ExitCode, tmp_path: Path
) -> None:
    with Sandbox("san") as box:
        driver, node = Driver(box, tmp_path), box.hn1 if on == "hn1" else box.hn2
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        for each in {box.hn1, node}:
            lay_vzplan(each)
        status, said = vzplan_dies(box.hn1, step, *APPLY, "--unverified")
        assert status == KILLED, said
        assert leftovers(box) != []
        if on == "hn2":
            box.hn1.sh(f"tar -C {STATE} -cf - runs | ssh hn2 tar -C {STATE} -xf - && rm -r {STATE}/runs")
        (run,) = list_runs(node.path(STATE))
        for _ in range(2):  # once more changes nothing (I10)
            status, said = vzplan(node, "recover", run)
            assert status == end, said
            if end is ExitCode.OK:
                assert_moved(box, driver, hash_before)
            else:
                assert_as_before(box, driver, before, hash_before)
