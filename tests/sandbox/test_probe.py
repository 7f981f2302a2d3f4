"""The probe on real nodes: the same facts from every shell, whatever lies there; and nothing changes."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from msgspec import structs

from executor.gather import Ask, gather
from executor.node import NodeOutcome
from executor.shell import ShellNode
from planner.model import (
    Activation,
    Cpu,
    Criu,
    Known,
    Lock,
    Mount,
    Mounter,
    NodeFacts,
    Outside,
    Owner,
    PathKind,
    Reach,
    State,
)
from planner.model import Path as Place
from planner.plan import Exited, Outcome, What
from tests.sandbox import Node, Sandbox
from tests.sandbox.driving import Driver
from tests.sandbox.nodes import REPOSITORY

POINT: Final = "/vz/root/123/o u\\t"  # a blank and a backslash
PATH: Final = "/sbin:/usr/sbin:/bin:/usr/bin"
SHELLS: Final = ("dash", "bash --posix", "busybox sh")
AWKS: Final = ("mawk", "gawk", "original-awk", "busybox awk")
REAL_TOOLS: Final = f"""
for tool in awk base64 blkid blockdev cat cut df dumpe2fs find grep head ls mke2fs readlink sed sha256sum sort stat \\
    systemctl timeout tr xargs; do
    for folder in {PATH.replace(":", " ")}; do
        [ ! -x "$folder/$tool" ] || {{ eval "$tool() {{ $folder/$tool \\"\\$@\\"; }}"; break; }}
    done
done
"""
"""busybox's sh takes its own applets first; a function comes before them."""


def installed(programs: tuple[str, ...]) -> list[str]:
    return [words for words in programs if shutil.which(words.split()[0], path=PATH)]


@dataclass(frozen=True)
class InShell:
    """A node asked without ssh, in a shell of one's choice."""

    node: Node
    shell: str = "sh"
    path: str = PATH

    trial = "sh -c true"

    def read(self, script: str, deadline_s: int, limit_bytes: int) -> NodeOutcome:
        text = (REAL_TOOLS if self.shell.startswith("busybox") else "") + script
        self.node.path("/root/probe").write_text(text)
        out = self.node.sh(
            f"cd /; umask 077; exec env -i PATH={self.path} LC_ALL=C VZPLAN_HOME=/var/lib/vzplan VZPLAN_RUN= "
            f"VZPLAN_CONTROL= timeout {deadline_s} {self.shell} /root/probe </dev/null"
        )
        assert len(out) < limit_bytes
        return Exited(0, out)


def ask(node: Node, *paths: str, shell: str = "sh", path: str = PATH) -> NodeFacts:
    return asking(node, Ask(paths), shell=shell, path=path)


def asking(node: Node, what: Ask, *, shell: str = "sh", path: str = PATH) -> NodeFacts:
    return gather({node.name: InShell(node, shell, path)}, {node.name: what})[node.name]


def steady(found: NodeFacts) -> NodeFacts:
    """But for free room and memory in use, which change by themselves."""
    rooms = tuple(structs.replace(room, free_bytes=0, free_inodes=None) for room in found.rooms)
    devices = tuple(
        d
        if d.filesystem is None
        else structs.replace(d, filesystem=structs.replace(d.filesystem, free_bytes=0, free_inodes=0))
        for d in found.devices
    )
    containers = tuple(
        structs.replace(c, resident_bytes=None if c.resident_bytes is None else 0) for c in found.containers
    )
    return structs.replace(
        found,
        containers=containers,
        rooms=rooms,
        devices=devices,
        available_bytes=0 if found.available_bytes else None,
    )


def write(node: Node, path: str, text: str | bytes) -> None:
    node.path(path).write_bytes(text.encode() if isinstance(text, str) else text)


def append(node: Node, path: str, text: str) -> None:
    write(node, path, node.path(path).read_bytes() + text.encode())


def settled_tree(node: Node) -> str:
    """Everything that facts must leave as it is: names, inodes, modes, owners, sizes and both times of change."""
    return node.sh("find /etc/vz /vz /var/lib/vzplan -printf '%p|%i|%m|%u|%g|%s|%l|%T@|%C@\\n' | sort")


@pytest.fixture
def san() -> Iterator[Sandbox]:
    """Container 123 is down: its disk is mounted nowhere."""
    with Sandbox("san", running=False) as box:
        yield box


@contextmanager
def process(node: Node, script: str) -> Iterator[int]:
    """A process on the node that has done ``script`` and stays; gives its PID there."""
    node.sh(
        f"setsid sh -c {shlex.quote(script + '; : >/tmp/did; exec sleep 600')} </dev/null >/dev/null 2>&1 &"
    )
    node.sh(
        "n=0; until [ -e /tmp/did ]; do sleep 0.02; n=$((n + 1)); [ $n -lt 500 ] || exit 1; done; rm /tmp/did"
    )
    pid = int(
        node.sh(
            "for f in /proc/[0-9]*/cmdline; do [ \"$(tr '\\0' ' ' <$f)\" != 'sleep 600 ' ] || echo $f; done"
            " 2>/dev/null | cut -d / -f 3"
        ).split()[-1]
    )
    try:
        yield pid
    finally:
        node.sh(
            f"kill -s KILL {pid}; n=0; while readlink /proc/{pid}/cwd >/dev/null && [ $n -lt 500 ]; do"
            " sleep 0.02; n=$((n + 1)); done; true"
        )


# --- the same in every shell


def test_every_shell_and_every_awk_gives_the_same_facts() -> None:
    with Sandbox("san") as box:
        node = box.hn1
        write(node, "/etc/vz/conf/130.conf", 'VE_PRIVATE="/vz/private/with blank"\nVE_ROOT=/vz/r/${VEID}\r\n')
        node.path("/vz/private/with blank").mkdir()
        write(node, "/vz/lock/123.lck", "1\n")
        write(node, "/vz/dump/Dump.130", "memory")
        node.sh(f"mkdir -p '{POINT}'; mount --bind /srv '{POINT}'")
        expected = steady(ask(node, "/etc/hosts", "/srv"))
        assert expected.path("/vz/private/with blank").kind is PathKind.DIRECTORY
        assert expected.path("/etc/hosts").kind is PathKind.FILE
        assert expected.outside == (Outside(POINT, Known.NO),)
        assert [c.resident_bytes for c in expected.containers] == [0, 0, None]
        assert [c.dump_bytes is None for c in expected.containers] == [True, True, False]
        for shell in installed(SHELLS):
            assert steady(ask(node, "/etc/hosts", "/srv", shell=shell)) == expected, shell
        for awk in installed(AWKS):
            node.sh(
                f"mkdir -p /root/tools; printf '#!/bin/sh\\nexec {awk} \"$@\"\\n' >/root/tools/awk; "
                "chmod +x /root/tools/awk"
            )
            found = steady(ask(node, "/etc/hosts", "/srv", path=f"/root/tools:{PATH}"))
            assert found == expected, awk


def test_over_ssh_the_facts_are_the_same() -> None:
    with Sandbox("san") as box:
        shells = {node.name: ShellNode(node.name, ("-F", str(box.ssh_config))) for node in box.nodes}
        try:
            found = gather(shells, dict.fromkeys(shells, Ask(("/srv",))))
        finally:
            for shell in shells.values():
                shell.close()
        for node in box.nodes:
            assert steady(found[node.name]) == steady(ask(node, "/srv"))
        source, destination = found["hn1"].device("/dev/sda1"), found["hn2"].device("/dev/sdm1")
        assert source is not None
        assert destination is not None
        assert source.wwid == destination.wwid
        assert source.filesystem == destination.filesystem
        assert (source.exclusive, destination.exclusive) == (Known.NO, Known.YES)


# --- nothing changes


def test_asking_changes_nothing(san: Sandbox) -> None:
    node = san.hn1
    node.sh("vzctl stop 101")  # it counts, in its private area
    node.sh(
        "echo 1 >/vz/lock/123.lck; echo 999999 >/vz/lock/101.lck; : >/vz/dump/Dump.123; mkdir /vz/private/empty"
    )
    disks = "sync; for d in /dev/sda1 /dev/sdb1; do blockdev --flushbufs $d; sha256sum $d; done"
    before, bytes_before = settled_tree(node), node.sh(disks)
    assert "/vz/lock/123.lck" in before
    mounts = node.sh("cat /proc/self/mountinfo")
    for shell in installed(SHELLS):
        ask(node, "/vz", "/nowhere/at/all", "/var/lib/vzplan/owners/123", shell=shell)
    assert settled_tree(node) == before
    assert node.sh(disks) == bytes_before
    assert node.sh("cat /proc/self/mountinfo") == mounts


# --- what owners of containers can write


def test_configs_are_never_evaluated(san: Sandbox) -> None:
    node = san.hn1
    hostile = {
        "130.conf": 'VE_PRIVATE="$(touch /tmp/pwned)"\n',
        "131.conf": 'VE_PRIVATE=`touch /tmp/pwned`\nVE_ROOT="`touch /tmp/pwned`"\n',
        "132.conf": 'VE_PRIVATE="/x$(touch /tmp/pwned)"\nVE_ROOT="/x`touch /tmp/pwned`"\n',
        "133.conf": "VE_PRIVATE=/x\\$(touch /tmp/pwned)\nVE_ROOT=/x;touch /tmp/pwned\n",
        "134.conf": "touch /tmp/pwned\nVE_PRIVATE='/x';touch /tmp/pwned\n",
        "135.conf": '%s%n\\n\nVE_PRIVATE=/%s/%n\nDUMPDIR="$HOME/*"\n',
        "vps.start": "touch /tmp/pwned\n",
        "130.start": "touch /tmp/pwned\n",
        "$(touch pwned).conf": "VE_PRIVATE=/x\n",
        ";touch pwned;.start": "",
        "-n.conf": "",
    }
    for name, text in hostile.items():
        write(node, f"/etc/vz/conf/{name}", text)
    node.sh("chmod 755 /etc/vz/conf/*.start")
    for shell in installed(SHELLS):
        found = ask(node, "$(touch /tmp/pwned)", "/`touch /tmp/pwned`", "-n", shell=shell)
        assert {c.ctid: c.config for c in found.containers if c.ctid >= 130} == {
            int(name.removesuffix(".conf")): text
            for name, text in hostile.items()
            if name[0] == "1" and "conf" in name
        }
        assert set(hostile) <= set(found.conf_names)
        assert {"vps.start", "130.start"} <= {s.name for s in found.scripts}
        assert found.path("/`touch /tmp/pwned`").kind is PathKind.ABSENT
        # What would have to be evaluated is not looked at; what stands there plainly is.
        looked_at = {path.path for path in found.paths}
        assert {"/x", "/x;touch", "/%s/%n"} <= looked_at
        assert not [path for path in looked_at if "$(touch" in path and path.startswith("/")]
    assert node.sh("find / -xdev -name 'pwned*'") == ""


def test_of_two_private_areas_the_first_is_looked_at_as_vzctl_does(san: Sandbox) -> None:
    node = san.hn1
    node.sh("mkdir /vz/private/first /vz/private/second")
    write(node, "/etc/vz/conf/130.conf", 'VE_PRIVATE="/vz/private/first"\nVE_PRIVATE="/vz/private/second"\n')
    found = ask(node)
    assert found.path("/vz/private/first") == Place(
        "/vz/private/first", PathKind.DIRECTORY, "/vz/private/first", True, None
    )
    assert found.path("/vz/private/second").kind is PathKind.UNKNOWN


def test_line_ends_bytes_and_quotes_of_a_config_are_kept(san: Sandbox) -> None:
    node = san.hn1
    node.sh('mkdir /vz/private/crlf /vz/private/quoted "/vz/private/it\'s"')
    texts: dict[int, bytes] = {
        130: b'VE_PRIVATE=/vz/private/crlf\r\nVE_ROOT="/vz/root/$VEID"\r\n',
        131: b'NAME="caf\xe9"\nVE_PRIVATE="/vz/private/quoted"\n',
        132: b"  VE_PRIVATE = 'no' \n# VE_PRIVATE=/commented\nVE_PRIVATE=\"/vz/private/it's\" # 'why'\n",
        133: b"no newline at the end",
        134: b"",
        135: "NAME='gr\u00fcn'\n".encode() + b"\x00\x01\x02\n",
    }
    for ctid, text in texts.items():
        write(node, f"/etc/vz/conf/{ctid}.conf", text)
    found = ask(node)
    assert {c.ctid: c.config for c in found.containers if c.ctid >= 130} == {
        ctid: None if ctid == 131 else text.decode() for ctid, text in texts.items()
    }
    assert found.path("/vz/private/crlf").kind is PathKind.DIRECTORY
    assert found.path("/vz/private/quoted").kind is PathKind.DIRECTORY  # only one line is not UTF-8
    assert found.path("/commented").kind is not PathKind.DIRECTORY


def test_only_what_vzctl_reads_is_a_container(san: Sandbox) -> None:
    node = san.hn1
    names = [
        "0.conf",
        "007.conf",
        "foo.conf",
        "1x.conf",
        "13 6.conf",
        "14\n0.conf",
        "130.conf.migrated",
        ".conf",
    ]
    for name in [*names, "0.start", "007.mount", "foo.premount", "vps.conf", "vps.migrated"]:
        write(node, f"/etc/vz/conf/{name}", "VE_PRIVATE=/never/looked/at\n")
    node.sh(
        "cd /etc/vz/conf; mkdir 137.conf; ln -s /nowhere 138.conf; mkfifo 139.conf 139.start; ln -s 101.conf 140.conf"
    )
    found = ask(node)
    assert [c.ctid for c in found.containers] == [101, 123, 140]
    assert [s.name for s in found.scripts] == ["vps.postumount", "vps.premount"]
    assert {*names, "137.conf", "138.conf", "139.conf"} - {"14\n0.conf"} <= set(found.conf_names)
    assert not [path for path in found.paths if path.path.startswith("/never")]


def test_a_node_that_has_no_containers_and_no_vz_conf_is_read(san: Sandbox) -> None:
    node = san.hn2
    node.sh("rm -r /etc/vz/conf /etc/vz/vz.conf /vz/lock /vz/dump /vz/private")
    found = ask(node)
    assert (found.containers, found.conf_names, found.scripts, found.locks) == ((), (), (), ())
    assert found.vz_conf is None
    node.sh("mkdir /etc/vz/conf; echo VE_PRIVATE=/vz/private/5 >/etc/vz/conf/5.conf")
    found = ask(node)
    assert [(c.ctid, c.state) for c in found.containers] == [(5, State.DELETED)]
    for path in ("/vz/lock", "/vz/dump", "/vz/private", "/vz/private/5"):
        assert found.path(path) == Place(path, PathKind.ABSENT, None, None, None)


def test_a_lock_counts_while_its_process_lives(san: Sandbox) -> None:
    node = san.hn1
    dead = node.sh("sh -c 'echo $$'").strip()
    with process(node, "true") as alive:
        for ctid, text in {
            101: f"{dead}\n",
            102: f"{alive}\n",
            103: f"{alive}",
            104: "garbage\n",
            105: "",
            106: f"\n{alive}\n",
            107: "99999999999999999999\n",
        }.items():
            write(node, f"/vz/lock/{ctid}.lck", text)
        for name in ("007.lck", "0.lck", "x.lck", "12 3.lck", "108.lck.109"):
            write(node, f"/vz/lock/{name}", f"{alive}\n")
        node.sh("mkdir /vz/lock/110.lck; ln -s /nowhere /vz/lock/111.lck")
        found = ask(node)
    assert found.locks == (
        Lock(101, Known.NO),
        Lock(102, Known.YES),
        Lock(103, Known.YES),
        Lock(104, Known.UNKNOWN),
        Lock(105, Known.UNKNOWN),
        Lock(106, Known.UNKNOWN),
        Lock(107, Known.NO),
        Lock(110, Known.UNKNOWN),
        Lock(111, Known.UNKNOWN),
    )


def test_links_are_told_from_what_they_lead_to(san: Sandbox) -> None:
    node = san.hn1
    node.sh(
        "mkdir -p /vz/other/area /vz/other/full; : >/vz/other/full/x; cd /vz/private; ln -s ../other/area to-dir;"
        "ln -s to-dir to-link; ln -s nowhere dangling; ln -s loop loop; ln -s /etc/hosts to-file; mkdir '/vz/private/a'"
    )
    found = ask(
        node, *(f"/vz/private/{n}" for n in ("to-dir", "to-link", "dangling", "loop", "to-file", "a", "none"))
    )

    def place(name: str, kind: PathKind, real: str | None, empty: bool | None = None) -> Place:
        return Place(f"/vz/private/{name}", kind, real, empty, None)

    link = PathKind.SYMLINK
    assert [p for p in found.paths if p.path.startswith("/vz/private/") and not p.path[-1].isdigit()] == [
        place("a", PathKind.DIRECTORY, "/vz/private/a", True),
        place("dangling", link, "/vz/private/nowhere"),
        place("loop", link, None),
        place("none", PathKind.ABSENT, None),
        place("to-dir", link, "/vz/other/area"),
        place("to-file", link, "/etc/hosts"),
        place("to-link", link, "/vz/other/area"),
    ]


def test_of_a_linked_parent_the_names_behind_it_are_listed(san: Sandbox) -> None:
    node = san.hn1
    node.sh(
        "mkdir -p /vz/behind/5; ln -s behind /vz/linked; echo VE_PRIVATE=/vz/linked/5 >/etc/vz/conf/5.conf"
    )
    found = ask(node)
    assert found.path("/vz/linked") == Place("/vz/linked", PathKind.SYMLINK, "/vz/behind", None, ("5",))
    assert found.path("/vz/linked/5").real == "/vz/behind/5"


def test_names_with_blanks_and_newlines_never_read_as_absent(san: Sandbox) -> None:
    node = san.hn1
    names = [
        "with blank",
        " lead",
        "trail ",
        "tab\tx",
        "two\nlines",
        "back\\slash",
        "*",
        "-n",
        "$(x)",
        "gr\u00fcn",
        "'\"",
    ]
    for name in names:
        node.path("/vz/private").joinpath(name).mkdir()
    node.sh("mkdir /vz/private/$(printf 'caf\\351')")
    found = ask(node, *(f"/vz/private/{name}" for name in names if "\n" not in name and "\t" not in name))
    entries = found.path("/vz/private").entries
    assert entries is not None
    assert set(names) - {"two\nlines"} <= set(entries)
    assert {"two", "lines", "caf\\xe9"} <= set(entries)
    for name in names:
        assert found.path(f"/vz/private/{name}").kind is not PathKind.ABSENT or name == "two\nlines"
    assert found.path("/vz/private/with blank").kind is PathKind.DIRECTORY
    assert found.path("/vz/private/$(x)").kind is PathKind.DIRECTORY


def test_a_directory_with_only_lost_and_found_is_empty(san: Sandbox) -> None:
    node = san.hn1
    node.sh(
        "cd /vz/private; mkdir -p e1 e2/lost+found e3/lost+found/x e4/.hidden e5/lost+found2 e6; : >e6/$(printf '\\n.')"
    )
    found = ask(node, *(f"/vz/private/e{n}" for n in range(1, 7)))
    assert [found.path(f"/vz/private/e{n}").empty for n in range(1, 7)] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


# --- what mounts by itself, how much is there, whom it reaches


FSTAB: Final = """\
# /dev/commented /x ext4 defaults 0 0
/dev/sda1 /srv ext4 defaults 0 0
\tUUID=1bc09249-2a2c-c88e-0d90-abfb625dc77b  /vz/private/123\text4 noauto 0 0
LABEL=web1 none swap sw 0 0
PARTUUID=0f /a\\040b ext4 defaults 0 0
tmpfs /tmp tmpfs defaults 0 0
nfs:/export /mnt nfs defaults 0 0

/dev/mapper/$(touch${IFS}/tmp/pwned) /`touch${IFS}/tmp/pwned`
"""


def test_what_mounts_by_itself_is_found(san: Sandbox) -> None:
    node = san.hn1
    before = ask(node).mounters
    write(node, "/etc/fstab", FSTAB)
    node.sh("mkdir -p /etc/systemd/system /run/systemd/system")
    write(
        node, "/etc/systemd/system/srv.mount", "[Unit]\n[Mount]\nWhere=/srv x\nWhat=/dev/sdb1\nWhat=/dev/no\n"
    )
    write(node, "/run/systemd/system/odd.mount", "[Mount]\nWhat=$(touch /tmp/pwned)\n")
    write(
        node,
        "/etc/auto.misc",
        "# a -fstype=ext4 :/dev/no\nweb -fstype=ext4,rw  :/dev/sdb1\nnfs host:/dev/x\n+auto.master\n",
    )
    expected = (
        Mounter("/etc/auto.misc", "/dev/sdb1", "web"),
        Mounter("/etc/fstab", "/dev/mapper/$(touch${IFS}/tmp/pwned)", "/`touch${IFS}/tmp/pwned`"),
        Mounter("/etc/fstab", "/dev/sda1", "/srv"),
        Mounter("/etc/fstab", "LABEL=web1", "none"),
        Mounter("/etc/fstab", "PARTUUID=0f", "/a b"),
        Mounter("/etc/fstab", "UUID=1bc09249-2a2c-c88e-0d90-abfb625dc77b", "/vz/private/123"),
        Mounter("/etc/systemd/system/srv.mount", "/dev/sdb1", "/srv x"),
        Mounter("/run/systemd/system/odd.mount", "$(touch /tmp/pwned)", ""),
    )
    ours = {m.where for m in expected}
    for shell in installed(SHELLS):
        found = [m for m in ask(node, shell=shell).mounters if m.where in ours]
        assert found == list(expected), shell
    assert not [m for m in before if m.where in ours - {"/etc/fstab"}]
    assert node.sh("find / -xdev -name 'pwned*'") == ""


def test_a_last_line_without_its_newline_mounts_too(san: Sandbox) -> None:
    write(san.hn1, "/etc/fstab", "/dev/sdb1 /srv ext4 defaults 0 0\n/dev/sda1 /mnt ext4 defaults 0 0")
    found = [m.what for m in ask(san.hn1).mounters if m.where == "/etc/fstab"]
    assert found == ["/dev/sda1", "/dev/sdb1"]


def test_of_a_node_without_fstab_nothing_mounts_by_itself(san: Sandbox) -> None:
    node = san.hn1
    node.sh("rm -rf /etc/fstab /etc/systemd/system/*.mount /run/systemd/system/*.mount /etc/auto.*")
    for shell in installed(SHELLS):
        assert ask(node, shell=shell).mounters == ()


LISTED: Final = "cd {0}; : >123; : >101; : >007; : >123.bak; : >'12 3'; mkdir 130"


@pytest.mark.parametrize(
    ("vz_conf", "place"),
    [
        ("", "/var/lib/vzctl/vzreboot"),
        ("VZREBOOTDIR=/vz/again", "/vz/again"),
        (" VZREBOOTDIR = '/vz/with blank' # why", "/vz/with blank"),
        ('VZREBOOTDIR="/nowhere"\nVZREBOOTDIR="/vz/again"\r', "/vz/again"),
        ("VZREBOOTDIR=", "/var/lib/vzctl/vzreboot"),
        ("#VZREBOOTDIR=/vz/again", "/var/lib/vzctl/vzreboot"),
    ],
)
def test_what_a_boot_starts_besides_is_listed(san: Sandbox, vz_conf: str, place: str) -> None:
    node = san.hn1
    assert ask(node).reboots == ()
    append(node, "/etc/vz/vz.conf", f"{vz_conf}\n")
    for shell in installed(SHELLS):
        assert ask(node, shell=shell).reboots == ()
    node.sh(f"mkdir -p '{place}'; " + LISTED.format(f"'{place}'"))
    for shell in installed(SHELLS):
        assert ask(node, shell=shell).reboots == (101, 123, 130), shell


@pytest.mark.parametrize(
    "odd", ["$(touch /tmp/pwned)", "/x`touch /tmp/pwned`", "again", "/vz/$HOME", "/vz\\x"]
)
def test_a_boot_list_that_only_a_shell_could_find_is_not_called_empty(san: Sandbox, odd: str) -> None:
    node = san.hn1
    append(node, "/etc/vz/vz.conf", f'VZREBOOTDIR="{odd}"\n')
    for shell in installed(SHELLS):
        assert ask(node, shell=shell).reboots is None
    assert node.sh("find / -xdev -name 'pwned*'") == ""


def test_a_boot_list_that_cannot_be_read_is_not_called_empty(san: Sandbox) -> None:
    node = san.hn1
    damage(node, "/private")
    write(node, "/etc/vz/vz.conf", "VZREBOOTDIR=/mnt/private\n")
    assert ask(node).reboots is None


def test_a_node_without_vz_conf_and_configs_has_a_boot_list(san: Sandbox) -> None:
    node = san.hn2
    node.sh("rm -r /etc/vz; mkdir -p /var/lib/vzctl/vzreboot; : >/var/lib/vzctl/vzreboot/7")
    for shell in installed(SHELLS):
        assert ask(node, shell=shell).reboots == (7,)


def test_what_lvm_activates_by_itself_is_found(san: Sandbox) -> None:
    node, captured = san.hn1, REPOSITORY / "fixtures/captured"
    node.sh("mkdir -p /etc/lvm; rm -f /etc/lvm/*")
    assert ask(node).activations == ()
    main, local = "/etc/lvm/lvm.conf", "/etc/lvm/lvmlocal.conf"
    write(node, main, (captured / "lvm-rhel6.conf").read_bytes())
    for shell in installed(SHELLS):
        assert ask(node, shell=shell).activations == (
            Activation(main, "vg_hn1", None),
            Activation(main, "vg_san", "ct-123"),
        )
    write(node, main, (captured / "lvm-current.conf").read_bytes())
    assert [a.volume for a in ask(node).activations] == [None, "web1"]
    write(node, local, (captured / "lvm-local.conf").read_bytes())
    for shell in installed(SHELLS):
        assert ask(node, shell=shell).activations == (Activation(local, "vg_root", None),)
    write(node, local, b"activation { volume_list = \xff\x00 $(touch /tmp/pwned) `touch /tmp/pwned`")
    assert [a.volume for a in ask(node).activations] == [None, "web1"]
    assert node.sh("find / -xdev -name 'pwned*'") == ""


def test_files_are_counted_only_if_it_is_asked_for(san: Sandbox) -> None:
    assert ask(san.hn1).usage == ()
    assert asking(san.hn1, Ask(measured=999)).usage == ()  # there is none of that number
    node = san.hn1
    node.sh(
        "mkdir /vz/private/130; cd /vz/private/130; mkdir a; dd if=/dev/zero of=a/b bs=1024 count=300 2>/dev/null"
    )
    write(node, "/etc/vz/conf/130.conf", "VE_PRIVATE=/vz/private/130\n")
    for shell in installed(SHELLS):
        (usage,) = asking(node, Ask(measured=130), shell=shell).usage
        assert (usage.path, usage.inodes) == ("/vz/private/130", 3)
        assert 300 * 1024 <= usage.bytes <= 340 * 1024


def test_what_is_mounted_within_an_area_is_not_counted(san: Sandbox) -> None:
    node = san.hn1
    node.sh(
        "mkdir -p /vz/private/130/mnt; mount /dev/sdb1 /vz/private/130/mnt; : >/vz/private/130/mnt/x; sync"
    )
    write(node, "/etc/vz/conf/130.conf", "VE_PRIVATE=/vz/private/130\n")
    (usage,) = asking(node, Ask(measured=130)).usage
    assert usage.bytes < 64 * 1024


def test_a_filesystem_of_its_own_is_counted_by_its_own_count() -> None:
    with Sandbox("san") as box:
        found = asking(box.hn1, Ask(measured=123))
        (usage,) = found.usage
        room = next(r for r in found.rooms if r.point in ("/vz/private/123", "/vz/root/123"))
        assert usage.path == "/vz/private/123"
        said = box.hn1.sh(
            "df -P -k /vz/private/123 | tail -n 1; df -P -i /vz/private/123 | tail -n 1"
        ).split()
        assert abs(usage.bytes - int(said[2]) * 1024) < 1 << 20  # it runs, and writes
        assert abs(usage.inodes - int(said[8])) < 10
        assert usage.bytes < room.size_bytes


def test_who_is_reached_is_tried_without_a_password(san: Sandbox) -> None:
    options = ("-F", "/dev/null", "-o", "StrictHostKeyChecking=no")
    peers = ("hn-nowhere.invalid", "$(touch /tmp/pwned)")
    found = asking(san.hn1, Ask(peers=peers, peer_ssh=options))
    assert found.reaches == tuple(Reach(peer, Known.NO) for peer in sorted(peers))
    assert san.hn1.sh("find / -xdev -name 'pwned*'") == ""
    assert ask(san.hn1).reaches == ()


def test_a_peer_that_answers_is_reached(san: Sandbox) -> None:
    for node, peer in ((san.hn1, "hn2"), (san.hn2, "hn1")):
        assert asking(node, Ask(peers=(peer,))).reaches == (Reach(peer, Known.YES),)


def test_what_an_estimate_needs_is_measured_only_if_it_is_asked_for(san: Sandbox) -> None:
    node = san.hn1
    node.sh(
        "mkdir /vz/private/131; cd /vz/private/131; mkdir mnt; mount /dev/sdb1 mnt; "
        "for name in new1 'new 2' old mnt/other; do dd if=/dev/zero of=\"$name\" bs=1000 count=3 2>/dev/null; done; "
        "touch -d '1 hour ago' old; mknod fifo p"
    )
    write(node, "/etc/vz/conf/131.conf", "VE_PRIVATE=/vz/private/131\n")
    for shell in installed(SHELLS):
        found = asking(node, Ask(measured=131, peers=("hn2",), estimated=True), shell=shell)
        (usage,), (reach,) = found.usage, found.reaches
        assert (usage.path, usage.recent_bytes) == ("/vz/private/131", 6000)
        assert reach.reached is Known.YES
        assert reach.bytes_per_s is not None
        assert reach.bytes_per_s > 1 << 20  # it is this machine
    found = asking(node, Ask(measured=131, peers=("hn2",)))
    assert [(u.recent_bytes, r.bytes_per_s) for u, r in zip(found.usage, found.reaches, strict=True)] == [
        (None, None)
    ]


def test_a_peer_that_is_not_reached_has_no_speed(san: Sandbox) -> None:
    options = ("-F", "/dev/null", "-o", "StrictHostKeyChecking=no")
    (reach,) = asking(san.hn1, Ask(peers=("hn-nowhere.invalid",), peer_ssh=options, estimated=True)).reaches
    assert reach == Reach("hn-nowhere.invalid", Known.NO)


def test_label_and_room_of_a_filesystem_are_told(san: Sandbox) -> None:
    node = san.hn1
    node.sh("mkfs.ext4 -q -F -L 'two words' /dev/sdb1")
    spare = ask(node).device("/dev/sdb1")
    assert spare is not None
    assert spare.filesystem is not None
    assert (spare.filesystem.label, spare.filesystem.empty) == ("two words", Known.YES)
    assert spare.filesystem.inodes is not None
    assert spare.filesystem.free_inodes == spare.filesystem.inodes - 11
    assert spare.filesystem.free_bytes is not None
    assert 0 < spare.filesystem.free_bytes < spare.size_bytes
    node.sh("mount /dev/sdb1 /mnt; : >/mnt/x; umount /mnt")
    again = ask(node).device("/dev/sdb1")
    assert again is not None
    assert again.filesystem is not None
    assert again.filesystem.empty is Known.NO
    assert again.filesystem.free_inodes == spare.filesystem.free_inodes - 1
    node.sh("mount /dev/sdb1 /mnt; rm /mnt/x; rmdir /mnt/lost+found; umount /mnt")
    bare = ask(node).device("/dev/sdb1")
    assert bare is not None
    assert bare.filesystem is not None
    assert bare.filesystem.empty is Known.YES


# --- who holds the disk


def test_a_disk_that_nobody_holds_is_free_and_clean(san: Sandbox) -> None:
    disk = ask(san.hn1).device("/dev/sda1")
    assert disk is not None
    assert disk.exclusive is Known.YES
    assert disk.filesystem is not None
    assert disk.filesystem.needs_recovery is Known.NO
    assert disk.names == ("/dev/disk/by-id/wwn-0x600508b4000971f0", "/dev/sda1")


def held(found: NodeFacts) -> tuple[Known, Known, tuple[Mount, ...]]:
    disk = found.device("/dev/sda1")
    assert disk is not None
    assert disk.filesystem is not None
    return disk.exclusive, disk.filesystem.needs_recovery, found.mounts_of(disk)


def test_a_mount_in_another_namespace_is_seen(san: Sandbox) -> None:
    node = san.hn1
    node.sh("mkdir '/mnt/old area'")
    with process(
        node,
        'exec 2>/tmp/why; unshare -m --propagation private sh -c \'mount /dev/sda1 "/mnt/old area"; '
        ": >/tmp/did; exec sleep 600'",
    ):
        assert " /dev/sda1 " not in node.sh("cat /proc/self/mountinfo")
        exclusive, needs_recovery, mounts = held(ask(node))
    assert exclusive is Known.NO
    assert needs_recovery is Known.YES
    number = mounts[0].device
    assert mounts == (
        Mount("/mnt/old area", number, "/", "ext4", "/dev/sda1", read_only=False, elsewhere=True),
    )
    assert held(ask(node)) == (Known.YES, Known.NO, ())


def test_a_mount_that_is_in_both_namespaces_is_told_once(san: Sandbox) -> None:
    node = san.hn1
    node.sh("mkdir /mnt/a; mount -o ro /dev/sda1 /mnt/a")
    with process(node, "exec unshare -m --propagation private sh -c ': >/tmp/did; exec sleep 600'"):
        assert [(m.point, m.read_only, m.elsewhere) for m in held(ask(node))[2]] == [("/mnt/a", True, False)]
        node.sh("umount /mnt/a")
        exclusive, _, mounts = held(ask(node))
        assert exclusive is Known.NO
        assert [(m.point, m.read_only, m.elsewhere) for m in mounts] == [("/mnt/a", True, True)]


def test_a_lazily_unmounted_disk_is_held_though_no_mount_shows(san: Sandbox) -> None:
    node = san.hn1
    node.sh("mkdir /mnt/a; mount /dev/sda1 /mnt/a")
    with process(node, "cd /mnt/a"):
        node.sh("umount -l /mnt/a")
        assert held(ask(node)) == (Known.NO, Known.YES, ())
        other = ask(san.hn2).device("/dev/sdm1")
        assert other is not None
        # Of the other node's hold this node knows only what the superblock says.
        assert other.exclusive is Known.YES
        assert other.filesystem is not None
        assert other.filesystem.needs_recovery is Known.YES


def damage(node: Node, directory: str) -> None:
    """Zero a directory's block on the spare disk and mount it at /mnt: its names can no longer be read."""
    node.sh(f"""mount /dev/sdb1 /mnt; mkdir -p /mnt/private/5; : >/mnt/private/5/data; umount /mnt
        b=$(debugfs -R 'blocks {directory}' /dev/sdb1 2>/dev/null | tr -d ' \\n')
        dd if=/dev/zero of=/dev/sdb1 bs=1024 seek="$b" count=1 conv=notrunc 2>/dev/null
        blockdev --flushbufs /dev/sdb1; mount /dev/sdb1 /mnt""")


def test_a_directory_that_cannot_be_read_is_not_called_empty(san: Sandbox) -> None:
    node = san.hn1
    damage(node, "/private/5")
    write(node, "/etc/vz/conf/5.conf", "VE_PRIVATE=/mnt/private/5\n")
    assert ask(node).path("/mnt/private/5").empty is None


def test_names_that_cannot_be_listed_are_not_called_absent(san: Sandbox) -> None:
    node = san.hn1
    damage(node, "/private")
    write(node, "/etc/vz/conf/6.conf", "DUMPDIR=/mnt/private\n")
    assert ask(node).path("/mnt/private").entries is None


def says(node: Node, script: str) -> None:
    """CRIU on the node does this instead of what it does."""
    write(node, "/usr/sbin/criu", f"#!/bin/sh\n{script}\n")


def test_criu_says_itself_whether_it_can_work_and_leaves_nothing_behind(san: Sandbox) -> None:
    node = san.hn1
    assert ask(node).criu == Criu(Known.YES, "Looks good.")
    write(node, "/run/criu.kdat", "found out")
    before = node.sh("find /run /tmp | sort; cat /run/criu.kdat; cat /proc/self/mountinfo")
    says(
        node,
        """[ "$*" = check ] && grep -qx 'found out' /run/criu.kdat || exit 3
        echo new >/run/criu.kdat; : >/run/.criu.kdat; mkdir /tmp/.criu.mnt.x; : >left
        echo 'Warn: this'; echo; echo 'Error (criu/x.c:1): no map_files' >&2; echo; exit 1""",
    )
    assert ask(node).criu == Criu(Known.NO, "Error (criu/x.c:1): no map_files")
    assert node.sh("find /run /tmp | sort; cat /run/criu.kdat; cat /proc/self/mountinfo") == before
    assert not node.path("/left").exists()


def test_a_criu_that_comes_to_no_end_or_is_not_asked_is_not_called_unfit(san: Sandbox) -> None:
    node = san.hn1
    says(node, "echo status 1; kill -s KILL $$")
    assert (ask(node).criu or Criu(Known.NO, "")).works is Known.UNKNOWN
    says(node, "kill -s KILL $PPID")
    assert (ask(node).criu or Criu(Known.NO, "")).works is Known.UNKNOWN
    says(node, "exit 0")
    assert ask(node).criu == Criu(Known.YES, "")
    write(node, "/root/unshare", "#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2\nexit 1\n")
    node.sh("chmod 755 /root/unshare")
    refused = ask(node, path=f"/root:{PATH}").criu
    assert refused == Criu(Known.UNKNOWN, "unshare failed: Operation not permitted")
    node.sh("rm /usr/sbin/criu")
    assert ask(node).criu is None


def test_the_kernels_own_word_for_images_and_cpu_is_taken_if_it_has_one(san: Sandbox) -> None:
    node = san.hn1
    assert (ask(node).cpt_version, ask(node).cpt_caps) == (None, None)
    write(
        node,
        "/usr/sbin/vzcptcheck",
        "#!/bin/sh\ncase $* in version) echo 776 ;; caps) echo 'Error in ioctl' >&2; exit 1 ;; esac\n",
    )
    node.sh("chmod 755 /usr/sbin/vzcptcheck")
    assert (ask(node).cpt_version, ask(node).cpt_caps) == (776, None)


def test_what_this_machine_has_is_read(san: Sandbox) -> None:
    found = ask(san.hn1)
    cpuinfo, meminfo = Path("/proc/cpuinfo").read_text(), Path("/proc/meminfo").read_text()
    flags = next(line for line in cpuinfo.splitlines() if line.startswith(("flags", "Features")))
    assert found.cpu == Cpu(os.uname().machine, tuple(sorted(flags.partition(":")[2].split())))
    total = next(line for line in meminfo.splitlines() if line.startswith("MemTotal:"))
    assert 0 < (found.available_bytes or 0) <= int(total.split()[1]) * 1024
    assert found.ipv6 is Known(san.hn1.sh("[ -e /proc/net/if_inet6 ] && echo yes || echo no").strip())


def test_the_dump_that_waits_for_a_container_is_measured(san: Sandbox) -> None:
    node = san.hn1

    def dumps() -> list[int | None]:
        return [c.dump_bytes for c in ask(node).containers if c.ctid == 123]

    assert dumps() == [None]
    node.sh(
        "mkdir /vz/dump/Dump.123; dd if=/dev/urandom of=/vz/dump/Dump.123/pages bs=1024 count=512 2>/dev/null"
    )
    (size,) = dumps()
    assert 512 << 10 <= (size or 0) <= 600 << 10
    node.sh("rm -r /vz/dump/Dump.123; head -c 100000 /dev/zero >/vz/dump/Dump.123")
    (size,) = dumps()
    assert 96 << 10 <= (size or 0) <= 120 << 10


WAIT: Final = """n=0; until {}; do sleep 0.02; n=$((n + 1)); [ $n -lt 500 ] || exit 1; done"""


@pytest.mark.parametrize(
    ("script", "seen"),
    [
        ("cd '/o u\\t' && exec /bin/busybox sleep 600", "cwd"),
        ("exec 3<'/o u\\t/sleep' && exec /bin/busybox sleep 600", "fd/3"),
        ("exec '/o u\\t/sleep' 600", "exe"),
    ],
)
def test_a_mount_from_outside_is_in_use_while_its_container_has_something_open_there(
    script: str, seen: str
) -> None:
    with Sandbox("san") as box:
        node = box.hn1
        node.sh(f"mkdir -p /srv/out '{POINT}'; cp /bin/busybox /srv/out/sleep")
        assert ask(node).outside == ()
        node.sh(f"mount --bind /srv/out '{POINT}'")
        with process(node, "cd /srv/out"):  # the node's own
            assert ask(node).outside == (Outside(POINT, Known.NO),)
        pid = node.sh(
            f"setsid chroot /vz/root/123 /bin/sh -c {shlex.quote(script)} </dev/null >/dev/null 2>&1 & p=$!\n"
            + WAIT.format(f'readlink "/proc/$p/{seen}" | grep -q "^/vz/root/123/o u"')
            + "; echo $p"
        ).strip()
        assert ask(node).outside == (Outside(POINT, Known.YES),)
        node.sh(f"kill -s KILL {pid}; {WAIT.format(f'! readlink /proc/{pid}/exe')}")
        assert ask(node).outside == (Outside(POINT, Known.NO),)


@pytest.mark.parametrize("line", ["cgroup:4:memory:/123", "cgroup:4:memory:/123/user", "status:envID:\t123"])
def test_of_a_process_that_has_another_root_it_is_not_known_what_it_has_open(line: str) -> None:
    with Sandbox("san") as box:
        node = box.hn1
        node.sh(f"mkdir -p /srv/out '{POINT}'; mount --bind /srv/out '{POINT}'")
        with process(node, ":") as pid:
            write(
                node,
                "/root/grep",
                f"#!/bin/sh\n/bin/grep \"$@\"\ncase $* in *VmRSS*) echo '/proc/{pid}/{line}' ;; esac\n",
            )
            node.sh("chmod 755 /root/grep")
            found = ask(node, path=f"/root:{PATH}")
            assert found.outside == (Outside(POINT, Known.UNKNOWN),)
            was = (ask(node).container(123), found.container(123))
            assert all(c is not None and c.resident_bytes is not None for c in was)
            assert was[0] != was[1]


def test_of_a_container_without_processes_it_is_not_known_what_they_have_open(san: Sandbox) -> None:
    node = san.hn1
    node.sh(f"vzctl mount 123; mkdir -p '{POINT}'; mount --bind /srv '{POINT}'")
    assert ask(node).outside == (Outside(POINT, Known.UNKNOWN),)


def test_memory_in_use_is_that_of_all_processes_of_a_container_and_of_no_other() -> None:
    with Sandbox("san") as box:
        node = box.hn1

        def resident(ctid: int) -> int:
            container = ask(node).container(ctid)
            assert container is not None
            return container.resident_bytes or 0

        # What 101 has must not change by itself: its processes come and go, and each is a third of it.
        node.sh("""inside() { find /proc/[0-9]*/root -maxdepth 0 -lname /vz/root/101 2>/dev/null | cut -d / -f 3; }
            until states=$(for pid in $(inside); do kill -STOP "$pid"; sed -n 's/^State:.//p' "/proc/$pid/status"; done)
                [ "$states" ] && ! echo "$states" | grep -qv '^T'; do :; done""")
        alone, other = resident(123), resident(101)
        assert 0 < alone < 64 << 20
        assert 0 < other < 64 << 20
        # A root with the end of a line in its name, which says that all the node's first process has is 101's.
        node.sh("""d=$(printf '/vz/root/123/a\nat /proc/1/root /vz/root/101'); mkdir -p "$d"; cp /bin/busybox "$d"
            setsid chroot "$d" /busybox sleep 600 </dev/null >/dev/null 2>&1 &
            n=0; until find /proc/[0-9]*/root -maxdepth 0 -lname '/vz/root/123/a*' 2>/dev/null | grep -q .; do
                sleep 0.02; n=$((n + 1)); [ $n -lt 500 ] || exit 1
            done""")
        assert resident(123) > alone
        assert resident(101) == other
        node.sh("vzctl stop 123")
        assert resident(123) == 0


def test_a_device_node_without_a_device_does_not_refuse_the_whole_node(san: Sandbox) -> None:
    node = san.hn1
    node.sh("mknod /dev/stale b 250 7")
    ask(node)


def test_a_mount_point_with_a_form_feed_does_not_refuse_the_whole_node(san: Sandbox) -> None:
    node = san.hn1
    node.sh('d=$(printf \'/mnt/a\\fb\'); mkdir "$d"; mount --bind /vz "$d"')
    assert "/mnt/a\fb" in [m.point for m in ask(node).mounts]


def test_a_lock_whose_number_is_followed_by_more_is_not_called_dead(san: Sandbox) -> None:
    node = san.hn1
    write(node, "/vz/lock/123.lck", "1 2\n")  # init, as vzctl's %d reads it; the probe reads 12
    assert ask(node).locks == (Lock(123, Known.UNKNOWN),)


def test_a_stray_file_among_owners_does_not_refuse_the_whole_node(san: Sandbox) -> None:
    node = san.hn1
    node.sh("mkdir -p /var/lib/vzplan/owners; : >'/var/lib/vzplan/owners/123 old'")
    ask(node)


def test_what_stands_among_owners_and_is_no_record_is_told_as_one_that_names_no_run(san: Sandbox) -> None:
    node, owners = san.hn1, "/var/lib/vzplan/owners"
    node.sh(f"mkdir -p {owners}")
    write(node, f"{owners}/5", "run=x; reboot\ncontrol=c:/s\n")
    node.sh(f"cd {owners}; : >1; mkdir 2; mkfifo 3; ln -s 5 4; ln -s nowhere 6; ln -s 5 'odd'; mkdir 07 more")
    for shell in installed(SHELLS):
        assert ask(node, shell=shell).owners == (
            *(Owner(ctid, "", "") for ctid in (1, 2, 3, 4)),
            Owner(5, "x; reboot", "c:/s"),
            Owner(6, "", ""),
        )
    node.sh(f"rm -r {owners}")


def test_a_mount_elsewhere_of_a_relative_source_is_seen(san: Sandbox) -> None:
    node = san.hn1
    mount = 'ctypes.CDLL(None).mount(b"sda1", b"/mnt", b"ext4", 0, None)'
    script = f'import ctypes, os; {mount}; open("/tmp/did", "w"); os.execvp("sleep", ["sleep", "600"])'
    with process(node, f"cd /dev; exec unshare -m --propagation private python3 -c '{script}'"):
        assert [m.point for m in held(ask(node))[2]] == ["/mnt"]


def test_no_device_is_opened_to_write(san: Sandbox) -> None:
    # As udev learns of it, which then reads the partitions of a disk anew.
    for name in ("sda1", "sdb1", "vda2"):
        device = san.hn1.path(f"/dev/{name}")
        with closed_after_writing(device) as seen:
            found = ask(san.hn1).device(f"/dev/{name}")
            assert not seen()
            assert found is not None
            assert found.exclusive is not Known.UNKNOWN
            os.close(os.open(device, os.O_RDWR))
            assert seen()  # so that to see nothing means something


def test_a_hand_over_opens_its_device_to_write_only_by_mounting_it(tmp_path: Path) -> None:
    looked = []
    with Sandbox("san") as box, closed_after_writing(box.hn2.path("/dev/sdm1")) as seen:
        hooks = {(What.DO, "mount-destination"): lambda: looked.append(seen())}
        stop, _, _ = Driver(box, tmp_path).apply(hooks)
    assert stop.outcome is Outcome.MIGRATED, stop
    assert looked == [False]


@contextmanager
def closed_after_writing(path: Path) -> Iterator[Callable[[], bool]]:
    """Whether something has closed it that could have written to it: inotify(7), IN_CLOSE_WRITE."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert fd >= 0
    try:
        assert libc.inotify_add_watch(fd, os.fsencode(path), 0x8) >= 0

        def seen() -> bool:
            try:
                return os.read(fd, 65536) != b""
            except BlockingIOError:
                return False

        yield seen
    finally:
        os.close(fd)


def test_a_whole_disk_is_asked_though_old_mke2fs_wants_an_answer_first(san: Sandbox) -> None:
    node = san.hn1
    # mke2fs 1.41 .. 1.42 (RHEL 6, 7), check_plausibility: a SCSI disk with minor % 16 == 0, unless -F is given.
    write(
        node,
        "/root/mke2fs",
        """#!/bin/sh
case " $* " in *" -F "*) exec /sbin/mke2fs "$@" ;; esac
echo "$2 is entire device, not just one partition!"; printf 'Proceed anyway? (y,n) '
read -r answer && [ "$answer" = y ] || exit 1
exec /sbin/mke2fs "$@"
""",
    )
    node.sh("chmod 755 /root/mke2fs")
    disk = ask(node, path="/root:/sbin:/usr/sbin:/bin:/usr/bin").device("/dev/sda1")
    assert disk is not None
    assert disk.exclusive is Known.YES
