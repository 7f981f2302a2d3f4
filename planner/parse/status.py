"""``vzctl status CTID``: the words in which vzctl tells a container's state ([seen])."""

from __future__ import annotations

from planner.model import State


def state(ctid: int, text: str) -> State:
    """The state that ``text`` tells of; UNKNOWN for anything that vzctl does not say.

    A dump that waits shows as the word ``suspended``; ``deleted`` is said while VE_PRIVATE does not exist, even with
    a config present.
    """
    words = text.split()
    match words:
        case ["CTID", number, "exist", "mounted", "running", *_] if number == str(ctid):
            return State.RUNNING
        case ["CTID", number, "exist", "mounted", "down", *_] if number == str(ctid):
            return State.MOUNTED
        case ["CTID", number, "exist", "unmounted", "down", "suspended", *_] if number == str(ctid):
            return State.SUSPENDED
        case ["CTID", number, "exist", "unmounted", "down", *_] if number == str(ctid):
            return State.STOPPED
        case ["CTID", number, "deleted", "unmounted", "down", *_] if number == str(ctid):
            return State.DELETED
    return State.UNKNOWN
