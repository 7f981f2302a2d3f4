"""The simulated vzctl, where what it does is seen in no move of a plan that works."""

from __future__ import annotations

from executor.simulated import vz
from executor.simulated.tree import File
from executor.simulated.world import NodeState, World
from planner.model import CONF_DIR, State
from tests.worlds import CTID, bundled


def ended(effects: vz.Effects) -> int:
    """How it ends, when all its effects have happened."""
    while True:
        try:
            next(effects)
        except StopIteration as stop:
            status: int = stop.value
            return status


def down_and_mounted(loud: str) -> tuple[World, NodeState]:
    """A container whose root area was busy when it was stopped; its node's premount hook now is ``loud``."""
    request = bundled("san")
    world = World.of(request.source, request.destination)
    node = world.nodes["hn1"]
    node.busy = frozenset({node.roots[CTID]})
    assert ended(vz.stop(world, node, CTID, skiplock=True)) == 0
    assert vz.state_of(node, CTID) is State.MOUNTED
    node.put(f"{CONF_DIR}/vps.premount", File(loud, 0o755))
    return world, node


LOUD = '#!/bin/sh\n. "$VE_CONFFILE"\nmount "$VE_DEVICE" "$VE_PRIVATE"\n'
"""Fails where the device is mounted already."""


def test_a_container_that_something_keeps_mounted_is_started_as_it_is() -> None:
    world, node = down_and_mounted(LOUD)
    assert ended(vz.start(world, node, CTID, force=False, skiplock=True)) == 0
    assert vz.state_of(node, CTID) is State.RUNNING


def test_a_mounted_container_is_unmounted_and_mounted_anew_hooks_and_all() -> None:
    world, node = down_and_mounted("#!/bin/sh\n")
    node.busy = frozenset()
    assert node.mounted_at(f"/vz/private/{CTID}") is not None
    # Unmounted by one hook, and not mounted by the other, which does nothing: there is nothing to start.
    assert ended(vz.start(world, node, CTID, force=False, skiplock=True)) == vz.FAILED
    assert node.mounted_at(f"/vz/private/{CTID}") is None
