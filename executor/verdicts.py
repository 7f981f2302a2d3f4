"""Verdicts that are kept on this control host: what was tried for ``show`` need not be tried again for ``apply``.

A verdict is found again only by the same plan, in the same world, for the same source of vzplan; whatever differs is
tried anew. One that speaks against a plan is never kept, and none is believed that another user may have written.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, structs

import executor
import planner
from planner.codec import encode, sha256
from planner.model import Container, Device, NodeFacts, Request
from planner.plan import Plan

FOLDER: Final = "verdicts"
"""In the state folder."""
KEPT: Final = 64
"""So many are kept: the newest."""
LIMIT_BYTES: Final = 4096
FOR_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


class Tried(Struct, frozen=True, forbid_unknown_fields=True):
    """Every failure of a plan was tried, and nothing was found: how many, and what they mean to a person."""

    schedules: int
    killed: int  # those in which vzplan itself ended before
    waits: int  # those of the others that end open


class Verdicts:
    """Those in a state folder. To be made before anything else is done: what runs is what is there then."""

    def __init__(self, state: Path) -> None:
        """``state``: the state folder, which need not be there yet."""
        self._state, self._source = state, source()

    def key_of(self, request: Request, plan: Plan) -> str | None:
        """What a verdict rests on, as a file's name: the plan, its world, what is tried; None: that is not known."""
        if self._source is None:
            return None
        world = (_unmeasured(request.source), _unmeasured(request.destination))
        return sha256((self._source, plan.digest, request.asked, world))

    def read(self, key: str) -> Tried | None:
        """The verdict, if it is known; one that cannot be read is not."""
        try:
            with self._folder() as folder:
                text = _whole(folder, key)
            return msgspec.json.decode(text, type=Tried)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def keep(self, key: str, tried: Tried) -> None:
        """Remember it. Where that cannot be, or vzplan was changed meanwhile, it is tried again the next time."""
        if source() != self._source:
            return
        try:
            self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._state / FOLDER).mkdir(mode=0o700, exist_ok=True)
            with self._folder() as folder:
                _write(folder, key, encode(tried))
                _forget_old(folder, key)
        except OSError:
            return

    @contextmanager
    def _folder(self) -> Iterator[int]:
        """The folder, open: whatever takes its place meanwhile.

        Raises:
            OSError: it is not there, is no folder, or another may write there.
        """
        folder = os.open(self._state / FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _only_ours(folder)
            yield folder
        finally:
            os.close(folder)


def _only_ours(descriptor: int) -> None:
    """Raises PermissionError: another user owns it, or may write there."""
    found = os.fstat(descriptor)
    if found.st_uid != os.geteuid() or found.st_mode & FOR_OTHERS:
        raise PermissionError


def _whole(folder: int, name: str) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        _only_ours(descriptor)
        return file.read(LIMIT_BYTES)


def _write(folder: int, name: str, text: bytes) -> None:
    """Whole or not at all; for its owner only."""
    part = f".{name}.{secrets.token_hex(4)}"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
        os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(part, dir_fd=folder)
        raise


def _forget_old(folder: int, new: str) -> None:
    """All files but the newest go, whatever they are; ``new`` stays, whatever the clock says."""
    found = {name: os.stat(name, dir_fd=folder, follow_symlinks=False) for name in os.listdir(folder)}
    files = [name for name, what in found.items() if name != new and not stat.S_ISDIR(what.st_mode)]
    files.sort(key=lambda name: found[name].st_mtime_ns, reverse=True)
    for name in files[KEPT - 1 :]:
        os.unlink(name, dir_fd=folder)


def source() -> str | None:
    """All that simulation, saga and planner consist of, and what runs them, as a digest; None: it cannot be read."""
    found = hashlib.sha256(f"{sys.version} {sys.flags} {msgspec.__version__}".encode())
    try:
        texts = [
            path
            for package in (executor, planner)
            for path in sorted(Path(package.__path__[0]).rglob("*.py"))
        ]
        for path in texts:
            found.update(f"\n{path}\n".encode())
            found.update(path.read_bytes())
    except OSError:
        return None
    return found.hexdigest() if texts else None


def _unmeasured(facts: NodeFacts) -> NodeFacts:
    """The facts without what is measured: it differs from one minute to the next, and no simulated command reads it."""
    return structs.replace(
        facts,
        containers=tuple(map(_container, facts.containers)),
        devices=tuple(map(_device, facts.devices)),
        rooms=tuple(structs.replace(r, size_bytes=0, free_bytes=0, free_inodes=None) for r in facts.rooms),
        usage=(),
        reaches=tuple(structs.replace(reach, bytes_per_s=None) for reach in facts.reaches),
        available_bytes=None,
    )


def _container(found: Container) -> Container:
    return structs.replace(found, resident_bytes=None, dump_bytes=None)


def _device(found: Device) -> Device:
    if found.filesystem is None:
        return found
    bare = structs.replace(found.filesystem, free_bytes=None, inodes=None, free_inodes=None)
    return structs.replace(found, filesystem=bare)
