"""A real shell on this machine: what goes in arrives, what comes out is understood, and a lost session does no harm.

Nothing here needs root, vzctl or ssh.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import pytest

from executor import shell as shell_module
from executor import verbs
from executor.gather import Ask
from executor.node import NodeOutcome
from executor.shell import KEEP_BYTES, ShellNode
from planner.codec import text_sha256
from planner.parse.config import FENCE
from planner.plan import Command, Exited, Lost
from planner.verbs import ANY_CONTENT, AUTO_PASSES, FORGOTTEN, NO, REFUSED, TAKEN_OVER, UNFIT, UNPROVED, YES
from tests import rhel6

CTID = "4000000001"  # no container has so high a number
RUN = "run-1"
CONTROL = "control.example:/root/state"
SHELLS = (("dash",), ("bash", "--posix"))
BUSYBOX = ("busybox", "sh")
"""It takes its own tools for those of the node, and its ``timeout`` holds the run's lock for up to a second longer."""
DD: Final = shutil.which("dd")
FULL: Final = os.strerror(errno.ENOSPC)
NOBODY = 2**31 - 1  # no process has so high a number

ODD_NAMES = (
    " two  words ",
    "*[a-z]?.*",
    "$HOME ${x} $(touch pwned) `touch pwned`",
    "-rf",
    "--",
    "'\"''\\",
    "\\n\\0%s%d%",
    "a;b&c|d<e>f#~!{a,b}(a)=",
    "~",
    "tab\there bell\a\x1b[0m",
    "ä€𝄞\u200b",
)


class Here:
    """This machine as an old node, in one of the shells, with a home of its own below ``tmp_path``."""

    def __init__(self, words: tuple[str, ...], tmp_path: Path) -> None:
        """Skip the test if there is no such shell."""
        program = shutil.which(words[0])
        if program is None:
            pytest.skip(f"{words[0]} is not installed")
        self.words = (program, *words[1:])
        self.home = tmp_path / "home"
        self.tmp = tmp_path
        self.heard: list[tuple[str, bytes]] = []
        self._sessions: list[ShellNode] = []
        # What the session calls "sh" is the same shell.
        self._path = tmp_path / "bin"
        self._path.mkdir()
        (self._path / "sh").symlink_to(program)
        # What is lost without it is seen in tests/sandbox; here it would only wait for what others have to write.
        rhel6.lay(self._path, {"sync": "/bin/true"})

    def session(self, run: str = RUN, generation: int = 1, words: tuple[str, ...] = ()) -> ShellNode:
        node = ShellNode(
            "here",
            None,
            run=run,
            control=CONTROL,
            generation=generation,
            home=str(self.home),
            shell=words or self.words,
            speak=lambda name, data: self.heard.append((name, data)),
        )
        node._environment["PATH"] = f"{self._path}:{node._environment['PATH']}"
        self._sessions.append(node)
        return node

    def cannot_write(self, pattern: str) -> None:
        """From now on what is written to such a file ends as if the disk were full: it is there, and empty."""
        dd = self._path / "dd"
        dd.write_text(
            f"#!/bin/sh\nfor word; do case $word in {pattern}) : >${{word#of=}}; exec {DD} of=/dev/full ;; esac; done\n"
            f'exec {DD} "$@"\n'
        )
        dd.chmod(0o755)

    def vzctl_says(self, status: str) -> None:
        """There is a vzctl, of which nothing but this is to be had."""
        vzctl = self._path / "vzctl"
        vzctl.write_text(f"#!/bin/sh\necho '{status}'\n")
        vzctl.chmod(0o755)

    @property
    def folder(self) -> Path:
        return self.home / "node" / RUN

    @property
    def log(self) -> list[str]:
        return (self.folder / "log").read_text().splitlines()

    @property
    def holder(self) -> int:
        return int((self.folder / "holder").read_text().split()[0])

    def close(self) -> None:
        for node in self._sessions:
            node.close()
        assert not (self._path / rhel6.LOG).exists(), (self._path / rhel6.LOG).read_text()


@pytest.fixture(params=SHELLS, ids=" ".join)
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Here]:
    place = Here(request.param, tmp_path)
    yield place
    place.close()


@pytest.fixture(params=(*SHELLS, BUSYBOX), ids=" ".join)
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ShellNode]:
    """A session that only looks."""
    place = Here(request.param, tmp_path)
    yield place.session(run="", generation=0)
    place.close()
    assert not place.home.exists(), "looking left something behind"


@pytest.fixture
def owned(here: Here) -> ShellNode:
    """A session of a run that owns the container."""
    node = here.session()
    assert run(node, "own", CTID) == Exited(0)
    return node


@pytest.fixture
def ended() -> Iterator[list[int]]:
    """Processes of the test's own that must not outlive it, whatever it finds."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        if not is_gone(pid):
            os.kill(pid, signal.SIGKILL)


def run(node: ShellNode, *argv: str | Path, stdin: str = "", deadline_s: int = 60) -> NodeOutcome:
    return node.run(Command("here", tuple(map(str, argv)), stdin, deadline_s))


def status(outcome: NodeOutcome) -> int:
    assert isinstance(outcome, Exited), outcome
    return outcome.status


def is_refused(outcome: NodeOutcome, why: str) -> bool:
    return status(outcome) == REFUSED and isinstance(outcome, Exited) and why in outcome.err


def fails(outcome: NodeOutcome, why: str, by: int = 1) -> bool:
    return status(outcome) == by and isinstance(outcome, Exited) and why in outcome.err


def is_gone(pid: int) -> bool:
    """Ended; a zombie that nobody has waited for yet has ended, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(happened: Callable[[], object]) -> None:
    """For what another process does and tells nobody of."""
    limit = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < limit, "it never happened"
        time.sleep(0.005)


def wait_until_gone(*pids: int) -> None:
    wait_until(lambda: all(map(is_gone, pids)))


def says(monkeypatch: pytest.MonkeyPatch, verb: str, text: str) -> None:
    """``verb`` does something else for once."""
    real = verbs.text
    monkeypatch.setattr(verbs, "text", lambda name: text if name == verb else real(name))


# --- the run on the node


def test_owning_and_giving_up_leaves_nothing_behind(here: Here) -> None:
    node = here.session()
    assert run(node, "own", CTID) == Exited(0)
    assert (here.home / "owners" / CTID).read_text() == f"run={RUN}\ncontrol={CONTROL}\n"
    assert here.folder.is_dir()
    assert run(node, "own", CTID) == Exited(0), "owning twice"
    assert run(node, "disown", CTID) == Exited(0)
    assert list(here.home.iterdir()) == []
    assert run(node, "disown", CTID) == Exited(0), "giving up twice"
    assert list(here.home.iterdir()) == []


def lays_directory(record: Path) -> None:
    record.mkdir()


def lays_pipe(record: Path) -> None:
    os.mkfifo(record)


def lays_link(record: Path) -> None:
    """To what would even be this run's own record."""
    (record.parent / "other").write_text(f"run={RUN}\ncontrol={CONTROL}\n")
    record.symlink_to("other")


def lays_link_to_nothing(record: Path) -> None:
    record.symlink_to("nowhere")


@pytest.mark.parametrize("lays", [lays_directory, lays_pipe, lays_link, lays_link_to_nothing])
def test_a_container_whose_record_is_no_file_is_not_taken_in_hand(
    here: Here, lays: Callable[[Path], None]
) -> None:
    record = here.home / "owners" / CTID
    record.parent.mkdir(parents=True)
    lays(record)
    laid = record.lstat()
    assert fails(run(here.session(), "own", CTID), f"{record} is no file of vzplan's; see what made it")
    found = record.lstat()
    assert (found.st_ino, found.st_mode, found.st_ctime_ns) == (laid.st_ino, laid.st_mode, laid.st_ctime_ns)


def test_a_run_has_one_connection_to_a_node_and_each_command_is_one_round_trip(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips: list[str] = []

    def counted(name: str) -> None:
        real = getattr(ShellNode, name)

        def first_noted(*words: object) -> object:
            trips.append(name)
            return real(*words)

        monkeypatch.setattr(ShellNode, name, first_noted)

    counted("_connect")
    counted("_converse")
    node = here.session(run="", generation=0)
    assert node.read("echo seen", 10, KEEP_BYTES) == Exited(0, "seen\n")
    assert trips == ["_connect", "_converse", "_converse"], "the facts"
    trips.clear()
    node.serve(RUN, CONTROL, 1, "brief")
    folder = here.tmp / "made"
    for words in (
        ("own", CTID),
        ("make-dir", folder, "0755"),
        ("make-dir", folder / "a", "0755"),
        ("remove-dir", folder),  # it is not empty
        ("remove-dir", folder / "a"),
        ("remove-dir", folder),
        ("disown", CTID),
    ):
        run(node, *words)
        assert trips == ["_converse"], words
        trips.clear()
    assert not folder.exists()
    assert list(here.home.iterdir()) == []


def test_a_container_is_taken_in_hand_while_another_is_given_up(here: Here) -> None:
    owners = here.home / "owners"
    # Once between the folder and the record, as it waits for the disk; once more where it links.
    for tool, real in (("sync", "true"), ("ln", "ln")):
        program = here._path / tool
        program.unlink()
        program.write_text(
            f'#!/bin/sh\n[ -e {here.tmp}/{tool} ] || rmdir {owners}\n: >{here.tmp}/{tool}\n/bin/{real} "$@"\n'
        )
        program.chmod(0o755)
    assert status(run(here.session(), "own", CTID)) == 0
    assert (here.tmp / "ln").exists()
    assert (owners / CTID).read_text() == f"run={RUN}\ncontrol={CONTROL}\n"


def test_a_record_that_cannot_be_made_is_not_another_runs(here: Here) -> None:
    (here._path / "ln").write_text("#!/bin/sh\nexit 1\n")
    node = here.session()
    assert fails(run(node, "own", CTID), f"{here.home}/owners/{CTID} cannot be made")
    assert not (here.folder / "record").exists()


def test_a_container_that_another_run_took_in_hand_meanwhile_is_its(here: Here) -> None:
    record = here.home / "owners" / CTID
    (here._path / "ln").write_text(f"#!/bin/sh\necho run=other >{record}\nexit 1\n")
    assert fails(
        run(here.session(), "own", CTID), f"container {CTID} was taken in hand by another run meanwhile"
    )
    assert record.read_text() == "run=other\n"


def test_a_runs_folder_is_made_while_another_runs_is_removed(here: Here) -> None:
    mkdir = here._path / "mkdir"
    real = mkdir.rename(mkdir.with_name("mkdir-too"))
    mkdir.write_text(
        f'#!/bin/sh\n[ -e {here.tmp}/once ] || {{ : >{here.tmp}/once; exit 1; }}\nexec {real} "$@"\n'
    )
    mkdir.chmod(0o755)
    assert run(here.session(), "own", CTID) == Exited(0)


def test_giving_up_leaves_what_other_runs_have(here: Here) -> None:
    first, second = here.session(), here.session("run-2")
    assert run(first, "own", CTID) == Exited(0)
    assert run(second, "own", "4000000002") == Exited(0)
    assert run(first, "disown", "4000000002") == Exited(0), "the record is another run's"
    assert (here.home / "owners" / "4000000002").exists()
    assert not here.folder.exists()
    assert run(second, "disown", CTID) == Exited(0), "the record is another run's"
    assert (here.home / "owners" / CTID).exists()


def test_without_the_runs_folder_nothing_is_done(here: Here) -> None:
    node = here.session()
    made = here.tmp / "made"
    assert fails(run(node, "make-dir", made, "0755"), "this run is not on record here any more", FORGOTTEN)
    assert fails(
        run(node, "make-file", made, "0644", stdin="x"), "this run is not on record here any more", FORGOTTEN
    )
    assert run(node, "settle") == Exited(0)
    assert not made.exists()
    assert not here.home.exists()


def test_a_second_run_cannot_own_and_is_told_where_to_look(here: Here, owned: ShellNode) -> None:
    second = here.session("run-2")
    outcome = run(second, "own", CTID)
    assert fails(outcome, f"run={RUN}")
    assert fails(outcome, f"control={CONTROL}")
    assert (here.home / "owners" / CTID).read_text() == f"run={RUN}\ncontrol={CONTROL}\n"
    assert run(second, "disown", CTID) == Exited(0)
    assert run(owned, "own", CTID) == Exited(0), "the first still owns it"


def test_an_old_controller_that_wakes_up_can_do_nothing_any_more(here: Here, owned: ShellNode) -> None:
    new = here.session(generation=1001)
    made = here.tmp / "made"
    assert is_refused(run(new, "make-dir", made, "0755"), f"the run here is at 1 {CONTROL}\n"), (
        "it has not settled"
    )
    assert run(new, "settle") == Exited(0)
    assert isinstance(run(owned, "make-dir", made, "0755"), Lost), "settling ended the old session"
    for old in (owned, here.session(), here.session(generation=1000)):
        assert is_refused(run(old, "make-dir", made, "0755"), "the run here is at 1001")
        assert is_refused(run(old, "own", CTID), "the run here is at 1001")
        assert is_refused(run(old, "disown", CTID), "the run here is at 1001")
        taken = run(old, "settle")
        assert status(taken) == TAKEN_OVER
        assert isinstance(taken, Exited)
        assert "another controller has taken this run over: generation 1001" in taken.err
    assert not made.exists()
    assert run(new, "make-dir", made, "0755") == Exited(0)
    assert run(new, "disown", CTID) == Exited(0)


def test_settling_twice_and_settling_where_nothing_was_done_is_harmless(here: Here) -> None:
    node = here.session(generation=7)
    assert run(node, "settle") == Exited(0)
    assert run(node, "settle") == Exited(0)
    assert run(node, "own", CTID) == Exited(0)
    assert run(node, "settle") == Exited(0)
    assert run(node, "disown", CTID) == Exited(0)
    assert list(here.home.iterdir()) == []


def test_with_the_tools_of_busybox_a_run_works_once_each_lock_is_free(tmp_path: Path) -> None:
    place = Here(BUSYBOX, tmp_path)
    node, path = place.session(), tmp_path / ODD_NAMES[2]
    text = TEXTS["every character up to U+02FF"]

    def patiently(*argv: str | Path, stdin: str = "") -> NodeOutcome:
        outcomes = [run(node, *argv, stdin=stdin)]

        def let_in() -> bool:
            if is_refused(outcomes[-1], "still at work here"):
                outcomes.append(run(node, *argv, stdin=stdin))
            return not is_refused(outcomes[-1], "still at work here")

        wait_until(let_in)
        return outcomes[-1]

    assert patiently("own", CTID) == Exited(0)
    assert patiently("make-file", path, "0644", stdin=text) == Exited(0)
    assert path.read_bytes() == text.encode()
    assert patiently("settle") == Exited(0)
    assert patiently("remove-made", path) == Exited(0)
    assert patiently("disown", CTID) == Exited(0)
    place.close()
    assert list(place.home.iterdir()) == []


def test_after_a_reboot_nothing_is_done_before_the_node_has_settled(here: Here, owned: ShellNode) -> None:
    (here.folder / "boot").write_text("another boot\n")
    assert is_refused(run(owned, "make-dir", here.tmp / "made", "0755"), "booted since")
    assert run(owned, "settle") == Exited(0)
    assert run(owned, "make-dir", here.tmp / "made", "0755") == Exited(0)


def test_the_node_itself_knows_what_was_done_to_it(here: Here, owned: ShellNode) -> None:
    made = here.tmp / "two words"
    assert run(owned, "make-dir", made, "0755") == Exited(0)
    assert status(run(owned, "remove-dir", "/proc/self/status")) == 1
    assert run(owned, "settle") == Exited(0)
    assert here.log == [
        f"began own {CTID}",
        "ended own 0",
        f"began make-dir {made} 0755",
        "ended make-dir 0",
        "began remove-dir /proc/self/status",
        "ended remove-dir 1",
        "settled 1",
    ]


def test_what_the_run_writes_on_the_node_is_for_its_owner_only(here: Here, owned: ShellNode) -> None:
    assert run(owned, "make-file", here.tmp / "made", "0644", stdin="x") == Exited(0)
    for path in (here.home, *here.home.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


HOSTILE: Final = {
    "SHELLOPTS": "noclobber:errexit:nounset:noglob:allexport:pipefail",
    "CDPATH": "/usr",
    "GLOBIGNORE": "*",
    "QUOTING_STYLE": "c",
    "TIME_STYLE": "no-such",
    "GREP_OPTIONS": "--invert-match",
    "BLOCK_SIZE": "1",
    "BLOCKSIZE": "1",
    "DF_BLOCK_SIZE": "1",
    "DU_BLOCK_SIZE": "1",
    "LS_BLOCK_SIZE": "1",
    "RSYNC_RSH": "/bin/false",
    "RSYNC_PARTIAL_DIR": "part",
    "RSYNC_ICONV": "utf8,latin1",
    "RSYNC_PROTECT_ARGS": "1",
    "RSYNC_OLD_ARGS": "1",
    "RSYNC_CHECKSUM_LIST": "no-such",
    "RSYNC_COMPRESS_LIST": "no-such",
    "RSYNC_MAX_ALLOC": "1",
    "RSYNC_CONNECT_PROG": "/bin/false",
}
"""What a profile may export, and would make shell or tools do something else."""
TELLS_ENVIRONMENT: Final = 'env; echo "$-"; false | true'


def is_rid_of_it(said: str) -> bool:
    *lines, options = said.splitlines()
    given = dict(line.split("=", 1) for line in lines if "=" in line)
    left = {name for name in HOSTILE if given.get(name) == HOSTILE[name]} - {"SHELLOPTS"}
    assert left == set()
    assert not set(options) & set("Ceufa")
    return True


def hostile(words: tuple[str, ...]) -> tuple[str, ...]:
    """A shell that is started with all of it."""
    return ("/usr/bin/env", *(f"{name}={value}" for name, value in HOSTILE.items()), *words)


def test_what_a_profile_exports_changes_nothing_of_what_a_run_does(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, made = here.session(words=hostile(here.words)), here.tmp / "made"
    for words in (("own", CTID), ("make-dir", made, "0755"), ("settle",), ("remove-made", made)):
        assert run(node, *words) == Exited(0)
    says(monkeypatch, "remove-dir", TELLS_ENVIRONMENT)
    outcome = run(node, "remove-dir", made)
    assert status(outcome) == 0
    assert isinstance(outcome, Exited)
    assert is_rid_of_it(outcome.out)
    assert run(node, "disown", CTID) == Exited(0)
    assert list(here.home.iterdir()) == []


def test_what_a_profile_exports_changes_nothing_at_the_other_end_of_a_copy(here: Here) -> None:
    # There is no session there: what comes by ssh is the library and what follows it.
    text = f"{verbs.library()}\n{TELLS_ENVIRONMENT}"
    environment = {"VZPLAN_HOME": "/x", "VZPLAN_RUN": RUN, "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [*hostile(here.words), "-c", text], env=environment, capture_output=True, text=True, check=True
    )
    assert is_rid_of_it(done.stdout)


# --- what is said


def test_more_than_a_pipe_holds_on_both_streams_at_once_is_read(reader: ShellNode) -> None:
    out, err = "o" * 1023, "e" * 1023
    script = f"i=0; while [ $i -lt 1000 ]; do echo {out}; echo {err} >&2; i=$((i + 1)); done; exit 3"
    outcome = reader.read(script, 60, 2_000_000)
    assert isinstance(outcome, Exited)
    assert outcome.status == 3
    assert outcome.out == f"{out}\n" * 1000
    check_bounded(outcome.err, f"{err}\n" * 1000, KEEP_BYTES)


@pytest.mark.parametrize(("first", "second"), [("", ">&2"), (">&2", "")], ids=["out-first", "err-first"])
def test_more_than_a_pipe_holds_on_one_stream_after_the_other_is_read(
    reader: ShellNode, first: str, second: str
) -> None:
    script = f"seq 100000 {first}; seq 100000 {second}"
    outcome = reader.read(script, 60, 5000)
    said = "".join(f"{number}\n" for number in range(1, 100001))
    assert isinstance(outcome, Exited)
    assert outcome.status == 0
    check_bounded(outcome.out, said, 5000)
    check_bounded(outcome.err, said, KEEP_BYTES)


def test_a_verb_that_says_more_than_a_pipe_holds_does_not_hang(
    here: Here, owned: ShellNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, "remove-made", "seq 100000; seq 100000 >&2; exit 9")
    outcome = run(owned, "remove-made", "/x")
    said = "".join(f"{number}\n" for number in range(1, 100001))
    assert isinstance(outcome, Exited)
    assert outcome.status == 9
    check_bounded(outcome.out, said, KEEP_BYTES)
    check_bounded(outcome.err, said, KEEP_BYTES)
    assert "".join(data.decode() for _, data in here.heard if data).endswith(said), "who listens hears all"
    assert {name for name, _ in here.heard} == {"here"}


def check_bounded(kept: str, said: str, limit: int) -> None:
    gap = f"\n[... {len(said) - 2 * limit} bytes left out ...]\n"
    assert kept == said[:limit] + gap + said[-limit:]


@pytest.mark.parametrize("said", ["", "x", "x\n", "\n", "\n\n\n", "a\r\nb\r", "ä€\a", "%s\\n$x"])
def test_what_is_said_comes_back_as_it_was(reader: ShellNode, said: str) -> None:
    octal = "".join(f"\\{byte:03o}" for byte in said.encode())
    outcome = reader.read(f"printf '{octal}'; printf '{octal}' >&2; exit 5", 60, 1000)
    assert outcome == Exited(5, said, said)


def test_what_looks_like_a_trailer_is_not_mistaken_for_it(reader: ShellNode) -> None:
    lines = ["", "0" * 32 + " 0", "", "0" * 32, "vzplan_run", " 0", "f" * 32 + " 255", ""]
    text = "\n".join(lines)
    for _ in range(2):
        script = f"cat <<'END'\n{text}END\ncat >&2 <<'END'\n{text}END\nexit 4"
        assert reader.read(script, 60, 10_000) == Exited(4, text, text)


def test_bytes_that_are_no_text_do_not_end_the_session(reader: ShellNode) -> None:
    assert reader.read(r"printf '\377\000\200'", 60, 1000) == Exited(0, "\ufffd\0\ufffd", "")
    assert reader.read("echo more", 60, 1000) == Exited(0, "more\n", "")


@pytest.mark.parametrize("number", [0, 1, 126, 127, 255])
def test_an_exit_status_means_only_what_the_command_says(reader: ShellNode, number: int) -> None:
    assert reader.read(f"exit {number}", 60, 1000) == Exited(number)


def test_looking_needs_no_run_and_leaves_nothing_behind(reader: ShellNode) -> None:
    assert reader.read('cat; pwd; echo "[$VZPLAN_RUN]"', 60, 1000) == Exited(0, "/\n[]\n", "")


def test_a_command_never_reads_what_is_meant_for_the_session(
    here: Here, owned: ShellNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(monkeypatch, "remove-made", "cat")
    assert run(owned, "remove-made", "/x") == Exited(0)
    assert run(owned, "remove-made", "/x") == Exited(0)
    assert owned.read("cat", 60, 1000) == Exited(0)
    assert here.log[-1] == "ended remove-made 0"


def test_what_a_login_prints_is_no_answer(here: Here) -> None:
    node = here.session(
        words=(
            here.words[0],
            *here.words[1:],
            "-c",
            'echo motd; echo warning >&2; exec "$@"',
            "x",
            *here.words,
        )
    )
    assert node.read("echo out; echo err >&2", 60, 1000) == Exited(0, "out\n", "err\n")


# --- what goes in


TEXTS = {
    "nothing": "",
    "no newline at its end": "VE_ROOT=/vz/root/$VEID",
    "newlines at its end": "a\n\n\n",
    "newlines only": "\n\n",
    "quotes": "'\"'\\''\"\\\"`''\n",
    "backslashes": "\\\n\\\\n\\0\\c\\x41 % %s %%\n",
    "what a shell would run": "$(touch pwned) `touch pwned` ${HOME} $HOME $$ !! ~ *\n; exit 1 &\n",
    "a here document": "<<EOF\nEOF\n<<'END'\n",
    "an option": "-n -e\n",
    "carriage returns": "a\r\nb\r",
    "every character up to U+02FF": "".join(map(chr, range(1, 0x300))),
    "other characters": "€ 𝄞 \u200b\u2028\ufeff\uffff",
    "one long line": "x" * 200_000,
    "200 kB of odd lines": "'$x\\ \"ä`\n" * 18_000,
}


def test_standard_input_arrives_as_it_is(here: Here, owned: ShellNode) -> None:
    for number, (name, text) in enumerate(TEXTS.items()):
        path = here.tmp / f"file{number}"
        assert run(owned, "make-file", path, "0640", stdin=text) == Exited(0), name
        assert path.read_bytes() == text.encode(), name
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.unlink()
    assert sorted(p.name for p in here.tmp.iterdir()) == ["bin", "home"]
    assert not Path("/pwned").exists()


def test_a_file_that_is_made_again_is_left_as_it_is(here: Here, owned: ShellNode) -> None:
    path = here.tmp / "file"
    assert run(owned, "make-file", path, "0640", stdin="x") == Exited(0)
    before = path.stat()
    assert run(owned, "make-file", path, "0640", stdin="x") == Exited(0)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert run(owned, "remove-made", path) == Exited(0)
    assert run(owned, "remove-made", path) == Exited(0)
    assert sorted(p.name for p in here.tmp.iterdir()) == ["bin", "home"]


def test_what_a_run_left_that_was_killed_while_it_was_forgotten_goes_with_the_next(
    here: Here, owned: ShellNode
) -> None:
    left = here.tmp / "home" / "node" / ".gone-run-0"
    left.mkdir()
    (left / "log").write_text("began own 1\n")
    assert run(owned, "disown", CTID) == Exited(0)
    assert not left.exists()


def test_operands_arrive_as_they_are(here: Here, owned: ShellNode) -> None:
    top = here.tmp / "top"
    for name in ODD_NAMES:
        top.mkdir()
        folder, file = top / name, top / name / name
        assert run(owned, "make-dir", folder, "0750") == Exited(0), name
        assert run(owned, "make-file", file, "0600", stdin=name) == Exited(0), name
        assert [p.name for p in top.iterdir()] == [p.name for p in folder.iterdir()] == [name]
        assert file.read_text() == name
        assert run(owned, "rename-file", file, f"{file}2", "-") == Exited(0), name
        assert [p.name for p in folder.iterdir()] == [f"{name}2"]
        Path(f"{file}2").rename(file)
        assert run(owned, "remove-made", file) == Exited(0), name
        assert run(owned, "remove-made", folder) == Exited(0), name
        top.rmdir()
    assert not Path("/pwned").exists()


# --- verbs that make and remove


def test_what_someone_else_made_is_neither_changed_nor_removed(here: Here, owned: ShellNode) -> None:
    file, folder, link = here.tmp / "file", here.tmp / "folder", here.tmp / "link"
    file.write_text("theirs")
    folder.mkdir()
    link.symlink_to(here.tmp / "nowhere")
    for path in (file, folder, link):
        assert fails(run(owned, "make-file", path, "0644", stdin="theirs"), "did not make it")
        assert fails(run(owned, "make-dir", path, "0755"), "did not make it")
        assert run(owned, "remove-made", path) == Exited(0)
        assert run(owned, "remove-made-tree", path) == Exited(0)
    assert file.read_text() == "theirs"
    assert folder.is_dir()
    assert link.is_symlink()


def test_what_another_made_between_this_runs_mark_and_its_own_making_is_left(
    here: Here, owned: ShellNode
) -> None:
    for number, again in enumerate((True, False)):
        file = here.tmp / f"file{number}"
        beside = here.tmp / f".vzplan-{RUN}-{file.name}"
        assert run(owned, "make-file", file, "0644", stdin="ours") == Exited(0)
        file.rename(beside)  # as if it had been killed before the file got its name
        file.write_text("theirs")
        if again:
            assert fails(run(owned, "make-file", file, "0644", stdin="ours"), "did not make it")
        assert run(owned, "remove-made", file) == Exited(0)
        assert file.read_text() == "theirs"
        assert not beside.exists()


def test_what_another_run_made_is_not_this_runs(here: Here, owned: ShellNode) -> None:
    second = here.session("run-2")
    assert run(second, "own", "4000000002") == Exited(0)
    file = here.tmp / "file"
    assert run(second, "make-file", file, "0644", stdin="x") == Exited(0)
    assert fails(run(owned, "make-file", file, "0644", stdin="x"), "did not make it")
    assert run(owned, "remove-made", file) == Exited(0)
    assert file.exists()
    assert run(second, "remove-made", file) == Exited(0)
    assert not file.exists()


def test_a_file_that_was_changed_since_is_not_made_again(here: Here, owned: ShellNode) -> None:
    file = here.tmp / "file"
    assert run(owned, "make-file", file, "0644", stdin="ours\n") == Exited(0)
    file.write_text("theirs\n")
    assert fails(run(owned, "make-file", file, "0644", stdin="ours\n"), "was changed")
    assert file.read_text() == "theirs\n"
    assert not list(here.tmp.glob(".vzplan-*"))


def test_a_tree_that_this_run_made_goes_with_all_in_it(here: Here, owned: ShellNode) -> None:
    top = here.tmp / "top"
    assert run(owned, "make-dir", top, "0755") == Exited(0)
    (top / "-rf" / "x").mkdir(parents=True)
    (top / "out").symlink_to(here.home)
    assert fails(run(owned, "remove-made", top), "is not empty")
    assert run(owned, "remove-made-tree", top) == Exited(0)
    assert not top.exists()
    assert here.folder.is_dir()
    assert run(owned, "remove-made-tree", top) == Exited(0)


def test_renaming_never_overwrites_and_can_be_repeated(here: Here, owned: ShellNode) -> None:
    old, new = here.tmp / "123.conf", here.tmp / "123.conf.migrated"
    assert fails(run(owned, "rename-file", old, new, "-"), "is not a file")
    old.write_text("a")
    new.write_text("b")
    assert fails(run(owned, "rename-file", old, new, "-"), "both there")
    assert (old.read_text(), new.read_text()) == ("a", "b")
    new.unlink()
    assert run(owned, "rename-file", old, new, "-") == Exited(0)
    assert run(owned, "rename-file", old, new, "-") == Exited(0)
    assert (old.exists(), new.read_text()) == (False, "a")
    old.hardlink_to(new)  # as it is half way
    assert run(owned, "rename-file", old, new, "-") == Exited(0)
    assert (old.exists(), new.read_text()) == (False, "a")


def test_only_the_file_that_is_meant_is_renamed(here: Here, owned: ShellNode) -> None:
    old, new = here.tmp / "123.conf", here.tmp / "123.conf.migrated"
    old.write_text("a")
    assert fails(run(owned, "rename-file", old, new, text_sha256("b")), "was changed by someone")
    assert fails(run(owned, "rename-file", old, new, ""), "was changed by someone")
    assert (old.read_text(), new.exists()) == ("a", False)
    assert run(owned, "rename-file", old, new, text_sha256("a")) == Exited(0)
    assert run(owned, "rename-file", old, new, text_sha256("a")) == Exited(0)
    assert (old.exists(), new.read_text()) == (False, "a")


def test_only_the_config_that_was_planned_with_is_fenced(here: Here, owned: ShellNode) -> None:
    path = here.tmp / "123.conf"
    path.write_text("A=1\n")
    for other in (text_sha256("A=1"), text_sha256(FENCE + "A=1\n"), ""):
        assert fails(run(owned, "fence", path, other, stdin=FENCE), "was changed since the plan was made")
        assert path.read_text() == "A=1\n"
    for _ in range(2):  # the second time it is fenced, and so no longer what it was
        assert run(owned, "fence", path, text_sha256("A=1\n"), stdin=FENCE) == Exited(0)
        assert path.read_text() == FENCE + "A=1\n"


def test_only_an_empty_directory_is_removed_as_one(here: Here, owned: ShellNode) -> None:
    folder, link = here.tmp / "folder", here.tmp / "link"
    folder.mkdir()
    (folder / "file").touch()
    link.symlink_to(folder)
    assert fails(run(owned, "remove-dir", folder), "is not empty")
    assert fails(run(owned, "remove-dir", link), "is not a directory")
    assert fails(run(owned, "remove-dir", folder / "file"), "is not a directory")
    (folder / "file").unlink()
    assert run(owned, "remove-dir", folder) == Exited(0)
    assert run(owned, "remove-dir", folder) == Exited(0)
    assert not folder.exists()


CONFIGS = {
    "usual": 'VE_ROOT="/vz/root/$VEID"\nONBOOT="yes"\n',
    "no newline at its end": 'ONBOOT="yes"',
    "empty": "",
    "carriage returns": "A=1\r\nB=2\r\n",
    "odd": "\\n %s '$x' \"`\n\n\n# ä\n",
    "a disable of its own": "DISABLED=no\n",
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_config_that_was_fenced_and_unfenced_is_as_it_was(
    here: Here, owned: ShellNode, config: str
) -> None:
    path = here.tmp / "123.conf"
    path.write_text(config, newline="")
    path.chmod(0o644)
    for _ in range(2):
        assert run(owned, "fence", path, "-", stdin=FENCE) == Exited(0)
        assert path.read_bytes() == (FENCE + config).encode()
    for _ in range(2):
        assert run(owned, "unfence", path, stdin=FENCE) == Exited(0)
        assert path.read_bytes() == config.encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert sorted(p.name for p in here.tmp.iterdir()) == ["123.conf", "bin", "home"]


def test_what_others_wrote_into_a_fenced_config_stays(here: Here, owned: ShellNode) -> None:
    path = here.tmp / "123.conf"
    path.write_text("A=1\n")
    assert run(owned, "fence", path, "-", stdin=FENCE) == Exited(0)
    path.write_text(f"# theirs\n{path.read_text()}B=2\n")
    assert run(owned, "unfence", path, stdin=FENCE) == Exited(0)
    assert path.read_text() == "# theirs\nA=1\nB=2\n"


def test_a_fence_that_someone_changed_is_left_to_a_person(here: Here, owned: ShellNode) -> None:
    path = here.tmp / "123.conf"
    first, _, _ = FENCE.partition("\n")
    changed = f"{first}\nDISABLED=no\nA=1\n"
    path.write_text(changed)
    assert fails(run(owned, "unfence", path, stdin=FENCE), "by hand")
    assert path.read_text() == changed


def test_the_destination_is_guarded_against_what_is_left_there(here: Here, owned: ShellNode) -> None:
    private, dumps = here.tmp / "private", here.tmp / "dump"
    argv = ("guard-destination", CTID, private, "-", "-", dumps)
    assert fails(run(owned, *argv), "is not there", UNFIT)
    private.mkdir()
    assert run(owned, *argv) == Exited(0)
    dumps.mkdir()
    (dumps / f"Dump.{CTID}").touch()
    assert fails(run(owned, *argv), "is there now", UNFIT)


MOUNTING = """
number() { echo 8:97; }
same_disk() { return 0; }
mounts_of() { :; }
mounted_at() { [ ! -e mounted ] || echo 8:97; }
blockdev() { return 0; }
blkid() { echo %s; }
dumpe2fs() { %s; }
mount() { : >mounted; }
mkdir at
mount_device /dev/sdg1 identity "$PWD/at" clean
"""
"""``mount_device`` of the library, on a disk that mounts, with a ``dumpe2fs`` of one's own."""

mounts = pytest.mark.parametrize("shell", SHELLS, ids=" ".join)


def mount_said(shell: tuple[str, ...], folder: Path, dumpe2fs: str, kind: str = "ext4") -> tuple[int, str]:
    done = subprocess.run(
        (*shell, "-c", verbs.library() + MOUNTING % (kind, dumpe2fs)),
        cwd=folder,
        env={**os.environ, "VZPLAN_HOME": str(folder), "VZPLAN_RUN": RUN},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


@mounts
def test_a_disk_that_is_clean_is_mounted_and_one_that_is_not_stays_off(
    shell: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "clean").mkdir()
    (tmp_path / "dirty").mkdir()
    clean = "echo 'Filesystem features: has_journal'"
    assert mount_said(shell, tmp_path / "clean", clean) == (0, "")
    code, said = mount_said(shell, tmp_path / "dirty", f"{clean[:-1]} needs_recovery'")
    assert (code, "needs_recovery" in said) == (3, True)
    assert not (tmp_path / "dirty" / "mounted").exists()


@mounts
def test_a_filesystem_that_is_not_ext_can_be_mounted_to_be_copied_onto(
    shell: tuple[str, ...], tmp_path: Path
) -> None:
    bad_magic = "echo 'dumpe2fs: Bad magic number in super-block' >&2; return 1"
    assert mount_said(shell, tmp_path, bad_magic, "xfs") == (0, "")
    (tmp_path / "unknown").mkdir()
    code, said = mount_said(shell, tmp_path / "unknown", bad_magic)
    assert (code, "superblock cannot be read" in said) == (1, True)


# --- lost sessions


def test_a_look_past_its_deadline_is_lost_and_its_processes_are_gone(here: Here, ended: list[int]) -> None:
    pids = here.tmp / "pids"
    node = here.session()
    outcome = node.read(f"sleep 600 & echo $$ $! >{pids}; sleep 600; echo never", 1, 1000)
    assert isinstance(outcome, Lost)
    ended += map(int, pids.read_text().split())
    assert len(ended) == 2
    wait_until_gone(*ended)
    assert node.read("echo again", 60, 1000) == Exited(0, "again\n")


def test_a_verb_past_its_deadline_is_lost_and_the_run_goes_on_only_after_settling(
    here: Here, owned: ShellNode, ended: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = here.tmp / "pids"
    with monkeypatch.context() as patch:
        says(patch, "remove-dir", f"sleep 600 & echo $$ $! >{pids}; sleep 600; echo never")
        outcome = run(owned, "remove-dir", "/x", deadline_s=1)
    assert isinstance(outcome, Lost)
    assert "deadline of 1 s" in outcome.reason
    ended += map(int, pids.read_text().split())
    wait_until_gone(*ended)
    goes_on_only_after_settling(here, owned)


def test_settling_fails_while_the_disks_take_nothing(here: Here, owned: ShellNode) -> None:
    sync, opened = here._path / "sync", here.tmp / "opened"
    sync.unlink()
    sync.write_text(f"#!/bin/sh\nls -l /proc/$$/fd >'{opened}'\nexec sleep 600\n")
    sync.chmod(0o755)
    assert fails(run(owned, "settle", deadline_s=1), "sync took longer than 1 s")
    # One that cannot be killed keeps no later one waiting.
    assert str(here.folder / "lock") not in opened.read_text()
    sync.write_text("#!/bin/sh\n")
    assert run(owned, "settle") == Exited(0)
    assert run(owned, "make-dir", here.tmp / "made", "700") == Exited(0)


def test_a_node_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell_module, "CONNECT_S", 1)
    silent = ("sh", "-c", "while read -r _; do :; done")
    node = ShellNode("here", None, run=RUN, generation=1, home=str(tmp_path / "home"), shell=silent)
    assert run(node, "own", CTID) == Lost("cannot be reached: no answer within 1 s")
    node.close()


def test_a_command_that_is_given_up_is_lost_at_once_and_ended_by_settling(
    here: Here, owned: ShellNode, monkeypatch: pytest.MonkeyPatch, ended: list[int]
) -> None:
    pid = here.tmp / "pid"
    says(
        monkeypatch,
        "make-dir",
        'echo $$ >"$1"; echo "begun, with more than the end of a trailer is long"; sleep 300',
    )
    command = Command("here", ("make-dir", str(pid), "0755"), "", 3600)

    def hear(_name: str, data: bytes) -> None:
        if b"begun" in data:
            owned.abandon(command, "asked to by SIGINT")

    owned._speak = hear
    assert owned.run(command) == Lost("asked to by SIGINT")
    owned._speak = None
    monkeypatch.undo()
    ended.append(int(pid.read_text()))
    assert status(run(owned, "settle")) == 0
    assert is_gone(ended[0])


def test_giving_up_is_for_one_command_even_before_it_goes_out(here: Here, owned: ShellNode) -> None:
    first, second = (
        Command("here", ("make-dir", str(here.tmp / name), "0755"), "", 60) for name in ("a", "b")
    )
    owned.abandon(first, "asked to by SIGTERM")
    assert owned.run(second) == Exited(0), "that was not meant"
    assert owned.run(first) == Lost("asked to by SIGTERM")


def test_a_killed_session_is_lost_and_the_run_goes_on_only_after_settling(
    here: Here, owned: ShellNode
) -> None:
    os.kill(owned._process.pid, signal.SIGKILL)
    assert isinstance(run(owned, "make-dir", here.tmp / "first", "0755"), Lost)
    assert not here.tmp.joinpath("first").exists()
    goes_on_only_after_settling(here, owned)


def test_a_command_that_kills_its_own_session_is_lost(
    here: Here, owned: ShellNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        says(patch, "remove-dir", f"kill -s KILL {owned._process.pid}; echo done")
        assert isinstance(run(owned, "remove-dir", "/x"), Lost)
    goes_on_only_after_settling(here, owned)


def goes_on_only_after_settling(here: Here, node: ShellNode) -> None:
    made = here.tmp / "made"
    assert is_refused(run(node, "make-dir", made, "0755"), "generation 2")
    assert not made.exists()
    assert run(node, "settle") == Exited(0)
    assert here.log[-1] == "settled 2"
    assert run(node, "make-dir", made, "0755") == Exited(0)
    assert run(node, "own", CTID) == Exited(0)
    assert run(node, "remove-made", made) == Exited(0)
    assert run(node, "disown", CTID) == Exited(0)
    assert list(here.home.iterdir()) == []


def test_what_a_command_given_up_left_running_is_ended_by_settling(
    here: Here, owned: ShellNode, ended: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pids, late = here.tmp / "pids", here.tmp / "late"
    with monkeypatch.context() as patch:
        patch.setattr(shell_module, "GRACE_S", -1000)  # the controller gives up at once, the node much later
        says(
            patch,
            "remove-dir",
            f"trap '' HUP TERM\nsleep 1000 & echo $$ $! >{pids}.new; mv {pids}.new {pids}; sleep 1000; touch {late}",
        )
        outcome = run(owned, "remove-dir", "/x", deadline_s=1000)
    assert isinstance(outcome, Lost)
    assert "no answer" in outcome.reason
    wait_until(pids.exists)
    ended += map(int, pids.read_text().split())
    assert not any(map(is_gone, ended)), "it is still at work"
    same = here.session()
    assert is_refused(run(same, "make-dir", here.tmp / "made", "0755"), "still at work here")
    assert run(owned, "settle") == Exited(0)
    wait_until_gone(*ended)
    assert not late.exists()
    assert is_refused(run(same, "make-dir", here.tmp / "made", "0755"), "generation 1")
    assert run(owned, "make-dir", here.tmp / "made", "0755") == Exited(0)


def test_settling_ends_what_registered_itself_while_it_waited_for_the_lock(
    here: Here, owned: ShellNode, ended: list[int]
) -> None:
    flock, pid = here._path / "flock", here.folder / "pids" / "copy-1"
    real = flock.rename(flock.with_name("flock-too"))
    # A copy that comes in at that very moment notes itself like this, and has not opened the lock yet.
    flock.write_text(
        f"""#!/bin/sh
if [ "$1" = -w ]; then
    sleep 600 9>&- </dev/null >/dev/null 2>&1 &
    read -r stat <"/proc/$!/stat"
    set -- "$@" ${{stat##*) }}
    read -r boot </proc/sys/kernel/random/boot_id
    echo "$! ${{23}} $boot" >{pid}
    cp {pid} {here.tmp}/came
    set -- "$1" "$2" "$3"
fi
exec {real} "$@"
"""
    )
    flock.chmod(0o755)
    assert run(owned, "settle") == Exited(0)
    ended.append(int((here.tmp / "came").read_text().split()[0]))
    assert not pid.exists()
    wait_until_gone(*ended)


def test_who_settles_late_takes_nothing_back_from_who_has_settled_meanwhile(here: Here) -> None:
    assert run(here.session(), "own", CTID) == Exited(0)
    flock, generation, log = here._path / "flock", here.folder / "generation", here.log
    real = flock.rename(flock.with_name("flock-too"))
    flock.write_text(f"#!/bin/sh\necho '5 elsewhere' >{generation}\nexec {real} \"$@\"\n")
    flock.chmod(0o755)
    taken = run(here.session(generation=4), "settle")
    assert fails(taken, "another controller has taken this run over: generation 5 elsewhere", TAKEN_OVER)
    assert generation.read_text() == "5 elsewhere\n"
    assert here.log == log
    assert run(here.session(generation=6), "settle") == Exited(0)


def test_a_line_of_the_log_that_found_no_room_is_ended_before_the_next(here: Here, owned: ShellNode) -> None:
    made, dd = here.tmp / "made", here._path / "dd"
    was = dd.read_text()
    dd.write_text(
        f"#!/bin/sh\n[ -e {here.tmp}/room ] || case $1 in *log) head -c 8 >>{here.folder}/log; exit 1 ;; esac\n"
        f'exec {DD} "$@"\n'
    )
    assert is_refused(run(owned, "make-dir", made, "0755"), f"cannot write {here.folder}/log")
    (here.tmp / "room").touch()
    assert run(owned, "make-dir", made, "0755") == Exited(0)
    assert run(owned, "remove-made", made) == Exited(0)
    assert here.log[2:] == [
        "began ma",
        f"began make-dir {made} 0755",
        "ended make-dir 0",
        f"began remove-made {made}",
        "ended remove-made 0",
    ]
    dd.write_text(was)


def test_a_line_of_the_log_that_a_power_cut_tore_is_ended_by_settling(here: Here, owned: ShellNode) -> None:
    log = here.folder / "log"
    log.write_text(f"began own {CTID}\nended own 0\nbegan make-d")
    assert run(owned, "settle") == Exited(0)
    assert run(owned, "settle") == Exited(0)
    assert here.log[2:] == ["began make-d", "settled 1", "settled 1"]
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_settling_spares_a_process_that_only_has_the_number_of_ours(here: Here, owned: ShellNode) -> None:
    pids, boot = here.folder / "pids", (here.folder / "boot").read_text()
    start = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    (pids / "copy-1").write_text(f"{os.getpid()} 1 {boot}")
    (pids / "copy-2").write_text(f"{os.getpid()} {start} another-boot\n")
    (pids / "copy-3").write_text(f"{NOBODY} {start} {boot}")
    (pids / "copy-4").write_text("")  # a power cut came between
    assert run(owned, "settle") == Exited(0)  # and this test goes on
    assert sorted(p.name for p in pids.iterdir() if p.read_text()) == ["session-1"]


@pytest.mark.parametrize("words", [("/nonexistent/sh",), ("false",), (sys.executable, "-c", "print(1)")])
def test_a_node_that_cannot_be_reached_is_lost_and_can_be_tried_again(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    node = ShellNode("here", None, run=RUN, generation=1, home=str(tmp_path / "home"), shell=words)
    for _ in range(2):
        outcome = run(node, "own", CTID)
        assert isinstance(outcome, Lost)
        assert outcome.reason.startswith("cannot be ")
        assert isinstance(node.read("true", 60, 1000), Lost)
    node.close()
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", ["", "-oProxyCommand=x", "a b", "a;b", "$(x)", "a\n", "ä"])
def test_what_cannot_be_the_name_of_a_host_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a host"):
        ShellNode(name, ())


# --- vzctl's lock


def test_the_lock_holder_outlives_its_session_and_settling_until_it_is_released(
    here: Here, owned: ShellNode, ended: list[int]
) -> None:
    lock = here.tmp / f"{CTID}.lck"
    assert run(owned, "hold-lock", CTID, here.tmp) == Exited(0)
    pid = here.holder
    ended.append(pid)
    assert lock.read_text() == f"{pid}\n"
    assert not list(here.tmp.glob(".vzplan-*"))
    # Until then it has the pipe open in which it hears that it may go on.
    wait_until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
    held = {str(p.readlink()) for p in Path(f"/proc/{pid}/fd").iterdir()}
    assert held == {"/dev/null"}, "it holds the run's lock or the session's pipes"
    assert run(owned, "hold-lock", CTID, here.tmp) == Exited(0)
    owned.close()
    later = here.session(generation=2)
    assert run(later, "settle") == Exited(0)
    assert run(later, "hold-lock", CTID, here.tmp) == Exited(0)
    assert here.holder == pid
    assert lock.read_text() == f"{pid}\n"
    assert not is_gone(pid)
    assert run(later, "release-lock", CTID, here.tmp) == Exited(0)
    wait_until_gone(pid)
    assert not lock.exists()
    assert run(later, "release-lock", CTID, here.tmp) == Exited(0)


def test_a_lock_that_a_living_process_holds_is_left_to_it(
    here: Here, owned: ShellNode, ended: list[int]
) -> None:
    lock = here.tmp / f"{CTID}.lck"
    lock.write_text(f"{os.getpid()}\n")
    assert fails(run(owned, "hold-lock", CTID, here.tmp), f"held by process {os.getpid()}")
    ended.append(here.holder)  # which is known, so that it can be ended
    assert [p.name for p in here.tmp.iterdir() if "lck" in p.name] == [lock.name]
    assert run(owned, "release-lock", CTID, here.tmp) == Exited(0)
    assert lock.read_text() == f"{os.getpid()}\n"
    wait_until_gone(*ended)


def test_a_lock_that_is_asked_for_twice_in_vain_leaves_no_holder(
    here: Here, owned: ShellNode, ended: list[int]
) -> None:
    (here.tmp / f"{CTID}.lck").write_text(f"{os.getpid()}\n")
    for _ in range(2):
        assert fails(run(owned, "hold-lock", CTID, here.tmp), f"held by process {os.getpid()}")
        ended.append(here.holder)
    assert run(owned, "release-lock", CTID, here.tmp) == Exited(0)
    wait_until_gone(*ended)


@pytest.mark.parametrize("stale", [f"{NOBODY}\n", f"{NOBODY}\nstarting\n", ""])
def test_the_lock_of_a_dead_process_is_taken_over(
    here: Here, owned: ShellNode, ended: list[int], stale: str
) -> None:
    lock = here.tmp / f"{CTID}.lck"
    lock.write_text(stale)
    assert run(owned, "hold-lock", CTID, here.tmp) == Exited(0)
    ended.append(here.holder)
    assert lock.read_text() == f"{here.holder}\n"
    assert run(owned, "release-lock", CTID, here.tmp) == Exited(0)
    wait_until_gone(ended[0])
    assert not lock.exists()


def test_a_lock_is_whole_or_not_there(here: Here, owned: ShellNode) -> None:
    here.cannot_write("of=*.lck")
    assert fails(run(owned, "hold-lock", CTID, here.tmp), f"cannot be written: {FULL}\n")
    assert [path.name for path in here.tmp.iterdir() if "lck" in path.name] == []
    holder = here.holder
    assert run(owned, "release-lock", CTID, here.tmp) == Exited(0)
    wait_until_gone(holder)


def test_a_note_of_the_run_is_whole_or_as_it_was(here: Here, owned: ShellNode) -> None:
    before = (here.folder / "generation").read_text()
    here.cannot_write("of=*.new")
    assert fails(run(owned, "hold-lock", CTID, here.tmp), f"cannot write {here.folder}/holder: {FULL}\n")
    assert not (here.folder / "holder").exists()
    later = here.session(generation=2)
    assert is_refused(run(later, "settle"), f"cannot write {here.folder}/boot: {FULL}\n")
    assert (here.folder / "generation").read_text() == before


def test_what_finds_no_room_says_so(here: Here, owned: ShellNode) -> None:
    made, config = here.tmp / "made", here.tmp / "config"
    here.cannot_write("of=*/made/*")
    assert fails(run(owned, "make-dir", made, "0755"), f": {FULL}\n")
    assert fails(run(owned, "make-file", config, "0644", stdin="x"), f": {FULL}\n")
    here.cannot_write("of=*/log")
    assert is_refused(run(owned, "make-dir", made, "0755"), f"cannot write {here.folder}/log: {FULL}\n")
    assert not made.exists()
    assert not config.exists()


def test_what_is_up_is_neither_hidden_nor_deleted(here: Here, owned: ShellNode) -> None:
    config, backup, private = here.tmp / f"{CTID}.conf", here.tmp / "backup", here.tmp / "private"
    config.write_text("ONBOOT=yes\n")
    private.mkdir()
    here.vzctl_says(f"CTID {CTID} exist mounted running")
    hide = ("hide-config", CTID, here.tmp / "root", config, backup, ANY_CONTENT)
    assert fails(run(owned, *hide), f"container {CTID} is still running")
    # Whatever vzctl says: something is mounted there, and it lives on what is to be deleted.
    here.vzctl_says(f"CTID {CTID} deleted unmounted down")
    assert fails(run(owned, "hide-config", CTID, "/", config, backup, ANY_CONTENT), "/ is still mounted")
    assert config.exists()
    assert not backup.exists()
    assert fails(run(owned, "retire-area", CTID, private, "/", here.tmp / "aside"), "/ is still mounted")
    assert private.is_dir()
    assert run(owned, *hide) == Exited(0)
    assert run(owned, *hide) == Exited(0)
    assert backup.exists()
    assert not config.exists()


@pytest.mark.parametrize(
    ("notes", "vzctl", "answer"),
    [
        ((), "exist unmounted down", NO),
        ((), "exist mounted running", UNPROVED),
        (("out",), "exist unmounted down", YES),
        (("out", "refused"), "exist unmounted down", NO),
        (("out", "refused"), "", UNPROVED),
    ],
)
def test_whether_the_pivot_took_effect_is_told_only_by_what_would_remember_it(
    here: Here, owned: ShellNode, notes: tuple[str, ...], vzctl: str, answer: int
) -> None:
    here.vzctl_says(f"CTID {CTID} {vzctl}")
    for name in notes:
        (here.folder / name).touch()
    asked = ("probe-pivot", CTID, here.tmp / "root")
    assert status(run(owned, *asked)) == answer
    # Without a record, or with another's, it may have forgotten a yes.
    for record in (f"run={RUN}0\n", ""):
        (here.home / "owners" / CTID).write_text(record)
        assert status(run(owned, *asked)) == (YES if answer == YES else UNPROVED)
    (here.home / "owners" / CTID).unlink()
    assert status(run(owned, *asked)) == (YES if answer == YES else UNPROVED)


def test_once_it_is_frozen_a_lock_that_was_lost_is_not_taken_anew(
    here: Here, owned: ShellNode, ended: list[int]
) -> None:
    lock = here.tmp / f"{CTID}.lck"
    assert run(owned, "hold-lock", CTID, here.tmp) == Exited(0)
    ended.append(here.holder)
    config = here.tmp / f"{CTID}.conf"
    config.write_text("ONBOOT=yes\n")
    assert run(owned, "fence", config, ANY_CONTENT, stdin="DISABLED=yes\n") == Exited(0)
    assert run(owned, "hold-lock", CTID, here.tmp) == Exited(0)  # it never was anybody else's
    lock.unlink()
    assert fails(run(owned, "hold-lock", CTID, here.tmp), "was lost since it was frozen")
    assert not lock.exists()


def test_a_holder_that_has_died_is_replaced(here: Here, owned: ShellNode, ended: list[int]) -> None:
    lock = here.tmp / f"{CTID}.lck"
    (here.folder / "holder").write_text(f"{NOBODY} 1\n")
    lock.write_text(f"{NOBODY}\n")
    assert run(owned, "hold-lock", CTID, here.tmp) == Exited(0)
    ended.append(here.holder)
    assert not is_gone(here.holder)
    assert lock.read_text() == f"{here.holder}\n"
    assert run(owned, "release-lock", CTID, here.tmp) == Exited(0)
    wait_until_gone(*ended)


def test_settling_ends_what_a_command_left_running_even_if_its_group_lost_its_leader(
    here: Here, owned: ShellNode, ended: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = here.tmp / "pids"
    with monkeypatch.context() as patch:  # as if a node out of memory had taken `timeout`
        says(patch, "remove-dir", f"echo $$ >{pids}; kill -s KILL $PPID; exec sleep 1000 >/dev/null 2>&1")
        assert isinstance(run(owned, "remove-dir", "/x"), Lost)
    ended.append(int(pids.read_text()))
    assert not is_gone(ended[0])
    assert run(owned, "settle") == Exited(0)
    wait_until_gone(*ended)


# --- links that someone planted


@pytest.fixture
def outside(here: Here) -> Iterator[Path]:
    """What a planted link leads to; it stays as it is."""
    folder = here.tmp / "outside"
    folder.mkdir()
    (folder / "secret").write_text("theirs\n")
    yield folder
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"secret": "theirs\n"}
    assert stat.S_IMODE((folder / "secret").stat().st_mode) == 0o644


def beside(path: Path) -> Path:
    return path.with_name(f".vzplan-{RUN}-{path.name}")


@pytest.mark.parametrize("name", ["target", "temporary"])
@pytest.mark.parametrize("verb", ["make-file", "make-dir", "fence", "unfence", "rename-file", "remove-made"])
def test_no_verb_writes_through_a_link(
    here: Here, owned: ShellNode, outside: Path, verb: str, name: str
) -> None:
    path, secret = here.tmp / "123.conf", outside / "secret"
    if name == "target":
        path.symlink_to(secret)
    else:
        beside(path).symlink_to(secret)
        if verb in {"fence", "unfence", "rename-file"}:
            path.write_text(FENCE + "A=1\n" if verb == "unfence" else "A=1\n")
    words, text = {
        "make-file": ((path, "0600"), "ours\n"),
        "make-dir": ((path, "0700"), ""),
        "fence": ((path, "-"), FENCE),
        "unfence": ((path,), FENCE),
        "rename-file": ((path, here.tmp / "new", "-"), ""),
        "remove-made": ((path,), ""),
    }[verb]
    outcome = run(owned, verb, *words, stdin=text)
    assert isinstance(outcome, Exited)
    if name == "target":
        assert outcome.status == (0 if verb == "remove-made" else 1)
        assert path.is_symlink()
    else:
        assert outcome == Exited(0)
        assert not path.is_symlink()


def test_what_took_the_place_of_what_was_made_is_not_entered(
    here: Here, owned: ShellNode, outside: Path
) -> None:
    for verb in ("remove-made", "remove-made-tree"):
        made = here.tmp / verb
        assert run(owned, "make-dir", made, "0700") == Exited(0)
        made.rmdir()
        made.symlink_to(outside)
        assert run(owned, verb, made) == Exited(0)
        assert not made.is_symlink()
    link = here.tmp / "private"
    link.symlink_to(outside)
    unused = here.tmp / "root"
    assert fails(run(owned, "retire-area", CTID, link, unused, here.tmp / "aside"), "is not a directory")
    looked = run(owned, "guard-destination", CTID, link, "-", "-", here.tmp / "dump")
    assert status(looked) == UNFIT
    assert isinstance(looked, Exited)
    assert "is a link" in looked.err


def test_a_lock_is_taken_and_let_go_of_past_links(
    here: Here, owned: ShellNode, outside: Path, ended: list[int]
) -> None:
    lock = here.tmp / f"{CTID}.lck"
    for planted in (lock, beside(lock)):
        planted.symlink_to(outside / "secret")
    Path(f"{beside(lock)}.old").symlink_to(outside)
    assert run(owned, "hold-lock", CTID, here.tmp) == Exited(0)
    ended.append(here.holder)
    assert not lock.is_symlink()
    assert run(owned, "release-lock", CTID, here.tmp) == Exited(0)
    wait_until_gone(*ended)
    assert not list(here.tmp.glob("*.lck*"))


LOCAL_RSH = """#!/bin/sh
while [ "$1" != peer ]; do shift; done
shift
exec /bin/sh -c "$*"
"""
"""As ssh, but the other end is here."""


TELLS: Final = """#!/bin/sh
# Sends nothing, and says of each pass what the next line of a file has for it: exit status, bytes.
cd "${0%/*}" || exit
echo "$*" | tr '\\n' ' ' >>calls
echo >>calls
line=$(sed -n "$(wc -l <calls)p" passes)
[ "$line" = "${line#* }" ] || echo "Literal data: ${line#* } bytes"
exit "${line%% *}"
"""


def boot_time() -> int:
    """Seconds since 1970, by the clock as it is set now."""
    (line,) = (line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    return int(line.split()[1])


def passes(
    here: Here, owned: ShellNode, which: str, *said: str, clock_set_by: int = 0, stamped_in_s: int = 0
) -> tuple[int, list[str]]:
    """How copy-tree ends if rsync says this of its passes, and how rsync was called.

    ``clock_set_by``: since the first pass; ``stamped_in_s``: when that will have been.
    """
    source, folder = here.tmp / "source", here.tmp / "bin"
    source.mkdir()
    (source / "file").write_text("1\n")
    stamp = here.folder / "copied-first"  # as if it had been copied before, so that no second is waited for
    stamp.write_text(f"{boot_time() - clock_set_by}\n")
    if stamped_in_s:
        os.utime(stamp, (time.time() + stamped_in_s,) * 2)
    (folder / "rsync").write_text(TELLS)
    (folder / "passes").write_text("".join(f"{line}\n" for line in said))
    target = here.tmp / "target"
    outcome = run(
        owned, "copy-tree", CTID, source, "-", "-", "peer", target, "-", "-", which, "ssh", "", deadline_s=60
    )
    return status(outcome), (folder / "calls").read_text().splitlines()


@pytest.mark.parametrize(
    ("said", "count"),
    [
        (("0 1000", "0 400", "0 100", "0 40", "0 20", "0 5", "0 1"), AUTO_PASSES),
        (("0 1000", "0 501", "0 1"), 2),
        (("0 1000", "0 500", "0 251", "0 1"), 3),
        (("0 1,000,000,000,000", "0 500,000,000,000", "0 300,000,000,000", "0 1"), 3),
        (("0 0", "0 0"), 1),
        (("0 1000", "0 0", "0 0"), 2),
        (("0", "0 1"), 1),
        (("0 1.23M", "0 1"), 1),
        (("0 1000", "0", "0 1"), 2),
        (("24 1000", "24 10", "24 9"), 3),
    ],
    ids=[
        "bound",
        "more",
        "half",
        "commas",
        "nothing",
        "no-more",
        "unsaid",
        "for-people",
        "unsaid-then",
        "gone",
    ],
)
def test_it_is_copied_again_while_each_pass_sends_at_most_half(
    here: Here, owned: ShellNode, said: tuple[str, ...], count: int
) -> None:
    code, calls = passes(here, owned, "auto", *said)
    assert (code, len(calls)) == (0, count)


def test_onto_xfs_each_pass_looks_at_acls_once_more(here: Here, owned: ShellNode) -> None:
    code, calls = passes(here, owned, "auto-xfs", "0 1000", "0", "0 600", "0", "0 1")
    assert code == 0
    assert ["--no-xattrs" in call for call in calls] == [False, True, False, True]


@pytest.mark.parametrize(
    ("which", "said", "count"),
    [
        ("first", ("23 1000", "0 10"), 2),
        ("first", ("23 1000", "24 10"), 2),
        ("auto", ("23 1000", "0 0"), 2),
        ("auto", ("0 1000", "23 400", "0 100", "23 60", "0 40", "0 30"), 6),
        ("first-xfs", ("0 1000", "23", "0 10", "0"), 4),
    ],
    ids=["first", "gone", "auto", "each", "acls"],
)
def test_a_pass_under_which_something_changed_is_made_once_more(
    here: Here, owned: ShellNode, which: str, said: tuple[str, ...], count: int
) -> None:
    code, calls = passes(here, owned, which, *said)
    assert (code, len(calls)) == (0, count)


@pytest.mark.parametrize(
    ("which", "said", "count"),
    [
        ("first", ("23 1000", "23 10", "0 1"), 2),
        ("auto", ("0 1000", "23 10", "23 10", "0 1"), 3),
        ("first", ("23 1000", "12", "0 1"), 2),
        ("auto", ("0 1000", "10", "0 1"), 2),
        ("first", ("12", "0 1"), 1),
        ("first", ("30", "0 1"), 1),
        ("last", ("23 1000", "0 1"), 1),
    ],
    ids=["twice", "twice-later", "then-cut", "socket", "protocol", "slow", "last"],
)
def test_a_pass_that_fails_is_the_last_one(
    here: Here, owned: ShellNode, which: str, said: tuple[str, ...], count: int
) -> None:
    code, calls = passes(here, owned, which, *said)
    assert (code, len(calls)) == (1, count)


@pytest.mark.parametrize(
    ("which", "clock", "calls_it"),
    [
        ("last", {}, [False]),
        ("last", {"clock_set_by": 1}, [False]),
        ("last", {"clock_set_by": -1}, [False]),
        ("last", {"clock_set_by": -4}, [True]),
        ("last", {"clock_set_by": 4}, [True]),
        ("last", {"stamped_in_s": 100}, [True]),
        ("last-xfs", {"clock_set_by": -100}, [True, False]),
    ],
    ids=["as-it-was", "rounded-up", "rounded-down", "back", "on", "in-future", "xfs"],
)
def test_if_the_clock_was_set_since_the_first_pass_times_tell_nothing_in_the_last(
    here: Here, owned: ShellNode, which: str, clock: dict[str, int], calls_it: list[bool]
) -> None:
    code, calls = passes(here, owned, which, "0 1", "0 1", "0 1", **clock)
    assert (code, ["--ignore-times" in call for call in calls]) == (0, calls_it)


def test_when_the_first_pass_was_is_noted_with_how_the_clock_was_set(here: Here, owned: ShellNode) -> None:
    passes(here, owned, "first", "0 1")
    (here.folder / "copied-first").unlink()
    (here._path / "sleep").write_text("#!/bin/sh\n")
    again = (
        "copy-tree",
        CTID,
        here.tmp / "source",
        "-",
        "-",
        "peer",
        here.tmp / "target",
        "-",
        "-",
        "first",
        "ssh",
        "",
    )
    run(owned, *again)
    assert abs(int((here.folder / "copied-first").read_text()) - boot_time()) <= 1


def test_one_pass_is_one_however_much_it_sends(here: Here, owned: ShellNode) -> None:
    code, calls = passes(here, owned, "first", "24 1000", "0 1")
    assert (code, len(calls)) == (0, 1)


def test_a_copy_that_makes_no_progress_ends_although_nobody_said_after_how_long(
    here: Here, owned: ShellNode
) -> None:
    code, calls = passes(here, owned, "last", "30")
    assert (code, [call.split().count("--timeout=300") for call in calls]) == (1, [1])


def test_the_ssh_of_a_copy_is_shared_with_nobody_unless_the_operators_options_ask_for_it(
    here: Here, owned: ShellNode
) -> None:
    code, calls = passes(here, owned, "first", "0 1")
    assert code == 0
    assert [" -e ssh -o ControlMaster=no -o ControlPath=none --rsync-path=" in call for call in calls] == [
        True
    ]


def test_a_copy_never_follows_a_link_out_of_the_area(here: Here, owned: ShellNode, outside: Path) -> None:
    source, target, rsh = here.tmp / "source", here.tmp / "target", here.tmp / "rsh"
    rsh.write_text(LOCAL_RSH)
    rsh.chmod(0o755)
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").write_text("ours\n")
    links = {"absolute": str(outside / "secret"), "relative": "../outside/secret", "folder": str(outside)}
    for name, leads_to in links.items():
        (source / name).symlink_to(leads_to)
    argv = ("copy-tree", CTID, source, "-", "-", "peer", target, "-", "-", "last", rsh, "")
    assert run(owned, "make-dir", target, "0700") == Exited(0)
    # What is planted in the copy is replaced, not entered.
    (target / "sub").symlink_to(outside)
    (target / "more").symlink_to(outside)
    outcome = run(owned, *argv)
    assert status(outcome) == 0, outcome
    assert {p.name: str(p.readlink()) for p in target.iterdir() if p.is_symlink()} == links
    assert (target / "sub" / "file").read_text() == "ours\n"
    assert sorted(p.name for p in target.iterdir()) == sorted(("sub", *links))
    # Nor is it in the place of either end.
    for end in (target, source):
        away = end.rename(end.with_name("away"))
        end.symlink_to(outside)
        outcome = run(owned, *argv)
        assert status(outcome) != 0
        assert isinstance(outcome, Exited)
        assert "is a link" in outcome.err
        end.unlink()
        away.rename(end)


# --- how a node is reached


@dataclass
class Started:
    """Takes the place of plumbum's ssh, and keeps what it was to be started with."""

    words: tuple[str, ...] = ()

    def __getitem__(self, words: tuple[str, ...]) -> Self:
        """As plumbum's commands take their arguments."""
        self.words = words
        return self

    def popen(self, **_: object) -> None:
        raise OSError("not in this test")


@pytest.mark.parametrize("name", ["hn2", "admin@hn2"])
def test_what_is_to_be_typed_to_try_a_node_reaches_it_as_it_is_reached(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    started = Started()
    monkeypatch.setattr(shell_module, "local", {"ssh": started})
    options = ("-F", "/a b/config", "-p", "2222")
    node = ShellNode(name, options)
    assert isinstance(node.read("true", 1, 1), Lost)
    user, host = ("root", "hn2") if name == "hn2" else ("", "admin@hn2")
    tried = "-F '/a b/config' -p 2222 -o BatchMode=yes -o ControlPath=none"
    assert node.trial == f"ssh {tried} {user and 'root@'}{host} true"
    assert started.words[: len(options)] == options
    assert started.words[-3:] == ("--", name, "exec /bin/sh")
    assert ("User=root" in started.words) == bool(user)
    assert "BatchMode=yes" in started.words
    # A peer that has lost power says nothing: without these ssh would wait for it for ever.
    for limit in ("ServerAliveInterval=15", "ServerAliveCountMax=4"):
        assert started.words[started.words.index(limit) - 1] == "-o"


@pytest.mark.parametrize(
    ("own", "path"),
    [((), None), (("-o", "ControlPath=/run/mine"), "/run/mine")],
    ids=["as-configured", "asked-for"],
)
def test_a_session_is_shared_with_nobody_unless_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own: tuple[str, ...], path: str | None
) -> None:
    program = shutil.which("ssh")
    if program is None:
        pytest.skip("ssh is not installed")
    (tmp_path / "config").write_text("ControlMaster auto\nControlPath /run/of-all-%C\nControlPersist yes\n")
    started = Started()
    monkeypatch.setattr(shell_module, "local", {"ssh": started})
    node = ShellNode("hn2", ("-F", str(tmp_path / "config"), *own))
    node.read("true", 1, 1)
    peer = Ask(peers=("hn2",), peer_ssh=("-F", str(tmp_path / "config"), *own)).script()
    look = next(line for line in peer.splitlines() if "look ssh" in line)
    for words in (started.words, shlex.split(look.partition("look ssh ")[2].partition(' "$try"')[0])):
        said = subprocess.run([program, "-G", *words], capture_output=True, text=True, check=True).stdout
        told = dict(line.split(" ", 1) for line in said.splitlines() if " " in line)
        assert told["controlmaster"] == "false"
        assert told.get("controlpath") in {path, path or "none"}


def test_this_machine_is_tried_without_ssh() -> None:
    assert ShellNode("localhost", None).trial == "sh -c true"
