"""Facts of real nodes: one probe, one round trip a node, all nodes at once."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import files
from typing import Final, Protocol

from msgspec import Struct

from executor import verbs
from executor.node import ALONE, NodeOutcome, as_root
from planner.model import RECENT_MIN, NodeFacts
from planner.parse import ParseError
from planner.parse.probe import facts
from planner.plan import Lost

DEADLINE_S: Final = 300
COUNTING_S: Final = 7500
"""With a container's files to be counted, where its filesystem has no count of its own."""
LIMIT_BYTES: Final = 16 << 20
"""Of its beginning, and as much of its end: more than a node with thousands of containers and mounts says.

An answer cut short is noticed anyway.
"""


class GatherError(Exception):
    """A node could not be asked, or what it said makes no sense; names the node, and says what to do."""


class Reader(Protocol):
    """A node that runs scripts which only look."""

    @property
    def trial(self) -> str:
        """What to type to see whether it can be reached, in the way in which it is reached here."""
        ...

    def read(self, script: str, deadline_s: int, limit_bytes: int) -> NodeOutcome:
        """Run ``script`` there."""
        ...


@cache
def probe() -> str:
    """The sh text of the probe, the library before it."""
    return verbs.library() + files(__package__).joinpath("probe.sh").read_text()


class Ask(Struct, frozen=True):
    """What a node is asked beside what it is always asked."""

    paths: tuple[str, ...] = ()  # further paths to look at
    measured: int | None = None  # a container whose files are counted
    expected: int | None = None  # a container whose areas are looked at though it may have no config here
    peers: tuple[str, ...] = ()  # nodes that it should reach by ssh
    peer_ssh: tuple[str, ...] = ()  # options for that
    estimated: bool = (
        False  # what an estimate needs: how much was written lately, how fast peers take what is sent
    )

    def script(self) -> str:
        """The probe for it."""
        lines = "".join(self._reached(peer) for peer in self.peers)
        if lines:
            lines = f"    try={shlex.quote(TRY)}\n    heard={shlex.quote(HEARD)}\n{lines}"
        return (
            f"measured={self.measured or ''} expected={self.expected or ''} "
            f"recent={RECENT_MIN if self.estimated else ''} more={shlex.quote(chr(10).join(self.paths))}\n"
            f"export measured expected more\nreach_peers() {{\n    :\n{lines}}}\n{probe()}"
        )

    def _reached(self, peer: str) -> str:
        """Lines of sh that say whether a peer is reached."""
        options = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10", *self.peer_ssh, *ALONE)
        ssh = shlex.join((*options, as_root(peer)))
        # Compressed, zeros would be too fast. Of an option that is said twice ssh takes the first (ssh_config(5)).
        speed = f'        speed "$word" ssh -o Compression=no {ssh}\n' if self.estimated else ""
        return (
            f"    word {shlex.quote(peer)}\n"
            f'    if [ "$(look ssh {ssh} "$try")" = "$heard" ]; then\n'
            f'        echo "reach $word yes"\n{speed}    else\n        echo "reach $word no"\n    fi\n'
        )


NOTHING_MORE: Final = Ask()

TRY: Final = r"""exec sh -c 'printf "%s\n" "it'\''s" "a\\\\b
c"'"""
"""What a peer is given to say: quoted as a copy's receiver is, which not every login shell understands (csh, fish).

A line break, a quote and backslashes between single quotes; ``HEARD`` is the answer, with nothing before or behind it:
what root's profile prints there goes into rsync's ears, too.
"""
HEARD: Final = "it's\na\\\\b\nc"


def gather(nodes: Mapping[str, Reader], asks: Mapping[str, Ask] | None = None) -> dict[str, NodeFacts]:
    """Facts of every node; ``asks`` are by node.

    Raises:
        GatherError: one of them could not be asked.
    """
    found = {}
    for name, answer in ask_each(nodes, asks).items():
        if isinstance(answer, GatherError):
            raise answer
        found[name] = answer
    return found


def ask_each(
    nodes: Mapping[str, Reader], asks: Mapping[str, Ask] | None = None
) -> dict[str, NodeFacts | GatherError]:
    """As ``gather``, but a node that could not be asked does not keep the others from being heard."""

    def answer(name: str) -> NodeFacts | GatherError:
        return _answer(name, nodes[name], (asks or {}).get(name, NOTHING_MORE))

    with ThreadPoolExecutor(max_workers=min(32, len(nodes) or 1)) as pool:
        return dict(zip(nodes, pool.map(answer, nodes), strict=True))


def _answer(name: str, node: Reader, ask: Ask) -> NodeFacts | GatherError:
    try:
        return _ask(name, node, ask)
    except GatherError as problem:
        return problem


def _ask(name: str, node: Reader, ask: Ask) -> NodeFacts:
    deadline_s = DEADLINE_S if ask.measured is None else COUNTING_S
    outcome = node.read(ask.script(), deadline_s, LIMIT_BYTES)
    if isinstance(outcome, Lost):
        raise GatherError(f"{name} gave no facts: {outcome.reason}; see that this works: {node.trial}")
    try:
        return facts(name, outcome.out)
    except ParseError as problem:
        said = outcome.err.strip().splitlines()[-1:] or [f"exit status {outcome.status}"]
        raise GatherError(f"{name} gave no facts: {problem} ({said[0][:500]})") from None
