"""What is at a path that the operator names, also if it cannot be looked at: pathlib lets some errors fly."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from cli.errors import UserError

ANOTHER: Final = "name another"


def is_there(path: Path, remedy: str = ANOTHER) -> bool:
    """Whether anything is there.

    Raises:
        UserError: it cannot be looked at; ends with the remedy.
    """
    return _mode(path, remedy) != 0


def is_file(path: Path) -> bool:
    """Whether a file is there.

    Raises:
        UserError: see ``is_there``.
    """
    return stat.S_ISREG(_mode(path, ANOTHER))


def is_folder(path: Path) -> bool:
    """Whether a folder is there.

    Raises:
        UserError: see ``is_there``.
    """
    return stat.S_ISDIR(_mode(path, ANOTHER))


def _mode(path: Path, remedy: str) -> int:
    """What kind of thing it is; 0: there is nothing."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as problem:
        # Its name is too long, it is a link to itself, a folder on the way is closed to us.
        raise UserError(f"{path}: {problem.strerror}; {remedy}") from None
