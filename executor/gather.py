"""Facts of real nodes: one probe, one round trip a node, all nodes at once."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import files
from typing import Final, Protocol

from executor import verbs
from executor.node import NodeOutcome
from planner.model import NodeFacts
from planner.parse import ParseError
from planner.parse.probe import facts
from planner.plan import Lost

DEADLINE_S: Final = 300
LIMIT_BYTES: Final = 64 * 1024 * 1024
"""More than a node with thousands of containers and mounts says; an answer cut short is noticed anyway."""


class GatherError(Exception):
    """A node could not be asked, or what it said makes no sense; names the node, and says what to do."""


class Reader(Protocol):
    """A node that runs scripts which only look."""

    def read(self, script: str, deadline_s: int, limit_bytes: int) -> NodeOutcome:
        """Run ``script`` there."""
        ...


@cache
def probe() -> str:
    """The sh text of the probe, the library before it."""
    return verbs.library() + files(__package__).joinpath("probe.sh").read_text()


def gather(nodes: Mapping[str, Reader], paths: tuple[str, ...] = ()) -> dict[str, NodeFacts]:
    """Facts of every node; ``paths`` are looked at beside what is always looked at.

    Raises:
        GatherError: one of them could not be asked.
    """
    found = {}
    for name, answer in ask_each(nodes, paths).items():
        if isinstance(answer, GatherError):
            raise answer
        found[name] = answer
    return found


def ask_each(nodes: Mapping[str, Reader], paths: tuple[str, ...] = ()) -> dict[str, NodeFacts | GatherError]:
    """As ``gather``, but a node that could not be asked does not keep the others from being heard."""

    def answer(name: str) -> NodeFacts | GatherError:
        return _answer(name, nodes[name], paths)

    with ThreadPoolExecutor(max_workers=min(32, len(nodes) or 1)) as pool:
        return dict(zip(nodes, pool.map(answer, nodes), strict=True))


def _answer(name: str, node: Reader, paths: tuple[str, ...]) -> NodeFacts | GatherError:
    try:
        return _ask(name, node, paths)
    except GatherError as problem:
        return problem


def _ask(name: str, node: Reader, paths: tuple[str, ...]) -> NodeFacts:
    script = f"set -- {shlex.join(paths)}\n{probe()}"
    outcome = node.read(script, DEADLINE_S, LIMIT_BYTES)
    if isinstance(outcome, Lost):
        raise GatherError(f"{name} gave no facts: {outcome.reason}; see that 'ssh root@{name} true' works")
    try:
        return facts(name, outcome.out)
    except ParseError as problem:
        said = outcome.err.strip().splitlines()[-1:] or [f"exit status {outcome.status}"]
        raise GatherError(f"{name} gave no facts: {problem} ({said[0]})") from None
