"""The one protocol behind which a node stands, be it real or simulated."""

from __future__ import annotations

import re
import shlex
from typing import Final, Protocol

from planner.plan import Command, Exited, Lost

__all__ = ["HOST", "Exited", "Lost", "Node", "NodeOutcome", "as_root", "trial"]

NodeOutcome = Exited | Lost

HOST: Final = re.compile(r"(?!-)(?!.*@-)[A-Za-z0-9_.:@\[\]%-]+")
"""What can be a node's name: nothing that ssh would take for an option, or a shell for more than a word."""
ALONE: Final = ("-o", "ControlMaster=no", "-o", "ControlPath=none")
"""For ssh: a connection of its own, whatever its config says.

One that others share ends with whoever opened it: a run would end with another's session, or others' with a run. And a
copy that had opened it would wait for them, while the container is down.
"""


def as_root(name: str) -> str:
    """A node's name as ssh is told it; one that says no user is root's."""
    return name if "@" in name else f"root@{name}"


def trial(name: str, ssh: tuple[str, ...] | None) -> str:
    """What to type to see whether a node can be reached as vzplan does it; ``ssh``: its options, None: no ssh.

    As ``executor.shell`` connects, without what only keeps an open connection alive.
    """
    if ssh is None:
        return "sh -c true"
    return shlex.join(["ssh", *ssh, "-o", "BatchMode=yes", "-o", "ControlPath=none", as_root(name), "true"])


class Node(Protocol):
    """A hardware node, as the engine sees it."""

    def run(self, command: Command) -> NodeOutcome:
        """Run one verb there, to its end or its deadline. Never raises for what the node or the network does."""
        ...
