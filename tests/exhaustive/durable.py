"""A verb that ends 0 promises that what it did would survive a power cut; so nothing of it may wait for a sync."""

from __future__ import annotations

from typing import Final

import pytest

from executor.node import NodeOutcome
from executor.simulated.node import SimulatedNode
from executor.simulated.tree import Data, Tree
from planner.plan import Command, Exited

NOT_TO_LAST: Final = {
    "hold-lock": "a lock is a living process's: with the power it goes, and its file counts no more",
    "restore-state": "what a note-state that failed had written decides nothing: the freeze never began",
}
"""Verbs that may leave something unsynced, and why."""


def unsynced(tree: Tree, disk: Tree) -> set[str]:
    """Paths that a power cut would bring back or take away; what the container writes is its own business."""
    paths = {path for path in {*tree, *disk} if tree.get(path) != disk.get(path) and ".lck" not in path}
    return {path for path in paths if not any(isinstance(t.get(path), Data) for t in (tree, disk))}


def watch(patch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """From now on: verb -> what it left unsynced although it ended 0, for every verb that was seen to end 0."""
    run = SimulatedNode.run
    seen: dict[str, set[str]] = {}

    def watched(self: SimulatedNode, command: Command) -> NodeOutcome:
        outcome = run(self, command)
        if isinstance(outcome, Exited) and outcome.status == 0:
            left = seen.setdefault(command.argv[0], set())
            node = self.world.nodes[self.name]
            if node.tree is not node.disk and command.argv[0] not in NOT_TO_LAST:
                left |= unsynced(node.tree, node.disk)
        return outcome

    patch.setattr(SimulatedNode, "run", watched)
    return seen
