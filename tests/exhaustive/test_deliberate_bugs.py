"""The tests are tested: what finds nothing in the product must find each of the bugs of ``bugs.py``, and soon."""

from __future__ import annotations

import ast
import inspect
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import pytest

from executor.journal import Journal
from executor.simulated import ends, invariants
from executor.simulated.explore import run_schedule, single_faults, start_of
from executor.simulated.schedules import schedule
from planner.make import make_plan
from planner.plan import Began, Opened, Plan, What
from tests.exhaustive import bugs, durable
from tests.exhaustive.bugs import BUGS, DIRECT, LEFT_UNSYNCED
from tests.worlds import CTID, TRUTHS, WORLDS

WITHIN_S: Final = 10
"""Of one core, for each."""

OF_OLD: Final = {
    *(f"N{number:02}" for number in range(1, 12)),
    *("L01", "L03", "L04", "L05", "L07", "L09", "L17", "L26"),
}
"""What old and naive tools got wrong; each lost data, or hid that it had."""


@contextmanager
def soon(name: str) -> Iterator[None]:
    """What finds the bug takes no longer than ``WITHIN_S``."""
    began = time.process_time()
    yield
    took = time.process_time() - began
    print(f"{name}: {took:.1f} s")
    assert took < WITHIN_S, f"{name} took too long"


def nothing(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """No bug."""
    return plan


@pytest.mark.parametrize("name", BUGS)
def test_the_exploration_finds_a_bug_that_was_put_in(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bug = BUGS[name]
    request, truth = WORLDS[bug.world], bug.truth or TRUTHS.get(bug.world)
    beside = bug.beside or nothing
    with soon(name):
        plan = bug.put_in(monkeypatch, beside(monkeypatch, make_plan(request)))
        report = single_faults(request, plan, truth=truth, until=bug.noticed_by, after=bug.after)
        found = {violation.invariant: violation for violation in reversed(report.violations)}
        print(f"{name}: {report.schedules} schedules", *found.values(), sep="\n")
        assert bug.noticed_by <= found.keys(), (
            f"{name} was not noticed, or for another reason: {sorted(found)}"
        )
    said = [violation.seen for violation in found.values()]
    assert [wanted for wanted in bug.seen if not any(fnmatchcase(each, wanted) for each in said)] == []
    for invariant in bug.noticed_by:
        # The schedule that it names leads there again, by itself.
        again = run_schedule(request, found[invariant].schedule, plan, truth=truth)
        assert invariant in {violation.invariant for violation in again.violations}
    # And it is the bug's doing: without it the same schedules do no harm, nor with what stands beside it alone.
    monkeypatch.undo()
    for left in (nothing, beside):
        with monkeypatch.context() as patch:
            plan = left(patch, make_plan(request))
            for invariant in bug.noticed_by:
                harmless = start_of(request, plan, truth=truth)
                harmless.armed = schedule(
                    found[invariant].schedule
                )  # it need not come as far as to the last of them
                harmless.run()
                assert not harmless.violations


@pytest.mark.parametrize("verb", LEFT_UNSYNCED)
def test_a_verb_that_returns_before_what_it_did_would_last_is_noticed(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No schedule shows these: something else notices before it matters. The rule is checked by itself.
    world, line = LEFT_UNSYNCED[verb]
    with monkeypatch.context() as patch:
        left = durable.watch(patch)
        run_schedule(WORLDS[world], line)
        assert left[verb] == set()
    with soon(verb):
        bug = bugs.unsynced(verb)
        left = durable.watch(monkeypatch)
        run_schedule(WORLDS[world], line, bug(monkeypatch, make_plan(WORLDS[world])))
        assert left[verb], f"a {verb} that does not sync was not noticed"


def lost_with_the_power(folder: Path, patch: pytest.MonkeyPatch) -> bytes:
    """What of a journal's last entry, the intent of a pivot, a power cut takes away once it is written down."""
    plan = make_plan(WORLDS["a-running"])
    path = folder / "run-1" / "journal"
    on_disk = 0

    def sync(_descriptor: int) -> None:
        nonlocal on_disk
        on_disk = path.stat().st_size if path.exists() else 0

    with Journal.create(folder / "run-1", Opened("run-1", plan)) as journal:
        patch.setattr("executor.journal.os.fsync", sync)
        journal.append(Began(What.DO, plan.steps[plan.pivot].id))
    return path.read_bytes()[on_disk:]


@pytest.mark.parametrize("name", DIRECT)
def test_a_journal_that_is_not_on_the_disk_when_the_pivot_goes_out_is_noticed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In simulation nothing is lost of a journal: what is written there is on the disk.
    with monkeypatch.context() as patch:
        assert lost_with_the_power(tmp_path / "as it is", patch) == b""
    with soon(name):
        DIRECT[name](monkeypatch)
        assert lost_with_the_power(tmp_path / "with the bug", monkeypatch) != b"", f"{name} was not noticed"


Find = Callable[[str, pytest.MonkeyPatch, Path], None]

FINDS: Final[dict[str, tuple[Find, str]]] = {
    "simulated": (
        lambda name, patch, _: test_the_exploration_finds_a_bug_that_was_put_in(name, patch),
        "no-sync-disown",
    ),
    "unsynced": (
        lambda name, patch, _: test_a_verb_that_returns_before_what_it_did_would_last_is_noticed(name, patch),
        "own",
    ),
    "direct": (
        lambda name, patch, folder: test_a_journal_that_is_not_on_the_disk_when_the_pivot_goes_out_is_noticed(
            name, folder, patch
        ),
        "fsync-too-soon",
    ),
}
"""What looks for each kind of bug, and one of its bugs."""


def put_in_none(kind: str, patch: pytest.MonkeyPatch) -> None:
    """What looks for a bug of this kind has none to find, or one that shows by something else."""
    # Little comes after the last step; all that can come before it takes a minute.
    last = BUGS["no-sync-disown"]._replace(after="disown-hn2:lost-before")
    match kind:
        case "simulated":
            patch.setitem(BUGS, "no-sync-disown", last._replace(put_in=nothing))
        case "by-another-reason":
            patch.setitem(BUGS, "no-sync-disown", last._replace(noticed_by=frozenset({"I1"})))
        case "unsynced":
            patch.setattr(bugs, "unsynced", lambda _verb: nothing)
        case _:
            patch.setitem(DIRECT, "fsync-too-soon", lambda _patch: None)


@pytest.mark.parametrize("kind", [*FINDS, "by-another-reason"])
def test_a_bug_that_is_not_noticed_fails_the_run(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, name = FINDS.get(kind, FINDS["simulated"])
    with monkeypatch.context() as patch:
        put_in_none(kind, patch)
        with pytest.raises(AssertionError, match=r"was not noticed"):
            find(name, monkeypatch, tmp_path)


@pytest.mark.parametrize("kind", FINDS)
def test_a_bug_that_is_noticed_too_late_fails_the_run(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, name = FINDS[kind]
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "WITHIN_S", 0)
        with pytest.raises(AssertionError, match=r"took too long"):
            find(name, monkeypatch, tmp_path)


def test_the_registry_has_every_bug_that_it_must_have() -> None:
    assert BUGS.keys() >= OF_OLD
    assert len(BUGS) >= 40
    for name, bug in BUGS.items():
        text = inspect.getdoc(bug.put_in)
        assert text, name
        assert "\n" not in text, name
        assert bug.noticed_by, name


NAMED: Final = {"view.source": "hn1", "view.destination": "hn2", "view.ctid": str(CTID)}
"""What is called so in every world."""

PARTS: Final = {
    r"container\ .+",
    r"runs\ on\ .+",
    r"what\ is\ mounted\ at\ .+",
    r"would\ start\ on\ .+\ if\ that\ booted\ now",
}
"""What is never said by itself: other clauses say it."""


def clauses() -> set[str]:
    """All that invariants can say of what they see, as regular expressions."""
    found = set()
    for module in (invariants, ends):
        for part in ast.walk(ast.parse(inspect.getsource(module))):
            if not isinstance(part, ast.JoinedStr):
                continue
            texts = [each.value for each in part.values if isinstance(each, ast.Constant)]
            if any(" " in str(text) for text in texts):
                found.add("".join(map(pattern_of, part.values)))
    return found


def pattern_of(part: ast.expr) -> str:
    """Of a piece of an f-string."""
    if isinstance(part, ast.Constant):
        return re.escape(str(part.value))
    assert isinstance(part, ast.FormattedValue)
    return NAMED.get(ast.unparse(part.value), ".+")


def test_every_clause_of_an_invariant_is_needed_by_a_bug() -> None:
    every = clauses()
    assert len(every) > 50
    assert every >= PARTS
    shown = {text for bug in BUGS.values() for text in bug.seen}
    # Of those that could have said it, the one that leaves the least open.
    fits = {text: [each for each in every - PARTS if re.fullmatch(each, text)] for text in shown}
    assert [text for text, found in fits.items() if not found] == []
    needed = {max(found, key=lambda each: len(each.replace(".+", ""))) for found in fits.values()}
    assert every - PARTS - needed == set()
    assert {part for part in PARTS if any(re.search(part, text) for text in shown)} == PARTS


def test_no_production_code_can_reach_a_bug() -> None:
    root = Path(__file__).parents[2]
    files = [path for package in ("planner", "executor", "cli") for path in (root / package).rglob("*.py")]
    assert len(files) > 50
    for path in files:
        for part in ast.walk(ast.parse(path.read_bytes())):
            match part:
                case ast.Import(names=names):
                    imported = [name.name for name in names]
                case ast.ImportFrom(module=module, level=level):
                    assert level == 0, path
                    imported = [module or ""]
                case ast.Constant(value=str(text)):
                    imported = [text] if text.startswith("tests.") else []
                case _:
                    continue
            assert not any(name.split(".")[0] == "tests" for name in imported), path
