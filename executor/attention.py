"""What may keep a walk from going on: signals, and the limit on how long the container may be down.

Neither decides anything: each becomes a ``Wish`` in the journal at the next step border. What the engine waits for
meanwhile is given up only if it is a copy, which may take days; everything else ends by itself, or by its deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Final, Protocol

from executor.engine import Watch
from executor.node import NodeOutcome
from executor.signals import Signals
from planner.plan import Command, Plan, Run, Want, What, Wish, Zone
from planner.saga import Past, Pivot

Clock = Callable[[float, Callable[[], None]], Timer]


class Nodes(Protocol):
    """Whoever waits for commands."""

    def abandon(self, command: Command, why: str) -> None:
        """Wait no longer for ``command``."""
        ...


GIVEN_UP: Final = ("copy-tree", "dump-container", "undump-container")
"""Verbs that may take long and can be ended at any time. Not suspend-container: CRIU is at work inside the container's
own processes while it writes a whole checkpoint, and what it leaves there if it is killed is not known."""


class Attention:
    """A ``Watch`` that tells another one, and knows what is under way when something is wished for."""

    def __init__(
        self, nodes: Nodes, plan: Plan, signals: Signals, watch: Watch, clock: Clock = Timer
    ) -> None:
        """Nothing is under way yet."""
        self._nodes, self._plan, self._signals, self._watch, self._clock = nodes, plan, signals, watch, clock
        self._zones = {step.id: step.zone for step in plan.steps}
        self._move: Run | None = None
        self._timer: Timer | None = None
        self._late: Wish | None = None

    def heed(self) -> Wish | None:
        """The next wish, if there is one."""
        late, self._late = self._late, None
        return self._signals.wish() or late

    def began(self, move: Run) -> None:
        """See ``executor.engine.Watch``."""
        self._move = move
        if move.what is What.DO and move.at == self._plan.goes_down:
            self.is_down()
        if move.what is What.DO and self._zones[move.at] is Zone.PIVOT:
            self.close()  # from here on being late takes nothing back
        self._watch.began(move)
        # What was wished for after the engine last asked, and before it was known what is under way now.
        self._hurry(self._signals.pending, Zone.PREPARE)
        self._hurry(self._late, Zone.PREPARE, Zone.FREEZE, Zone.TRANSFER)

    def ended(self, move: Run, outcome: NodeOutcome) -> None:
        """See ``executor.engine.Watch``."""
        self._move = None
        self._watch.ended(move, outcome)

    def signalled(self) -> None:
        """A signal has come: a copy before the freeze is given up at once."""
        self._hurry(self._signals.pending, Zone.PREPARE)

    def is_down(self) -> None:
        """The container goes down now, or is down already: its time begins to count."""
        limit_s = self._plan.max_frozen_s
        if limit_s is not None and self._timer is None:
            self._timer = self._clock(limit_s, self._overrun)
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        """Time counts no longer."""
        if self._timer is not None:
            self._timer.cancel()

    def _overrun(self) -> None:
        self._late = Wish(
            Want.UNWIND, f"it was down for longer than {self._plan.max_frozen_s} s (--max-frozen)"
        )
        self._hurry(self._late, Zone.PREPARE, Zone.FREEZE, Zone.TRANSFER)

    def _hurry(self, wish: Wish | None, *zones: Zone) -> None:
        move = self._move
        if wish is None or move is None or move.what is not What.DO or self._zones[move.at] not in zones:
            return
        if move.command.argv[0] in GIVEN_UP:
            self._nodes.abandon(move.command, wish.because)


@contextmanager
def attending(
    nodes: Nodes, plan: Plan, past: Past, signals: Signals, watch: Watch, *, clock: Clock = Timer
) -> Iterator[Attention]:
    """Within the block signals and limits are attended to.

    Where it is down already and goes on by the operator's word, its time counts anew: who says so knows of the time
    that nobody was at work, which is nearly always longer than the limit.
    """
    attention = Attention(nodes, plan, signals, watch, clock)
    signals.listener = attention.signalled
    if plan.goes_down in past.begun and past.pivot is Pivot.AHEAD and past.unwinding is None:
        attention.is_down()
    try:
        yield attention
    finally:
        attention.close()
        signals.listener = None
