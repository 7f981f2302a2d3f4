"""What a simulated node starts when it comes up: what its configs and VZREBOOTDIR say, if that is on its disk."""

from __future__ import annotations

import pytest
from msgspec import structs

from executor.simulated.boot import auto_starts, happened_to_be_torn, reboot
from executor.simulated.tree import File
from executor.simulated.world import World
from planner.model import NodeFacts, State
from planner.parse.config import without
from tests.worlds import CTID, bundled, stopped

LIST = "/var/lib/vzctl/vzreboot"


def node(onboot: str, *, listed: bool, more: str = "", vz_conf: str = "") -> NodeFacts:
    """hn1 of the world "shared", 123 down, with ONBOOT as it is given, or without."""
    facts = stopped(bundled("shared")).source
    (old,) = (c for c in facts.containers if c.ctid == CTID)
    text = without(old.config or "", "ONBOOT") + (f'ONBOOT="{onboot}"\n' if onboot else "") + more
    return structs.replace(
        facts,
        containers=tuple(structs.replace(c, config=text) if c == old else c for c in facts.containers),
        reboots=(CTID, 999) if listed else (),
        vz_conf=(facts.vz_conf or "") + vz_conf,
    )


@pytest.mark.parametrize(
    ("onboot", "listed", "started"),
    [
        ("yes", False, True),
        ("yes", True, True),
        ("no", False, False),
        ("no", True, False),
        ("", False, False),
        ("", True, True),
        ("auto", True, True),
        ("auto", False, False),
    ],
)
def test_what_is_on_the_list_is_started_unless_its_config_says_no(
    onboot: str, listed: bool, started: bool
) -> None:
    world = World.of(node(onboot, listed=listed))
    hn1 = world.nodes["hn1"]
    assert (CTID in auto_starts(hn1)) == started
    for _ in range(2):  # the list outlives every boot
        reboot(world, hn1)
        assert (CTID in hn1.running) == started
        assert world.facts("hn1").reboots == ((CTID, 999) if listed else ())


def test_a_container_that_may_not_be_started_is_not_although_it_is_listed() -> None:
    assert auto_starts(World.of(node("", listed=True, more='DISABLED="yes"\n')).nodes["hn1"]) == {101}


def test_the_list_does_not_start_what_has_no_config_any_more() -> None:
    world = World.of(node("", listed=True))
    hn1 = world.nodes["hn1"]
    hn1.move("/etc/vz/conf/123.conf", "/etc/vz/conf/123.conf.migrated")
    assert CTID in auto_starts(hn1)  # the new name is not on the disk yet
    world.sync(hn1)
    assert CTID not in auto_starts(hn1)
    reboot(world, hn1)
    assert world.facts("hn1").container(CTID) is None


def test_the_list_is_where_vz_conf_says() -> None:
    world = World.of(node("", listed=True, vz_conf="VZREBOOTDIR=/vz/again\n"))
    hn1 = world.nodes["hn1"]
    assert hn1.children("/vz/again") == (
        "123",
        "999",
    )
    assert hn1.children(LIST) == ()
    assert CTID in auto_starts(hn1)
    hn1.drop("/vz/again/123")
    world.sync(hn1)
    assert CTID not in auto_starts(hn1)
    assert world.facts("hn1").reboots == (999,)


def test_of_a_list_that_was_not_read_nothing_is_made_up() -> None:
    facts = structs.replace(node("", listed=False), reboots=None)
    world = World.of(facts)
    reboot(world, world.nodes["hn1"])
    after = world.facts("hn1")
    assert after.reboots is None
    container = after.container(CTID)
    assert container is not None
    assert container.state is State.STOPPED


def test_a_power_cut_may_leave_names_without_what_was_written_under_them() -> None:
    world = World.of(node("yes", listed=False))
    hn1 = world.nodes["hn1"]
    config = f"/etc/vz/conf/{CTID}.conf"
    before = hn1.text(config)
    hn1.put("/etc/vz/synced", File("old", 0o600))
    hn1.put("/run/vzplan/note", File("a note", 0o600))
    world.sync(hn1)
    hn1.move("/etc/vz/synced", "/etc/vz/moved")  # what is in it was synced under its former name
    hn1.put("/etc/vz/new", File("new", 0o640))
    hn1.put("/run/vzplan/later", File("another", 0o600))
    hn1.put(config, File("changed", 0o644))
    happened_to_be_torn(hn1, but="/run/vzplan")
    reboot(world, hn1)
    assert "/etc/vz/synced" not in hn1.tree
    assert hn1.text("/etc/vz/moved") == "old"
    assert hn1.tree["/etc/vz/new"] == File("", 0o640)
    assert (hn1.text("/run/vzplan/note"), hn1.text("/run/vzplan/later")) == ("a note", "another")
    assert hn1.text(config) == before
