"""The files of a simulated node, as a value.

A tree is never changed: ``put`` and its like give the tree that comes of it. The same effects happen to the same trees
in thousands of schedules, so each tree remembers what came of it, and what was found by looking at it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final, NamedTuple, TypeVar

R = TypeVar("R")


class File(NamedTuple):
    """A file; two names of the same object are hard links. ``text`` None: bytes that nobody needs to know."""

    text: str | None
    mode: int


class Dir(NamedTuple):
    """A directory."""

    mode: int


class Link(NamedTuple):
    """A symbolic link, or a thing of another kind; twins only see that something is there."""

    kind: str
    real: str | None


class Data(NamedTuple):
    """A container's files: the tick of the last write, in the half that is copied first and the one copied last."""

    head: int
    tail: int


Thing = File | Dir | Link | Data

EMPTY: Final = Data(0, 0)
"""A filesystem without files."""

HALF: Final = Data(-1, -1)
"""A dump of a container's memory that is not whole."""

FIRST: Final = Data(1, 1)
"""Every container's files when the world begins."""


class Shape(NamedTuple):
    """What two trees are compared by."""

    things: frozenset[tuple[str, Thing]]  # all but the containers' files
    data: tuple[tuple[str, Data], ...]
    links: frozenset[tuple[str, ...]]  # names of one file


class Tree(dict[str, Thing]):
    """Path -> what is there."""

    __slots__ = ("_after", "_children", "_found", "_shape")

    def __init__(self, things: dict[str, Thing]) -> None:
        """A tree of its own; nothing is remembered of another."""
        super().__init__(things)
        self._after: dict[tuple[object, ...], Tree] = {}
        self._children: dict[str, tuple[str, ...]] = {}
        self._shape: Shape | None = None
        self._found: dict[Hashable, Any] = {}

    def put(self, path: str, thing: Thing) -> Tree:
        """With ``thing`` at ``path``; a file is a new one, and no link of another."""
        after = self._after.get((path, thing))
        if after is None:
            new = File(*thing) if isinstance(thing, File) else thing
            after = self._after[path, thing] = Tree({**self, path: new})
        return after

    def link(self, old: str, new: str) -> Tree:
        """With another name for the file at ``old``."""
        after = self._after.get(("link", old, new))
        if after is None:
            after = self._after["link", old, new] = Tree({**self, new: self[old]})
        return after

    def drop(self, path: str) -> Tree:
        """Without what is at ``path`` and everything below it."""
        after = self._after.get(("drop", path))
        if after is None:
            below = path + "/"
            left = {p: t for p, t in self.items() if p != path and not p.startswith(below)}
            after = self._after["drop", path] = Tree(left)
        return after

    def move(self, old: str, new: str) -> Tree:
        """With the new name for ``old``, and for everything below it."""
        after = self._after.get(("move", old, new))
        if after is None:
            below = old + "/"
            moved = {
                new + p[len(old) :] if p == old or p.startswith(below) else p: t for p, t in self.items()
            }
            after = self._after["move", old, new] = Tree(moved)
        return after

    def children(self, path: str) -> tuple[str, ...]:
        """Names in the directory ``path``."""
        if path not in self._children:
            below = path.rstrip("/") + "/"
            names = sorted(
                p[len(below) :] for p in self if p.startswith(below) and "/" not in p[len(below) :]
            )
            self._children[path] = tuple(names)
        return self._children[path]

    def once(self, what: Hashable, find: Callable[[], R]) -> R:
        """What ``find`` finds by looking at this tree, which is looked at once for ``what``."""
        if what not in self._found:
            self._found[what] = find()
        found: R = self._found[what]
        return found

    def shape(self) -> Shape:
        """See ``Shape``."""
        if self._shape is None:
            names: dict[int, tuple[str, ...]] = {}
            for path, thing in self.items():
                if isinstance(thing, File):
                    names[id(thing)] = (*names.get(id(thing), ()), path)
            self._shape = Shape(
                frozenset((p, t) for p, t in self.items() if not isinstance(t, Data)),
                tuple(sorted((p, t) for p, t in self.items() if isinstance(t, Data))),
                frozenset(tuple(sorted(paths)) for paths in names.values() if len(paths) > 1),
            )
        return self._shape
