"""Journals that earlier versions of vzplan wrote: whoever upgrades in the middle of a run can still end it.

``fixtures/journals/VERSION/`` has whole journals, and what a journal of that version is made of. Those of the present
version are written by ``VZPLAN_GOLDEN=write``; those of versions before stay as they are. What a version is made of is
written once: else whoever writes the other golden files anew would change what a version means, and not notice.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from executor.journal import Journal, JournalError, _checksum, _record, read_journal
from executor.simulated.explore import run_schedule
from planner.plan import JOURNAL_VERSION, JOURNALS_READ, Began, Entry, Restarted, Run, Stop
from planner.saga import next_move
from planner.verbs import VERBS
from tests.worlds import TRUTHS, WORLDS

STORED: Final = Path(__file__).parents[2] / "fixtures" / "journals"
PRESENT: Final = STORED / str(JOURNAL_VERSION)
MADE_OF: Final = "made-of.json"
WRITE: Final = os.environ.get("VZPLAN_GOLDEN") == "write"
RUN: Final = "run-1"

SCHEDULES: Final = {  # world, schedule, how it ends
    "a": ("a-running", "copy-last:killed-half-1", "UNWOUND"),
    "c-online-off": ("c-online", "suspend:off-after", "IN_DOUBT > DOWN > UNWOUND"),
    "b-adopted": ("b-stopped", "make-private:journal-lost-after", "UNWOUND"),
    "c-wish": ("c-mounted", "fence:wish", "UNWOUND"),
    "d1": ("d1-suspended", "copy-dump:fails-after", "UNWOUND"),
    "d2-asked": ("d2-running", "bring-up:lost-after", "MIGRATED"),
    "d2-staged": ("d2-staged", "hide-config:killed-after-forward", "MIGRATED"),
}


def _made_of() -> dict[str, Any]:
    """All that an entry may hold, and the operands of verbs: what an earlier vzplan's plan hands to this one's."""
    schema = msgspec.json.schema(Entry)
    for each in schema["$defs"].values():
        each.pop("description", None)
    made_of = {"entries": schema, "verbs": {name: verb.operands for name, verb in sorted(VERBS.items())}}
    return dict[str, Any](json.loads(json.dumps(made_of)))


def _at_home(file: Path, state: Path) -> Path:
    """The stored journal where a run of that name has it."""
    folder = state / "runs" / RUN
    folder.mkdir(parents=True, mode=0o700)
    (folder / "journal").write_bytes(file.read_bytes())
    (folder / "journal").chmod(0o600)
    return folder


def _write(name: str) -> None:
    """Play its schedule, and keep the journal."""
    world, line, ends = SCHEDULES[name]
    trial = run_schedule(WORLDS[world], line, truth=TRUTHS.get(world))
    if " > ".join(trial.outcomes) != ends:
        raise ValueError(f"{name} ends as {trial.outcomes}")
    lines = b"".join(_record(number, entry) for number, entry in enumerate(trial.entries))
    (PRESENT / f"{name}.journal").write_bytes(lines)


def _write_once(made_of: Path) -> None:
    """Keep what journals of this version are made of."""
    if not made_of.exists():
        made_of.write_text(json.dumps(_made_of(), indent=1) + "\n")


if WRITE:
    PRESENT.mkdir(parents=True, exist_ok=True)
    _write_once(PRESENT / MADE_OF)
    for each in SCHEDULES:
        _write(each)

FILES: Final = sorted(STORED.glob("*/*.journal"))


def test_each_version_that_is_read_has_journals() -> None:
    assert {int(file.parent.name) for file in FILES} == set(JOURNALS_READ)
    assert {file.stem for file in FILES if file.parent == PRESENT} == SCHEDULES.keys()


def test_what_a_journal_is_made_of_changes_with_its_version_only() -> None:
    """Else an older vzplan calls what a newer one wrote damaged, and a verb is handed what it does not know."""
    stored = json.loads((PRESENT / MADE_OF).read_text())
    assert _made_of() == stored, "JOURNAL_VERSION goes one up, and VZPLAN_GOLDEN=write writes journals of it"


def test_what_a_version_is_made_of_is_never_written_over(tmp_path: Path) -> None:
    made_of = tmp_path / MADE_OF
    _write_once(made_of)
    assert json.loads(made_of.read_text()) == _made_of()
    made_of.write_text("of another vzplan")
    _write_once(made_of)
    assert made_of.read_text() == "of another vzplan"


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_a_stored_journal_is_taken_up_wherever_its_controller_stopped(file: Path, tmp_path: Path) -> None:
    folder = _at_home(file, tmp_path)
    whole = file.read_bytes().splitlines(keepends=True)
    record = read_journal(tmp_path, RUN)
    assert len(record.entries) == len(whole)
    for records in range(1, len(whole) + 1):
        (folder / "journal").write_bytes(b"".join(whole[:records]))
        with Journal.open(folder) as journal:
            assert journal.entries == list(record.entries[:records])
            journal.append(Restarted(forward=False))
            assert isinstance(next_move(journal.plan, journal.past), Run | Stop)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_the_plan_of_a_stored_journal_is_walked_and_unwound_as_it_was(file: Path, tmp_path: Path) -> None:
    _at_home(file, tmp_path)
    record = read_journal(tmp_path, RUN)
    world, line, ends = SCHEDULES[file.stem]
    trial = run_schedule(WORLDS[world], line, record.plan, truth=TRUTHS.get(world))
    assert trial.violations == []
    assert " > ".join(trial.outcomes) == ends
    assert [(e.what, e.at) for e in trial.entries if isinstance(e, Began)] == [
        (e.what, e.at) for e in record.entries if isinstance(e, Began)
    ]


def test_every_kind_of_entry_is_stored(tmp_path: Path) -> None:
    kinds: set[type] = set()
    for number, name in enumerate(SCHEDULES):
        state = tmp_path / str(number)
        _at_home(PRESENT / f"{name}.journal", state)
        kinds |= {type(entry) for entry in read_journal(state, RUN).entries}
    assert kinds == set(Entry.__args__)


def test_a_journal_of_a_version_before_those_that_are_read_says_by_which_vzplan_it_was_written(
    tmp_path: Path,
) -> None:
    before = min(JOURNALS_READ) - 1
    first = (PRESENT / "a.journal").read_bytes().splitlines()[0].split(b" ", 2)[2]
    old = first.replace(b'"version":%d,"by":""' % JOURNAL_VERSION, b'"version":%d,"by":"0.0"' % before)
    assert old != first
    file = tmp_path / "old"
    file.write_bytes(b"0 %s %s\n" % (_checksum(0, old), old))
    _at_home(file, tmp_path / "state")
    with pytest.raises(JournalError, match=rf"written by vzplan 0\.0, as version {before} .* with that one$"):
        read_journal(tmp_path / "state", RUN)


def test_a_stored_journal_ends_as_it_ended(tmp_path: Path) -> None:
    """The end of each stored journal is one at which nothing more is to be done."""
    for name in SCHEDULES:
        _at_home(PRESENT / f"{name}.journal", tmp_path / name)
        record = read_journal(tmp_path / name, RUN)
        stop = next_move(record.plan, record.past)
        assert isinstance(stop, Stop)
        assert stop.outcome == SCHEDULES[name][2].split(" > ")[-1]
