"""What becomes of standard output and error: real pipes, a full disk, terminals of another age."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import IO, Final

import pytest

from cli import main, recovery
from cli.exit_codes import ExitCode
from cli.output import plan_text
from cli.streams import columns
from executor.facts_files import read_world
from planner.make import make_plan
from tests.worlds import NODES, bundled

REPOSITORY: Final = Path(__file__).parents[2]
SAN: Final = str(NODES / "san")
SHOW: Final = ("show", "123", "hn2", "--simulate", SAN, "--no-verify")
APPLY: Final = ("apply", "123", "hn2", "--simulate", SAN, "--yes")
FIRST: Final = "Move container 123 (web1) from hn1 to hn2\n"
GONE: Final = "vzplan: whoever read the plan has gone; nothing was begun\n"
FULL: Final = "vzplan: the output cannot be written: No space left on device\n"

LATIN: Final = {"PYTHONIOENCODING": "latin-1"}
POSIX: Final = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def vzplan(
    *words: str,
    env: dict[str, str] | None = None,
    stdout: int | IO[str] = subprocess.PIPE,
    stderr: int | IO[str] = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """The command as a process of its own; both streams are pipes, if nothing else is said."""
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", *words],
        cwd=REPOSITORY,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
    )


def said(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    out, err = process.communicate()
    return process.returncode, (out or b"").decode("latin-1"), (err or b"").decode("latin-1")


def head(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    """As ``| head -1`` does: one line is read, then nobody is there any more."""
    assert process.stdout is not None
    assert process.stderr is not None
    with process, process.stderr as err:
        line = process.stdout.readline().decode()
        process.stdout.close()
        told = err.read().decode()
    return process.returncode, line, told


@pytest.mark.parametrize("env", [LATIN, POSIX], ids=["latin-1", "POSIX"])
@pytest.mark.parametrize("words", [SHOW, (*APPLY, "--unverified")], ids=["show", "apply"])
def test_what_the_terminal_cannot_write_is_spelled_out(words: tuple[str, ...], env: dict[str, str]) -> None:
    code, out, err = said(vzplan(*words, env=env))
    assert (code, err) == (ExitCode.OK, "")
    assert "\n\\u2500\\u2500 pivot: from here on only forward \\u2500" in out
    assert ("MIGRATED" in out) == (words[0] == "apply")


SPEAK: Final = """
import sys
from cli.streams import heard, tell
with heard():
    for word in ("one", "caf\\u00e9", "UNWOUND"):
        tell(word, sys.stdout)
"""


def test_a_character_that_cannot_be_written_silences_nothing() -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    out = subprocess.check_output([sys.executable, "-c", SPEAK], cwd=REPOSITORY, env=env)
    assert out == b"one\ncaf\\xe9\nUNWOUND\n"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (SHOW, ExitCode.OK),
        (("show", "123", "hn2", "--simulate", str(NODES / "san-clone")), ExitCode.REFUSED),
    ],
)
def test_what_only_shows_ends_as_if_all_had_been_read(words: tuple[str, ...], code: ExitCode) -> None:
    assert head(vzplan(*words)) == (code, FIRST, "")


def test_a_reader_that_goes_keeps_no_file_from_being_written(tmp_path: Path) -> None:
    code, _, err = head(vzplan(*SHOW, "-o", str(tmp_path / "plan.json")))
    assert (code, err) == (ExitCode.OK, "")
    assert (tmp_path / "plan.json").exists()


@pytest.mark.parametrize("env", [{}, POSIX], ids=["utf-8", "POSIX"])
def test_help_that_nobody_reads_is_no_error(env: dict[str, str]) -> None:
    process = vzplan("--help", env=env)
    assert process.stdout is not None
    process.stdout.close()
    with process:
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == ExitCode.OK


def test_a_plan_that_nobody_reads_is_not_applied(tmp_path: Path) -> None:
    """Its failures are tried meanwhile, so the reader has long gone when it is looked for."""
    assert head(vzplan(*APPLY, "-o", str(tmp_path / "after"))) == (ExitCode.REFUSED, FIRST, GONE)
    assert not (tmp_path / "after").exists()


WALK: Final = """
import sys
from cli.main import main
from cli import walking
begun = walking.Progress.began
def told(self, move):
    begun(self, move)
    sys.stdin.readline()  # until the test has seen it
walking.Progress.began = told
main(sys.argv[1:])
"""


def test_a_reader_that_goes_in_the_middle_stops_no_run(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WALK, *APPLY, "--unverified", "-o", str(tmp_path / "after")],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    while b" 1/" not in (line := process.stdout.readline()):  # the first step
        assert line
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate()  # it reads no more lines, and goes on
    assert (process.returncode, err) == (ExitCode.OK, b"")
    moved = read_world(tmp_path / "after")
    assert moved["hn1"].container(123) is None
    assert moved["hn2"].container(123) is not None


@pytest.mark.parametrize("words", [SHOW, APPLY, ("--help",)], ids=["show", "apply", "help"])
@pytest.mark.parametrize("env", [{}, POSIX], ids=["utf-8", "POSIX"])
def test_a_full_disk_is_said_in_a_line(words: tuple[str, ...], env: dict[str, str]) -> None:
    with Path("/dev/full").open("w") as full:
        assert said(vzplan(*words, env=env, stdout=full)) == (ExitCode.USAGE, "", FULL)


def test_also_the_error_may_find_no_reader_and_no_room() -> None:
    for place in ("/dev/full", "/dev/null"):
        with Path(place).open("w") as nowhere:
            code, out, _ = said(vzplan("show", "123", "hn3", "--simulate", SAN, stderr=nowhere))
            assert (code, out) == (ExitCode.USAGE, "")


@pytest.mark.parametrize(
    ("closed", "words", "code"),
    [
        ("<&-", APPLY[:-1], ExitCode.USAGE),
        (">&-", (*APPLY, "--unverified"), ExitCode.OK),
        ("2>&-", ("show", "123", "hn3", "--simulate", SAN), ExitCode.USAGE),
    ],
)
def test_streams_that_were_closed_from_the_start_are_no_error(
    closed: str, words: tuple[str, ...], code: ExitCode
) -> None:
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "cli.main", *words]
    done = subprocess.run(shell, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert ("there is no terminal to ask at" in done.stderr) == (closed == "<&-")


def test_what_nobody_foresaw_is_a_traceback_and_no_broken_invariant(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> int:
        raise LookupError("nobody thought of it")

    monkeypatch.setattr(recovery, "runs", breaks)
    with pytest.raises(SystemExit) as ended:
        main.main(["runs"])
    assert ended.value.code == ExitCode.BUG
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "LookupError: nobody thought of it" in err
    assert err.splitlines()[-1].startswith("vzplan: this is a bug of vzplan: please report it")


def test_where_the_plan_is_too_wide_what_takes_a_step_back_stands_below_it() -> None:
    plan = make_plan(bundled("san"))
    wide, narrow = plan_text(plan), plan_text(plan, room=80)
    assert plan_text(plan, room=max(map(len, wide.splitlines()))) == wide
    steps = narrow.splitlines()[3 : narrow.splitlines().index('config    - VE_DEVICE="/dev/sda1"')]
    assert max(map(len, steps)) == 80
    assert (
        "13  hn1   stop 123\n            back: start it (must succeed)\n transfer\n14  hn1   release /dev/sda1"
        in narrow
    )
    assert (
        "            back: only if proved that it never came up: take the name away,\n"
        "                  prove it (must succeed)\n retire: repeated until done\n"
        "20  hn2   allow start, as it was before\n21"
    ) in narrow
    assert plan_text(plan, room=1).count("back:") == narrow.count("back:")


def test_how_wide_a_terminal_is_it_says_itself() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        for width, said in ((80, 80), (0, None)):
            fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
            assert columns(terminal) == said
    os.close(ours)
    with Path(os.devnull).open("w") as file:
        assert columns(file) is None
    assert columns(io.StringIO()) is None
