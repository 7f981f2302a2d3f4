"""A run whose journal is lost, taken up from what its nodes keep of it (``vzplan recover RUN --adopt NODE``).

Each node has the run's folder with the brief, from which the plan is made again, and a log of what was done there
(executor/verbs/wrapper.sh). Nothing of it is evaluated, and no command is read from it.
"""

from __future__ import annotations

import re
import shlex
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from executor.brief import BriefError, unpacked
from executor.gather import GatherError
from executor.node import NodeOutcome, trial
from planner.adopt import adopted, robbed, shows_it
from planner.model import NodeFacts
from planner.plan import Adopted, Lost, Opened, Plan

DEADLINE_S: Final = 60
LIMIT_BYTES: Final = 16 << 20
"""Of what a node keeps of a run; the brief is compressed."""

_SCRIPT: Final = """run=$VZPLAN_HOME/node/%s
[ -d "$run" ] && {
    echo "generation $(cut -d ' ' -f 1 "$run/generation" 2>/dev/null)"
    echo "brief $(tr -d '\\n' <"$run/brief" 2>/dev/null)"
    echo "log $(base64 <"$run/log" 2>/dev/null | tr -d '\\n')"
    echo "owns $([ ! -e "$run/record" ] || echo yes)"
}
echo end
"""


class AdoptionError(Exception):
    """A run cannot be adopted; says why, and what to do."""


class Reader(Protocol):
    """Nodes that run scripts which only look."""

    @property
    def ssh(self) -> tuple[str, ...]:
        """Options for every ssh."""
        ...

    @property
    def here(self) -> str | None:
        """The node that is this machine."""
        ...

    def works_on(self, *names: str) -> None:
        """These are the nodes; one of them may be this machine."""
        ...

    def read(self, name: str, script: str, deadline_s: int, limit_bytes: int) -> NodeOutcome:
        """Run ``script`` on the node of that name."""
        ...

    def facts(self, *names: str) -> dict[str, NodeFacts]:
        """Of each of these nodes; ``GatherError`` if they cannot be had."""
        ...


class Kept(NamedTuple):
    """What one node keeps of a run."""

    generation: int
    brief: str
    log: tuple[str, ...] | None  # None: it is lost, or cannot be read, and the run was at work there


def adopt(site: Reader, run: str, node: str) -> tuple[Opened, Adopted]:
    """The first two entries of a new journal of ``run``; ``node``: whose word for request and plan is taken.

    Raises:
        AdoptionError: nothing is known of the run there, or what is known cannot be used.
    """
    site.works_on(node)
    kept = ask(site, run, node)
    if isinstance(kept, Lost):
        options = "" if site.ssh or node == site.here else " (--ssh gives it options)"
        raise AdoptionError(
            f"{node} cannot be asked: {kept.reason}; adopt it from the other node, or see that this works{options}: "
            f"{way_in(site, node)}"
        )
    if kept is None:
        raise AdoptionError(
            f"{node} knows nothing of a run {run}; 'vzplan facts {node}' shows the owner records that it has"
        )
    plan = _plan(kept, node)
    site.works_on(*plan.nodes)
    found: dict[str, Kept | Lost | None] = {name: ask(site, run, name) for name in plan.nodes if name != node}
    for name, other in found.items():
        if isinstance(other, Kept) and other.brief and _plan(other, name).digest != plan.digest:
            raise AdoptionError(
                f"{node} and {name} keep different plans of {run}; see in {run}/log on each of them"
            )
    found[node] = kept
    logs: Mapping[str, tuple[str, ...] | None] = {
        name: other.log if isinstance(other, Kept) else None
        for name, other in found.items()
        if other is not None
    }
    lost = robbed(plan, logs)
    if lost is not None and not shows_it(plan, logs, lost, _facts(site, lost)):
        raise AdoptionError(
            f"{lost} knows nothing of {run}, and cannot have given it up by itself: what it kept was removed, or its "
            f"disk is new. How far it went nobody knows, and nothing is undone or completed: see with 'vzplan facts "
            f"{' '.join(plan.nodes)}' where container {plan.asked.ctid} is, and tidy up by hand"
        )
    generation = max(other.generation for other in found.values() if isinstance(other, Kept))
    opened = Opened(run, plan, site.ssh, site.here, brief=kept.brief)
    return opened, adopted(plan, node, logs, generation)


def _facts(site: Reader, node: str) -> NodeFacts:
    try:
        return site.facts(node)[node]
    except GatherError as problem:
        raise AdoptionError(f"{node} knows nothing of the run, and must say what it has: {problem}") from None


def ask(site: Reader, run: str, node: str) -> Kept | Lost | None:
    """What ``node`` keeps of ``run``; None: nothing.

    Raises:
        AdoptionError: what it says makes no sense.
    """
    outcome = site.read(node, _SCRIPT % shlex.quote(run), DEADLINE_S, LIMIT_BYTES)
    if isinstance(outcome, Lost):
        return outcome
    *lines, end = outcome.out.split("\n")[:-1] or [""]
    words = dict(line.split(" ", 1) for line in lines if " " in line)
    if end != "end" or (words and words.keys() != {"generation", "brief", "log", "owns"}):
        raise AdoptionError(f"{node}: what it says of the run is cut short; try again")
    if not words:
        return None
    try:
        log = b64decode(words["log"], validate=True).decode(errors="replace")
        generation = _generation(words["generation"] or "0")
    except (NotBase64, ValueError) as problem:
        raise AdoptionError(
            f"{node}: what it keeps of the run (node/{run} in its state folder) is damaged: {problem}"
        ) from None
    lines = log.split("\n")[:-1]
    # Where the run has its record the log begins with that; a log that does not tells nothing.
    lost = words["owns"] == "yes" and not any(line.startswith("began own ") for line in lines)
    return Kept(generation, words["brief"], None if lost else tuple(lines))


def way_in(site: Reader, node: str) -> str:
    """What to type to see whether ``node`` can be reached."""
    return trial(node, None if node == site.here else site.ssh)


def _generation(word: str) -> int:
    if not re.fullmatch("[0-9]{1,12}", word):
        raise ValueError(f"its generation, {word[:40]!r}, is no number of ours; remove that file there")
    return int(word)


def _plan(kept: Kept, node: str) -> Plan:
    try:
        return unpacked(kept.brief, node)
    except BriefError as problem:
        raise AdoptionError(str(problem)) from None
