"""The write-ahead journal of a run: append-only, a checksum a record, on disk before ``append`` returns.

A record is one line, ``SEQUENCE CHECKSUM JSON``: a decimal count from 0, the first 16 hex digits of the SHA-256 of
``SEQUENCE JSON``, and the entry as ``planner.codec`` encodes it. A torn last record (no newline) is what a crash in
the middle of a write leaves, and is dropped; any other damage is refused. The first record is never torn by a crash:
the file gets its name when that is on the disk.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from planner.codec import CodecError, decode_entry, encode
from planner.findings import typed
from planner.make import digest_of
from planner.plan import Entry, Opened, Plan
from planner.saga import Past

NAME: Final = "journal"
PART: Final = f".{NAME}.part"
"""A journal that is being begun, or was when its controller died."""
NAME_IT: Final = "name the state folder by VZPLAN_STATE"
ELSEWHERE: Final = "name another state folder by VZPLAN_STATE"
LISTED: Final = "'vzplan runs' lists the runs of this host"
LOOKS: Final = 10
"""How often a journal that seems taken is tried again: a look at it takes no longer than that."""


class JournalError(Exception):
    """The journal cannot be used; the message names the file, what is wrong and what to do."""


class MemoryJournal:
    """A journal that nobody will read again: for simulated nodes."""

    def __init__(self, opened: Opened) -> None:
        """Begin with its first entry."""
        self.opened = opened
        self.plan: Plan = opened.plan
        self.past = Past(opened.plan)
        self.entries: list[Entry] = [opened]

    def append(self, entry: Entry) -> None:
        """Note one more entry."""
        self.past.note(entry)
        self.entries.append(entry)


class Journal:
    """The journal of one run on disk, held by one controller at a time."""

    def __init__(self, path: Path, descriptor: int, entries: list[Entry]) -> None:
        """Take over an open, locked file and what it holds; use ``create`` or ``open``."""
        opened = _begun_by(entries, path)
        self.path = path
        self.opened = opened
        self.plan: Plan = opened.plan
        self.past = Past(opened.plan)
        self.entries: list[Entry] = []
        self._descriptor = descriptor
        self._recover = f"vzplan recover {opened.run}"
        self._broken = False
        for entry in entries:
            self.past = self._noted(entry)
            self.entries.append(entry)

    @classmethod
    def create(cls, folder: Path, opened: Opened, *entries: Entry) -> Journal:
        """Begin the journal of a run in ``folder``, which must have none; it is there whole or not at all.

        Raises:
            JournalError: it exists, or cannot be written.
        """
        path, part = folder / NAME, folder / PART
        try:
            above = _make_folders(folder)
            descriptor = _claimed(folder)
            try:
                _write(descriptor, b"".join(_record(n, entry) for n, entry in enumerate((opened, *entries))))
                part.rename(path)
                for directory in (folder, *above):
                    _sync_directory(directory)
            except OSError:
                _give_up(descriptor, part, path)
                raise
        except OSError as problem:
            place = f"{problem.filename}: " if problem.filename else ""
            raise JournalError(
                f"{path}: {place}{problem.strerror}; nothing was begun; {_elsewhere(problem)}"
            ) from None
        return cls(path, descriptor, [opened, *entries])

    @classmethod
    def open(cls, folder: Path) -> Journal:
        """Take up the journal of a run whose controller is gone; a torn last record is cut off.

        Raises:
            JournalError: there is none, it is damaged, or another controller holds it.
        """
        path = folder / NAME
        descriptor = _open(folder, os.O_RDWR)
        try:
            _lock(descriptor, path)
            _still_at(descriptor, path)
            _only_ours(descriptor, folder)
            data = _whole(descriptor)
            entries, good = _replayed(path, data)
            _begun_by(entries, path)
            if good < len(data):
                os.ftruncate(descriptor, good)
                os.fsync(descriptor)
            os.lseek(descriptor, 0, os.SEEK_END)
            return cls(path, descriptor, entries)
        except OSError as problem:
            os.close(descriptor)
            raise JournalError(_not_taken_up(path, problem)) from None
        except JournalError:
            os.close(descriptor)
            raise

    def append(self, entry: Entry) -> None:
        """Write one entry; when this returns it would survive a power cut.

        Raises:
            JournalError: it could not be written; from then on the journal takes nothing more.
        """
        if self._broken:
            raise JournalError(
                f"{self.path}: an earlier record could not be written; recover the run: {self._recover}"
            )
        # Not to be written down is what could not be read again.
        past = self._noted(entry)
        record = _record(len(self.entries), entry)
        try:
            _write(self._descriptor, record)
        except OSError as problem:
            self._broken = True  # what is on disk now is a torn record; nothing may follow it
            mend = _mend(problem) or "mend that"
            raise JournalError(
                f"{self.path}: {problem.strerror}; nothing more is done; {mend}, then type: {self._recover}"
            ) from None
        self.past = past
        self.entries.append(entry)

    def close(self) -> None:
        """Let go of the file and its lock."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        """Nothing to do; for ``with``."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _noted(self, entry: Entry) -> Past:
        """The past with one more entry; this journal's own stays as it is."""
        past = self.past.copy()
        try:
            past.note(entry)
        except ValueError as problem:
            raise JournalError(
                f"{self.path}: record {len(self.entries)}: {problem}; {_adopt(self.path)}"
            ) from None
        return past


class Holder(NamedTuple):
    """The process that holds a journal. ``stopped``: it does nothing until it is told to go on (SIGCONT)."""

    pid: int
    stopped: bool

    @property
    def remedy(self) -> str:
        """What to type if it is stopped; killed, it leaves what any controller leaves that is gone."""
        return (
            f"'kill -CONT {self.pid}' lets it go on; or end it ('kill -KILL {self.pid}') and recover the run"
        )


class Record(NamedTuple):
    """A run as its journal tells, read without touching it.

    ``alive``: its controller holds it now. ``holder``: which process that is, where it is known.
    """

    run: str
    plan: Plan
    past: Past
    entries: tuple[Entry, ...]
    alive: bool
    holder: Holder | None = None


def read_journal(state: Path, run: str) -> Record:
    """What the journal of ``run`` says; changes nothing, waits for nobody.

    Raises:
        JournalError: there is none, or it is damaged.
    """
    path = state / "runs" / run / NAME
    descriptor = _open(path.parent, os.O_RDONLY)
    try:
        alive = not _try_lock(descriptor, fcntl.LOCK_SH)
        holder = _holder(descriptor) if alive else None
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # looking keeps nobody from taking it up
        entries, _ = _replayed(path, _whole(descriptor))
    except OSError as problem:
        raise JournalError(f"{path}: {problem.strerror}; {LISTED}") from None
    finally:
        os.close(descriptor)
    opened = _begun_by(entries, path)
    past = Past(opened.plan)
    for number, entry in enumerate(entries):
        try:
            past.note(entry)
        except ValueError as problem:
            raise JournalError(f"{path}: record {number}: {problem}; {_adopt(path)}") from None
    return Record(run, opened.plan, past, tuple(entries), alive, holder)


def remove_journal(state: Path, run: str) -> None:
    """Remove the journal of a run that has ended, and its folder.

    Raises:
        JournalError: a controller holds it, or it cannot be removed.
    """
    folder = state / "runs" / run
    with Journal.open(folder):
        try:
            (folder / NAME).unlink()
            folder.rmdir()
        except OSError as problem:
            raise JournalError(f"{problem.filename}: {problem.strerror}") from None


def list_runs(state: Path) -> list[str]:
    """The runs that have a journal below ``state``, newest first (their names begin with the time).

    Raises:
        JournalError: the folder cannot be looked into.
    """
    runs = state / "runs"
    try:
        found = [entry.name for entry in os.scandir(runs) if (runs / entry.name / NAME).exists()]
    except FileNotFoundError:
        return []  # nothing was ever begun from here
    except OSError as problem:
        raise JournalError(f"{runs}: {problem.strerror}; {NAME_IT}") from None
    return sorted(found, reverse=True)


def state_folder(environment: Mapping[str, str]) -> Path:
    """Where journals live: $VZPLAN_STATE, else /var/lib/vzplan for root, else the XDG state directory."""
    if environment.get("VZPLAN_STATE"):
        return Path(environment["VZPLAN_STATE"])
    if os.geteuid() == 0:
        return Path("/var/lib/vzplan")
    base = (
        environment.get("XDG_STATE_HOME")
        or Path(environment.get("HOME", "~")).expanduser() / ".local" / "state"
    )
    return Path(base) / "vzplan"


def new_run_id() -> str:
    """``YYYYMMDD-HHMMSS-RANDOM``, UTC: unique, and sorted by time."""
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + secrets.token_hex(3)


def _open(folder: Path, how: int) -> int:
    """A descriptor of the journal in ``folder``; neither of the two is a link to what lies elsewhere."""
    path = folder / NAME
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            descriptor = os.open(NAME, how | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        finally:
            os.close(directory)
    except OSError as problem:
        why = f"{path}: {problem.strerror}; {LISTED}{_unless_known(problem, folder)}"
        link = next((place for place in (folder, path) if place.is_symlink()), None)
        if link is not None:
            why = f"{link}: a link, which is not followed; {LISTED}"
        elif _mend(problem):
            why = _not_taken_up(path, problem)
        raise JournalError(why) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise JournalError(f"{path}: it is not a file; {LISTED}")
    return descriptor


def _whole(descriptor: int) -> bytes:
    """What is in a file that was just opened."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read()


def _begun_by(entries: list[Entry], path: Path) -> Opened:
    """The first entry, whose plan is the one that was agreed to."""
    opened = entries[0]
    if not isinstance(opened, Opened):
        raise JournalError(f"{path}: it does not begin with a plan; is it a journal of vzplan?")
    again = next((n for n, entry in enumerate(entries) if n and isinstance(entry, Opened)), None)
    if again is not None:
        raise JournalError(f"{path}: record {again}: a run begins once; {_adopt(path)}")
    if opened.run != path.parent.name:
        raise JournalError(
            f"{path}: it is the journal of run {opened.run}; put it back into the folder of that name"
        )
    if digest_of(opened.plan) != opened.plan.digest:
        raise JournalError(f"{path}: its plan is not the one that was agreed to; {_adopt(path)}")
    return opened


def _record(number: int, entry: Entry) -> bytes:
    body = encode(entry)
    return b"%d %s %s\n" % (number, _checksum(number, body), body)


def _checksum(number: int, body: bytes) -> bytes:
    return hashlib.sha256(b"%d %s" % (number, body)).hexdigest()[:16].encode()


def _is_record(number: int, line: bytes) -> bool:
    count, _, rest = line.partition(b" ")
    checksum, _, body = rest.partition(b" ")
    return count == b"%d" % number and checksum == _checksum(number, body)


def _replayed(path: Path, data: bytes) -> tuple[list[Entry], int]:
    """The entries, and how many bytes of ``data`` they are."""
    entries: list[Entry] = []
    good = 0
    *lines, torn = data.split(b"\n")  # no record holds a newline of its own: JSON escapes it
    if _is_record(len(lines), torn[:-1]):
        raise JournalError(f"{path}: the last record's end is damaged; {_adopt(path)}")
    # Anything else behind the last newline was torn by a crash: its write had not returned, so nothing was done on
    # its strength.
    for number, line in enumerate(lines):
        if not _is_record(number, line):
            raise JournalError(f"{path}: record {number} is damaged; {_adopt(path)}")
        try:
            entries.append(decode_entry(line.split(b" ", 2)[2], f"{path}: record {number}", _adopt(path)))
        except CodecError as problem:
            raise JournalError(str(problem)) from None
        good += len(line) + 1
    if not entries:
        # It got its name when its first record was whole: the run had begun, and nobody knows here how far it went.
        raise JournalError(
            f"{path}: it is damaged at its beginning, and does not tell how far the run went; its container may be "
            f"down; {_adopt(path)}"
        )
    return entries, good


def _adopt(path: Path) -> str:
    """The way out where a journal tells nothing, or not the truth."""
    folder = path.parent
    return (
        f"keep a copy of it, remove {folder} and type 'vzplan recover {folder.name} --adopt NODE' "
        "(NODE: one of the two that it is about)"
    )


def _not_taken_up(path: Path, problem: OSError) -> str:
    """Why a journal that is there cannot be gone on with, and what a person does about it."""
    mend = _mend(problem) or "see why that cannot be written to"
    return f"{path}: {problem.strerror}; {mend}, then type: vzplan recover {path.parent.name}"


def _unless_known(problem: OSError, folder: Path) -> str:
    """The way out where there is no journal here, if the run has begun all the same."""
    if problem.errno != errno.ENOENT:
        return ""
    return f"; if a node knows this one, 'vzplan recover {folder.name} --adopt NODE' makes its journal anew"


def _mend(problem: OSError) -> str:
    """What a person does about it, where that is known."""
    match problem.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "make room"
        case errno.EIO | errno.EROFS:
            return "see to the disk that it is on ('dmesg' tells what is wrong with it)"
        case _:
            return ""


def _elsewhere(problem: OSError) -> str:
    """What a person does about a run that cannot be begun."""
    return " or ".join(filter(None, (_mend(problem), ELSEWHERE)))


def _make_folders(folder: Path) -> tuple[Path, ...]:
    """The run's folder and those above it, for their owner only; returns where names of them are, to be synced."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for directory in reversed((folder, *folder.parents[:2])):  # the state folder first, then that of all runs
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        _obeyed(directory, directory.stat(), ELSEWHERE)
    if folder.is_symlink():
        raise JournalError(f"{folder}: a link, which is not followed; remove it")
    # Those of the run's folder and of all runs anyway: who made them may have died before it came to that.
    return tuple(dict.fromkeys((*folder.parents[:2], *(place.parent for place in missing))))


def _claimed(folder: Path) -> int:
    """An empty file for the journal of a run that has none, locked. It may be left of who died while beginning one.

    Raises:
        OSError: there can be none.
        JournalError: there is a journal, or somebody else begins one.
    """
    path, part = folder / NAME, folder / PART
    how = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor, is_new = os.open(part, how | os.O_CREAT | os.O_EXCL, 0o600), True
    except FileExistsError:
        descriptor, is_new = os.open(part, how), False
    try:
        _lock(descriptor, path)
        if not is_new:
            _only_ours(descriptor, folder)
        _alone(descriptor, folder)
        os.ftruncate(descriptor, 0)
    except OSError:
        _give_up(descriptor, part)
        raise
    except JournalError:
        os.close(descriptor)
        raise
    return descriptor


def _alone(descriptor: int, folder: Path) -> None:
    """See that nobody else has begun the journal, nor can as long as this file of its beginning is locked."""
    path, part = folder / NAME, folder / PART
    if not _is_at(descriptor, part):  # whoever had it has given it its name since, or removed it
        raise JournalError(f"{path}: another controller began it meanwhile; {LISTED}")
    if os.path.lexists(path):
        part.unlink()
        raise JournalError(f"{path}: it is there; nothing was begun; recover the run without --adopt")


def _give_up(descriptor: int, *made: Path) -> None:
    """Leave nothing of a journal that could not be begun; what it stumbled over first is what is told."""
    with suppress(OSError):
        for path in made:
            path.unlink(missing_ok=True)
        made[0].parent.rmdir()
    os.close(descriptor)  # not sooner: as long as it is locked, nobody else begins here


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file has that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _still_at(descriptor: int, path: Path) -> None:
    """See that it is still the run's journal: who held it may have removed it ('runs --prune')."""
    if not _is_at(descriptor, path):
        raise JournalError(f"{path}: it was removed meanwhile; {LISTED}")


def _only_ours(descriptor: int, folder: Path) -> None:
    """A journal is obeyed: what another could have written is none of ours."""
    above = ((place, place.stat()) for place in (folder, *folder.parents[:2]))
    for what, status in (*above, (folder / NAME, os.fstat(descriptor))):
        _obeyed(what, status, "recover the run as that user")


def _obeyed(what: Path, status: os.stat_result, remedy: str) -> None:
    """``remedy``: if it is another user's."""
    if status.st_uid != os.geteuid():
        raise JournalError(f"{what}: it belongs to another user; {remedy}")
    if status.st_mode & 0o022:
        raise JournalError(
            f"{what}: others may write to it; see that nobody did, then {typed('chmod', 'go-w', str(what))}"
        )


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
    os.fsync(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    for _ in range(LOOKS):
        if _try_lock(descriptor, fcntl.LOCK_EX):
            return
        time.sleep(0.02)  # someone may only be looking
    if not _try_lock(descriptor, fcntl.LOCK_EX):
        who = _holder(descriptor)
        if who is not None and who.stopped:
            raise JournalError(f"{path}: its controller is stopped (process {who.pid}); {who.remedy}")
        process = "" if who is None else f" (process {who.pid})"
        raise JournalError(
            f"{path}: its controller is at work{process}; wait for it ('vzplan status'), or if it never goes on, "
            "end that process and recover the run"
        )


def _holder(descriptor: int) -> Holder | None:
    """Which process holds the file's lock, and whether it is stopped (proc(5): locks, PID/stat), if that is known."""
    about = os.fstat(descriptor)
    file = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
    try:
        lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        pid = next(int(words[4]) for words in lines if words[1] == "FLOCK" and words[5] == file)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, LookupError, ValueError, StopIteration):
        return None
    return Holder(pid, state == "T")


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
