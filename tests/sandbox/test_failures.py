"""Things that go wrong on real nodes: each ends with the container at the source as before, and nothing left."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from planner import saga
from planner.model import NodeFacts, State
from planner.plan import Outcome, What
from planner.verbs import HALF_UP
from tests.sandbox import (
    Sandbox,
    cut_network,
    end_busy,
    leftovers,
    make_busy,
    restore_network,
    tree_hash,
    until,
)
from tests.sandbox.driving import CTID, PRIVATE, Driver, Hooks, changes
from tests.sandbox.nodes import REPOSITORY, assert_counts_on
from tests.sandbox.test_moves import WAYS, in_state, kept, tokens

Break = Callable[[Sandbox], None]


def switch(name: str, text: str = "") -> str:
    return f"printf '%s\\n' '{text}' >/run/faults/{name}"


def start_fails(box: Sandbox) -> None:
    box.hn2.sh(switch("vzctl-start-fails"))


def busy(box: Sandbox) -> None:
    make_busy(box.hn1, PRIVATE)


def hook_hides_that_it_failed(box: Sandbox) -> None:
    box.hn1.sh(switch("umount-fails", PRIVATE))


def mount_fails(box: Sandbox) -> None:
    box.hn2.sh(switch("mount-fails", PRIVATE))


def much_to_copy(box: Sandbox) -> None:
    box.hn1.sh(f"head -c 40000000 /dev/urandom >{PRIVATE}/srv/large")


def assert_as_before(box: Sandbox, driver: Driver, before: Mapping[str, NodeFacts], hash_before: str) -> None:
    assert changes(before, driver.facts()) == []
    assert tree_hash(box.hn1, PRIVATE) == hash_before
    assert leftovers(box) == []
    # It runs, goes on where it was, and nothing that it wrote is lost or twice there.
    assert_counts_on(box.hn1, PRIVATE)


@pytest.mark.parametrize(
    ("world", "trouble", "at"),
    [
        ("shared", start_fails, "bring-up"),
        ("san", start_fails, "bring-up"),
        ("san", busy, "release-source"),
        ("san", hook_hides_that_it_failed, "release-source"),
        ("san", mount_fails, "mount-destination"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_failure_is_unwound(world: str, trouble: Break, at: str, tmp_path: Path) -> None:
    with Sandbox(world) as box:
        driver = Driver(box, tmp_path)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        assert before["hn1"].container(CTID) is not None
        trouble(box)
        stop, watch, _ = driver.apply()
        assert stop.outcome is Outcome.UNWOUND, (stop, watch.moves)
        failed = [name for what, name, status in watch.moves if what is What.DO and status != 0]
        assert failed == [at], (stop, watch.moves)
        assert_as_before(box, driver, before, hash_before)


STAGES: Final = {
    "chkpnt-suspend": ("hn1", "freeze"),
    "chkpnt-dump": ("hn1", "dump"),
    "chkpnt-kill": ("hn1", "kill"),
    "restore-undump": ("hn2", "undump"),
    "restore-resume": ("hn2", "bring-up"),
}
"""Each stage of a staged checkpoint: where vzctl fails at it, and at which step that shows."""
WHOLE: Final = {"chkpnt": ("hn1", "suspend"), "restore": ("hn2", "bring-up")}


@pytest.mark.parametrize(
    ("way", "how", "faults"),
    [
        ("a", "staged", {at: told for at, told in STAGES.items() if at != "chkpnt-kill"}),
        ("d2", "staged-by-device", STAGES),
        ("d2", "online-by-device", WHOLE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_checkpoint_that_fails_at_any_stage_is_taken_back_with_its_memory(
    way: str, how: str, faults: Mapping[str, tuple[str, str]], tmp_path: Path
) -> None:
    with in_state(way, State.RUNNING) as box:
        driver, options = Driver(box, tmp_path), kept(box, how, WAYS[way].there)
        before, hash_before, ((_, token),) = driver.facts(), tree_hash(box.hn1, PRIVATE), tokens(box.hn1)[:1]
        for fault, (node, step) in faults.items():
            at = box.hn1 if node == "hn1" else box.hn2
            at.sh(switch(f"vzctl-{fault}-fails"))
            stop, watch, _ = driver.apply(options=options)
            assert stop.outcome is Outcome.UNWOUND, (fault, stop, watch.moves)
            failed = [name for what, name, status in watch.moves if what is What.DO and status != 0]
            assert failed == [step], (fault, stop, watch.moves)
            at.sh(f"rm /run/faults/vzctl-{fault}-fails")
            assert_as_before(box, driver, before, hash_before)
            assert {known for _, known in tokens(box.hn1)} == {token}, fault


def test_a_checkpoint_that_was_cut_off_leaves_nothing_stopped(tmp_path: Path) -> None:
    with in_state("a", State.RUNNING) as box:
        driver, options = Driver(box, tmp_path), kept(box, "online", WAYS["a"].there)
        before, hash_before, ((_, token),) = driver.facts(), tree_hash(box.hn1, PRIVATE), tokens(box.hn1)[:1]
        box.hn1.sh(switch("vzctl-chkpnt-stops"))
        stop, watch, _ = driver.apply(options=options)
        assert stop.outcome is Outcome.UNWOUND, (stop, watch.moves)
        assert_as_before(box, driver, before, hash_before)
        assert {known for _, known in tokens(box.hn1)} == {token}


def test_a_frozen_one_that_cannot_be_ended_after_it_has_moved_is_ended_by_recover(tmp_path: Path) -> None:
    with in_state("a", State.RUNNING) as box:
        driver, options = Driver(box, tmp_path), kept(box, "staged", WAYS["a"].there)
        hash_before, ((_, token),) = tree_hash(box.hn1, PRIVATE), tokens(box.hn1)[:1]
        pids: list[int] = []
        within = {(What.DO, "kill"): lambda: pids.append(make_busy(box.hn1, f"/vz/root/{CTID}"))}
        stop, watch, run = driver.apply(within, options=options)
        assert stop.outcome is Outcome.MIGRATED_NOT_CLEANED, (stop, watch.moves)
        assert driver.recover(run).outcome is Outcome.MIGRATED_NOT_CLEANED
        # Its config and its area are there, for without them vzctl cannot end it.
        assert box.hn1.sh(f"ls /etc/vz/conf/{CTID}.conf {PRIVATE}/counter").count("\n") == 2
        for pid in pids:  # one for each time that it was tried
            end_busy(box.hn1, pid)
        assert driver.recover(run).outcome is Outcome.MIGRATED
        assert driver.facts()["hn1"].container(CTID) is None
        assert leftovers(box) == []
        assert tree_hash(box.hn2, PRIVATE) == hash_before
        assert_counts_on(box.hn2, PRIVATE)
        assert {known for _, known in tokens(box.hn2)} == {token}


def test_what_ends_as_soon_as_it_was_started_at_the_destination_has_moved(tmp_path: Path) -> None:
    """It may have written there; started at the source again it would go on from older files."""
    with Sandbox("san") as box:
        driver = Driver(box, tmp_path)
        box.hn2.sh(switch("init-ends"))
        stop, watch, run = driver.apply()
        assert stop.outcome is Outcome.DOWN, (stop, watch.moves)
        assert driver.facts()["hn1"].container(CTID) is None
        assert driver.recover(run).outcome is Outcome.DOWN
        box.hn2.sh("rm /run/faults/init-ends")
        assert driver.recover(run).outcome is Outcome.MIGRATED
        assert leftovers(box) == []
        assert_counts_on(box.hn2, PRIVATE)


def test_what_has_moved_and_cannot_be_started_any_more_is_down_until_it_can(tmp_path: Path) -> None:
    with Sandbox("san") as box:
        driver, hash_before, pids = Driver(box, tmp_path), tree_hash(box.hn1, PRIVATE), list[int]()

        def stops_and_is_held() -> None:
            if not pids:
                box.hn2.sh(f"vzctl --skiplock stop {CTID}; vzctl --skiplock mount {CTID}")
                box.hn2.sh(switch("vzctl-start-fails"))
                pids.append(make_busy(box.hn2, f"/vz/root/{CTID}"))

        stop, watch, run = driver.apply({(What.DO, "ensure-up"): stops_and_is_held})
        assert stop.outcome is Outcome.DOWN, (stop, watch.moves)
        assert "still mounted" in stop.because
        assert {status for what, name, status in watch.moves if (what, name) == (What.DO, "ensure-up")} == {
            HALF_UP
        }
        assert driver.recover(run).outcome is Outcome.DOWN
        end_busy(box.hn2, pids[0])
        box.hn2.sh("rm /run/faults/vzctl-start-fails")
        assert driver.recover(run).outcome is Outcome.MIGRATED
        assert leftovers(box) == []
        assert tree_hash(box.hn2, PRIVATE) == hash_before
        assert_counts_on(box.hn2, PRIVATE)


def test_a_device_that_cannot_be_emptied_is_let_go_of_all_the_same(tmp_path: Path) -> None:
    with in_state("b", State.STOPPED) as box:
        driver = Driver(box, tmp_path)
        before, hash_before, device = driver.facts(), tree_hash(box.hn1, PRIVATE), WAYS["b"].there.dst_device

        def unmounted_and_not_to_be_emptied() -> None:
            box.hn2.sh(
                f"umount {PRIVATE}; mount {device} /mnt; touch /mnt/odd; chattr +i /mnt/odd; umount /mnt"
            )

        within = {(What.DO, "lock-hn1"): unmounted_and_not_to_be_emptied}
        stop, watch, run = driver.apply(within, options=WAYS["b"].there)
        assert stop.outcome is Outcome.UNWOUND_NOT_CLEANED, (stop, watch.moves)
        assert {name for what, name, status in watch.moves if what is What.UNDO and status} == {"claim-empty"}
        assert "/mnt" not in box.hn2.sh("cut -d ' ' -f 5 /proc/self/mountinfo")
        box.hn2.sh(f"mount {device} /mnt; chattr -i /mnt/odd; umount /mnt")
        assert driver.recover(run).outcome is Outcome.REFUSED  # a guard had found it: nothing was touched
        assert changes(before, driver.facts()) == []
        assert tree_hash(box.hn1, PRIVATE) == hash_before
        assert leftovers(box) == []


def test_what_somebody_else_has_frozen_stays_so(tmp_path: Path) -> None:
    with in_state("a", State.RUNNING) as box:
        driver, options = Driver(box, tmp_path), kept(box, "staged", WAYS["a"].there)
        hash_before, before = tree_hash(box.hn1, PRIVATE), driver.facts()
        box.hn1.sh(f"vzctl chkpnt {CTID} --suspend")
        frozen = driver.facts()
        stop, watch, _ = driver.apply(options=options)
        assert stop.outcome is Outcome.UNWOUND, (stop, watch.moves)
        assert "this run has not frozen it" in stop.because
        assert changes(frozen, driver.facts()) == []
        assert f"{CTID}" in box.hn1.sh("ls /run | grep frozen")
        box.hn1.sh(f"vzctl chkpnt {CTID} --resume")
        assert_as_before(box, driver, before, hash_before)


@pytest.mark.parametrize(("typed", "token_stays"), [("--resume", True), ("--kill", False)])
def test_what_somebody_does_to_it_while_it_stands_still_takes_the_move_back(
    typed: str, token_stays: bool, tmp_path: Path
) -> None:
    with in_state("a", State.RUNNING) as box:
        driver, options = Driver(box, tmp_path), kept(box, "staged", WAYS["a"].there)
        ((_, token),) = tokens(box.hn1)[:1]

        def by_hand() -> None:
            box.hn1.sh(f"vzctl --skiplock chkpnt {CTID} {typed}")

        stop, watch, _ = driver.apply({(What.DO, "prove-frozen"): by_hand}, options=options)
        assert stop.outcome is Outcome.UNWOUND, (stop, watch.moves)
        failed = [name for what, name, status in watch.moves if what is What.DO and status != 0]
        assert failed == ["prove-frozen"], watch.moves
        found = driver.facts()
        assert (found["hn1"].container(CTID) is None, found["hn2"].container(CTID) is None) == (False, True)
        assert (tokens(box.hn1)[-1][1] == token) is token_stays
        assert leftovers(box) == []


def test_a_dump_device_that_is_on_its_way_with_another_container_is_left_alone(tmp_path: Path) -> None:
    fill = "mkdir /tmp/o; mount {0} /tmp/o; {1}; umount /tmp/o; rmdir /tmp/o"
    with in_state("d2", State.RUNNING) as box:
        driver, options = Driver(box, tmp_path), kept(box, "staged-by-device", WAYS["d2"].there)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        box.hn2.sh(fill.format("/dev/sdg1", "echo precious >/tmp/o/Dump.777"))
        stop, watch, _ = driver.apply(options=options)
        assert stop.outcome is Outcome.REFUSED, (stop, watch.moves)
        assert "Dump.777" in stop.because
        box.hn2.sh(fill.format("/dev/sdg1", "grep -q -x precious /tmp/o/Dump.777 && rm /tmp/o/Dump.777"))
        assert_as_before(box, driver, before, hash_before)


@pytest.mark.parametrize(("typed", "keeps"), [("--resume", True), ("--kill", False)])
def test_what_still_stands_still_can_be_dealt_with_by_hand_as_the_docs_say(
    typed: str, keeps: bool, tmp_path: Path
) -> None:
    command = f"vzctl --skiplock chkpnt {CTID} {typed}"
    assert f"`{command}`" in (REPOSITORY / "docs/when-something-goes-wrong.md").read_text()
    with in_state("a", State.RUNNING) as box:
        driver, options = Driver(box, tmp_path), kept(box, "staged", WAYS["a"].there)
        ((_, token),) = tokens(box.hn1)[:1]
        for fault in ("dump", "resume"):
            box.hn1.sh(switch(f"vzctl-chkpnt-{fault}-fails"))
        stop, watch, run = driver.apply(options=options)
        assert stop.outcome is Outcome.DOWN, (stop, watch.moves)
        assert "still stands still, with all that it has in mind" in stop.because
        box.hn1.sh("rm /run/faults/*")
        box.hn1.sh(command)
        assert driver.recover(run).outcome is Outcome.UNWOUND
        counted = len(tokens(box.hn1))  # written after the counter, so that is no help here
        until(lambda: len(tokens(box.hn1)) > counted, box.hn1)
        assert (tokens(box.hn1)[-1][1] == token) is keeps
        assert leftovers(box) == []


@pytest.mark.parametrize("spare", ["xfs", "btrfs"])
def test_what_was_copied_onto_it_is_taken_back_from_any_filesystem(spare: str, tmp_path: Path) -> None:
    with in_state("b", State.RUNNING, spare) as box:
        driver = Driver(box, tmp_path)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        start_fails(box)
        stop, watch, _ = driver.apply(options=WAYS["b"].there)
        assert stop.outcome is Outcome.UNWOUND, (stop, watch.moves)
        assert (What.UNDO, "claim-empty", 0) in watch.moves
        assert_as_before(box, driver, before, hash_before)
        assert box.hn2.sh("mount /dev/sdg1 /mnt; ls -A /mnt; umount /mnt") == ""


@pytest.mark.parametrize("spare", ["xfs", "btrfs"])
def test_what_is_seen_to_be_filled_only_once_it_is_mounted_is_not_copied_onto(
    spare: str, tmp_path: Path
) -> None:
    with in_state("b", State.STOPPED, spare) as box:
        driver = Driver(box, tmp_path)
        box.hn2.sh("mount /dev/sdg1 /mnt; echo theirs >/mnt/file; umount /mnt")
        before = driver.facts()
        stop, watch, _ = driver.apply(options=WAYS["b"].there)
        assert stop.outcome is Outcome.UNWOUND, (stop, watch.moves)
        assert "is not empty: ./file" in stop.because
        assert changes(before, driver.facts()) == []
        assert box.hn2.sh("mount /dev/sdg1 /mnt; cat /mnt/file; umount /mnt") == "theirs\n"
        assert leftovers(box) == []


def test_a_disk_that_fills_up_during_the_copy_is_unwound(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        much_to_copy(box)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)

        def fill() -> None:
            box.hn2.sh("dd if=/dev/zero of=/vz/filler bs=1M 2>/dev/null; truncate -s -4M /vz/filler")

        stop, watch, _ = driver.apply({(What.DO, "copy-1"): fill})
        box.hn2.sh("rm /vz/filler")
        assert stop.outcome is Outcome.UNWOUND, (stop, watch.moves)
        assert "No space left on device" in stop.because
        assert_as_before(box, driver, before, hash_before)


def _cut_while_copying(box: Sandbox, *, comes_back: bool) -> tuple[Hooks, threading.Thread]:
    """Hooks that cut hn2's network once the copy's first bytes are there."""
    box.hn1.sh(switch("rsync-slow"))

    def cut() -> None:
        until(lambda: bool(box.hn2.sh(f"ls -A {PRIVATE} 2>/dev/null || true")), box.hn2)
        cut_network(box.hn2)
        if comes_back:
            restore_network(box.hn2)

    thread = threading.Thread(target=cut)
    return {(What.DO, "copy-1"): thread.start}, thread


def test_ssh_cut_in_the_middle_of_the_copy_and_back_again_is_unwound(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        much_to_copy(box)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        hooks, thread = _cut_while_copying(box, comes_back=True)
        stop, watch, _ = driver.apply(hooks)
        thread.join()
        assert stop.outcome is Outcome.UNWOUND, (stop, watch.moves)
        assert (What.SETTLE, "hn2", 0) in watch.moves
        assert_as_before(box, driver, before, hash_before)


def test_ssh_cut_for_good_leaves_the_rest_to_one_recover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saga, "PATIENCE_S", (0, 1, 3))  # the longer waits are tried where none takes time
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        much_to_copy(box)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        hooks, thread = _cut_while_copying(box, comes_back=False)
        stop, watch, run = driver.apply(hooks)
        thread.join()
        assert stop.outcome is Outcome.UNWOUND_NOT_CLEANED, (stop, watch.moves)
        assert {command.node for command in stop.left} == {"hn2"}
        status = box.hn1.sh(f"vzctl status {CTID}")
        assert status == f"CTID {CTID} exist mounted running\n"
        restore_network(box.hn2)
        assert driver.recover(run).outcome is Outcome.UNWOUND
        assert_as_before(box, driver, before, hash_before)
        assert driver.recover(run).outcome is Outcome.UNWOUND  # once more changes nothing (I10)
        assert driver.facts() == before


def test_a_busy_mount_that_is_freed_moves_at_the_second_try(tmp_path: Path) -> None:
    with Sandbox("san") as box:
        driver = Driver(box, tmp_path)
        pid = make_busy(box.hn1, PRIVATE)
        assert driver.apply()[0].outcome is Outcome.UNWOUND
        end_busy(box.hn1, pid)
        assert driver.apply()[0].outcome is Outcome.MIGRATED
        moved = driver.facts()["hn2"].container(CTID)
        assert moved is not None
        assert moved.state is State.RUNNING


def test_a_config_edited_after_the_plan_was_shown_refuses_the_move(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)

        def edit() -> None:
            box.hn1.sh(f"echo 'ONBOOT=\"no\"' >>/etc/vz/conf/{CTID}.conf")

        stop, watch, _ = driver.apply({(What.DO, "own-hn2"): edit})
        assert stop.outcome is Outcome.REFUSED, (stop, watch.moves)
        assert "ONBOOT" in stop.because
        assert leftovers(box) == []


def test_a_config_edited_before_the_freeze_refuses_the_move_and_the_change_is_shown(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)

        def edit() -> None:
            box.hn1.sh(f"sed -i 's/^ONBOOT=.*/ONBOOT=\"no\"/' /etc/vz/conf/{CTID}.conf")

        stop, watch, _ = driver.apply({(What.DO, "lock-hn1"): edit})
        assert stop.outcome is Outcome.REFUSED, (stop, watch.moves)
        assert stop.because.endswith('since the plan was made; -ONBOOT="yes"; +ONBOOT="no"'), stop.because
        assert (What.DO, "fence", 0) not in watch.moves
        assert box.hn1.sh(f"vzctl status {CTID}") == f"CTID {CTID} exist mounted running\n"
        assert leftovers(box) == []


def clone(box: Sandbox) -> None:
    """hn2's /dev/sdm1 becomes another disk, with every byte and the identity of the original."""
    box.hn1.sh("sync; dd if=/dev/sda1 of=/dev/sdb1 bs=1M 2>/dev/null; blockdev --flushbufs /dev/sdb1")
    wwid = box.hn1.sh("/lib/udev/scsi_id --whitelisted --device=/dev/sda1").strip()
    # On hn2 the spare LUN takes the place of the container's, in every respect but that it is another disk.
    box.hn2.sh(
        "n=$(stat -c '%t:%T' /dev/sdg1); rm /dev/sdm1; cp -a /dev/sdg1 /dev/sdm1; rm /dev/sdg1; "
        "rm -f /dev/disk/by-id/wwn-0x600508b4000971f1; "
        f'sed -i "s/^$n .*/$n {wwid}/" /usr/lib/node/wwids; blockdev --flushbufs /dev/sdm1'
    )


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_a_clone_that_only_the_challenge_can_tell_apart_is_never_mounted(
    running: bool, tmp_path: Path
) -> None:
    with Sandbox("san", running=running) as box:
        driver = Driver(box, tmp_path)
        clone(box)
        bytes_before = box.hn2.sh("blockdev --flushbufs /dev/sdm1; sha256sum </dev/sdm1")
        before = driver.facts()
        plan = driver.plan()
        assert plan.way == "d2", plan.findings  # nothing in the facts tells them apart
        stop, watch, _ = driver.apply()
        # A stopped one was only looked at; a running one was down for it.
        assert stop.outcome is (Outcome.UNWOUND if running else Outcome.REFUSED), (stop, watch.moves)
        failed = [name for what, name, status in watch.moves if what is What.DO and status != 0]
        assert failed == ["prove-released-hn2" if running else "see-mounted"], stop
        # Every mount that could write, and one that only reads what was not unmounted, would have changed it.
        assert box.hn2.sh("blockdev --flushbufs /dev/sdm1; sha256sum </dev/sdm1") == bytes_before
        assert not any(name == "mount-destination" for _, name, _ in watch.moves)
        assert box.hn2.sh("grep -c /dev/sdm1 /proc/self/mountinfo || true") == "0\n"
        assert driver.facts() == before
        assert leftovers(box) == []


def test_a_hook_that_leaves_a_process_behind_does_not_stop_the_move(tmp_path: Path) -> None:
    with Sandbox("san") as box:
        driver = Driver(box, tmp_path)
        box.hn1.sh("echo '(setsid sleep 300 >/dev/null 2>&1 &)' >>/etc/vz/conf/vps.postumount")
        stop, watch, _ = driver.apply()
        assert stop.outcome is Outcome.MIGRATED, (stop, watch.moves)


def test_what_could_not_be_removed_is_told_until_a_recover_has_removed_it(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        start_fails(box)

        def in_the_way() -> None:
            box.hn2.sh(f"mount -t tmpfs odd {PRIVATE}/srv")

        stop, watch, run = driver.apply({(What.UNDO, "bring-up"): in_the_way})
        assert stop.outcome is Outcome.UNWOUND_NOT_CLEANED, (stop, watch.moves)
        assert driver.recover(run).outcome is Outcome.UNWOUND_NOT_CLEANED
        box.hn2.sh(f"umount {PRIVATE}/srv")
        assert driver.recover(run).outcome is Outcome.UNWOUND
        assert_as_before(box, driver, before, hash_before)


def no_room(box: Sandbox) -> None:
    """Not for a byte more among the configs at the destination."""
    box.hn2.sh(
        "mountpoint -q /etc/vz/conf && exit; cp -a /etc/vz/conf /tmp/conf; "
        "mount -t tmpfs -o size=64k configs /etc/vz/conf && cp -a /tmp/conf/. /etc/vz/conf && rm -r /tmp/conf; "
        "dd if=/dev/zero of=/etc/vz/conf/full bs=4096 2>/dev/null || true"
    )


def room(box: Sandbox) -> None:
    """As before; what has changed there meanwhile stays changed."""
    box.hn2.sh(
        "rm /etc/vz/conf/full; cp -a /etc/vz/conf /tmp/conf && umount /etc/vz/conf && rm /etc/vz/conf/*"
    )
    box.hn2.sh("cp -a /tmp/conf/. /etc/vz/conf && rm -r /tmp/conf")


def test_a_config_that_cannot_be_written_at_the_pivot_is_not_given_its_name(tmp_path: Path) -> None:
    with in_state("a", State.STOPPED) as box:
        driver = Driver(box, tmp_path)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        stop, watch, _ = driver.apply({(What.DO, "enable"): lambda: no_room(box)})
        assert stop.outcome is Outcome.UNWOUND, (stop, watch.moves)
        assert "cannot be written" in stop.because
        room(box)
        assert changes(before, driver.facts()) == []
        assert tree_hash(box.hn1, PRIVATE) == hash_before
        assert leftovers(box) == []


def test_a_start_that_cannot_be_allowed_after_the_pivot_is_told_until_it_is(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        stop, watch, run = driver.apply({(What.DO, "allow-start"): lambda: no_room(box)})
        assert stop.outcome is Outcome.MIGRATED_NOT_CLEANED, (stop, watch.moves)
        assert "cannot be written" in stop.because
        room(box)
        assert driver.recover(run).outcome is Outcome.MIGRATED
        assert "DISABLED" not in box.hn2.sh(f"cat /etc/vz/conf/{CTID}.conf")
        assert leftovers(box) == []


def test_another_config_that_came_in_between_is_not_started_and_stays(tmp_path: Path) -> None:
    with in_state("a", State.STOPPED) as box:
        driver = Driver(box, tmp_path)
        another = f"/etc/vz/conf/{CTID}.conf"

        def comes_in_between() -> None:
            box.hn2.sh(f"echo 'VE_ROOT=/vz/root/other' >{another}")

        stop, watch, run = driver.apply({(What.DO, "enable"): comes_in_between})
        assert stop.outcome is Outcome.IN_DOUBT, (stop, watch.moves)
        assert "are both there, and differ: see which is right" in stop.because
        assert box.hn2.sh(f"cat {another}") == "VE_ROOT=/vz/root/other\n"
        box.hn2.sh(f"rm {another}")
        assert driver.recover(run).outcome is Outcome.UNWOUND
        assert leftovers(box) == []


def test_a_reader_that_goes_away_does_not_stop_a_move(tmp_path: Path) -> None:
    with Sandbox("san") as box:
        driver = Driver(box, tmp_path)
        words = ("apply", str(CTID), "hn2", "--from", "hn1", "--ssh", f"-F {box.ssh_config}", "--yes")
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", *words],
            cwd=REPOSITORY,
            env={**os.environ, "VZPLAN_STATE": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        while b" 1/" not in (line := process.stdout.readline()):  # the first step
            assert line
        process.stdout.close()
        assert process.wait() == 0
        moved = driver.facts()["hn2"].container(CTID)
        assert moved is not None
        assert moved.state is State.RUNNING
        assert leftovers(box) == []


def test_a_lock_that_a_vzctl_takes_in_the_last_moment_is_left_to_it(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        before = driver.facts()

        def take() -> None:
            box.hn1.sh("sleep 300 </dev/null >/dev/null 2>&1 & echo $! >/vz/lock/123.lck")

        stop, watch, _ = driver.apply({(What.DO, "lock-hn1"): take})
        assert stop.outcome is Outcome.UNWOUND, (stop, watch.moves)
        assert "vzctl's lock is held by process" in stop.because
        assert box.hn1.sh("test -d /proc/$(cat /vz/lock/123.lck) && echo held") == "held\n"
        box.hn1.sh("kill $(cat /vz/lock/123.lck); rm /vz/lock/123.lck")
        assert driver.facts() == before


def test_a_config_edited_during_the_last_copy_is_not_lost(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)

        def edit() -> None:
            box.hn1.sh(f"echo 'PHYSPAGES=\"0:1000\"' >>/etc/vz/conf/{CTID}.conf")

        stop, watch, _ = driver.apply({(What.DO, "copy-last"): edit})
        assert stop.outcome is Outcome.UNWOUND, (stop, watch.moves)
        assert "was changed by someone" in stop.because
        assert box.hn1.sh(f"tail -n 1 /etc/vz/conf/{CTID}.conf") == 'PHYSPAGES="0:1000"\n'
        assert "vzplan" not in box.hn1.sh(f"cat /etc/vz/conf/{CTID}.conf")
        assert leftovers(box) == []


def test_a_container_that_a_hook_starts_on_other_files_is_stopped_and_taken_back(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        over = f"cp -a {PRIVATE} /tmp/old && mount --bind /tmp/old {PRIVATE}"
        box.hn2.sh(f"printf '#!/bin/sh\\n%s\\n' '{over}' >/etc/vz/conf/vps.premount")
        box.hn2.sh(f"printf '#!/bin/sh\\numount {PRIVATE}\\n' >/etc/vz/conf/vps.postumount")
        box.hn2.sh("chmod 755 /etc/vz/conf/vps.p*; rm -rf /tmp/old")
        before = driver.facts()
        stop, watch, _ = driver.apply()
        assert stop.outcome is Outcome.UNWOUND, (stop, watch.moves)
        assert f"a hook mounts something over {PRIVATE}; container {CTID} was stopped again" in stop.because
        assert_as_before(box, driver, before, hash_before)


def test_an_action_script_that_is_a_link_goes_along_and_is_put_out_of_the_way(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        conf = "/etc/vz/conf"
        box.hn1.sh("printf '#!/bin/sh\\nexit 0\\n' >/usr/local/common; chmod 755 /usr/local/common")
        box.hn1.sh(f"ln -s /usr/local/common {conf}/{CTID}.mount")
        stop, watch, _ = driver.apply()
        assert stop.outcome is Outcome.MIGRATED, (stop, watch.moves)
        assert box.hn2.sh(f"cat {conf}/{CTID}.mount") == "#!/bin/sh\nexit 0\n"
        assert box.hn1.sh(f"readlink {conf}/{CTID}.mount.migrated") == "/usr/local/common\n"
        assert box.hn1.sh(f"ls {conf} | grep -c '^{CTID}.mount$' || true") == "0\n"
        assert leftovers(box) == []


def test_what_came_to_the_destination_during_a_long_copy_refuses_the_move_before_the_freeze(
    tmp_path: Path,
) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)

        def takes_its_name() -> None:
            box.hn2.sh("echo 'NAME=\"web1\"' >>/etc/vz/conf/202.conf")

        stop, watch, _ = driver.apply({(What.DO, "copy-1"): takes_its_name})
        assert stop.outcome is Outcome.REFUSED, (stop, watch.moves)
        assert "+ error name-taken: hn2:202: container 202 there is called web1 too" in stop.because
        assert {name for what, name, _ in watch.moves if what is What.DO} >= {"copy-1"}
        assert not any(name in ("lock-hn1", "fence", "stop") for _, name, _ in watch.moves)
        box.hn2.sh("sed -i /^NAME=/d /etc/vz/conf/202.conf")
        assert_as_before(box, driver, before, hash_before)
