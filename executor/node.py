"""The one protocol behind which a node stands, be it real or simulated."""

from __future__ import annotations

from typing import Protocol

from planner.plan import Command, Exited, Lost

__all__ = ["Exited", "Lost", "Node", "NodeOutcome"]

NodeOutcome = Exited | Lost


class Node(Protocol):
    """A hardware node, as the engine sees it."""

    def run(self, command: Command) -> NodeOutcome:
        """Run one verb there, to its end or its deadline. Never raises for what the node or the network does."""
        ...
