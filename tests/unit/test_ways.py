"""The way is chosen by what is and what was asked for, never by names; its steps and its new config are exact."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import pytest
from msgspec import structs

from planner.codec import decode_plan, encode, text_sha256
from planner.findings import Severity
from planner.identity import stable_name
from planner.make import make_plan
from planner.model import NodeFacts, Options, Path, PathKind, Request, Script, State
from planner.parse.config import FENCE, with_value, without
from planner.plan import Command, Compensation, NothingToUndo, Plan, Step, Zone
from planner.steps import DUMP_S, SLOW_S
from planner.verbs import NO_DUMP, NOT_STAGED, VERBS
from tests.worlds import (
    CTID,
    WORLDS,
    asking,
    bundled,
    is_down,
    mounted,
    plan_of,
    stopped,
    suspended,
    without_device,
)

BY_ID: Final = "/dev/disk/by-id/wwn-0x600508b4000971f0000a000000410000-part1"
SPARE: Final = "/dev/sdg1"
SPARE_BY_ID: Final = "/dev/disk/by-id/wwn-0x600508b4000971f0000a000000520000-part1"
STATES: Final = {
    State.RUNNING: lambda r: r,
    State.MOUNTED: mounted,
    State.STOPPED: stopped,
    State.SUSPENDED: suspended,
}
DOWN: Final = (State.STOPPED, State.SUSPENDED)


def with_spare(request: Request) -> Request:
    """hn2 has an empty disk of its own as well."""
    spare = bundled("to-insulated").destination.device(SPARE)
    assert spare is not None
    roomy = structs.replace(spare, size_bytes=60 << 30)
    assert roomy.filesystem is not None
    roomy = structs.replace(
        roomy, filesystem=structs.replace(roomy.filesystem, free_bytes=56 << 30, free_inodes=4_000_000)
    )
    others = tuple(d for d in request.destination.devices if SPARE not in d.names)
    return structs.replace(
        request, destination=structs.replace(request.destination, devices=(*others, roomy))
    )


def hooked(request: Request) -> Request:
    """hn2 has the wiki's action scripts."""
    san = bundled("san").destination
    return structs.replace(
        request,
        destination=structs.replace(request.destination, scripts=san.scripts, conf_names=san.conf_names),
    )


SOURCES: Final = {
    "shared": hooked(with_spare(bundled("shared"))),
    "insulated": with_spare(bundled("san")),
    "insulated, VE_DEVICE taken out": without_device(with_spare(bundled("san"))),
}

NO_FLAGS: Final[dict[str, Any]] = {}
SHARED: Final = {"dst_shared": True}
ONTO: Final = {"dst_device": SPARE}
ONTO_BY_ID: Final = {"dst_device": SPARE_BY_ID}
SAME: Final = {"dst_device": "/dev/sdm1"}
SAME_BY_ID: Final = {"dst_device": BY_ID}
WORD: Final = {"same_device": True}
HOOKS: Final = {"install_hooks": True}

CHOSEN: Final = [  # source, flags, way or the finding that refuses it
    ("shared", NO_FLAGS, "a"),
    ("shared", SHARED, "options-contradict"),
    ("shared", ONTO, "b"),
    ("shared", ONTO_BY_ID, "b"),
    ("shared", WORD, "options-contradict"),
    ("shared", ONTO | WORD, "options-contradict"),
    ("shared", HOOKS, "options-contradict"),
    ("shared", ONTO | HOOKS, "b"),
    ("insulated", NO_FLAGS, "d2"),
    ("insulated", SHARED, "c"),
    ("insulated", ONTO, "d1"),
    ("insulated", ONTO_BY_ID, "d1"),
    ("insulated", SAME, "d2"),
    ("insulated", SAME_BY_ID, "d2"),
    ("insulated", WORD, "d2"),
    ("insulated", SAME | WORD, "d2"),
    ("insulated", SHARED | WORD, "options-contradict"),
    ("insulated", ONTO | WORD, "options-contradict"),
    ("insulated", HOOKS, "d2"),
    ("insulated", SHARED | HOOKS, "options-contradict"),
    ("insulated", ONTO | HOOKS, "d1"),
    ("insulated, VE_DEVICE taken out", NO_FLAGS, "c"),
    ("insulated, VE_DEVICE taken out", SHARED, "c"),
    ("insulated, VE_DEVICE taken out", ONTO, "d1"),
    ("insulated, VE_DEVICE taken out", SAME, "d2"),
    ("insulated, VE_DEVICE taken out", WORD, "options-contradict"),
    ("insulated, VE_DEVICE taken out", SAME | WORD, "d2"),
    ("insulated, VE_DEVICE taken out", HOOKS, "options-contradict"),
]


WAYS: Final = ("a", "b", "c", "d1", "d2")
CASES: Final = [  # of a stopped one whose VE_DEVICE was taken out nothing is told: see test_checks.py
    (source, flags, expected, state)
    for source, flags, expected in CHOSEN
    for state in STATES
    if not (source.endswith("taken out") and state in DOWN)
]
IDS: Final = [f"{source}-{'+'.join(flags) or 'no flags'}-{state}" for source, flags, _, state in CASES]


@pytest.mark.parametrize(("source", "flags", "expected", "state"), CASES, ids=IDS)
def test_the_way_follows_from_what_is_and_what_was_asked_for(
    source: str, flags: dict[str, Any], expected: str, state: State
) -> None:
    plan = make_plan(asking(STATES[state](SOURCES[source]), **flags))
    errors = {f.code for f in plan.findings if f.severity is Severity.ERROR}
    if expected in WAYS:
        assert (plan.way, errors) == (expected, set())
        assert plan.runnable
    else:
        assert (plan.way, plan.steps, errors) == (None, (), {expected})


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("device", [SPARE, SPARE_BY_ID])
def test_to_share_and_to_own_is_refused(source: str, device: str) -> None:
    both = make_plan(asking(SOURCES[source], dst_shared=True, dst_device=device))
    assert both.way is None
    assert ("options-contradict", "--dst-shared --dst-device") in {(f.code, f.subject) for f in both.findings}


@pytest.mark.parametrize("source", ["insulated", "insulated, VE_DEVICE taken out"])
def test_to_share_and_to_own_is_one_error(source: str) -> None:
    both = make_plan(asking(SOURCES[source], dst_shared=True, dst_device=SPARE))
    assert {f.code for f in both.findings} == {"options-contradict"}


def test_the_worlds_have_every_way_in_every_state() -> None:
    have = {(make_plan(request).way, _state(request)) for request in WORLDS.values()}
    assert have == {(way, state) for way in WAYS for state in STATES}


def _state(request: Request) -> State:
    container = request.source.container(CTID)
    assert container is not None
    return container.state


# --- the new config


def configured(request: Request, config: str) -> Request:
    source = request.source
    containers = (structs.replace(c, config=config) if c.ctid == CTID else c for c in source.containers)
    return structs.replace(request, source=structs.replace(source, containers=tuple(containers)))


def new_config(request: Request) -> str:
    """As the plan shows it; what is staged is that below the fence, and nothing else."""
    plan = make_plan(request)
    assert plan.runnable, plan.findings
    assert plan.config is not None
    container = request.source.container(CTID)
    assert container is not None
    assert plan.config.before == container.config
    stage = next(step for step in plan.steps if step.id == "stage-config")
    assert stage.do.stdin == FENCE + plan.config.after
    return plan.config.after


OWNING: Final = """\
# web1, asked for by Ana  (ticket 4711)
ONBOOT="yes"

  VE_DEVICE={quote}/dev/sda1{quote}{rest}
IP_ADDRESS="192.0.2.123"   # and more
DESCRIPTION='VE_DEVICE=/dev/none'
#VE_DEVICE="/dev/older"
VE_PRIVATE="/vz/private/$VEID"
"""

PLAIN: Final = OWNING.replace("  VE_DEVICE={quote}/dev/sda1{quote}{rest}\n", "")

ENDS: Final = ["\n", "\r\n"]
QUOTES: Final = ['"', "'", ""]
RESTS: Final = ["", "   # the LUN", "\t# 'its' \"own\"", "  "]


def written(text: str, end: str) -> str:
    return text.replace("\n", end)


@pytest.mark.parametrize("end", ENDS, ids=["LF", "CRLF"])
@pytest.mark.parametrize("rest", RESTS, ids=["alone", "comment", "quoted comment", "blanks"])
@pytest.mark.parametrize("quote", QUOTES, ids=["double", "single", "bare"])
@pytest.mark.parametrize("way", ["d1", "d2"])
def test_where_it_owns_one_before_and_after_one_line_changes(
    way: str, quote: str, rest: str, end: str
) -> None:
    flags, device = {"d1": (ONTO, SPARE_BY_ID), "d2": (NO_FLAGS, BY_ID)}[way]
    config = written(OWNING.format(quote=quote, rest=rest), end)
    request = asking(configured(SOURCES["insulated"], config), **flags)
    assert make_plan(request).way == way
    after = new_config(request)
    old, new = config.split(end), after.split(end)
    changed = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
    comment = rest if "#" in rest else ""  # blanks at a line's end are nobody's
    assert changed == [(f"  VE_DEVICE={quote}/dev/sda1{quote}{rest}", f'  VE_DEVICE="{device}"{comment}')]


@pytest.mark.parametrize("end", ENDS, ids=["LF", "CRLF"])
@pytest.mark.parametrize("rest", RESTS, ids=["alone", "comment", "quoted comment", "blanks"])
def test_where_it_owns_none_any_more_one_line_goes(rest: str, end: str) -> None:
    config = written(OWNING.format(quote='"', rest=rest), end)
    assert new_config(asking(configured(SOURCES["insulated"], config), **SHARED)) == written(PLAIN, end)


@pytest.mark.parametrize("end", ENDS, ids=["LF", "CRLF"])
@pytest.mark.parametrize("last", ["", "A=1", "# no newline here"])
def test_where_it_owns_one_only_from_now_on_one_line_comes(last: str, end: str) -> None:
    config = written(PLAIN, end) + last
    gap = end if last else ""
    for flags in (ONTO, ONTO_BY_ID):
        after = new_config(asking(configured(SOURCES["shared"], config), **flags))
        assert after == f'{config}{gap}VE_DEVICE="{SPARE_BY_ID}"{end}'


@pytest.mark.parametrize("end", ENDS, ids=["LF", "CRLF"])
@pytest.mark.parametrize("last", ["", "A=1"])
def test_where_it_owns_none_the_config_stays_as_it_is(last: str, end: str) -> None:
    config = written(PLAIN, end) + last
    assert new_config(configured(SOURCES["shared"], config)) == config
    assert new_config(configured(SOURCES["insulated"], config)) == config  # VE_DEVICE was taken out: way c


def test_an_empty_ve_device_is_none_and_is_filled_in() -> None:
    config = PLAIN + 'VE_DEVICE=""  # none\n'
    assert new_config(configured(SOURCES["shared"], config)) == config
    onto = new_config(asking(configured(SOURCES["shared"], config), **ONTO))
    assert onto == PLAIN + f'VE_DEVICE="{SPARE_BY_ID}"  # none\n'


def test_a_device_that_has_no_stable_name_is_written_as_it_is_called() -> None:
    request = SOURCES["insulated"]
    devices = tuple(
        structs.replace(d, names=("/dev/sdm1",)) if "/dev/sdm1" in d.names else d
        for d in request.destination.devices
    )
    plain = structs.replace(request, destination=structs.replace(request.destination, devices=devices))
    assert '\nVE_DEVICE="/dev/sdm1"\n' in new_config(plain)


@pytest.mark.parametrize(
    ("names", "best"),
    [
        (("/dev/dm-3", "/dev/mapper/mpathb1", "/dev/sdm1"), "/dev/mapper/mpathb1"),
        (("/dev/disk/by-id/scsi-1", "/dev/disk/by-id/wwn-1", "/dev/mapper/m"), "/dev/disk/by-id/wwn-1"),
        (("/dev/disk/by-id/scsi-1", "/dev/mapper/m", "/dev/sdm1"), "/dev/disk/by-id/scsi-1"),
        (("/dev/disk/by-uuid/1", "/dev/sdm1"), "/dev/disk/by-uuid/1"),
        (("/dev/sdm1", "/dev/vg/lv"), "/dev/sdm1"),
    ],
)
def test_the_name_that_stays_is_chosen(names: tuple[str, ...], best: str) -> None:
    device = SOURCES["insulated"].destination.device("/dev/sdm1")
    assert device is not None
    assert stable_name(structs.replace(device, names=names)) == best


# --- the steps


def commands(plan: Plan) -> Iterator[Command]:
    """Every command that the plan may lead to."""
    for step in plan.steps:
        yield step.do
        if isinstance(step.undo, Compensation):
            yield step.undo.do
        if step.probe is not None:
            yield step.probe.do
    yield from plan.settle


each_world = pytest.mark.parametrize("world", WORLDS)


@each_world
def test_a_plan_keeps_the_rules_of_the_saga(world: str) -> None:
    plan = plan_of(world)
    assert decode_plan(encode(plan), world) == plan  # its constructor has looked again
    assert plan.runnable
    ids = [step.id for step in plan.steps]
    assert len(set(ids)) == len(ids)
    order = list(Zone)
    assert [order.index(s.zone) for s in plan.steps] == sorted(order.index(s.zone) for s in plan.steps)
    assert [s.zone for s in plan.steps].count(Zone.PIVOT) == 1
    assert [s.probe is not None for s in plan.steps] == [s.zone is Zone.PIVOT for s in plan.steps]
    for step in plan.steps:
        assert isinstance(step.undo, Compensation | NothingToUndo)
        if step.zone is Zone.RETIRE:
            assert isinstance(step.undo, NothingToUndo)
        if isinstance(step.undo, NothingToUndo):
            assert step.undo.because
        else:
            assert step.undo.do.node == step.do.node  # what a node did is taken back there
    assert sorted(c.node for c in plan.settle) == ["hn1", "hn2"]
    for command in commands(plan):
        assert command.argv[0] in VERBS
        assert command.deadline_s > 0
        assert all(isinstance(word, str) for word in command.argv)


@each_world
def test_no_step_names_a_device_that_may_be_called_otherwise_tomorrow(world: str) -> None:
    request, plan = WORLDS[world], plan_of(world)
    moving = names_that_move(request.source) | names_that_move(request.destination)
    assert moving or plan.way == "a" or world == "d2-stopped-believed"  # or nothing would be shown here
    for command in commands(plan):
        for word in command.argv:
            found = {name for name in moving if re.search(rf"{re.escape(name)}(?![\w-])", word)}
            assert found == set(), command
    assert plan.config is not None
    changed = set(plan.config.after.split("\n")) - set(plan.config.before.split("\n"))
    assert not [line for line in changed for name in moving if f'"{name}"' in line]


def names_that_move(facts: NodeFacts) -> set[str]:
    """Names of devices that have a better one."""
    return {name for d in facts.devices for name in d.names if name != stable_name(d)}


@each_world
def test_what_mounts_a_device_carries_its_identity(world: str) -> None:
    request, plan = WORLDS[world], plan_of(world)
    for command in commands(plan):
        names = VERBS[command.argv[0]].operands
        words = dict(zip(names, command.argv[1:], strict=True))
        for device, identity in (("device", "identity"), ("peer_device", "peer_identity")):
            if device not in words:
                continue
            assert (words[device] == "-") == (words[identity] == "-")
            if words[device] == "-":
                continue
            away = device == "peer_device"
            facts = request.destination if (command.node == "hn2") != away else request.source
            there = facts.device(words[device])
            assert there is not None
            assert there.filesystem is not None
            assert words[identity].endswith(
                f"{there.size_bytes}:{there.filesystem.type}:{there.filesystem.uuid}"
            )


@each_world
def test_a_node_that_mounts_holds_or_starts_must_be_able_to_take_it_back(world: str) -> None:
    for step in plan_of(world).steps:
        if step.do.argv[0] not in BLOCKING or isinstance(step.undo, NothingToUndo):
            continue
        assert step.undo.blocking, step.id
    # Two nodes hold the device that carries the memory one after the other; what is on it can be lost, and told.
    carrier = {step.id: step.undo for step in plan_of(world).steps if step.do.argv[0] == "mount-dump"}
    assert [getattr(undo, "blocking", None) for undo in carrier.values()] == [None, True][: len(carrier)]


BLOCKING: Final = {
    "note-state",
    "fence",
    "stop-container",
    "suspend-container",
    "freeze-container",
    "kill-container",
    "undump-container",
    "mount-device",
    "release-device",
    "bring-up",
    "enable-container",
}


@each_world
def test_what_only_cleans_up_halts_nothing_if_it_cannot_be_done(world: str) -> None:
    undos = [step.undo for step in plan_of(world).steps if isinstance(step.undo, Compensation)]
    cleaning = {"disown", "empty-claimed", "release-lock", "remove-made", "remove-made-tree"}
    cleaning |= {"withdraw-dump", "clear-dump"}
    assert {undo.do.argv[0] for undo in undos if not undo.blocking} <= cleaning
    assert not any(undo.blocking for undo in undos if undo.do.argv[0] in cleaning)


@each_world
def test_the_fence_comes_before_the_data_moves_and_falls_after_the_pivot(world: str) -> None:
    ids = [step.id for step in plan_of(world).steps]
    pivot = next(s.id for s in plan_of(world).steps if s.zone is Zone.PIVOT)
    still = "staged" in world and not world.startswith("d2")  # it is frozen at the source until it runs
    order = ["own-hn1", "own-hn2", "note-state", "stage-config", "lock-hn1", "lock-hn2", "guard-source"]
    order += [
        "guard-destination",
        "fence",
        *([] if still else ["hide-config"]),
        *(["name-config"] if "staged" in world else []),
        pivot,
        "allow-start",
        *(["hide-config"] if still else []),
        "unlock-hn2",
    ]
    order += ["tidy-backup", "unlock-hn1", "disown-hn1", "disown-hn2"]
    assert [i for i in ids if i in order] == order
    assert ids[-2:] == ["disown-hn1", "disown-hn2"]


@pytest.mark.parametrize("world", [w for w in WORLDS if w.startswith("d2")])
def test_nothing_comes_between_the_proofs_and_the_mount(world: str) -> None:
    ids = [step.id for step in plan_of(world).steps]
    chain = ["release-source", "hide-config", "prove-released-hn1", "prove-released-hn2"]
    chain += ["mount-destination"] if not is_down(world) else ["enable"]
    at = ids.index(chain[0])
    assert ids[at : at + len(chain)] == chain
    assert ids.index("see-mounted") < at
    assert "copy-last" not in ids
    if is_down(world):  # the challenge: how it reads before, then mounted once
        assert ids[ids.index("note-superblock") :][:4] == [
            "note-superblock",
            "mount-source",
            "see-mounted",
            "release-source",
        ]
        assert "mount-destination" not in ids
    else:
        assert ids.index("see-mounted") < ids.index("lock-hn1")  # while nobody notices


@pytest.mark.parametrize("world", [w for w in WORLDS if not w.startswith("d2")])
def test_a_copy_is_whole_before_its_source_is_hidden(world: str) -> None:
    plan = plan_of(world)
    ids = [step.id for step in plan.steps]
    up = not is_down(world)
    firsts = ["copy-1"] if up else []
    staged = "staged" in world
    dump = "suspended" in world or "online" in world or staged
    assert [i for i in ids if i.startswith("copy-")] == [*firsts, "copy-last", *["copy-dump"] * dump]
    passes = ["first"] * len(firsts) + ["last"] + ["dump"] * dump
    assert [s.do.argv[9] for s in plan.steps if s.do.argv[0] == "copy-tree"] == passes
    assert ids.index("fence") < ids.index("copy-last") < ids.index("hide-config")
    down = "suspend" if "online" in world else "freeze" if staged else "stop"
    assert [i for i in ids if i in ("stop", "suspend", "freeze")] == [down] * up
    if up:
        assert ids.index("fence") < ids.index(down) < ids.index("copy-last")
    assert ("mount-source" in ids) == (plan.way in ("c", "d1") and not staged)
    assert ("claim-empty" in ids) == ("mount-destination" in ids) == (plan.way in ("b", "d1"))
    assert ("leave-destination" in ids) == (plan.way in ("b", "d1") and not up)
    if plan.way in ("c", "d1"):
        assert staged or ids.index("mount-source") < ids.index("copy-last")
        assert ("leave-source" in ids, "retire-private" in ids) == (True, False)
    else:
        assert ("leave-source" in ids, "retire-private" in ids) == (False, "kept" not in world)
    if plan.way in ("b", "d1"):
        assert (
            ids.index("mount-destination")
            < ids.index("claim-empty")
            < ids.index((firsts or ["copy-last"])[0])
        )
        for first, second in pairwise(["mount-destination", "claim-empty"]):
            assert ids.index(second) == ids.index(first) + 1


@each_world
def test_it_ends_in_the_state_in_which_it_began(world: str) -> None:
    plan, state = plan_of(world), _state(WORLDS[world])
    pivot = plan.steps[plan.pivot]
    if state in DOWN:
        assert (pivot.id, pivot.do.argv[0]) == ("enable", "enable-container")
        assert not {"bring-up", "ensure-up", "stop-container"} & {s.do.argv[0] for s in plan.steps}
    else:
        *up, staged = pivot.do.argv[1:]
        assert (pivot.id, pivot.do.argv[0], up[-2]) == ("bring-up", "bring-up", state)
        ensured = list(next(s for s in plan.steps if s.id == "ensure-up").do.argv[1:])
        # Where its dump is the config says only while it is fenced.
        assert (ensured == up) is not ("online-by-device" in world)
        assert (ensured[:5], ensured[6:]) == (up[:5], up[6:])
        assert (up[-1] != NO_DUMP) is ("staged" in world)
        assert (staged == NOT_STAGED) is ("staged" in world)
    note = next(s for s in plan.steps if s.id == "note-state")
    assert note.do.argv == ("note-state", "123", state)
    assert isinstance(note.undo, Compensation)
    assert note.undo.do.argv[-2] == state
    void = ["name-config", "ensure-memory", "void-dump"] if "online" in world else []
    assert [s.id for s in plan.steps if s.ensures] == (
        ["allow-start"] if state in DOWN else [*void, "allow-start", "ensure-up"]
    )
    assert [s.id for s in plan.steps if s.forgets] == ["disown-hn1", "disown-hn2"]


@pytest.mark.parametrize(
    ("world", "down", "up"),
    [("a-running", "stop 123", "start 123"), ("a-mounted", "unmount 123", "mount 123")],
)
def test_what_takes_it_down_and_brings_it_up_is_called_as_it_is(world: str, down: str, up: str) -> None:
    plan = plan_of(world)
    assert next(s.title for s in plan.steps if s.id == "stop") == down
    assert plan.steps[plan.pivot].title == f"give the config its name, {up}"


def test_where_vzctls_locks_are_only_the_node_says() -> None:
    request = bundled("shared")
    source = request.source
    containers = tuple(
        structs.replace(c, config=f"{c.config}LOCKDIR=/of/its/own\n") if c.ctid == CTID else c
        for c in source.containers
    )
    conf = (source.vz_conf or "").replace("LOCKDIR=/vz/lock", "LOCKDIR=/var/lock/vz")
    plan = make_plan(
        structs.replace(request, source=structs.replace(source, containers=containers, vz_conf=conf))
    )
    locks = {s.do.node: s.do.argv[2] for s in plan.steps if s.do.argv[0] == "hold-lock"}
    assert locks == {"hn1": "/var/lock/vz", "hn2": "/vz/lock"}


@pytest.mark.parametrize("passes", [0, 1, 2, 7])
def test_it_is_copied_as_often_as_was_asked_for(passes: int) -> None:
    for world in ("a-running", "b-mounted", "c-running", "d1-mounted"):
        plan = make_plan(asking(WORLDS[world], precopy=passes))
        copies = [(s.id, s.zone) for s in plan.steps if s.do.argv[0] == "copy-tree"]
        firsts = [(f"copy-{n}", Zone.PREPARE) for n in range(1, passes + 1)]
        assert copies == [*firsts, ("copy-last", Zone.TRANSFER)]


def test_the_node_may_decide_how_often_and_the_plan_has_the_bound() -> None:
    for world in ("a-running", "b-mounted", "c-running", "d1-online"):
        plan = make_plan(asking(WORLDS[world], precopy="auto"))
        copies = [(s.id, s.zone, s.do.argv[9]) for s in plan.steps if s.do.argv[0] == "copy-tree"]
        assert copies[:2] == [
            ("copy-auto", Zone.PREPARE, "auto"),
            ("copy-last", Zone.TRANSFER, "last"),
        ]
        (title,) = (s.title for s in plan.steps if s.id == "copy-auto")
        assert title == f"copy /vz/private/{CTID} to hn2 while it is up, 5 times at most"


def test_scripts_of_ours_are_put_only_where_nothing_stands_for_them() -> None:
    plan = plan_of("d2-running-own-hooks")
    made = {s.do.argv[1]: s.do.argv[2] for s in plan.steps if s.id.startswith("hook-")}
    assert made == {f"/etc/vz/conf/{CTID}.{name}": "0755" for name in ("premount", "postumount")}
    assert {"hook-premount", "hook-postumount"} <= {s.id for s in plan.steps}
    with_hooks = make_plan(asking(WORLDS["d2-running"], install_hooks=True))
    assert [s.id for s in with_hooks.steps if s.id.startswith("hook-")] == []


@pytest.mark.parametrize(
    ("taken", "suffix"),
    [
        ((), ".migrated"),
        (("123.conf.migrated",), ".migrated.1"),
        (("123.mount.migrated",), ".migrated.1"),
        (("123.conf.migrated", "123.mount.migrated.1"), ".migrated.2"),
        (("123.conf.migrated.1",), ".migrated"),
        (("101.mount.migrated",), ".migrated"),
    ],
)
def test_all_that_is_put_aside_gets_one_ending_that_nothing_has_yet(
    taken: tuple[str, ...], suffix: str
) -> None:
    source = bundled("shared").source
    script = Script("123.mount", 0o755, "#!/bin/sh\n")
    source = structs.replace(source, scripts=(script,), conf_names=(*source.conf_names, script.name, *taken))
    plan = make_plan(structs.replace(bundled("shared"), source=source))
    brought = next(s for s in plan.steps if s.id == "script-123.mount")
    assert brought.do == Command(
        "hn2", ("make-file", "/etc/vz/conf/123.mount", "0755"), script.text or "", brought.do.deadline_s
    )
    assert "retire-123.mount" in {s.id for s in plan.steps}
    old = {s.id: s.do.argv for s in plan.steps if s.do.node == "hn1"}
    for step, name in (("hide-config", "123.conf"), ("retire-123.mount", "123.mount")):
        path = f"/etc/vz/conf/{name}"
        assert old[step][old[step].index(path) + 1] == f"{path}{suffix}"


def test_a_stopped_container_whose_device_is_mounted_all_the_same_is_challenged_as_one_that_is_up() -> None:
    request = bundled("san")
    left = [m for m in request.source.mounts if m.point == "/vz/private/123"]
    down = stopped(request)
    mounts = (*down.source.mounts, *left)
    plan = make_plan(structs.replace(down, source=structs.replace(down.source, mounts=mounts)))
    assert plan.runnable
    assert "note-superblock" not in {s.id for s in plan.steps}
    assert "note-superblock" in {s.id for s in make_plan(down).steps}


def test_options_of_the_operator_arrive_where_they_are_used() -> None:
    asked = asking(WORLDS["a-running"], rsync=("--bwlimit=5", "-z"), peer_ssh=("-i", "/a b/it's", "-p", "22"))
    for step in make_plan(asked).steps:
        if step.do.argv[0] == "copy-tree":
            assert step.do.argv[10] == "ssh -o BatchMode=yes -i '/a b/it''s' -p 22"
            assert step.do.argv[11] == "--bwlimit=5\n-z"


def with_type(facts: NodeFacts, name: str, kind: str) -> NodeFacts:
    """A device, or what is mounted at a point, with a filesystem of that type."""
    devices = tuple(
        structs.replace(d, filesystem=structs.replace(d.filesystem, type=kind))
        if name in d.names and d.filesystem is not None
        else d
        for d in facts.devices
    )
    mounts = tuple(structs.replace(m, type=kind) if m.point == name else m for m in facts.mounts)
    return structs.replace(facts, devices=devices, mounts=mounts)


@pytest.mark.parametrize("kind", ["ext3", "btrfs", "xfs"])
def test_a_copy_onto_xfs_knows_that_it_is_one(kind: str) -> None:
    ends = {"a-running": "/vz", "b-running": SPARE, "c-stopped": "/vz", "d1-stopped": "/dev/sdm1"}
    for world, there in ends.items():
        request = WORLDS[world]
        onto = structs.replace(request, destination=with_type(request.destination, there, kind))
        plain, known = (
            [s.do.argv[9] for s in make_plan(r).steps if s.do.argv[0] == "copy-tree"] for r in (request, onto)
        )
        assert known == [f"{word}-xfs" if kind == "xfs" else word for word in plain], world
    out_of = with_type(WORLDS["d1-running"].source, "/dev/sda1", kind)
    asked = structs.replace(WORLDS["d1-running"], source=out_of)
    assert {s.do.argv[9] for s in make_plan(asked).steps if s.do.argv[0] == "copy-tree"} == {"first", "last"}


def test_two_ways_to_say_it_give_one_plan_but_for_what_was_said() -> None:
    by_flag = make_plan(asking(SOURCES["insulated"], **SAME))
    by_name = make_plan(asking(SOURCES["insulated"], **SAME_BY_ID))
    plain = make_plan(SOURCES["insulated"])
    assert by_flag.steps == by_name.steps == plain.steps
    assert by_flag.asked.options == Options(dst_device="/dev/sdm1")
    assert len({by_flag.digest, by_name.digest, plain.digest}) == 3  # a digest covers the request


def test_the_edit_is_that_of_the_parser() -> None:
    container = WORLDS["d2-running"].source.container(CTID)
    assert container is not None
    assert container.config is not None
    assert new_config(WORLDS["d2-running"]) == with_value(container.config, "VE_DEVICE", BY_ID)
    assert new_config(WORLDS["c-running"]) == without(container.config, "VE_DEVICE")


@pytest.mark.parametrize(
    "world", [w for w in WORLDS if ("suspended" in w or "online" in w) and "by-device" not in w]
)
def test_memory_goes_where_its_disk_goes(world: str) -> None:
    plan = plan_of(world)
    ids = [step.id for step in plan.steps]
    dump, place = "/vz/dump/Dump.123", "/vz/dump/.vzplan-dump-123"
    steps = {step.id: step for step in plan.steps}
    # Nothing takes it up at the destination before the pivot: there is no config.
    order = ["make-dump-place", "fence", "copy-dump", "put-dump", "hide-config"]
    order = [*order[:2], *["suspend"] * ("online" in world), *order[2:], plan.steps[plan.pivot].id]
    assert [i for i in ids if i in order] == order
    # At the source it stays until the container is the destination's, and is nobody's any more.
    assert ids.index("allow-start") < ids.index("retire-dump") < ids.index("unlock-hn1")
    assert ids.index("retire-dump") < ids.index("remove-dump-place") < ids.index("disown-hn2")
    assert steps["copy-dump"].do.argv[2:10] == ("/vz/dump", "-", "-", "hn2", place, "-", "-", "dump")
    assert steps["put-dump"].do.argv == ("put-dump", f"{place}/Dump.123", dump)
    assert steps["retire-dump"].do.argv == ("retire-dump", "123", dump, f"{dump}.vzplan-retired")
    assert {step.do.node for step in plan.steps if "dump" in step.id} == {"hn1", "hn2"}


def test_each_node_has_a_dumpdir_of_its_own() -> None:
    request = suspended(bundled("shared"))
    there = structs.replace(
        request.destination,
        vz_conf=(request.destination.vz_conf or "").replace("DUMPDIR=/vz/dump", "DUMPDIR=/srv/memory"),
        paths=tuple(
            structs.replace(p, path="/srv/memory", real="/srv/memory") if p.path == "/vz/dump" else p
            for p in request.destination.paths
        ),
    )
    plan = make_plan(structs.replace(request, destination=there))
    assert plan.runnable, plan.findings
    put = next(step for step in plan.steps if step.id == "put-dump")
    assert put.do.argv[1:] == ("/srv/memory/.vzplan-dump-123/Dump.123", "/srv/memory/Dump.123")


# --- each step that the ways share, by one plan: what it is called, and what a node is told


def step(plan: Plan, name: str) -> Step:
    (found,) = (step for step in plan.steps if step.id == name)
    return found


def told_to_undo(step: Step) -> Command:
    assert isinstance(step.undo, Compensation)
    return step.undo.do


def test_what_a_move_makes_first_and_removes_last() -> None:
    plan = plan_of("a-mounted")
    staged = "/etc/vz/conf/123.conf.vzplan"
    assert step(plan, "stage-config").do.argv == ("make-file", staged, "0644")
    assert step(plan, "make-root").do.argv == ("make-dir", "/vz/root/123", "0755")
    assert step(plan, "remove-root").do.argv == ("remove-dir", "/vz/root/123")
    assert plan.summary == "copy of /vz/private/123, rsync from node to node · mounted, offline"
    assert told_to_undo(step(plan, "note-state")).deadline_s == SLOW_S


def test_a_root_area_that_is_there_is_not_made() -> None:
    there = Path("/vz/root/123", PathKind.DIRECTORY, "/vz/root/123", empty=True, entries=())
    destination = WORLDS["a-mounted"].destination
    paths = (*(p for p in destination.paths if p.path != there.path), there)
    plan = make_plan(
        structs.replace(WORLDS["a-mounted"], destination=structs.replace(destination, paths=paths))
    )
    assert plan.runnable
    assert "make-root" not in {step.id for step in plan.steps}


def test_the_config_at_the_source_is_known_before_and_behind_the_fence() -> None:
    plan = plan_of("a-mounted")
    assert plan.config is not None
    before = plan.config.before
    assert step(plan, "guard-source").do.argv[3:5] == (text_sha256(before), text_sha256(FENCE + before))


@pytest.mark.parametrize(("world", "owns"), [("b-mounted", True), ("d2-mounted", False)])
def test_only_a_device_that_is_copied_onto_may_be_mounted_there_before_the_freeze(
    world: str, owns: bool
) -> None:
    device = step(plan_of(world), "guard-destination").do.argv[3:5]
    assert (device[0] == SPARE_BY_ID) is owns
    assert (device == ("-", "-")) is not owns


def test_where_a_dump_is_on_a_device_of_its_own_the_config_says_while_it_is_fenced() -> None:
    plan, room = plan_of("d2-online-by-device"), "/vz/dump/.vzplan-dump-123/device"
    assert plan.config is not None
    assert step(plan, "stage-config").do.stdin == f'{FENCE}DUMPDIR="{room}"\n{plan.config.after}'
    assert told_to_undo(step(plan, "note-state")).argv[6] == "/vz/dump"
    assert told_to_undo(step(plan, "suspend")).argv[6] == room
    assert told_to_undo(step(plan, "suspend")).deadline_s == DUMP_S
    ids = [step.id for step in plan.steps]
    assert ids[ids.index("mount-dump-destination") :][:3] == [
        "mount-dump-destination",
        "accept-dump",
        "bring-up",
    ]


def test_where_a_kernel_writes_it_down_there_the_config_need_not_say_so() -> None:
    plan = plan_of("d2-staged-by-device")
    assert plan.config is not None
    assert step(plan, "stage-config").do.stdin == FENCE + plan.config.after
    assert told_to_undo(step(plan, "freeze")).argv[6] == "/vz/dump"


def test_a_container_that_is_frozen_at_the_source_is_looked_at_before_it_runs_there() -> None:
    ids = [step.id for step in plan_of("a-staged").steps]
    assert ids[ids.index("undump") :][:3] == ["undump", "prove-frozen", "bring-up"]
    assert ids[ids.index("retire-private") :][:3] == [
        "retire-private",
        "remove-dump-place-source",
        "remove-dump-place",
    ]


def test_a_dump_is_sent_as_fast_as_the_operator_lets_rsync_and_else_as_it_must_be() -> None:
    asked = asking(WORLDS["a-suspended"], rsync=("--bwlimit=5", "-z", "--bwlimit=7"))
    assert step(make_plan(asked), "copy-dump").do.argv[11] == "--bwlimit=5\n--bwlimit=7"
