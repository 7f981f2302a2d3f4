"""What a move may meet, as the design names it, and by which kinds of failure the exploration tries it."""

from __future__ import annotations

from typing import Final

import pytest

from executor.simulated.explore import explore
from executor.simulated.faults import BY_NAME, Answer, Dies, Then
from executor.simulated.schedules import WISH
from tests.worlds import WORLDS

MET: Final = {
    "fails before its effect": ("fails-before",),
    "fails after its effect": ("fails-after",),
    "half an effect": ("half", "half-lost"),
    "the answer lost, with and without effect": ("lost-before", "lost-after"),
    "an effect that lands one to three commands later": ("late-1", "late-2", "late-3", "goes-on"),
    "unreachable from here on, and back later": ("unreachable", "unreachable-for-2", "unreachable-for-5"),
    "reboots, of either node and of both": (
        "reboot-before",
        "reboot-half",
        "reboot-after",
        "peer-reboot",
        "both-reboot",
    ),
    "the controller killed": ("killed-before", "killed-half", "killed-after"),
    "and gone on with forward": ("killed-before-forward", "killed-half-forward", "killed-after-forward"),
    "its journal not written, or lost": ("journal-fails-before", "journal-fails-after", "journal-lost-after"),
    "only asleep while another takes over": ("sleeps-before", "sleeps-after", "sleeps-until-adopted"),
    "a node off, by the operator's word": ("off", "off-half", "off-after", "peer-off"),
    "a hook that swallows its error": ("hooks-hide-failure", "hooks-hide-every-failure"),
    "a busy mount": ("busy", "busy-once"),
    "what will not start or be mounted": ("will-not-start", "will-not-mount", "will-not-be-removed"),
    "an operator": (
        "operator-starts-at-source",
        "operator-stops-at-source",
        "operator-starts-at-destination",
        "operator-stops-at-destination",
        "operator-mounts-at-source",
        "operator-edits-config",
    ),
    "a second controller": ("second-run",),
}
"""In the words of the design, and of the issues since; there are more kinds than these."""


@pytest.mark.parametrize("met", MET)
def test_what_a_move_may_meet_is_a_kind_of_failure(met: str) -> None:
    assert set(MET[met]) <= BY_NAME.keys()


def test_a_kind_does_to_what_is_heard_what_its_name_says() -> None:
    for name, kind in BY_NAME.items():
        word, _, when = name.partition("-")
        if word == "fails":
            assert kind.answer is Answer.FAILS
        if word in ("lost", "late"):
            assert kind.answer is Answer.LOST
        if word == "late":
            assert kind.late == int(when)
        if word == "killed" and not kind.late:
            assert kind.dies is (Dies.BEFORE if when.startswith("before") else Dies.AFTER)
        if name.endswith("forward"):
            assert kind.then is Then.FORWARD
        if name.startswith(("journal-lost", "sleeps")):
            assert kind.then is Then.ADOPT
        if "off" in name.split("-"):
            assert kind.then is Then.OFF
    assert BY_NAME["journal-fails-before"].dies is Dies.AT_BEGAN
    assert BY_NAME["journal-fails-after"].dies is Dies.AT_ENDED


def test_each_kind_is_tried_in_an_exploration() -> None:
    report = explore(WORLDS["a-stopped-area-kept"], workers=1)
    assert {cell.kind for cell in report.cells} == {*BY_NAME, WISH}
