"""The journal: what was written is read again, or refused with a remedy; never silently something else."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from executor import journal as journal_module
from executor.journal import (
    Journal,
    JournalError,
    MemoryJournal,
    list_runs,
    new_run_id,
    read_journal,
    remove_journal,
    state_folder,
)
from planner.make import digest_of
from planner.model import Asked
from planner.plan import (
    JOURNAL_VERSION,
    PLAN_VERSION,
    Began,
    Command,
    Ended,
    Entry,
    Exited,
    Lost,
    NothingToUndo,
    Opened,
    Plan,
    Probe,
    Restarted,
    Step,
    Want,
    What,
    Wish,
    Zone,
)

RUN = "20260101-120000-abcdef"


def small_plan() -> Plan:
    looks = NothingToUndo("looks only")
    steps = (
        Step("own", "own", Zone.PREPARE, Command("src", ("own", "123"), "", 60), looks),
        Step(
            "start",
            "start",
            Zone.PIVOT,
            Command("dst", ("own", "123"), "", 60),
            looks,
            Probe(Command("dst", ("probe-pivot", "123", "/vz/root/123"), "", 60)),
        ),
    )
    settle = tuple(Command(node, ("settle",), "", 60) for node in ("src", "dst"))
    plan = Plan(PLAN_VERSION, Asked(123, "src", "dst"), (), "a", "", "", steps, settle, None, None, (), "")
    return structs.replace(plan, digest=digest_of(plan))


OPENED = Opened(RUN, small_plan(), ("-p", "22"), "src")
ENTRIES: tuple[Entry, ...] = (
    OPENED,
    Began(What.DO, "own"),
    Ended(What.DO, "own", Exited(0, "two\nlines\n", "ä € \\ \" '\0\t")),
    Wish(Want.UNWIND, "Ctrl-C"),
)
"""The four records that are cut and damaged below."""

WAY_OUT = rf"keep a copy of it, remove .*/{RUN} and type 'vzplan recover {RUN} --adopt NODE'"
"""Where a journal is of no use any more; what is left to go by is on the nodes."""

RECOVER = f"vzplan recover {RUN}"


def folder_of(state: Path) -> Path:
    return state / "runs" / RUN


def written(state: Path, *more: Entry) -> Path:
    """A closed journal of ``ENTRIES`` and ``more``; its file."""
    with Journal.create(folder_of(state), OPENED) as journal:
        for entry in (*ENTRIES[1:], *more):
            journal.append(entry)
    return folder_of(state) / "journal"


def ends_of_records(data: bytes) -> list[int]:
    return [at + 1 for at, byte in enumerate(data) if byte == ord("\n")]


def entries_of(folder: Path) -> list[Entry]:
    with Journal.open(folder) as journal:
        return journal.entries


def has_remedy(problem: JournalError, path: Path) -> bool:
    """It names the file, and says after a semicolon what to do or what stands behind it."""
    said = str(problem)
    return said.startswith(f"{path}: ") and "; " in said


# --- round trip


def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    written(tmp_path)
    assert entries_of(folder_of(tmp_path)) == list(ENTRIES)


def test_a_reopened_journal_goes_on_where_it_ended(tmp_path: Path) -> None:
    written(tmp_path)
    with Journal.open(folder_of(tmp_path)) as journal:
        journal.append(Restarted())
    with Journal.open(folder_of(tmp_path)) as journal:
        assert journal.entries == [*ENTRIES, Restarted()]
        assert journal.opened == OPENED
        assert journal.plan == OPENED.plan
        assert journal.past.done == {"own"}
        assert journal.past.unwinding == "Ctrl-C"


def test_the_past_is_the_same_before_and_after_reopening(tmp_path: Path) -> None:
    more = (Began(What.DO, "start"), Ended(What.DO, "start", Lost("gone")), Restarted())
    memory = MemoryJournal(OPENED)
    with Journal.create(folder_of(tmp_path), OPENED) as journal:
        for entry in (*ENTRIES[1:], *more):
            journal.append(entry)
            memory.append(entry)
        before = vars(journal.past)
        assert journal.entries == memory.entries
    with Journal.open(folder_of(tmp_path)) as journal:
        assert vars(journal.past) == before == vars(memory.past)


@given(out=st.text(), err=st.text())
def test_whatever_a_node_says_is_read_again_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, out: str, err: str
) -> None:
    ended = Ended(What.DO, "own", Exited(1, out, err))
    folder = tmp_path_factory.mktemp("state") / "runs" / RUN
    with Journal.create(folder, OPENED) as journal:
        journal.append(Began(What.DO, "own"))
        journal.append(ended)
    assert entries_of(folder)[-1] == ended


def test_a_record_is_flushed_to_disk_after_its_last_byte_and_before_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    write, fsync = os.write, os.fsync

    def noted_write(descriptor: int, data: bytes) -> int:
        calls.append("write")
        return write(descriptor, data[:100])  # the kernel may take less than it was given

    def noted_fsync(descriptor: int) -> None:
        calls.append("fsync")
        fsync(descriptor)

    with Journal.create(folder_of(tmp_path), OPENED) as journal:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", noted_write)
            patch.setattr(os, "fsync", noted_fsync)
            journal.append(Wish(Want.UNWIND, "x" * 300))
        assert calls == ["write"] * (len(calls) - 1) + ["fsync"]
        assert len(calls) > 3
    assert entries_of(folder_of(tmp_path)) == [OPENED, Wish(Want.UNWIND, "x" * 300)]


def test_a_journal_is_never_begun_over_another_one(tmp_path: Path) -> None:
    path = written(tmp_path)
    before = path.read_bytes()
    with pytest.raises(JournalError, match="nothing was begun") as refused:
        Journal.create(folder_of(tmp_path), OPENED)
    assert has_remedy(refused.value, path)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["journal"]


def test_a_run_without_a_journal_is_refused_with_a_remedy(tmp_path: Path) -> None:
    for look in (lambda: Journal.open(folder_of(tmp_path)), lambda: read_journal(tmp_path, RUN)):
        with pytest.raises(JournalError, match="'vzplan runs' lists") as refused:
            look()
        assert has_remedy(refused.value, folder_of(tmp_path) / "journal")


def test_only_where_there_is_no_journal_one_can_be_made_anew(tmp_path: Path) -> None:
    folder_of(tmp_path).parent.mkdir()
    folder_of(tmp_path).write_text("no folder")
    with pytest.raises(JournalError, match=r"'vzplan runs' lists the runs of this host$"):
        read_journal(tmp_path, RUN)


# --- torn by a crash


def test_a_journal_cut_at_any_byte_holds_the_whole_records_before(tmp_path: Path) -> None:
    path = written(tmp_path)
    data = path.read_bytes()
    ends = ends_of_records(data)
    assert len(ends) == len(ENTRIES)
    for length in range(ends[0], len(data) + 1):
        path.write_bytes(data[:length])
        whole = [end for end in ends if end <= length]
        assert list(read_journal(tmp_path, RUN).entries) == list(ENTRIES[: len(whole)]), length
        assert path.read_bytes() == data[:length], "reading changed it"
        assert entries_of(folder_of(tmp_path)) == list(ENTRIES[: len(whole)]), length
        assert path.read_bytes() == data[: whole[-1]], "the torn record was not cut off"


def test_a_journal_cut_inside_its_first_record_is_damaged_and_never_a_run_that_had_not_begun(
    tmp_path: Path,
) -> None:
    path = written(tmp_path)
    data = path.read_bytes()
    for length in range(ends_of_records(data)[0]):
        path.write_bytes(data[:length])
        for look in (lambda: Journal.open(folder_of(tmp_path)), lambda: read_journal(tmp_path, RUN)):
            with pytest.raises(JournalError, match=f"damaged at its beginning.*; {WAY_OUT}") as refused:
                look()
            assert has_remedy(refused.value, path)
            assert "begun" not in str(refused.value)
        assert path.read_bytes() == data[:length]


def test_what_is_appended_after_a_torn_record_stands_in_its_place(tmp_path: Path) -> None:
    path = written(tmp_path)
    data = path.read_bytes()
    third, fourth = ends_of_records(data)[2:]
    for length in range(third, fourth):
        path.write_bytes(data[:length])
        with Journal.open(folder_of(tmp_path)) as journal:
            journal.append(Restarted())
        assert entries_of(folder_of(tmp_path)) == [*ENTRIES[:3], Restarted()]


# --- damaged


def test_a_journal_with_any_single_byte_changed_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path)
    data = path.read_bytes()
    for at, byte in enumerate(data):
        # A neighbour, the other case (of a hex digit, too), no ASCII, the end of a record.
        for damaged_byte in {byte ^ 1, byte ^ 0x20, byte ^ 0x80, ord("\n")} - {byte}:
            damaged = data[:at] + bytes([damaged_byte]) + data[at + 1 :]
            path.write_bytes(damaged)
            with pytest.raises(JournalError) as refused:
                Journal.open(folder_of(tmp_path))
            assert has_remedy(refused.value, path), (at, damaged_byte, str(refused.value))
            with pytest.raises(JournalError):
                read_journal(tmp_path, RUN)
            assert path.read_bytes() == damaged


@pytest.mark.parametrize("end", [b"x", b" ", b"\0", b"\r"])
def test_a_last_record_whose_end_is_damaged_is_refused_and_not_taken_for_one_that_was_torn(
    tmp_path: Path, end: bytes
) -> None:
    path = written(tmp_path)
    damaged = path.read_bytes()[:-1] + end
    path.write_bytes(damaged)
    for look in (lambda: Journal.open(folder_of(tmp_path)), lambda: read_journal(tmp_path, RUN)):
        with pytest.raises(JournalError, match=rf"the last record's end is damaged; {WAY_OUT}"):
            look()
    assert path.read_bytes() == damaged


def test_what_is_refused_is_left_as_it_is_with_the_record_that_was_torn(tmp_path: Path) -> None:
    path = written(tmp_path)
    torn = journal_module._record(0, Restarted()) + b"1 torn"
    path.write_bytes(torn)
    with pytest.raises(JournalError, match="does not begin with a plan"):
        Journal.open(folder_of(tmp_path))
    assert path.read_bytes() == torn


@pytest.mark.parametrize(
    "order",
    [(0, 2, 3), (0, 1, 3), (1, 2, 3), (0, 1, 1, 2, 3), (0, 2, 1, 3), (1, 0, 2, 3), (0, 1, 2, 3, 3)],
    ids=lambda order: "".join(map(str, order)),
)
def test_records_that_are_missing_repeated_or_in_another_order_are_refused(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    path = written(tmp_path)
    records = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(records[number] for number in order))
    for look in (lambda: Journal.open(folder_of(tmp_path)), lambda: read_journal(tmp_path, RUN)):
        with pytest.raises(JournalError) as refused:
            look()
        assert has_remedy(refused.value, path)


def test_a_journal_that_does_not_begin_with_a_plan_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    body = b'{"type":"Restarted"}'
    checksum = hashlib.sha256(b"0 " + body).hexdigest()[:16].encode()
    path.write_bytes(b"0 " + checksum + b" " + body + b"\n")
    for look in (lambda: Journal.open(folder_of(tmp_path)), lambda: read_journal(tmp_path, RUN)):
        with pytest.raises(JournalError, match="does not begin with a plan"):
            look()


# --- one controller at a time


def test_a_second_controller_is_refused_while_the_first_is_at_work(tmp_path: Path) -> None:
    with Journal.create(folder_of(tmp_path), OPENED) as first:
        with pytest.raises(JournalError, match="its controller is at work") as refused:
            Journal.open(folder_of(tmp_path))
        assert has_remedy(refused.value, first.path)
        first.append(Restarted())  # the first one was not disturbed
    with Journal.open(folder_of(tmp_path)) as second:
        with pytest.raises(JournalError, match="its controller is at work"):
            Journal.open(folder_of(tmp_path))
        assert second.entries == [OPENED, Restarted()]


def test_what_the_controller_starts_does_not_inherit_the_lock(tmp_path: Path) -> None:
    with Journal.create(folder_of(tmp_path), OPENED) as journal:
        assert not os.get_inheritable(journal._descriptor)
    with Journal.open(folder_of(tmp_path)) as journal:
        assert not os.get_inheritable(journal._descriptor)


def test_a_refused_journal_can_be_opened_once_it_is_mended(tmp_path: Path) -> None:
    path = written(tmp_path)
    data = path.read_bytes()
    path.write_bytes(b"x" + data[1:])
    with pytest.raises(JournalError):
        Journal.open(folder_of(tmp_path))
    path.write_bytes(data)
    assert entries_of(folder_of(tmp_path)) == list(ENTRIES)


def test_reading_a_journal_that_is_held_says_so_and_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path)
    with Journal.open(folder_of(tmp_path)) as journal:
        before, looks = path.read_bytes(), path.stat()
        record = read_journal(tmp_path, RUN)
        assert record.alive
        assert (record.run, record.plan, list(record.entries)) == (RUN, OPENED.plan, list(ENTRIES))
        assert vars(record.past) == vars(journal.past)
        after = path.stat()
        assert (path.read_bytes(), after.st_mtime_ns, after.st_ctime_ns, after.st_ino) == (
            before,
            looks.st_mtime_ns,
            looks.st_ctime_ns,
            looks.st_ino,
        )
        journal.append(Restarted())
        assert read_journal(tmp_path, RUN).entries[-1] == Restarted()


def test_reading_a_journal_that_nobody_holds_says_so_and_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes() + b"4 torn")
    before, looks = path.read_bytes(), path.stat()
    record = read_journal(tmp_path, RUN)
    assert not record.alive
    assert list(record.entries) == list(ENTRIES)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, looks.st_mtime_ns)
    assert entries_of(folder_of(tmp_path)) == list(ENTRIES), "reading left it held"


# --- a full disk


def full_after(taken: int) -> Callable[[int, bytes], int]:
    """``os.write`` on a disk that has room for ``taken`` bytes more."""
    write = os.write
    left = [taken]

    def limited(descriptor: int, data: bytes) -> int:
        if data and not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = write(descriptor, data[: left[0]])
        left[0] -= count
        return count

    return limited


@pytest.mark.parametrize("taken", [0, 1, 17, 40])
def test_when_the_disk_is_full_nothing_more_is_taken_and_what_was_there_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    path = written(tmp_path)
    with Journal.open(folder_of(tmp_path)) as journal:
        before = dict(vars(journal.past))
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full_after(taken))
            with pytest.raises(JournalError, match=f"make room, then type: {RECOVER}$") as refused:
                journal.append(Began(What.DO, "start"))
        assert os.strerror(errno.ENOSPC) in str(refused.value)
        assert has_remedy(refused.value, path)
        torn = path.read_bytes()
        for _ in range(2):  # there is room again, but a torn record stands at the end
            with pytest.raises(JournalError, match=f"recover the run: {RECOVER}$"):
                journal.append(Restarted())
        assert path.read_bytes() == torn
        assert journal.entries == list(ENTRIES)
        assert vars(journal.past) == before
    assert entries_of(folder_of(tmp_path)) == list(ENTRIES)


@pytest.mark.parametrize(
    ("number", "mend"),
    [
        (errno.EIO, "see to the disk that it is on ('dmesg' tells what is wrong with it)"),
        (errno.EROFS, "see to the disk that it is on ('dmesg' tells what is wrong with it)"),
        (errno.EDQUOT, "make room"),
        (errno.EINVAL, "mend that"),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
)
def test_when_the_disk_does_not_confirm_a_record_nothing_more_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, mend: str
) -> None:
    def fails(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    path = written(tmp_path)
    with Journal.open(folder_of(tmp_path)) as journal:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fails)
            with pytest.raises(JournalError, match=os.strerror(number)) as refused:
                journal.append(Restarted())
        assert str(refused.value) == (
            f"{path}: {os.strerror(number)}; nothing more is done; {mend}, then type: {RECOVER}"
        )
        with pytest.raises(JournalError, match="recover the run"):
            journal.append(Restarted())
        assert journal.entries == list(ENTRIES)
    assert entries_of(folder_of(tmp_path))[: len(ENTRIES)] == list(ENTRIES)


@pytest.mark.parametrize("taken", [0, 1, 100])
def test_a_run_whose_journal_cannot_be_begun_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full_after(taken))
        with pytest.raises(JournalError, match="nothing was begun"):
            Journal.create(folder_of(tmp_path), OPENED, *ENTRIES[1:])
    assert not folder_of(tmp_path).exists()
    assert list_runs(tmp_path) == []


def test_a_journal_that_begins_with_several_entries_is_there_whole(tmp_path: Path) -> None:
    with Journal.create(folder_of(tmp_path), *ENTRIES) as journal:  # type: ignore[arg-type]
        journal.append(Restarted())
    assert entries_of(folder_of(tmp_path)) == [*ENTRIES, Restarted()]


# --- where it lies, and for whom


@pytest.mark.parametrize("name", ["", "journal"])
def test_what_others_may_write_to_is_not_obeyed(tmp_path: Path, name: str) -> None:
    path = written(tmp_path).parent / name
    path.chmod(path.stat().st_mode | 0o020)
    with pytest.raises(JournalError, match=r"others may write to it; .*chmod go-w"):
        Journal.open(folder_of(tmp_path))
    path.chmod(path.stat().st_mode & ~0o020)
    assert entries_of(folder_of(tmp_path)) == list(ENTRIES)


def test_a_folder_with_a_blank_is_quoted_where_it_is_to_be_typed(tmp_path: Path) -> None:
    path = written(tmp_path / "a b")
    path.chmod(path.stat().st_mode | 0o020)
    with pytest.raises(JournalError) as refused:
        Journal.open(path.parent)
    assert str(refused.value).endswith(f"see that nobody did, then chmod go-w '{path}'")


def test_what_belongs_to_another_user_is_not_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(JournalError, match="it belongs to another user; "):
        Journal.open(folder_of(tmp_path))


def test_a_plan_that_is_not_the_one_that_was_agreed_to_is_not_walked(tmp_path: Path) -> None:
    plan = structs.replace(OPENED.plan, way="b")
    path = folder_of(tmp_path) / "journal"
    Journal.create(folder_of(tmp_path), OPENED).close()
    path.write_bytes(journal_module._record(0, structs.replace(OPENED, plan=plan)))
    for read in (lambda: Journal.open(folder_of(tmp_path)), lambda: read_journal(tmp_path, RUN)):
        with pytest.raises(JournalError, match=f"not the one that was agreed to; {WAY_OUT}"):
            read()


def test_a_journal_of_a_later_version_says_by_which_vzplan_it_was_written(tmp_path: Path) -> None:
    Journal.create(folder_of(tmp_path), OPENED).close()
    later = b'{"type":"Opened","version":%d,"by":"9.0","moon":"full"}' % (JOURNAL_VERSION + 1)
    record = b"0 %s %s\n" % (journal_module._checksum(0, later), later)
    (folder_of(tmp_path) / "journal").write_bytes(record)
    with pytest.raises(
        JournalError, match=r"written by vzplan 9\.0.*; recover the run with that one, or a later one$"
    ):
        Journal.open(folder_of(tmp_path))


def test_the_journal_of_a_run_that_has_ended_is_removed_whole(tmp_path: Path) -> None:
    written(tmp_path)
    with Journal.open(folder_of(tmp_path)), pytest.raises(JournalError, match="its controller is at work"):
        remove_journal(tmp_path, RUN)
    remove_journal(tmp_path, RUN)
    assert list((tmp_path / "runs").iterdir()) == []


def test_nobody_else_may_read_a_journal(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        path = written(tmp_path / "state")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    above = [*path.parents][: len(path.relative_to(tmp_path).parts) - 1]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in above] == [0o700] * 3


@pytest.mark.parametrize("place", ["state", "state/runs"])
def test_no_run_is_begun_where_others_may_write(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "state" / "runs" / OPENED.run
    folder.parent.mkdir(parents=True)
    (tmp_path / place).chmod(0o777)
    with pytest.raises(JournalError, match=rf"{place}: others may write to it; .*chmod go-w"):
        Journal.create(folder, OPENED)
    assert not folder.exists()


def test_runs_are_listed_newest_first_and_only_those_with_a_journal(tmp_path: Path) -> None:
    assert list_runs(tmp_path) == []
    runs = ["20260101-120000-ffffff", "20251231-235959-000000", "20260101-120001-000000"]
    for run in runs:
        Journal.create(tmp_path / "runs" / run, structs.replace(OPENED, run=run)).close()
    (tmp_path / "runs" / "20270101-000000-aaaaaa").mkdir()
    (tmp_path / "runs" / "notes.txt").write_text("no run")
    assert list_runs(tmp_path) == [runs[2], runs[0], runs[1]]


def test_two_runs_never_have_the_same_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.journal.time.strftime", lambda *_: "20260101-120000-")
    names = {new_run_id() for _ in range(50)}
    assert len(names) == 50
    assert all(re.fullmatch("20260101-120000-[0-9a-f]{6}", name) for name in names)


@pytest.mark.parametrize(
    ("environment", "euid", "folder"),
    [
        ({"VZPLAN_STATE": "/s", "XDG_STATE_HOME": "/x", "HOME": "/h"}, 0, "/s"),
        ({"VZPLAN_STATE": "/s", "XDG_STATE_HOME": "/x", "HOME": "/h"}, 1000, "/s"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, 0, "/var/lib/vzplan"),
        ({"VZPLAN_STATE": "", "XDG_STATE_HOME": "/x", "HOME": "/h"}, 0, "/var/lib/vzplan"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, 1000, "/x/vzplan"),
        ({"XDG_STATE_HOME": "", "HOME": "/h"}, 1000, "/h/.local/state/vzplan"),
        ({"HOME": "/h"}, 1000, "/h/.local/state/vzplan"),
    ],
)
def test_the_state_folder_is_the_first_that_is_named(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], euid: int, folder: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: euid)
    assert state_folder(environment) == Path(folder)


def test_looking_at_a_run_never_keeps_a_controller_from_taking_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)
    opened: list[Journal] = []
    replayed = journal_module._replayed

    def meanwhile(path: Path, data: bytes) -> tuple[list[Entry], int]:
        monkeypatch.undo()
        opened.append(Journal.open(folder_of(tmp_path)))
        return replayed(path, data)

    monkeypatch.setattr(journal_module, "_replayed", meanwhile)
    read_journal(tmp_path, RUN)
    opened[0].close()


def test_an_entry_that_cannot_follow_leaves_a_journal_that_can_be_opened(tmp_path: Path) -> None:
    written(tmp_path)
    with Journal.open(folder_of(tmp_path)) as journal, pytest.raises(JournalError):
        journal.append(Ended(What.DO, "start", Exited(0)))
    assert entries_of(folder_of(tmp_path)) == list(ENTRIES)


def test_a_journal_that_cannot_be_begun_is_let_go_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full_after(3))
        with pytest.raises(JournalError):
            Journal.create(folder_of(tmp_path), OPENED)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_whoever_looked_at_a_journal_or_was_refused_it_has_let_go_of_it(tmp_path: Path) -> None:
    before = open_files()
    path = written(tmp_path)
    read_journal(tmp_path, RUN)
    Journal.open(folder_of(tmp_path)).close()
    path.write_bytes(b"x" + path.read_bytes()[1:])
    for look in (lambda: Journal.open(folder_of(tmp_path)), lambda: read_journal(tmp_path, RUN)):
        with pytest.raises(JournalError):
            look()
    path.unlink()
    path.mkdir()
    for look in (lambda: Journal.open(folder_of(tmp_path)), lambda: read_journal(tmp_path, RUN)):
        with pytest.raises(JournalError):
            look()
    assert open_files() == before


@pytest.mark.parametrize("call", ["ftruncate", "fsync", "lseek"])
def test_a_torn_record_that_cannot_be_cut_off_is_told_and_the_journal_let_go_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = written(tmp_path)
    path.write_bytes(path.read_bytes() + b"4 torn")
    before = open_files()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        with pytest.raises(JournalError) as refused:
            Journal.open(folder_of(tmp_path))
    assert str(refused.value) == (
        f"{path}: {os.strerror(errno.EIO)}; see to the disk that it is on ('dmesg' tells what is wrong with it), "
        f"then type: vzplan recover {path.parent.name}"
    )
    assert open_files() == before
    assert entries_of(folder_of(tmp_path)) == list(ENTRIES)


def test_a_journal_on_a_disk_that_cannot_be_written_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opens = written(tmp_path), os.open

    def read_only(name: str | Path, how: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if how & os.O_RDWR:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opens(name, how, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(JournalError) as refused:
        Journal.open(folder_of(tmp_path))
    assert str(refused.value).startswith(
        f"{path}: {os.strerror(errno.EROFS)}; see to the disk that it is on "
    )
    assert str(refused.value).endswith(f", then type: vzplan recover {path.parent.name}")


def test_a_journal_that_cannot_be_read_is_told_and_let_go_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    written(tmp_path)
    before = open_files()
    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "_whole", fails)
        with pytest.raises(JournalError, match=rf"{os.strerror(errno.EIO)}; 'vzplan runs' lists"):
            read_journal(tmp_path, RUN)
    assert open_files() == before


def test_the_state_folder_is_made_with_all_above_it(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "state"
    Journal.create(folder_of(deep), OPENED).close()
    assert entries_of(folder_of(deep)) == [OPENED]


def test_who_only_looks_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    looks = os.open(folder_of(tmp_path) / "journal", os.O_RDONLY)
    fcntl.flock(looks, fcntl.LOCK_SH)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            os.close(looks)

    monkeypatch.setattr("executor.journal.time.sleep", wait)
    assert entries_of(folder_of(tmp_path)) == list(ENTRIES)
    assert len(waits) == 3
    assert all(0 < seconds < 1 for seconds in waits)


LOCKS = """\
1: POSIX  ADVISORY  WRITE 11 {file} 0 EOF
2: FLOCK  ADVISORY  WRITE 12 {file}1 0 EOF
3: FLOCK  ADVISORY  WRITE 4242 {file} 0 EOF
3: -> FLOCK  ADVISORY  WRITE 13 {file} 0 EOF
"""


STOPPED = (
    "its controller is stopped (process 4242); 'kill -CONT 4242' lets it go on; "
    "or end it ('kill -KILL 4242') and recover the run"
)


@pytest.mark.parametrize(
    ("locks", "stat", "said"),
    [
        (LOCKS, "4242 (vzplan (x) T) S 1 2 3", "at work (process 4242); wait"),
        (LOCKS, "4242 (vzplan) T 1 2 3", STOPPED),
        (LOCKS.replace("FLOCK", "POSIX"), "4242 (vzplan) T 1 2 3", "at work; wait"),
        ("", "", "at work; wait"),
        ("1: FLOCK\n", "", "at work; wait"),
        (LOCKS.replace("4242", "?"), "4242 (vzplan) T 1 2 3", "at work; wait"),
        (LOCKS, None, "at work; wait"),
        (None, None, "at work; wait"),
    ],
    ids=[
        "works",
        "stopped",
        "another lock",
        "none is told",
        "cut short",
        "no number",
        "it is gone",
        "no such file",
    ],
)
def test_who_is_refused_a_journal_is_told_which_process_holds_it_if_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: str | None, stat: str | None, said: str
) -> None:
    path = written(tmp_path)
    about = path.stat()
    file = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
    told = {"/proc/locks": locks and locks.format(file=file), "/proc/4242/stat": stat}
    read = Path.read_text

    def read_text(self: Path) -> str:
        if str(self) not in told:
            return read(self)
        text = told[str(self)]
        if text is None:
            raise FileNotFoundError(self)
        return text

    monkeypatch.setattr("executor.journal.time.sleep", lambda _: None)
    monkeypatch.setattr(Path, "read_text", read_text)
    with Journal.open(folder_of(tmp_path)), pytest.raises(JournalError) as refused:
        Journal.open(folder_of(tmp_path))
    assert said in str(refused.value)


def test_a_journal_that_cannot_be_begun_says_why_in_the_systems_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full_after(3))
        with pytest.raises(JournalError) as refused:
            Journal.create(folder_of(tmp_path), OPENED)
    path = folder_of(tmp_path) / "journal"
    assert str(refused.value) == (
        f"{path}: {os.strerror(errno.ENOSPC)}; nothing was begun; make room or {ELSEWHERE}"
    )


ELSEWHERE = "name another state folder by VZPLAN_STATE"


@pytest.mark.parametrize(
    "kind", ["cannot be", "is a file", "below a file", "the folder of all runs is a file"]
)
def test_a_state_folder_that_cannot_be_is_named_with_what_names_another(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "file"
    file.touch()
    (tmp_path / "runs").touch()
    state, place, number = {
        "cannot be": (Path("/proc/x"), Path("/proc/x"), errno.ENOENT),
        "is a file": (file, file, errno.EEXIST),
        "below a file": (file / "state", file, errno.EEXIST),
        "the folder of all runs is a file": (tmp_path, tmp_path / "runs", errno.EEXIST),
    }[kind]
    with pytest.raises(JournalError) as refused:
        Journal.create(folder_of(state), OPENED)
    path = folder_of(state) / "journal"
    assert str(refused.value) == (f"{path}: {place}: {os.strerror(number)}; nothing was begun; {ELSEWHERE}")


# --- a folder without a journal: its controller died while it began one, or somebody removed it


def left_of_a_beginning(state: Path, kind: str) -> Path:
    """The folder of a run that has no journal."""
    folder = folder_of(state)
    folder.mkdir(mode=0o700, parents=True)
    if kind != "empty":
        (folder / journal_module.PART).write_bytes(b"x" * 99_999 + b"\n")
    return folder


@pytest.mark.parametrize("kind", ["empty", "part"])
def test_a_journal_can_be_begun_where_another_controller_died_before_it_had_one(
    tmp_path: Path, kind: str
) -> None:
    folder = left_of_a_beginning(tmp_path, kind)
    with (
        Journal.create(folder, OPENED, *ENTRIES[1:]),
        pytest.raises(JournalError, match="its controller is at work"),
    ):
        Journal.open(folder)
    assert entries_of(folder) == list(ENTRIES)
    assert [path.name for path in folder.iterdir()] == ["journal"]
    remove_journal(tmp_path, RUN)


def test_a_journal_that_another_begins_at_the_same_time_is_left_to_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.journal.time.sleep", lambda _: None)
    folder = left_of_a_beginning(tmp_path, "part")
    part = folder / journal_module.PART
    with part.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(JournalError, match="its controller is at work"):
            Journal.create(folder, OPENED)
        assert part.stat().st_size == 100_000

    def meanwhile(_: int, path: Path) -> None:
        part.rename(path)  # it was whole, and its controller goes on, or died since

    monkeypatch.setattr(journal_module, "_lock", meanwhile)
    with pytest.raises(JournalError, match="another controller began it meanwhile"):
        Journal.create(folder, OPENED)
    assert (folder / "journal").stat().st_size == 100_000


@pytest.mark.parametrize("call", ["lock", "write", "rename"])
@pytest.mark.parametrize("kind", ["none", "empty", "part"])
def test_of_a_journal_that_cannot_be_begun_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, call: str
) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    if kind != "none":
        left_of_a_beginning(tmp_path, kind)
    place = {"lock": (fcntl, "flock"), "write": (os, "write"), "rename": (Path, "rename")}[call]
    before = open_files()
    with monkeypatch.context() as patch:
        patch.setattr(*place, fails)
        with pytest.raises(JournalError, match=f": {os.strerror(errno.EIO)}; nothing was begun"):
            Journal.create(folder_of(tmp_path), OPENED)
    assert not folder_of(tmp_path).exists()
    assert open_files() == before


@pytest.mark.parametrize("kind", ["part", "folder", "dangling part"])
def test_a_journal_is_not_begun_through_a_link(tmp_path: Path, kind: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    folder = folder_of(tmp_path)
    folder.parent.mkdir(mode=0o700)
    if kind == "folder":
        elsewhere.mkdir()
        folder.symlink_to(elsewhere)
    else:
        folder.mkdir(mode=0o700)
        (folder / journal_module.PART).symlink_to(elsewhere)
        if kind == "part":
            elsewhere.write_text("mine")
    with pytest.raises(JournalError):
        Journal.create(folder, OPENED)
    assert kind != "part" or elsewhere.read_text() == "mine"
    assert kind != "folder" or list(elsewhere.iterdir()) == []
    assert kind != "dangling part" or not elsewhere.exists()


def test_what_others_could_have_left_is_not_written_on(tmp_path: Path) -> None:
    folder = left_of_a_beginning(tmp_path, "part")
    (folder / journal_module.PART).chmod(0o666)
    before = open_files()
    with pytest.raises(JournalError, match="others may write to it"):
        Journal.create(folder, OPENED)
    assert not (folder / "journal").exists()
    assert open_files() == before


def test_what_else_lies_in_the_folder_of_a_run_is_not_removed_with_it(tmp_path: Path) -> None:
    notes = written(tmp_path).parent / "notes"
    notes.write_text("mine")
    with pytest.raises(JournalError) as refused:
        remove_journal(tmp_path, RUN)
    assert str(refused.value) == f"{notes.parent}: {os.strerror(errno.ENOTEMPTY)}"
    assert notes.read_text() == "mine"


def test_that_a_run_was_begun_is_on_the_disk_with_the_names_that_lead_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, bool]] = []
    fsync, path = os.fsync, folder_of(tmp_path) / "journal"

    def noted(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    Journal.create(folder_of(tmp_path), OPENED).close()
    names = [place.stat().st_ino for place in (path, *path.parents[:3])]
    assert synced == [(names[0], False), *((name, True) for name in names[1:])]


def test_that_a_run_was_begun_is_on_the_disk_with_every_folder_that_was_made_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync, state = os.fsync, tmp_path / "srv" / "state"

    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    Journal.create(folder_of(state), OPENED).close()
    for place in (tmp_path, tmp_path / "srv", state, state / "runs", folder_of(state)):
        assert synced.count(place.stat().st_ino) == 1, place


def test_a_journal_that_was_removed_while_it_was_waited_for_is_not_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)
    lock = journal_module._lock

    def removed_first(descriptor: int, path: Path) -> None:
        monkeypatch.setattr(journal_module, "_lock", lock)
        remove_journal(tmp_path, RUN)
        lock(descriptor, path)

    monkeypatch.setattr(journal_module, "_lock", removed_first)
    with pytest.raises(JournalError, match="it was removed meanwhile; 'vzplan runs' lists"):
        Journal.open(folder_of(tmp_path))


def test_a_state_folder_that_cannot_be_looked_into_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("no folder")
    with pytest.raises(JournalError, match=r"/runs: .*; name the state folder by VZPLAN_STATE"):
        list_runs(tmp_path)


def test_without_a_home_in_the_environment_it_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/h")
    assert state_folder({}) == Path("/h/.local/state/vzplan")


def test_a_run_is_called_by_its_time_and_by_chance() -> None:
    assert re.fullmatch(r"20[0-9]{6}-[0-9]{6}-[0-9a-f]{6}", new_run_id())


def test_that_others_may_pass_through_its_folder_is_no_matter(tmp_path: Path) -> None:
    written(tmp_path).parent.chmod(0o755)
    assert entries_of(folder_of(tmp_path)) == list(ENTRIES)


def test_who_may_write_above_the_state_folder_is_no_matter(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    Journal.create(folder_of(tmp_path / "state"), OPENED).close()
    assert entries_of(folder_of(tmp_path / "state")) == [OPENED]
