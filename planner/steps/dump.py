"""Steps about the memory of a container that is suspended: the dump in DUMPDIR, which goes where its disk goes.

At the destination it lies in a directory of this run's until nothing but the pivot is missing: a dump under its own
name is what ``vzctl start`` and ``restore`` take up.
"""

from __future__ import annotations

from planner.plan import Command, NothingToUndo, Step, Zone
from planner.situation import Side, Situation
from planner.steps import (
    COPY_S,
    DUMP_S,
    LOOKS_ONLY,
    ONLY_FORWARD,
    SLOW_S,
    command,
    dump_called,
    dump_device_of,
    dump_file,
    dump_place,
    dump_room,
    dumpdir,
    takes_back,
)
from planner.steps.copy import remote_shell
from planner.verbs import NO_DEVICE, NOBODY


def make_places(at: Situation) -> tuple[Step, ...]:
    """Make the directories that it is written to and brought to; taken back with what is in them."""
    if not at.has_memory:
        return ()
    sides = (at.source, at.destination) if at.staged or at.by_device else (at.destination,)
    made = [_make(at, side, dump_place(at, side), "dump-place") for side in sides]
    if at.by_device:
        made += [_make(at, side, dump_room(at, side), "dump-room") for side in sides]
        made += [_mount_at_source(at), _see_mounted(at)]
    return tuple(made)


def _make(at: Situation, side: Side, path: str, what: str) -> Step:
    return Step(
        id=f"make-{what}{_end(at, side)}",
        title=f"make {path} for the memory dump",
        zone=Zone.PREPARE,
        do=command(side, "make-dir", path, "0700"),
        undo=takes_back(*_taken_back(at, side, path), must=False),
    )


def _taken_back(at: Situation, side: Side, path: str) -> tuple[str, Command]:
    """Where the dump's device is mounted to be written to, nothing goes before that is cleared."""
    if side is at.source and path == dump_room(at, side) != dump_place(at, side):
        return "delete the memory dump, release it, rmdir it", _cleared(at, side)
    return _removed(at, side, path)


def _cleared(at: Situation, side: Side) -> Command:
    operands = (*dump_device_of(side), dump_room(at, side), at.ctid)
    return command(side, "clear-dump", *operands, deadline_s=SLOW_S)


def _removed(at: Situation, side: Side, path: str) -> tuple[str, Command]:
    if at.by_device:  # the dump is on that
        return "rmdir it", command(side, "remove-made", path)
    return "delete it with the memory dump in it", command(side, "remove-made-tree", path, deadline_s=SLOW_S)


def _end(at: Situation, side: Side) -> str:
    return "" if side is at.destination else "-source"


def _mount_at_source(at: Situation) -> Step:
    """Its own device is mounted where it is written to; nobody else may see that but root (0700 above it)."""
    side = at.source
    device = dump_device_of(side)
    return Step(
        id="mount-dump-source",
        title=f"mount {dump_called(side)} at {dump_room(at, side)}",
        zone=Zone.PREPARE,
        do=command(side, "mount-dump", *device, dump_room(at, side), "clean", NOBODY, deadline_s=SLOW_S),
        undo=NothingToUndo("it is cleared and released with the room that was made for it"),
    )


def _see_mounted(at: Situation) -> Step:
    """The challenge, as of the container's own device, while there is time to take everything back."""
    side = at.destination
    return Step(
        id="see-dump-mounted",
        title=f"see that {dump_called(side)} is what {at.source.node} has mounted",
        zone=Zone.PREPARE,
        do=command(side, "see-mounted", *dump_device_of(side)),
        undo=LOOKS_ONLY,
    )


def let_go(at: Situation) -> tuple[Step, ...]:
    """The memory is written down, and nothing at the source needs it any more unless everything is taken back."""
    side, device = at.source, dump_device_of(at.source)
    step = Step(
        id="release-dump-source",
        title=f"release {dump_called(side)}, prove it",
        zone=Zone.TRANSFER,
        do=command(side, "release-device", *device, dump_room(at, side), deadline_s=SLOW_S),
        undo=NothingToUndo("what takes its memory up again mounts it again"),
    )
    return (step,) if at.by_device else ()


def take(at: Situation) -> tuple[Step, ...]:
    """Mount the device that carries it, proved to be that one, released by all others; a whole dump may be taken up."""
    if not at.by_device:
        return ()
    side, device = at.destination, dump_device_of(at.destination)
    mounted = Step(
        id="mount-dump-destination",
        title=f"mount {dump_called(side)} at {dump_room(at, side)}",
        zone=Zone.TRANSFER,
        do=command(side, "mount-dump", *device, dump_room(at, side), "clean", at.ctid, deadline_s=SLOW_S),
        undo=takes_back(
            "release it, prove it",
            command(side, "release-device", *device, dump_room(at, side), deadline_s=SLOW_S),
            must=True,  # the source mounts it again
        ),
    )
    known = Step(
        id="accept-dump",
        title=f"see that the memory dump is at {dump_of(at, side)}",
        zone=Zone.TRANSFER,
        do=command(side, "accept-dump", dump_of(at, side)),
        undo=NothingToUndo("it goes back with its device"),
    )
    return (mounted,) if at.staged else (mounted, known)


def write(at: Situation) -> Step:
    """Of a staged checkpoint: what the container, which stands still, has in mind."""
    side = at.source
    return Step(
        id="dump",
        title=f"write its memory to {dump_file(at, side)}",
        zone=Zone.FREEZE,
        do=command(side, "dump-container", at.ctid, side.root, dump_file(at, side), deadline_s=DUMP_S),
        undo=NothingToUndo("the dump goes with the place that it is written to"),
    )


def bring(at: Situation) -> tuple[Step, ...]:
    """Copy it, and give it its name at the destination, where the config has none yet: nobody can take it up.

    A staged one is taken up from where it lies.
    """
    if not at.has_memory or at.by_device:
        return ()
    return (_copy(at),) if at.staged else (_copy(at), _put(at))


def _copy(at: Situation) -> Step:
    """Copy it, and look at both once more, byte by byte; synced there."""
    source, destination = at.source, at.destination
    # Of the operator's options for rsync those that only say how it is sent; others could leave out part of it.
    options = (word for word in at.options.rsync if word.startswith("--bwlimit"))
    return Step(
        id="copy-dump",
        title=f"copy the memory dump {_dump_at(at)} to {destination.node}, synced and compared there",
        zone=Zone.TRANSFER,
        do=command(
            source,
            "copy-tree",
            at.ctid,
            dump_place(at, source) if at.staged else source.dumpdir,
            NO_DEVICE,
            NO_DEVICE,
            destination.node,
            dump_place(at, destination),
            NO_DEVICE,
            NO_DEVICE,
            "dump",
            remote_shell(at.options.peer_ssh),
            "\n".join(options),
            deadline_s=COPY_S,
        ),
        undo=NothingToUndo("what was copied goes with the place that it was copied to"),
    )


def _put(at: Situation) -> Step:
    side = at.destination
    copied, dump = dump_file(at, side), dump_of(at, side)
    return Step(
        id="put-dump",
        title=f"put the memory dump at {dump}",
        zone=Zone.TRANSFER,
        do=command(side, "put-dump", copied, dump, deadline_s=SLOW_S),
        undo=takes_back(
            "put it back", command(side, "withdraw-dump", copied, dump, deadline_s=SLOW_S), must=False
        ),
    )


def void(at: Situation) -> tuple[Step, ...]:
    """Before its start is allowed again: a dump that was taken up, and that a power cut has brought back, goes."""
    side = at.destination
    step = Step(
        id="void-dump",
        title=f"make sure that {dump_of(at, side)} is used up",
        zone=Zone.RETIRE,
        do=command(side, "void-dump", dump_of(at, side), deadline_s=SLOW_S),
        undo=ONLY_FORWARD,
        ensures=True,
    )
    return (step,) if at.online and not at.staged else ()


def retire(at: Situation) -> tuple[Step, ...]:
    """The old dump, which matches no disk any more, and the places that it was written to and copied to."""
    if not at.has_memory:
        return ()
    both = (at.source, at.destination)
    if at.by_device:
        room = _remove(at, at.source, dump_room(at, at.source), "dump-room")
        places = (_remove(at, side, dump_place(at, side), "dump-place") for side in both)
        return (_clear(at), room, *places)
    if at.staged:
        return tuple(_remove(at, side, dump_place(at, side), "dump-place") for side in both)
    old = dump_of(at, at.source)
    deleted = Step(
        id="retire-dump",
        title=f"delete the old memory dump {old}",
        zone=Zone.RETIRE,
        do=command(at.source, "retire-dump", at.ctid, old, f"{old}.vzplan-retired", deadline_s=SLOW_S),
        undo=ONLY_FORWARD,
    )
    place = dump_place(at, at.destination)
    tidy = Step(
        id="remove-dump-place",
        title=f"rmdir {place}",
        zone=Zone.RETIRE,
        do=command(at.destination, "remove-made", place, deadline_s=SLOW_S),
        undo=ONLY_FORWARD,
    )
    return (deleted, tidy)


def _clear(at: Situation) -> Step:
    side = at.destination
    return Step(
        id="clear-dump",
        title=f"delete the memory dump, which is void, from {dump_called(side)}; release that, prove it",
        zone=Zone.RETIRE,
        do=_cleared(at, side),
        undo=ONLY_FORWARD,
    )


def _remove(at: Situation, side: Side, path: str, what: str) -> Step:
    _, do = _removed(at, side, path)
    return Step(
        id=f"remove-{what}{_end(at, side)}",
        title=f"rmdir {path}" if at.by_device else f"delete {path} with the memory dump, which is void",
        zone=Zone.RETIRE,
        do=do,
        undo=ONLY_FORWARD,
    )


def dump_of(at: Situation, side: Side) -> str:
    """Where vzctl looks for it."""
    return f"{dumpdir(at, side)}/Dump.{at.ctid}"


def _dump_at(at: Situation) -> str:
    return dump_file(at, at.source) if at.staged else dump_of(at, at.source)
