"""Real hardware nodes on one machine, for integration tests: see ``nodes``."""

from tests.sandbox.nodes import (
    Node,
    Sandbox,
    counter,
    cut_network,
    end_busy,
    leftovers,
    make_busy,
    restore_network,
    tree_hash,
    until,
    why_not,
)
from tests.sandbox.supervisor import SandboxError

__all__ = [
    "Node",
    "Sandbox",
    "SandboxError",
    "counter",
    "cut_network",
    "end_busy",
    "leftovers",
    "make_busy",
    "restore_network",
    "tree_hash",
    "until",
    "why_not",
]
