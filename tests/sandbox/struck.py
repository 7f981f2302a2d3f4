"""What befalls simulated nodes (``executor.simulated.faults``), made on real ones: to compare what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from executor.simulated.faults import Fault
from executor.simulated.schedules import schedule
from executor.site import LiveSite
from planner.plan import Run
from tests.sandbox import Node, Sandbox, end_busy, make_busy
from tests.sandbox.beside import Schedule
from tests.sandbox.driving import PRIVATE, ROOT, Driver
from tests.sandbox.supervisor import NAMES
from tests.sandbox.test_every_step import Kind, Trouble, TroubledSite
from tests.sandbox.test_failures import switch


def _busy(node: Node) -> list[int]:
    return [make_busy(node, path) for path in (PRIVATE, ROOT) if node.path(path).exists()]


def _switch(name: str, text: str = "") -> Callable[[Node], list[int]]:
    def on(node: Node) -> list[int]:
        node.sh(switch(name, text))
        return []

    return on


class Real(NamedTuple):
    """What a kind of failure is on a real node: something done to the node of the command, or to the command."""

    puts_in: Callable[[Node], list[int]] | None = None  # gives the processes that are to be ended
    of_command: Kind | None = None
    once: bool = False  # it is over when the command has ended


REAL: Final[Mapping[str, Real]] = {
    "fails-before": Real(of_command=Kind.BEFORE),
    "fails-after": Real(of_command=Kind.AFTER),
    "lost-before": Real(of_command=Kind.CUT),
    "lost-after": Real(of_command=Kind.LOST),
    "half-1": Real(_switch("rsync-half"), once=True),
    "busy": Real(_busy),
    "busy-once": Real(_busy, once=True),
    "hooks-hide-failure": Real(_switch("hooks-fail"), once=True),
    "hooks-hide-every-failure": Real(_switch("hooks-fail")),
    "will-not-mount": Real(_switch("mount-fails", PRIVATE)),
    "will-not-mount-once": Real(_switch("mount-fails", PRIVATE), once=True),
    "will-not-start": Real(_switch("init-fails")),
    "will-not-start-once": Real(_switch("init-fails"), once=True),
}
"""Kinds of ``executor.simulated.faults`` that can be made on sandbox nodes, and how."""


@dataclass(frozen=True)
class Troubled(Driver):
    """A driver of real nodes that meet what a schedule says."""

    box: Sandbox
    trouble: Trouble = field(default_factory=lambda: Trouble(Kind.BEFORE))
    standing: list[Callable[[], None]] = field(default_factory=list)  # what mends what is not over by itself

    def site(self) -> LiveSite:
        """See ``Driver``."""
        return TroubledSite(self.ssh, self.trouble)

    def watch(self, line: str) -> Schedule:
        """Puts them in, and takes out what is over with its command."""
        over: list[Callable[[], None]] = []

        def put_in(fault: Fault, move: Run) -> None:
            real, node = REAL[fault.name], self.box.nodes[NAMES.index(move.command.node)]
            if real.of_command is not None:
                self.trouble.kind = real.of_command
                self.trouble.awaits(move.command)
            if real.puts_in is not None:
                (over if real.once else self.standing).append(partial(mend_node, node, real.puts_in(node)))

        return Schedule(armed=schedule(line), put_in=put_in, take_out=lambda: _each(over))

    def mend(self) -> None:
        """Nothing fails any more."""
        _each(self.standing)


def mend_node(node: Node, pids: list[int]) -> None:
    """Nothing fails there any more."""
    node.sh("rm -f /run/faults/*")
    for pid in pids:
        end_busy(node, pid)


def _each(actions: list[Callable[[], None]]) -> None:
    while actions:
        actions.pop()()
