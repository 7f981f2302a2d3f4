"""Work shared among processes: each is forked off with all that is known so far, and sends back what it found.

``concurrent.futures`` would do as well; to import it and to start its pool takes long, and ``vzplan show`` is to answer
at once.
"""

from __future__ import annotations

import os
import pickle
import signal
import traceback
from collections.abc import Callable
from typing import BinaryIO, NamedTuple, TypeVar, cast

T = TypeVar("T")


class _Helper(NamedTuple):
    """A process that was forked off, and the end of the pipe from which its answer is read."""

    pid: int
    answer: BinaryIO


def shared(work: list[Callable[[], T]]) -> list[T]:
    """What each of ``work`` returns, in that order: the first is done here, each other one in a process of its own.

    Raises:
        RuntimeError: one of them ended without an answer; why stands on standard error.
    """
    helpers: list[_Helper] = []
    try:
        helpers += [_forked(each) for each in work[1:]]
        return [work[0](), *(cast("T", _answer(helper)) for helper in helpers)]
    finally:
        for helper in helpers:
            helper.answer.close()
            os.kill(helper.pid, signal.SIGKILL)  # it has answered, or nobody waits for it any more
            os.waitpid(helper.pid, 0)


def _forked(task: Callable[[], object]) -> _Helper:
    reads, writes = os.pipe()
    pid = os.fork()
    if pid != 0:
        os.close(writes)
        return _Helper(pid, os.fdopen(reads, "rb"))
    try:
        os.close(reads)
        with os.fdopen(writes, "wb") as pipe:
            pickle.dump(task(), pipe, pickle.HIGHEST_PROTOCOL)
    except Exception:
        traceback.print_exc()
        raise
    finally:
        os._exit(0)  # nothing of what the other one has opened is this one's to flush or close


def _answer(helper: _Helper) -> object:
    try:
        return cast("object", pickle.load(helper.answer))  # noqa: S301 # from ourselves
    except EOFError:
        raise RuntimeError("a process that shared the work ended without an answer") from None
