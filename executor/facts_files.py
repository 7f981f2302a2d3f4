"""Facts as files: one ``NODE.json`` a node in a folder, which is also the form of a simulated world."""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Final

from planner.codec import decode_facts, pretty
from planner.model import NodeFacts

LIMIT_BYTES: Final = 64 << 20
"""Of one file: more than a node with thousands of containers says of itself (executor/gather.py)."""


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
        texts = {path: read_whole(path, LIMIT_BYTES) for path in paths}
    except OSError as problem:
        where = problem.filename or folder
        raise FactsFileError(
            f"{where}: {problem.strerror}; name a folder that 'vzplan facts -o' made"
        ) from None
    for path, text in texts.items():
        if text is None:
            raise FactsFileError(
                f"{path}: not a file, or too large for one of facts; name a folder that 'vzplan facts -o' made"
            )
    if not texts:
        raise FactsFileError(
            f"{folder}: there is no NODE.json in it; name a folder that 'vzplan facts -o' made"
        )
    world: dict[str, NodeFacts] = {}
    for path, text in texts.items():
        found = decode_facts(text or b"", str(path))
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


def read_whole(path: Path, limit_bytes: int) -> bytes | None:
    """What is in a file; None if it is larger, or no file: a pipe would never end, and a device may be endless.

    Raises:
        OSError: it cannot be read.
    """
    if stat.S_IFMT(path.stat().st_mode) not in (stat.S_IFREG, stat.S_IFDIR):  # a directory says so itself
        return None
    with path.open("rb") as file:
        text = file.read(limit_bytes + 1)
    return text if len(text) <= limit_bytes else None


def write_whole(path: Path, text: str) -> None:
    """Write a file, whole or not at all; an older one is replaced, and keeps its mode.

    A new one is for its owner only: configs and action scripts may hold what is not for everyone.

    Raises:
        OSError: it cannot be written, or is there and no file: /dev/null is not to be replaced, nor what a link
            leads to: another may have put the link there.
    """
    if path.is_symlink():
        raise FileExistsError(
            errno.EEXIST, "it is a link, which is not followed; name the file itself", str(path)
        )
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "it is there, and is not a file", str(path))
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        if path.exists():
            part.chmod(stat.S_IMODE(path.stat().st_mode))
        part.replace(path)
    except BaseException:  # Ctrl-C, and text that is not to be encoded, too
        part.unlink(missing_ok=True)
        raise
