"""What an operator reads when the nodes are no longer as they were shown."""

from __future__ import annotations

from msgspec import structs

from planner.difference import difference
from planner.make import make_plan
from planner.model import Known, Lock, NodeFacts, Options, Request, Script
from planner.plan import Plan
from tests.worlds import CTID, bundled, mounted, not_on_boot, stopped

SHARED, SAN = bundled("shared"), bundled("san")


def told(before: Request, after: Request) -> list[str]:
    return difference(make_plan(before), make_plan(after)).splitlines()


def source(request: Request, **fields: object) -> Request:
    return structs.replace(request, source=structs.replace(request.source, **fields))


def test_a_config_that_was_edited_shows_by_its_lines_alone() -> None:
    assert told(SHARED, not_on_boot(SHARED)) == ["config:", '- ONBOOT="yes"', '+ ONBOOT="no"']
    assert told(not_on_boot(SAN), SAN) == ["config:", '- ONBOOT="no"', '+ ONBOOT="yes"']


def test_a_config_that_will_be_another_only_at_the_destination_shows_by_its_lines_there() -> None:
    target = bundled("to-insulated")
    devices = (
        structs.replace(d, names=("/dev/disk/by-id/wwn-0x7",)) if "/dev/sdg1" in d.names else d
        for d in target.destination.devices
    )
    asked = structs.replace(target.asked, options=Options(dst_device="/dev/disk/by-id/wwn-0x7"))
    facts = structs.replace(target.destination, devices=tuple(devices))
    lines = told(target, structs.replace(target, asked=asked, destination=facts))
    at = lines.index("config:")
    assert lines[at + 1].startswith('- VE_DEVICE="/dev/disk/by-id/wwn-0x6')
    assert lines[at + 2] == '+ VE_DEVICE="/dev/disk/by-id/wwn-0x7"'


def test_a_finding_that_came_is_named_with_what_to_do() -> None:
    locked = source(SHARED, locks=(Lock(CTID, Known.YES),))
    finding = make_plan(locked).findings[0]
    said = f"error locked: {finding.subject}: {finding.summary}"
    # The plan has no steps any more, and that is all that there is to say of them.
    assert told(SHARED, locked) == [f"+ {said}", f"  -> {finding.remedy}"]
    assert told(locked, SHARED) == [f"- {said}"]


def test_a_warning_that_came_or_went_is_named_too() -> None:
    asked = structs.replace(SAN.asked, options=Options(also_seen_by=("hn3",)))
    named = structs.replace(SAN, asked=asked)
    (gone,) = told(SAN, named)
    assert gone.startswith("- warning third-node: hn1:/dev/sda1: ")
    came, remedy = told(named, SAN)
    assert (came[1:], remedy[:5]) == (gone[1:], "  -> ")


def test_a_container_in_another_state_shows_by_it_and_by_what_is_to_be_done_now() -> None:
    lines = told(SAN, stopped(SAN))
    assert [line[-16:] for line in lines[:2]] == ["running, offline", "stopped, offline"]
    assert [line[0] for line in lines[:2]] == ["-", "+"]
    assert lines[2] == "steps:"
    assert "- hn1: stop 123" in lines
    assert "+ hn2: note how /dev/sdm1 reads here" in lines
    assert "- hn1: release /dev/sda1, prove it" not in lines  # which is done either way
    assert any("mounted, offline" in line for line in told(SAN, mounted(SAN)))


def test_an_action_script_that_came_shows_by_the_steps_that_bring_it_over() -> None:
    script = Script(f"{CTID}.start", 0o755, "#!/bin/sh\n")
    names = (*SHARED.source.conf_names, script.name)
    brought = source(SHARED, scripts=(*SHARED.source.scripts, script), conf_names=names)
    lines = told(SHARED, brought)
    assert lines[0] == "steps:"
    assert {line[0] for line in lines[1:]} == {"+"}
    assert all("123.start" in line for line in lines[1:])


def renamed(facts: NodeFacts) -> NodeFacts:
    """The device under other names of the same length: the plan reads alike, and its commands differ."""

    def other(name: str) -> str:
        return name.replace("/dev/disk/by-id/wwn-0x6", "/dev/disk/by-id/wwn-0x7")

    devices = (structs.replace(d, names=tuple(map(other, d.names))) for d in facts.devices)
    return structs.replace(facts, devices=tuple(devices))


def test_what_has_no_words_of_its_own_is_shown_as_it_is_written() -> None:
    lines = told(SAN, source(SAN, devices=renamed(SAN.source).devices))
    assert lines[:2] == ["--- as shown", "+++ as it is now"]
    assert any("wwn-0x7" in line for line in lines if line.startswith("+"))


def test_nothing_is_said_of_what_is_the_same() -> None:
    plan: Plan = make_plan(SAN)
    assert difference(plan, plan) == ""
