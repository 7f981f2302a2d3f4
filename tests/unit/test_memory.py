"""Start is allowed again only once nobody can take up what this run has written down of a container's memory."""

from __future__ import annotations

import pytest

from executor.simulated.node import SimulatedNode
from executor.simulated.tree import File
from executor.simulated.world import World
from planner.parse.config import FENCE
from planner.plan import Command, Exited
from tests.worlds import WORLDS

CONFIG = "/etc/vz/conf/123.conf"


@pytest.mark.parametrize(
    ("marks", "allowed"),
    [
        ((), True),
        (("put-dump",), True),  # a suspended container's waits there
        (("put-dump", "taken"), False),  # taken up, and perhaps back after a power cut
        (("taken",), True),  # used up
        (("put-dump", "carrier"), False),  # without the fence vzctl would look elsewhere
        (("dumping", "taken"), False),
        (("carrier",), True),
    ],
)
def test_start_is_allowed_once_its_dump_is_used_up(marks: tuple[str, ...], allowed: bool) -> None:
    request = WORLDS["d2-online"]
    world = World.of(request.source, request.destination)
    there = SimulatedNode(world, "hn2")
    assert there.run(Command("hn2", ("own", "123"), "", 60)) == Exited(0, "", "")
    state = world.nodes["hn2"]
    (folder,) = (path[: -len("/record")] for path in state.tree if path.endswith("/run/record"))
    for name in marks:
        state.put(f"{folder}/{name}", File("", 0o600))
    state.put(CONFIG, File(FENCE + 'ONBOOT="yes"\n', 0o644))
    said = there.run(Command("hn2", ("unfence", CONFIG), FENCE, 60))
    assert isinstance(said, Exited)
    assert (said.status == 0) is allowed
    assert state.text(CONFIG) == (("" if allowed else FENCE) + 'ONBOOT="yes"\n')
    state.put(f"{CONFIG}.migrated", File(FENCE, 0o644))  # a backup is nobody's to start
    assert there.run(Command("hn2", ("unfence", f"{CONFIG}.migrated"), FENCE, 60)) == Exited(0, "", "")
