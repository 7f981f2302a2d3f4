"""The probe on real nodes: the same facts from every shell, whatever lies there; and nothing changes."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pytest
from msgspec import structs

from executor.gather import gather
from executor.node import NodeOutcome
from executor.shell import ShellNode
from planner.model import Known, Lock, Mount, NodeFacts, PathKind, State
from planner.model import Path as Place
from planner.plan import Exited
from tests.sandbox import Node, Sandbox

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
    return gather({node.name: InShell(node, shell, path)}, paths)[node.name]


def steady(found: NodeFacts) -> NodeFacts:
    """But for free room, which changes by itself."""
    rooms = tuple(structs.replace(room, free_bytes=0, free_inodes=None) for room in found.rooms)
    return structs.replace(found, rooms=rooms)


def write(node: Node, path: str, text: str | bytes) -> None:
    node.path(path).write_bytes(text.encode() if isinstance(text, str) else text)


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
        expected = steady(ask(node, "/etc/hosts", "/srv"))
        assert expected.path("/vz/private/with blank").kind is PathKind.DIRECTORY
        assert expected.path("/etc/hosts").kind is PathKind.FILE
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
            found = gather(shells, ("/srv",))
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
    assert ask(node).locks != (Lock(123, Known.NO),)


def test_a_stray_file_among_owners_does_not_refuse_the_whole_node(san: Sandbox) -> None:
    node = san.hn1
    node.sh("mkdir -p /var/lib/vzplan/owners; : >'/var/lib/vzplan/owners/123 old'")
    ask(node)


def test_a_mount_elsewhere_of_a_relative_source_is_seen(san: Sandbox) -> None:
    node = san.hn1
    mount = 'ctypes.CDLL(None).mount(b"sda1", b"/mnt", b"ext4", 0, None)'
    script = f'import ctypes, os; {mount}; open("/tmp/did", "w"); os.execvp("sleep", ["sleep", "600"])'
    with process(node, f"cd /dev; exec unshare -m --propagation private python3 -c '{script}'"):
        assert [m.point for m in held(ask(node))[2]] == ["/mnt"]


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
