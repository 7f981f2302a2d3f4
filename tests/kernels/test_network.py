"""Cables are pulled in every zone of a move, and put in again once the run has given up: nothing is lost."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from planner.plan import Outcome, What
from tests.kernels.guests import LINK, Guests
from tests.kernels.qemu import Guest
from tests.kernels.report import note
from tests.kernels.watched import IN_THE_PIVOT, Watching, World, in_the_pivot, struck
from tests.sandbox.test_power_and_network import END


class Cut(NamedTuple):
    """Which cables are pulled before a step, how the run ends then, and whether it has moved once all is mended."""

    way: str
    step: str
    ends: Outcome
    moved: bool
    outer: tuple[str, ...] = ()
    link: bool = False


CUTS: Final = [
    Cut("d2", "stop", Outcome.IN_DOUBT, False, ("hn1",)),
    Cut("d2", "hide-config", Outcome.IN_DOUBT, False, ("hn1",)),
    Cut("d2", "bring-up", Outcome.MIGRATED_NOT_CLEANED, True, ("hn1",)),
    Cut("d2", "make-private", Outcome.UNWOUND_NOT_CLEANED, False, ("hn2",)),
    Cut("d2", "mount-destination", Outcome.IN_DOUBT, False, ("hn2",)),
    Cut("d2", "bring-up", Outcome.IN_DOUBT, False, ("hn2",)),
    Cut("d2", "ensure-up", Outcome.IN_DOUBT, True, ("hn2",)),
    Cut("d2", "mount-destination", Outcome.IN_DOUBT, False, ("hn1", "hn2")),
    Cut("d2", "hide-config", Outcome.MIGRATED, True, (), link=True),
    Cut("a", "copy-1", Outcome.UNWOUND, False, (), link=True),
    Cut("a", "copy-last", Outcome.UNWOUND_NOT_CLEANED, False, ("hn2",), link=True),
    Cut("a", "bring-up", Outcome.MIGRATED, True, (), link=True),
]
SILENT_S: Final = 10
"""After so long there is no cable."""
IDS: Final = [
    f"{cut.way}-{'-'.join((*cut.outer, *(['link'] if cut.link else [])))}-{cut.step}" for cut in CUTS
]


def reached(box: Guests) -> set[str]:
    """The nodes whose sshd can be heard from here."""

    def speaks(guest: Guest) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", guest.port), timeout=SILENT_S) as line:
                line.settimeout(SILENT_S)
                return line.recv(4) == b"SSH-"
        except OSError:
            return False

    return {guest.name for guest in box.nodes if speaks(guest)}


def linked(box: Guests) -> bool:
    """Whether one node hears the other's sshd."""
    there = f"</dev/tcp/{LINK['hn2']}/22"
    return box.hn1.sh(f"timeout {SILENT_S} bash -c 'head -c 4 {there}' 2>/dev/null", check=False) == "SSH-"


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run waits for a node that is not back is not what is tried here."""
    monkeypatch.setattr("planner.saga.PATIENCE_S", (0,))


@pytest.mark.parametrize("cut", CUTS, ids=IDS)
def test_what_cannot_be_reached_is_ended_with_once_it_can(cut: Cut, tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World.new(stack, cut.way, tmp_path)
        box = world.box

        def pull() -> None:
            assert (reached(box), linked(box)) == ({"hn1", "hn2"}, True)
            for name in cut.outer:
                box.guest(name).cut("outer")
            if cut.link:
                box.hn1.cut("link")
            assert (reached(box), linked(box)) == ({"hn1", "hn2"}.difference(cut.outer), not cut.link)

        stop, run = world.apply(Watching({(What.DO, cut.step): pull}, box=box))
        print(stop)
        assert stop.outcome is cut.ends, stop
        for name in cut.outer:
            box.guest(name).mend("outer")
        if cut.link:
            box.hn1.mend("link")
        after = world.recover(run)
        world.assert_ended(after, END[cut.moved])
        cables = [f"controller to {name}" for name in cut.outer] + (["node to node"] if cut.link else [])
        told = f"{cut.way}: {' and '.join(cables)}, before {cut.step}"
        note("network", told, f"{stop.outcome.value}, then {after.outcome.value}", world.frozen_s(run))


@pytest.mark.parametrize("moment", ["waits", "returns"])
def test_a_pivot_whose_answer_nobody_hears_goes_forward_once_it_can_be_asked(
    moment: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        world = World.new(stack, "d2", tmp_path)
        hn2 = world.box.hn2

        def pull() -> None:
            hn2.sh("rm /run/faults/vzctl-*")  # whoever comes next does not wait there
            hn2.cut("outer")

        stop, run = struck(world, "bring-up", in_the_pivot(hn2, moment), pull)
        assert stop.outcome is Outcome.IN_DOUBT, stop
        hn2.mend("outer")
        after = world.recover(run)
        world.assert_ended(after, Outcome.MIGRATED)
        told = f"d2: controller to hn2, in the pivot, as vzctl {IN_THE_PIVOT[moment]} it"
        note("network", told, f"{stop.outcome.value}, then {after.outcome.value}", world.frozen_s(run))
