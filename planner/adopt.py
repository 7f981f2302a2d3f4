"""A journal that was lost, made anew from the logs that the nodes keep of the run (``executor/verbs/wrapper.sh``).

A log has a line before and after every command, on disk before the command runs: ``began VERB OPERANDS`` and
``ended VERB STATUS``. What may have happened counts as happened; what has been taken back is not taken back twice,
since what it rested on may be gone by now. Pure: logs in, one journal entry out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from planner.model import NodeFacts
from planner.plan import Adopted, Began, Command, Compensation, Entry, Plan, Step, What, Zone

Logs = Mapping[str, tuple[str, ...] | None]
"""By node, its log's lines; None: it cannot be asked. One that knows nothing of the run has no entry, or no lines."""

Moves = Mapping[tuple[What, str], tuple[str, str]]
"""Moves of a plan, and the node that each goes to with the line that its log has of it."""


class Outrun(NamedTuple):
    """A node that knows of more than a journal does, or of nothing any more."""

    node: str
    more: tuple[str, ...]  # lines of its log that the journal does not know; none: it has forgotten the run


def adopted(plan: Plan, node: str, logs: Logs, generation: int) -> Adopted:
    """The entry that stands for the journal of a run of ``plan``; ``node``: where request and plan come from.

    A node that knows nothing of the run has given it up, or never had it in hand (``robbed`` tells). The destination's
    folder is the last to go, after the source's (saga, retire): such a destination never saw the pivot.
    """
    counts = tuple((name, commands(log)) for name, log in sorted(logs.items()) if log is not None)
    logs = _owned(logs)
    told_by = telling(plan)
    begun = [step for step in plan.steps[: plan.pivot + 1] if _may_have_begun(step, logs)]
    undone = [step for step in begun if _taken_back(step, plan, told_by, logs.get(step.do.node) or ())]
    gone = tuple(name for name in plan.nodes if name not in logs)
    return Adopted(node, tuple(s.id for s in begun), tuple(s.id for s in undone), generation, counts, gone)


def robbed(plan: Plan, logs: Logs) -> str | None:
    """A node that knows nothing of the run, and cannot have given it up: what it kept was removed, or its disk is new.

    It gives the run up when the other one has had all undos of what was done there; or, after the pivot, all steps that
    come before that. What it did until then nobody can tell: neither that the pivot took effect there, nor that not.
    """
    owned = _owned(logs)
    for node in plan.nodes:
        (other,) = {*plan.nodes} - {node}
        if node not in owned and other in owned and not _gave_up(plan, node, owned[other]):
            return node
    return None


def has_it_still(plan: Plan, source: NodeFacts) -> bool:
    """Whether the source has the container's config as it was when the plan was made."""
    container = source.container(plan.asked.ctid)
    return container is not None and plan.config is not None and container.config == plan.config.before


def shows_it(plan: Plan, logs: Logs, node: str, facts: NodeFacts) -> bool:
    """Whether a node that was robbed of the run shows all the same that nothing of it is left there to be feared.

    The source has the container as it had it, and the destination never saw the pivot; or there is no such container at
    the destination, nor anything mounted in its place.
    """
    if node == plan.asked.source:
        there = logs.get(plan.asked.destination)
        pivot = line(plan.steps[plan.pivot].do)
        return there is not None and pivot not in there and has_it_still(plan, facts)
    mounts = (step.do for step in plan.steps if step.do.argv[0] == "mount-device" and step.do.node == node)
    places = {command.argv[3] for command in mounts}
    return facts.container(plan.asked.ctid) is None and all(m.point not in places for m in facts.mounts)


def _gave_up(plan: Plan, node: str, log: tuple[str, ...] | None) -> bool:
    """Whether ``log``, of the other one, lets ``node`` have given the run up, or never have taken it in hand."""
    if log is None:
        return False
    told_by = telling(plan)
    owning = {s.id for s in plan.steps if isinstance(s.undo, Compensation) and s.undo.forgets}
    # Before anything else was begun there the record is all that it had, and who made it too late takes it back.
    first = next(n for n, s in enumerate(plan.steps) if s.do.node == node and s.id not in owning)
    back = {
        told_by[s.id]
        for s in plan.steps[first:]
        if line(s.do) in log
        and isinstance(s.undo, Compensation)
        and s.undo.do.node != node
        and s.id in told_by
    }
    steps = enumerate(plan.steps)
    gives_up = next((n for n, s in steps if s.forgets and s.do.node == node), len(plan.steps))
    on = {line(s.do) for s in plan.steps[:gives_up] if s.zone is Zone.RETIRE and s.do.node != node}
    return back <= {*log} or (bool(on) and on <= {*log})


def _owned(logs: Logs) -> Logs:
    """Of the nodes that know of the run; one on which it never owned the container does not, whatever folder it has."""
    return {
        name: log for name, log in logs.items() if log is None or any(s.startswith("began own ") for s in log)
    }


def commands(log: tuple[str, ...]) -> int:
    """How many commands a node says it has begun."""
    return sum(said.startswith("began ") for said in log)


def outrun(plan: Plan, entries: Sequence[Entry], logs: Logs) -> Outrun | None:
    """A node that was given a command of which a journal of ``entries`` does not know.

    Such a journal was cut, is an old copy, or was made anew while that node could not be asked, or while the controller
    before was still at work. That may have ended the run since on a node (empty ``logs``), which then knows of none.
    Commands are told from each other: one that was written down and never got there makes up for no other.
    """
    more, kept = balance(moves(plan), entries, logs), kept_by(plan, entries)
    for node in plan.nodes:
        unknown = tuple(said for (at, said), count in more.items() if at == node for _ in range(-count))
        if unknown or (node in kept and logs.get(node) == ()):
            return Outrun(node, unknown)
    return None


def moves(plan: Plan) -> Moves:
    """Every move of a plan but for settling."""
    found = {(What.DO, step.id): step.do for step in plan.steps}
    found |= {(What.UNDO, s.id): s.undo.do for s in plan.steps if isinstance(s.undo, Compensation)}
    found |= {(What.PROBE, s.id): s.probe.do for s in plan.steps if s.probe is not None}
    return {move: (command.node, line(command)) for move, command in found.items()}


def balance(moves: Moves, entries: Sequence[Entry], logs: Logs) -> Counter[tuple[str, str]]:
    """By node and line of its log: how often a journal of ``entries`` knows of it, less how often the log has it.

    What the logs said when the run was adopted is known.
    """
    found, before = Counter[tuple[str, str]](), dict[str, int]()
    for entry in entries:
        if isinstance(entry, Adopted):
            found, before = Counter(), dict(entry.logged)
        elif isinstance(entry, Began) and entry.what is not What.SETTLE:
            found[moves[entry.what, entry.at]] += 1
    for node, log in logs.items():
        given = [said for said in log or () if said.startswith("began ")]
        for said in given[before.get(node, 0) :]:
            found[node, said] -= 1
    return found


def kept_by(plan: Plan, entries: Sequence[Entry]) -> set[str]:
    """Nodes that a journal was made from, and that it has not itself made forget the run since."""
    made_from = {
        node for entry in entries if isinstance(entry, Adopted) for node, logged in entry.logged if logged
    }
    return made_from - _given_up(plan, entries)


def _given_up(plan: Plan, entries: Sequence[Entry]) -> set[str]:
    """Nodes that a journal itself may have made forget the run."""
    moves = {(What.DO, step.id): step.do.node for step in plan.steps if step.forgets}
    undos = ((step.id, step.undo) for step in plan.steps)
    moves |= {(What.UNDO, at): u.do.node for at, u in undos if isinstance(u, Compensation) and u.forgets}
    begun = ((entry.what, entry.at) for entry in entries if isinstance(entry, Began))
    return {moves[move] for move in begun if move in moves}


def line(command: Command) -> str:
    """What a node's log says before it runs ``command``; newlines, and blanks at the end, do not show."""
    return " ".join(("began", *command.argv)).replace("\n", " ").rstrip(" ")


def _may_have_begun(step: Step, logs: Logs) -> bool:
    # That a folder or a record is not there any more tells nothing of what a power cut brings back.
    if step.do.argv[0] == "own":
        return True
    if step.do.node not in logs:
        return False
    log = logs[step.do.node]
    return log is None or line(step.do) in log


def telling(plan: Plan) -> dict[str, str]:
    """By step, how its node's log names its undo; only those that nothing else done there is named like."""
    undos = {step.id: step.undo.do for step in plan.steps if isinstance(step.undo, Compensation)}
    named = Counter((c.node, line(c)) for c in (*(step.do for step in plan.steps), *undos.values()))
    return {step: line(undo) for step, undo in undos.items() if named[undo.node, line(undo)] == 1}


def _taken_back(step: Step, plan: Plan, told_by: dict[str, str], log: tuple[str, ...]) -> bool:
    """Whether it has been, for all that its node's log tells; what is not sure is taken back once more.

    The state of before is made sure of in any case: a boot, which no log tells of, takes it away again, and what that
    rests on is there as long as the log is. Unwinding is the list backwards, and on one node it never passes over what
    is blocking: once the undo of a step before this one has gone out there, this one has been taken back.
    """
    if isinstance(step.undo, Compensation) and step.undo.do.argv[0] == "restore-state":
        return False  # a boot since, of which no log tells, may have stopped the container again
    if step.id in told_by:
        return _succeeded(told_by[step.id], log)
    before = plan.steps[: plan.steps.index(step)]
    further = {told_by[s.id] for s in before if s.id in told_by and s.do.node == step.do.node}
    return isinstance(step.undo, Compensation) and step.undo.blocking and not further.isdisjoint(log)


def _succeeded(began: str, log: tuple[str, ...]) -> bool:
    """Whether the last time that it began it ended with 0."""
    last = max((n for n, said in enumerate(log) if said == began), default=None)
    if last is None or last + 1 >= len(log):
        return False
    return log[last + 1] == f"ended {began.split(' ')[1]} 0"
