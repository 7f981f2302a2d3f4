"""Verdicts that are kept: found again for the same plan in the same world only, and never believed too easily."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

import executor
import planner
from cli import verification
from cli.exit_codes import ExitCode
from cli.trust import TRIED_BEFORE, Trusted, trust
from executor import control
from executor.simulated.explore import explore
from executor.simulated.verify import Verdict
from executor.verdicts import FOLDER, KEPT, Tried, Verdicts
from planner.make import make_plan
from planner.model import Known, Lock, NodeFacts, Request, Usage
from planner.plan import Plan
from tests.unit.conftest import Vzplan
from tests.worlds import CTID, NODES, TRUTHS, WORLDS, bundled

SAN = ("123", "hn2", "--simulate", NODES / "san")
MEASURED = ("a-staged", "d2-suspended")
"""Worlds of a copy and of a hand-over, of a memory that is in use and of one that is written down."""
NOWHERE = Verdicts(Path("/nowhere"))
LOCK = Lock(CTID, Known.YES)
TRIED = Tried(schedules=12, killed=3, waits=4)


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digest of every plan that is tried from now on."""
    asked: list[str] = []
    verified = verification.verified

    def counted(request: Request, plan: Plan, *, failures: int = 1) -> Verdict:
        asked.append(plan.digest)
        return verified(request, plan, failures=failures)

    monkeypatch.setattr(verification, "verified", counted)
    return asked


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The state folder, which is not there yet."""
    monkeypatch.setenv("VZPLAN_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def test_of_real_nodes_a_plan_is_tried_once_and_that_is_said(state: Path, tries: list[str]) -> None:
    request = bundled("san")
    plan = make_plan(request)
    first = trust(request, plan, Verdicts(state))
    assert first.holds
    assert TRIED_BEFORE not in first.line
    assert trust(request, plan, Verdicts(state)) == Trusted(holds=True, line=f"{first.line}; {TRIED_BEFORE}")
    assert len(tries) == 1
    (kept,) = (state / FOLDER).iterdir()
    modes = [oct(path.stat().st_mode & 0o777) for path in (state, kept.parent, kept)]
    assert modes == ["0o700", "0o700", "0o600"]


@pytest.mark.parametrize("first", ["show", "verify"])
def test_what_was_tried_by_show_or_verify_is_known_to_show_and_tried_again_by_verify(
    vzplan: Vzplan, tries: list[str], monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    monkeypatch.setattr(control, "look", lambda *_: bundled("san"))
    move = (CTID, "hn2", "--from", "hn1")
    said = vzplan(first, *move)[1].splitlines()[-1]
    assert TRIED_BEFORE not in said
    assert vzplan("show", *move)[1].splitlines()[-1] == f"{said}; {TRIED_BEFORE}"
    assert vzplan("show", *move, "--json")[2] == f"{said}; {TRIED_BEFORE}\n"
    assert len(tries) == 1
    assert vzplan("verify", *move)[1].splitlines()[-1] == said
    assert len(tries) == 2


def test_of_recorded_nodes_nothing_is_kept_and_what_is_kept_is_not_asked(
    state: Path, tries: list[str], vzplan: Vzplan
) -> None:
    for count in (1, 2):
        assert TRIED_BEFORE not in vzplan("show", *SAN)[1]
        assert len(tries) == count
    assert not state.exists()
    request = bundled("san")
    assert trust(request, make_plan(request), Verdicts(state)).holds
    assert TRIED_BEFORE not in vzplan("apply", *SAN, "--yes")[1]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something speaks against every plan that is tried from now on."""
    verified = verification.verified

    def found(request: Request, plan: Plan, *, failures: int = 1) -> Verdict:
        said = verified(request, plan, failures=failures)
        cells = structs.replace(said.cells, unexplained=("do own x crash",))
        return structs.replace(said, cells=cells)

    monkeypatch.setattr(verification, "verified", found)


@pytest.mark.usefixtures("broken")
def test_what_verify_finds_not_to_hold_is_believed_by_no_later_command(
    state: Path, vzplan: Vzplan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "look", lambda *_: bundled("san"))
    move = (CTID, "hn2", "--from", "hn1")
    code, out, _ = vzplan("verify", *move)
    assert (code, out.splitlines()[-1][:14]) == (ExitCode.DIFFERS, "NOT verified: ")
    assert not (state / FOLDER).exists()
    assert vzplan("show", *move)[1].splitlines()[-1].startswith("NOT verified: ")


@pytest.mark.usefixtures("broken")
def test_what_does_not_hold_is_tried_again_each_time(state: Path) -> None:
    request = bundled("san")
    for _ in range(2):
        said = trust(request, make_plan(request), Verdicts(state))
        assert not said.holds
        assert said.line.startswith("NOT verified: ")
    assert not state.exists()


def _measured_anew(facts: NodeFacts) -> NodeFacts:
    """As the same node may be a minute later."""
    return structs.replace(
        facts,
        containers=tuple(
            structs.replace(
                c,
                resident_bytes=None if c.resident_bytes is None else c.resident_bytes + 4096,
                dump_bytes=None if c.dump_bytes is None else c.dump_bytes + 4096,
            )
            for c in facts.containers
        ),
        devices=tuple(
            d
            if d.filesystem is None
            else structs.replace(
                d, filesystem=structs.replace(d.filesystem, free_bytes=1, inodes=2, free_inodes=1)
            )
            for d in facts.devices
        ),
        rooms=tuple(
            structs.replace(r, size_bytes=1 << 60, free_bytes=1 << 50, free_inodes=1 << 40)
            for r in facts.rooms
        ),
        usage=tuple(Usage(u.path, u.bytes // 2, u.inodes // 2) for u in facts.usage),
        reaches=tuple(structs.replace(r, bytes_per_s=12345) for r in facts.reaches),
        available_bytes=None if facts.available_bytes is None else facts.available_bytes + 4096,
    )


def _later(request: Request) -> Request:
    return structs.replace(
        request, source=_measured_anew(request.source), destination=_measured_anew(request.destination)
    )


@pytest.mark.parametrize("name", MEASURED)
def test_what_is_measured_changes_neither_the_key_nor_what_is_tried(name: str) -> None:
    request, plan = WORLDS[name], make_plan(WORLDS[name])
    later = _later(request)
    assert later != request
    assert NOWHERE.key_of(later, plan) == NOWHERE.key_of(request, plan)
    truth = TRUTHS.get(name)
    one, other = (explore(each, plan, truth=truth, workers=1) for each in (request, later))
    assert one == other


DIFFERENT: dict[str, Callable[[NodeFacts], NodeFacts]] = {
    "another boot": lambda facts: structs.replace(facts, boot_id="another"),
    "a lock": lambda facts: structs.replace(facts, locks=()),
    "no vz": lambda facts: structs.replace(facts, vz_running=Known.NO),
    "a disk": lambda facts: structs.replace(facts, devices=facts.devices[1:]),
    "a mount": lambda facts: structs.replace(facts, mounts=facts.mounts[1:]),
    "a config": lambda facts: structs.replace(
        facts, containers=tuple(structs.replace(c, config=f"{c.config}\n") for c in facts.containers)
    ),
    "nobody has room": lambda facts: structs.replace(facts, rooms=()),
}


@pytest.mark.parametrize("node", ["source", "destination"])
@pytest.mark.parametrize("name", DIFFERENT)
def test_a_world_that_differs_is_another_one(name: str, node: str) -> None:
    request = bundled("san")
    request = structs.replace(request, **{node: structs.replace(getattr(request, node), locks=(LOCK,))})
    plan = make_plan(request)
    other = structs.replace(request, **{node: DIFFERENT[name](getattr(request, node))})
    assert NOWHERE.key_of(other, plan) != NOWHERE.key_of(request, plan)


def test_another_plan_is_another(tmp_path: Path) -> None:
    request = bundled("san")
    plan, kept = make_plan(request), Verdicts(tmp_path)
    key = kept.key_of(request, plan)
    assert key is not None
    assert kept.key_of(request, structs.replace(plan, digest="another")) != key
    believed = structs.replace(
        request.asked, options=structs.replace(request.asked.options, same_device=True)
    )
    assert kept.key_of(structs.replace(request, asked=believed), plan) != key


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of another vzplan's source, which has but this."""
    for package in (executor, planner):
        (tmp_path / "code" / package.__name__ / "inner").mkdir(parents=True)
        monkeypatch.setattr(package, "__path__", [str(tmp_path / "code" / package.__name__)])
    path = tmp_path / "code" / "executor" / "inner" / "trial.py"
    path.write_text("one")
    return path


def test_another_vzplan_knows_nothing_of_it(code: Path, tmp_path: Path) -> None:
    request = bundled("san")
    plan = make_plan(request)
    keys = [Verdicts(tmp_path).key_of(request, plan)]
    code.write_text("other")
    keys.append(Verdicts(tmp_path).key_of(request, plan))
    code.rename(code.with_name("another.py"))
    keys.append(Verdicts(tmp_path).key_of(request, plan))
    assert None not in keys
    assert len(set(keys)) == len(keys)


def test_what_was_tried_while_vzplan_was_changed_is_not_kept(code: Path, tmp_path: Path) -> None:
    kept = Verdicts(tmp_path / "state")
    code.write_text("other")
    kept.keep("key", TRIED)
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("lacks", ["a file that can be read", "any file"])
def test_without_its_source_nothing_is_kept_and_all_is_tried(
    code: Path, state: Path, tries: list[str], lacks: str
) -> None:
    code.unlink()
    if lacks == "a file that can be read":
        code.symlink_to("nobody@nowhere:1")  # as editors lock a file
    request = bundled("san")
    for _ in range(2):
        assert TRIED_BEFORE not in trust(request, make_plan(request), Verdicts(state)).line
    assert len(tries) == 2
    assert not state.exists()


def test_it_is_kept_and_read_and_another_is_not_known(tmp_path: Path) -> None:
    state = tmp_path / "a" / "state"
    assert Verdicts(state).read("key") is None
    Verdicts(state).keep("key", TRIED)
    assert Verdicts(state).read("key") == TRIED
    assert Verdicts(state).read("another") is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe{",
        b"{",
        b"[]",
        b'{"schedules":12,"killed":3}',
        b'{"schedules":12,"killed":3,"waits":4,"more":1}',
        b" " * 5000 + b"{}",
    ],
    ids=["empty", "no text", "cut", "list", "missing", "more", "long"],
)
def test_what_is_no_verdict_is_none(tmp_path: Path, text: bytes) -> None:
    Verdicts(tmp_path).keep("key", TRIED)
    (tmp_path / FOLDER / "key").write_bytes(text)
    assert Verdicts(tmp_path).read("key") is None


PLACES = (".", "key")
"""The folder of verdicts, and one in it."""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mode", [0o720, 0o602, 0o777])
def test_none_is_believed_where_another_may_write(tmp_path: Path, place: str, mode: int) -> None:
    kept = Verdicts(tmp_path)
    kept.keep("key", TRIED)
    (tmp_path / FOLDER / place).chmod(mode)
    assert kept.read("key") is None
    kept.keep("key", TRIED)
    assert kept.read("key") == (None if place == "." else TRIED)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("place", PLACES)
def test_none_of_another_user_is_believed(tmp_path: Path, place: str) -> None:
    kept = Verdicts(tmp_path)
    kept.keep("key", TRIED)
    os.chown(tmp_path / FOLDER / place, 12345, -1)
    assert kept.read("key") is None


@pytest.mark.parametrize("place", PLACES)
def test_none_is_believed_behind_a_link(tmp_path: Path, place: str) -> None:
    kept = Verdicts(tmp_path)
    kept.keep("key", TRIED)
    there = tmp_path / FOLDER / place
    there.rename(tmp_path / "elsewhere")
    (tmp_path / FOLDER / place).parent.mkdir(exist_ok=True)
    there.symlink_to(tmp_path / "elsewhere")
    assert kept.read("key") is None


def test_one_that_could_not_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    kept = Verdicts(tmp_path)
    monkeypatch.setattr(os, "replace", full)
    kept.keep("key", TRIED)
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_where_nothing_can_be_kept_it_is_tried_and_told_all_the_same(state: Path, tries: list[str]) -> None:
    state.write_text("no folder")
    request = bundled("san")
    for _ in range(2):
        said = trust(request, make_plan(request), Verdicts(state))
        assert said.holds
        assert TRIED_BEFORE not in said.line
    assert len(tries) == 2


def test_so_many_are_kept_the_newest_and_always_the_last(tmp_path: Path) -> None:
    kept, folder = Verdicts(tmp_path), tmp_path / FOLDER
    for number in range(KEPT + 2):
        kept.keep(f"{number}", TRIED)
        os.utime(folder / f"{number}", (number, number))
    (folder / "stray").mkdir()
    os.utime(folder / "stray", (0, 0))
    os.utime(folder / "5", (1 << 40, 1 << 40))  # the clock went back
    kept.keep("last", TRIED)
    left = {path.name for path in folder.iterdir()}
    assert left == {"stray", "last", *(str(number) for number in range(3, KEPT + 2))}
