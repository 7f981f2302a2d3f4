"""The plans of the bundled worlds, word for word: as an operator reads them, as JSON, and what they come to.

A change shows here as a diff that can be reviewed. ``VZPLAN_GOLDEN=write make test`` writes the files anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cli.main import main
from cli.output import findings_lines, plan_text
from executor import control
from executor.journal import MemoryJournal
from executor.signals import Signals
from executor.simulated.world import World
from executor.site import SimulatedSite
from planner.codec import pretty
from planner.make import make_plan
from planner.model import NodeFacts, Request
from planner.parse.config import value
from planner.plan import Opened, Outcome, Plan, Zone
from tests.worlds import CTID, NODES, REFUSED, bundled

HERE = Path(__file__).parent
WRITE = os.environ.get("VZPLAN_GOLDEN") == "write"
BUNDLED = sorted(path.name for path in NODES.iterdir() if path.is_dir())


class Unwatched:
    """Nobody looks."""

    def began(self, move: object) -> None:
        pass

    def ended(self, move: object, outcome: object) -> None:
        pass


def where(nodes: Mapping[str, NodeFacts]) -> Iterator[str]:
    """Where the container is, on what, and what else a node has of it."""
    for name, facts in nodes.items():
        container = facts.container(CTID)
        if container is None:
            yield f"  {name}: no container {CTID}"
        else:
            config = container.config or ""
            mount = facts.mounted_at(f"/vz/private/{CTID}")
            owns = value(config, "VE_DEVICE")
            on = f"owns {owns}" if owns else "shares /vz"
            mounted = f", {mount.source} mounted at {mount.point}" if mount else ""
            yield f"  {name}: {CTID} is {container.state}, {on}{mounted}"
        kept = [n for n in facts.conf_names if n.startswith(f"{CTID}.") and n != f"{CTID}.conf"]
        if kept:
            yield f"  {name}: keeps {', '.join(kept)}"
        entries = facts.path("/vz/private").entries or ()
        if container is None and str(CTID) in entries:
            yield f"  {name}: /vz/private/{CTID} is there"


def summary(request: Request, plan: Plan) -> str:
    """Before, what will be done, after: of a simulated run."""
    nodes = {"hn1": request.source, "hn2": request.destination}
    lines = ["before", *where(nodes), "what will be done", f"  {plan.title}", f"  {plan.summary}"]
    if not plan.runnable:
        return "\n".join([*lines, *(f"  {line}" for line in findings_lines(plan.findings))]) + "\n"
    for zone in Zone:
        steps = [step for step in plan.steps if step.zone is zone]
        must = sum(getattr(step.undo, "blocking", False) for step in steps)
        lines.append(f"  {zone}: {len(steps)} steps" + (f", {must} undone for certain" if must else ""))
    lines += [f"  {line}" for line in findings_lines(plan.findings)]
    site = SimulatedSite.__new__(SimulatedSite)
    site.recorded, site.world = nodes, World.of(*nodes.values())
    journal = MemoryJournal(Opened("run", plan))
    stop = control.apply(request, site, journal, control="", signals=Signals(), watch=Unwatched())
    assert stop.outcome is Outcome.MIGRATED
    return "\n".join([*lines, "after", *where(site.facts(*nodes))]) + "\n"


@pytest.mark.parametrize("world", BUNDLED)
def test_the_plan_is_the_one_that_was_reviewed(world: str) -> None:
    request = bundled(world)
    plan = make_plan(request)
    assert plan.runnable == (world not in REFUSED)
    written = {"plan.txt": plan_text(plan), "plan.json": pretty(plan), "summary.txt": summary(request, plan)}
    for name, text in written.items():
        path = HERE / world / name
        if WRITE:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert path.read_text() == text


@pytest.mark.parametrize("world", REFUSED)
def test_a_world_that_must_be_refused_is_refused_for_that_reason(world: str) -> None:
    codes = {finding.code for finding in make_plan(bundled(world)).findings if finding.severity == "error"}
    assert REFUSED[world] in codes


def test_the_readme_shows_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    text = (HERE.parent.parent / "README.md").read_text()
    shown = text.partition("$ vzplan show 123 hn2 --simulate fixtures/nodes/san\n")[2].partition("```\n")[0]
    with pytest.raises(SystemExit):
        main(["show", "123", "hn2", "--simulate", str(NODES / "san")])
    said = capsys.readouterr().out
    assert shown == said
    assert f"\n    {said.splitlines()[-1]}\n" in (HERE.parent.parent / "docs" / "verify.md").read_text()
