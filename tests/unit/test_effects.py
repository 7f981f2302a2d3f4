"""Where a verb can be stopped on a simulated node: between any two of its effects."""

from __future__ import annotations

from collections.abc import Generator

from executor.simulated.twins import TWINS
from executor.simulated.twins.here import DONE, End, Here
from executor.simulated.world import World
from tests.worlds import CTID, WORLDS

LOCKDIR = "/vz/lock"
LOCK = f"{LOCKDIR}/{CTID}.lck"


def stops(here: Here, verb: str, *operands: str) -> Generator[None, None, End]:
    """The verb at work; it ends with 0."""
    end: End = yield from TWINS[verb](here, *operands)
    assert end == DONE
    return end


def test_between_a_holder_that_lives_and_the_lock_with_its_number_a_verb_can_be_stopped() -> None:
    request = WORLDS["a-running"]
    world = World.of(request.source, request.destination)
    here = Here(world, world.nodes["hn1"], "run", 1, "")
    list(stops(here, "own", str(CTID)))
    node, holders = here.node, here.node.living
    # On record, alive, beside the lock, with its name.
    seen = [
        (
            here.note("holder") is not None,
            node.living > holders,
            here.beside(LOCK) in node.tree,
            LOCK in node.tree,
        )
        for _ in stops(here, "hold-lock", str(CTID), LOCKDIR)
    ]
    assert list(dict.fromkeys(seen)) == [
        (True, False, False, False),
        (True, True, False, False),
        (True, True, True, False),
        (True, True, True, True),
        (True, True, False, True),
    ]
