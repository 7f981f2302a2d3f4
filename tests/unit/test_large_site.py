"""A site with hundreds of containers and thousands of mounts is planned as correctly as two small nodes."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from executor.facts_files import read_world, write_facts
from planner.make import make_plan
from planner.model import Asked, Container, Mount, NodeFacts, PathKind, Request, State
from planner.model import Path as Place
from tests.worlds import bundled

CONTAINERS = 500
MOUNTS = 5000


def grown(facts: NodeFacts, first: int) -> NodeFacts:
    """The same node with many more containers, and mounts of theirs."""
    ctids = range(first, first + CONTAINERS)
    config = facts.containers[0].config or ""
    old = str(facts.containers[0].ctid)
    more = tuple(
        Container(c, State.RUNNING, config.replace(old, str(c)).replace("192.0.2.", f"10.{c % 250}.0."))
        for c in ctids
    )
    mounts = tuple(
        Mount(
            f"/vz/root/{c}/mnt/{n}",
            f"0:{1000 + c}",
            "/",
            "simfs",
            f"/vz/private/{c}",
            read_only=False,
            elsewhere=True,
        )
        for c in ctids
        for n in range(MOUNTS // CONTAINERS)
    )
    areas = tuple(
        Place(f"/vz/{kind}/{c}", PathKind.DIRECTORY, f"/vz/{kind}/{c}", False, None)
        for c in ctids
        for kind in ("private", "root")
    )
    return structs.replace(
        facts,
        containers=(*facts.containers, *more),
        conf_names=(*facts.conf_names, *(f"{c}.conf" for c in ctids)),
        mounts=(*facts.mounts, *mounts),
        paths=(*facts.paths, *areas),
    ).in_order()


def test_a_large_site_gives_the_same_plan_as_a_small_one(tmp_path: Path) -> None:
    for world in ("shared", "san", "to-insulated"):
        small = bundled(world)
        large = Request(small.asked, grown(small.source, 10_000), grown(small.destination, 20_000))
        assert len(large.source.mounts) > MOUNTS
        assert make_plan(large).digest == make_plan(small).digest
        # And survives its files.
        for facts in (large.source, large.destination):
            write_facts(tmp_path / world, facts)
        nodes = read_world(tmp_path / world)
        again = Request(Asked(123, "hn1", "hn2", small.asked.options), nodes["hn1"], nodes["hn2"])
        assert make_plan(again).digest == make_plan(small).digest
