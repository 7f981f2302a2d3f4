"""Nodes with another sh than dash, and with old tools: moves that are taken back once, and then made.

Between them every verb of every plan goes out under each sh: as what is done, as what takes it back, as what asks.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from executor.journal import list_runs, read_journal
from planner.make import make_plan
from planner.model import Options, State
from planner.plan import Began, Compensation, Outcome, Plan, What
from planner.verbs import VERBS
from tests.sandbox import Node, Sandbox, leftovers, population
from tests.sandbox.driving import CTID, PRIVATE, Driver, changes
from tests.sandbox.nodes import assert_counts_on
from tests.sandbox.test_controllers import Gone, dies
from tests.sandbox.test_moves import content, kept, tokens
from tests.sandbox.test_old_tools import age, refused
from tests.worlds import WORLDS, plan_of


def lay_bash(place: Path) -> None:
    """bash, which is a POSIX shell if that is its name."""
    place.symlink_to("bash")


def lay_busybox(place: Path) -> None:
    """busybox, which then is only a shell: it finds no applet of its own, and takes the node's tools."""
    place.write_bytes(_only_sh())
    place.chmod(0o755)


@cache
def _only_sh() -> bytes:
    said = subprocess.run([population.BUSYBOX, "--list"], capture_output=True, check=True).stdout.split()
    before, found, after = population.BUSYBOX.read_bytes().partition(
        b"".join(b"%s\0" % name for name in said)
    )
    assert found, "busybox keeps the names of its applets in another way"
    # As long and as sorted as they were.
    return (
        before + b"".join(b"%s\0" % (name if name == b"sh" else name[:-1] + b"\1") for name in said) + after
    )


SHELLS: Final[dict[str, tuple[Callable[[Path], None], str]]] = {
    "bash": (lay_bash, 'case ":$SHELLOPTS:" in *:posix:*) readlink /proc/$$/exe ;; esac'),
    "busybox": (lay_busybox, "type awk >/dev/null && tr '\\0' '\\n' </proc/$$/exe | grep -m 1 -o '^BusyBox'"),
}
"""How each comes to be a node's sh, and what shows there that it is."""


class Move(NamedTuple):
    """One of a tour: from where the one before it has ended to the other node."""

    way: str
    options: Options
    how: str = ""
    state: State = State.RUNNING
    is_tried: bool = True  # up to the point of no return and back, before it is made


TOUR: Final = (
    Move("b", Options(dst_device="/dev/sdg1", install_hooks=True), "online"),
    Move("d1", Options(dst_device="/dev/sda1", install_hooks=True), is_tried=False),
    Move("d2", Options(), "online-by-device"),
    Move("d2", Options(), state=State.STOPPED),
    Move("c", Options(dst_shared=True), "staged"),
)
"""From hn1 and from hn2 in turn, the last one on other kernels. Way a has no verb of its own, and no fewer have all."""


def spoken(plan: Plan) -> set[tuple[What, str]]:
    """All that it may say to nodes, by verb; but for ``settle``, which is no step's."""
    undos = {step.undo.do.argv[0] for step in plan.steps if isinstance(step.undo, Compensation)}
    probes = {step.probe.do.argv[0] for step in plan.steps if step.probe is not None}
    dos = {step.do.argv[0] for step in plan.steps}
    return {
        (what, verb)
        for what, verbs in ((What.DO, dos), (What.UNDO, undos), (What.PROBE, probes))
        for verb in verbs
    }


def heard(driver: Driver) -> set[tuple[What, str]]:
    """What has gone out to nodes, as the journals tell."""
    found = set()
    for run in list_runs(driver.state):
        record = read_journal(driver.state, run)
        for entry in record.entries:
            if isinstance(entry, Began):
                settles = entry.what is What.SETTLE
                verb = "settle" if settles else record.past.command(entry.what, entry.at).argv[0]
                found.add((entry.what, verb))
    return found


@pytest.mark.parametrize("shell", SHELLS)
def test_every_verb_of_every_plan_does_its_work_and_is_taken_back(shell: str, tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        before = driver.facts()
        for node in box.nodes:
            become(node, shell)
            age(node)
        assert changes(before, driver.facts()) == []  # the probe says the same
        here, there = box.nodes
        for move in TOUR:
            tour(box, driver, move, here, there)
            here, there = there, here
        assert [refused(node) for node in box.nodes] == [[], []]
    every = set().union(*(spoken(plan_of(world)) for world in WORLDS)) | {(What.SETTLE, "settle")}
    assert {verb for _, verb in every} == {*VERBS}
    assert every - heard(driver) == set()


def become(node: Node, shell: str) -> None:
    """From now on that is its sh."""
    lay, shown = SHELLS[shell]
    lay(node.path("/bin/new-sh"))
    node.path("/bin/new-sh").rename(node.path("/bin/sh"))
    assert shell in node.sh(shown).lower()


def tour(box: Sandbox, driver: Driver, move: Move, here: Node, there: Node) -> None:
    """If it is tried, up to the point of no return and back; then the whole of it."""
    ends, options, hash_before = (here.name, there.name), kept(box, move.how, move.options), content(here)
    if move.how == "staged":
        for node in box.nodes:
            age(node, "stat", "vzcptcheck")  # which come with that kernel
    if options.dump_device is not None:
        here.sh(f"mke2fs -q -F -t ext4 {options.dump_device}")
    known = tokens(here)[-1][1]
    if move.state is State.STOPPED:
        here.sh(f"vzctl stop {CTID}")
    request = driver.look(*ends, options)
    plan = make_plan(request)
    assert plan.way == move.way
    if move.is_tried:
        before = driver.facts()
        with pytest.raises(Gone):
            driver.apply({(What.DO, plan.steps[plan.pivot].id): dies}, looked=request)
        stop = driver.recover(list_runs(driver.state)[0])
        assert stop.outcome is Outcome.UNWOUND, (move, stop)
        assert changes(before, driver.facts()) == []
        assert content(here) == hash_before
    stop, watch, _ = driver.apply(looked=request)
    assert stop.outcome is Outcome.MIGRATED, (move, stop, watch.moves)
    assert content(there) == hash_before
    assert leftovers(box) == []
    assert not here.path(f"/etc/vz/conf/{CTID}.conf").exists()
    if move.state is State.STOPPED:
        assert " exist unmounted down" in there.sh(f"vzctl status {CTID}")
        there.sh(f"vzctl start {CTID}")
    assert_counts_on(there, PRIVATE)
    if move.how:
        assert tokens(there)[-1][1] == known
