"""Where the nodes are: real ones behind ssh and sh, or simulated ones behind a folder of facts.

Both give facts and nodes; what is done with them is the same code. What only one of them needs is imported where it is
needed: looking at recorded nodes does not wait for what speaks to real ones.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from executor.facts_files import read_world, write_facts
from executor.gather import Ask, GatherError, ask_each, gather
from executor.node import Node, NodeOutcome
from planner.model import NodeFacts
from planner.plan import Command, Opened

if TYPE_CHECKING:
    from executor.shell import ShellNode
    from executor.simulated.world import World


class Site(Protocol):
    """A set of hardware nodes that can be asked and worked on."""

    def facts(self, *names: str, asks: Mapping[str, Ask] | None = None) -> dict[str, NodeFacts]:
        """Facts of the named nodes, gathered now; ``asks``: what else a node is asked."""
        ...

    def nodes(self, opened: Opened, control: str, generation: int) -> Mapping[str, Node]:
        """The nodes of a run's plan, ready to take its commands from the controller at ``control``."""
        ...

    def abandon(self, command: Command, why: str) -> None:
        """Wait no longer for ``command``: its answer is lost. From any thread, or a signal's handler."""
        ...

    def time_ms(self) -> int | None:
        """When it is there, in milliseconds since 1970; None: no time passes."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def this_machine() -> str:
    """The name under which this machine is a node: its short host name."""
    return socket.gethostname().partition(".")[0]


def is_here(name: str) -> bool:
    """Whether a node's name means this machine."""
    return name in {"localhost", socket.gethostname(), this_machine()}


class LiveSite:
    """Real nodes: this machine by sh, all others by ssh."""

    def __init__(
        self, ssh: tuple[str, ...], here: str | None, output: Callable[[str, bytes], None] | None = None
    ) -> None:
        """``ssh``: options for every ssh; ``here``: the node that is this machine; ``output`` hears commands speak."""
        self.ssh = ssh
        self.here = here
        self._output = output
        self._shells: dict[str, ShellNode] = {}

    def facts(self, *names: str, asks: Mapping[str, Ask] | None = None) -> dict[str, NodeFacts]:
        """All named nodes at once, one round trip each.

        Raises:
            GatherError: a node could not be asked; names it and says why.
        """
        return gather(self._readers(names), asks)

    def answers(
        self, *names: str, asks: Mapping[str, Ask] | None = None
    ) -> dict[str, NodeFacts | GatherError]:
        """As ``facts``, but a node that could not be asked does not keep the others from being heard."""
        return ask_each(self._readers(names), asks)

    def works_on(self, *names: str) -> None:
        """These are the nodes; one of them may be this machine."""
        self.here = next((name for name in names if is_here(name)), None)

    def _readers(self, names: tuple[str, ...]) -> dict[str, ShellNode]:
        return {name: self._reader(name) for name in names}

    def _reader(self, name: str) -> ShellNode:
        if name not in self._shells:
            from executor.shell import ShellNode

            ssh = None if name == self.here else self.ssh
            self._shells[name] = ShellNode(name, ssh, speak=self._output)
        return self._shells[name]

    def read(self, name: str, script: str, deadline_s: int, limit_bytes: int) -> NodeOutcome:
        """Run a script that only looks on one node."""
        return self._reader(name).read(script, deadline_s, limit_bytes)

    def nodes(self, opened: Opened, control: str, generation: int) -> Mapping[str, Node]:
        """See ``Site``. The connections that gathered the facts are those of the run as well."""
        shells = {name: self._reader(name) for name in opened.plan.nodes}
        for shell in shells.values():
            shell.serve(opened.run, control, generation, opened.brief)
        return shells

    def abandon(self, command: Command, why: str) -> None:
        """See ``Site``."""
        shell = self._shells.get(command.node)
        if shell is not None:
            shell.abandon(command, why)

    def time_ms(self) -> int:
        """See ``Site``. By this machine's clock, which goes on while a run waits for ``recover``."""
        return time.time_ns() // 1_000_000

    def close(self) -> None:
        """See ``Site``."""
        for shell in self._shells.values():
            shell.close()
        self._shells.clear()


class SimulatedSite:
    """A folder of facts files as a world of its own; the folder stays as it is."""

    def __init__(self, folder: Path) -> None:
        """Read the world.

        Raises:
            CodecError, FactsFileError: a file is missing, damaged or of another version; names file and place.
        """
        self.recorded = read_world(folder)

    @cached_property
    def world(self) -> World:
        """The simulation; made only when something is to be done to it."""
        from executor.simulated.world import World

        return World.of(*self.recorded.values())

    def facts(self, *names: str, asks: Mapping[str, Ask] | None = None) -> dict[str, NodeFacts]:
        """What the simulated nodes would say now."""
        del asks  # a recorded node can say no more than was recorded
        begun = "world" in vars(self)
        return {name: self.world.facts(name) if begun else self.recorded[name] for name in names}

    def nodes(self, opened: Opened, control: str, generation: int) -> Mapping[str, Node]:
        """See ``Site``."""
        from executor.simulated.node import SimulatedNode

        del control  # nobody comes second to a world of one's own
        return {
            name: SimulatedNode(self.world, name, run=opened.run, generation=generation)
            for name in opened.plan.nodes
        }

    def abandon(self, command: Command, why: str) -> None:
        """See ``Site``. A simulated command takes no time."""

    def time_ms(self) -> None:
        """See ``Site``."""

    def save(self, folder: Path) -> None:
        """Write every node as it is now into ``folder``, one facts file a node."""
        for name in self.recorded:
            write_facts(folder, self.world.facts(name))

    def close(self) -> None:
        """See ``Site``."""
