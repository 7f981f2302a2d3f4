"""What speaks against taking a container's memory along: each fact, said, denied and not known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
from msgspec import structs

from planner.checks.memory import CAPS, ENDLESS_BYTES, KERNELS
from planner.make import make_plan
from planner.model import Check, Cpu, Criu, Known, Mount, NodeFacts, Outside, Request
from tests.unit.test_checks import (
    ERROR,
    NO,
    ONLINE,
    SAN,
    SHARED,
    SUSPENDED,
    UNKNOWN,
    WARNING,
    YES,
    Change,
    at_destination,
    at_source,
    config,
    container,
    filesystem,
    found,
    having,
    path,
    said,
    summary,
    with_mount,
)
from tests.worlds import CTID, asking, bundled, by_device, online, staged

POINT: Final = "/vz/root/123/srv/share"
INTEL: Final = Cpu("x86_64", ("avx", "fxsr", "pti", "sse2"))
STAGED: Final = at_source(SUSPENDED, having(tools=("/proc/cpt", *SUSPENDED.source.tools), cpt_version=0x308))
"""A suspended one, whose dump its kernel made itself."""


def tools(facts: NodeFacts, *more: str) -> Change:
    return having(tools=tuple(sorted({*facts.tools, *more})))


def cpus(here: Cpu | None, there: Cpu | None) -> Request:
    return at_destination(at_source(ONLINE, having(cpu=here)), having(cpu=there))


def codes(request: Request) -> list[str]:
    return [f.code for f in found(request)]


def remedy(request: Request, code: str) -> str:
    """Of the one finding of that code."""
    (finding,) = (f for f in found(request) if f.code == code)
    return finding.remedy


def test_a_container_that_is_stopped_for_the_move_is_asked_for_none_of_it() -> None:
    bare = having(criu=Criu(NO, "no"), cpu=Cpu("arm", ()), ipv6=NO, available_bytes=0)
    assert found(at_destination(at_source(SHARED, with_mount(POINT, "104:2")), bare)) == ()


def test_facts_of_before_say_nothing_and_that_blocks() -> None:
    old = having(criu=None, cpu=None, ipv6=UNKNOWN, available_bytes=None)
    request = at_destination(at_source(ONLINE, old, container(CTID, resident_bytes=None)), old)
    assert sorted(codes(request)) == [
        "cpu-unknown",
        "ipv6-missing",
        "no-checkpoint",
        "no-checkpoint",
        "size-unknown",
    ]
    assert not make_plan(request).runnable


# --- criu check


@pytest.mark.parametrize(("at", "node"), [(at_source, "hn1"), (at_destination, "hn2")])
def test_criu_must_be_known_to_work_on_both_nodes(at: Callable[..., Request], node: str) -> None:
    refused = at(ONLINE, having(criu=Criu(NO, "Error: no /proc/self/map_files")))
    assert said(refused, "no-checkpoint") == [(ERROR, node)]
    assert summary(refused, "no-checkpoint").endswith(
        "cannot work with the kernel (Error: no /proc/self/map_files)"
    )
    for unknown in (Criu(UNKNOWN, "Killed"), Criu(UNKNOWN, ""), None):
        request = at(ONLINE, having(criu=unknown))
        assert said(request, "no-checkpoint") == [(ERROR, node)]
        assert summary(request, "no-checkpoint") == (
            "nothing says whether CRIU can work with the kernel"
            + " (Killed)" * (unknown == Criu(UNKNOWN, "Killed"))
        )
        assert remedy(request, "no-checkpoint").endswith(", or leave out --online")
    assert found(at(ONLINE, having(criu=Criu(YES, "")))) == ()


def test_criu_of_the_source_is_not_asked_for_what_is_suspended_already() -> None:
    assert found(at_source(SUSPENDED, having(criu=Criu(NO, "no")))) == ()
    refused = at_destination(SUSPENDED, having(criu=Criu(NO, "no")))
    assert said(refused, "no-checkpoint") == [(ERROR, "hn2")]
    assert remedy(refused, "no-checkpoint").endswith(", or take it up at the source, and move it stopped")


def test_criu_is_not_asked_for_where_the_kernel_does_it() -> None:
    request = at_destination(STAGED, having(criu=Criu(NO, "no"), cpt_version=0x308))
    assert found(request) == ()


# --- CPU and images


def test_a_cpu_that_has_more_will_do_and_one_that_has_less_is_named_by_what_it_lacks() -> None:
    assert found(cpus(INTEL, Cpu("x86_64", ("avx", "avx2", "fxsr", "pti", "sse2")))) == ()
    request = cpus(INTEL, Cpu("x86_64", ("sse2",)))
    assert said(request, "cpu-differs") == [(ERROR, "hn2")]
    assert summary(request, "cpu-differs").endswith(": avx fxsr")


def test_what_only_the_kernel_uses_of_a_cpu_is_not_missed() -> None:
    assert {"pti", "md_clear", "hypervisor"} <= KERNELS
    assert not KERNELS & {
        "avx",
        "avx2",
        "avx512f",
        "sse2",
        "aes",
        "xsave",
        "rdtscp",
        "lm",
        "nopl",
        "pku",
        "fsgsbase",
    }
    assert found(cpus(INTEL, Cpu("x86_64", ("avx", "fxsr", "sse2")))) == ()


def test_another_kind_of_machine_has_nothing_of_the_first() -> None:
    assert summary(cpus(INTEL, Cpu("i686", INTEL.flags)), "cpu-differs").endswith(": x86_64")


@pytest.mark.parametrize("at", [at_source, at_destination])
@pytest.mark.parametrize("cpu", [None, Cpu("x86_64", ())])
def test_a_cpu_that_is_not_known_blocks(at: Callable[..., Request], cpu: Cpu | None) -> None:
    request = at(ONLINE, having(cpu=cpu))
    assert said(request, "cpu-unknown") == [(ERROR, "hn2")]


def test_the_kernels_own_word_for_a_cpu_counts_more_than_its_flags() -> None:
    lesser = at_destination(ONLINE, having(cpu=None))
    assert found(at_destination(at_source(lesser, having(cpt_caps=0b1101)), having(cpt_caps=0b1111))) == ()
    lacking = at_destination(at_source(ONLINE, having(cpt_caps=1 << 26 | 0b101)), having(cpt_caps=0b1))
    assert summary(lacking, "cpu-differs").endswith(": sse avx")
    # What a kernel says of the container, not of the CPU (CPT_NO_IPV6).
    assert 28 not in CAPS
    assert found(at_destination(at_source(ONLINE, having(cpt_caps=1 << 28 | 1)), having(cpt_caps=1))) == ()
    assert said(at_source(lesser, having(cpt_caps=1)), "cpu-unknown") == [(ERROR, "hn2")]


@pytest.mark.parametrize(("there", "severity"), [(0x307, ERROR), (None, ERROR), (0x308, None), (0x309, None)])
def test_a_kernel_takes_up_images_of_its_own_version_and_before(there: int | None, severity: object) -> None:
    request = at_destination(STAGED, having(cpt_version=there))
    assert said(request, "image-version") == ([(severity, "hn2")] if severity else [])
    assert said(at_source(request, having(cpt_version=None)), "image-version") == [(ERROR, "hn2")]


@pytest.mark.parametrize(
    ("here", "there", "why"),
    [
        (
            0x308,
            0x307,
            "the kernel takes up images of version 775 and before; the source's writes version 776",
        ),
        (None, 0x307, "nothing says whether the kernel takes up what the source's writes down"),
        (0x308, None, "nothing says whether the kernel takes up what the source's writes down"),
    ],
)
def test_an_image_that_may_be_too_new_is_not_said_to_be(
    here: int | None, there: int | None, why: str
) -> None:
    request = at_destination(at_source(STAGED, having(cpt_version=here)), having(cpt_version=there))
    assert summary(request, "image-version").startswith(why)


def test_nodeps_makes_each_of_them_a_warning_and_nothing_else() -> None:
    for request, code in (
        (at_destination(ONLINE, having(cpu=None)), "cpu-unknown"),
        (at_destination(ONLINE, having(cpu=Cpu("x86_64", ()))), "cpu-unknown"),
        (at_destination(ONLINE, having(cpu=Cpu("x86_64", ("sse2",)))), "cpu-differs"),
        (at_destination(STAGED, having(cpt_version=1)), "image-version"),
        (at_destination(STAGED, having(cpt_version=None)), "image-version"),
    ):
        assert not make_plan(request).runnable
        allowed = asking(request, nodeps=(Check.CPU,))
        assert said(allowed, code) == [(WARNING, "hn2")]
        assert make_plan(allowed).runnable
    for request in (
        at_destination(ONLINE, having(ipv6=NO)),
        at_destination(ONLINE, having(criu=None)),
        at_destination(ONLINE, having(available_bytes=1)),
        at_source(ONLINE, with_mount(POINT, "104:2")),
    ):
        assert not make_plan(asking(request, nodeps=(Check.CPU,))).runnable


def test_nodeps_says_what_becomes_of_the_dump() -> None:
    (running,), (waiting,) = (
        found(asking(at_destination(request, having(cpu=None)), nodeps=(Check.CPU,)))
        for request in (ONLINE, SUSPENDED)
    )
    assert running.remedy.endswith("everything is taken back")
    assert "keep a copy" in waiting.remedy


def test_nodeps_means_nothing_without_memory() -> None:
    assert said(asking(SHARED, nodeps=(Check.CPU,)), "options-contradict") == [(ERROR, "--nodeps")]


# --- IPv6


WITHOUT_ADDRESS: Final = config(
    'IP_ADDRESS="192.0.2.123"\n', instead_of='IP_ADDRESS="192.0.2.123 2001:db8::123"\n'
)


@pytest.mark.parametrize(
    ("here", "there", "refused"),
    [
        (YES, YES, False),
        (NO, YES, False),
        (UNKNOWN, YES, False),
        (YES, NO, True),
        (YES, UNKNOWN, True),
        (UNKNOWN, NO, True),
        (UNKNOWN, UNKNOWN, True),
        (NO, NO, False),
        (NO, UNKNOWN, False),
    ],
)
def test_ipv6_that_may_be_in_use_must_be_there(here: Known, there: Known, refused: bool) -> None:
    for request in (ONLINE, SUSPENDED):
        asked = at_destination(at_source(request, having(ipv6=here)), having(ipv6=there))
        assert bool(said(at_source(asked, WITHOUT_ADDRESS), "ipv6-missing")) == refused
        assert bool(said(asked, "ipv6-missing")) == (there is not YES)
        if there is not YES:
            has = "has" if there is NO else "may have"
            assert summary(asked, "ipv6-missing").startswith(f"the kernel {has} no IPv6")


# --- mounts from outside


@pytest.mark.parametrize(
    ("known", "code", "severity"),
    [(YES, "mount-in-use", ERROR), (UNKNOWN, "mount-in-use", ERROR), (NO, "mount-stays", WARNING)],
)
def test_files_open_on_a_mount_from_outside_are_an_error_which_names_it(
    known: Known, code: str, severity: object
) -> None:
    mount = with_mount(POINT, "104:2", root="/srv/share")
    request = at_source(
        ONLINE, mount, having(outside=(Outside(POINT, known), Outside("/vz/root/101/x", YES)))
    )
    assert [(f.code, f.severity, f.subject) for f in found(request)] == [(code, severity, f"hn1:{POINT}")]
    words = {YES: "has files open", UNKNOWN: "may have files open", NO: "not brought along"}
    assert words[known] in summary(request, code)


def test_a_mount_of_which_nobody_says_who_uses_it_is_in_use() -> None:
    assert said(at_source(ONLINE, with_mount(POINT, "104:2")), "mount-in-use") == [(ERROR, f"hn1:{POINT}")]


def test_only_what_is_mounted_below_the_root_area_and_from_outside_counts() -> None:
    for mount in (
        with_mount("/vz/root/1234", "104:2"),
        with_mount("/vz/root/123-old/srv", "104:2"),
        with_mount(POINT, "104:2", elsewhere=True),
        with_mount(POINT, "104:3", root="/private/123/srv/own"),
    ):
        assert found(at_source(ONLINE, mount)) == ()
    for root in ("/", "/private", "/private/1234", "/private/101/srv"):
        assert said(at_source(ONLINE, with_mount(POINT, "104:3", root=root)), "mount-in-use") != []


def test_of_a_device_of_its_own_all_is_the_containers() -> None:
    san = online(SAN)
    number = next(m.device for m in san.source.mounts if m.point == "/vz/private/123")
    assert said(at_source(san, with_mount(POINT, number, root="/srv")), "mount-in-use") == []
    assert said(at_source(san, with_mount(POINT, "104:2")), "mount-in-use") == [(ERROR, f"hn1:{POINT}")]


def test_a_root_area_behind_a_link_has_its_mounts_where_the_link_leads() -> None:
    link = path("/vz/root/123", real="/data/root/123")
    request = at_source(ONLINE, link, with_mount("/data/root/123/srv", "104:2"))
    assert said(request, "mount-in-use") == [(ERROR, "hn1:/data/root/123/srv")]


def test_what_is_suspended_has_nothing_open() -> None:
    assert found(at_source(SUSPENDED, with_mount(POINT, "104:2"))) == ()


# --- room


def room(free_bytes: int | None) -> Change:
    """On what DUMPDIR lies on; None: df did not say."""

    def change(facts: NodeFacts) -> NodeFacts:
        dump = Mount("/vz/dump", "104:9", "/", "ext4", "/dev/x", read_only=False, elsewhere=False)
        rooms = () if free_bytes is None else (type(facts.rooms[0])("/vz/dump", 1 << 40, free_bytes, 1000),)
        return having(mounts=(*facts.mounts, dump), rooms=(*facts.rooms, *rooms))(facts)

    return change


NEEDED: Final = int((300 << 20) * 1.1) + (16 << 20)
"""For a running container of 300 MiB."""


@pytest.mark.parametrize(("at", "node"), [(at_source, "hn1"), (at_destination, "hn2")])
def test_a_running_containers_memory_must_fit_into_both_dumpdirs(
    at: Callable[..., Request], node: str
) -> None:
    assert found(at(ONLINE, room(NEEDED))) == ()
    short = at(ONLINE, room(NEEDED - 1))
    assert said(short, "too-small") == [(ERROR, f"{node}:/vz/dump")]
    assert summary(short, "too-small") == (
        "346 MiB are needed there for the container's memory, and 345 are free"
    )
    assert said(at(ONLINE, room(None)), "size-unknown") == [(ERROR, f"{node}:/vz/dump")]


def test_a_dump_that_is_there_must_fit_at_the_destination_only() -> None:
    assert found(at_source(SUSPENDED, room(0))) == ()
    assert found(at_destination(SUSPENDED, room(300 << 20))) == ()
    assert said(at_destination(SUSPENDED, room((300 << 20) - 1)), "too-small") == [(ERROR, "hn2:/vz/dump")]
    unknown = at_source(SUSPENDED, container(CTID, dump_bytes=None, resident_bytes=1))
    assert said(unknown, "size-unknown") == [(ERROR, "hn1:123")]


def test_where_files_and_memory_come_to_one_filesystem_both_must_fit() -> None:
    (usage,) = (u.bytes for u in SHARED.source.usage if u.path == "/vz/private/123")

    def free(request: Request, free_bytes: int) -> Request:
        rooms = (structs.replace(r, free_bytes=free_bytes) for r in request.destination.rooms)
        return at_destination(request, having(rooms=tuple(rooms)))

    both = int(usage * 1.05) + NEEDED
    assert found(free(ONLINE, both)) == ()
    short = free(ONLINE, both - 1)
    assert said(short, "too-small") == [(ERROR, "hn2:/vz/dump")]
    assert summary(short, "too-small") == (
        f"{both >> 20} MiB are needed there for the container's memory and files, and {both - 1 >> 20} are free"
    )
    for elsewhere in (online(SAN), online(bundled("to-insulated"))):
        assert said(free(elsewhere, NEEDED), "too-small") == []
        assert said(free(elsewhere, NEEDED - 1), "too-small") == [(ERROR, "hn2:/vz/dump")]
    # At the source only the dump is new.
    rooms = tuple(structs.replace(r, free_bytes=NEEDED) for r in ONLINE.source.rooms)
    assert found(at_source(ONLINE, having(rooms=rooms))) == ()


def test_a_memory_that_goes_by_a_device_must_fit_on_that_and_nowhere_else() -> None:
    request = by_device(online(SAN))
    assert make_plan(at_destination(at_source(request, room(0)), room(0))).runnable
    for free_bytes, code in ((NEEDED - 1, "too-small"), (None, "size-unknown")):
        small = at_source(request, filesystem("/dev/sdd1", free_bytes=free_bytes))
        assert said(small, code) == [(ERROR, "hn1:/dev/sdd1")]
    assert make_plan(at_source(request, filesystem("/dev/sdd1", free_bytes=NEEDED))).runnable


def test_a_kernel_that_writes_memory_down_itself_needs_no_criu_but_a_version() -> None:
    request = staged(SHARED)
    assert found(request) == ()
    assert said(at_destination(request, having(cpt_version=0x307)), "image-version") == [(ERROR, "hn2")]
    assert said(at_destination(request, having(cpt_version=None)), "image-version") == [(ERROR, "hn2")]


def test_memory_must_fit_where_it_goes() -> None:
    assert found(at_destination(ONLINE, having(available_bytes=NEEDED))) == ()
    short = at_destination(ONLINE, having(available_bytes=NEEDED - 1))
    assert said(short, "memory-short") == [(ERROR, "hn2")]
    assert summary(short, "memory-short") == "the container needs 346 MiB of memory there, and 345 are free"
    assert said(at_destination(SUSPENDED, having(available_bytes=0)), "memory-short") == [(ERROR, "hn2")]
    for request in (ONLINE, SUSPENDED):
        assert said(at_destination(request, having(available_bytes=None)), "size-unknown") == [(ERROR, "hn2")]
    assert found(at_source(ONLINE, having(available_bytes=0))) == ()


@pytest.mark.parametrize(
    ("limit", "megabytes"),
    [
        ("0:65536", 256),
        ("0:256M", 256),
        ("256m", 256),
        ("0:65536P", 256),
        ("0:262144K", 256),
        ("0:1G", 1024),
        ("268435456B:268435456B", 256),
        ("0:9223372036854775807", None),
        (f"0:{ENDLESS_BYTES}B", None),
        ("0:unlimited", None),
        ("unlimited", None),
        ("0:", None),
        ("", None),
        ("M", None),
        ("0:-1", None),
        ("0:2X", None),
    ],
)
def test_where_memory_in_use_is_not_known_the_limit_counts(limit: str, megabytes: int | None) -> None:
    source = at_source(
        ONLINE,
        container(CTID, resident_bytes=None),
        config(f'PHYSPAGES="{limit}"\n', instead_of='PHYSPAGES="0:1048576"\n'),
    )
    if megabytes is None:
        assert said(source, "size-unknown") == [(ERROR, "hn1:123")]
        return
    needed = int((megabytes << 20) * 1.1) + (16 << 20)
    assert found(at_destination(source, having(available_bytes=needed))) == ()
    assert codes(at_destination(source, having(available_bytes=needed - 1))) == ["memory-short"]
