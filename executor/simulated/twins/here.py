"""What every twin has in its hands: the node it runs on, the run it belongs to, and a few words of ``library.sh``."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final, NamedTuple

from executor.simulated.loading import HOME
from executor.simulated.tree import File
from executor.simulated.world import NodeState, World
from planner.identity import identity
from planner.model import Device
from planner.verbs import HALF_UP, NOT_UP, UNFIT


class End(NamedTuple):
    """How a verb ended: its exit status, and what it said."""

    status: int
    said: str = ""


Twin = Generator[None, None, End]
"""A verb at work: yields after every effect, so that it can be stopped there; returns how it ended."""

DONE: Final = End(0)


def die(said: str) -> End:
    """Failed, perhaps half done."""
    return End(1, said)


def unfit(said: str) -> End:
    """It looked, and what the plan rests on is not so."""
    return End(UNFIT, said)


def not_up(said: str) -> End:
    """Failed, and proved that nothing runs and nothing is half mounted here."""
    return End(NOT_UP, said)


def half_up(said: str) -> End:
    """Failed, and proved that nothing runs here; what it is mounted from is held by something."""
    return End(HALF_UP, said)


class Here(NamedTuple):
    """Where a verb runs, for whom, and its standard input."""

    world: World
    node: NodeState
    run: str
    generation: int
    stdin: str

    @property
    def folder(self) -> str:
        """The run's folder on this node."""
        return f"{HOME}/{self.run}"

    def note(self, name: str) -> str | None:
        """What a mark in the run's folder says; None if it is not there."""
        return self.node.text(f"{self.folder}/{name}")

    def mark(self, name: str, text: str = "") -> Generator[None, None, None]:
        """A durable note in the run's folder."""
        self.node.put(f"{self.folder}/{name}", File(text, 0o600))
        yield
        yield from self.sync()

    def put_whole(self, path: str, file: File) -> None:
        """A new file that is synced as soon as it is there; nothing else is."""
        self.node.put_lasting(path, file)

    def sync(self) -> Generator[None, None, None]:
        """``sync``: what was done so far would survive a power cut."""
        self.world.sync(self.node)
        yield

    def marker(self, path: str) -> str:
        """The file that says this run made ``path``."""
        return f"{self.folder}/made{path.replace('/', '|')}"

    def beside(self, path: str) -> str:
        """A name in the same directory that only this run uses."""
        folder, _, name = path.rpartition("/")
        return f"{folder}/.vzplan-{self.run}-{name}"

    def device(self, name: str) -> Device | None:
        """The block device of that name on this node."""
        return self.node.devices.get(name)


def same_disk(device: Device, expected: str) -> bool:
    """Names move between plan and apply; the identity does not."""
    return identity(device) == expected


def held(here: Here, device: Device) -> str | None:
    """What on this node holds the device, or None."""
    mounts = here.node.mounts_of(here.node.luns[device.number])
    if mounts:
        return f"still mounted at {mounts[0].point}"
    return f"held by {' '.join(device.holders)}" if device.holders else None


def dirty(here: Here, device: Device) -> bool:
    """Whether any node has it mounted read-write, as read after a flush ([seen] needs_recovery); only ext says so."""
    known = device.filesystem
    if known is not None and known.type and not known.type.startswith("ext"):
        return False
    return here.world.luns[here.node.luns[device.number]].dirty


def of_this_run(here: Here) -> bool:
    """Whether a memory dump here was made, or brought here, by this run, and has not been used up."""
    return here.note("dumping") is not None or here.note("put-dump") is not None
