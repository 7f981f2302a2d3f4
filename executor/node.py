"""The one protocol behind which a node stands, be it real or simulated."""

from __future__ import annotations

import re
from typing import Final, Protocol

from planner.plan import Command, Exited, Lost

__all__ = ["HOST", "Exited", "Lost", "Node", "NodeOutcome"]

NodeOutcome = Exited | Lost

HOST: Final = re.compile(r"(?!-)(?!.*@-)[A-Za-z0-9_.:@\[\]%-]+")
"""What can be a node's name: nothing that ssh would take for an option, or a shell for more than a word."""


class Node(Protocol):
    """A hardware node, as the engine sees it."""

    def run(self, command: Command) -> NodeOutcome:
        """Run one verb there, to its end or its deadline. Never raises for what the node or the network does."""
        ...
