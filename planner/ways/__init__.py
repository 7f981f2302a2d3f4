"""The ways of moving a container: one file a way, and the table that names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from planner.plan import Step
from planner.situation import Situation
from planner.ways import copy, hand_over


class Way(Struct, frozen=True):
    """A way: its name, and the functions that say what it does, make its steps and its new config."""

    name: str
    summary: Callable[[Situation], str]
    steps: Callable[[Situation], tuple[Step, ...]]
    new_config: Callable[[Situation], str]


_COPY: Final = (copy.summary, copy.steps, copy.new_config)

WAYS: Final[dict[str, Way]] = {
    "a": Way("a", *_COPY),  # shared -> shared
    "b": Way("b", *_COPY),  # shared -> insulated
    "c": Way("c", *_COPY),  # insulated -> shared
    "d1": Way("d1", *_COPY),  # insulated -> insulated, another device
    "d2": Way("d2", hand_over.summary, hand_over.steps, hand_over.new_config),  # the same device
}


def choose(at: Situation) -> Way:
    """The way, from config, facts and flags; never from device names."""
    if at.handed_over:
        return WAYS["d2"]
    owned, to_own = at.source.device is not None, at.destination.device is not None
    return WAYS[
        {(False, False): "a", (False, True): "b", (True, False): "c", (True, True): "d1"}[owned, to_own]
    ]
