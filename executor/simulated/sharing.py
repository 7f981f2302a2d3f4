"""Work shared among processes: each is forked off with all that is known so far, and sends back what it found.

``concurrent.futures`` would do as well; to import it and to start its pool takes long, and ``vzplan show`` is to answer
at once.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from typing import BinaryIO, Final, NamedTuple, TypeVar, cast

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
    parent, pid = os.getpid(), os.fork()
    if pid != 0:
        os.close(writes)
        return _Helper(pid, os.fdopen(reads, "rb"))
    try:
        os.close(reads)
        _end_with(parent)
        pipe = os.fdopen(writes, "wb")
        pickle.dump(task(), pipe, pickle.HIGHEST_PROTOCOL)
        pipe.close()
    except Exception:  # noqa: BLE001 # whatever it is, it is told
        # The pipe is open still: once it is not, this process is killed.
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(0)  # nothing of what the other one has opened is this one's to flush or close


PR_SET_PDEATHSIG: Final = 1


def _end_with(parent: int) -> None:
    """However ``parent`` ends, this process is killed then: nobody is left to whom it could answer (prctl(2))."""
    import ctypes  # noqa: PLC0415 # here it costs whoever works on nothing

    if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) or os.getppid() != parent:
        os._exit(1)


def _answer(helper: _Helper) -> object:
    try:
        return cast("object", pickle.load(helper.answer))  # noqa: S301 # from ourselves
    except EOFError:
        raise RuntimeError("a process that shared the work ended without an answer") from None
