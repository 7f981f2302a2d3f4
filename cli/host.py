"""This control host: where its journals are, and what its controllers are called."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from cli.errors import UserError
from cli.paths import is_folder, is_there
from executor.journal import NAME_IT, state_folder


def own_state() -> Path:
    """The folder of this control host's journals, which need not be there yet."""
    state = state_folder(os.environ)
    if not str(_whole(state)).isprintable():  # nodes keep it, a line of text, as where their controller is
        raise UserError(f"{state}: a character of it cannot be printed, or is not UTF-8; {NAME_IT}")
    if is_there(state, NAME_IT) and not is_folder(state):
        raise UserError(f"{state}: it is not a folder; {NAME_IT}")
    return state


def this_controller() -> str:
    """Where this controller is, for whoever finds its records on a node."""
    return f"{socket.gethostname()}:{_whole(state_folder(os.environ))}"


def _whole(state: Path) -> Path:
    """Its path from the root on, which it has not if it is meant from a working directory that is gone."""
    try:
        return state.absolute()
    except OSError as problem:
        raise UserError(f"{state}: the working directory: {problem.strerror}; {NAME_IT}, from / on") from None
