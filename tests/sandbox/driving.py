"""vzplan on sandbox nodes: as a person runs it, or in this process, with a hook at every move."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from msgspec import structs

from executor import control
from executor.control import Towards
from executor.gather import Ask
from executor.journal import Journal, new_run_id
from executor.node import NodeOutcome
from executor.signals import Signals
from executor.site import LiveSite
from planner.make import make_plan
from planner.model import Asked, Device, NodeFacts, Options, Request
from planner.plan import Exited, Plan, Run, Stop, What
from tests.sandbox.nodes import REPOSITORY
from tests.sandbox.supervisor import NAMES

CTID: Final = 123
PRIVATE: Final = f"/vz/private/{CTID}"
ROOT: Final = f"/vz/root/{CTID}"

ASKS: Final = {"hn2": Ask(expected=CTID)}
"""As ``control.look`` asks: the container's areas at the destination, also where it is not yet."""

Hooks = Mapping[tuple[What, str], Callable[[], None]]
"""What to do just before a move goes out."""


@dataclass
class Telling:
    """A watch that calls hooks, and remembers what came of each move."""

    hooks: Hooks = field(default_factory=dict)
    moves: list[tuple[What, str, int | None]] = field(default_factory=list)

    def began(self, move: Run) -> None:
        """See ``executor.engine.Watch``."""
        hook = self.hooks.get((move.what, move.at))
        if hook is not None:
            hook()

    def ended(self, move: Run, outcome: NodeOutcome) -> None:
        """See ``executor.engine.Watch``."""
        self.moves.append((move.what, move.at, outcome.status if isinstance(outcome, Exited) else None))


class Reached(Protocol):
    """Two nodes, hn1 and hn2, that ssh reaches."""

    @property
    def ssh_config(self) -> Path:
        """For ``ssh -F``."""


@dataclass(frozen=True)
class Driver:
    """A controller's place: where it keeps its journals, and how it reaches the nodes."""

    box: Reached
    state: Path

    @property
    def ssh(self) -> tuple[str, ...]:
        """Options for ssh."""
        return ("-F", str(self.box.ssh_config))

    def site(self) -> LiveSite:
        """The nodes, as the product sees them."""
        return LiveSite(self.ssh, None)

    def facts(self, *names: str) -> dict[str, NodeFacts]:
        """Facts of these nodes, or of both, but for what changes by itself: free room; and the order of mounts."""
        site = self.site()
        try:
            return {name: lasting(facts) for name, facts in site.facts(*names or NAMES, asks=ASKS).items()}
        finally:
            site.close()

    def look(self, source: str = "hn1", destination: str = "hn2", options: Options | None = None) -> Request:
        """What a plan is made from, gathered now."""
        site = self.site()
        try:
            return control.look(Asked(CTID, source, destination, options or Options()), site)
        finally:
            site.close()

    def plan(self, source: str = "hn1", destination: str = "hn2", options: Options | None = None) -> Plan:
        """The plan as it would be shown now."""
        return make_plan(self.look(source, destination, options))

    def apply(
        self,
        hooks: Hooks | None = None,
        *,
        options: Options | None = None,
        source: str = "hn1",
        destination: str = "hn2",
        watch: Telling | None = None,
        looked: Request | None = None,
    ) -> tuple[Stop, Telling, str]:
        """Move 123 in this process; the run's name is for ``recover``. ``watch`` may have the hooks instead.

        ``looked``: what was gathered for just this move a moment ago.
        """
        request = looked or self.look(source, destination, options)
        watch = watch or Telling(hooks or {})
        plan, run, site = make_plan(request), new_run_id(), self.site()
        assert plan.runnable, plan.findings
        try:
            opened = control.opened(request, plan, site, run, "test")
            with Journal.create(self.state / "runs" / run, opened) as journal:
                stop = control.apply(request, site, journal, control="test", signals=Signals(), watch=watch)
                return stop, watch, run
        finally:
            site.close()

    def recover(
        self,
        run: str,
        hooks: Hooks | None = None,
        *,
        towards: Towards = Towards.AS_IT_STANDS,
        off: tuple[str, ...] = (),
        watch: Telling | None = None,
    ) -> Stop:
        """What ``vzplan recover RUN`` does, in this process."""
        site, watch = self.site(), watch or Telling(hooks or {})
        try:
            with Journal.open(self.state / "runs" / run) as journal:
                return control.recover(
                    site, journal, control="test", signals=Signals(), watch=watch, towards=towards, off=off
                )
        finally:
            site.close()

    def vzplan(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The command, as a person types it."""
        argv = [sys.executable, "-m", "cli.main", *words]
        return subprocess.run(
            argv,
            cwd=REPOSITORY,
            env={**os.environ, "VZPLAN_STATE": str(self.state)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def lasting(facts: NodeFacts) -> NodeFacts:
    """Exempt from "as before": free room, memory in use, which of two mounts came first, and what is only asked for."""
    return structs.replace(
        facts,
        containers=tuple(structs.replace(c, resident_bytes=None, dump_bytes=None) for c in facts.containers),
        available_bytes=None,
        usage=(),
        reaches=(),
        mounts=tuple(sorted(facts.mounts, key=lambda m: (m.point, m.device))),
        rooms=tuple(structs.replace(room, free_bytes=0, free_inodes=None) for room in facts.rooms),
        devices=tuple(_but_for_room(device) for device in facts.devices),
    )


def changes(before: Mapping[str, NodeFacts], after: Mapping[str, NodeFacts]) -> list[str]:
    """What differs, fact by fact; nothing if both are equal."""
    lines = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was is None or now is None:
            lines.append(f"{name} {'came' if was is None else 'went'}")
            continue
        for key in was.__struct_fields__:
            old, new = getattr(was, key), getattr(now, key)
            if old != new:
                olds, news = (value if isinstance(value, tuple) else (value,) for value in (old, new))
                items = [f"- {item}" for item in olds if item not in news]
                items += [f"+ {item}" for item in news if item not in olds]
                lines += [f"{name}.{key}: {item}" for item in items or ["order"]]
    return lines


def _but_for_room(device: Device) -> Device:
    known = device.filesystem
    if known is None:
        return device
    inodes = known.inodes if known.type.startswith("ext") else None  # xfs makes them as it needs them
    return structs.replace(
        device, filesystem=structs.replace(known, free_bytes=0, inodes=inodes, free_inodes=0)
    )
