"""Moved away and back again, on simulated nodes: the first world, but for what a move is meant to leave."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from cli.exit_codes import ExitCode
from cli.main import main
from executor.facts_files import read_world, write_facts
from planner.model import NodeFacts
from planner.model import Path as Place
from tests.worlds import CTID, NODES, WORLDS

BACKUPS = (
    f"{CTID}.conf.migrated",
    f"{CTID}.conf.migrated.1",
    f"{CTID}.mount.migrated",
    f"{CTID}.mount.migrated.1",
)


def but_for_what_a_move_leaves(world: Mapping[str, NodeFacts]) -> dict[str, NodeFacts]:
    """Exempt: backups of configs and scripts, VE_DEVICE's name, the empty root area, the order of mounts."""
    return {name: _plain(facts) for name, facts in world.items()}


def _plain(facts: NodeFacts) -> NodeFacts:
    root = f"/vz/root/{CTID}"
    by_id = {name: min(d.names, key=len) for d in facts.devices for name in d.names}
    containers = []
    for container in facts.containers:
        config = container.config or ""
        for name, short in by_id.items():
            config = config.replace(f'"{name}"', f'"{short}"')
        containers.append(structs.replace(container, config=config))
    paths = [_without(p, str(CTID)) if p.path == "/vz/root" else p for p in facts.paths]
    return structs.replace(
        facts,
        containers=tuple(containers),
        conf_names=tuple(n for n in facts.conf_names if n not in BACKUPS),
        paths=tuple(p for p in paths if p.path != root or p.empty is False),
        mounts=tuple(sorted(facts.mounts, key=str)),
    )


def _without(path: Place, name: str) -> Place:
    return structs.replace(path, entries=tuple(e for e in path.entries or () if e != name))


def vzplan(*words: str) -> int:
    """The command, in this process."""
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    code = ended.value.code
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize("world", WORLDS)
def test_there_and_back_gives_the_first_world_again(world: str, tmp_path: Path) -> None:
    request = WORLDS[world]
    for facts in (request.source, request.destination):
        write_facts(tmp_path / "first", facts)
    before = {p.name: p.read_bytes() for p in (tmp_path / "first").iterdir()}
    options = ("--yes", "--json")
    there = ("--simulate", str(tmp_path / "first"), "-o", str(tmp_path / "there"), *options)
    assert vzplan("apply", str(CTID), "hn2", *there) == ExitCode.OK
    moved = read_world(tmp_path / "there")
    assert moved["hn1"].container(CTID) is None
    assert moved["hn2"].container(CTID) is not None
    back = ("--simulate", str(tmp_path / "there"), "-o", str(tmp_path / "back"), *options)
    assert vzplan("apply", str(CTID), "hn1", *back) == ExitCode.OK
    first, again = read_world(tmp_path / "first"), read_world(tmp_path / "back")
    assert but_for_what_a_move_leaves(again) == but_for_what_a_move_leaves(first)
    assert {p.name: p.read_bytes() for p in (tmp_path / "first").iterdir()} == before  # DIR stays as it is


@pytest.mark.parametrize("world", ["san-clone", "no-identity"])
def test_a_refused_move_writes_nothing(world: str, tmp_path: Path) -> None:
    words = (
        "apply",
        str(CTID),
        "hn2",
        "--simulate",
        str(NODES / world),
        "-o",
        str(tmp_path / "out"),
        "--yes",
    )
    assert vzplan(*words) == ExitCode.REFUSED
    assert not (tmp_path / "out").exists()


@settings(max_examples=15)
@given(moves=st.integers(1, 6))
def test_to_and_fro_any_number_of_times_only_adds_backups(
    moves: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("to-and-fro")
    at = NODES / "san"
    for number in range(moves):
        to = folder / str(number)
        destination = "hn2" if number % 2 == 0 else "hn1"
        assert (
            vzplan("apply", str(CTID), destination, "--simulate", str(at), "-o", str(to), "--yes", "--json")
            == 0
        )
        at = to
    names = [name for facts in read_world(at).values() for name in facts.conf_names if ".migrated" in name]
    assert len(names) == moves
