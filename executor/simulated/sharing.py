"""Work shared among processes: each is forked off with all that is known so far, and sends back what it found."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final, TypeVar

T = TypeVar("T")

_WORK: Final[list[Callable[[], object]]] = []
"""What is to be done; processes are forked while it is there, and are told a number."""


def shared(work: list[Callable[[], T]], workers: int) -> list[T]:
    """What each of ``work`` returns, in that order."""
    _WORK[:] = work
    try:
        with ProcessPoolExecutor(workers, get_context("fork")) as pool:
            return list(pool.map(_do, range(len(work))))  # type: ignore[arg-type]
    finally:
        _WORK.clear()


def _do(number: int) -> object:
    return _WORK[number]()
