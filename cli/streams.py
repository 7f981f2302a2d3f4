"""Standard output and error, such that nothing that becomes of them keeps a command from its end or from its outcome.

A character that the terminal has no way to write is spelled out. A reader that has gone (``| head``, a closed terminal)
is told nothing more, and the command goes on as if everything had been read. A write that fails otherwise (a full disk)
is an error, unless it was said by ``tell``: then what is under way matters more.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TextIO, cast

GONE: Final = (errno.EPIPE, errno.EIO)
"""What a write to a pipe, or to a terminal, gives once nobody is at its other end."""


class OutputError(Exception):
    """Something cannot be printed; says why. No OSError: typer ends by its own exit code for some of them."""


class Heard:
    """A stream that knows whether somebody is there to read it."""

    def __init__(self, stream: TextIO) -> None:
        """Whatever this class does not have is the stream's own."""
        self._stream = stream
        self.gone = False
        if isinstance(stream, io.TextIOWrapper):
            # A line that cannot be written is to fail where it is printed, not when the interpreter ends.
            stream.reconfigure(errors="backslashreplace", line_buffering=True)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 # whatever the stream has
        """See ``__init__``."""
        return getattr(self._stream, name)

    @property
    def encoding(self) -> str:
        """Every character can be written. With ASCII's name here click would go around this, to the bytes below."""
        return "utf-8"

    def write(self, text: str) -> int:
        """As a stream's; nothing is written once the reader has gone.

        Raises:
            OutputError: it cannot be written for another reason.
        """
        self._tried(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """As a stream's.

        Raises:
            OutputError: see ``write``.
        """
        self._tried(self._stream.flush)

    def let_go(self) -> None:
        """At the end: what could not be written must not fail once more when the interpreter flushes its streams."""
        try:
            self.flush()
        except OutputError:
            _to_nowhere(self._stream)

    def _tried(self, how: Callable[[], object]) -> None:
        if self.gone:
            return
        try:
            how()
        except OSError as problem:
            if problem.errno not in GONE:
                raise OutputError(f"the output cannot be written: {problem.strerror}") from None
            self.gone = True
            _to_nowhere(self._stream)


@contextmanager
def heard() -> Iterator[None]:
    """Within the block standard output and error are of this kind, and all three streams are there."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # it was closed; and no file of ours is to take its number
            nowhere = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(nowhere, mode, encoding="utf-8", closefd=False))
    before = sys.stdout, sys.stderr
    out, err = Heard(sys.stdout), Heard(sys.stderr)
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", err)
    try:
        yield
    finally:
        out.let_go()
        err.let_go()
        sys.stdout, sys.stderr = before


def tell(text: str, stream: TextIO) -> None:
    """Print it at once; that it cannot be printed stops nothing (L10)."""
    # RuntimeError: a signal's handler speaks in the middle of another write to the same stream.
    with suppress(OutputError, RuntimeError):
        print(text, file=stream, flush=True)


def has_gone(stream: TextIO) -> bool:
    """Whether nobody reads any more what is printed there."""
    return isinstance(stream, Heard) and stream.gone


def columns(stream: TextIO) -> int | None:
    """How wide the terminal is; None: it is none, or does not say."""
    try:
        return (os.get_terminal_size(stream.fileno()).columns or None) if stream.isatty() else None
    except (OSError, ValueError):
        return None


def _to_nowhere(stream: TextIO) -> None:
    with suppress(OSError, ValueError):  # a stream that is no file has no number
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
