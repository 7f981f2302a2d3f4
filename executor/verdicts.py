"""Verdicts that are kept on this control host: what was tried for ``show`` need not be tried again for ``apply``.

A verdict is found again only by the same plan, in the same world, for the same source of vzplan; whatever differs is
tried anew. One that speaks against a plan is never kept, and none is believed that another user may have written.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, structs

import executor
import planner
from executor.facts_files import read_whole, write_whole
from planner.codec import encode, sha256
from planner.model import Container, Device, NodeFacts, Request
from planner.plan import Plan

FOLDER: Final = "verdicts"
"""In the state folder."""
MOST: Final = 64
"""So many are kept: the newest."""
LIMIT_BYTES: Final = 4096


class Tried(Struct, frozen=True, forbid_unknown_fields=True):
    """Every failure of a plan was tried, and nothing was found: how many, and what they mean to a person."""

    schedules: int
    killed: int  # those in which vzplan itself ended before
    waits: int  # those of the others that end open


def key_of(request: Request, plan: Plan) -> str:
    """What a verdict rests on, as a file's name: the plan, the world of its facts, what tries it and what is tried."""
    world = (_lasting(request.source), _lasting(request.destination))
    return sha256((_source(), plan.digest, request.asked, world))


def read(state: Path, key: str) -> Tried | None:
    """The verdict, if it is known; one that cannot be read is not."""
    folder = state / FOLDER
    try:
        text = read_whole(folder / key, LIMIT_BYTES) if _ours(folder) else None
        return None if text is None else msgspec.json.decode(text, type=Tried)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def keep(state: Path, key: str, tried: Tried) -> None:
    """Remember it. Where that cannot be, it is tried again the next time."""
    folder = state / FOLDER
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if not _ours(folder):
            return
        write_whole(folder / key, encode(tried).decode())
        for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)[:-MOST]:
            path.unlink()
    except OSError:
        return


def _ours(folder: Path) -> bool:
    """Whether nobody else may write there."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


@cache
def _source() -> str:
    """All that the simulation, the saga and the planner consist of, and the Python that runs them."""
    found = hashlib.sha256(sys.version.encode())
    for package in (executor, planner):
        top = Path(package.__path__[0])
        for path in sorted(top.rglob("*.py")):
            found.update(f"\n{path.relative_to(top.parent)}\n".encode())
            found.update(path.read_bytes())
    return found.hexdigest()


def _lasting(facts: NodeFacts) -> NodeFacts:
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
