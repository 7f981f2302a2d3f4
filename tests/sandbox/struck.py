"""What befalls simulated nodes (``executor.simulated.faults``), made on real ones: to compare what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from msgspec import structs

from executor.simulated.faults import OTHER_RUN, Fault
from executor.simulated.loading import OWNERS
from executor.simulated.schedules import schedule
from executor.simulated.world import EDIT
from executor.site import LiveSite
from planner.plan import Command, Run
from tests.sandbox import Node, Sandbox, cut_network, end_busy, make_busy, restore_network
from tests.sandbox.beside import Schedule
from tests.sandbox.driving import CTID, PRIVATE, ROOT, Driver
from tests.sandbox.supervisor import NAMES
from tests.sandbox.test_every_step import Kind, Trouble, TroubledSite
from tests.sandbox.test_failures import switch

Action = Callable[[Sandbox, Command], None]
"""Done to nodes because of a command."""


def _node(box: Sandbox, name: str) -> Node:
    """As it is since its last boot."""
    return box.nodes[NAMES.index(name)]


def _peer(command: Command) -> str:
    source, destination = NAMES
    return source if command.node == destination else destination


def _nothing(_box: Sandbox, _command: Command) -> None:
    pass


def _busy(box: Sandbox, command: Command) -> None:
    """By processes whose names are kept on the node, for who mends it."""
    node = _node(box, command.node)
    pids = [make_busy(node, path) for path in (PRIVATE, ROOT) if node.path(path).exists()]
    node.sh(f"echo {' '.join(map(str, pids))} >/run/busy")


def _mended(box: Sandbox, command: Command) -> None:
    node = _node(box, command.node)
    for pid in node.sh("rm -f /run/faults/*; cat /run/busy 2>/dev/null; rm -f /run/busy").split():
        end_busy(node, int(pid))


def _switch(name: str, text: str = "") -> Action:
    return lambda box, command: _said(box, command.node, switch(name, text))


def _said(box: Sandbox, name: str, script: str) -> None:
    _node(box, name).sh(script)


def _typed(name: str, script: str) -> Action:
    """By a person, whatever comes of it."""
    return lambda box, _command: _said(box, name, f"{script} || true")


def _vzctl(name: str, word: str, *flags: str) -> Action:
    return _typed(name, f"vzctl {word} {CTID} {' '.join(flags)}")


def _reboots(box: Sandbox, command: Command) -> None:
    box.reboot(command.node)


def _both_reboot(box: Sandbox, _command: Command) -> None:
    """One power supply for both."""
    for does in (box.power_cut, box.boot):
        for name in NAMES:
            does(name)


def _cut_off(box: Sandbox, command: Command) -> None:
    cut_network(_node(box, command.node))


def _back(box: Sandbox, command: Command) -> None:
    restore_network(_node(box, command.node))


def _each(*actions: Action) -> Action:
    def all_of_them(box: Sandbox, command: Command) -> None:
        for action in actions:
            action(box, command)

    return all_of_them


def _on_peer(action: Action) -> Action:
    return lambda box, command: action(box, structs.replace(command, node=_peer(command)))


def _another_makes_it(box: Sandbox, command: Command) -> None:
    """What the command is about to make."""
    verb, path, *_ = command.argv
    makes = {"make-dir": f"mkdir -m 700 {path}", "make-file": f'umask 022; echo "another\'s" >{path}'}[verb]
    _said(box, command.node, f"[ -e {path} ] || ({makes}); sync")


def _what_it_made(box: Sandbox, command: Command) -> None:
    _said(box, command.node, f"rm -r {command.argv[1]}")


def _second_run(box: Sandbox, command: Command) -> None:
    """Takes the container in hand on this node, if nobody has."""
    made = f"umask 077; mkdir -p {OWNERS}; echo {OTHER_RUN} elsewhere >{OWNERS}/{CTID}"
    _said(box, command.node, f"[ -e {OWNERS}/{CTID} ] || ({made}); sync")


def _second_run_gives_up(box: Sandbox, command: Command) -> None:
    record = f"{OWNERS}/{CTID}"
    _said(box, command.node, f"! grep -q -s '^{OTHER_RUN} ' {record} || rm {record}; sync")


_CONFIG: Final = f"/etc/vz/conf/{CTID}.conf"
_MORE: Final = EDIT.strip()
_EDITED: Final = (
    f"! [ -f {_CONFIG} ] || grep -q -x -F '{_MORE}' {_CONFIG} || echo '{_MORE}' >>{_CONFIG}; sync"
)
_AS_BEFORE: Final = f"! [ -f {_CONFIG} ] || sed -i '/^{_MORE}$/d' {_CONFIG}; sync"


class Real(NamedTuple):
    """What a kind of failure is on real nodes: something done to one of them, or to the command."""

    puts_in: Action = _nothing
    takes_out: Action = _mended
    of_command: Kind | None = None
    once: bool = False  # taken out when the command has ended
    after: Action = _nothing  # when it has ended


REAL: Final[Mapping[str, Real]] = {
    "fails-before": Real(of_command=Kind.BEFORE),
    "fails-after": Real(of_command=Kind.AFTER),
    "lost-before": Real(of_command=Kind.CUT),
    "lost-after": Real(of_command=Kind.LOST),
    "half-1": Real(_switch("rsync-half"), once=True),
    "unreachable": Real(_cut_off, _back),
    "peer-unreachable": Real(_on_peer(_cut_off), _on_peer(_back)),
    "both-unreachable": Real(_each(_cut_off, _on_peer(_cut_off)), _each(_back, _on_peer(_back))),
    "unreachable-after": Real(of_command=Kind.LOST, after=_cut_off, takes_out=_back),
    "unreachable-next": Real(after=_cut_off, takes_out=_back),
    "reboot-before": Real(_reboots, _nothing),
    "reboot-after": Real(after=_reboots, takes_out=_nothing),
    "reboot-before-stays-away": Real(_each(_reboots, _cut_off), _back),
    "reboot-after-stays-away": Real(of_command=Kind.LOST, after=_each(_reboots, _cut_off), takes_out=_back),
    "peer-reboot": Real(_on_peer(_reboots), _nothing),
    "peer-reboot-stays-away": Real(_on_peer(_each(_reboots, _cut_off)), _on_peer(_back)),
    "both-reboot": Real(_both_reboot, _nothing),
    "busy": Real(_busy),
    "busy-once": Real(_busy, once=True),
    "hooks-hide-failure": Real(_switch("hooks-fail"), once=True),
    "hooks-hide-every-failure": Real(_switch("hooks-fail")),
    "will-not-mount": Real(_switch("mount-fails", PRIVATE)),
    "will-not-mount-once": Real(_switch("mount-fails", PRIVATE), once=True),
    "will-not-start": Real(_switch("init-fails")),
    "will-not-start-once": Real(_switch("init-fails"), once=True),
    "operator-starts-at-source": Real(_vzctl("hn1", "start"), _nothing),
    "operator-forces-start-at-source": Real(_vzctl("hn1", "start", "--force", "--skiplock"), _nothing),
    "operator-stops-at-source": Real(_vzctl("hn1", "stop"), _nothing),
    "operator-starts-at-destination": Real(_vzctl("hn2", "start"), _nothing),
    "operator-forces-start-at-destination": Real(_vzctl("hn2", "start", "--force", "--skiplock"), _nothing),
    "operator-stops-at-destination": Real(_vzctl("hn2", "stop"), _nothing),
    "operator-mounts-at-source": Real(_vzctl("hn1", "mount"), _nothing),
    "operator-edits-config": Real(_typed("hn1", _EDITED), _typed("hn1", _AS_BEFORE)),
    "another-makes-it": Real(_another_makes_it, _what_it_made),
    "second-run": Real(_second_run, _second_run_gives_up, once=True),
}
"""Kinds of ``executor.simulated.faults`` that can be made on sandbox nodes, and how."""

NOT_MADE: Final[Mapping[str, str]] = {
    "half-lost": "verbs are killed at each of their syncs instead, one by one (half of a copy is met by both); what "
    "comes between is not durable",
    "late-1, late-2, late-3": "nothing holds a command up on its way; that settling ends what is still at work is "
    "tested by its outcome (test_controllers)",
    "goes-on, goes-on-at-the-other-end": "how far a copy comes after its connection was cut is chance; what becomes of "
    "it is tested by its outcome (test_failures)",
    "unreachable-half, unreachable-for-2, unreachable-for-5": "as unreachable, from or up to a moment in between; "
    "nodes that come back in between are tested by their outcome (test_power_and_network)",
    "reboot-half, reboot-half-lucky, reboot-half-without-notes, reboot-half-torn, reboot-half-stays-away, "
    "peer-reboot-half": "one kernel decides when it writes out what; power is cut in the middle of verbs between two "
    "kernels (tests/kernels), and what a boot then finds is compared here (test_nodes)",
    "names-move": "loop devices keep the names that the sandbox gives them",
    "killed-before, killed-half, killed-after, killed-late-1, killed-late-2, journal-fails-before, "
    "journal-fails-after, killed-before-forward, killed-half-forward, killed-after-forward, killed-late-forward, "
    "reboot-before-forward, reboot-after-forward, peer-reboot-forward, reboot-and-killed, reboot-half-and-killed, "
    "peer-reboot-and-killed, both-reboot-and-killed": "to the nodes they are a command that is lost, or a "
    "boot, and recover; real nodes meet them at writes of the journal, judged by the outcome (test_crash)",
    "journal-lost-before, journal-lost-half, journal-lost-after, journal-lost-and-reboot, "
    "journal-lost-and-peer-reboot, sleeps-before, sleeps-after, sleeps-until-adopted, sleeps-a-little, "
    "sleeps-longer": "a run is adopted, and one that slept wakes up, on real nodes too, judged by the outcome "
    "(test_controllers)",
    "off, off-half, off-after, off-after-lost, peer-off, peer-off-and-killed": "a node without power gives no facts to "
    "compare; those of the other one, and the end, are tested (test_power_and_network)",
    "will-not-be-removed": "nothing that a sandbox could do keeps every verb from removing anything; what is mounted "
    "below, which keeps one of them, is tested by its outcome (test_failures)",
}
"""The others, and why they are not compared."""


@dataclass(frozen=True)
class Troubled(Driver):
    """A driver of real nodes that meet what a schedule says."""

    box: Sandbox
    trouble: Trouble = field(default_factory=lambda: Trouble(Kind.BEFORE))
    standing: list[Callable[[], None]] = field(default_factory=list)  # what mends what is not over by itself

    def site(self) -> LiveSite:
        """See ``Driver``."""
        return TroubledSite(self.ssh, self.trouble)

    def watch(self, line: str) -> Schedule:
        """Puts them in, and takes out what is over with its command."""
        over: list[Callable[[], None]] = []  # when the command ends

        def put_in(fault: Fault, move: Run) -> None:
            real = REAL[fault.name]
            if real.of_command is not None:
                self.trouble.kind = real.of_command
                self.trouble.awaits(move.command)
            real.puts_in(self.box, move.command)
            (over if real.once else self.standing).append(partial(real.takes_out, self.box, move.command))
            over.append(partial(real.after, self.box, move.command))

        return Schedule(armed=schedule(line), put_in=put_in, take_out=lambda: _once(over))

    def mend(self) -> None:
        """Nothing fails any more."""
        _once(self.standing)


def _once(actions: list[Callable[[], None]]) -> None:
    while actions:
        actions.pop()()
