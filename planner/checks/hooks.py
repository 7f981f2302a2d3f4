"""Who mounts the container's own device when it starts the next time."""

from __future__ import annotations

from planner import hooks
from planner.findings import Finding, error
from planner.hooks import Kind
from planner.model import CONF_DIR
from planner.situation import Situation


def checks(at: Situation) -> tuple[Finding, ...]:
    """Findings about action scripts at the destination; none for a container that shares a filesystem there."""
    if at.destination.device is None and not at.handed_over:
        return ()
    return (*_lacking(at), *_loud(at))


def _lacking(at: Situation) -> list[Finding]:
    facts, names = at.destination.facts, hooks.lacking(at)
    if not at.options.install_hooks:
        return [
            error(
                "hook-missing",
                f"{facts.node}:{CONF_DIR}/vps.{name}",
                f"no {name} script there deals with VE_DEVICE at the container's next start",
                f"say --install-hooks to give it one of its own, or copy vps.{name} from a node that has one",
            )
            for name in names
        ]
    taken = {script.name for script in hooks.brought(at)}
    return [
        error(
            "hook-conflict",
            f"{at.source.node}:{CONF_DIR}/{at.ctid}.{name}",
            f"the container has a {name} script already, which does not deal with VE_DEVICE",
            "let it, or have the node's vps." + name + " do it",
        )
        for name in names
        if f"{at.ctid}.{name}" in taken
    ]


def _loud(at: Situation) -> list[Finding]:
    """We mount the device before every start; a script that fails because of that lets no container start."""
    facts = at.destination.facts
    return [
        error(
            "hook-loud",
            f"{facts.node}:{CONF_DIR}/{script}",
            "it fails if the device is mounted already, and vzplan mounts it before it starts the container",
            "let it look first whether VE_PRIVATE is a mount point",
        )
        for script, kind in hooks.of(facts, hooks.brought(at), at.ctid, "premount")
        if kind is Kind.LOUD
    ]
