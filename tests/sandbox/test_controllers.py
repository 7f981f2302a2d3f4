"""Whatever happens to the controller on real nodes: killed, asleep, told to stop, without its disk, or one of two."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from msgspec import structs

from cli.exit_codes import ExitCode
from executor.control import RecoverError, Towards
from executor.journal import Journal, list_runs, read_journal
from planner import saga
from planner.model import Options, State
from planner.plan import Began, Ended, Entry, Exited, Outcome, What
from tests.sandbox import Sandbox, counter, leftovers, tree_hash
from tests.sandbox.driving import CTID, PRIVATE, Driver
from tests.sandbox.nodes import NEVER_S, REPOSITORY, cut_network, restore_network
from tests.sandbox.test_failures import assert_as_before, much_to_copy, switch
from tests.sandbox.test_moves import WAYS, in_state, kept, tokens

FLAGS_B: Final = ("--dst-device", "/dev/sdg1", "--install-hooks")
HANDED_OVER: Final = ("apply", str(CTID), "hn2", "--from", "hn1", "--yes")


class Gone(BaseException):
    """The controller ends here, in this process: nothing after it is done or written."""


def dies() -> None:
    raise Gone


def words(box: Sandbox, *more: str) -> tuple[str, ...]:
    return (*HANDED_OVER, "--ssh", f"-F {box.ssh_config}", *more)


@contextmanager
def vzplan(state: Path, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """The command at work, with what it prints to be read as it comes; ended by its own number if need be."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", *argv],
        cwd=REPOSITORY,
        env={**os.environ, "VZPLAN_STATE": str(state), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def until_it_says(process: subprocess.Popen[str], text: str) -> None:
    """Read on to a line with ``text``."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if text in line:
            return
    raise AssertionError(f"it never said {text!r}:\n{''.join(said)}")


def rest(process: subprocess.Popen[str]) -> str:
    """All else that it says until it ends."""
    assert process.stdout is not None
    said = process.stdout.read()
    process.wait()
    return said


def assert_moved(box: Sandbox, driver: Driver, hash_before: str) -> None:
    after = driver.facts()
    moved = after["hn2"].container(CTID)
    assert moved is not None
    assert moved.state is State.RUNNING
    assert after["hn1"].container(CTID) is None
    assert tree_hash(box.hn2, PRIVATE) == hash_before
    numbers = counter(box.hn2, PRIVATE)
    assert numbers == list(range(1, len(numbers) + 1))
    assert leftovers(box) == []


def assert_stayed(box: Sandbox, driver: Driver) -> None:
    after = driver.facts()
    stayed = after["hn1"].container(CTID)
    assert stayed is not None
    assert stayed.state is State.RUNNING
    assert after["hn2"].container(CTID) is None
    numbers = counter(box.hn1, PRIVATE)
    assert numbers == list(range(1, len(numbers) + 1))
    assert leftovers(box) == []


# --- recover, and which way


@pytest.mark.parametrize("at", ["copy-1", "guard-source", "stop", "hide-config"])
def test_a_run_that_is_told_to_go_forward_is_completed(at: str, tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        hash_before = tree_hash(box.hn1, PRIVATE)
        with pytest.raises(Gone):
            driver.apply({(What.DO, at): dies})
        (run,) = list_runs(driver.state)
        assert driver.recover(run, towards=Towards.FORWARD).outcome is Outcome.MIGRATED
        assert_moved(box, driver, hash_before)
        assert driver.recover(run).outcome is Outcome.MIGRATED  # once more changes nothing (I10)
        assert_moved(box, driver, hash_before)


@pytest.mark.parametrize(
    ("way", "how", "at"), [("a", "", "fence"), ("d2", "staged", "hide-config")], ids=["fence", "staged"]
)
def test_a_run_goes_forward_from_what_was_done_and_not_yet_written_down(
    way: str, how: str, at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Journal.append

    def dies_before(self: Journal, entry: Entry) -> None:
        if isinstance(entry, Ended) and entry.at == at:
            raise Gone
        append(self, entry)

    with in_state(way, State.RUNNING) as box:
        driver, hash_before = Driver(box, tmp_path), tree_hash(box.hn1, PRIVATE)
        known = tokens(box.hn1)[-1][1]
        options = kept(box, how, WAYS[way].there)
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "append", dies_before)
            with pytest.raises(Gone):
                driver.apply(options=options)
        (run,) = list_runs(driver.state)
        assert driver.recover(run, towards=Towards.FORWARD).outcome is Outcome.MIGRATED
        assert_moved(box, driver, hash_before)
        assert (tokens(box.hn2)[-1][1] == known) is bool(how)


def test_what_somebody_starts_by_force_while_it_is_moved_stays_where_it_is(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)

        def starts() -> None:
            box.hn1.sh(f"vzctl --skiplock start {CTID} --force")

        stop, _, _ = driver.apply({(What.DO, "copy-last"): starts})
        assert stop.outcome is Outcome.UNWOUND
        assert "container 123 is still running" in stop.because
        assert_stayed(box, driver)


@pytest.mark.parametrize("way", ["a", "d2"])
def test_before_the_pivot_nobody_starts_it_at_the_destination_be_it_by_force(
    way: str, tmp_path: Path
) -> None:
    with Sandbox(WAYS[way].world) as box:
        driver = Driver(box, tmp_path)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        refused: list[str] = []

        def starts() -> None:
            refused.append(box.hn2.sh(f"vzctl --skiplock start {CTID} --force 2>&1; echo $?"))

        def starts_before() -> None:
            starts()
            box.hn2.sh(switch("vzctl-start-fails"))

        def starts_after() -> None:
            box.hn2.sh("rm /run/faults/vzctl-start-fails")
            starts()

        # Also when the pivot has failed, before anything is taken back.
        stop, _, _ = driver.apply(
            {(What.DO, "bring-up"): starts_before, (What.UNDO, "bring-up"): starts_after}
        )
        assert stop.outcome is Outcome.UNWOUND
        assert refused == ["Container config file does not exist\n14\n"] * 2
        assert_as_before(box, driver, before, hash_before)


def test_what_somebody_may_have_started_after_a_power_cut_is_not_taken_forward(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        with pytest.raises(Gone):
            driver.apply({(What.DO, "hide-config"): dies})
        (run,) = list_runs(driver.state)
        box.reboot("hn1")
        box.hn1.sh(f"vzctl start {CTID} --force")
        stop = driver.recover(run, towards=Towards.FORWARD)
        assert stop.outcome is Outcome.UNWOUND
        assert "vzctl's lock on 123 was lost since it was frozen" in stop.because
        assert_stayed(box, driver)


def test_what_is_taken_back_cannot_go_forward_and_what_has_moved_cannot_go_back(tmp_path: Path) -> None:
    with Sandbox("san") as box:
        driver = Driver(box, tmp_path)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        box.hn2.sh(switch("vzctl-start-fails"))
        with pytest.raises(Gone):
            driver.apply({(What.UNDO, "mount-destination"): dies})
        (back,) = list_runs(driver.state)
        with pytest.raises(RecoverError, match="it cannot go forward any more"):
            driver.recover(back, towards=Towards.FORWARD)
        assert driver.recover(back, towards=Towards.BACK).outcome is Outcome.UNWOUND
        assert_as_before(box, driver, before, hash_before)
        box.hn2.sh("rm /run/faults/vzctl-start-fails")
        with pytest.raises(Gone):
            driver.apply({(What.DO, "ensure-up"): dies})
        (forward,) = set(list_runs(driver.state)) - {back}
        with pytest.raises(RecoverError, match="it cannot be taken back any more"):
            driver.recover(forward, towards=Towards.BACK)
        assert driver.recover(forward).outcome is Outcome.MIGRATED
        assert_moved(box, driver, hash_before)


# --- the journal is lost, or elsewhere


@pytest.mark.parametrize(
    ("world", "at", "node", "end"),
    [
        ("shared", (What.DO, "copy-last"), "hn1", ExitCode.UNWOUND),
        ("san", (What.DO, "mount-destination"), "hn2", ExitCode.UNWOUND),
        ("san", (What.DO, "bring-up"), "hn2", ExitCode.UNWOUND),
        ("san", (What.DO, "ensure-up"), "hn1", ExitCode.OK),
        ("shared", (What.DO, "disown-hn2"), "hn2", ExitCode.OK),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else str(value),
)
def test_a_run_without_its_journal_is_adopted_from_what_a_node_keeps(
    world: str, at: tuple[What, str], node: str, end: ExitCode, tmp_path: Path
) -> None:
    with Sandbox(world) as box:
        driver = Driver(box, tmp_path / "first")
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        with pytest.raises(Gone):
            driver.apply({at: dies})
        (run,) = list_runs(driver.state)
        shutil.rmtree(driver.state)
        other = Driver(box, tmp_path / "second")
        adopted = other.vzplan("recover", run, "--adopt", node, "--ssh", f"-F {box.ssh_config}")
        assert adopted.returncode == end, adopted.stdout + adopted.stderr
        if end is ExitCode.OK:
            assert_moved(box, driver, hash_before)
        else:
            assert_as_before(box, driver, before, hash_before)
        again = other.vzplan("recover", run)  # it has a journal again
        assert again.returncode == end, again.stdout + again.stderr


def test_an_old_copy_of_the_journal_is_not_obeyed_and_the_nodes_know_better(tmp_path: Path) -> None:
    with Sandbox("san") as box:
        driver = Driver(box, tmp_path)
        hash_before = tree_hash(box.hn1, PRIVATE)
        with pytest.raises(Gone):
            driver.apply({(What.DO, "ensure-up"): dies})
        (run,) = list_runs(driver.state)
        journal = driver.state / "runs" / run / "journal"
        lines = journal.read_bytes().splitlines(keepends=True)
        for kept in (3, 9, 27, 39):  # up to here it is whole, and would take back what has moved for good
            journal.write_bytes(b"".join(lines[:kept]))
            before = driver.facts()
            refused = driver.vzplan("recover", run)
            assert refused.returncode == ExitCode.REFUSED, refused.stdout + refused.stderr
            assert "it was cut, or is an old copy" in refused.stderr
            assert driver.facts() == before
        shutil.rmtree(journal.parent)
        adopted = driver.vzplan("recover", run, "--adopt", "hn2", "--ssh", f"-F {box.ssh_config}")
        assert adopted.returncode == ExitCode.OK, adopted.stdout + adopted.stderr
        assert_moved(box, driver, hash_before)


def test_an_old_copy_of_the_journal_of_a_run_that_has_ended_moves_nothing(tmp_path: Path) -> None:
    with Sandbox("san") as box:
        driver = Driver(box, tmp_path)
        hash_before = tree_hash(box.hn1, PRIVATE)
        moved = driver.vzplan(
            "apply", str(CTID), "hn2", "--from", "hn1", "--ssh", f"-F {box.ssh_config}", "--yes"
        )
        assert moved.returncode == ExitCode.OK, moved.stdout + moved.stderr
        (run,) = list_runs(driver.state)
        journal = driver.state / "runs" / run / "journal"
        lines, before = journal.read_bytes().splitlines(keepends=True), driver.facts()
        for kept, code in ((1, ExitCode.REFUSED), (9, ExitCode.IN_DOUBT), (41, ExitCode.IN_DOUBT)):
            journal.write_bytes(b"".join(lines[:kept]))
            said = driver.vzplan("recover", run)
            assert said.returncode == code, said.stdout + said.stderr
            assert (
                "an old copy of a run that has ended" in said.stderr or "is not on record here" in said.stdout
            )
            assert driver.facts() == before
        assert_moved(box, driver, hash_before)


@pytest.mark.parametrize("gone", ["hn2", "hn1"])
def test_an_old_journal_starts_nothing_while_a_node_that_knows_more_cannot_be_reached(
    gone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saga, "PATIENCE_S", (0, 0))
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        hash_before = tree_hash(box.hn1, PRIVATE)
        with pytest.raises(Gone):
            driver.apply({(What.DO, "ensure-up"): dies})  # it runs on hn2
        (run,) = list_runs(driver.state)
        entries = read_journal(driver.state, run).entries
        kept = next(n for n, e in enumerate(entries) if isinstance(e, Ended) and e.at == "hide-config") + 1
        journal = driver.state / "runs" / run / "journal"
        journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:kept]))
        node = box.hn1 if gone == "hn1" else box.hn2
        cut_network(node)
        if gone == "hn2":  # hn1 has been given nothing since; only hn2 could tell
            stop = driver.recover(run)
            assert stop.outcome is Outcome.IN_DOUBT
            assert (
                "hn2 cannot be settled, and only it can tell whether this journal knows all" in stop.because
            )
        else:
            with pytest.raises(RecoverError, match="it was cut, or is an old copy"):
                driver.recover(run)
        assert "running" in box.hn2.sh(f"vzctl status {CTID}")
        assert "running" not in box.hn1.sh(f"vzctl status {CTID}")
        restore_network(node)
        with pytest.raises(RecoverError, match="it was cut, or is an old copy"):
            driver.recover(run)
        shutil.rmtree(journal.parent)
        adopted = driver.vzplan("recover", run, "--adopt", "hn1", "--ssh", f"-F {box.ssh_config}")
        assert adopted.returncode == ExitCode.OK, adopted.stdout + adopted.stderr
        assert_moved(box, driver, hash_before)


def test_a_node_whose_log_is_lost_is_not_taken_for_one_that_knows_nothing(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        hash_before = tree_hash(box.hn1, PRIVATE)
        with pytest.raises(Gone):
            driver.apply({(What.DO, "ensure-up"): dies})  # it runs on hn2
        (run,) = list_runs(driver.state)
        shutil.rmtree(driver.state)
        box.hn2.sh(f"rm /var/lib/vzplan/node/{run}/log")
        adopted = driver.vzplan("recover", run, "--adopt", "hn1", "--ssh", f"-F {box.ssh_config}")
        assert adopted.returncode == ExitCode.OK, adopted.stdout + adopted.stderr
        assert_moved(box, driver, hash_before)


def test_what_a_node_kept_of_a_run_was_removed_and_nothing_is_started_beside_what_runs_there(
    tmp_path: Path,
) -> None:
    with Sandbox("san") as box:
        driver, other = Driver(box, tmp_path / "first"), Driver(box, tmp_path / "second")
        hash_before = tree_hash(box.hn1, PRIVATE)
        with pytest.raises(Gone):
            driver.apply({(What.DO, "allow-start"): dies})  # it runs on hn2
        (run,) = list_runs(driver.state)
        box.hn2.sh("rm -r /var/lib/vzplan/node")
        before = driver.facts()
        adopted = other.vzplan("recover", run, "--adopt", "hn1", "--ssh", f"-F {box.ssh_config}")
        assert adopted.returncode == ExitCode.REFUSED, adopted.stdout + adopted.stderr
        assert f"hn2 knows nothing of {run}, and cannot have given it up by itself" in adopted.stderr
        assert list_runs(other.state) == []
        said = driver.vzplan("recover", run)
        assert said.returncode == ExitCode.IN_DOUBT, said.stdout + said.stderr
        assert "IN_DOUBT: a node has this run not on record any more" in said.stdout
        assert "next       vzplan facts hn1 hn2, to see where it is" in driver.vzplan("status", run).stdout
        assert driver.vzplan("runs", "--prune").returncode == ExitCode.OK
        assert list_runs(driver.state) == [run]
        after = driver.facts()
        assert structs.replace(after["hn1"], locks=before["hn1"].locks) == before["hn1"]
        assert after["hn2"] == before["hn2"]
        assert (found := after["hn2"].container(CTID)) is not None
        assert found.state is State.RUNNING
        assert tree_hash(box.hn2, PRIVATE) == hash_before


def test_a_node_that_answers_is_not_off_whoever_says_so(tmp_path: Path) -> None:
    with Sandbox("san") as box:
        driver = Driver(box, tmp_path)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        with pytest.raises(Gone):
            driver.apply({(What.DO, "bring-up"): dies})  # hn2 has the device
        (run,) = list_runs(driver.state)
        with pytest.raises(RecoverError, match="hn2 is not off: it answers"):
            driver.recover(run, off=("hn2",))
        assert driver.recover(run).outcome is Outcome.UNWOUND
        assert_as_before(box, driver, before, hash_before)


def test_what_no_node_knows_of_cannot_be_adopted(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        said = driver.vzplan(
            "recover", "20260101-000000-abcdef", "--adopt", "hn1", "--ssh", f"-F {box.ssh_config}"
        )
        assert said.returncode == ExitCode.REFUSED
        assert "hn1 knows nothing of a run 20260101-000000-abcdef" in said.stderr
        assert list_runs(driver.state) == []
        assert leftovers(box) == []


@pytest.mark.parametrize("step", ["stop", "ensure-up"])
def test_a_controller_that_only_slept_can_do_nothing_once_another_took_over(
    step: str, tmp_path: Path
) -> None:
    with Sandbox("san") as box:
        driver, other = Driver(box, tmp_path / "first"), Driver(box, tmp_path / "second")
        hash_before = tree_hash(box.hn1, PRIVATE)
        number = next(n for n, s in enumerate(driver.plan().steps, 1) if s.id == step)
        with vzplan(driver.state, *words(box)) as asleep:
            until_it_says(asleep, f" {number}/")
            asleep.send_signal(signal.SIGSTOP)
            (run,) = list_runs(driver.state)
            assert read_journal(driver.state, run).alive
            taken = other.vzplan("recover", run, "--adopt", "hn1", "--ssh", f"-F {box.ssh_config}")
            assert taken.returncode in (ExitCode.UNWOUND, ExitCode.OK), taken.stdout + taken.stderr
            after = driver.facts()
            asleep.send_signal(signal.SIGCONT)
            said = rest(asleep)
        assert asleep.returncode == ExitCode.IN_DOUBT, said
        assert "this run is not on record here any more" in said
        assert "IN_DOUBT: a node has this run not on record any more" in said
        assert driver.facts() == after
        here = box.hn1 if taken.returncode == ExitCode.UNWOUND else box.hn2
        assert tree_hash(here, PRIVATE) == hash_before
        numbers = counter(here, PRIVATE)
        assert numbers == list(range(1, len(numbers) + 1))
        assert leftovers(box) == []


def test_of_two_controllers_at_once_one_moves_and_the_other_is_refused(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver, other = Driver(box, tmp_path / "first"), Driver(box, tmp_path / "second")
        hash_before = tree_hash(box.hn1, PRIVATE)
        seen = []

        def second() -> None:
            seen.append(other.vzplan(*words(box)))

        stop, watch, _ = driver.apply({(What.DO, "copy-1"): second})
        assert stop.outcome is Outcome.MIGRATED, (stop, watch.moves)
        (refused,) = seen
        assert refused.returncode == ExitCode.REFUSED
        assert "has container 123 in hand, driven from test" in refused.stdout
        assert_moved(box, driver, hash_before)


def test_two_that_begin_in_the_same_moment_do_not_both_move_it(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver, other = Driver(box, tmp_path / "first"), Driver(box, tmp_path / "second")
        hash_before = tree_hash(box.hn1, PRIVATE)
        with vzplan(driver.state, *words(box)) as one, vzplan(other.state, *words(box)) as two:
            said = {process.pid: rest(process) for process in (one, two)}
            codes = sorted((one.returncode, two.returncode))
        assert codes in ([ExitCode.OK, ExitCode.REFUSED], [ExitCode.REFUSED, ExitCode.REFUSED]), said
        if codes[0] == ExitCode.OK:
            assert_moved(box, driver, hash_before)
        assert leftovers(box) == []


# --- signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_copy_at_once_and_everything_is_taken_back(
    number: signal.Signals, tmp_path: Path
) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        much_to_copy(box)
        box.hn1.sh(switch("rsync-slow"))
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        with vzplan(driver.state, *words(box)) as process:
            until_it_says(process, f"hn1: copy {PRIVATE} to hn2 while it is up")
            until_there(box, f"{PRIVATE}/srv")
            process.send_signal(number)
            said = rest(process)
        assert process.returncode == ExitCode.UNWOUND, said
        assert f"no answer (asked to by {number.name})" in said
        assert_as_before(box, driver, before, hash_before)


def test_a_signal_during_a_copy_onto_a_device_leaves_nothing_on_it(tmp_path: Path) -> None:
    with in_state("b", State.RUNNING) as box:
        driver = Driver(box, tmp_path)
        much_to_copy(box)
        box.hn1.sh(f"cd {PRIVATE}/srv && mkdir many && cd many && seq 2000 | xargs -n 1 touch")
        box.hn1.sh(switch("rsync-slow"))
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        with vzplan(driver.state, *words(box, *FLAGS_B)) as process:
            until_it_says(process, f"hn1: copy {PRIVATE} to hn2 while it is up")
            until_there(box, f"{PRIVATE}/srv")
            process.send_signal(signal.SIGINT)
            said = rest(process)
        assert process.returncode == ExitCode.UNWOUND, said
        assert_as_before(box, driver, before, hash_before)
        box.hn1.sh("rm /run/faults/rsync-slow")
        again = driver.vzplan(*words(box, *FLAGS_B))
        assert again.returncode == ExitCode.OK, again.stdout + again.stderr


def test_a_second_signal_leaves_the_rest_to_recover(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        much_to_copy(box)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        box.hn1.sh(switch("rsync-slow"))
        with vzplan(driver.state, *words(box, "--precopy", "0")) as process:
            until_it_says(process, f"hn1: copy {PRIVATE} to hn2, synced there")
            process.send_signal(signal.SIGINT)
            until_it_says(process, "taken back as soon as this step has ended")
            process.send_signal(signal.SIGINT)
            said = rest(process)
        assert process.returncode == ExitCode.IN_DOUBT, said
        (run,) = list_runs(driver.state)
        assert f"stopped in the middle; 'vzplan recover {run}' ends it" in said
        box.hn1.sh("rm /run/faults/rsync-slow")
        assert driver.vzplan("recover", run).returncode == ExitCode.UNWOUND
        assert_as_before(box, driver, before, hash_before)


def said_on_errors(state: Path, run: str) -> dict[str, str]:
    """What each command of the run has said there, as the journal has it."""
    return {
        entry.at: entry.outcome.err
        for entry in read_journal(state, run).entries
        if isinstance(entry, Ended) and isinstance(entry.outcome, Exited)
    }


def test_a_closed_terminal_does_not_stop_a_migration(tmp_path: Path) -> None:
    with Sandbox("san") as box:
        driver = Driver(box, tmp_path)
        hash_before = tree_hash(box.hn1, PRIVATE)
        with vzplan(driver.state, *words(box)) as process:
            until_it_says(process, " 3/")
            process.send_signal(signal.SIGHUP)
            said = rest(process)
        assert process.returncode == ExitCode.OK, said
        # What commands say later on is written down as ever.
        (run,) = list_runs(driver.state)
        heard = said_on_errors(driver.state, run)
        assert "Container was stopped\n" in heard["stop"]
        assert "Container start in progress" in heard["bring-up"]
        assert_moved(box, driver, hash_before)


@contextmanager
def on_a_terminal(state: Path, *argv: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The command at work as the leader of its terminal's session, and the other end of that terminal, to be closed."""
    here, there = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", sys.executable, "-m", "cli.main", *argv],
        cwd=REPOSITORY,
        env={**os.environ, "VZPLAN_STATE": str(state), "TERM": "xterm"},
        stdin=there,
        stdout=there,
        stderr=there,
    )
    os.close(there)
    try:
        yield process, here
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def until_shown(terminal: int, text: str) -> None:
    """Read on until the terminal has shown ``text``."""
    said = ""
    while text not in said:
        try:
            said += os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # nobody has the other end any more
            raise AssertionError(f"it never showed {text!r}:\n{said}") from None


def test_a_terminal_that_is_gone_in_the_middle_of_a_run_does_not_stop_it(tmp_path: Path) -> None:
    with Sandbox("san") as box:
        driver, hash_before = Driver(box, tmp_path), tree_hash(box.hn1, PRIVATE)
        number = next(n for n, step in enumerate(driver.plan().steps, 1) if step.id == "stop")
        box.hn1.sh("mkfifo /run/faults/vzctl-stop-waits")
        pipe = box.hn1.path("/run/faults/vzctl-stop-waits")
        said = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        with on_a_terminal(driver.state, *words(box)) as (process, terminal):
            until_shown(terminal, f" {number}/")
            assert select.select([said], [], [], NEVER_S)[0], "it was never stopped"
            assert os.read(said, 5) == b"here\n"
            assert os.tcgetpgrp(terminal) == process.pid  # whom the kernel tells
            os.close(terminal)
            os.close(said)
            pipe.write_text("go on\n")
            process.wait()
        assert process.returncode == ExitCode.OK
        (run,) = list_runs(driver.state)
        heard = said_on_errors(driver.state, run)
        assert "Container was stopped\n" in heard["stop"]
        assert "Container start in progress" in heard["bring-up"]
        assert_moved(box, driver, hash_before)
        assert driver.vzplan("status", run).returncode == ExitCode.OK


# --- time


def until_there(box: Sandbox, path: str) -> None:
    """The copy has begun to arrive: waited for on the node, which tells nobody."""
    box.hn2.sh(f"n=0; until [ -e {path} ]; do n=$((n + 1)); [ $n -lt 3000 ] || exit 1; sleep 0.02; done")


def test_down_for_longer_than_allowed_is_taken_back_in_the_middle_of_the_copy(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        much_to_copy(box)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        hooks: dict[tuple[What, str], Callable[[], object]] = {
            (What.DO, "stop"): lambda: box.hn1.sh(switch("rsync-slow")),
            (What.UNDO, "stop"): lambda: box.hn1.sh("rm /run/faults/rsync-slow"),
        }
        options = Options(max_frozen_s=1, precopy=0)
        stop, watch, _ = driver.apply(hooks, options=options)  # type: ignore[arg-type]
        assert stop.outcome is Outcome.UNWOUND, (stop, watch.moves)
        assert "it was down for longer than 1 s (--max-frozen)" in stop.because
        assert (What.DO, "copy-last", None) in watch.moves or (What.DO, "copy-last", 0) not in watch.moves
        assert_as_before(box, driver, before, hash_before)


def test_a_copy_without_any_progress_says_so(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver = Driver(box, tmp_path)
        before, hash_before = driver.facts(), tree_hash(box.hn1, PRIVATE)
        box.hn2.sh(switch("rsync-hangs"))
        stop, watch, _ = driver.apply(options=Options(rsync=("--timeout=2",)))
        box.hn2.sh("rm /run/faults/rsync-hangs")
        assert stop.outcome is Outcome.UNWOUND, (stop, watch.moves)
        assert "the copy makes no progress" in stop.because
        assert_as_before(box, driver, before, hash_before)


def test_a_copy_that_is_slow_and_moves_takes_as_long_as_it_takes(tmp_path: Path) -> None:
    with Sandbox("shared") as box:
        driver, limit_s = Driver(box, tmp_path), 5
        much_to_copy(box)
        hash_before = tree_hash(box.hn1, PRIVATE)
        stop, watch, run = driver.apply(options=Options(rsync=(f"--timeout={limit_s}", "--bwlimit=4000")))
        assert stop.outcome is Outcome.MIGRATED, (stop, watch.moves)
        began_ms, ended_ms = (
            entry.time_ms
            for entry in read_journal(driver.state, run).entries
            if isinstance(entry, Began | Ended) and entry.at == "copy-1"
        )
        assert began_ms is not None
        assert ended_ms is not None
        assert ended_ms - began_ms > 1000 * limit_s, (
            "else this shows nothing: rsync was to be slower than that"
        )
        assert_moved(box, driver, hash_before)
