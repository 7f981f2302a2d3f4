"""The named regression cases, one a folder of fixtures/cases: what goes wrong elsewhere, and how it must end here.

A case is a ``case.toml`` (see ``Case``), the nodes that are special to it as ``NODE.json``, and its plan as an
operator reads it. ``VZPLAN_GOLDEN=write`` writes the plans anew.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import pytest
from msgspec import Struct, structs

from cli.output import plan_text
from executor.facts_files import read_world
from executor.simulated.schedules import schedule
from executor.simulated.trial import OPEN_ENDS, Trial
from executor.simulated.world import World
from planner.make import make_plan
from planner.model import Known, Options, Request
from planner.plan import (
    Began,
    Command,
    Compensation,
    Ended,
    Exited,
    Outcome,
    Plan,
    Restarted,
    Stop,
    What,
    Zone,
)
from planner.saga import Past, next_move
from planner.verbs import VERBS
from tests.worlds import NODES, bundled, mounted, stopped

CASES: Final = Path(__file__).parent.parent.parent / "fixtures" / "cases"
WRITE: Final = os.environ.get("VZPLAN_GOLDEN") == "write"
FOLDERS: Final = sorted(path.name for path in CASES.iterdir() if path.is_dir())
FORWARD: Final = (Zone.PREPARE, Zone.FREEZE, Zone.TRANSFER)
DOWN: Final[dict[str, Callable[[Request], Request]]] = {"mounted": mounted, "stopped": stopped}


class Schedule(Struct, frozen=True, forbid_unknown_fields=True):
    """One schedule (see executor/simulated/schedules.py), and what must come of it; an empty line: nothing fails.

    ``ends``: how it ends, and after that, if it ends open, each recovery. ``proved``: places, each of them proved
    (its exit status was 0), and before the next one goes out for the first time. ``never``: places that never go
    out. ``left``: verbs that the first end names as left to do.
    """

    line: str
    ends: tuple[Outcome, ...]
    proved: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


class Operand(Struct, frozen=True, forbid_unknown_fields=True):
    """What an operand of a step's command (or of its undo, ``undo/STEP``) must be, to the letter."""

    at: str
    operand: str
    value: str


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """A case. With ``findings`` it must be refused, by these errors and no others; else it is played.

    ``world``: a folder of fixtures/nodes; a ``NODE.json`` beside case.toml takes the place of that world's node.
    ``options``: those of ``planner.model.Options``; without them those that the world is meant for.
    """

    title: str
    defect: str  # what goes wrong in the old tool, or in a naive one
    world: str
    state: Literal["running", "mounted", "stopped"] = "running"
    options: dict[str, Any] | None = None
    findings: tuple[str, ...] = ()
    argv: tuple[Operand, ...] = ()
    verbs_not_used: tuple[str, ...] = ()
    schedule: tuple[Schedule, ...] = ()


def read_case(folder: Path) -> Case:
    """The case of a folder.

    Raises:
        ValueError: a key is unknown or missing, or a value is none; names the file.
    """
    path = folder / "case.toml"
    try:
        case = msgspec.convert(tomllib.loads(path.read_text()), Case)
    except (msgspec.ValidationError, tomllib.TOMLDecodeError) as problem:
        raise ValueError(f"{path}: {problem}") from None
    nodes = {each.name for each in (NODES / case.world).glob("*.json")}
    strays = {each.name for each in folder.iterdir()} - nodes - {"case.toml", "plan.txt"}
    if not nodes:
        raise ValueError(f"{path}: there is no world {case.world!r} in {NODES}")
    if strays:
        raise ValueError(f"{folder}: {', '.join(sorted(strays))} belongs to no case")
    if bool(case.findings) == bool(case.schedule):
        raise ValueError(f"{path}: either findings or schedules, one of the two")
    if case.findings and (case.argv or case.verbs_not_used):
        raise ValueError(f"{path}: a plan that is refused has no steps to look at")
    return case


def request_of(folder: Path, case: Case) -> Request:
    """Container 123 of the case's world is to go from hn1 to hn2."""
    try:
        options = None if case.options is None else msgspec.convert(case.options, Options)
    except msgspec.ValidationError as problem:
        raise ValueError(f"{folder / 'case.toml'}: options: {problem}") from None
    request = bundled(case.world, options)
    own = read_world(folder) if any(folder.glob("*.json")) else {}
    request = structs.replace(
        request,
        source=own.get("hn1", request.source),
        destination=own.get("hn2", request.destination),
    )
    return DOWN[case.state](request) if case.state in DOWN else request


def command_at(plan: Plan, place: str) -> Command:
    """The command of a place, as it is written in a schedule."""
    what, _, step_id = place.rpartition("/")
    step = next(step for step in plan.steps if step.id == step_id)
    if what == What.UNDO:
        assert isinstance(step.undo, Compensation), f"{step_id} has no undo"
        return step.undo.do
    assert not what
    return step.do


def place(entry: Began | Ended) -> str:
    """Where a journal's entry belongs, as it is written in a schedule."""
    return entry.at if entry.what is What.DO else f"{entry.what}/{entry.at}"


def succeeded(entry: Ended) -> bool:
    return isinstance(entry.outcome, Exited) and entry.outcome.status == 0


def one_by_one(trial: Trial, places: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with the order: every place is proved, and before the next one goes out."""
    began: dict[str, int] = {}
    proved: dict[str, int] = {}
    for number, entry in enumerate(trial.entries):
        if isinstance(entry, Began):
            began.setdefault(place(entry), number)
        elif isinstance(entry, Ended) and succeeded(entry):
            proved.setdefault(place(entry), number)
    yield from (f"{each} was never proved" for each in places if each not in proved)
    for first, then in pairwise(places):
        if first in proved and then in began and began[then] < proved[first]:
            yield f"{then} went out before {first} was proved"


def went_on(trial: Trial) -> Iterator[str]:
    """L01, of every case: after a step failed on the way forward, or an undo went out, no step is done any more."""
    zones = {step.id: step.zone for step in trial.plan.steps}
    back = ""
    for entry in trial.entries:
        if isinstance(entry, Began) and entry.what is What.DO and back:
            yield f"{entry.at} was done after {back}"
        elif isinstance(entry, Began) and entry.what is What.UNDO:
            back = f"the undo of {entry.at} went out"
        elif isinstance(entry, Ended) and entry.what is What.DO and not succeeded(entry):
            back = back or (f"{entry.at} failed" if zones[entry.at] in FORWARD else "")


def played(request: Request, plan: Plan, line: str) -> tuple[Trial, list[int]]:
    """As ``run_schedule``, and how many effects each command had."""
    world = World.of(request.source, request.destination, writers=frozenset({request.asked.ctid}))
    trial, effects = Trial(plan, world, schedule(line)), list[int]()
    trial.on_end = effects.append
    trial.run()
    assert not trial.armed, f'schedule("{line}"): {trial.armed[0]} was never reached'
    return trial, effects


def first_stop(trial: Trial) -> Stop:
    """What the first controller said at its end, worked out of its journal once more."""
    past = Past(trial.plan)
    for entry in trial.entries:
        if isinstance(entry, Restarted):
            break
        past.note(entry)
    stop = next_move(trial.plan, past)
    assert isinstance(stop, Stop)
    return stop


def silence_is_no(value: Any) -> Any:  # noqa: ANN401 # whatever facts consist of
    """L09, as a bug of every check at once: what a node did not say is read as if it had said no."""
    match value:
        case Known.UNKNOWN:
            return Known.NO
        case tuple():
            return tuple(map(silence_is_no, value))
        case Struct():
            return structs.replace(
                value, **{name: silence_is_no(getattr(value, name)) for name in value.__struct_fields__}
            )
        case _:
            return value


def test_the_case_of_silence_notices_who_takes_it_for_no() -> None:
    folder = CASES / "L09-silence-is-not-no"
    case = read_case(folder)
    told = {finding.code for finding in make_plan(silence_is_no(request_of(folder, case))).findings}
    assert set(case.findings) - told == {"locked"}


@pytest.mark.parametrize("name", FOLDERS)
def test_the_case_ends_as_it_must(name: str) -> None:
    folder = CASES / name
    case = read_case(folder)
    request = request_of(folder, case)
    plan = make_plan(request)
    errors = {finding.code for finding in plan.findings if finding.severity == "error"}
    assert errors == set(case.findings)
    assert plan.runnable == (not case.findings)
    for each in case.argv:
        argv = command_at(plan, each.at).argv
        assert dict(zip(VERBS[argv[0]].operands, argv[1:], strict=True))[each.operand] == each.value
    used = {step.do.argv[0] for step in plan.steps}
    used |= {step.undo.do.argv[0] for step in plan.steps if isinstance(step.undo, Compensation)}
    assert not used & set(case.verbs_not_used)
    assert set(case.verbs_not_used) <= VERBS.keys()
    check_golden(folder / "plan.txt", plan_text(plan))
    for each_schedule in case.schedule:
        play(request, plan, each_schedule)


def check_golden(path: Path, text: str) -> None:
    """The plan, which says its digest, is the one that was reviewed."""
    if WRITE:
        path.write_text(text)
    assert path.read_text() == text


def play(request: Request, plan: Plan, wanted: Schedule) -> None:
    """Play one schedule and hold it against what must come of it."""
    trial, effects = played(request, plan, wanted.line)
    seen = f'schedule("{wanted.line}")'
    assert not trial.violations, "\n".join(map(str, trial.violations))
    assert tuple(trial.outcomes) == wanted.ends, seen
    if wanted.line:  # something did go wrong: what was heard or done is not what a plain run hears and does
        plain, plain_effects = played(request, plan, "")
        same = trial.entries == plain.entries and effects == plain_effects and not trial.world.meddled
        assert not same, f"{seen}: nothing went wrong"
    assert not [*went_on(trial)], seen
    assert not [*one_by_one(trial, wanted.proved)], seen
    places = {place(entry) for entry in trial.entries if isinstance(entry, Began)}
    assert not places & set(wanted.never), seen
    for each in wanted.never:
        command_at(plan, each)  # there is such a place
    if wanted.left or wanted.ends[0] in OPEN_ENDS:
        assert wanted.left, f"{seen} ends open: say what is left"
        assert {command.argv[0] for command in first_stop(trial).left} >= set(wanted.left), seen


def test_a_key_that_no_case_has_is_refused_by_the_name_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "case.toml").write_text('title = "t"\ndefect = "d"\nworld = "san"\nfault = "stop:busy"\n')
    with pytest.raises(ValueError, match=r"case\.toml: Object contains unknown field `fault`"):
        read_case(tmp_path)


def test_an_option_that_does_not_exist_is_refused_by_the_name_of_its_file(tmp_path: Path) -> None:
    case = Case("t", "d", "san", options={"dst_disk": "/dev/sdm1"})
    with pytest.raises(ValueError, match=r"case\.toml: options: Object contains unknown field `dst_disk`"):
        request_of(tmp_path, case)
