"""Findings: what speaks against a plan, or should be known before it is applied.

Problems are values: the checks return all they find at once, each with a code, what it is about and what to do.
"""

from __future__ import annotations

import shlex
from enum import StrEnum
from typing import Final

from msgspec import Struct


class Severity(StrEnum):
    """ERROR: the plan can be shown, never run. WARNING: the operator should know, and says yes by applying it."""

    ERROR = "error"
    WARNING = "warning"


class Finding(Struct, frozen=True, forbid_unknown_fields=True):
    """One thing found. ``subject`` is what it is about ("hn2:/vz/private/123"), ``remedy`` what to do.

    Raises:
        ValueError: the code is not in ``CODES``.
    """

    code: str
    severity: Severity
    subject: str
    summary: str
    remedy: str

    def __post_init__(self) -> None:
        """Refuse a code that the table does not know."""
        if self.code not in CODES:
            raise ValueError(f"finding code {self.code!r} is not in the table")


def error(code: str, subject: str, summary: str, remedy: str) -> Finding:
    """A finding that forbids to apply."""
    return Finding(code, Severity.ERROR, subject, summary, remedy)


def warning(code: str, subject: str, summary: str, remedy: str) -> Finding:
    """A finding that the operator should know."""
    return Finding(code, Severity.WARNING, subject, summary, remedy)


def typed(*words: str) -> str:
    """A command that is to be typed: between quotes, unless one of its words needs some itself."""
    command = shlex.join(words)
    return command if "'" in command else f"'{command}'"


CODES: Final[dict[str, str]] = {
    # nodes
    "same-node": "source and destination are one node",
    "vz-not-running": "the vz service does not run on a node, or that is not known",
    "vz-conf-unreadable": "a node's /etc/vz/vz.conf is missing or is not text",
    "tool-missing": "a program that the plan needs is not on a node",
    "run-open": "another run of vzplan has this container in hand",
    "run-damaged": "there is a record that a run has this container in hand, which names none",
    # the container at the source
    "no-container": "the source has no container of that number",
    "config-unreadable": "the container's config is not UTF-8 text",
    "script-unreadable": "an action script that it brings along is not text",
    "config-shell": "a line of a config is a shell's: vzctl passes over what a hook would run",
    "config-evaluates": "a setting would have to be evaluated by a shell",
    "config-duplicate": "a setting that matters stands twice: vzctl takes the first, hooks the last",
    "config-path": "an area is not an absolute, plain path",
    "config-fenced": "the config still carries vzplan's fence",
    "state-not-movable": "the container is in a state that vzplan does not move",
    "layout-not-movable": "the container's layout is one that vzplan does not move",
    "quota-not-movable": "the container has a second-level quota, which vzplan does not carry over",
    "locked": "vzctl's lock on the container is held by a live process, or that is not known",
    "private-missing": "the private area is not there, is empty, or is not known",
    # the destination
    "ct-exists": "the destination has a container, config or action script of that number",
    "name-taken": "the destination has a container of that name",
    "area-exists": "something lies where the container's areas are to be, or that is not known",
    "parent-missing": "the directory that is to hold an area, or a suspended container's memory, is not there",
    "no-checkpoint": "the container's memory cannot be written down there, or taken up, or that is not known",
    "cpu-unknown": "nothing says whether the destination's CPU can go on with what runs on the source's",
    "cpu-differs": "the destination's CPU lacks what programs may use on the source's",
    "image-version": "the destination's kernel takes up no memory that the source's writes down, or that is not known",
    "ipv6-missing": "the destination's kernel has no IPv6, which the container may use, or that is not known",
    "mount-in-use": "a container that is to run on has files open on a mount from outside, or that is not known",
    "mount-stays": "a mount from outside does not go along with a container that is to run on",
    "memory-short": "the destination has less memory free than the container uses",
    "dump-device-unused": "a device for the memory was named, and none goes by it",
    "dump-exists": "a memory dump waits for that number; vzctl start would restore it",
    "boot-list": "the destination would start a container at boot that does not run, or that is not known",
    "hook-missing": "nothing at the destination would mount the device at the next start",
    # the device
    "device-missing": "the device named in the config is not on the source",
    "no-identity": "the device has no identity by which the other node's could be compared",
    "device-not-shared": "the destination does not have the same device",
    "clone": "a device with the same filesystem UUID is another disk: a clone or snapshot",
    "filesystem-spread": "the filesystem lies on several devices, of which the container's is only one",
    "filesystem-not-movable": "the filesystem cannot be handed over",
    "device-read-only": "the device is not writable, or that is not known",
    "device-busy": "the device is mounted or held at the destination, or that is not known",
    "device-unmounted": "a running container's private area is not mounted from its device",
    "device-mounted": "the device is mounted where it should not be",
    "device-shared-by": "another container uses the same device or private area",
    "mounted-below": "a filesystem of its own below the private area, which would not be copied",
    "device-dirty": "the device's superblock says that some node has it mounted, and here it is not",
    "device-mounter": "fstab, a mount unit or autofs mounts the device, whatever containers' configs say",
    "device-activated": "LVM's config names the device's volume or group, so that every boot activates it",
    "target-divided": "the device that is to be copied onto is a disk that has partitions",
    "target-filesystem": "the device that is to be copied onto has no filesystem of a known type",
    "target-not-empty": "the device that is to be copied onto is not empty, or that is seen only later",
    "hook-conflict": "a script of the container's own stands where vzplan would put one",
    "hook-loud": "a premount script fails if the device is mounted already",
    "address-unreadable": "one of its IP addresses is written as no address is",
    "address-in-use": "another container has one of its IP addresses or MACs",
    "not-reached": "the source does not reach the destination by ssh as root, or that is not known",
    "size-unknown": "how much is to be copied, or taken up, or how much room there is, is not known",
    "too-small": "what is to be copied, or written down, does not fit",
    "options-contradict": "flags contradict each other, or the container",
    "rsync-option": "an option for rsync that could change what is copied",
    "third-node": "nothing but the operator's word says that no third node uses the device",
}
"""Every code with what it means; the documentation and the tests read this table."""
