"""The node-side vocabulary: one POSIX sh text a verb, the library they share, and the wrapper around every command."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from planner.verbs import VERBS

SHARED: Final = ("environment", "put", "library", "memory")
"""Files of the library, in order: the receiver of a copy has only that before it."""


@cache
def _read(name: str) -> str:
    return files(__package__).joinpath(f"{name}.sh").read_text()


def text(verb: str) -> str:
    """The sh text of a verb.

    Raises:
        KeyError: there is no such verb.
    """
    if verb not in VERBS:
        raise KeyError(verb)
    return _read(verb)


def library() -> str:
    """What every verb's text is preceded by."""
    return "\n".join(_read(name) for name in SHARED)


def wrapper() -> str:
    """Functions of the session's shell, and what it is rid of before; see the files."""
    return "\n".join(_read(name) for name in ("environment", "put", "wrapper"))
