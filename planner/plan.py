"""What will be done: commands, steps, their compensations, and the plan that holds them.

A plan is data. Nothing in it depends on the day: no clock, no run id, no output of an earlier step. The executor
walks it, the simulator walks it, and ``vzplan show`` prints it.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from typing import Final

from msgspec import Struct

from planner.findings import Finding, Severity
from planner.model import Asked
from planner.verbs import VERBS

PLAN_VERSION: Final = 1
JOURNAL_VERSION: Final = 4
"""One up with whatever an entry may hold, or an operand of a verb: ``fixtures/journals/`` says what that is."""
JOURNALS_READ: Final = range(4, JOURNAL_VERSION + 1)
"""Versions that are read, and walked on; another one is refused, never guessed at."""


class Zone(StrEnum):
    """The stretch of a migration that a step belongs to, in this order."""

    PREPARE = "prepare"
    FREEZE = "freeze"
    TRANSFER = "transfer"
    PIVOT = "pivot"
    RETIRE = "retire"


class Outcome(StrEnum):
    """How a run ended; each has an exit code of its own (cli/exit_codes.py)."""

    MIGRATED = "MIGRATED"
    REFUSED = "REFUSED"
    UNWOUND = "UNWOUND"
    UNWOUND_NOT_CLEANED = "UNWOUND_NOT_CLEANED"
    MIGRATED_NOT_CLEANED = "MIGRATED_NOT_CLEANED"
    IN_DOUBT = "IN_DOUBT"
    DOWN = "DOWN"


class Command(Struct, frozen=True, forbid_unknown_fields=True):
    """One verb for one node. ``argv`` is complete: the verb and its operands (see ``planner/verbs.py``).

    Raises:
        ValueError: an unknown verb, a wrong number of operands, standard input where the verb takes none.
    """

    node: str
    argv: tuple[str, ...]
    stdin: str
    deadline_s: int

    def __post_init__(self) -> None:
        """Refuse a command that no node understands."""
        verb = VERBS.get(self.argv[0]) if self.argv else None
        if verb is None:
            raise ValueError(f"unknown verb in {self.argv!r}")
        if len(self.argv) - 1 != len(verb.operands):
            raise ValueError(f"{self.argv[0]} takes {' '.join(verb.operands)}, not {self.argv[1:]!r}")
        if self.stdin and not verb.reads_stdin:
            raise ValueError(f"{self.argv[0]} reads no standard input")
        if any("\0" in word for word in self.argv) or "\0" in self.stdin:
            raise ValueError(f"a NUL byte cannot be passed to {self.argv[0]}")


class Compensation(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """What takes a step back. Idempotent, and harmless if the step never happened.

    ``blocking``: it mounts, holds or starts data; unless it is proved to have worked, nothing more is done.
    ``forgets``: it takes away what the node knows of the run; not done while something else is left there to be undone.
    """

    title: str
    do: Command
    blocking: bool
    forgets: bool = False


class NothingToUndo(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """The author's word why a step needs no compensation."""

    because: str


class Probe(Struct, frozen=True, forbid_unknown_fields=True):
    """Did the step *ever* take effect? Exit status 10: yes; 11: no, proved; anything else: not known."""

    do: Command


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """One verb, with what takes it back.

    After the pivot: ``ensures``, that it has moved rests on this, and nothing else is done before it; ``forgets``, it
    takes away what the node knows of the run, and comes only when all else is done there; ``frees``, what else is done
    on its node waits until it has worked.
    """

    id: str
    title: str
    zone: Zone
    do: Command
    undo: Compensation | NothingToUndo
    probe: Probe | None = None
    ensures: bool = False
    forgets: bool = False
    frees: bool = False


class ConfigEdit(Struct, frozen=True, forbid_unknown_fields=True):
    """The container's config before and after, as the operator is to read it (never with the fence's lines)."""

    before: str
    after: str


class Estimate(Struct, frozen=True, forbid_unknown_fields=True):
    """How long it may be frozen, and what that rests on; None: not known (planner/estimate.py)."""

    memory_bytes: int | None  # of its processes
    changed_bytes: (
        int | None
    )  # in files written lately: at most so much the last pass has to send; 0: nothing is copied
    files: int | None  # that the last pass looks at
    link_bytes_per_s: int | None  # from node to node; 0: nothing is sent
    frozen_s: int | None


class Plan(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole migration, to be read before anything happens.

    ``max_frozen_s`` and ``estimate`` rest on measurements: two plans that do the same may differ in them.

    Raises:
        ValueError: the steps break a rule of the saga (see ``_broken_rule``).
    """

    version: int
    asked: Asked
    facts: tuple[tuple[str, str], ...]  # node, sha256 of its facts
    way: str | None
    title: str  # what moves from where to where
    summary: str  # how, in one line
    steps: tuple[Step, ...]
    settle: tuple[Command, ...]  # one a node
    max_frozen_s: int | None
    config: ConfigEdit | None
    findings: tuple[Finding, ...]
    digest: str
    estimate: Estimate | None = None

    def __post_init__(self) -> None:
        """Refuse a plan that breaks a rule of the saga."""
        broken = _broken_rule(self)
        if broken:
            raise ValueError(broken)

    @property
    def runnable(self) -> bool:
        """Whether it may be applied: it has steps and no finding is an error."""
        return self.way is not None and not any(f.severity is Severity.ERROR for f in self.findings)

    @property
    def pivot(self) -> int:
        """Index of the pivot among the steps."""
        return next(i for i, step in enumerate(self.steps) if step.zone is Zone.PIVOT)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that the plan speaks to, source first."""
        return (self.asked.source, self.asked.destination)

    @property
    def goes_down(self) -> str | None:
        """Id of the step that takes the container down; None: it is not up, or stays so."""
        return next((step.id for step in self.steps if step.do.argv[0] in DOWN), None)

    def settle_on(self, node: str) -> Command:
        """The command that settles ``node``."""
        return next(c for c in self.settle if c.node == node)


DOWN: Final = ("stop-container", "suspend-container", "freeze-container")
"""Verbs that take the container down."""


def _broken_rule(plan: Plan) -> str | None:
    """The first rule that ``plan`` breaks, or None."""
    errors = any(f.severity is Severity.ERROR for f in plan.findings)
    if not plan.steps or plan.way is None:
        return (
            None if errors and not plan.steps and plan.way is None else "no steps, and no error that says why"
        )
    ids = [step.id for step in plan.steps]
    zones = [step.zone for step in plan.steps]
    order = list(Zone)
    pivots = [step for step in plan.steps if step.zone is Zone.PIVOT]
    if len(set(ids)) != len(ids):
        return f"step ids are not unique: {sorted(i for i in ids if ids.count(i) > 1)}"
    if any(order.index(a) > order.index(b) for a, b in pairwise(zones)):
        return f"zones out of order: {' '.join(zones)}"
    if len(pivots) != 1:
        return f"{len(pivots)} pivots, there must be one"
    if pivots[0].probe is None:
        return "the pivot has no probe"
    if any(step.zone is Zone.RETIRE and isinstance(step.undo, Compensation) for step in plan.steps):
        return "a step after the pivot has a compensation; from there on only forward"
    if sorted(c.node for c in plan.settle) != sorted(set(plan.nodes)):
        return "each node needs one settle command"
    if {step.do.node for step in plan.steps} - set(plan.nodes):
        return "a step for a node that is neither source nor destination"
    return None


# --- the journal's words ---------------------------------------------------------------------------------------


class Exited(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """The command ran to its end and its trailer was read. ``out`` and ``err`` are bounded."""

    status: int
    out: str = ""
    err: str = ""


class Lost(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """No trailer came: it may have happened, in part or in whole, and may still be happening."""

    reason: str


class What(StrEnum):
    """Kind of a move."""

    DO = "do"
    UNDO = "undo"
    PROBE = "probe"
    SETTLE = "settle"


class Opened(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """First entry of a journal: the run, its plan, and how its controller reaches the nodes."""

    run: str
    plan: Plan
    ssh: tuple[str, ...] = ()  # ssh options
    here: str | None = None  # the node that is the controller's own machine, reached without ssh
    version: int = JOURNAL_VERSION
    by: str = ""  # the vzplan that began it
    brief: str = (
        ""  # what the nodes keep of the run, for a controller without this journal (executor/brief.py)
    )


class Began(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """Intent: on disk before the command goes out. ``at`` is a step's id, or a node's name for a settle.

    ``time_ms``: when, by the controller's clock, since 1970; for reports, never for decisions. None: nobody knows.
    """

    what: What
    at: str
    time_ms: int | None = None


class Ended(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """What came of it; ``time_ms`` as in ``Began``."""

    what: What
    at: str
    outcome: Exited | Lost
    time_ms: int | None = None


class Want(StrEnum):
    """What a wish asks for."""

    UNWIND = "unwind"
    REFUSE = "refuse"  # as unwind, but the world is not what was shown: the run ends as REFUSED


class Wish(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """A signal, an overrun limit, or a second look that differs. Heeded before the pivot only."""

    want: Want
    because: str


class Restarted(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """A controller took the run up (again); whatever was open before is unknown.

    ``forward``: before the pivot it goes on where it stood, instead of taking back what was done.
    """

    forward: bool = False


class Adopted(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """The journal was lost, and this one was made from what ``node`` had of the run.

    ``begun``: the steps that may have happened, the pivot among them or not; they count as happened. ``undone``: those
    of them that have been taken back again. ``generation``: the highest that a node knew. ``logged``: by node, how many
    commands it had begun by then. ``gone``: nodes that know nothing of the run any more; what there was to do is done.
    """

    node: str
    begun: tuple[str, ...]
    undone: tuple[str, ...]
    generation: int
    logged: tuple[tuple[str, int], ...] = ()
    gone: tuple[str, ...] = ()


class NodeOff(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """The operator's word that ``node`` is powered off, and stays so while this controller is at work.

    Nothing runs or is mounted there, then. It counts until the next restart, and never proves a pivot's *no*.
    """

    node: str


Entry = Opened | Began | Ended | Wish | Restarted | Adopted | NodeOff


class Run(Struct, frozen=True, forbid_unknown_fields=True):
    """The next move: write ``Began(what, at)``, wait ``after_s``, run ``command``, write ``Ended``."""

    what: What
    at: str
    command: Command
    after_s: int


class Stop(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing more is to be done now. ``left``: commands that remain; ``because``: in a person's words."""

    outcome: Outcome
    because: str
    left: tuple[Command, ...]
