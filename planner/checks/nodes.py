"""What must hold of the two nodes, whatever the container."""

from __future__ import annotations

from typing import Final

from planner.findings import Finding, error
from planner.model import RUN, Known, NodeFacts, Owner, Request

NEEDED: Final = ("rsync", "ssh", "vzctl", "flock", "setsid", "timeout", "sha256sum")
"""Programs that the verbs call; those of a hand-over are asked for in ``checks/device.py``."""


def checks(request: Request) -> tuple[Finding, ...]:
    """Findings about source and destination as such."""
    source, destination = request.source, request.destination
    found = [*_one(source), *_one(destination)]
    if source.node != destination.node and source.boot_id == destination.boot_id:
        one = f"{source.node} and {destination.node} are the same machine"
        found.append(error("same-node", destination.node, one, "name another destination"))
    for facts in (source, destination):
        found += [_open_run(facts.node, owner) for owner in facts.owners if owner.ctid == request.asked.ctid]
    return tuple(found)


def _open_run(node: str, owner: Owner) -> Finding:
    """A node's word is never part of a command that a person is to type, unless it can be a run's name."""
    if not RUN.fullmatch(owner.run):
        return error(
            "run-damaged",
            node,
            f"there is a record that a run has container {owner.ctid} in hand, and it names no run: it is damaged",
            "see which run that was ('vzplan runs --open' where vzplan runs, the names below /var/lib/vzplan/node "
            f"there), and remove /var/lib/vzplan/owners/{owner.ctid} once none is open",
        )
    return error(
        "run-open",
        node,
        f"run {owner.run} has container {owner.ctid} in hand, driven from {owner.control}",
        f"leave all that is in the way to it, and go on there: 'vzplan status {owner.run}', then "
        f"'vzplan recover {owner.run}'; if that machine is lost, here: 'vzplan recover {owner.run} --adopt {node}'",
    )


def _one(facts: NodeFacts) -> list[Finding]:
    found = []
    if facts.vz_running is not Known.YES:
        state = "is not running" if facts.vz_running is Known.NO else "may not be running: nothing there says"
        found.append(
            error("vz-not-running", facts.node, f"the vz service {state}", "start it ('service vz start')")
        )
    found += [
        error("tool-missing", facts.node, f"{tool} is not installed", f"install {tool} there")
        for tool in NEEDED
        if tool not in facts.tools
    ]
    return found
