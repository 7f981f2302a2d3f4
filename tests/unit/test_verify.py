"""``vzplan verify``: what it tries, what it says, and what show and apply make of it."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest
from msgspec import structs

from cli import commands, verification
from cli.cases import Found
from cli.exit_codes import ExitCode
from executor.simulated import cells, vz
from executor.simulated import explore as explorer
from executor.simulated.cells import Cell
from executor.simulated.explore import Report, explore, run_schedule, start_of
from executor.simulated.faults import fault
from executor.simulated.twins import TWINS
from executor.simulated.twins.here import End, Here, Twin
from executor.simulated.verify import INVARIANTS, Cells, NotSimulatedError, Verdict, Violated, verdict, verify
from planner.make import make_plan
from planner.model import Known, Lock, Owner, PathKind, Request, State
from planner.model import Path as Place
from planner.plan import Outcome, Plan, What
from planner.verbs import NO, YES
from tests.exhaustive.bugs import BUGS
from tests.unit.conftest import Vzplan
from tests.worlds import NODES, WORLDS, bundled

SAN = ("123", "hn2", "--simulate", NODES / "san")
PAGE: Final = Path(__file__).parents[2] / "docs" / "verify.md"
SHARED = ("123", "hn2", "--simulate", NODES / "shared")


@pytest.fixture
def asks_whether_it_runs_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug (N04): started, the answer lost, rebooted: read as never started. And nothing is known from before."""

    def probe(here: Here, ctid: str, _root: str) -> Twin:
        yield from ()
        return End(YES if vz.state_of(here.node, int(ctid)) is State.RUNNING else NO)

    monkeypatch.setitem(TWINS, "probe-pivot", probe)
    monkeypatch.setattr(verification, "verify", verify)


def test_it_says_how_the_schedules_ended_and_that_every_invariant_holds(vzplan: Vzplan) -> None:
    code, out, err = vzplan("verify", *SAN)
    assert (code, err) == (ExitCode.OK, "")
    lines = out.splitlines()
    assert lines[0] == "Move container 123 (web1) from hn1 to hn2"
    assert " schedules of one failure, at " in lines[3]
    count = int(lines[3].partition(" ")[0].replace(",", ""))
    ends = [line for line in lines if line.startswith("  ") and line[-1].isdigit()]
    assert sum(int(line.split()[-1].replace(",", "")) for line in ends) == count
    reasons = [line.partition(" times IN_DOUBT: ") for line in lines if " times IN_DOUBT: " in line]
    assert {why: int(count) for count, _, why in reasons} == explore(bundled("san")).doubts
    for name in INVARIANTS:
        assert any(line.split()[:1] == [name] and line.endswith(" holds") for line in lines)
    assert lines[-1].startswith(
        f"verified: {count:,} failures; every one unwinds, completes, or waits for you ("
    )


def test_it_says_how_many_were_merged_and_how_long_it_was_down_at_the_most(
    vzplan: Vzplan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def verified(_request: Request, plan: Plan, *, failures: int) -> Verdict:
        return verdict(plan, Report(schedules=9876, merged=8765, moments=1234, down_s=4321), failures)

    monkeypatch.setattr(verification, "verified", verified)
    lines = vzplan("verify", *SAN)[1].splitlines()
    how = "9,876 schedules of one failure, at 1,234 moments; 8,765 merged with others of the same future"
    assert lines[3] == how
    assert "longest down in a run that ends by itself: 4,321 s (pauses and deadlines)" in lines
    down = make_plan(WORLDS["d2-stopped"])
    assert "longest down" not in verification.report(verdict(down, Report(), 1), down)


def test_its_json_is_a_verdict_that_agrees_with_what_is_explored(vzplan: Vzplan) -> None:
    code, out, _ = vzplan("verify", *SAN, "--json")
    said = json.loads(out)
    report = explore(bundled("san"))
    assert code == ExitCode.OK
    assert set(said) == set(Verdict.__struct_fields__)
    assert said["digest"] == make_plan(bundled("san")).digest
    assert (said["schedules"], said["merged"]) == (report.schedules, report.merged)
    assert said["outcomes"] == report.outcomes
    assert said["violations"] == said["cells"]["unexplained"] == []
    met = said["cells"]
    assert sum(met["changed"].values()) + len(met["without_effect"]) == len(report.cells)
    assert met["changed"].keys() == {"do"}  # one failure hits steps only
    assert said["doubts"] == report.doubts
    # Five deadlines, of the command and of settling its node, and the pauses between them; then it is UNWOUND.
    longest = run_schedule(bundled("san"), "release-source:unreachable-for-5")
    assert longest.outcomes == [Outcome.UNWOUND]
    assert said["down_s"] == longest.down_s == 5 * 300 + 1 + 3 + 10 + 30
    assert said["killed"] == report.killed
    assert 0 < said["waits"] < said["schedules"] - sum(report.killed.values())


def test_a_failure_that_was_put_nowhere_or_had_no_effect_is_told_if_nobody_knows_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = bundled("san")
    plan, report = make_plan(request), explore(request)
    by_people = [str(cell) for cell, did in report.cells.items() if not did and cell.kind in cells.PEOPLE]
    assert len(by_people) > 10
    explained = verdict(plan, report, 1)
    assert explained.holds
    assert set(by_people) <= explained.cells.without_effect.keys()
    monkeypatch.setattr(cells, "PEOPLE", {})
    assert sorted(verdict(plan, report, 1).cells.unexplained) == sorted(by_people)
    monkeypatch.undo()
    cell = Cell(What.DO, "stop-container", "lost-after")
    del report.cells[cell]
    said = verdict(plan, report, 1)
    assert said.cells.unexplained == (str(cell),)
    assert not said.holds
    told = "1 kinds of failure had no effect, and nobody knows why"
    assert verification.line(said) == f"NOT verified: {told}; see 'vzplan verify'"
    assert verification.against(said) == [f"{cell}: without effect or not met, and without a reason"]
    shown = verification.report(said, plan).splitlines()
    assert f"  without effect or not met, and without a reason: {cell}" in shown


def test_its_junit_report_has_one_case(vzplan: Vzplan, tmp_path: Path) -> None:
    assert vzplan("verify", *SAN, "--junit", tmp_path / "junit.xml")[0] == ExitCode.OK
    suite = ET.parse(tmp_path / "junit.xml").getroot()  # noqa: S314 # our own
    assert (suite.tag, suite.get("tests"), suite.get("failures")) == ("testsuite", "1", "0")
    assert [case.get("name") for case in suite] == ["Move container 123 (web1) from hn1 to hn2"]
    code, _, err = vzplan("verify", *SAN, "--junit", tmp_path / "nowhere" / "junit.xml")
    assert code == ExitCode.USAGE
    assert "its folder is not there; name a file" in err
    assert vzplan("verify", *SAN, "--junit", tmp_path)[0] == ExitCode.USAGE


def test_its_junit_report_has_an_error_if_there_is_nothing_to_verify(vzplan: Vzplan, tmp_path: Path) -> None:
    clone = ("123", "hn2", "--simulate", NODES / "san-clone")
    code, out, err = vzplan("verify", *clone, "--junit", tmp_path / "junit.xml")
    assert (code, out) == (ExitCode.REFUSED, "")
    assert "no plan to verify" in err
    suite = ET.parse(tmp_path / "junit.xml").getroot()  # noqa: S314 # our own
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "0", "1")
    ((error,),) = suite
    assert (error.tag, suite[0].get("name")) == ("error", "Move container 123 to hn2")
    assert "no plan to verify" in (error.get("message") or "")


def test_its_junit_report_has_an_error_if_there_are_no_cases(vzplan: Vzplan, tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    report.write_text("of an earlier run")
    code, out, err = vzplan("verify", "--cases", tmp_path / "nowhere", "--junit", report)
    assert (code, out) == (ExitCode.USAGE, "")
    ((error,),) = ET.parse(report).getroot()  # noqa: S314 # our own
    assert (error.tag, f"vzplan: {error.text}\n") == ("error", err)


@pytest.mark.parametrize("damage", ["{", "", '{"format": 99}', None])
def test_its_junit_report_has_an_error_if_the_recorded_nodes_cannot_be_read(
    vzplan: Vzplan, tmp_path: Path, damage: str | None
) -> None:
    world = tmp_path / "world"
    if damage is not None:
        shutil.copytree(NODES / "san", world)
        (world / "hn2.json").write_text(damage)
    code, out, err = vzplan("verify", "123", "hn2", "--simulate", world, "--junit", tmp_path / "junit.xml")
    assert (code, out) == (ExitCode.USAGE, "")
    assert err.startswith(f"vzplan: {world}")
    ((error,),) = ET.parse(tmp_path / "junit.xml").getroot()  # noqa: S314 # our own
    assert (error.tag, error.text) == ("error", err.removeprefix("vzplan: ").removesuffix("\n"))


def test_one_schedule_can_be_played_and_every_move_of_it_is_told(vzplan: Vzplan) -> None:
    code, out, err = vzplan("verify", *SAN, "--schedule", "bring-up:lost-after")
    assert (code, err) == (ExitCode.OK, "")
    lines = out.splitlines()
    at = lines.index("     19/28  hn2: give the config its name, start 123")
    assert lines[at + 1 : at + 5] == [
        "         no answer (no trailer came)",
        "settle   hn2: wait until nothing of this run is still at work there",
        "ask  19/28  hn2: give the config its name, start 123",
        "         yes",
    ]
    assert lines[-1] == "ends: MIGRATED"
    code, out, _ = vzplan("verify", *SAN, "--schedule", "copy:killed-before", "--json")
    assert (code, out) == (ExitCode.USAGE, "")
    taken_up = "stop:killed-after + undo/stop:off"
    said = json.loads(vzplan("verify", *SAN, "--schedule", taken_up, "--json")[1])
    assert said["schedule"] == taken_up
    assert {"recover", "recover --node-is-off hn1"} <= set(said["moves"])
    assert said["outcomes"] == list(run_schedule(bundled("san"), taken_up).outcomes)
    assert said["violations"] == []
    adopted = vzplan("verify", *SAN, "--schedule", "own-hn2:journal-lost-after")[1].splitlines()
    assert "recover --adopt" in adopted
    stopped = vzplan("verify", *SAN, "--schedule", "stop:wish")[1].splitlines()
    assert "         a person asked for it: it goes back" in stopped


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "'nonsense' is not PLACE:FAILURE"),
        ("stop:earthquake", "no kind of failure is called 'earthquake'"),
        ("undo/stop:busy", "undo/stop:busy was never reached"),
        ("bring-up:half", "'half' needs a number, after how many effects: half-1"),
        ("bring-up:half-0", "no kind of failure is called 'half-0'"),
        ("bring-up:half-²", "no kind of failure is called 'half-²'"),
        ("bring-up:half-99", "half-99: 'bring-up' has "),
    ],
)
def test_what_is_no_schedule_of_the_plan_says_so(vzplan: Vzplan, line: str, said: str) -> None:
    code, out, err = vzplan("verify", *SAN, "--schedule", line)
    assert (code, out) == (ExitCode.USAGE, "")
    assert said in err
    assert "'stop:lost-after'" in err
    assert "--cases goes without" in vzplan("verify", "--cases", NODES, "--schedule", line)[2]
    assert "--junit and --faults go with" in vzplan("verify", *SAN, "--schedule", line, "--junit", "x.xml")[2]
    assert "--junit and --faults go with" in vzplan("verify", *SAN, "--schedule", line, "--faults", 2)[2]


@pytest.mark.usefixtures("asks_whether_it_runs_now")
def test_a_schedule_that_breaks_an_invariant_says_which(vzplan: Vzplan) -> None:
    code, out, _ = vzplan("verify", *SHARED, "--schedule", "bring-up:lost-after + settle/hn2:reboot-before")
    found = [line.split()[1] for line in out.splitlines() if line.startswith("BROKEN   ")]
    assert (code, found) == (ExitCode.DIFFERS, ["I4:"])


@pytest.mark.usefixtures("asks_whether_it_runs_now")
def test_a_plan_that_loses_a_container_is_found_out_and_each_finding_can_be_played_again(
    vzplan: Vzplan, tmp_path: Path
) -> None:
    code, out, _ = vzplan("verify", *SHARED, "--json", "--junit", tmp_path / "junit.xml")
    assert code == ExitCode.DIFFERS
    said = json.loads(out)
    assert said["violations"]
    for violation in said["violations"][:3]:
        again = run_schedule(bundled("shared"), violation["schedule"])
        assert violation["invariant"] in {found.invariant for found in again.violations}
    assert not said["invariants"][said["violations"][0]["invariant"]]
    (case,) = ET.parse(tmp_path / "junit.xml").getroot()  # noqa: S314 # our own
    assert len(case) == len(said["violations"])
    text = vzplan("verify", *SHARED)[1]
    assert "BROKEN" in text
    assert text.splitlines()[-1].startswith("NOT verified: ")
    assert f'schedule("{said["violations"][0]["schedule"]}")' in text


@pytest.mark.usefixtures("asks_whether_it_runs_now")
def test_apply_refuses_what_does_not_verify_unless_it_is_told_to(vzplan: Vzplan) -> None:
    code, out, _ = vzplan("apply", *SHARED, "--yes")
    assert code == ExitCode.REFUSED
    assert "there are failures that it does not survive; 'vzplan verify' shows them" in out
    assert "own" not in out.partition("NOT verified")[2]
    code, out, _ = vzplan("apply", *SHARED, "--yes", "--unverified")
    assert code == ExitCode.OK
    assert "NOT VERIFIED, as you asked" in out


@pytest.mark.usefixtures("asks_whether_it_runs_now")
def test_show_says_that_it_does_not_verify(vzplan: Vzplan) -> None:
    code, out, _ = vzplan("show", *SHARED)
    assert code == ExitCode.DIFFERS
    assert out.splitlines()[-1].startswith("NOT verified: ")
    assert vzplan("show", *SHARED, "--json")[0] == ExitCode.DIFFERS
    assert vzplan("show", *SHARED, "--no-verify")[0] == ExitCode.OK


def test_show_and_apply_say_in_one_line_what_was_tried(vzplan: Vzplan) -> None:
    shown = vzplan("show", *SAN)[1]
    assert shown.splitlines()[-1].startswith("verified: ")
    assert shown.splitlines()[-1] in vzplan("apply", *SAN, "--yes")[1]
    assert "verified" not in vzplan("show", *SAN, "--no-verify")[1]


def test_in_json_the_line_goes_where_it_disturbs_no_program(vzplan: Vzplan) -> None:
    code, out, err = vzplan("show", *SAN, "--json")
    assert code == ExitCode.OK
    assert json.loads(out)["steps"]
    assert err.startswith("verified: ")
    assert vzplan("show", *SAN, "--json", "--no-verify")[2] == ""


def test_a_plan_that_does_harm_although_nothing_fails_is_no_lack_of_simulation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bug = BUGS["L07"]
    request = WORLDS[bug.world]
    verdict = verify(request, bug.put_in(monkeypatch, make_plan(request)))
    assert not verdict.holds
    assert [v.schedule for v in verdict.violations if v.invariant == "I6"][:1] == [""]


def test_the_page_on_the_saga_has_every_invariant() -> None:
    page = (Path(__file__).parents[2] / "docs" / "saga.md").read_text()
    assert [name for name, says in INVARIANTS.items() if f"| {name} | {says}" not in page] == []


def test_the_command_understands_each_of_its_lines_on_the_page_on_verify(
    vzplan: Vzplan, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = re.findall(r"^ {4}(?: *- (?:run: )?)?vzplan (.+)$", PAGE.read_text(), re.MULTILINE)
    assert len(lines) >= 9
    for name in ("facts", "play", "verify", "verify_cases"):
        monkeypatch.setattr(commands, name, lambda *_given, **_named: ExitCode.OK)
    for line in lines:
        assert vzplan(*shlex.split(line, comments=True)) == (ExitCode.OK, "", ""), line


def json_told() -> list[dict[str, str]]:
    """The tables on the page about the JSON: of each the fields, and what it says of each."""
    _, _, page = PAGE.read_text().partition("\n## The JSON\n")
    tables = []
    for text in page.split("\n| field | what it is |\n|---|---|\n")[1:]:
        rows = [row.split(" | ", 1) for row in text.partition("\n\n")[0].splitlines()]
        tables.append({name: says for names, says in rows for name in re.findall("`([a-z_]+)`", names)})
    return tables


def test_the_page_on_verify_has_every_field_of_its_json() -> None:
    everything, cases, schedule = json_told()
    assert tuple(cases) == Found.__struct_fields__
    assert tuple(schedule) == verification.Played.__struct_fields__
    assert sorted(everything) == sorted(Verdict.__struct_fields__)
    for name, within in (("cells", Cells), ("violations", Violated)):
        assert [field for field in within.__struct_fields__ if f"`{field}`" not in everything[name]] == []
    assert f": after every {explorer.THIRD}th of two" in everything["sampled"]


def test_what_the_simulation_does_not_know_is_not_called_verified(
    vzplan: Vzplan, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = bundled("san")
    monkeypatch.setitem(TWINS, "make-dir", lambda *_words: _never_works())
    with pytest.raises(NotSimulatedError, match="ends as UNWOUND although nothing fails"):
        verify(request, make_plan(request))
    monkeypatch.setattr(verification, "verify", verify)
    code, _, err = vzplan("apply", *SAN, "--yes")
    assert code == ExitCode.REFUSED
    assert "the plan cannot be verified: in simulation it ends as UNWOUND" in err
    assert "--unverified" in err


def test_a_word_for_one_device_is_the_ground_that_a_plan_is_verified_on() -> None:
    request = WORLDS["d2-stopped-believed"]
    assert verify(request, make_plan(request)).holds


def _never_works() -> Twin:
    yield from ()
    return End(1, "unknown here")


def test_without_a_plan_there_is_nothing_to_verify(vzplan: Vzplan) -> None:
    code, out, err = vzplan("verify", 123, "hn2", "--simulate", NODES / "san-clone")
    assert (code, out) == (ExitCode.REFUSED, "")
    assert "clone: " in err
    assert "there is no plan to verify" in err


@pytest.mark.parametrize("faults", ["0", "4", "x"])
def test_a_number_of_failures_that_cannot_be_tried_is_refused(vzplan: Vzplan, faults: str) -> None:
    code, _, err = vzplan("verify", *SAN, "--faults", faults)
    assert code == ExitCode.USAGE
    assert "--faults" in err


def test_however_many_processes_share_the_work_the_report_is_the_same() -> None:
    one, many = (explore(WORLDS["a-stopped"], workers=workers) for workers in (1, 3))
    assert one == many


STARTED_BY_FORCE: Final = "copy-last:operator-forces-start-at-source"
TAKEN_BACK: Final = "name-config:fails-after + undo/name-config:operator-forces-start-at-destination"


@pytest.mark.parametrize(
    ("name", "found", "shrunk"),
    [
        ("hides-what-is-up", f"{STARTED_BY_FORCE} + allow-start:lost-after", STARTED_BY_FORCE),
        ("hides-what-is-up", f"note-state:busy-once + {STARTED_BY_FORCE}", STARTED_BY_FORCE),
        ("taken-back-while-up", f"note-state:busy-once + {TAKEN_BACK}", TAKEN_BACK),
    ],
)
def test_failures_that_a_violation_does_not_need_are_left_out_of_its_schedule(
    monkeypatch: pytest.MonkeyPatch, name: str, found: str, shrunk: str
) -> None:
    bug = BUGS[name]
    request = WORLDS[bug.world]
    plan = bug.put_in(monkeypatch, make_plan(request))
    trial = run_schedule(request, found, plan)
    assert bug.noticed_by <= {violation.invariant for violation in trial.violations}
    for violation in trial.violations:
        if violation.invariant in bug.noticed_by:
            less = explorer._shrunk(start_of(request, plan), violation)
            assert (less.invariant, less.schedule) == (violation.invariant, shrunk)


def test_of_three_failures_some_are_tried_and_it_is_said_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    borders, few = explorer._borders, tuple(map(fault, ("lost-after", "reboot-before", "killed-after")))
    monkeypatch.setattr(explorer, "_borders", lambda *given: borders(*given)[:3])
    monkeypatch.setattr(explorer, "faults", lambda _effects: few)
    monkeypatch.setattr(explorer, "THIRD", 7)
    request = bundled("san")
    plan = make_plan(request)
    pairs, some = (explore(request, plan, failures=failures, workers=1) for failures in (2, 3))
    monkeypatch.setattr(explorer, "THIRD", 1)
    every = explore(request, plan, failures=3, workers=1)
    assert pairs.sampled == 0
    assert 0 < some.sampled == some.schedules - pairs.schedules < every.sampled
    said = verdict(plan, some, 3)
    assert said.sampled == some.sampled
    how = f"of up to three failures (of three: {some.sampled:,}, not all)"
    assert f"{some.schedules:,} schedules {how}, at {some.moments:,} moments" in verification.report(
        said, plan
    )


@pytest.mark.parametrize(
    ("faults", "said"),
    [(1, "of one failure,"), (2, "of up to two failures,"), (3, "of up to three failures ")],
)
def test_as_many_failures_are_tried_as_were_asked_for(
    vzplan: Vzplan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: int, said: str
) -> None:
    asked: list[int] = []

    def verified(_request: Request, plan: Plan, *, failures: int) -> Verdict:
        asked.append(failures)
        return verdict(plan, Report(), failures)

    monkeypatch.setattr(verification, "verified", verified)
    assert f"0 schedules {said}" in vzplan("verify", *SAN, "--faults", faults)[1]
    case(tmp_path, "san", "123 hn2")
    vzplan("verify", "--cases", tmp_path, "--faults", faults)
    assert asked == [faults, faults]


# --- recorded cases


def case(folder: Path, world: str, move: str, name: str = "one") -> Path:
    shutil.copytree(NODES / world, folder / name)
    (folder / name / "case.toml").write_text(f'move = "{move}"\n')
    return folder / name


def quick_case(folder: Path, name: str, move: str = "123 hn2") -> Path:
    """A case of which nothing is tried."""
    place = case(folder, "san", move, name)
    (place / "case.toml").write_text(f'move = "{move}"\nverify = false\n')
    return place


def test_of_a_case_that_is_not_to_be_verified_nothing_is_tried(
    vzplan: Vzplan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_case(tmp_path, "one")
    monkeypatch.setattr(verification, "verified", lambda *_given, **_named: pytest.fail("it is tried"))
    assert vzplan("verify", "--cases", tmp_path, "--update") == (ExitCode.OK, "ok       one: planned\n", "")


def test_a_link_to_a_folder_that_is_called_as_another_one_hides_nothing(
    vzplan: Vzplan, tmp_path: Path
) -> None:
    cases = tmp_path / "k3"
    quick_case(cases, "a")  # its plan.txt is missing
    quick_case(tmp_path / "k4", "a")
    (cases / "z").symlink_to("../k4/a")
    vzplan("verify", "--cases", cases / "z", "--update")
    code, out, _ = vzplan("verify", "--cases", cases, "--junit", tmp_path / "junit.xml")
    assert code == ExitCode.DIFFERS
    assert [line.split(":")[0] for line in out.splitlines() if ": planned" in line] == [
        "DIFFERS  a",
        "ok       z",
    ]
    suite = ET.parse(tmp_path / "junit.xml").getroot()  # noqa: S314 # our own
    assert [(found.get("name"), len(found)) for found in suite] == [("a", 1), ("z", 0)]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")


def test_a_case_where_one_stands_is_called_as_its_folder(
    vzplan: Vzplan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = quick_case(tmp_path, "one")
    monkeypatch.chdir(place)
    assert vzplan("verify", "--cases", ".", "--update")[1] == "ok       one: planned\n"
    (place / "below").mkdir()
    monkeypatch.chdir(place / "below")
    assert vzplan("verify", "--cases", "..")[1] == "ok       one: planned\n"


def test_a_report_has_two_cases_of_one_name_each_on_its_own(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    told = [("it differs",), (), ("it cannot be read",)]
    errors = (False, False, True)
    verification.write_junit(
        path, [verification.Reported("a", *each) for each in zip(told, errors, strict=True)]
    )
    suite = ET.parse(path).getroot()  # noqa: S314 # our own
    assert [suite.get(name) for name in ("tests", "failures", "errors")] == ["3", "1", "1"]
    assert [[(kind.tag, kind.text) for kind in found] for found in suite] == [
        [("failure", "it differs")],
        [],
        [("error", "it cannot be read")],
    ]


@pytest.mark.parametrize(
    ("name", "told"), [("a\x01b\x1b", "a\\x01b\\x1b"), ("k\udcff", "k\\xdcff")], ids=["control", "not UTF-8"]
)
def test_a_name_of_whatever_bytes_is_told(vzplan: Vzplan, tmp_path: Path, name: str, told: str) -> None:
    cases, report = tmp_path / "cases", tmp_path / "junit.xml"
    place = quick_case(cases, name)
    code, out, err = vzplan("verify", "--cases", cases, "--update", "--junit", report)
    assert (code, out, err) == (ExitCode.OK, f"ok       {told}: planned\n", "")
    (found,) = ET.parse(report).getroot()  # noqa: S314 # our own
    assert (found.get("name"), len(found)) == (told, 0)
    (place / "case.toml").write_text("move = 5")
    code, out, err = vzplan("verify", "--cases", cases, "--json", "--junit", report)
    assert (code, err) == (ExitCode.USAGE, "")
    (said,) = json.loads(out)
    assert said["name"] == told
    assert f"/{told}/case.toml: " in said["against"][0]
    code, _, err = vzplan("verify", "--cases", place / "nowhere", "--junit", report)
    assert code == ExitCode.USAGE
    assert f"/{told}/nowhere: not a folder" in err
    (found,) = ET.parse(report).getroot()  # noqa: S314 # our own
    assert (found.get("name"), found[0].tag) == (f"{cases}/{told}/nowhere", "error")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cases", "junit.xml"]


@pytest.mark.parametrize("kind", ["a link to itself", "its case.toml leads nowhere", "closed"])
def test_a_folder_that_cannot_be_looked_into_is_not_passed_over(
    vzplan: Vzplan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    looked = Path.lstat

    def closed(path: Path) -> os.stat_result:  # as it is to others; nothing is closed to root
        if path.parent == tmp_path / "two":
            raise PermissionError(errno.EACCES, "Permission denied")
        return looked(path)

    quick_case(tmp_path, "one")
    (tmp_path / "notes").mkdir()
    (tmp_path / "README").write_text("no case")
    assert vzplan("verify", "--cases", tmp_path, "--update") == (ExitCode.OK, "ok       one: planned\n", "")
    two = tmp_path / "two"
    if kind == "a link to itself":
        two.symlink_to("two")
    elif kind == "closed":
        two.mkdir(mode=0o000)
        monkeypatch.setattr(Path, "lstat", closed)
    else:
        two.mkdir()
        (two / "case.toml").symlink_to("nowhere")
    code, out, _ = vzplan("verify", "--cases", tmp_path)
    assert code == ExitCode.USAGE
    assert out.startswith(f"ok       one: planned\nERROR    two: cannot be read\n    {two}/case.toml: ")


def test_cases_that_cannot_be_listed_are_told_of(
    vzplan: Vzplan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(_folder: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    quick_case(tmp_path, "one")
    monkeypatch.setattr(Path, "iterdir", closed)
    code, _, err = vzplan("verify", "--cases", tmp_path)
    assert code == ExitCode.USAGE
    assert err == f"vzplan: {tmp_path}: Permission denied; name one that can be looked into\n"


def test_a_case_is_written_down_once_and_then_compared(vzplan: Vzplan, tmp_path: Path) -> None:
    place = case(tmp_path, "san", "123 hn2")
    code, out, _ = vzplan("verify", "--cases", tmp_path)
    assert code == ExitCode.DIFFERS
    assert "plan.txt is not there; look at the plan, and write it down with --update" in out
    assert vzplan("verify", "--cases", tmp_path, "--update")[0] == ExitCode.OK
    shown = vzplan("show", *SAN, "--no-verify")[1]
    assert (place / "plan.txt").read_text() == shown
    code, out, err = vzplan("verify", "--cases", tmp_path)
    assert (code, err) == (ExitCode.OK, "")
    assert out.startswith("ok       one: verified: ")


def test_a_plan_that_is_another_now_is_shown_as_a_difference(vzplan: Vzplan, tmp_path: Path) -> None:
    place = case(tmp_path, "san", "123 hn2")
    vzplan("verify", "--cases", tmp_path, "--update")
    facts = (place / "hn2.json").read_text()
    (place / "hn2.json").write_text(facts.replace("/dev/sdm1", "/dev/sdz1"))
    code, out, _ = vzplan("verify", "--cases", tmp_path, "--junit", tmp_path / "junit.xml")
    assert code == ExitCode.DIFFERS
    assert any(line.startswith("    -18  hn2   mount /dev/sdm1 ") for line in out.splitlines())
    assert any(line.startswith("    +18  hn2   mount /dev/sdz1 ") for line in out.splitlines())
    (found,) = ET.parse(tmp_path / "junit.xml").getroot()  # noqa: S314 # our own
    assert found.get("name") == "one"
    assert "sdz1" in (found[0].text or "")
    assert found[0].get("message") == "the plan is not the one that plan.txt expects"


def test_a_refusal_is_a_case_too(vzplan: Vzplan, tmp_path: Path) -> None:
    case(tmp_path, "san-clone", "123 hn2", "clone")
    case(tmp_path, "shared", "123 hn2 --precopy 2", "copy")
    code, out, _ = vzplan("verify", "--cases", tmp_path, "--update")
    assert code == ExitCode.OK
    assert "refused  clone: there is no plan: so it is expected from now on" in out.splitlines()
    # The folder of one case is taken for what it is.
    one = vzplan("verify", "--cases", tmp_path / "clone")
    assert one == (ExitCode.OK, "refused  clone: there is no plan: so plan.txt expects it\n", "")
    code, out, _ = vzplan("verify", "--cases", tmp_path, "--json")
    assert code == ExitCode.OK
    assert [(found["name"], found["against"]) for found in json.loads(out)] == [("clone", []), ("copy", [])]


@pytest.mark.usefixtures("asks_whether_it_runs_now")
def test_a_case_that_does_not_verify_fails(vzplan: Vzplan, tmp_path: Path) -> None:
    case(tmp_path, "shared", "123 hn2")
    code, out, _ = vzplan("verify", "--cases", tmp_path, "--update")
    assert code == ExitCode.DIFFERS
    assert "DIFFERS  one: NOT verified: " in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('move = "123 hn9"', "no facts of hn9 are beside it; there are hn1, hn2"),
        ('move = "123"', "move: Missing argument"),
        ('move = "x hn2"', "move: Invalid value"),
        ('move = "123 hn2 --moon"', "move: No such option"),
        ('move = "123 \'hn2"', "move: No closing quotation"),
        ('move = "--help"', "move: --help: a move is CTID DEST"),
        ('move = "123 hn2 --help"', "move: --help: a move is CTID DEST"),
        ('move = "123 hn2 --simulate=/x"', "move: --simulate=/x: a move is CTID DEST"),
        ("""move = "123 hn2 --rsync \\"--x ' \\"" """, "--rsync: No closing quotation"),
        ("""move = "123 hn2 --peer-ssh \\"'\\"" """, "--peer-ssh: No closing quotation"),
        ('mov = "123 hn2"', "unknown field `mov`"),
        ("move = 5", "Expected `str`"),
        ("move", "Expected '='"),
        ('move = "999 hn2"', "no facts of a node that has the container"),
    ],
)
def test_a_case_that_makes_no_sense_is_named(vzplan: Vzplan, tmp_path: Path, text: str, said: str) -> None:
    place = case(tmp_path, "san", "123 hn2")
    (place / "case.toml").write_text(text)
    case(tmp_path, "shared", "123 hn2 --precopy 2", "two")
    shown = vzplan("show", *SHARED, "--precopy", 2, "--no-verify")[1]
    (tmp_path / "two" / "plan.txt").write_text(shown)
    code, out, _ = vzplan("verify", "--cases", tmp_path, "--junit", tmp_path / "junit.xml")
    assert code == ExitCode.USAGE
    *problem, other = out.splitlines()
    assert "ERROR    one: cannot be read" in problem
    assert f"    {place / 'case.toml'}: " in out
    assert said in out
    # The others go on, and the report tells it.
    assert other.startswith("ok       two: verified: ")
    suite = ET.parse(tmp_path / "junit.xml").getroot()  # noqa: S314 # our own
    assert {n: suite.get(n) for n in ("tests", "failures", "errors")} == {
        "tests": "2",
        "failures": "0",
        "errors": "1",
    }
    assert [[found.tag for found in each] for each in suite] == [["error"], []]


@pytest.mark.parametrize("text", ["{", "", '{"format": 99}'])
def test_facts_that_cannot_be_read_are_named_and_end_no_other_case(
    vzplan: Vzplan, tmp_path: Path, text: str
) -> None:
    place = case(tmp_path, "san", "123 hn2")
    case(tmp_path, "san-clone", "123 hn2", "two")
    (place / "hn2.json").write_text(text)
    code, out, _ = vzplan("verify", "--cases", tmp_path, "--update", "--json")
    assert code == ExitCode.USAGE
    one, two = json.loads(out)
    assert (one["code"], two["code"]) == (ExitCode.USAGE, ExitCode.OK)
    assert one["against"][0].startswith(f"{place / 'hn2.json'}: ")


def test_a_case_of_which_nothing_can_be_said_is_an_error_and_not_a_difference(
    vzplan: Vzplan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TWINS, "make-dir", lambda *_words: _never_works())
    monkeypatch.setattr(verification, "verify", verify)
    case(tmp_path, "san", "123 hn2")
    code, out, _ = vzplan("verify", "--cases", tmp_path, "--update")
    assert code == ExitCode.REFUSED
    assert out.startswith("ERROR    one: nothing can be said of it\n    the plan cannot be verified: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say which container is to go where"),
        (("123",), "say which container is to go where"),
        (("123", "hn2", "--cases", "."), "--cases goes without CTID"),
        (("--cases", ".", "--from", "hn1"), "--cases goes without CTID, DEST and the flags of a move"),
        (("--cases", ".", "--dst-shared"), "--cases goes without CTID, DEST and the flags of a move"),
        (("--cases", "README.md"), "README.md: not a folder"),
        (("123", "hn2", "--update"), "--update goes with --cases"),
        (("--cases", "/nowhere"), "/nowhere: not a folder"),
        (("--cases", "fixtures"), "no case is in there; make one with 'vzplan facts -o fixtures/NAME"),
    ],
)
def test_what_does_not_go_together_is_said(vzplan: Vzplan, words: tuple[str, ...], said: str) -> None:
    code, _, err = vzplan("verify", *words)
    assert code == ExitCode.USAGE
    assert said in err


def test_a_device_that_has_further_names_is_mounted_again_as_it_was() -> None:
    request = WORLDS["d2-running"]
    named = (
        structs.replace(d, names=("/dev/block/8:1", *d.names)) if "/dev/sda1" in d.names else d
        for d in request.source.devices
    )
    request = structs.replace(request, source=structs.replace(request.source, devices=tuple(named)))
    assert run_schedule(request, "stop:fails-after").violations == []


@pytest.mark.parametrize("node", ["source", "destination"])
def test_what_another_run_or_a_vzctl_that_died_left_there_keeps_nothing_from_being_verified(
    node: str,
) -> None:
    request = WORLDS["d2-running"]
    facts = getattr(request, node)
    lock = Place("/vz/lock/123.lck", PathKind.FILE, "/vz/lock/123.lck", None, None)
    left = structs.replace(
        facts,
        owners=(Owner(12, "20250101-000000-abcdef", "elsewhere:/var/lib/vzplan"),),
        locks=(Lock(123, Known.NO),),
        paths=(*facts.paths, lock),
    )
    request = structs.replace(request, **{node: left})
    report = explore(request, workers=1)
    assert not report.violations, "\n".join(map(str, report.violations[:10]))
    assert run_schedule(request, "").outcomes == [Outcome.MIGRATED]
