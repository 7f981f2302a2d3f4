"""Steps that stop and start the container, and the two pivots."""

from __future__ import annotations

from planner.model import State
from planner.parse.config import FENCE
from planner.plan import Command, Compensation, Probe, Step, Zone
from planner.situation import Situation
from planner.steps import (
    DUMP_S,
    LOOKS_ONLY,
    ONLY_FORWARD,
    SLOW_S,
    command,
    device_of,
    dump_file,
    dumpdir,
    files,
    takes_back,
    up_by,
)
from planner.verbs import NO_DUMP, NOT_STAGED


def stop(at: Situation) -> Step:
    """Take it down; vzctl's exit status is not believed, the verb looks ([seen] a hidden unmount failure, rc 0)."""
    side = at.source
    return Step(
        id="stop",
        title=f"{'stop' if _runs(at) else 'unmount'} {at.ctid}",
        zone=Zone.FREEZE,
        do=command(side, "stop-container", at.ctid, side.private, side.root, deadline_s=SLOW_S),
        undo=takes_back("start it" if _runs(at) else "mount it", up_by(at, side, "ensure-up"), must=True),
    )


def suspend(at: Situation) -> Step:
    """Freeze it, write its memory down and take it down; what was running is in the dump."""
    side = at.source
    return Step(
        id="suspend",
        title=f"suspend {at.ctid}: its memory goes to {dumpdir(at, side)}/Dump.{at.ctid}",
        zone=Zone.FREEZE,
        do=command(
            side,
            "suspend-container",
            at.ctid,
            side.private,
            side.root,
            dumpdir(at, side),
            deadline_s=DUMP_S,
        ),
        undo=takes_back(
            "take its memory up again (if that cannot be: start it, memory lost)",
            up_by(at, side, "ensure-up"),
            must=True,
        ),
    )


def freeze(at: Situation) -> Step:
    """Of a staged checkpoint: it stands still from here on, and can go on at any time as if nothing had been."""
    side = at.source
    return Step(
        id="freeze",
        title=f"freeze {at.ctid}; it keeps all that it has in mind",
        zone=Zone.FREEZE,
        do=command(side, "freeze-container", at.ctid, side.root, deadline_s=SLOW_S),
        undo=takes_back("let it go on", up_by(at, side, "ensure-up"), must=True),
    )


def kill(at: Situation) -> Step:
    """Of a staged checkpoint: what stands still ends. For a hand-over, to free its device; else once it has moved."""
    side, before = at.source, at.handed_over
    dump = dump_file(at, side) if before else NO_DUMP
    return Step(
        id="kill",
        title=f"end the frozen {at.ctid}, unmount it",
        zone=Zone.TRANSFER if before else Zone.RETIRE,
        do=command(
            side, "kill-container", at.ctid, side.private, side.root, "chkpnt", dump, deadline_s=SLOW_S
        ),
        undo=takes_back(
            "take its memory up from the dump (if that cannot be: start it, memory lost)",
            up_by(at, side, "ensure-up"),
            must=True,
        )
        if before
        else ONLY_FORWARD,
        frees=not before,
    )


def prove_frozen(at: Situation) -> Step:
    """Look once more before it runs at the destination: whoever lets it go on at the source would have two of it."""
    side = at.source
    return Step(
        id="prove-frozen",
        title=f"prove that {at.ctid} stands still yet",
        zone=Zone.TRANSFER,
        do=command(side, "prove-frozen", at.ctid, side.root),
        undo=LOOKS_ONLY,
    )


def undump(at: Situation) -> Step:
    """Of a staged checkpoint: it is here, and stands still until the pivot."""
    side = at.destination
    return Step(
        id="undump",
        title=f"take up the memory of {at.ctid}; it stands still yet",
        zone=Zone.TRANSFER,
        do=command(
            side,
            "undump-container",
            at.ctid,
            side.private,
            side.root,
            *device_of(side),
            side.dumpdir,
            dump_file(at, side),
            deadline_s=DUMP_S,
        ),
        undo=takes_back("end it, prove it", _kill_undumped(at), must=True),
    )


def _kill_undumped(at: Situation) -> Command:
    side = at.destination
    operands = (at.ctid, side.private, side.root, "restore", NO_DUMP)
    return command(side, "kill-container", *operands, deadline_s=SLOW_S)


def take_down(at: Situation) -> Step:
    """Suspended if it is to keep its memory, else stopped."""
    return suspend(at) if at.online else stop(at)


def bring_up_pivot(at: Situation) -> Step:
    """The point of no return of a container that is up: once it has run here, its old data is history."""
    side = at.destination
    return Step(
        id="bring-up",
        title=_brought_up(at) if at.staged else f"give the config its name, {_brought_up(at)}",
        zone=Zone.PIVOT,
        do=up_by(at, side, "bring-up", NOT_STAGED if at.staged else files.staged(at)),
        undo=takes_back(
            "only if proved that it never came up: end it, prove it", _kill_undumped(at), must=True
        )
        if at.staged
        else _unless(at, "came up"),
        probe=Probe(command(side, "probe-pivot", at.ctid, side.root)),
    )


def _unless(at: Situation, never: str) -> Compensation:
    """What takes a pivot back that gave the config its name; it has taken that away itself, if it could."""
    title = f"only if proved that it never {never}: take the name away, prove it"
    return takes_back(title, files.unnamed(at, at.destination.root), must=True)


def enable_pivot(at: Situation) -> Step:
    """The point of no return of a stopped container: from here on it may be started at the destination."""
    side = at.destination
    return Step(
        id="enable",
        title=f"give the config its name: {at.ctid} may be started here",
        zone=Zone.PIVOT,
        do=command(side, "enable-container", at.ctid, files.staged(at), stdin=FENCE, deadline_s=SLOW_S),
        undo=_unless(at, "had it"),
        probe=Probe(command(side, "probe-pivot", at.ctid, side.root)),
    )


def ensure_memory(at: Situation) -> tuple[Step, ...]:
    """A pivot that was cut off is brought to its end before a boot may take the dump up, or look elsewhere for it."""
    step = Step(
        id="ensure-memory",
        title=f"make sure that {at.ctid} runs with its memory",
        zone=Zone.RETIRE,
        do=up_by(at, at.destination, "ensure-up"),
        undo=ONLY_FORWARD,
        ensures=True,
    )
    return (files.name_config(at, Zone.RETIRE), step) if at.online and not at.staged else ()


def ensure_up(at: Situation) -> Step:
    """The destination may have rebooted since the pivot: make sure that it is as it was."""
    return Step(
        id="ensure-up",
        title=f"make sure that {at.ctid} {'runs' if _runs(at) else 'is mounted'}",
        zone=Zone.RETIRE,
        do=up_by(at, at.destination, "ensure-up", fenced=False),
        undo=ONLY_FORWARD,
        ensures=True,
    )


def _brought_up(at: Situation) -> str:
    if at.staged:
        return f"resume {at.ctid}"
    if at.online:
        return f"take up the memory of {at.ctid}"
    return f"{'start' if _runs(at) else 'mount'} {at.ctid}"


def _runs(at: Situation) -> bool:
    return at.container.state is State.RUNNING
