"""Signals as wishes: Ctrl-C and SIGTERM unwind at the next step border; a closed terminal stops nothing.

The handler only remembers; the engine asks between two moves and writes the wish into the journal.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from planner.plan import Want, Wish

Handler = Callable[[int, FrameType | None], object] | signal.Handlers


class Signals:
    """What the operator asked for by signal; ``wish`` hands it out once."""

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        """Nothing has been asked for yet; ``say`` is told the name of a signal as it comes."""
        self._say = say
        self._asked = False
        self.ended = False  # what they could stop; they mean nothing any more
        self.pending: Wish | None = None
        self.listener: Callable[[], None] | None = None  # told at once that a wish has come in

    def wish(self) -> Wish | None:
        """The wish that came in since the last call, if any."""
        pending, self.pending = self.pending, None
        return pending

    def note(self, number: int, _frame: FrameType | None) -> None:
        """The handler: remember the wish.

        Raises:
            KeyboardInterrupt: it is the second one; the run stops where it is.
        """
        if self.ended:
            return
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        name = signal.Signals(number).name
        self.pending = Wish(Want.UNWIND, f"asked to by {name}")
        if self.listener is not None:
            self.listener()
        if self._say is not None:
            self._say(name)


@contextmanager
def heeded(say: Callable[[str], None] | None = None) -> Iterator[Signals]:
    """Within the block SIGINT and SIGTERM become wishes and SIGHUP is ignored; the old handlers come back."""
    signals = Signals(say)
    with _handled({signal.SIGINT: signals.note, signal.SIGTERM: signals.note, signal.SIGHUP: signal.SIG_IGN}):
        yield signals


@contextmanager
def unheeded() -> Iterator[None]:
    """Within the block, which is over in a moment, SIGINT and SIGTERM are ignored; the old handlers come back."""
    with _handled({signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: signal.SIG_IGN}):
        yield


@contextmanager
def _handled(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
