"""The step that gives a container action scripts of ours, which mount its device and fail loudly."""

from __future__ import annotations

from planner.hooks import OURS, lacking
from planner.model import CONF_DIR
from planner.plan import Step, Zone
from planner.situation import Situation
from planner.steps import command, takes_back


def install(at: Situation) -> tuple[Step, ...]:
    """One script each that nothing at the destination stands for, if the operator asked for it."""
    if not at.options.install_hooks or at.destination.device is None:
        return ()
    return tuple(_script(at, name) for name in lacking(at))


def _script(at: Situation, name: str) -> Step:
    side, path = at.destination, f"{CONF_DIR}/{at.ctid}.{name}"
    return Step(
        id=f"hook-{name}",
        title=f"give it a {name} script that deals with VE_DEVICE",
        zone=Zone.PREPARE,
        do=command(side, "make-file", path, "0755", stdin=OURS[name]),
        undo=takes_back("remove it", command(side, "remove-made", path), must=False),
    )
