"""The vocabulary between plan and node: the table of verbs.

A step is one verb with one exit status. It is 0 only if the promised state holds when the verb returns, whatever
state it found, and would survive a power cut. Each verb has a POSIX sh text in ``executor/verbs/`` and a twin in
``executor/simulated/``; a test checks that the three agree on names and operands.

Exit statuses that mean something to the saga are named below. Anything else but 0 is "failed, perhaps half done".
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

NOT_UP: Final = 3
"""It did not come up, and it is *proved* that nothing runs and nothing is half mounted here: DOWN, not IN_DOUBT."""
HALF_UP: Final = 4
"""It did not come up, and it is *proved* that nothing runs here; but something holds what is mounted: DOWN as well."""
YES: Final = 10
NO: Final = 11
UNPROVED: Final = 12
UNFIT: Final = 13
"""It looked, changed nothing, and what the plan rests on is not so: the move is refused, not failed."""
REFUSED: Final = 120
"""The wrapper did nothing: no run folder, another generation, another boot, or the run's lock is taken."""
TAKEN_OVER: Final = 121
"""The wrapper did nothing, and never will for this controller: a later one has taken the run over."""
FORGOTTEN: Final = 122
"""The same: the run is not on record there any more. Another controller has ended it, or what was kept was removed."""

MEMORY_LOST: Final = "its memory is lost"
"""Said on standard error by a verb that had to start a container anew, although it was to keep its memory."""

AUTO_PASSES: Final = 5
"""So often copy-tree's pass "auto" copies at most."""

ANY_CONTENT: Final = "-"
"""Operand for a file's checksum where its content does not matter."""
NO_DEVICE: Final = "-"
"""Operand for a device or identity where the container owns none."""

NO_DUMP: Final = "-"
"""Operand for a dump's file where there is none."""

ANY_MOUNT: Final = "-"
"""Operand for a root area where it does not matter whether something is mounted there."""

NOT_STAGED: Final = "-"
"""Operand for a staged config where the config has its name already."""

NOBODY: Final = "-"
"""Operand for a CTID where it is no container's."""


class Verb(Struct, frozen=True):
    """A verb's operands, in order, and its promise."""

    operands: tuple[str, ...]
    promise: str
    reads_stdin: bool = False


_DATA = ("ctid", "private", "root", "device", "identity")
"""A container and what it stands on. ``device`` and ``identity`` are "-" for a shared one."""

_UP = (*_DATA, "dumpdir", "state", "dumpfile")
"""The same, and how it is to be up there. ``dumpfile`` is that of a staged checkpoint, or "-"."""

VERBS: Final[dict[str, Verb]] = {
    # --- the run itself
    "own": Verb(("ctid",), "this run, and no other, is recorded as owner of the container on this node"),
    "disown": Verb(("ctid",), "this run's owner record and run folder are gone from this node"),
    "settle": Verb(
        (), "nothing that this run started on this node is still running, the lock holder excepted"
    ),
    "note-state": Verb(("ctid", "state"), "the container is in this state; state and boot id are noted"),
    "restore-state": Verb(
        _UP,
        "if this run went as far as the freeze, or the node has booted since, the container is in this state again",
    ),
    "hold-lock": Verb(
        ("ctid", "lockdir"),
        "a live process of this run holds vzctl's lock; where this run has frozen the container, it has since then",
    ),
    "release-lock": Verb(("ctid", "lockdir"), "vzctl's lock is not held by this run"),
    # --- files and directories
    "make-file": Verb(
        ("path", "mode"), "the file was made by this run and holds the standard input", reads_stdin=True
    ),
    "make-dir": Verb(("path", "mode"), "the directory was made by this run"),
    "remove-made": Verb(("path",), "what this run made at path (a file, an empty directory) is gone"),
    "remove-made-tree": Verb(("path",), "the directory that this run made is gone with all in it"),
    "rename-file": Verb(
        ("old", "new", "sha256"),
        "the file, with this content, has the new name and the old one is free; never overwrites",
    ),
    "hide-config": Verb(
        ("ctid", "root", "config", "backup", "sha256"),
        "as rename-file, of the config of a container that is down, with nothing of it mounted, before and after; "
        "root -: of one that does not run",
    ),
    "remove-dir": Verb(("path",), "no directory is at path: an empty one that is no mount point was removed"),
    "retire-area": Verb(
        ("ctid", "private", "root", "aside"),
        "the private area is gone: no mount in it or of it, no config for it; renamed aside, then deleted in its "
        "filesystem",
    ),
    "fence": Verb(
        ("config", "sha256"),
        "the config, which had this content, begins with the standard input, vzplan's fence",
        reads_stdin=True,
    ),
    "unfence": Verb(
        ("config",),
        "the lines of the standard input are out of the config, all else as others left it",
        reads_stdin=True,
    ),
    "name-config": Verb(
        ("ctid", "staged"),
        "the config that was staged has its name; never overwrites. If it has not, and nothing of the container runs, "
        "3; if something else is up in its name, 4",
    ),
    "activate-config": Verb(
        ("ctid", "staged"),
        "as name-config, and the lines of the standard input are out of the config",
        reads_stdin=True,
    ),
    # --- data
    "copy-tree": Verb(
        (
            "ctid",
            "private",
            "device",
            "identity",
            "peer",
            "peer_private",
            "peer_device",
            "peer_identity",
            "pass",
            "rsh",
            "options",
        ),
        "the peer's directory holds what private holds, synced there; pass is first (a running container may "
        "change files meanwhile), auto (as first, and again while each sends at most half the bytes of the one before, "
        f"{AUTO_PASSES} times at most) or last, with -xfs behind it if that is what the peer's directory lies on, or "
        "dump: of private, which is DUMPDIR, only the container's dump, looked at once more at both ends; "
        "options are further ones for rsync, one a line",
    ),
    "put-dump": Verb(
        ("copied", "dump"), "the memory dump that this run has copied there has its name; never overwrites"
    ),
    "withdraw-dump": Verb(
        ("copied", "dump"), "the memory dump that this run put there is where it was copied to again"
    ),
    "mount-dump": Verb(
        ("device", "identity", "room", "found", "ctid"),
        "as mount-device, of the device that carries the memory; refused while a dump is on it, which may be on its "
        "way, but for CTID's (-: nobody's); noted, so that it is mounted again where the dump on it is to be taken up "
        "and a power cut has unmounted it",
    ),
    "accept-dump": Verb(
        ("dump",), "the memory dump that the other end of this run has written is there, and may be taken up"
    ),
    "clear-dump": Verb(
        ("device", "identity", "room", "ctid"),
        "no memory dump of this run's is on the device, which nothing on this node mounts or holds; then room is gone",
    ),
    "void-dump": Verb(
        ("dump",),
        "if the memory dump that this run put there has been taken up, none is there any more, durably",
    ),
    "retire-dump": Verb(
        ("ctid", "dump", "aside"),
        "no memory dump is there: renamed aside, durably, then deleted; no config says that it could be taken up",
    ),
    "claim-empty": Verb(
        ("private", "device", "identity"),
        "the filesystem mounted at private is empty, and this run's to fill",
    ),
    "empty-claimed": Verb(
        ("private", "device", "identity"),
        "if this run claimed the filesystem as empty, it is empty again; nothing else is deleted",
    ),
    "mount-device": Verb(
        ("device", "identity", "private", "found"),
        "the device with this identity, and nothing else, is mounted read-write at private; found is clean "
        "(refused if any node has it mounted) or any",
    ),
    "release-device": Verb(
        ("device", "identity", "private"), "nothing on this node mounts or holds the device"
    ),
    "release-unless-up": Verb(
        ("device", "identity", "private", "ctid"),
        "as release-device; but under a container that somebody has mounted or started meanwhile it stays",
    ),
    "note-superblock": Verb(
        ("device", "identity"), "looks only: how the device's superblock reads here is noted for see-mounted"
    ),
    "see-mounted": Verb(
        ("device", "identity"),
        "looks only: the device, not mounted here, reads as mounted read-write by another node, and not as noted",
    ),
    "prove-released": Verb(
        ("device", "identity"),
        "looks only: the device is held by nothing here and mounted read-write by no node, and was not since its "
        "container's memory was written down",
    ),
    # --- the container
    "guard-source": Verb(
        ("ctid", "state", "sha256", "fenced", "private", "device", "identity"),
        "looks only: config (also fenced, once this run may have done that), state and what is mounted are as planned; "
        "how its disk reads is noted, if a dump will have to match that",
    ),
    "guard-destination": Verb(
        ("ctid", "private", "device", "identity", "dumpdir"),
        "looks only: nothing of this container is here but what this run made, and mounted",
    ),
    "suspend-container": Verb(
        ("ctid", "private", "root", "dumpdir"),
        "the container is down, its root area unmounted, and its memory is in DUMPDIR, durably",
    ),
    "freeze-container": Verb(
        ("ctid", "root"),
        "the container stands still, with all that it has in mind, and what it has written is on its disk",
    ),
    "prove-frozen": Verb(
        ("ctid", "root"), "looks only: the container that this run has frozen stands still yet"
    ),
    "dump-container": Verb(
        ("ctid", "root", "dumpfile"),
        "what the container that stands still has in mind is in dumpfile, durably, and it stands still yet",
    ),
    "kill-container": Verb(
        ("ctid", "private", "root", "how", "dumpfile"),
        "the container that stood still is down, its root area unmounted; how is chkpnt where it was frozen, restore "
        "where it was undumped; its memory may be taken up from dumpfile here (-: from nothing)",
    ),
    "undump-container": Verb(
        (*_DATA, "dumpdir", "dumpfile"),
        "the container is here with the memory in dumpfile, on this device if it owns one, and stands still",
    ),
    "stop-container": Verb(("ctid", "private", "root"), "the container is down and its root area unmounted"),
    "ensure-up": Verb(
        _UP,
        "the container is in this state here (running, mounted), on this device if it owns one; with its memory, if "
        "this run wrote that down here and nobody has taken it up yet",
    ),
    # --- pivots: mark `out` durably, act, mark `refused N` once seen that nothing came of it
    "bring-up": Verb(
        (*_UP, "staged"),
        "the config that was staged has its name (staged -: it had it), and as ensure-up, with durable marks before "
        "and after; where it is proved that nothing came up, the config's name is taken away again",
    ),
    "enable-container": Verb(
        ("ctid", "staged"),
        "the stopped container may be started here: as activate-config, with durable marks",
        reads_stdin=True,
    ),
    "probe-pivot": Verb(
        ("ctid", "root"), "answers whether this run's pivot ever took effect: 10 yes, 11 no, 12 not known"
    ),
}
