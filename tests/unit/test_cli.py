"""The command line: exit codes, errors that name the place and the remedy, and never a traceback."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from msgspec import structs

from cli.exit_codes import OF_OUTCOME, ExitCode
from cli.main import main
from executor.facts_files import read_world, write_facts
from executor.journal import Journal
from planner.codec import decode_plan
from planner.make import make_plan
from planner.plan import Began, Opened, Outcome, What
from tests.worlds import NODES, bundled

Vzplan = Callable[..., tuple[int, str, str]]


@pytest.fixture
def vzplan(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Vzplan:
    """The command in this process: exit code, what it printed, what it complained of."""
    monkeypatch.setenv("VZPLAN_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.out, said.err

    return run


def test_every_outcome_has_an_exit_code_of_its_own() -> None:
    assert set(OF_OUTCOME) == set(Outcome)
    assert len(set(OF_OUTCOME.values())) == len(Outcome)


def test_show_prints_the_plan_with_the_pivot_as_a_line(vzplan: Vzplan) -> None:
    code, out, _ = vzplan("show", 123, "hn2", "--simulate", NODES / "san")
    assert code == ExitCode.OK
    lines = out.splitlines()
    assert lines[0] == "Move container 123 (web1) from hn1 to hn2"
    pivot = next(n for n, line in enumerate(lines) if line.startswith("── pivot: from here on only forward"))
    assert lines[pivot + 1].split()[:4] == ["20", "hn2", "start", "123"]
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


def test_apply_json_has_the_outcome_alone_on_stdout(vzplan: Vzplan) -> None:
    code, out, err = vzplan("apply", 123, "hn2", "--simulate", NODES / "shared", "--yes", "--json")
    said = json.loads(out)
    assert (code, said["outcome"], said["exit"], said["left"]) == (0, "MIGRATED", 0, [])
    assert "26/26  hn2: remove the owner record" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("show", 123, "hn2", "--simulate", "/nowhere"),
            "/nowhere: No such file or directory; name a folder",
        ),
        (("show", 123, "hn3", "--simulate", NODES / "san"), "has no node hn3; it has hn1, hn2"),
        (("show", 123, "hn2", "--from", "hn9", "--simulate", NODES / "san"), "has no node hn9"),
        (("show", 124, "hn2", "--simulate", NODES / "san"), "none of hn1, hn2 has a container 124"),
        (("show", 123, "-oProxyCommand=x"), "No such option"),
        (("show", 123, "hn2;reboot", "--from", "hn1"), "is not the name of a node"),
        (("show", 123, "hn2", "--from", "hn1", "--ssh", "-o 'x"), "--ssh: No closing quotation"),
        (("show", 0, "hn2"), "CTID"),
        (("show", 2**31, "hn2"), "CTID"),
        (("apply", 123, "hn2", "--from", "hn1", "-o", "out"), "-o/--out goes with --simulate"),
        (("status", "../x"), "is not the name of a run"),
        (("status", "20260101-000000-abcdef"), "'vzplan runs' lists the runs of this host"),
        (("recover", "20260101-000000-abcdef"), "'vzplan runs' lists the runs of this host"),
        (("no-such-command",), "No such command"),
    ],
    ids=lambda value: " ".join(str(word) for word in value)[:40] if isinstance(value, tuple) else "",
)
def test_a_wrong_word_is_a_clear_error(vzplan: Vzplan, words: tuple[object, ...], said: str) -> None:
    code, out, err = vzplan(*words)
    assert code == ExitCode.USAGE
    assert said in " ".join(err.split())
    assert "Traceback" not in out + err


def test_source_and_destination_may_not_be_one(vzplan: Vzplan) -> None:
    code, out, _ = vzplan("show", 123, "hn1", "--simulate", NODES / "san", "--from", "hn1")
    assert code == ExitCode.REFUSED
    assert "same-node" in out


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
    assert "ssh root@hn-gone true" in err


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
    assert "the pivot has not gone out: hn1 has the container" in said
    assert f"next       vzplan recover {run}" in said
    code, said, _ = vzplan("status", run, "--json")
    assert json.loads(said)["zone"] == "prepare"


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
