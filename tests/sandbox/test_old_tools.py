"""Nodes whose tools refuse what those of RHEL 6 did not know: facts and moves are as on any other."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from msgspec import structs

from executor.journal import read_journal
from planner.model import Options, State
from planner.plan import Outcome
from tests import rhel6
from tests.sandbox import Node, leftovers
from tests.sandbox.driving import Driver
from tests.sandbox.test_moves import WAYS, content, in_state

REAL: Final = "/usr/lib/node/real"
LOG: Final = "/var/log/rhel6"
SCSI_ID: Final = "/usr/lib/udev/scsi_id"


def age(node: Node, *names: str) -> None:
    """From now on its tools, or these of them, are old ones."""
    node.sh(f"mkdir -p {REAL}")
    for name in names or rhel6.TOOLS:
        place = SCSI_ID if name == "scsi_id" else f"/usr/sbin/{name}"
        if node.path(place).exists():
            node.sh(f"cp -p {place} {REAL}/{name}")
        real = f"{REAL}/{name}" if node.path(f"{REAL}/{name}").exists() else f"/usr/bin/{name}"
        if node.path(real).exists() or node.path(real).is_symlink():
            node.path(place).unlink(missing_ok=True)
            # By dash, whatever the node's own sh is: the sh of the stand-ins is not what is tried, and dash is quick.
            node.path(place).write_text(rhel6.script(name, real, LOG, sh="/bin/dash"))
            node.path(place).chmod(0o755)


def refused(node: Node) -> list[str]:
    """What its tools did not know."""
    log = node.path(LOG)
    return log.read_text().splitlines() if log.exists() else []


@pytest.mark.parametrize(
    ("way", "options"),
    [
        ("a", WAYS["a"].there),
        ("d2", WAYS["d2"].there),
        ("a", structs.replace(WAYS["a"].there, online=True, precopy="auto")),
    ],
    ids=["a", "d2", "a-online-auto"],
)
def test_a_container_moves_between_nodes_with_old_tools(way: str, options: Options, tmp_path: Path) -> None:
    with in_state(way, State.RUNNING) as box:
        driver = Driver(box, tmp_path)
        before, hash_before = driver.facts(), content(box.hn1)
        for node in box.nodes:
            age(node)
        assert driver.facts() == before
        stop, watch, run = driver.apply(options=options)
        assert [refused(node) for node in box.nodes] == [[], []]
        assert stop.outcome is Outcome.MIGRATED, (stop, watch.moves)
        assert content(box.hn2) == hash_before
        assert leftovers(box) == []
        guess = read_journal(driver.state, run).plan.estimate
        assert (guess is not None) == options.online
        assert guess is None or None not in structs.astuple(guess)
        # And that they were really the old ones.
        box.hn1.sh("sync / || true")
        assert refused(box.hn1) == ["sync: RHEL 6 has no operand /"]
