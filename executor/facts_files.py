"""Facts as files: one ``NODE.json`` a node in a folder, which is also the form of a simulated world."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from planner.codec import decode_facts, pretty
from planner.model import NodeFacts


class FactsFileError(Exception):
    """A folder of facts cannot be read or written; names the file, and says what to do."""


def read_world(folder: Path) -> dict[str, NodeFacts]:
    """Every ``*.json`` of a folder, by node, in order of their names.

    Raises:
        FactsFileError: no such folder, no file in it, one cannot be read, two files are of one node.
        CodecError: a file is not what it should be; names it and the place in it.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".json")
        texts = {path: path.read_bytes() for path in paths}
    except OSError as problem:
        where = problem.filename or folder
        raise FactsFileError(
            f"{where}: {problem.strerror}; name a folder that 'vzplan facts -o' made"
        ) from None
    if not texts:
        raise FactsFileError(
            f"{folder}: there is no NODE.json in it; name a folder that 'vzplan facts -o' made"
        )
    world: dict[str, NodeFacts] = {}
    for path, text in texts.items():
        found = decode_facts(text, str(path))
        if found.node in world:
            raise FactsFileError(f"{path}: node {found.node} has a file already; leave one of them")
        world[found.node] = found
    return world


def write_facts(folder: Path, found: NodeFacts) -> Path:
    """Write ``NODE.json``, whole or not at all; an older one is replaced.

    Raises:
        FactsFileError: it cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.@:\[\]%-]+", found.node):
        raise FactsFileError(f"{folder}: {found.node!r} cannot be the name of a file; nothing was written")
    path = folder / f"{found.node}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, pretty(found))
    except OSError as problem:
        raise FactsFileError(f"{path}: {problem.strerror}; nothing was written") from None
    return path


def write_whole(path: Path, text: str) -> None:
    """Write a file, whole or not at all; an older one is replaced.

    Raises:
        OSError: it cannot be written.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        part.chmod(0o644)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
