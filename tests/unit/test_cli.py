"""The command line: exit codes, errors that name the place and the remedy, and never a traceback."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import structs

from cli import looking, output, walking
from cli.errors import UserError
from cli.exit_codes import OF_OUTCOME, ExitCode
from cli.flags import words_read
from executor import control
from executor.facts_files import read_world, write_facts
from executor.gather import GatherError
from executor.journal import Journal, JournalError, read_journal
from executor.site import LiveSite, SimulatedSite, this_machine
from planner.codec import decode_plan
from planner.make import make_plan
from planner.model import Check, Options
from planner.plan import Adopted, Began, Ended, Exited, Opened, Outcome, Run, Stop, What
from tests.unit.conftest import Vzplan
from tests.worlds import NODES, WORLDS, bundled, online


def test_every_outcome_has_an_exit_code_of_its_own() -> None:
    assert set(OF_OUTCOME) == set(Outcome)
    assert len(set(OF_OUTCOME.values())) == len(Outcome)


SAID: Final = {
    "peer_ssh": ("--peer-ssh=-p 2222", "-p 2222"),
    "dst_device": ("--dst-device=/dev/sdg1", "/dev/sdg1"),
    "dst_shared": ("--dst-shared", True),
    "same_device": ("--same-device", True),
    "also_seen_by": ("--also-seen-by=hn3", ("hn3",)),
    "install_hooks": ("--install-hooks", True),
    "remove_area": ("--remove-area=no", False),
    "rsync": ("--rsync=--bwlimit=5000", "--bwlimit=5000"),
    "precopy": ("--precopy=auto", "auto"),
    "dump_device": ("--dump-device=/dev/sdd1", "/dev/sdd1"),
    "online": ("--online", True),
    "nodeps": ("--nodeps=cpu", (Check.CPU,)),
    "max_frozen_s": ("--max-frozen=60", 60),
}
"""What may be asked for: a flag, and what it says."""


def test_everything_that_can_be_asked_for_has_a_flag() -> None:
    assert SAID.keys() == {field.name for field in structs.fields(Options)}


@pytest.mark.parametrize("name", SAID)
def test_a_flag_asks_for_one_thing(name: str) -> None:
    word, means = SAID[name]
    at, unsaid = words_read(["123", "hn2", word]), words_read(["123", "hn2"])
    # These two are words for a shell; they are split where their errors can be told.
    if name in ("peer_ssh", "rsync"):
        assert (getattr(at, name), at.options) == (means, unsaid.options)
    else:
        assert at.options == structs.replace(Options(), **{name: means})


def test_show_prints_the_plan_with_the_pivot_as_a_line(vzplan: Vzplan) -> None:
    code, out, _ = vzplan("show", 123, "hn2", "--simulate", NODES / "san")
    assert code == ExitCode.OK
    lines = out.splitlines()
    assert lines[0] == "Move container 123 (web1) from hn1 to hn2"
    pivot = next(n for n, line in enumerate(lines) if line.startswith("── pivot: from here on only forward"))
    assert lines[pivot + 1].split()[:4] == ["19", "hn2", "give", "the"]
    assert '+ VE_DEVICE="/dev/disk/by-id/wwn-0x600508b4000971f0000a000000410000-part1"' in out
    assert "warning   third-node" in out


def test_show_verbose_prints_every_command_and_the_sh_behind_it(vzplan: Vzplan) -> None:
    plan = make_plan(bundled("san"))
    _, out, _ = vzplan("show", 123, "hn2", "--simulate", NODES / "san", "-v")
    for step in plan.steps:
        assert f"{step.do.node}: {step.do.argv[0]}" in out
        assert f"\n--- {step.do.argv[0]}\n# shellcheck" in out


def test_show_json_is_the_plan(vzplan: Vzplan) -> None:
    code, out, _ = vzplan("show", 123, "hn2", "--simulate", NODES / "shared", "--json")
    assert code == ExitCode.OK
    assert decode_plan(out.encode(), "stdout") == make_plan(bundled("shared"))


def test_options_for_rsync_may_be_said_in_several_words(vzplan: Vzplan) -> None:
    _, out, _ = vzplan(
        "show",
        123,
        "hn2",
        "--simulate",
        NODES / "shared",
        "--json",
        "--rsync",
        "-z --bwlimit=5",
        "--rsync",
        "-W",
    )
    assert decode_plan(out.encode(), "stdout").asked.options.rsync == ("-z", "--bwlimit=5", "-W")


@pytest.mark.parametrize(("world", "finding"), [("san-clone", "clone"), ("no-identity", "no-identity")])
@pytest.mark.parametrize("command", ["show", "check", "apply"])
def test_a_plan_with_an_error_is_refused(vzplan: Vzplan, command: str, world: str, finding: str) -> None:
    code, out, _ = vzplan(command, 123, "hn2", "--simulate", NODES / world)
    assert code == ExitCode.REFUSED
    assert f"error     {finding}: " in out


def test_check_says_so_if_nothing_speaks_against_it(vzplan: Vzplan) -> None:
    code, out, _ = vzplan("check", 123, "hn2", "--simulate", NODES / "shared")
    assert (code, out) == (ExitCode.OK, "nothing speaks against it\n")


def test_apply_without_terminal_and_without_yes_does_not_hang(vzplan: Vzplan) -> None:
    code, _, err = vzplan("apply", 123, "hn2", "--simulate", NODES / "san")
    assert code == ExitCode.USAGE
    assert "--yes" in err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "code"), [("yes\n", ExitCode.OK), ("y\n", ExitCode.REFUSED), ("", ExitCode.REFUSED)]
)
def test_apply_asks_at_a_terminal(
    vzplan: Vzplan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, typed: str, code: ExitCode
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    found, out, err = vzplan("apply", 123, "hn2", "--simulate", NODES / "san", "-o", tmp_path / "out")
    assert "start? type 'yes'" in err
    assert "start? type 'yes'" not in out
    assert found == code
    assert (tmp_path / "out").exists() == (code == ExitCode.OK)


def test_ctrl_c_at_the_question_begins_nothing_as_no_does(
    vzplan: Vzplan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    terminal = Terminal()
    # As from a terminal: whatever runs the tests in the background may ignore SIGINT.
    monkeypatch.setattr(terminal, "readline", lambda: signal.default_int_handler(signal.SIGINT, None))
    monkeypatch.setattr("sys.stdin", terminal)
    code, _, err = vzplan("apply", 123, "hn2", "--simulate", NODES / "san", "-o", tmp_path / "out")
    assert code == ExitCode.REFUSED
    assert err.endswith("vzplan: stopped; nothing was begun\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("after", "said", "ends"),
    [
        (-1, "it is taken back as soon as this step has ended", ExitCode.UNWOUND),
        (0, "it is at the point of no return: if that is passed it is brought to its end, else", ExitCode.OK),
        (1, "it has moved already and is brought to its end", ExitCode.OK),
    ],
)
def test_ctrl_c_says_which_way_it_goes(
    vzplan: Vzplan, monkeypatch: pytest.MonkeyPatch, after: int, said: str, ends: ExitCode
) -> None:
    plan = make_plan(bundled("san"))
    begun = walking.Progress.began

    def interrupts(progress: walking.Progress, move: Run) -> None:
        begun(progress, move)
        if (move.what, move.at) == (What.DO, plan.steps[plan.pivot + after].id):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(walking.Progress, "began", interrupts)
    code, _, err = vzplan("apply", 123, "hn2", "--simulate", NODES / "san", "--yes", "--unverified")
    assert code == ends
    assert f"\nSIGINT: {said}" in err
    assert "; a second one stops here, 'vzplan recover " in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_once_the_run_has_ended_a_signal_changes_nothing_of_what_is_said(
    vzplan: Vzplan, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    told, closed = output.stop_text, SimulatedSite.close

    def tells(stop: Stop, run: str | None, journal: output.Told | None) -> str:
        for _ in range(2):
            signal.raise_signal(number)
        return told(stop, run, journal)

    def closes(site: SimulatedSite) -> None:
        for _ in range(2):
            signal.raise_signal(number)
        closed(site)

    monkeypatch.setattr(output, "stop_text", tells)
    monkeypatch.setattr(SimulatedSite, "close", closes)
    code, out, err = vzplan("apply", 123, "hn2", "--simulate", NODES / "san", "--yes", "--unverified")
    assert (code, err) == (ExitCode.OK, "")
    assert "MIGRATED: the container has moved" in out


def test_a_second_ctrl_c_stops_in_the_middle(vzplan: Vzplan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking.Progress, "began", lambda *_: signal.raise_signal(signal.SIGINT))
    code, _, err = vzplan("apply", 123, "hn2", "--simulate", NODES / "san", "--yes", "--unverified")
    assert code == ExitCode.IN_DOUBT
    assert "vzplan: stopped in the middle; 'vzplan recover " in err


def test_a_run_that_was_stopped_in_the_middle_is_named_in_its_json_too(
    vzplan: Vzplan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking.Progress, "began", lambda *_: signal.raise_signal(signal.SIGINT))
    code, out, err = vzplan(
        "apply", 123, "hn2", "--simulate", NODES / "san", "--yes", "--unverified", "--json"
    )
    said = json.loads(out)
    assert (code, said["exit"], said["outcome"]) == (ExitCode.IN_DOUBT, ExitCode.IN_DOUBT, "IN_DOUBT")
    assert said["because"] == f"stopped in the middle; 'vzplan recover {said['run']}' ends it"
    assert said["because"] in err


def test_apply_json_has_the_outcome_alone_on_stdout(vzplan: Vzplan) -> None:
    code, out, err = vzplan("apply", 123, "hn2", "--simulate", NODES / "shared", "--yes", "--json")
    said = json.loads(out)
    assert (code, said["outcome"], said["exit"], said["left"]) == (0, "MIGRATED", 0, [])
    assert "25/25  hn2: remove the owner record" in err


def test_a_damaged_facts_file_names_the_place(vzplan: Vzplan, tmp_path: Path) -> None:
    folder = tmp_path / "nodes"
    shutil.copytree(NODES / "san", folder)
    text = (folder / "hn1.json").read_text().replace('"size_bytes": 68719476736', '"size_bytes": "many"', 1)
    (folder / "hn1.json").write_text(text)
    code, _, err = vzplan("show", 123, "hn2", "--simulate", folder)
    assert code == ExitCode.USAGE
    assert f"{folder}/hn1.json" in err
    assert "$.devices[" in err
    assert ".size_bytes" in err


def test_what_a_node_says_cannot_steer_the_terminal(vzplan: Vzplan, tmp_path: Path) -> None:
    for facts in read_world(NODES / "shared").values():
        containers = tuple(
            structs.replace(c, config=(c.config or "").replace('NAME="web1"', 'NAME="\x1b[2J\u202eweb1"'))
            for c in facts.containers
        )
        write_facts(tmp_path / "nodes", structs.replace(facts, containers=containers))
    _, out, _ = vzplan("show", 123, "hn2", "--simulate", tmp_path / "nodes")
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "\\x1b" in out


def test_facts_of_an_unreachable_node_leave_the_others_file_intact(vzplan: Vzplan, tmp_path: Path) -> None:
    out = tmp_path / "facts"
    config = tmp_path / "ssh_config"
    config.write_text("Host *\n    ProxyCommand false\n")
    code, said, err = vzplan("facts", "localhost", "hn-gone", "-o", out, "--ssh", f"-F {config}")
    assert code == ExitCode.REFUSED
    assert [p.name for p in out.iterdir()] == ["localhost.json"]
    assert said == f"{out}/localhost.json\n"
    assert "hn-gone gave no facts" in err
    assert (
        f"; see that this works: ssh -F {config} -o BatchMode=yes -o ControlPath=none root@hn-gone true\n"
        in err
    )


@pytest.mark.parametrize(
    "words",
    [("runs",), ("status", "20260101-000000-abcdef"), ("apply", "123", "hn2", "--from", "hn1", "--yes")],
    ids=["runs", "status", "apply"],
)
def test_a_state_folder_below_a_working_directory_that_is_gone_is_named(
    vzplan: Vzplan, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setenv("VZPLAN_STATE", "state")
    why = "the working directory: No such file or directory"
    told = f"vzplan: state: {why}; name the state folder by VZPLAN_STATE, from / on\n"
    assert vzplan(*words) == (ExitCode.USAGE, "", told)


def test_runs_and_status_tell_of_a_run_whose_controller_is_gone(vzplan: Vzplan, tmp_path: Path) -> None:
    plan, run = make_plan(bundled("san")), "20260101-000000-abcdef"
    with Journal.create(tmp_path / "state" / "runs" / run, Opened(run, plan, (), None)) as journal:
        journal.append(Began(What.DO, "own-hn1"))
        _, said, _ = vzplan("runs")
        assert said == f"{run}  {plan.title}  at work\n"
    code, said, _ = vzplan("runs", "--open")
    assert (code, said) == (0, f"{run}  {plan.title}  open: its controller is gone\n")
    code, said, _ = vzplan("status", run)
    assert code == ExitCode.OK
    assert "container  on hn1\n" in said
    assert "the point of no return is ahead" in said
    assert "not known  what came of 'record this run as owner of 123' (do)\n" in said
    assert f"next       vzplan recover {run}" in said
    code, said, _ = vzplan("status", run, "--json")
    assert json.loads(said)["zone"] == "prepare"


def stopped_while_it_holds(journal: Path) -> subprocess.Popen[str]:
    """A process that holds the journal, and is stopped (SIGSTOP)."""
    holds = (
        "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); "
        "sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", holds, journal], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    return process


def test_status_says_of_a_controller_that_is_stopped_what_to_type(vzplan: Vzplan, tmp_path: Path) -> None:
    plan, run = make_plan(bundled("san")), "20260101-000000-abcdef"
    folder = tmp_path / "state" / "runs" / run
    Journal.create(folder, Opened(run, plan, (), None)).close()
    process = stopped_while_it_holds(folder / "journal")
    try:
        pid = process.pid
        remedy = f"'kill -CONT {pid}' lets it go on; or end it ('kill -KILL {pid}') and recover the run"
        _, said, _ = vzplan("status", run)
        assert f"controller there, but stopped (process {pid}, state T)\n" in said
        assert f"next       {remedy}\n" in said
        assert vzplan("runs")[1] == f"{run}  {plan.title}  its controller is stopped (process {pid})\n"
        assert f"its controller is stopped (process {pid}); {remedy}" in vzplan("recover", run)[2]
        process.send_signal(signal.SIGCONT)
        os.waitid(os.P_PID, pid, os.WCONTINUED)
        _, said, _ = vzplan("status", run)
        assert f"controller at work (process {pid})\n" in said
        assert "next       wait for it\n" in said
    finally:
        process.kill()
        process.communicate()
    assert "controller gone\n" in vzplan("status", run)[1]


@pytest.mark.parametrize(
    ("world", "to", "said"),
    [
        (
            "a-staged",
            "freeze",
            "on hn1, frozen: it has its memory, and goes on when it is taken back (recover)",
        ),
        (
            "a-staged",
            "undump",
            "on hn1, frozen: it has its memory, and goes on when it is taken back (recover)",
        ),
        (
            "d2-staged",
            "dump",
            "on hn1, frozen: it has its memory, and goes on when it is taken back (recover)",
        ),
        (
            "d2-staged",
            "kill",
            "on hn1, down: its memory may wait in a dump, from which recover takes it: do not start it by hand",
        ),
        (
            "a-online",
            "suspend",
            "on hn1, down: its memory may wait in a dump, from which recover takes it: do not start it by hand",
        ),
        ("a-running", "stop", "on hn1, down"),
    ],
)
def test_status_tells_what_is_frozen_from_what_is_down(
    world: str, to: str, said: str, vzplan: Vzplan, tmp_path: Path
) -> None:
    plan, run = make_plan(WORLDS[world]), "20260101-000000-abcdef"
    with Journal.create(tmp_path / "state" / "runs" / run, Opened(run, plan, (), None)) as journal:
        for step in plan.steps:
            journal.append(Began(What.DO, step.id))
            if step.id == to:  # what came of it is not known
                break
            journal.append(Ended(What.DO, step.id, Exited(0, "", "")))
    assert f"container  {said}\n" in vzplan("status", run)[1]


def finished_run(state: Path, run: str) -> None:
    """A run that went as far as its first step, which failed."""
    with Journal.create(state / "runs" / run, Opened(run, make_plan(bundled("san")), (), None)) as journal:
        journal.append(Began(What.DO, "own-hn1"))
        journal.append(Ended(What.DO, "own-hn1", Exited(1, "", "another run has it")))
        journal.append(Began(What.UNDO, "own-hn1"))
        journal.append(Ended(What.UNDO, "own-hn1", Exited(0)))


def begun_run(state: Path, run: str, here: str | None) -> None:
    """One whose controller died at once, on ``here``."""
    opened = Opened(run, make_plan(bundled("san")), ("-p", "2222"), here)
    with Journal.create(state / "runs" / run, opened) as journal:
        journal.append(Began(What.DO, "own-hn1"))


def test_of_the_open_runs_only_those_are_told_that_are_not_finished(vzplan: Vzplan, tmp_path: Path) -> None:
    plan, going, done = make_plan(bundled("san")), "20260101-000000-aaaaaa", "20260102-000000-bbbbbb"
    finished_run(tmp_path / "state", done)
    with Journal.create(tmp_path / "state" / "runs" / going, Opened(going, plan, (), None)) as journal:
        journal.append(Began(What.DO, "own-hn1"))
    is_open = f"{going}  {plan.title}  open: its controller is gone\n"
    assert vzplan("runs", "--open")[:2] == (ExitCode.OK, is_open)
    assert vzplan("runs")[:2] == (ExitCode.OK, f"{done}  {plan.title}  REFUSED\n{is_open}")


def test_pruning_removes_the_runs_that_are_finished_and_no_others(vzplan: Vzplan, tmp_path: Path) -> None:
    state, done, going = tmp_path / "state", "20260101-000000-aaaaaa", "20260102-000000-bbbbbb"
    finished_run(state, done)
    with Journal.create(
        state / "runs" / going, Opened(going, make_plan(bundled("san")), (), None)
    ) as journal:
        journal.append(Began(What.DO, "own-hn1"))
        assert vzplan("runs", "--prune")[0] == ExitCode.OK
    _, said, _ = vzplan("runs")
    assert said.splitlines() == [
        f"{going}  Move container 123 (web1) from hn1 to hn2  open: its controller is gone"
    ]
    assert [path.name for path in (state / "runs").iterdir()] == [going]


@pytest.mark.parametrize("options", [True, False])
def test_a_run_that_cannot_be_adopted_names_the_options_for_ssh_and_the_other_node(
    vzplan: Vzplan, tmp_path: Path, *, options: bool
) -> None:
    config = tmp_path / "ssh config"
    config.write_text("Host *\n    ProxyCommand false\n")
    given = ("--ssh", f"-F '{config}'") if options else ()
    code, _, err = vzplan("recover", "20260101-000000-abcdef", "--adopt", "gone.invalid", *given)
    assert code == ExitCode.REFUSED
    works = (
        f": ssh -F '{config}' -o BatchMode=yes -o ControlPath=none root@gone.invalid true"
        if options
        else " (--ssh gives it options): ssh -o BatchMode=yes -o ControlPath=none root@gone.invalid true"
    )
    assert err.startswith("vzplan: gone.invalid cannot be asked: ")
    assert err.endswith(f"; adopt it from the other node, or see that this works{works}\n")


@pytest.mark.parametrize("kind", ["empty", "part"])
def test_a_run_whose_folder_has_no_journal_is_adopted_into_it(
    vzplan: Vzplan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    plan, run = make_plan(bundled("san")), "20260101-000000-abcdef"
    folder = tmp_path / "state" / "runs" / run
    folder.mkdir(mode=0o700, parents=True)
    if kind == "part":  # its controller died while it began
        (folder / ".journal.part").write_bytes(b"0 x")
    entries = Opened(run, plan, (), None), Adopted("hn1", (), (), 1)
    monkeypatch.setattr("executor.adoption.adopt", lambda *_: entries)
    monkeypatch.setattr("executor.control.recover", lambda *_, **__: Stop(Outcome.UNWOUND, "", ()))
    code, said, err = vzplan("recover", run, "--adopt", "hn1")
    assert (code, err) == (ExitCode.UNWOUND, "")
    assert "UNWOUND: everything is as it was before" in said
    assert read_journal(tmp_path / "state", run).entries == entries
    assert [path.name for path in folder.iterdir()] == ["journal"]


def test_a_journal_that_cannot_go_on_ends_the_command_with_its_own_words_and_nothing_behind_them() -> None:
    said = "/s/runs/r/journal: Input/output error; see to the disk, then type: vzplan recover r"
    with pytest.raises(UserError) as refused, walking.no_way_on("r", json=False):
        raise JournalError(said)
    assert (str(refused.value), refused.value.code) == (said, ExitCode.IN_DOUBT)


def test_a_run_goes_only_where_it_still_can(vzplan: Vzplan, tmp_path: Path) -> None:
    state, run = tmp_path / "state", "20260101-000000-aaaaaa"
    finished_run(state, run)
    journal = state / "runs" / run / "journal"
    before = journal.read_bytes()
    code, _, err = vzplan("recover", run, "--forward")
    assert code == ExitCode.REFUSED
    assert "it cannot go forward any more: it is being taken back (" in err
    code, _, err = vzplan("recover", run, "--node-is-off", "hn9")
    assert code == ExitCode.REFUSED
    assert "hn9 has no part in this run; its nodes are hn1 and hn2" in err
    code, _, err = vzplan("recover", run, "--adopt", "hn1")
    assert code == ExitCode.USAGE
    assert "the run has its journal here; recover it without --adopt" in err
    assert journal.read_bytes() == before


@pytest.mark.parametrize("here", [None, this_machine()], ids=["elsewhere", "here"])
def test_where_a_run_was_begun_its_journal_knows_how_nodes_are_reached(
    vzplan: Vzplan, tmp_path: Path, here: str | None
) -> None:
    run = "20260101-000000-aaaaaa"
    begun_run(tmp_path / "state", run, here)
    before = (tmp_path / "state" / "runs" / run / "journal").read_bytes()
    for _ in range(2):  # nobody holds it the second time
        code, _, err = vzplan("recover", run, "--ssh", "-v")
        assert (code, "--ssh goes with --adopt" in err) == (ExitCode.USAGE, True), err
    assert (tmp_path / "state" / "runs" / run / "journal").read_bytes() == before


@pytest.mark.parametrize("ssh", [(), ("--ssh", "-v")], ids=["as-before", "ssh"])
@pytest.mark.parametrize(("machine", "local"), [("hn2.example.org", "hn2"), ("ops", None)])
def test_a_journal_that_was_brought_from_its_node_is_taken_up_by_whoever_this_is(
    vzplan: Vzplan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    ssh: tuple[str, ...],
    machine: str,
    local: str | None,
) -> None:
    run, sites = "20260101-000000-aaaaaa", []

    def recover(site: LiveSite, *_: object, **__: object) -> Stop:
        sites.append((site.here, site.ssh))
        return Stop(Outcome.UNWOUND, "", ())

    begun_run(tmp_path / "state", run, "hn1")
    monkeypatch.setattr("socket.gethostname", lambda: machine)
    monkeypatch.setattr("executor.control.recover", recover)
    assert vzplan("recover", run, *ssh)[0] == ExitCode.UNWOUND
    assert sites == [(local, ("-v",) if ssh else ("-p", "2222"))]


# --- a source that nobody named

NO_NODE: Final[dict[str, Any]] = {"tools": ("rsync", "ssh"), "vz_conf": None, "conf_names": ()}


@pytest.mark.parametrize("command", [("show",), ("check",), ("verify",), ("apply", "--yes")])
@pytest.mark.parametrize(
    ("facts", "said"),
    [(NO_NODE, "is no OpenVZ node"), ({}, "has no container 123")],
    ids=["no node", "other"],
)
def test_a_machine_that_is_the_source_only_since_none_was_named_is_told_in_a_line(
    vzplan: Vzplan,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    facts: dict[str, Any],
    said: str,
) -> None:
    asked = bundled("san")
    here = structs.replace(asked.source, containers=(), **facts)
    monkeypatch.setattr(looking, "this_machine", lambda: "hn1")
    monkeypatch.setattr(control, "look", lambda *_: structs.replace(asked, source=here))
    name, *flags = command
    code, out, err = vzplan(name, 123, "hn2", *flags)
    assert (code, out) == (ExitCode.REFUSED, "")
    assert err == f"vzplan: this machine (hn1) {said}; name the node that has it with --from NODE\n"
    # Of a node that was named, the findings speak.
    assert "no-container" in "".join(vzplan(name, 123, "hn2", *flags, "--from", "hn1")[1:])


def test_who_is_not_root_is_told_how_to_name_another_source(
    vzplan: Vzplan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    here = this_machine()
    for flags, other in (((), "the source with --from NODE"), (("--from", here), "other nodes")):
        code, _, err = vzplan("check", 123, "hn2", *flags)
        said = f"vzplan: {here} is this machine: work on its containers as root, or name {other}\n"
        assert (code, err) == (ExitCode.USAGE, said)


# --- plans as files

AGAIN: Final = "the file is cut short or damaged; make it again with 'vzplan show -o'\n"


@pytest.fixture
def plan_file(vzplan: Vzplan, tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    code, out, _ = vzplan("show", 123, "hn2", "--simulate", NODES / "san", "-o", path)
    assert code == ExitCode.OK
    assert out.startswith("Move container 123")
    return path


def test_a_plan_that_was_written_is_applied_while_the_nodes_are_as_they_were(
    vzplan: Vzplan, plan_file: Path
) -> None:
    assert decode_plan(plan_file.read_bytes(), "plan.json") == make_plan(bundled("san"))
    code, out, _ = vzplan("apply", plan_file, "--simulate", NODES / "san", "--yes")
    assert code == ExitCode.OK
    assert "MIGRATED" in out


def test_a_plan_that_was_written_is_refused_once_the_nodes_have_moved(
    vzplan: Vzplan, plan_file: Path, tmp_path: Path
) -> None:
    nodes = read_world(NODES / "san")
    hn1 = nodes["hn1"]
    containers = tuple(
        structs.replace(c, config=(c.config or "") + 'DESCRIPTION="new"\n') if c.ctid == 123 else c
        for c in hn1.containers
    )
    for facts in (structs.replace(hn1, containers=containers), nodes["hn2"]):
        write_facts(tmp_path / "moved", facts)
    code, out, _ = vzplan(
        "apply", plan_file, "--simulate", tmp_path / "moved", "--yes", "-o", tmp_path / "after"
    )
    assert code == ExitCode.REFUSED
    assert "the nodes are no longer as" in out
    assert "DESCRIPTION" in out
    assert not (tmp_path / "after").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace(b"mount-device", b"remove-dir", 1), "remove-dir takes path"),
        (
            lambda text: text.replace(b'"/vz/private/123"', b'"/vz/private/124"', 1),
            "it was changed since it was written",
        ),
        (lambda text: text[: len(text) // 2], AGAIN),
        (lambda _: b"\x7fELF\x00", AGAIN),
        (lambda _: b"[" * 100_000, "nested too deeply"),
        (lambda _: b"{}", "Object missing required field"),
        (lambda _: b'{"steps": []}', "; make it again with 'vzplan show -o'\n"),
        (lambda text: text.replace(b'"version": 1', b'"version": 99'), "it was changed since it was written"),
    ],
    ids=["verb", "operand", "cut", "binary", "deep", "empty", "without", "version"],
)
def test_a_plan_that_was_tampered_with_is_refused(
    vzplan: Vzplan, plan_file: Path, change: Callable[[bytes], bytes], said: str
) -> None:
    text = plan_file.read_bytes()
    plan_file.write_bytes(change(text))
    assert plan_file.read_bytes() != text
    code, _, err = vzplan("apply", plan_file, "--simulate", NODES / "san", "--yes")
    assert code == ExitCode.USAGE
    assert err.startswith(f"vzplan: {plan_file}: ")
    assert said in err
    assert err.count("\n") == 1


def test_a_plan_with_errors_is_not_applied_and_flags_do_not_change_one(
    vzplan: Vzplan, plan_file: Path
) -> None:
    code, _, err = vzplan("apply", plan_file, "hn2", "--simulate", NODES / "san", "--yes")
    assert code == ExitCode.USAGE
    assert "says itself what is to move" in err
    refused = plan_file.with_name("refused.json")
    assert vzplan("show", 123, "hn2", "--simulate", NODES / "san-clone", "-o", refused)[0] == ExitCode.REFUSED
    code, _, err = vzplan("apply", refused, "--simulate", NODES / "san-clone", "--yes")
    assert code == ExitCode.USAGE
    assert "errors speak against this plan" in err


@pytest.mark.parametrize("ssh", [(), ("--ssh", "-p 2222")])
def test_a_plan_file_without_its_ssh_options_is_said_where_a_node_gives_no_facts(
    vzplan: Vzplan, plan_file: Path, ssh: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> None:
        raise GatherError("hn1 gave no facts")

    monkeypatch.setattr(control, "look", silent)
    code, _, err = vzplan("apply", plan_file, "--yes", *ssh)
    hint = "" if ssh else "; a plan file does not carry --ssh: if 'vzplan show' had it, give it again"
    assert (code, err) == (ExitCode.REFUSED, f"vzplan: hn1 gave no facts{hint}\n")


def test_a_plan_that_cannot_be_written_is_said(vzplan: Vzplan, tmp_path: Path) -> None:
    where = tmp_path / "nowhere" / "plan.json"
    code, _, err = vzplan("show", 123, "hn2", "--simulate", NODES / "san", "-o", where)
    assert code == ExitCode.USAGE
    assert f"{where}: No such file or directory; the plan was not written" in err


def test_a_check_that_only_warns_is_named(vzplan: Vzplan, tmp_path: Path) -> None:
    request = online(bundled("san"))
    for facts in (request.source, structs.replace(request.destination, cpu=None)):
        write_facts(tmp_path / "nodes", facts)
    words = ("show", 123, "hn2", "--simulate", tmp_path / "nodes", "--online", "--no-verify")
    code, out, _ = vzplan(*words)
    assert code == ExitCode.REFUSED
    assert "error     cpu-unknown: hn2: " in out
    assert "or say --nodeps=cpu if you know that it can" in out
    for said in (("--nodeps=cpu",), ("--nodeps", "cpu", "--nodeps", "cpu")):
        code, out, _ = vzplan(*words, *said)
        assert code == ExitCode.OK
        assert "warning   cpu-unknown: hn2: " in out


@pytest.mark.parametrize("value", ["disk_space", "all", "", "cpu,all"])
def test_other_checks_do_not_give_way(vzplan: Vzplan, value: str) -> None:
    code, _, err = vzplan("show", 123, "hn2", "--simulate", NODES / "san", "--online", f"--nodeps={value}")
    assert code == ExitCode.USAGE
    assert "--nodeps" in err
    assert "is not one of 'cpu'" in err


def test_a_limit_on_the_time_it_is_down_is_shown(vzplan: Vzplan) -> None:
    _, out, _ = vzplan("show", 123, "hn2", "--simulate", NODES / "san", "--max-frozen", "45")
    assert "down for more than 45 s before the pivot: everything is taken back" in out


def test_how_long_it_was_down_is_told_when_it_is_asked_for(vzplan: Vzplan, tmp_path: Path) -> None:
    plan, run = make_plan(bundled("san")), "20260101-000000-abcdef"
    with Journal.create(tmp_path / "state" / "runs" / run, Opened(run, plan, (), None)) as journal:
        journal.append(Began(What.DO, "stop", 1_000))
        journal.append(Ended(What.DO, "stop", Exited(0), 3_500))
    assert "2.5 s  stop" in vzplan("status", run, "--times")[1]
    assert "2.5 s" not in vzplan("status", run)[1]
    said = json.loads(vzplan("status", run, "--json")[1])["times"]
    assert said["frozen_s"] is None
    assert {"what": "stop", "seconds": 2.5} in said["parts"]


def test_no_time_passes_on_recorded_nodes(vzplan: Vzplan) -> None:
    apply = ("apply", 123, "hn2", "--simulate", NODES / "san", "--yes", "--unverified")
    code, out, _ = vzplan(*apply, "--times")
    assert code == ExitCode.OK
    assert "down       not known" in out
    assert json.loads(vzplan(*apply, "--json")[1])["times"] is None


def test_a_damaged_journal_is_refused_and_says_where_to_look(vzplan: Vzplan, tmp_path: Path) -> None:
    plan, run = make_plan(bundled("san")), "20260101-000000-abcdef"
    folder = tmp_path / "state" / "runs" / run
    with Journal.create(folder, Opened(run, plan, (), None)) as journal:
        journal.append(Began(What.DO, "own-hn1"))
    data = bytearray((folder / "journal").read_bytes())
    data[100] ^= 1
    (folder / "journal").write_bytes(data)
    for command in ("status", "recover"):
        code, _, err = vzplan(command, run)
        assert code == ExitCode.USAGE
        assert "record 0 is damaged" in err


def test_the_version_is_that_of_the_distribution(vzplan: Vzplan) -> None:
    assert vzplan("--version")[:2] == (0, f"vzplan {version('vzplan')}\n")
