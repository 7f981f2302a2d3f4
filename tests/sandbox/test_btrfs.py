"""btrfs on real nodes: its number is none of a device, and what looks like a directory may be a tree apart."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from executor import verbs
from planner.model import Options, State
from planner.plan import Outcome
from tests.sandbox import Node, Sandbox, leftovers
from tests.sandbox.driving import CTID, PRIVATE, Driver
from tests.sandbox.test_moves import WAYS, in_state
from tests.sandbox.test_probe import REAL_TOOLS, SHELLS, ask, installed, process

SPARE: Final = "/dev/sdg1"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with in_state("b", State.STOPPED, "btrfs") as made:
        yield made


def library(node: Node, shell: str, script: str) -> str:
    """What ``script`` prints, in a shell that has the library."""
    text = (REAL_TOOLS if shell.startswith("busybox") else "") + verbs.library() + script
    node.path("/root/script").write_text(text)
    return node.sh(f"VZPLAN_HOME=/var/lib/vzplan VZPLAN_RUN=run {shell} /root/script")


def test_every_mount_is_found_by_its_device_and_only_its_top_is_its_own(box: Sandbox) -> None:
    node = box.hn2
    node.sh(
        f"mkdir /srv/top /srv/sub /srv/bind /srv/over; mount {SPARE} /srv/top; "
        "btrfs subvolume create /srv/top/sub >/dev/null; mkdir /srv/top/dir; "
        f"mount -o subvol=sub {SPARE} /srv/sub; mount --bind /srv/top/dir /srv/bind; "
        f"mount {SPARE} /srv/over; mount -t tmpfs none /srv/over"
    )
    elsewhere = f"mkdir /srv/else; mount {SPARE} /srv/else; : >/tmp/did; exec sleep 600"
    with process(node, f"exec unshare -m sh -c {shlex.quote(elsewhere)}"):
        found = ask(node)
        device = found.device(SPARE)
        assert device is not None
        expected = {
            "/srv/top": "/",
            "/srv/sub": "/sub",
            "/srv/bind": "/dir",
            "/srv/over": "/",
            "/srv/else": "/",
        }
        assert {m.point: m.root for m in found.mounts_of(device)} == expected
        assert {m.point for m in found.mounts if m.elsewhere and m.device == device.number} == {"/srv/else"}
        for shell in installed(SHELLS):
            number = library(node, shell, f"number {SPARE}")
            assert number == device.number
            assert set(library(node, shell, f"mounts_of {number}").split()) == set(expected), shell
            at = {point: library(node, shell, f"mounted_at {point}") for point in (*expected, "/srv/top/sub")}
            assert at == {
                "/srv/top": number,
                "/srv/sub": f"{number}/sub",
                "/srv/bind": f"{number}/dir",
                "/srv/over": at["/srv/over"],
                "/srv/else": "",
                "/srv/top/sub": "",  # a directory to everyone but the kernel
            }
            assert at["/srv/over"].startswith("0:")
            stands = "same_disk() { :; }; cd -P %s; on_device %s - 2>/dev/null && echo yes || echo no"
            for point, good in (
                ("/srv/top", "yes"),
                ("/srv/sub", "no"),
                ("/srv/bind", "no"),
                ("/srv/over", "no"),
            ):
                assert library(node, shell, stands % (point, SPARE)) == f"{good}\n", (shell, point)


def test_a_working_directory_that_was_covered_since_is_not_taken_for_what_covers_it(box: Sandbox) -> None:
    node = box.hn2
    node.sh("mkdir /srv/here")
    for shell in installed(SHELLS):
        script = (
            f"same_disk() {{ :; }}; cd -P /srv/here; mount {SPARE} /srv/here; "
            f"on_device {SPARE} - 2>/dev/null && echo yes || echo no; cd -P /srv/here; "
            f"on_device {SPARE} - && echo yes; cd /; umount /srv/here"
        )
        assert library(node, shell, script) == "no\nyes\n", shell


def test_a_name_that_means_another_device_by_now_is_not_believed(box: Sandbox) -> None:
    node = box.hn2
    node.sh(f"mkdir /srv/here; mount {SPARE} /srv/here; mv {SPARE} /dev/sdx1; cp -a /dev/sdm1 {SPARE}")
    for shell in installed(SHELLS):
        other = library(node, shell, f"number {SPARE}")
        assert library(node, shell, f"mounts_of {other}") == "", shell
        assert library(node, shell, "mounted_at /srv/here").startswith("0:"), shell


def test_one_of_two_devices_is_refused_at_either_end(box: Sandbox, tmp_path: Path) -> None:
    driver = Driver(box, tmp_path)
    box.hn2.sh(
        f"mkdir /srv/here; mount {SPARE} /srv/here; btrfs device add -f /dev/sdm1 /srv/here >/dev/null; "
        "umount /srv/here"
    )
    for name in (SPARE, "/dev/sdm1"):
        device = ask(box.hn2).device(name)
        assert device is not None
        assert device.filesystem is not None
        assert device.filesystem.type == "btrfs-of-2"
        (finding,) = driver.plan(options=Options(dst_device=name, install_hooks=True)).findings
        assert (finding.code, finding.subject) == ("filesystem-spread", f"hn2:{name}")
    box.hn1.sh(f"echo 'VE_DEVICE=\"/dev/sdb1\"' >>/etc/vz/conf/{CTID}.conf")
    codes = {f.code for f in driver.plan(options=Options(dst_shared=True)).findings}
    assert "filesystem-spread" in codes


def owning_a_btrfs(node: Node, more: str) -> None:
    """The container's files are on a device of its own, and ``more`` is done in there."""
    node.sh(
        f"mount /dev/sdb1 /mnt; cp -a {PRIVATE}/. /mnt; cd /mnt; {more}; cd /; umount /mnt; "
        f"rm -r {PRIVATE}; mkdir {PRIVATE}; echo 'VE_DEVICE=\"/dev/sdb1\"' >>/etc/vz/conf/{CTID}.conf"
    )


def test_a_subvolume_within_which_rsync_would_leave_out_is_not_left_out(box: Sandbox, tmp_path: Path) -> None:
    owning_a_btrfs(box.hn1, "btrfs subvolume create srv/sub >/dev/null; echo kept >srv/sub/file")
    driver = Driver(box, tmp_path)
    before = driver.facts()
    stop, watch, _ = driver.apply(options=Options(dst_shared=True))
    assert stop.outcome is Outcome.UNWOUND, (stop, watch.moves)
    assert "./srv/sub is a subvolume of its own" in stop.because
    assert driver.facts() == before
    assert leftovers(box) == []


def test_a_device_whose_top_is_not_what_is_mounted_by_default_is_not_copied_onto(
    box: Sandbox, tmp_path: Path
) -> None:
    box.hn2.sh(
        f"mkdir /srv/here; mount {SPARE} /srv/here; btrfs subvolume create /srv/here/sub >/dev/null; "
        "btrfs subvolume set-default /srv/here/sub; umount /srv/here"
    )
    driver = Driver(box, tmp_path)
    before = driver.facts()
    stop, watch, _ = driver.apply(options=WAYS["b"].there)
    assert stop.outcome is Outcome.UNWOUND, (stop, watch.moves)
    assert "has a default subvolume" in stop.because
    assert driver.facts() == before
    assert leftovers(box) == []


def test_a_subvolume_on_the_area_is_released_and_never_taken_for_the_device(box: Sandbox) -> None:
    node = box.hn2
    node.sh(
        f"mkdir {PRIVATE}; mount {SPARE} {PRIVATE}; btrfs subvolume create {PRIVATE}/sub >/dev/null; "
        f"umount {PRIVATE}; mount -o subvol=sub {SPARE} {PRIVATE}"
    )
    for shell in installed(SHELLS):
        mounting = f"same_disk() {{ :; }}; (mount_device {SPARE} - {PRIVATE} any) 2>&1 || :"
        assert "something else is mounted" in library(node, shell, mounting), shell
    library(node, "sh", f"same_disk() {{ :; }}; set -- {SPARE} - {PRIVATE}\n" + verbs.text("release-device"))
    assert node.sh(f"grep -c {PRIVATE} /proc/self/mountinfo || true") == "0\n"
