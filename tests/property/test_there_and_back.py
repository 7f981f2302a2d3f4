"""Moved away and back again, on simulated nodes: the first world, but for what a move is meant to leave."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from cli.exit_codes import ExitCode
from cli.main import main
from executor.facts_files import read_world, write_facts
from planner.hooks import OURS
from planner.make import make_plan
from planner.model import Known, NodeFacts, Options, Request, Script
from planner.model import Path as Place
from planner.parse.config import value, with_value
from tests.worlds import CTID, NODES, TRUTHS, WORLDS

BACKUPS = (
    f"{CTID}.conf.migrated",
    f"{CTID}.conf.migrated.1",
    f"{CTID}.mount.migrated",
    f"{CTID}.mount.migrated.1",
    f"{CTID}.premount.migrated",
    f"{CTID}.postumount.migrated",
)
PRIVATE = f"/vz/private/{CTID}"


def but_for_what_a_move_leaves(world: Mapping[str, NodeFacts]) -> dict[str, NodeFacts]:
    """Exempt: backups of configs and scripts, VE_DEVICE's name, the empty root area, the order of mounts.

    And what was counted in between.
    """
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
        usage=(),
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


def flags(options: Options) -> tuple[str, ...]:
    """The words that mean these options."""
    # How each of these plans fails has tests of its own (tests/exhaustive).
    words = ["--yes", "--json", "--unverified", f"--remove-area={'yes' if options.remove_area else 'no'}"]
    words += [f"--dst-device={options.dst_device}"] if options.dst_device else []
    words += [f"--dump-device={options.dump_device}"] if options.dump_device else []
    words += [
        flag
        for flag, meant in (
            ("--dst-shared", options.dst_shared),
            ("--same-device", options.same_device),
            ("--install-hooks", options.install_hooks),
            ("--online", options.online),
        )
        if meant
    ]
    assert options == Options(
        dst_device=options.dst_device,
        dst_shared=options.dst_shared,
        same_device=options.same_device,
        install_hooks=options.install_hooks,
        online=options.online,
        dump_device=options.dump_device,
        remove_area=options.remove_area,
    ), "a world asks for what this test has no words for"
    return tuple(words)


BACK: Final = {
    "a": Options(),
    "b": Options(dst_shared=True),
    "c": Options(dst_device="/dev/sda1"),
    "d1": Options(dst_device="/dev/sda1"),
    "d2": Options(),
}
"""What the operator says on the way back."""


def prepared_for_the_way_back(way: str, moved: NodeFacts, request: Request) -> NodeFacts:
    """What an operator does in between: counts the files; deletes an old area, makes an old device anew (mkfs).

    Where it came from, the list of what is started at boot still names it.
    """
    if moved.node == "hn2":
        return structs.replace(moved, usage=request.source.usage)
    assert moved.reboots == request.source.reboots
    moved = structs.replace(moved, reboots=())
    if not request.asked.options.remove_area:
        assert str(CTID) in (moved.path("/vz/private").entries or ())
        paths = (_without(p, str(CTID)) if p.path == "/vz/private" else p for p in moved.paths)
        return structs.replace(moved, paths=tuple(paths))
    return with_device(moved, "/dev/sda1", Known.YES) if way in ("c", "d1") else moved


def after_both(way: str, request: Request) -> dict[str, NodeFacts]:
    """The first world, with what is meant to be another one now."""
    source, destination = structs.replace(request.source, reboots=()), request.destination
    options, container = request.asked.options, source.container(CTID)
    assert container is not None
    assert container.config is not None
    if way in ("c", "d1"):  # what df says of a device that is mounted nowhere, no facts tell
        source = structs.replace(source, rooms=tuple(r for r in source.rooms if r.point != PRIVATE))
    if way == "c" and value(container.config, "VE_DEVICE") is None:  # it says again what it owns
        own = structs.replace(container, config=with_value(container.config, "VE_DEVICE", "/dev/sda1"))
        source = structs.replace(
            source, containers=tuple(own if c == container else c for c in source.containers)
        )
    if way in ("b", "d1"):  # a device that it was copied onto keeps its content
        destination = with_device(destination, options.dst_device or "", Known.NO)
    if options.install_hooks:  # they are its own, and come along
        ours = (Script(f"{CTID}.{name}", 0o755, text) for name, text in OURS.items())
        scripts = tuple(sorted((*source.scripts, *ours), key=lambda s: s.name))
        names = sorted({*source.conf_names, *(s.name for s in scripts)})
        source = structs.replace(source, scripts=scripts, conf_names=tuple(names))
    return {"hn1": source, "hn2": destination}


def with_device(facts: NodeFacts, name: str, empty: Known) -> NodeFacts:
    """The same, but for what is on a device; it must be there."""
    assert facts.device(name) is not None
    return structs.replace(
        facts,
        devices=tuple(
            structs.replace(d, filesystem=structs.replace(d.filesystem, empty=empty))
            if name in d.names and d.filesystem is not None
            else d
            for d in facts.devices
        ),
    )


@pytest.mark.parametrize("world", sorted(WORLDS.keys() - TRUTHS.keys()))
def test_there_and_back_gives_the_first_world_again(world: str, tmp_path: Path) -> None:
    request = WORLDS[world]
    way = make_plan(request).way
    assert way is not None
    for facts in (request.source, request.destination):
        write_facts(tmp_path / "first", facts)
    before = {p.name: p.read_bytes() for p in (tmp_path / "first").iterdir()}
    there = ("--simulate", str(tmp_path / "first"), "-o", str(tmp_path / "there"))
    assert vzplan("apply", str(CTID), "hn2", *there, *flags(request.asked.options)) == ExitCode.OK
    moved = read_world(tmp_path / "there")
    assert moved["hn1"].container(CTID) is None
    assert moved["hn2"].container(CTID) is not None
    for facts in moved.values():
        write_facts(tmp_path / "between", prepared_for_the_way_back(way, facts, request))
    back = ("--simulate", str(tmp_path / "between"), "-o", str(tmp_path / "back"))
    assert vzplan("apply", str(CTID), "hn1", *back, *flags(BACK[way])) == ExitCode.OK
    again = read_world(tmp_path / "back")
    assert but_for_what_a_move_leaves(again) == but_for_what_a_move_leaves(after_both(way, request))
    assert {p.name: p.read_bytes() for p in (tmp_path / "first").iterdir()} == before  # DIR stays as it is


def test_a_word_for_one_device_that_is_two_moves_nothing(tmp_path: Path) -> None:
    request = WORLDS["d2-stopped-believed"]
    for facts in (request.source, request.destination):
        write_facts(tmp_path / "first", facts)
    # Recorded nodes do not say that both are one LUN; the challenge looks, and sees two.
    words = ("--simulate", str(tmp_path / "first"), "-o", str(tmp_path / "out"))
    assert vzplan("apply", str(CTID), "hn2", *words, *flags(request.asked.options)) == ExitCode.REFUSED
    assert read_world(tmp_path / "out") == read_world(tmp_path / "first")


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
