"""vzplan laid on a sandbox node, and run there: its usual place is the node that has the container.

Of this machine's files a node sees all but what is its owner's (/root, /tmp and the like; ``node/boot.sh``). Where its
Python is among those, what is needed of it is laid on the node as well, at the same place.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import sysconfig
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from tests.sandbox.nodes import REPOSITORY, Node

LAID: Final = "/root/vzplan"
STATE: Final = "/var/lib/vzplan"
"""Where the journals of root are, unless told otherwise."""
PROGRAM: Final = Path(sys.executable).resolve()
LIBRARY: Final = Path(sysconfig.get_path("stdlib")).resolve()
BUT: Final = shutil.ignore_patterns(
    "__pycache__", "config-*", "ensurepip", "idlelib", "lib2to3", "site-packages", "test", "tests", "tkinter"
)
"""What nobody needs to run a program; it is copied for each node of each test."""
DIES: Final = """
import os, signal, sys
from cli.main import main
from executor.journal import Journal
from planner.plan import Ended

step, append = sys.argv.pop(1), Journal.append

def dies(journal, entry):
    append(journal, entry)
    if isinstance(entry, Ended) and entry.at == step:
        os.kill(os.getpid(), signal.SIGKILL)

Journal.append = dies
main()
"""


def lay_vzplan(node: Node) -> None:
    """Until the node's next boot ``vzplan`` can be run on it."""
    for package in ("planner", "executor", "cli"):
        _lay_folder(node, REPOSITORY / package, f"{LAID}/{package}")
    for known in _needed("vzplan"):
        for name in known.files or ():  # but for commands, which lie elsewhere, and where the checkout is
            if ".." not in name.parts and name.suffix not in {".pth", ".pyc"}:
                _lay_file(node, Path(str(name.locate())), f"{LAID}/{name}")
    if node.sh(f"[ ! -x {shlex.quote(str(PROGRAM))} ] || echo seen") == "":
        for file in (PROGRAM, *LIBRARY.parent.glob("libpython*")):
            _lay_file(node, file, str(file))
        _lay_folder(node, LIBRARY, str(LIBRARY))


def vzplan(node: Node, *words: str) -> tuple[int, str]:
    """The command, as it is typed on the node itself: exit status, and what it said."""
    return _python(node, "-m", "cli.main", *words)


def vzplan_dies(node: Node, step: str, *words: str) -> tuple[int, str]:
    """The same, but it is killed as soon as its journal says that this step has ended."""
    return _python(node, "-c", DIES, step, *words)


def _python(node: Node, *words: str) -> tuple[int, str]:
    said, _, status = node.sh(
        f"cd /; PYTHONPATH={LAID} {shlex.join((str(PROGRAM), *words))} </dev/null 2>&1; printf '\\n%s' $?"
    ).rpartition("\n")
    return int(status), said


def _needed(name: str) -> list[Distribution]:
    """The distribution of that name, those that it requires, and so on."""
    found: dict[str, Distribution] = {}
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        with suppress(PackageNotFoundError):  # it is for another system
            found[name] = distribution(name)
            requires = (each.partition(";") for each in found[name].requires or ())
            waiting += [
                re.split("[^0-9A-Za-z._-]", what)[0] for what, _, when in requires if "extra" not in when
            ]
    return list(found.values())


def _lay_folder(node: Node, folder: Path, place: str) -> None:
    shutil.copytree(folder, node.path(place), symlinks=True, ignore=BUT)


def _lay_file(node: Node, file: Path, place: str) -> None:
    at = node.path(place)
    at.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file, at, follow_symlinks=False)
