"""Stand-in for executor/engine.py until that is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from executor.node import Node
from planner.plan import Began, Ended, Entry, Plan, Stop
from planner.saga import Past, next_move


class Pages(Protocol):
    entries: list[Entry]

    def append(self, entry: Entry) -> None: ...


def walk(plan: Plan, journal: Pages, nodes: Mapping[str, Node]) -> Stop:
    past = Past(plan)
    for entry in journal.entries:
        past.note(entry)
    while True:
        move = next_move(plan, past)
        if isinstance(move, Stop):
            return move
        for entry in (Began(move.what, move.at),):
            journal.append(entry)
            past.note(entry)
        outcome = nodes[move.command.node].run(move.command)
        end = Ended(move.what, move.at, outcome)
        journal.append(end)
        past.note(end)
