"""One mutant, tried in a fork of a process that has everything imported and every test collected."""

from __future__ import annotations

import gc
import inspect
import os
import resource
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import _lru_cache_wrapper
from types import CodeType, FunctionType
from typing import Final, NamedTuple

import pytest
from coverage import Coverage

MORE_S: Final = 4
"""So much longer than ten times as usual a test may take, of a processor's time; what takes longer has noticed."""
WAITS: Final = 10
"""And so many times as long in all: others may use the processor, too."""
MEMORY_BYTES: Final = 4 << 30
"""What a mutant that never ends may take until then."""


class Seen(NamedTuple):
    """What one test does without any mutant: how long it takes, and which lines it executes."""

    seconds: float
    lines: dict[str, list[int]]


def run_once(items: Sequence[pytest.Item], files: Mapping[str, str]) -> dict[str, Seen]:
    """Run every test, and see what it executes of ``files`` (by where they lie, their names).

    Raises:
        RuntimeError: a test fails although nothing is changed.
    """
    seconds: dict[str, float] = {}
    watched = Coverage(data_file=None, config_file=False, include=list(files))
    watched.start()
    for item, following in _pairs(items):
        watched.switch_context(item.nodeid)
        began = time.monotonic()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        seconds[item.nodeid] = time.monotonic() - began
        if item.session.testsfailed:
            raise RuntimeError(f"{item.nodeid} fails although nothing is changed")
    watched.stop()
    seen = {test: Seen(took, {}) for test, took in seconds.items()}
    for where, name in files.items():
        for line, tests in watched.get_data().contexts_by_lineno(where).items():
            for test in filter(None, tests):
                seen[test].lines.setdefault(name, []).append(line)
    return seen


def forget(files: Mapping[str, str]) -> None:
    """Empty the caches of functions of ``files``: what the tests made of them while they were collected is there."""
    for thing in gc.get_objects():
        if isinstance(thing, _lru_cache_wrapper) and inspect.getfile(thing.__wrapped__) in files:
            thing.cache_clear()


def functions_in(files: Mapping[str, str]) -> dict[tuple[str, str], list[FunctionType]]:
    """The functions that exist of ``files``, by name of the file and their own qualified name."""
    found: dict[tuple[str, str], list[FunctionType]] = {}
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__code__.co_filename in files:
            name = files[thing.__code__.co_filename]
            found.setdefault((name, thing.__code__.co_qualname), []).append(thing)
    return found


def first_that_fails(
    items: Sequence[pytest.Item], seconds: dict[str, float], changed: list[tuple[FunctionType, CodeType]]
) -> int | None:
    """Which of the tests is the first that fails, or takes too long, with the changed functions; None if none does.

    Raises:
        RuntimeError: the functions could not be changed.
    """
    reading, writing = os.pipe()
    with tempfile.TemporaryDirectory(prefix="vzplan-mutant-") as folder:
        child = os.fork()
        if not child:
            os.close(reading)
            _try(items, seconds, changed, writing, folder)
        os.close(writing)
        _, status = os.waitpid(child, 0)
        _end_what_is_left(child)
        begun = len(os.read(reading, len(items)))  # a pipe holds more than that
        os.close(reading)
    if status and not begun:
        raise RuntimeError("a fork ended before its first test began")
    return begun - 1 if status else None


def _try(
    items: Sequence[pytest.Item],
    seconds: dict[str, float],
    changed: list[tuple[FunctionType, CodeType]],
    writing: int,
    folder: str,
) -> None:
    """In the child: write a byte for each test that begins; exit status 0 if none fails."""
    os.setpgid(0, 0)
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
    status = 1
    try:
        for function, code in changed:
            if len(function.__code__.co_freevars) == len(code.co_freevars):  # else it cannot be put in place
                function.__code__ = code
        for item, following in _pairs(items):
            os.write(writing, b".")
            limit = MORE_S + 10 * seconds[item.nodeid]
            signal.setitimer(signal.ITIMER_PROF, limit)  # whose signal ends the process
            signal.setitimer(signal.ITIMER_REAL, limit * WAITS)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if item.session.testsfailed:
                break
        else:
            status = 0
    finally:
        os._exit(status)


def _pairs(items: Sequence[pytest.Item]) -> Iterator[tuple[pytest.Item, pytest.Item | None]]:
    return zip(items, [*items[1:], None], strict=False)  # of none there are none


def _end_what_is_left(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
