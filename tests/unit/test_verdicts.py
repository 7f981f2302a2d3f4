"""Verdicts that are kept: found again for the same plan in the same world only, and never believed too easily."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

import executor
from cli import verification
from cli.trust import BEFORE, Trust, trust
from executor import verdicts
from executor.simulated.explore import explore
from executor.simulated.verify import Verdict
from executor.verdicts import Tried
from planner.make import make_plan
from planner.model import Known, Lock, NodeFacts, Request, Usage
from planner.plan import Plan
from tests.unit.conftest import Vzplan
from tests.worlds import CTID, NODES, TRUTHS, WORLDS, bundled

SAN = ("123", "hn2", "--simulate", NODES / "san")
MEASURED = ("a-staged", "c-mounted", "d2-suspended")
"""Worlds of a copy and of a hand-over, with memory and without."""
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
    first = trust(request, plan, live=True)
    assert first.holds
    assert BEFORE not in first.line
    assert trust(request, plan, live=True) == Trust(holds=True, line=f"{first.line}; {BEFORE}")
    assert len(tries) == 1
    (kept,) = (state / verdicts.FOLDER).iterdir()
    modes = [oct(path.stat().st_mode & 0o777) for path in (state, kept.parent, kept)]
    assert modes == ["0o700", "0o700", "0o600"]


def test_of_recorded_nodes_nothing_is_kept_and_what_is_kept_is_not_asked(
    state: Path, tries: list[str], vzplan: Vzplan
) -> None:
    for count in (1, 2):
        assert BEFORE not in vzplan("show", *SAN)[1]
        assert len(tries) == count
    assert not state.exists()
    request = bundled("san")
    assert trust(request, make_plan(request), live=True).holds
    assert BEFORE not in vzplan("apply", *SAN, "--yes")[1]


def test_what_does_not_hold_is_tried_again_each_time(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verified = verification.verified

    def broken(request: Request, plan: Plan, *, failures: int = 1) -> Verdict:
        said = verified(request, plan, failures=failures)
        cells = structs.replace(said.cells, unexplained=("do own x crash",))
        return structs.replace(said, cells=cells)

    monkeypatch.setattr(verification, "verified", broken)
    request = bundled("san")
    for _ in range(2):
        said = trust(request, make_plan(request), live=True)
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
    assert verdicts.key_of(later, plan) == verdicts.key_of(request, plan)
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
    assert verdicts.key_of(other, plan) != verdicts.key_of(request, plan)


def test_another_plan_and_another_vzplan_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    request = bundled("san")
    plan = make_plan(request)
    key = verdicts.key_of(request, plan)
    assert verdicts.key_of(request, structs.replace(plan, digest="another")) != key
    believed = structs.replace(
        request.asked, options=structs.replace(request.asked.options, same_device=True)
    )
    assert verdicts.key_of(structs.replace(request, asked=believed), plan) != key
    monkeypatch.setattr(verdicts, "_source", lambda: "another")
    assert verdicts.key_of(request, plan) != key


def test_the_source_is_all_of_what_plans_walks_and_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "executor"
    (here / "simulated").mkdir(parents=True)
    (here / "simulated" / "trial.py").write_text("one")
    monkeypatch.setattr(executor, "__path__", [str(here)])
    one = verdicts._source.__wrapped__()
    (here / "simulated" / "trial.py").write_text("other")
    other = verdicts._source.__wrapped__()
    (here / "simulated" / "trial.py").rename(here / "simulated" / "trials.py")
    assert len({one, other, verdicts._source.__wrapped__()}) == 3


def test_it_is_kept_and_read_and_another_is_not_known(tmp_path: Path) -> None:
    state = tmp_path / "a" / "state"
    assert verdicts.read(state, "key") is None
    verdicts.keep(state, "key", TRIED)
    assert verdicts.read(state, "key") == TRIED
    assert verdicts.read(state, "another") is None


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
    verdicts.keep(tmp_path, "key", TRIED)
    (tmp_path / verdicts.FOLDER / "key").write_bytes(text)
    assert verdicts.read(tmp_path, "key") is None


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_none_is_believed_where_another_may_write(tmp_path: Path, mode: int) -> None:
    verdicts.keep(tmp_path, "key", TRIED)
    (tmp_path / verdicts.FOLDER).chmod(mode)
    assert verdicts.read(tmp_path, "key") is None
    verdicts.keep(tmp_path, "other", TRIED)
    assert not (tmp_path / verdicts.FOLDER / "other").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_none_is_believed_in_the_folder_of_another_user(tmp_path: Path) -> None:
    verdicts.keep(tmp_path, "key", TRIED)
    os.chown(tmp_path / verdicts.FOLDER, 12345, -1)
    assert verdicts.read(tmp_path, "key") is None


def test_none_is_believed_behind_a_link(tmp_path: Path) -> None:
    verdicts.keep(tmp_path / "elsewhere", "key", TRIED)
    (tmp_path / verdicts.FOLDER).symlink_to(tmp_path / "elsewhere" / verdicts.FOLDER)
    assert verdicts.read(tmp_path, "key") is None


def test_where_nothing_can_be_kept_it_is_tried_and_told_all_the_same(state: Path, tries: list[str]) -> None:
    state.write_text("no folder")
    request = bundled("san")
    for _ in range(2):
        said = trust(request, make_plan(request), live=True)
        assert said.holds
        assert BEFORE not in said.line
    assert len(tries) == 2


def test_so_many_are_kept_the_newest(tmp_path: Path) -> None:
    for number in range(verdicts.MOST + 3):
        verdicts.keep(tmp_path, f"{number}", TRIED)
        os.utime(tmp_path / verdicts.FOLDER / f"{number}", (number, number))
    left = {path.name for path in (tmp_path / verdicts.FOLDER).iterdir()}
    assert left == {str(number) for number in range(3, verdicts.MOST + 3)}
