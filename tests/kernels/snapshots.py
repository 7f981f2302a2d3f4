"""Guests as they are right after their first boot: made once in a process, for each of its tests to go on from."""

from __future__ import annotations

import atexit
import shutil
from functools import cache
from pathlib import Path

from tests.kernels.guests import Guests, new_folder


@cache
def made(world: str, running: bool) -> Path:  # as ``Guests`` takes them
    """The folder of a snapshot, for ``Guests``; gone when the process ends, or with the next one if it was killed."""
    folder, mark = new_folder()

    def take_away() -> None:
        shutil.rmtree(folder)
        mark.close()

    atexit.register(take_away)
    with Guests(world, running=running) as box:
        box.save(folder)
    return folder
