"""The sandbox itself: what tests on it may rely on."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from executor.simulated.boot import auto_starts
from executor.simulated.world import World
from executor.site import LiveSite
from tests.sandbox import (
    Node,
    Sandbox,
    SandboxError,
    counter,
    cut_network,
    end_busy,
    kernel,
    leftovers,
    make_busy,
    restore_network,
    supervisor,
    tree_hash,
    until,
    why_not,
)
from tests.sandbox.nodes import LOG, NEVER_S, REPOSITORY, sandboxes, take_down

REASON = why_not()
REQUIRED = os.environ.get("VZPLAN_REQUIRE_SANDBOX") == "1"
pytestmark = pytest.mark.skipif(REASON is not None and not REQUIRED, reason=REASON or "")

PRIVATE = "/vz/private/123"
DUMP = "/vz/dump/Dump.123"
RUNNING = "CTID 123 exist mounted running\n"
SUSPENDED = "CTID 123 exist unmounted down suspended\n"


def test_a_sandbox_that_stays_lets_go_of_its_callers_streams() -> None:
    """As "make sandbox 2>&1 | tail" reads them: to their end, while the sandbox goes on."""
    assert REASON is None, REASON
    before = set(sandboxes())
    up = [sys.executable, "-m", "tests.sandbox", "up"]
    with subprocess.Popen(up, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = process.stdout.read().decode()
        mine = [folder for folder in set(sandboxes()) - before if str(folder) in said]
        try:
            (folder,) = mine
            assert select.select([process.stderr], [], [], NEVER_S)[0] == [process.stderr]
            assert os.read(process.stderr.fileno(), 1) == b""  # nobody holds its other end any more
            assert supervisor.read_state(folder)["hn1"].pid
            assert (folder / LOG).read_text() == ""
        finally:
            for folder in mine:
                take_down(folder)
    assert process.returncode == 0
    assert not any(folder.exists() for folder in mine)


@pytest.fixture
def san() -> Iterator[Sandbox]:
    """Container 123 runs on its own disk."""
    assert REASON is None, REASON
    with Sandbox("san") as box:
        yield box


@pytest.fixture
def shared() -> Iterator[Sandbox]:
    """Container 123 runs on /vz."""
    assert REASON is None, REASON
    with Sandbox("shared") as box:
        yield box


def ssh(box: Sandbox, name: str, script: str) -> subprocess.CompletedProcess[str]:
    argv = ["ssh", "-F", str(box.ssh_config), name, script]
    return subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
    )


def status(box: Sandbox, script: str) -> int:
    return int(box.hn1.sh(f"{script} >/dev/null 2>&1; echo $?"))


def test_ssh_from_outside_and_between_the_nodes(san: Sandbox) -> None:
    for name, peer in (("hn1", "hn2"), ("hn2", "hn1")):
        done = ssh(san, name, f"hostname; ssh -o BatchMode=yes {peer} hostname")
        assert done.stdout.split() == [name, peer], done.stderr


def test_a_node_sees_neither_the_other_nor_the_machine(san: Sandbox) -> None:
    own = Path("/proc/self/ns/mnt").readlink()
    spaces = {Path(f"/proc/{node.pid}/ns/mnt").readlink() for node in san.nodes}
    assert own not in spaces
    assert len(spaces) == 2
    assert "hn2" not in san.hn1.sh("cat /proc/[0-9]*/mountinfo", check=False)
    assert len({node.sh("cat /proc/sys/kernel/random/boot_id") for node in san.nodes}) == 2


def test_the_boot_script_refuses_a_namespace_that_is_not_its_own() -> None:
    assert REASON is None, REASON
    script = Path(supervisor.__file__).parent / "node/boot.sh"
    # In a namespace that is thrown away, so that a guard that fails harms nothing.
    inner = f"MACHINE=$(readlink /proc/self/ns/mnt) exec sh {script} 4>&1"
    argv = ["unshare", "--mount", "--pid", "--fork", "--propagation", "private", "sh", "-c", inner]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "of its own" in done.stdout


def test_the_shared_disk_is_one_disk_with_one_identity(san: Sandbox) -> None:
    ask = "/lib/udev/scsi_id --whitelisted --replace-whitespace --device="
    link = "/dev/disk/by-id/wwn-0x600508b4000971f0"
    assert san.hn1.sh(f"{ask}/dev/sda1") == san.hn2.sh(f"{ask}{link}") == "3600508b4000971f0\n"
    with pytest.raises(SandboxError):
        san.hn1.sh(f"{ask}/dev/vda1")


def test_a_second_mount_succeeds_as_on_a_san(san: Sandbox) -> None:
    san.hn2.sh("blockdev --flushbufs /dev/sdm1; mkdir /tmp/m; mount /dev/sdm1 /tmp/m; umount /tmp/m")


def test_reads_are_stale_until_flushed(san: Sandbox) -> None:
    read = "dumpe2fs -h /dev/sdm1 2>/dev/null | grep -c needs_recovery || true"
    assert san.hn2.sh(f"blockdev --flushbufs /dev/sdm1; {read}") == "1\n"
    san.hn1.sh("vzctl stop 123")
    assert san.hn2.sh(read) == "1\n"
    assert san.hn2.sh(f"blockdev --flushbufs /dev/sdm1; {read}") == "0\n"


def test_a_container_goes_on_counting_where_it_stopped(shared: Sandbox) -> None:
    until(lambda: len(counter(shared.hn1, PRIVATE)) > 3, shared.hn1)
    shared.hn1.sh("vzctl stop 123")
    stopped = counter(shared.hn1, PRIVATE)
    assert shared.hn1.sh("vzctl status 123") == "CTID 123 exist unmounted down\n"
    shared.hn1.sh("vzctl start 123")
    assert shared.hn1.sh("vzctl status 123") == "CTID 123 exist mounted running\n"
    until(lambda: len(counter(shared.hn1, PRIVATE)) > len(stopped), shared.hn1)
    assert counter(shared.hn1, PRIVATE) == list(range(1, len(counter(shared.hn1, PRIVATE)) + 1))


def test_words_of_status(shared: Sandbox) -> None:
    shared.hn1.sh("vzctl stop 123; vzctl mount 123")
    assert shared.hn1.sh("vzctl status 123") == "CTID 123 exist mounted down\n"
    shared.hn1.sh("vzctl stop 123")
    assert shared.hn1.sh("vzctl status 123") == "CTID 123 exist mounted down\n"
    shared.hn1.sh(f"vzctl umount 123; touch {DUMP}")
    assert shared.hn1.sh("vzctl status 123") == SUSPENDED
    shared.hn1.sh(f"rm {DUMP}; mv /vz/private/123 /vz/aside")
    assert shared.hn1.sh("vzctl status 123") == "CTID 123 deleted unmounted down\n"
    assert status(shared, "vzctl start 123") == 43


def tokens(node: Node) -> dict[int, str]:
    """With which token in its memory the container's init has counted each number."""
    lines = [line.split() for line in node.path(f"{PRIVATE}/tokens").read_text().splitlines()]
    assert [int(number) for number, _ in lines] == list(range(1, len(lines) + 1))
    assert all(len(token) == 16 for _, token in lines)
    return {int(number): token for number, token in lines}


def counts_on(node: Node, more: int = 3) -> dict[int, str]:
    """Once it has counted on by so many: without a gap, and none twice. Gives their tokens."""
    seen = counter(node, PRIVATE)
    until(lambda: len(counter(node, PRIVATE)) > len(seen) + more, node)
    numbers = counter(node, PRIVATE)
    assert numbers == list(range(1, len(numbers) + 1))
    return tokens(node)


def test_a_restored_container_goes_on_with_what_it_had_in_memory(shared: Sandbox) -> None:
    node = shared.hn1
    token = counts_on(node)[1]
    for back in ("restore", "start", "--skiplock restore"):
        node.sh("vzctl chkpnt 123")
        assert node.sh("vzctl status 123") == SUSPENDED
        frozen = counter(node, PRIVATE)
        assert node.sh(f"cat {DUMP}/*") == f"{frozen[-1]} {token}\n"
        assert node.sh(f"stat -c '%a %F' {DUMP} {DUMP}/*") == "755 directory\n644 regular file\n"
        assert node.sh("grep -c /vz/root/123 /proc/self/mountinfo || true") == "0\n"
        node.sh(f"vzctl {back} 123")
        assert node.sh(f"vzctl status 123; ls -d {DUMP} 2>&1 || true").startswith(RUNNING + "ls: ")
        assert counts_on(node)[frozen[-1] + 1] == token
    assert set(tokens(node).values()) == {token}
    assert leftovers(shared) == []


def test_a_cold_start_has_nothing_in_memory(shared: Sandbox) -> None:
    first = set(counts_on(shared.hn1).values())
    shared.hn1.sh("vzctl stop 123 --fast; vzctl start 123")
    assert len(first) == 1
    assert len(set(counts_on(shared.hn1).values()) - first) == 1


def test_no_moment_is_too_early_for_a_checkpoint(shared: Sandbox) -> None:
    token = counts_on(shared.hn1)[1]
    for _ in range(8):
        shared.hn1.sh("vzctl chkpnt 123 && vzctl restore 123")
    assert set(counts_on(shared.hn1).values()) == {token}
    shared.hn1.sh("vzctl stop 123; vzctl start 123; vzctl chkpnt 123; vzctl restore 123")
    assert len(set(counts_on(shared.hn1).values()) - {token}) == 1


def test_memory_goes_along_to_another_node(shared: Sandbox) -> None:
    token = counts_on(shared.hn1)[1]
    shared.hn1.sh(
        "vzctl chkpnt 123; rsync -aHAXS --numeric-ids /vz/private/123 root@hn2:/vz/private/; "
        f"rsync -a {DUMP} root@hn2:/vz/dump/; rsync -a /etc/vz/conf/123.conf root@hn2:/etc/vz/conf/"
    )
    shared.hn2.sh("vzctl restore 123")
    assert set(counts_on(shared.hn2).values()) == {token}


def test_memory_goes_along_with_a_disk_that_is_handed_over(san: Sandbox) -> None:
    token = counts_on(san.hn1)[1]
    san.hn1.sh(f"echo unflushed >{PRIVATE}/note; vzctl chkpnt 123")
    assert san.hn1.sh(f"grep -c ' {PRIVATE} ' /proc/self/mountinfo || true") == "0\n"
    san.hn1.sh(
        f"rsync -a {DUMP} root@hn2:/vz/dump/; cd /etc/vz/conf; mv 123.conf 123.conf.migrated; "
        "sed s/sda1/sdm1/ 123.conf.migrated | ssh hn2 'cat >/etc/vz/conf/123.conf'"
    )
    san.hn2.sh(f"mkdir {PRIVATE}; blockdev --flushbufs /dev/sdm1; vzctl restore 123")
    assert set(counts_on(san.hn2).values()) == {token}
    assert san.hn2.sh(f"cat {PRIVATE}/note") == "unflushed\n"


@pytest.mark.parametrize("verb", ["restore", "start"])
def test_a_dump_without_its_memory_stays_and_nothing_starts(san: Sandbox, verb: str) -> None:
    node = san.hn1
    token = counts_on(node)[1]
    node.sh(f"vzctl chkpnt 123; mv {DUMP}/memory /vz/aside; head -c 5 /vz/aside >{DUMP}/memory")
    assert status(san, f"vzctl {verb} 123") == 17
    assert node.sh("vzctl status 123") == SUSPENDED
    assert leftovers(san) == []  # its disk neither
    node.sh(f"mv /vz/aside {DUMP}/memory; vzctl {verb} 123")
    assert set(counts_on(node).values()) == {token}


def test_what_checkpoints_refuse(shared: Sandbox) -> None:
    node = shared.hn1
    token = counts_on(node)[1]
    node.sh("touch /run/faults/vzctl-chkpnt-fails")
    assert status(shared, "vzctl chkpnt 123") == 1
    node.sh("rm /run/faults/*; mv /vz/dump /vz/away")  # nowhere to put it: the container goes on
    assert status(shared, "vzctl chkpnt 123") == 16
    assert set(counts_on(node).values()) == {token}
    node.sh("mv /vz/away /vz/dump")
    assert status(shared, "vzctl restore 123") == 32
    node.sh(
        "vzctl chkpnt 123; touch /run/faults/vzctl-restore-fails; echo DISABLED=yes >>/etc/vz/conf/123.conf"
    )
    assert status(shared, "vzctl restore 123") == 1
    assert status(shared, "vzctl chkpnt 123") == 31
    assert status(shared, "vzctl start 123") == 105
    node.sh("rm /run/faults/*; sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >/vz/lock/123.lck")
    assert status(shared, "vzctl restore 123") == 9
    assert node.sh("vzctl status 123") == SUSPENDED
    node.sh("vzctl --skiplock restore 123")
    assert status(shared, "vzctl chkpnt 123") == 9
    node.sh("kill $(cat /vz/lock/123.lck)")
    assert set(counts_on(node).values()) == {token}
    node.sh("vzctl --skiplock stop 123")
    assert status(shared, "vzctl --skiplock restore 123") == 17


def test_a_checkpoint_hides_an_unmount_that_failed(shared: Sandbox) -> None:
    pid = make_busy(shared.hn1, "/vz/root/123")
    assert status(shared, "vzctl chkpnt 123") == 0
    assert shared.hn1.sh(f"vzctl status 123; test -d {DUMP}") == "CTID 123 exist mounted down\n"
    assert status(shared, "vzctl restore 123") == 20
    end_busy(shared.hn1, pid)
    shared.hn1.sh("vzctl umount 123; vzctl restore 123")
    assert len(set(counts_on(shared.hn1).values())) == 1


def test_locks(shared: Sandbox) -> None:
    shared.hn1.sh("sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >/vz/lock/123.lck")
    assert status(shared, "vzctl stop 123") == 9
    assert status(shared, "vzctl --skiplock stop 123") == 0
    shared.hn1.sh("kill $(cat /vz/lock/123.lck)")
    until(lambda: status(shared, "test -d /proc/$(cat /vz/lock/123.lck)") != 0)
    assert status(shared, "vzctl start 123") == 0
    assert leftovers(shared) == []


def test_the_first_of_two_values_counts(shared: Sandbox) -> None:
    shared.hn1.sh(
        "vzctl stop 123; cd /etc/vz/conf; sed -i '1i DISABLED=yes' 123.conf; echo DISABLED=no >>123.conf"
    )
    assert status(shared, "vzctl start 123") == 105
    assert status(shared, "vzctl start 123 --force") == 0


def test_hooks_hide_an_unmount_that_failed(san: Sandbox) -> None:
    pid = make_busy(san.hn1, PRIVATE)
    assert status(san, "vzctl stop 123") == 0
    assert san.hn1.sh("vzctl status 123") == "CTID 123 exist unmounted down\n"
    assert any(PRIVATE in line for line in leftovers(san))
    end_busy(san.hn1, pid)
    san.hn1.sh(f"umount {PRIVATE}")
    assert leftovers(san) == []


def test_switches_make_tools_fail(san: Sandbox) -> None:
    san.hn1.sh("vzctl stop 123; touch /run/faults/vzctl-start-fails")
    assert status(san, "vzctl --skiplock start 123") == 1
    san.hn1.sh(f"rm /run/faults/*; echo {PRIVATE} >/run/faults/mount-fails")
    assert status(san, f"mount /dev/sda1 {PRIVATE}") == 32


def test_a_copy_by_rsync_keeps_everything(shared: Sandbox) -> None:
    shared.hn1.sh("vzctl stop 123; rsync -aHAXS --numeric-ids /vz/private/123/ root@hn2:/vz/private/123/")
    assert tree_hash(shared.hn1, PRIVATE) == tree_hash(shared.hn2, PRIVATE)
    shared.hn2.sh(f"touch -d @1 {PRIVATE}/srv/data/plain")
    assert tree_hash(shared.hn1, PRIVATE) != tree_hash(shared.hn2, PRIVATE)


def test_the_network_can_be_cut_and_comes_back(shared: Sandbox) -> None:
    cut_network(shared.hn2)
    assert ssh(shared, "hn2", "true").returncode == 255
    restore_network(shared.hn2)
    assert ssh(shared, "hn2", "true").returncode == 0


def test_a_boot_starts_what_the_configs_and_the_boot_list_say(shared: Sandbox) -> None:
    node = shared.hn1
    cases = {  # ONBOOT, with a file in VZREBOOTDIR, is started
        130: ("yes", False, True),
        131: ("no", True, False),
        132: (None, True, True),
        133: (None, False, False),
        134: ("yes", True, True),
    }
    node.sh("vzctl stop 123; vzctl stop 101; rm /etc/vz/conf/101.conf; mkdir -p /vz/again")
    node.sh("echo VZREBOOTDIR=/vz/again >>/etc/vz/vz.conf; : >/vz/again/999; : >/vz/again/123.old")
    for ctid, (onboot, listed, _) in cases.items():
        node.sh(f"cp -a /vz/private/101 /vz/private/{ctid}; sed -i /ONBOOT/d /etc/vz/conf/123.conf")
        text = f"ONBOOT={onboot}\n" if onboot else "# not said\n"
        node.path(f"/etc/vz/conf/{ctid}.conf").write_text(text)
        if listed:
            node.path(f"/vz/again/{ctid}").touch()
    site = LiveSite(("-F", str(shared.ssh_config)), None)
    try:
        facts = site.facts("hn1")["hn1"]
    finally:
        site.close()
    assert facts.reboots == (131, 132, 134, 999)
    node.sh("/etc/init.d/vz start")
    running = {int(ctid) for ctid in node.sh("vzlist -1").split()}
    assert running == {ctid for ctid, (_, _, started) in cases.items() if started}
    # And so says the simulated node that is made of the same facts.
    assert auto_starts(World.of(facts).nodes["hn1"]) == running


def test_a_rename_is_lost_in_a_power_cut_unless_it_was_synced(shared: Sandbox) -> None:
    conf = "/etc/vz/conf"
    for _ in range(20):  # one kernel: whoever syncs anything on this machine may sync the last rename too
        shared.hn1.sh(f"cd {conf}; touch old synced; sync; mv synced kept; sync; mv old new")
        shared.reboot("hn1")
        names = shared.hn1.sh(f"cd {conf}; ls -d old new kept synced 2>/dev/null; rm -f old new kept").split()
        assert "kept" in names
        assert "synced" not in names
        if names == ["kept", "old"]:
            return
    pytest.fail("a rename that was not synced was never lost")


def test_nothing_that_a_container_had_synced_is_lost_in_a_power_cut(san: Sandbox) -> None:
    hash_before = tree_hash(san.hn1, PRIVATE)
    for _ in range(3):
        until(lambda: len(counter(san.hn1, PRIVATE)) > 3, san.hn1)
        seen = counter(san.hn1, PRIVATE)[:-1]  # the last line may not be on disk yet
        san.reboot("hn1")
        until(lambda seen=seen: len(counter(san.hn1, PRIVATE)) > len(seen), san.hn1)  # type: ignore[misc]
        numbers = counter(san.hn1, PRIVATE)
        assert numbers == list(range(1, len(numbers) + 1))
        assert tree_hash(san.hn1, PRIVATE) == hash_before
    assert leftovers(san) == []


def test_a_lock_that_a_power_cut_left_does_not_hold_up_what_is_started_at_boot(san: Sandbox) -> None:
    """Its number is that of no process of the next boot, though that does the same things in the same order."""
    noted = (
        "s,^    trap unlock EXIT$,cp $lock /var/left-$VEID; &,; "
        "s,^        rm -f .* # stale$,echo $holder >>/var/stale; &,"
    )
    san.hn1.sh(
        f"sed -i '{noted}' /usr/lib/node/vzctl; grep -c '/var/left-\\|/var/stale' /usr/lib/node/vzctl; sync"
    )
    san.reboot("hn1")
    for _ in range(4):
        # As if it had been written, and its end had not, when the power was cut.
        left = san.hn1.sh("rm -f /var/stale; cp /var/left-123 /vz/lock/123.lck; sync; cat /var/left-123")
        san.reboot("hn1")
        assert san.hn1.sh("vzlist -1").split() == ["101", "123"]
        assert san.hn1.sh("cat /var/stale") == left
    assert leftovers(san) == []


def test_a_disk_that_was_mounted_in_a_power_cut_says_so_to_the_other_node(san: Sandbox) -> None:
    read = (
        "blockdev --flushbufs /dev/sdm1; dumpe2fs -h /dev/sdm1 2>/dev/null | grep -c needs_recovery || true"
    )
    san.power_cut("hn1")
    assert san.hn2.sh(read) == "1\n"
    # The other node may take it: its mount replays the journal, and nothing synced is missing.
    san.hn2.sh(f"mkdir {PRIVATE}; mount /dev/sdm1 {PRIVATE}")
    numbers = counter(san.hn2, PRIVATE)
    assert numbers == list(range(1, len(numbers) + 1))
    san.hn2.sh(f"umount {PRIVATE}; rmdir {PRIVATE}")
    assert san.hn2.sh(read) == "0\n"
    # A disk that was not mounted is as it was.
    san.boot("hn1")
    san.hn1.sh("vzctl stop 123")
    san.power_cut("hn1")
    assert san.hn2.sh(read) == "0\n"


def test_a_node_comes_back_as_itself_with_new_volatile_places(shared: Sandbox) -> None:
    was = shared.hn1.sh("cat /proc/sys/kernel/random/boot_id")
    mounts, others = (node.sh("cut -d ' ' -f 5 /proc/self/mountinfo") for node in shared.nodes)
    shared.hn1.sh(
        "for place in dev run tmp vz etc; do touch /$place/note; done; sync; mount -t tmpfs odd /mnt"
    )
    pid = make_busy(shared.hn1, "/etc")
    shared.power_cut("hn1")
    with pytest.raises(SandboxError, match="no power"):
        shared.hn1.sh("true")
    with pytest.raises(SandboxError, match="no power"):
        counter(shared.hn1, PRIVATE)
    with pytest.raises(SandboxError, match="no power"):
        shared.power_cut("hn1")
    assert ssh(shared, "hn1", "true").returncode == 255
    assert ssh(shared, "hn2", "hostname").stdout == "hn2\n"
    shared.boot("hn1")
    with pytest.raises(SandboxError, match="has power"):
        shared.boot("hn1")
    assert ssh(shared, "hn2", "ssh -o BatchMode=yes hn1 hostname").stdout == "hn1\n"
    assert shared.hn1.sh("cat /proc/sys/kernel/random/boot_id") != was
    assert shared.hn1.sh("ls -d /*/note").split() == ["/etc/note", "/vz/note"]
    assert status(shared, f"readlink /proc/{pid}/cwd | grep -x /etc") != 0
    assert shared.hn1.sh("cut -d ' ' -f 5 /proc/self/mountinfo") == mounts
    assert shared.hn2.sh("cut -d ' ' -f 5 /proc/self/mountinfo") == others
    shared.hn1.sh("test -b /dev/disk/by-id/wwn-0x600508b4000971f0")
    assert leftovers(shared) == []


def test_a_boot_starts_what_its_configs_and_the_reboot_list_say(san: Sandbox) -> None:
    def boots(lines: str, listed: str = "") -> str:
        san.hn1.sh(
            "cd /etc/vz/conf; sed -i -e /ONBOOT/d -e /DISABLED/d 123.conf; "
            f"printf '{lines}' >>123.conf; rm -rf /var/lib/vzctl; mkdir -p /var/lib/vzctl/vzreboot; {listed} sync"
        )
        san.reboot("hn1")
        assert san.hn1.sh("vzctl status 101") == "CTID 101 exist mounted running\n"
        return san.hn1.sh(f"vzctl status 123; grep -c ' {PRIVATE} ' /proc/self/mountinfo || true")

    runs, does_not = "CTID 123 exist mounted running\n1\n", "CTID 123 exist unmounted down\n0\n"
    lists = "touch /var/lib/vzctl/vzreboot/123;"
    assert boots("ONBOOT=yes\\n") == runs
    assert boots("ONBOOT=yes\\nDISABLED=yes\\n") == does_not
    assert boots("ONBOOT=no\\n") == does_not
    assert boots("", lists) == runs
    assert boots("") == does_not
    assert boots("ONBOOT=no\\n", lists) == does_not


def test_two_sandboxes_at_once(shared: Sandbox) -> None:
    with Sandbox("san", running=False) as other:
        assert ssh(other, "hn1", "vzctl status 123").stdout == "CTID 123 exist unmounted down\n"
        assert ssh(shared, "hn1", "vzctl status 123").stdout == "CTID 123 exist mounted running\n"


def test_nothing_outlives_the_supervisor() -> None:
    assert REASON is None, REASON
    mounts = Path("/proc/self/mountinfo").read_text()
    box = Sandbox("san").up()
    handles = [os.pidfd_open(node.pid) for node in box.nodes]
    os.kill(box.supervisor_pid, signal.SIGKILL)
    for handle in handles:
        assert select.select([handle], [], [], 15)[0]
        os.close(handle)
    until(lambda: kernel.loops_over(box.folder) == [])
    assert Path("/proc/self/mountinfo").read_text() == mounts
    box.down()
    assert not box.folder.exists()
    take_down(box.folder)


def test_nothing_outlives_a_supervisor_that_is_killed_while_a_node_boots() -> None:
    assert REASON is None, REASON
    mounts = Path("/proc/self/mountinfo").read_text()
    box = Sandbox("san").up()
    box.hn1.sh(
        "echo 'touch /run/booting; sleep 1000' >/etc/vz/conf/101.premount; chmod +x /etc/vz/conf/101.*; sync"
    )
    box.power_cut("hn1")
    with ThreadPoolExecutor() as pool:
        booting = pool.submit(box.boot, "hn1")
        until(lambda: Path(f"/proc/{_init(box, 'hn1')}/root/run/booting").exists())
        handle = os.pidfd_open(_init(box, "hn1"))
        os.kill(box.supervisor_pid, signal.SIGKILL)
        with pytest.raises(SandboxError, match="the supervisor is gone"):
            booting.result()
    assert select.select([handle], [], [], 15)[0]
    os.close(handle)
    until(lambda: kernel.loops_over(box.folder) == [])
    assert Path("/proc/self/mountinfo").read_text() == mounts
    box.down()
    assert not box.folder.exists()


KILLED_AT_ONCE: Final = """
import os, signal, subprocess
from tests.sandbox import Sandbox

box, begin = Sandbox(), subprocess.Popen.__init__

def begin_and_die(*words, **more):
    begin(*words, **more)
    print(box.folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

subprocess.Popen.__init__ = begin_and_die
box.up()
"""


def test_nothing_outlives_who_is_killed_as_soon_as_a_sandbox_begins_to_be_made() -> None:
    assert REASON is None, REASON
    argv = [sys.executable, "-c", KILLED_AT_ONCE]
    killed = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    folder = Path(killed.stdout.strip())
    assert folder.is_absolute()
    until(lambda: not folder.exists())


def test_a_sandbox_of_which_a_node_has_no_power_is_taken_down() -> None:
    assert REASON is None, REASON
    with Sandbox("san") as box:
        box.reboot("hn2")
        box.power_cut("hn1")
    assert not box.folder.exists()
    assert kernel.loops_over(box.folder) == []


def _init(box: Sandbox, name: str) -> int:
    """The node's init, also of one that has not come up yet."""
    return supervisor.read_node(box.folder, name).pid
