"""Whole answers of the probe: read exactly, or refused as a whole."""

from __future__ import annotations

import os
import re
import subprocess
import time
from base64 import b64encode
from pathlib import Path
from threading import Barrier
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from executor.gather import COUNTING_S, DEADLINE_S, Ask, GatherError, gather, probe
from executor.node import NodeOutcome
from planner.codec import decode_facts, pretty
from planner.model import (
    Activation,
    Container,
    Cpu,
    Criu,
    Device,
    Filesystem,
    Journal,
    Known,
    Lock,
    Mount,
    Mounter,
    NodeFacts,
    Outside,
    Owner,
    PathKind,
    Reach,
    Room,
    Script,
    State,
    Usage,
)
from planner.model import Path as Place
from planner.parse import ParseError
from planner.parse.config import value
from planner.parse.probe import KINDS, facts
from planner.plan import Exited, Lost

CAPTURED = Path(__file__).resolve().parents[2] / "fixtures/captured"
CASES = ["sandbox", "rhel6"]
LOCAL = "3600605b0000000000000000000000001"
YES, NO, UNKNOWN = Known.YES, Known.NO, Known.UNKNOWN
NEVER_S: Final = 30
"""Waited so long for what comes at once, or never."""


def answer(case: str) -> str:
    return (CAPTURED / f"probe-{case}.txt").read_text()


def word(text: str | bytes) -> str:
    return b64encode(text.encode() if isinstance(text, str) else text).decode() or "-"


def whole(*lines: str) -> str:
    """An answer of these records, and of those without which there is none."""
    records = ("boot b", "vz yes", *lines)
    return "\n".join((*records, f"end {len(records)}", ""))


def directory(path: str, *, empty: bool, entries: tuple[str, ...] | None = None) -> Place:
    return Place(path, PathKind.DIRECTORY, path, empty, entries)


def absent(path: str) -> Place:
    return Place(path, PathKind.ABSENT, None, None, None)


def plain_fs(kind: str, uuid: str | None, journal: Journal | None, needs_recovery: Known) -> Filesystem:
    """But for its label and its room, which have tests of their own."""
    return Filesystem(kind, uuid, journal, needs_recovery, None, UNKNOWN, None, None, None)


def plainly(device: Device) -> Device:
    known = device.filesystem
    if known is None:
        return device
    plain = plain_fs(known.type, known.uuid, known.journal, known.needs_recovery)
    return structs.replace(device, filesystem=plain)


def ext4(uuid: str, needs_recovery: Known, journal: Journal = Journal.INTERNAL) -> Filesystem:
    return plain_fs("ext4", uuid, journal, needs_recovery)


def test_memory_in_use_is_said_of_containers_that_have_processes() -> None:
    lines = (f"container {ctid} {word(f'CTID {ctid} exist mounted running')} -" for ctid in (5, 6))
    found = facts("hn1", whole(*lines, "resident 5 12", "resident 7 1"))
    assert [(c.ctid, c.resident_bytes) for c in found.containers] == [(5, 12 * 1024), (6, None)]


def test_what_a_memory_depends_on_is_read() -> None:
    found = facts(
        "hn1",
        whole(
            f"cpu =x86_64 {word(' fpu vme sse2 fpu')}",
            f"criu no {word('Error (criu/crtools.c:260): no')}",
            "cpt version 776",
            "cpt caps 67108873",
            "available 2048",
            "ipv6 no",
            f"outside {word('/vz/root/5/with blank')} unknown",
            "outside =/vz/root/5/a yes",
            f"container 5 {word('CTID 5 exist unmounted down suspended')} -",
            "dump 5 3",
        ),
    )
    assert found.cpu == Cpu("x86_64", ("fpu", "sse2", "vme"))
    assert found.criu == Criu(NO, "Error (criu/crtools.c:260): no")
    assert (found.cpt_version, found.cpt_caps) == (0x308, 1 << 26 | 0b1001)
    assert found.available_bytes == 2 << 20
    assert found.ipv6 is NO
    assert found.outside == (Outside("/vz/root/5/a", YES), Outside("/vz/root/5/with blank", UNKNOWN))
    assert found.containers == (Container(5, State.SUSPENDED, "", None, 3072),)


def test_of_what_a_memory_depends_on_nothing_is_made_up() -> None:
    found = facts("hn1", whole("cpu =x86_64 -", "criu unknown -"))
    assert found.cpu == Cpu("x86_64", ())
    assert found.criu == Criu(UNKNOWN, "")
    bare = facts("hn1", whole())
    assert (bare.cpu, bare.criu, bare.cpt_version, bare.cpt_caps, bare.available_bytes) == (None,) * 5
    assert bare.ipv6 is UNKNOWN
    assert bare.outside == ()


@pytest.mark.parametrize(
    "line",
    [
        "cpu =x86_64",
        "criu maybe -",
        "criu yes",
        "cpt version x",
        "cpt flags 1",
        "cpt caps -1",
        "available some",
        "available -1",
        "ipv6 perhaps",
        "outside =/a no more",
        "outside =/a",
        "resident 5",
        "resident x 5",
        "dump 5 -",
    ],
)
def test_what_a_memory_depends_on_is_refused_if_it_is_said_in_other_words(line: str) -> None:
    with pytest.raises(ParseError):
        facts("hn1", whole(line))


# --- a sandbox node


def test_a_sandbox_node_is_read_as_it_is() -> None:
    found = facts("hn1", answer("sandbox"))
    assert found.node == "hn1"
    assert found.boot_id == "9039d119-dc65-460d-bfd6-db2cc3b9b623"
    assert found.vz_running is YES
    assert found.vz_conf is not None
    assert found.vz_conf.startswith("VIRTUOZZO=yes\nLOCKDIR=/vz/lock\n")
    assert {"vzctl", "mke2fs", "dumpe2fs"} <= set(found.tools)
    assert [(c.ctid, c.state) for c in found.containers] == [
        (101, State.RUNNING),
        (123, State.RUNNING),
        (125, State.STOPPED),
        (126, State.STOPPED),
    ]
    assert found.conf_names == (
        "101.conf",
        "123.conf",
        "123.start",
        "125.conf",
        "126.conf",
        "vps.postumount",
        "vps.premount",
    )
    assert found.scripts[0] == Script("123.start", 0o700, "#!/bin/sh\nexit 0\n")
    assert [(s.name, s.mode) for s in found.scripts[1:]] == [
        ("vps.postumount", 0o755),
        ("vps.premount", 0o755),
    ]
    assert found.locks == (Lock(101, NO), Lock(123, YES), Lock(124, UNKNOWN))
    assert found.owners == (Owner(123, "20261123-163503-1a2b", "control.example.org:/var/lib/vzplan"),)
    assert (found.reboots, found.activations) == ((), ())
    assert found.rooms == (
        Room("/vz", 235431 * 1024, 229365 * 1024, 65497),
        Room("/vz/root/123", 86491 * 1024, 82329 * 1024, 24513),
    )


def test_configs_of_a_sandbox_node_are_kept_to_the_byte() -> None:
    found = facts("hn1", answer("sandbox"))
    texts = {c.ctid: c.config for c in found.containers}
    assert texts[123] is not None
    assert 'VE_DEVICE="/dev/sda1"\n' in texts[123]
    assert texts[125] is None  # NAME in Latin-1
    assert texts[126] == 'VE_PRIVATE="/vz/private/126"\r\nDISABLED=yes\r\n'


def test_paths_of_a_sandbox_node() -> None:
    found = facts("hn1", answer("sandbox"))
    assert found.paths == (
        directory("/etc/vz", empty=False, entries=("conf", "vz.conf")),
        Place("/etc/vz/vz.conf", PathKind.FILE, "/etc/vz/vz.conf", None, None),
        absent("/nowhere/at"),
        absent("/nowhere/at/all"),
        directory("/vz/dump", empty=False, entries=("Dump.101",)),
        directory("/vz/lock", empty=False, entries=("101.lck", "123.lck", "124.lck")),
        directory("/vz/private", empty=False, entries=("101", "123", "125", "126")),
        directory("/vz/private/101", empty=False),
        directory("/vz/private/123", empty=False),
        directory("/vz/private/125", empty=True),
        Place("/vz/private/126", PathKind.SYMLINK, "/vz/private/125", None, None),
        directory("/vz/root", empty=False, entries=("101", "123")),
        directory("/vz/root/101", empty=False),
        directory("/vz/root/123", empty=False),
        absent("/vz/root/125"),
        absent("/vz/root/126"),
    )


def test_devices_of_a_sandbox_node_are_all_held() -> None:
    found = facts("hn1", answer("sandbox"))
    by_id = "/dev/disk/by-id/wwn-0x600508b4000971f"
    sizes = {"7:0": 536870912, "7:1": 268435456, "7:2": 100663296, "7:3": 100663296}
    assert [(d.number, d.names, d.wwid) for d in found.devices] == [
        ("7:2", (by_id + "0", "/dev/sda1"), "3600508b4000971f0"),
        ("7:3", (by_id + "1", "/dev/sdb1"), "3600508b4000971f1"),
        ("7:0", ("/dev/vda1",), None),
        ("7:1", ("/dev/vda2",), None),
    ]
    for device in found.devices:
        assert device.size_bytes == sizes[device.number]
        assert device.read_only is NO
        assert device.exclusive is NO
        assert device.start_sector is None
        assert device.holders == ()
        assert device.filesystem is not None
        assert plainly(device).filesystem == ext4(device.filesystem.uuid or "", YES)
    lun = found.device("/dev/sda1")
    assert lun is not None
    assert lun.filesystem == Filesystem(
        "ext4",
        "1bc09249-2a2c-c88e-0d90-abfb625dc77b",
        Journal.INTERNAL,
        YES,
        label=None,
        empty=UNKNOWN,  # what it says of its room is of before it was mounted
        free_bytes=None,
        inodes=24576,
        free_inodes=None,
    )
    spare = found.device("/dev/sdb1")
    assert spare is not None
    assert spare.filesystem == Filesystem(
        "ext4",
        "2ca5ea20-ceff-912a-050f-68495a501e7d",
        Journal.INTERNAL,
        YES,
        label=None,
        empty=UNKNOWN,
        free_bytes=None,
        inodes=24576,
        free_inodes=None,
    )


def test_mounts_of_a_sandbox_node_elsewhere_come_after_its_own() -> None:
    found = facts("hn1", answer("sandbox"))
    own = [m.point for m in found.mounts if not m.elsewhere]
    assert own == [
        "/",
        "/vz",
        "/proc/sys/kernel/random/boot_id",
        "/proc/partitions",
        "/vz/root/101",
        "/vz/private/123",
        "/vz/root/123",
        "/mnt/with blank",
    ]
    # What a container sees as its root, and what only another namespace has.
    assert found.mounts[len(own) :] == (
        Mount("/", "7:1", "/private/101", "ext4", "/dev/vda2", read_only=False, elsewhere=True),
        Mount("/", "7:2", "/", "ext4", "/dev/sda1", read_only=False, elsewhere=True),
        Mount("/media", "7:3", "/", "ext4", "/dev/sdb1", read_only=False, elsewhere=True),
    )
    spare = found.device("/dev/sdb1")
    assert spare is not None
    assert [m.point for m in found.mounts_of(spare)] == ["/media"]


# --- a node of RHEL 6 class


def test_a_node_of_rhel_6_is_read_as_it_is() -> None:
    found = facts("hn1", answer("rhel6"))
    assert found.boot_id == "0b6c1c0e-1f0a-4d7e-9c7b-2f9d3a6f5e11"
    assert found.containers == (
        Container(
            101,
            State.RUNNING,
            'ONBOOT="yes"\nVE_ROOT="/vz/root/$VEID"\nVE_PRIVATE="/vz/private/$VEID"\nHOSTNAME="mail.example.org"\n'
            'NAME="mail"\nIP_ADDRESS="192.0.2.101 2001:db8::101"\n',
        ),
        Container(102, State.SUSPENDED, None),
        Container(123, State.RUNNING, 'VE_PRIVATE="/vz/private/$VEID"\r\nVE_DEVICE="/dev/mapper/mpathb"\r\n'),
    )
    assert found.conf_names == (
        "0.conf",
        "101.conf",
        "102.conf",
        "123.conf",
        "123.mount",
        "ve-basic.conf-sample",
        "vps.mount",
    )
    assert found.scripts == (
        Script("123.mount", 0o755, "#!/bin/bash\n. /etc/vz/vz.conf\n"),
        Script("vps.mount", 0o644, ""),
    )
    assert found.locks == (Lock(101, NO), Lock(102, UNKNOWN))
    assert found.owners == (Owner(123, "20120612-110000-0f1e", "admin.example.org:/var/lib/vzplan"),)
    assert found.reboots == (101, 123)
    assert found.activations == (
        Activation("/etc/lvm/lvm.conf", "vg_hn1", None),
        Activation("/etc/lvm/lvm.conf", "vg_san", "ct-123"),
    )
    assert len(found.rooms) == 8


def test_paths_of_a_node_of_rhel_6_keep_the_names_that_one_record_lists() -> None:
    found = facts("hn1", answer("rhel6"))
    assert len(found.paths) == 10
    # Recorded twice, the second time without names.
    names = ("101", "102", "123", "with blank")
    assert found.path("/vz/private") == Place("/vz/private", PathKind.SYMLINK, "/vz2/private", None, names)
    assert found.path("/vz/private/102") == Place(
        "/vz/private/102", PathKind.DIRECTORY, "/vz2/private/102", True, None
    )
    assert found.path("/vz/root/102") == absent("/vz/root/102")
    assert found.path("/vz/private/104") == absent("/vz/private/104")
    assert found.path("/vz/elsewhere").kind is PathKind.UNKNOWN


def test_devices_of_a_node_of_rhel_6() -> None:
    found = facts("hn1", answer("rhel6"))
    rows = {
        "8:0": Device(("/dev/sda",), "8:0", 146815733760, NO, LOCAL, None, (), NO, None),
        "8:1": Device(
            ("/dev/disk/by-uuid/9d2a", "/dev/sda1"),
            "8:1",
            524288000,
            NO,
            LOCAL,
            2048,
            (),
            NO,
            plain_fs("ext3", "9d2a", Journal.INTERNAL, YES),
        ),
        "8:2": Device(("/dev/sda2",), "8:2", 146290393088, NO, LOCAL, 1026048, ("dm-0", "dm-2"), NO, None),
        "8:16": Device(
            ("/dev/sdb",), "8:16", 10737418240, NO, "3600508b4000971f0", None, ("dm-3",), NO, None
        ),
        "8:33": Device(
            ("/dev/sdc1",),
            "8:33",
            1073741824,
            YES,
            None,
            63,
            (),
            UNKNOWN,
            plain_fs("ext3", "0a1b", None, UNKNOWN),  # dumpe2fs said nothing
        ),
        "8:48": Device(
            ("/dev/sdd",),
            "8:48",
            10737418240,
            UNKNOWN,  # blockdev said nothing
            "36:00:50:8b",  # colons in a WWID are its own
            None,
            (),
            YES,
            plain_fs("btrfs", "77aa", None, UNKNOWN),
        ),
        "8:64": Device(("/dev/sde",), "8:64", 1073741824, NO, "3600508b4000971f9", None, (), YES, None),
        "253:0": Device(
            ("/dev/dm-0", "/dev/mapper/vg_hn1-lv_root"),
            "253:0",
            21474836480,
            NO,
            f"20969472@{LOCAL}@1028096",
            None,
            (),
            NO,
            ext4("aaaa", YES),
        ),
        "253:3": Device(
            ("/dev/disk/by-id/dm-name-mpathb", "/dev/dm-3", "/dev/mapper/mpathb"),
            "253:3",
            10737418240,
            NO,
            "3600508b4000971f0",
            None,
            (),
            NO,
            ext4("4b9f6a4e-3a07-4f0c-9d0a-6f0c7b7e1a23", YES),
        ),
        "252:1": Device(
            ("/dev/vdb1",),
            "252:1",
            1048576,
            NO,
            "data_disk_7",
            63,
            (),
            YES,
            ext4("cccc", NO, Journal.EXTERNAL),
        ),
    }
    assert {device.number: plainly(device) for device in found.devices} == rows
    # Each with an ext filesystem has the same capture for a superblock.
    rooms = {
        d.number: (d.filesystem.empty, d.filesystem.free_bytes, d.filesystem.inodes, d.filesystem.free_inodes)
        for d in found.devices
        if d.filesystem is not None
    }
    said, silent = (NO, 2541329 * 4096, 655360, 655262), (UNKNOWN, None, None, None)
    mounted = (UNKNOWN, None, 655360, None)
    assert rooms == {
        "8:1": mounted,
        "8:33": silent,
        "8:48": silent,
        "253:0": mounted,
        "253:3": mounted,
        "252:1": said,
    }
    assert [d.filesystem.label for d in found.devices if d.filesystem is not None] == [None] * 6
    assert list(found.devices) == sorted(found.devices, key=lambda d: d.names)


def test_a_mount_seen_twice_elsewhere_is_there_once() -> None:
    found = facts("hn1", answer("rhel6"))
    elsewhere = [m for m in found.mounts if m.elsewhere]
    assert elsewhere == [
        Mount(
            "/old/private area",
            "253:3",
            "/",
            "ext4",
            "/dev/mapper/mpathb",
            read_only=False,
            elsewhere=True,
        )
    ]
    mpath = found.device("/dev/mapper/mpathb")
    assert mpath is not None
    assert [m.point for m in found.mounts_of(mpath)] == ["/vz/private/123", "/old/private area"]


def device_record(number: str, names: str, kind: str, details: bytes = b"") -> str:
    identity = word(f"wwid-{number}:-:1048576:{kind}:uuid")
    return f"device {number} {word(names)} {identity} - 0 - yes {word(details)}"


BTRFS = (
    "mount 30 1 0:40 / /vz/private/123 rw - btrfs /dev/sdg1 rw,subvolid=5,subvol=/",
    "mount 31 1 0:40 /sub /srv/sub rw - btrfs /dev/sdg1 rw,subvolid=256,subvol=/sub",
    "mount 32 1 0:41 / /mnt/other rw - btrfs /dev/gone rw",
    "mount 33 1 0:42 / /mnt/net rw - fuse.sshfs /dev/sdg1 rw",
    "elsewhere 0 0 0:40 / /elsewhere rw - btrfs /dev/sdg1 rw",
    "elsewhere 0 0 0:40 / /vz/private/123 rw - btrfs /dev/sdg1 rw",
)


def test_a_btrfs_is_on_the_device_that_it_names_whatever_number_the_kernel_gives_it() -> None:
    names = "/dev/disk/by-id/wwn-0x6 /dev/sdg1"
    found = facts("hn1", whole(device_record("8:97", names, "btrfs"), *BTRFS))
    assert [(m.point, m.device, m.root, m.elsewhere) for m in found.mounts] == [
        ("/vz/private/123", "8:97", "/", False),
        ("/srv/sub", "8:97", "/sub", False),
        ("/mnt/other", "0:41", "/", False),  # no device of that name
        ("/mnt/net", "0:42", "/", False),  # which says what it likes
        ("/elsewhere", "8:97", "/", True),
    ]
    (device,) = found.devices
    assert {m.point for m in found.mounts_of(device)} == {"/vz/private/123", "/srv/sub", "/elsewhere"}


@pytest.mark.parametrize("kind", ["xfs", "btrfs", "btrfs-of-2"])
def test_how_much_is_in_use_of_what_is_not_ext_is_read_off_its_superblock(kind: str) -> None:
    data = (CAPTURED / f"superblock-{kind}.bin").read_bytes()
    for details, read in ((data, True), (data[:100], False), (b"", False)):
        (device,) = facts("hn1", whole(device_record("8:97", "/dev/sdg1", kind, details))).devices
        assert device.filesystem is not None
        assert (device.filesystem.free_bytes is not None) == read
        assert device.filesystem.type == kind


@pytest.mark.parametrize("case", CASES)
def test_facts_are_in_order_and_survive_a_file(case: str) -> None:
    found = facts("hn1", answer(case))
    assert found.in_order() == found
    assert decode_facts(pretty(found).encode(), "hn1.json") == found


@pytest.mark.parametrize("case", CASES)
def test_vzlist_says_the_same_of_the_same_node(case: str) -> None:
    """It reads the configs too, so nothing asks it: its word is compared with what is read of them here."""
    text = (CAPTURED / f"vzlist-{case}.txt").read_text(errors="backslashreplace")
    rows = [line.split(maxsplit=4) for line in text.splitlines()]
    assert rows[0][:4] == ["CTID", "STATUS", "HOSTNAME", "NAME"]
    found = {container.ctid: container for container in facts("hn1", answer(case)).containers}
    assert [int(ctid) for ctid, *_ in rows[1:]] == list(found)
    unread = []
    for ctid, status, *known_as in rows[1:]:
        container = found[int(ctid)]
        assert container.state == status
        if container.config is None:
            unread.append(known_as[1])
        else:
            config = container.config
            assert known_as == [value(config, name) or "-" for name in ("HOSTNAME", "NAME", "IP_ADDRESS")]
    assert unread == ["caf\\xe9"]  # the one whose config is not text, which is refused anyway


# --- what is not whole is refused


@pytest.mark.parametrize("case", CASES)
def test_an_answer_cut_after_any_line_is_refused(case: str) -> None:
    lines = answer(case).splitlines(keepends=True)
    for end in range(len(lines)):
        with pytest.raises(ParseError, match="not whole"):
            facts("hn1", "".join(lines[:end]))


@pytest.mark.parametrize("case", CASES)
def test_an_answer_cut_within_any_line_is_refused(case: str) -> None:
    lines = answer(case).splitlines(keepends=True)
    start = 0
    for line in lines:
        for end in {start + 1, start + len(line) // 2, start + len(line) - 1} - {len(answer(case)) - 1}:
            with pytest.raises(ParseError):
                facts("hn1", answer(case)[:end])
        start += len(line)


@pytest.mark.parametrize("case", CASES)
def test_an_answer_that_lacks_any_line_in_the_middle_is_refused(case: str) -> None:
    lines = answer(case).splitlines(keepends=True)
    for number in range(len(lines)):
        for count in (1, 2, 7):
            if number + count < len(lines):
                with pytest.raises(ParseError, match="not whole"):
                    facts("hn1", "".join(lines[:number] + lines[number + count :]))


@pytest.mark.parametrize("case", CASES)
def test_an_answer_with_a_line_more_is_refused(case: str) -> None:
    for more in ("\n", "Connection closed.\n", "tool vzctl\n", "end 1\n"):
        with pytest.raises(ParseError, match="not whole"):
            facts("hn1", answer(case) + more)
        with pytest.raises(ParseError, match="not whole"):
            facts("hn1", more + answer(case))


def test_a_huge_answer_is_read_at_once() -> None:
    config = word("# filler\n" * 1000 + 'NAME="web"\n')
    lines = [f"container {ctid} {CTID_WORDS} {config}" for ctid in range(1, 1001)]
    lines += [f"elsewhere 0 0 8:{n % 9} / /mnt/{n} rw - ext4 /dev/sda rw" for n in range(30_000)]
    lines += [f"path {word(f'/vz/{n}')} directory {word(f'/vz/{n}')} no -" for n in range(10_000)]
    lines += [f"bytes /dev/sd{n} 100 40 60 40% /mnt/{n}" for n in range(30_000)]
    lines += [
        "mounter " + " ".join(map(word, ("/etc/fstab", f"/dev/sd{n}", "x" * 1000))) for n in range(5_000)
    ]
    began = time.process_time()
    found = facts("hn1", whole(*lines))
    assert time.process_time() - began < 10
    assert (len(found.containers), len(found.mounts), len(found.paths)) == (1000, 30_000, 10_000)
    assert (len(found.rooms), len(found.mounters)) == (30_000, 5_000)


def test_what_its_end_says_is_shown() -> None:
    with pytest.raises(ParseError, match="its last line is nothing"):
        facts("hn1", "")
    with pytest.raises(ParseError, match="its last line is 'vz yes'"):
        facts("hn1", "boot b\nvz yes\n")
    with pytest.raises(ParseError) as caught:
        facts("hn1", "x" * 100_000)
    assert len(str(caught.value)) < 300


def test_the_smallest_answer_is_read() -> None:
    found = facts("hn1", whole())
    assert found == NodeFacts(
        3, "hn1", "b", YES, None, (), (), (), (), (), (), (), (), (), (), (), (), None, (), ()
    )


def test_an_unknown_record_is_refused_and_named() -> None:
    for line in ("sock 1 2", "", " tool x", "Tool x", "warning: tool x", "end 2", "tools x"):
        kind = line.partition(" ")[0]
        with pytest.raises(ParseError, match=f"has a record '{kind}', which is none of its own"):
            facts("hn1", whole(line))


@pytest.mark.parametrize("kind", ["boot", "vz"])
def test_a_record_that_must_be_there_once_is(kind: str) -> None:
    rest = {"boot": "vz yes", "vz": "boot b"}[kind]
    with pytest.raises(ParseError):
        facts("hn1", f"{rest}\nend 1\n")
    with pytest.raises(ParseError):
        facts("hn1", whole(f"{kind} yes"))


CTID_WORDS = f"{word('CTID 5 exist mounted running')}"
NOT_BASE64 = ["%%%%", "YQ", "YQ=", "YQ==x", "Y Q==", "gr\u00fcn", "YQ==\x00", "--"]


@pytest.mark.parametrize("bad", NOT_BASE64)
@pytest.mark.parametrize(
    "line",
    [
        "vzconf {}",
        "confnames {}",
        f"container 5 {CTID_WORDS} {{}}",
        "container 5 {} -",
        "script {} 755 -",
        "script YQ== 755 {}",
        "owner 5 {} YQ==",
        "owner 5 YQ== {}",
        "path {} file YQ== - -",
        "path YQ== file {} - -",
        "path YQ== directory YQ== no .{}",
        f"device 8:1 {{}} {word('-:-:1:-:-')} - 0 - yes -",
        "device 8:1 YQ== {} - 0 - yes -",
        f"device 8:1 YQ== {word('-:-:1:ext4:-')} {{}} 0 - yes -",
        f"device 8:1 YQ== {word('-:-:1:-:-')} - 0 {{}} yes -",
        f"device 8:1 YQ== {word('-:-:1:ext4:-')} - 0 - yes {{}}",
        "mounter {} YQ== YQ==",
        "mounter YQ== {} YQ==",
        "mounter YQ== YQ== {}",
        "lvm {} YQ==",
        "lvm YQ== {}",
        "reboots {}",
        "usage {} 1 1",
        "reach {} yes",
        "recent {} 1",
        "speed {} 1 1",
        "cpu {} -",
        "cpu YQ== {}",
        "criu yes {}",
        "outside {} yes",
    ],
)
def test_what_is_no_base64_is_refused(line: str, bad: str) -> None:
    facts("hn1", whole(line.format(word("-:-:1:-:-") if line.startswith("device 8:1 YQ== {} ") else "YQ==")))
    with pytest.raises(ParseError):
        facts("hn1", whole(line.format(bad)))


@pytest.mark.parametrize(
    "line",
    [
        "container x - -",
        "container 5 -",
        "container 5 - - -",
        "container",
        "script YQ== 999 -",
        "script YQ== rwx -",
        "lock 5 maybe",
        "lock 5",
        "lock x yes",
        "owner 5 YQ==",
        "path YQ== nothing - - -",
        "path YQ== file -",
        f"device 8:1 YQ== {word('-:-:1:-')} - 0 - yes -",
        f"device 8:1 YQ== {word('-:-:big:-:-')} - 0 - yes -",
        f"device 8:1 YQ== {word('-:x:1:-:-')} - 0 - yes -",
        f"device 8:1 YQ== {word('-:-:1:-:-')} - 0 - perhaps -",
        f"device 8:1 YQ== {word('-:-:1:-:-')} - 0 -",
        f"device 8:1 YQ== {word('-:-:1:-:-')} 0 - yes -",  # of the first version, without a label
        f"device 8:1 YQ== {word('-:-:1:-:-')} - - 0 - yes -",
        "mounter YQ== YQ==",
        "mounter YQ== YQ== YQ== YQ==",
        "mounter",
        "lvm YQ==",
        "lvm YQ== YQ== YQ==",
        "lvm",
        "reboots YQ== YQ==",
        "reboots 123",
        "usage YQ== 1",
        "recent YQ==",
        "recent YQ== -1",
        "recent YQ== 1 1",
        "speed YQ== 1",
        "speed YQ== 1 x",
        "speed YQ== 1 1 1",
        "usage YQ== 1 1 1",
        "usage YQ== - 1",
        "usage YQ== 1 -",
        "usage YQ== -1 1",
        "usage YQ== +1 1",
        "usage YQ== 1.5 1",
        "usage YQ== 1K 1",
        "usage YQ== 0x1 1",
        "usage YQ== 1_0 1",
        "usage YQ== \u0665 1",
        "usage YQ== 1 \u00b2",
        "usage YQ== 1  1",
        "usage YQ== 1\t1 1",
        f"usage YQ== {'9' * 19} 1",
        f"usage YQ== 1 {'9' * 5000}",
        "usage",
        "reach YQ==",
        "reach YQ== maybe",
        "reach YQ== Yes",
        "reach YQ== yes no",
        "reach YQ== -",
        "reach",
        "mount nonsense",
        "elsewhere nonsense",
    ],
)
def test_a_record_of_another_shape_is_refused(line: str) -> None:
    with pytest.raises(ParseError):
        facts("hn1", whole(line))


def test_what_mounts_by_itself_is_read() -> None:
    latin = word(b"/dev/caf\xe9")
    found = facts(
        "hn1",
        whole(
            f"mounter {word('/etc/systemd/system/srv.mount')} {word('/dev/sdb1')} {word('/srv')}",
            f"mounter {word('/etc/fstab')} {word('UUID=9d2a')} {word('/boot')}",
            f"mounter {word('/etc/auto.misc')} {word('/dev/sdc1')} {word('kernel')}",
            f"mounter {word('/etc/fstab')} {word('LABEL=two words')} {word('none')}",
            f"mounter {word('/run/systemd/system/x.mount')} - -",  # neither What= nor Where=
            f"mounter {word('/etc/fstab')} {latin} {word('/a b')}",
        ),
    )
    assert found.mounters == (
        Mounter("/etc/auto.misc", "/dev/sdc1", "kernel"),
        Mounter("/etc/fstab", "/dev/caf\\xe9", "/a b"),
        Mounter("/etc/fstab", "LABEL=two words", "none"),
        Mounter("/etc/fstab", "UUID=9d2a", "/boot"),
        Mounter("/etc/systemd/system/srv.mount", "/dev/sdb1", "/srv"),
        Mounter("/run/systemd/system/x.mount", "", ""),
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("LABEL=two\\040words", "LABEL=two words"),
        ("/dev/disk/by-id/scsi-a\\040b", "/dev/disk/by-id/scsi-a b"),
        ("LABEL=back\\134slash", "LABEL=back\\slash"),
        ("LABEL=half\\04", "LABEL=half\\04"),
    ],
)
def test_blanks_in_fstab_come_back_as_they_are_and_nowhere_else(written: str, meant: str) -> None:
    fstab, unit = "/etc/fstab", "/etc/systemd/system/x.mount"
    point = word("/a\\040b")
    lines = (f"mounter {word(where)} {word(written)} {point}" for where in (fstab, unit))
    assert facts("hn1", whole(*lines)).mounters == (
        Mounter(fstab, meant, "/a b"),
        Mounter(unit, written, "/a\\040b"),
    )


def test_only_numbers_of_containers_are_started_by_their_names() -> None:
    names = "123\n007\n0\n5\n5.bak\n 6\n-7\n\u0665\n99999999999\n101"
    assert facts("hn1", whole(f"reboots {word(names)}")).reboots == (5, 101, 123)
    assert facts("hn1", whole("reboots -")).reboots == ()


def test_a_list_of_what_is_started_that_was_not_read_is_not_an_empty_one() -> None:
    assert facts("hn1", whole()).reboots is None


def test_what_lvm_activates_is_read_of_both_its_files() -> None:
    main, local = "/etc/lvm/lvm.conf", "/etc/lvm/lvmlocal.conf"
    lists = {
        main: 'activation/volume_list = ["a/b", "c"]',
        local: "activation/auto_activation_volume_list = []",
    }
    both = [f"lvm {word(where)} {word(text)}" for where, text in lists.items()]
    named = (Activation(main, "a", "b"), Activation(main, "c", None))
    assert facts("hn1", whole(both[0])).activations == named
    assert facts("hn1", whole(*both)).activations == ()
    assert facts("hn1", whole(both[0], f"lvm {word(local)} -")).activations == named
    latin = word(b'activation/volume_list = ["caf\xe9", "c"]')
    found = facts("hn1", whole(f"lvm {word(main)} {latin}"))
    assert found.activations == (Activation(main, "c", None), Activation(main, "caf\\xe9", None))
    assert decode_facts(pretty(found).encode(), "hn1.json") == found


def test_what_was_counted_is_read_in_bytes() -> None:
    found = facts(
        "hn1",
        whole(
            f"usage {word('/vz/private/two words')} 0 1",
            f"usage {word('/vz/private/123')} 23068672 190000",
            f"usage {word('/huge')} {'9' * 18} {'9' * 18}",
        ),
    )
    most = 10**18 - 1
    assert found.usage == (
        Usage("/huge", most * 1024, most),
        Usage("/vz/private/123", 23622320128, 190000),
        Usage("/vz/private/two words", 0, 1),
    )
    assert decode_facts(pretty(found).encode(), "hn1.json") == found


def test_whom_it_reaches_is_yes_no_or_unknown() -> None:
    lines = (f"reach {word('hn3')} no", f"reach {word('root@hn2')} yes", f"reach {word('hn4')} unknown")
    found = facts("hn1", whole(*lines))
    assert found.reaches == (Reach("hn3", NO), Reach("hn4", UNKNOWN), Reach("root@hn2", YES))


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("-", None),
        (word("web1\n"), "web1"),
        (word("two words\n"), "two words"),
        (word("x\nJournal inode:\n"), "x\nJournal inode:"),
        (word("-\n"), "-"),
        (word(b"caf\xe9\n"), "caf\\xe9"),
        (word("\n"), None),
    ],
)
def test_a_label_is_kept_as_it_is(said: str, label: str | None) -> None:
    line = f"device 8:1 YQ== {word('w:-:1:ext4:u')} {said} 0 - yes -"
    filesystem = facts("hn1", whole(line)).devices[0].filesystem
    assert filesystem == Filesystem("ext4", "u", None, UNKNOWN, label, UNKNOWN, None, None, None)


def test_a_label_of_what_is_no_filesystem_is_passed_over() -> None:
    line = f"device 8:1 YQ== {word('w:-:1:swap:u')} {word('SWAP')} 0 - yes -"
    assert facts("hn1", whole(line)).devices[0].filesystem is None


def test_vz_says_yes_no_or_unknown() -> None:
    with pytest.raises(ParseError):
        facts("hn1", "boot b\nvz perhaps\nend 2\n")
    assert facts("hn1", "boot b\nvz unknown\nend 2\n").vz_running is UNKNOWN


def test_texts_that_are_not_utf_8_are_none_and_names_never_match() -> None:
    latin = word(b'NAME="caf\xe9"\n')
    name = word(b"caf\xe9")
    found = facts(
        "hn1",
        whole(
            f"vzconf {latin}",
            f"confnames {name}",
            f"container 5 {CTID_WORDS} {latin}",
            f"script {name} 755 {latin}",
            f"path {name} file {name} - -",
        ),
    )
    assert found.vz_conf is None
    assert found.containers == (Container(5, State.RUNNING, None),)
    assert found.conf_names == ("caf\\xe9",)
    assert found.scripts == (Script("caf\\xe9", 0o755, None),)
    assert found.paths == (Place("caf\\xe9", PathKind.FILE, "caf\\xe9", None, None),)


def test_an_empty_config_is_a_text_and_no_vz_conf_is_none() -> None:
    found = facts("hn1", whole(f"container 5 {CTID_WORDS} -"))
    assert found.containers == (Container(5, State.RUNNING, ""),)
    assert found.vz_conf is None


def test_a_directory_that_was_listed_and_is_empty_is_not_one_that_was_not_listed() -> None:
    listed = facts("hn1", whole(f"path {word('/d')} directory {word('/d')} yes .")).paths[0]
    assert listed.entries == ()
    unlisted = facts("hn1", whole(f"path {word('/d')} directory {word('/d')} yes -")).paths[0]
    assert unlisted.entries is None


TEXTS = st.text(st.characters(exclude_characters="\n"), max_size=60)
WORDS = st.sampled_from(
    [
        "-",
        "5",
        "0",
        "yes",
        "no",
        "absent",
        "directory",
        "755",
        "8:1",
        "YQ==",
        ".YQ==",
        "/",
        word("-:-:1:ext4:u"),
        word("UUID=u"),
        word(b"\xff"),
        "rw",
        "ext4",
        "40%",
        "9" * 5000,
    ]
)
RECORDS = st.builds(
    lambda kind, words: " ".join((kind, *words)),
    st.sampled_from(sorted(KINDS)),
    st.lists(st.one_of(WORDS, TEXTS), max_size=8),
)


def read(text: str) -> None:
    """Facts that can be written down, or a ParseError: nothing else."""
    try:
        found = facts("hn1", text)
    except ParseError:
        return
    assert decode_facts(pretty(found).encode(), "hn1.json") == found


@given(st.text())
def test_no_text_makes_anything_but_a_parse_error(text: str) -> None:
    read(text)
    lines = text.splitlines()
    read("\n".join((*lines, f"end {len(lines)}")))


@given(st.lists(RECORDS, max_size=6))
def test_no_records_make_anything_but_a_parse_error(records: list[str]) -> None:
    read(whole(*records))


@given(
    st.integers(0, 103), st.text(st.characters(exclude_categories=["Cs"]), max_size=10), st.integers(0, 60)
)
def test_no_damage_to_an_answer_makes_anything_but_a_parse_error(line: int, junk: str, at: int) -> None:
    lines = answer("sandbox").splitlines()
    lines[line] = lines[line][:at] + junk + lines[line][at + 1 :]
    read("\n".join(lines))


# --- gathering


class Fixed:
    """A node that gives one answer, and remembers what it was asked."""

    def __init__(self, outcome: NodeOutcome) -> None:
        """``outcome``: to whatever it is asked."""
        self.outcome = outcome
        self.scripts: list[str] = []
        self.deadlines: list[int] = []

    trial = "ssh -p 2222 root@hn2 true"

    def read(self, script: str, deadline_s: int, limit_bytes: int) -> NodeOutcome:
        self.deadlines.append(deadline_s)
        assert limit_bytes > len(answer("sandbox"))
        self.scripts.append(script)
        return self.outcome


def test_every_node_is_asked_once_and_paths_are_quoted() -> None:
    nodes = {name: Fixed(Exited(0, answer("rhel6"))) for name in ("hn1", "hn2")}
    found = gather(nodes, dict.fromkeys(nodes, Ask(("/a b", "$(touch /pwned)", "it's"))))
    assert list(found) == ["hn1", "hn2"]
    assert found["hn2"].node == "hn2"
    assert [len(node.scripts) for node in nodes.values()] == [1, 1]
    asked = (
        "measured= expected= recent= more='/a b\n$(touch /pwned)\nit'\"'\"'s'\nexport measured expected more"
    )
    assert nodes["hn1"].scripts == [f"{asked}\nreach_peers() {{\n    :\n}}\n{probe()}"]
    assert nodes["hn2"].scripts == nodes["hn1"].scripts


class Meeting(Fixed):
    """A node that answers once every other has been asked, too."""

    def __init__(self, others: Barrier) -> None:
        """``others``: where they meet."""
        super().__init__(Exited(0, answer("rhel6")))
        self._others = others

    def read(self, script: str, deadline_s: int, limit_bytes: int) -> NodeOutcome:
        self._others.wait(NEVER_S)
        return super().read(script, deadline_s, limit_bytes)


def test_all_nodes_are_asked_at_once() -> None:
    names = ("hn1", "hn2", "hn3")
    others = Barrier(len(names))
    assert list(gather({name: Meeting(others) for name in names})) == list(names)


def test_each_node_is_asked_what_is_meant_for_it() -> None:
    nodes = {name: Fixed(Exited(0, answer("rhel6"))) for name in ("hn1", "hn2", "hn3")}
    gather(
        nodes, {"hn1": Ask(measured=123), "hn2": Ask(paths=("/srv",), expected=124), "hn9": Ask(measured=5)}
    )
    starts = {name: node.scripts[0].removesuffix(probe()) for name, node in nodes.items()}
    nobody = "export measured expected more\nreach_peers() {\n    :\n}\n"
    assert starts == {
        "hn1": f"measured=123 expected= recent= more=''\n{nobody}",
        "hn2": f"measured= expected=124 recent= more=/srv\n{nobody}",
        "hn3": f"measured= expected= recent= more=''\n{nobody}",
    }
    assert [node.deadlines for node in nodes.values()] == [[COUNTING_S], [DEADLINE_S], [DEADLINE_S]]


def test_names_and_options_of_peers_are_quoted() -> None:
    script = Ask(peers=("hn2", "admin@hn3", "$(x)"), peer_ssh=("-i", "/a b/key")).script()
    ssh = "ssh -o BatchMode=yes -o ConnectTimeout=10 -i '/a b/key' -o ControlMaster=no -o ControlPath=none"
    assert [line.strip() for line in script.splitlines() if "look ssh" in line] == [
        f'if [ "$(look {ssh} root@hn2 "$try")" = "$heard" ]; then',
        f'if [ "$(look {ssh} admin@hn3 "$try")" = "$heard" ]; then',
        f"""if [ "$(look {ssh} 'root@$(x)' "$try")" = "$heard" ]; then""",
    ]
    assert script.count("    word '$(x)'\n") == 1
    assert script.count("    word admin@hn3\n") == 1
    assert script.count('echo "reach $word no"') == 3
    assert "speed" not in script.removesuffix(probe())


@pytest.mark.parametrize(
    ("login", "reached"),
    [
        ('exec sh -c "$last"', "yes"),
        ('echo Welcome; exec sh -c "$last"', "no"),  # a profile that prints, which rsync would hear, too
        ('sh -c "$last"; echo bye', "no"),
        ('exec sh -c "$(printf %s "$last" | head -n 1)"', "no"),  # csh: quotes end with the line
        (
            'exec sh -c "$(printf %s "$last" | sed \'s/[\\\\][\\\\]/\\\\/g\')"',
            "no",
        ),  # fish: two backslashes are one
        ("exit 255", "no"),
    ],
    ids=["sh", "greets", "parts", "csh", "fish", "away"],
)
def test_a_peer_is_reached_if_its_login_shell_takes_what_rsync_is_given_there(
    tmp_path: Path, login: str, reached: str
) -> None:
    program = tmp_path / "ssh"
    program.write_text(f"#!/bin/sh\nfor last; do :; done\n{login}\n")
    program.chmod(0o755)
    asks = Ask(peers=("hn2",)).script().removesuffix(probe())
    script = f'word() {{ word="=$1"; }}\nlook() {{ "$@" 2>/dev/null </dev/null; }}\n{asks}reach_peers\n'
    path = f"{tmp_path}:{os.environ['PATH']}"
    said = subprocess.run(
        ["sh", "-c", script], env={"PATH": path}, capture_output=True, text=True, check=True
    )
    assert said.stdout == f"reach =hn2 {reached}\n"


def test_only_for_an_estimate_peers_are_sent_something_and_recent_files_are_summed() -> None:
    script = (
        Ask(peers=("hn2",), peer_ssh=("-C",), measured=123, estimated=True).script().removesuffix(probe())
    )
    assert "measured=123 expected= recent=10 more=''\n" in script
    alone = "-o ControlMaster=no -o ControlPath=none"
    ssh = f"ssh -o Compression=no -o BatchMode=yes -o ConnectTimeout=10 -C {alone} root@hn2"
    assert f'echo "reach $word yes"\n        speed "$word" {ssh}\n    else\n' in script


def test_what_an_estimate_needs_goes_with_what_it_belongs_to() -> None:
    found = facts(
        "hn1",
        whole(
            "usage =/a 10 3",
            "recent =/a 4097",
            "usage =/b 10 3",
            "recent =/c 1",
            "reach =hn2 yes",
            "reach =hn3 yes",
            "reach =hn4 yes",
            "speed =hn2 3000000 150",
            "speed =hn4 0 0",
        ),
    )
    assert found.usage == (Usage("/a", 10240, 3, 4097), Usage("/b", 10240, 3, None))
    assert found.reaches == (Reach("hn2", YES, 2_000_000), Reach("hn3", YES), Reach("hn4", YES))


def test_what_was_taken_at_once_gives_a_speed_all_the_same() -> None:
    found = facts("hn1", whole("reach =hn2 yes", "speed =hn2 5000 0"))
    assert found.reaches == (Reach("hn2", YES, 500_000),)


def test_no_nodes_give_no_facts() -> None:
    assert gather({}) == {}


def test_a_node_that_cannot_be_asked_is_named_with_what_to_do() -> None:
    nodes = {"hn1": Fixed(Exited(0, answer("rhel6"))), "hn2": Fixed(Lost("no route to host"))}
    with pytest.raises(
        GatherError,
        match=r"^hn2 gave no facts: no route to host; see that this works: ssh -p 2222 root@hn2 true$",
    ):
        gather(nodes)


def test_an_answer_that_makes_no_sense_is_refused_with_what_the_node_said_last() -> None:
    with pytest.raises(GatherError, match=r"^hn1 gave no facts: .*not whole.* \(sh: base64: not found\)$"):
        gather({"hn1": Fixed(Exited(2, "boot b\n", "first\nsh: base64: not found\n"))})
    with pytest.raises(
        GatherError, match=r"^hn1 gave no facts: .*its last line is nothing \(exit status 127\)$"
    ):
        gather({"hn1": Fixed(Exited(127))})


@pytest.mark.parametrize(
    "line",
    ["container -5 - -", "container 1_0 - -", "container \u0665 - -", "lock 0 yes", "script YQ== -755 -"],
)
def test_a_number_that_is_none_is_refused(line: str) -> None:
    lines = ("boot b", "vz yes", line)
    with pytest.raises(ParseError):
        facts("hn1", "\n".join((*lines, f"end {len(lines)}", "")))


@pytest.mark.parametrize("odd", ["\u2028", "\x0c", "\x85", "\x1c"])
def test_what_python_calls_a_line_end_is_part_of_a_name(odd: str) -> None:
    lines = ("boot b", "vz yes", f"elsewhere 0 0 8:1 / /mnt/a{odd}b rw - ext4 /dev/sda1 rw")
    found = facts("hn1", "\n".join((*lines, f"end {len(lines)}", "")))
    assert found.mounts[0].point == f"/mnt/a{odd}b"


@pytest.mark.parametrize(
    "path", ["/vz/private/123", "/", "/a b", "/a=b", "/é", "/a\\b", "/a'b", "/$(x)", "/tab\there", "/@:_-.x"]
)
def test_a_word_is_read_as_it_was_said_in_base64_or_as_it_stands(path: str) -> None:
    functions = probe().partition("# --- the node")[0]
    done = subprocess.run(
        ["sh", "-c", f'{functions}\nword "$path"; echo "path $word absent - - -"'],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C", "VZPLAN_HOME": "/", "VZPLAN_RUN": "r", "path": path},
        capture_output=True,
        text=True,
        check=True,
    )
    (found,) = facts("hn1", f"boot b\nvz yes\n{done.stdout}end 3\n").paths
    assert found.path == path
    assert (" =" in done.stdout) == (re.fullmatch("[0-9A-Za-z./:_@-]+", path) is not None)


def test_names_of_a_device_that_stand_as_they_are_have_commas_between_them() -> None:
    for names in ("=/dev/sdb1,/dev/sda1", word("/dev/sdb1 /dev/sda1")):
        line = f"device 8:1 {names} {word('-:-:1:-:-')} - 0 - yes -"
        (device,) = facts("hn1", whole(line)).devices
        assert device.names == ("/dev/sda1", "/dev/sdb1")


def test_a_word_that_is_not_there_is_refused() -> None:
    facts("hn1", whole("reboots -"))
    with pytest.raises(ParseError, match="a word is missing"):
        facts("hn1", whole("reboots "))
