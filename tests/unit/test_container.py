"""What the verbs about a container make of a vzctl that is made up: a folder with its state, and its calls."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from executor import verbs
from executor.node import NodeOutcome
from executor.shell import ShellNode
from planner.codec import text_sha256
from planner.parse.config import FENCE
from planner.plan import Command, Exited, Lost
from planner.verbs import NO, NOT_UP, VERBS, YES
from tests.unit.test_shell import CTID, SHELLS, Here, fails, run, status, wait_until

STATUS: Final = """#!/bin/sh
cd {area} || exit
[ "$1" != --skiplock ] || shift
case $1 in
    status)
        case $(cat state) in
            running) echo "CTID $2 exist mounted running" ;;
            mounted) echo "CTID $2 exist mounted down" ;;
            suspended) echo "CTID $2 exist unmounted down suspended" ;;
            *) echo "CTID $2 exist unmounted down" ;;
        esac
        exit
        ;;
esac
echo "$*" >>called
case $1 in
{does}
esac
"""
"""vzctl, but for what it does."""

GUEST: Final = """
    stop)
        # As vzctl does: what enters the container leaves its session, and has it end; vzctl only looks whether it has.
        if mkdir told 2>/dev/null; then
            boot=$(cat boot) setsid sh -c '
                until [ -e may-end ]; do sleep 0.02; done
                [ "$boot" != "$(cat boot)" ] || echo mounted >state
                : >ended' </dev/null >/dev/null 2>&1 &
        else
            : >may-end
        fi
        while [ "$(cat state)" = running ]; do sleep 0.02; done
        echo stopped >state
        ;;
    umount) echo stopped >state ;;
    start)
        echo $$ >boot
        echo running >state
        ;;
"""


class Node:
    """An old node in the hands of a run, in one of the shells, with a vzctl that is made up."""

    def __init__(self, here: Here) -> None:
        """The container is running."""
        self.here, self.area = here, here.tmp / "area"
        for name in ("", "private", "root", "conf"):
            (self.area / name).mkdir()
        self.is_now("running")
        self.session = here.session()
        assert run(self.session, "own", CTID) == Exited(0)

    def is_now(self, state: str) -> None:
        (self.area / "state").write_text(f"{state}\n")
        (self.area / "boot").write_text("first\n")

    @property
    def state(self) -> str:
        return (self.area / "state").read_text().strip()

    @property
    def called(self) -> list[str]:
        """What vzctl was told to do."""
        path = self.area / "called"
        return path.read_text().splitlines() if path.exists() else []

    def vzctl(self, does: str) -> None:
        path = self.here.tmp / "bin" / "vzctl"
        path.write_text(STATUS.format(area=self.area, does=does))
        path.chmod(0o755)

    def settled(self, generation: int = 2) -> ShellNode:
        """The session of whoever comes next."""
        node = self.here.session(generation=generation)
        assert run(node, "settle") == Exited(0)
        return node

    def ensure_up(self, node: ShellNode) -> NodeOutcome:
        return run(node, "ensure-up", *self.up())

    def up(self, *more: str | Path) -> tuple[str | Path, ...]:
        area = self.area
        return (CTID, area / "private", area / "root", "-", "-", area / "dumps", "running", "-", *more)

    def stop_container(self) -> tuple[str, ...]:
        return ("stop-container", CTID, str(self.area / "private"), str(self.area / "root"))

    def has(self, mark: str) -> bool:
        return (self.here.folder / mark).exists()


@pytest.fixture(params=SHELLS, ids=" ".join)
def node(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    place = Here(request.param, tmp_path)
    # Where the configs are.
    library = f"{verbs.library()}\nconf={tmp_path}/area/conf\n"
    monkeypatch.setattr(verbs, "library", lambda: library)
    yield Node(place)
    place.close()


# --- a stop that was cut off


def test_what_a_stop_that_was_cut_off_has_told_the_guest_does_not_end_it_later(node: Node) -> None:
    node.vzctl(GUEST)
    command = Command("here", node.stop_container(), "", 60)

    def cut_off() -> None:
        wait_until((node.area / "told").exists)
        node.session.abandon(command, "the connection was lost")

    cutter = threading.Thread(target=cut_off)
    cutter.start()
    assert isinstance(node.session.run(command), Lost)
    cutter.join()
    later = node.settled()
    assert node.state == "running"
    assert node.has("stopping")
    assert node.ensure_up(later) == Exited(0)
    # What the guest was told it has done by now, and that did not reach what has been started since.
    (node.area / "may-end").touch()
    wait_until((node.area / "ended").exists)
    assert node.state == "running"
    assert node.called == [f"stop {CTID}", f"stop {CTID}", f"start {CTID} --force"]
    assert not node.has("stopping")
    # And that is all: it is left alone from now on.
    assert node.ensure_up(later) == Exited(0)
    assert node.called[3:] == []


def test_a_stop_that_has_ended_is_forgotten(node: Node) -> None:
    node.vzctl("stop) echo stopped >state ;;")
    assert run(node.session, *node.stop_container()) == Exited(0)
    assert not node.has("stopping")
    node.is_now("running")  # by hand
    assert node.ensure_up(node.session) == Exited(0)
    assert node.called == [f"stop {CTID}"]


def test_a_guest_that_was_told_to_stop_before_the_node_booted_is_another_one(node: Node) -> None:
    node.vzctl("")
    (node.here.folder / "stopping").write_text("another boot\n")
    assert node.ensure_up(node.session) == Exited(0)
    assert node.called == []
    assert not node.has("stopping")


def test_a_guest_that_does_not_stop_may_go_down_at_any_moment_and_does_not_count_as_up(node: Node) -> None:
    node.vzctl("stop) exit 1 ;;")
    for verb in (node.stop_container(), ("ensure-up", *node.up())):
        assert status(run(node.session, *verb)) == 1
        assert node.has("stopping")
    assert node.called == [f"stop {CTID}", f"stop {CTID} --fast"] * 2


def test_a_guest_that_has_gone_down_by_itself_is_started_once(node: Node) -> None:
    node.vzctl("umount) echo stopped >state ;;\nstart) echo running >state ;;")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    (node.here.folder / "stopping").write_text(boot)
    node.is_now("mounted")
    assert node.ensure_up(node.session) == Exited(0)
    assert node.called == [f"umount {CTID}", f"start {CTID} --force"]
    assert not node.has("stopping")
    assert node.ensure_up(node.session) == Exited(0)
    assert len(node.called) == 2


# --- what ends as soon as it was started


@pytest.mark.parametrize("left", ["stopped", "mounted"])
def test_a_pivot_that_has_started_what_ended_at_once_has_taken_effect(node: Node, left: str) -> None:
    node.vzctl(f"start) echo more >>private/file; echo {left} >state ;;\numount) echo stopped >state ;;")
    node.is_now("stopped")
    (node.area / "staged").write_text("ONBOOT=yes\n")
    said = run(node.session, "bring-up", *node.up(node.area / "staged"))
    assert fails(said, f"container {CTID} was started, and it is down again")
    assert node.has("out")
    assert not node.has("refused")
    assert status(run(node.session, "probe-pivot", CTID, node.area / "root")) == YES
    assert (node.area / "conf" / f"{CTID}.conf").exists(), "it goes on here"
    # What is to be up here, and does not stay so, is down: nothing runs, and what there is to be done is known.
    assert status(node.ensure_up(node.session)) == NOT_UP


def test_a_pivot_that_has_started_nothing_says_so(node: Node) -> None:
    node.vzctl("start) exit 1 ;;")
    node.is_now("stopped")
    (node.area / "staged").write_text("ONBOOT=yes\n")
    assert status(run(node.session, "bring-up", *node.up(node.area / "staged"))) == NOT_UP
    assert node.has("refused")
    assert status(run(node.session, "probe-pivot", CTID, node.area / "root")) == NO


# --- its config


FENCED: Final = f'A="1"\n{FENCE}B="2"\nC="3"\n'
PLAIN: Final = 'A="1"\nB="2"\nC="3"\n'
CUT_SHORT: Final = [
    ("fence", PLAIN, "cat", "*/123.conf"),
    ("fence", PLAIN, "cat", "''"),
    ("unfence", FENCED, "head", "*/123.conf"),
    ("unfence", FENCED, "tail", "*/123.conf"),
    ("unfence", FENCED, "grep", "*/123.conf"),
    ("unfence", FENCED, "cat", "''"),
]


@pytest.mark.parametrize(
    ("verb", "before", "tool", "words"), CUT_SHORT, ids=[f"{c[0]}-{c[2]}-{c[3][2:]}" for c in CUT_SHORT]
)
def test_a_config_is_not_replaced_by_what_was_cut_short(
    node: Node, verb: str, before: str, tool: str, words: str
) -> None:
    path = node.area / "conf" / "123.conf"
    path.write_text(before)
    operands = (path, text_sha256(PLAIN)) if verb == "fence" else (path,)
    stand_in, real = node.here.tmp / "bin" / tool, shutil.which(tool)
    stand_in.unlink(missing_ok=True)
    # As where the node is out of memory: what has come by then is passed on.
    stand_in.write_text(
        f'#!/bin/sh\ncase $* in {words}) {real} "$@" | /usr/bin/head -c 6; kill -s KILL $$ ;; esac\n'
        f'exec {real} "$@"\n'
    )
    stand_in.chmod(0o755)
    outcome = run(node.session, verb, *operands, stdin=FENCE)
    stand_in.unlink()
    assert status(outcome) == 1
    assert path.read_text() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    # And once it can be done it is.
    assert run(node.session, verb, *operands, stdin=FENCE) == Exited(0)
    assert path.read_text() == (FENCE + PLAIN if verb == "fence" else PLAIN)


# --- its device

PLACES: Final = """
number() {{ echo 8:97; }}
same_disk() {{ :; }}
dirty() {{ return 1; }}
mounts_of() {{ :; }}
mounted_at() {{ cat {area}/at 2>/dev/null; }}
"""


@pytest.mark.parametrize(
    ("mount", "umount", "ends", "left"),
    [
        ("echo 8:113 >at", "/bin/rm at", NOT_UP, False),
        ("echo 8:113 >at", "exit 32", 1, True),
        ("echo 8:113 >at; exit 32", "/bin/rm at", 1, True),  # by somebody else
        ("exit 32", "/bin/rm at", NOT_UP, False),
    ],
    ids=["it-moved", "it-moved-and-is-held", "another-was-first", "nothing-was-mounted"],
)
def test_a_disk_that_was_mounted_since_its_name_moved_does_not_stay_mounted(  # noqa: PLR0917
    node: Node, mount: str, umount: str, ends: int, left: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = f"{verbs.library()}{PLACES.format(area=node.area)}"
    monkeypatch.setattr(verbs, "library", lambda: library)
    for name, does in (("mount", mount), ("umount", umount)):
        tool = node.here.tmp / "bin" / name
        tool.unlink(missing_ok=True)
        tool.write_text(f"#!/bin/sh\ncd {node.area}\n{does}\n")
        tool.chmod(0o755)
    session = node.settled()
    assert status(run(session, "mount-device", "/dev/x", "identity", node.area / "private", "clean")) == ends
    assert (node.area / "at").exists() is left


# --- what it is started with


UMASKS: Final = """
    chkpnt)
        echo suspended >state
        : >"dumps/Dump.$2"
        ;;
    start | restore) echo running >state ;;
    mount) echo mounted >state ;;
    stop | umount) echo stopped >state ;;
"""
STARTS: Final = {
    "start": ("stopped", "ensure-up", "running"),
    "mount": ("stopped", "ensure-up", "mounted"),
    "restore": ("stopped", "ensure-up", "running"),
    "umount": ("mounted", "stop-container", ""),
    "stop": ("running", "stop-container", ""),
}


@pytest.mark.parametrize("word", STARTS)
def test_containers_and_their_action_scripts_do_not_get_the_umask_of_a_runs_own_files(
    node: Node, word: str
) -> None:
    before, verb, wanted = STARTS[word]
    node.vzctl(f"    *) umask >>umasks ;;\nesac\ncase $1 in{UMASKS}")
    node.is_now(before)
    if word == "restore":
        (node.here.folder / "put-dump").touch()
        (node.area / "dumps").mkdir()
        (node.area / "dumps" / f"Dump.{CTID}").touch()
    area = node.area
    up = (CTID, area / "private", area / "root", "-", "-", area / "dumps", wanted, "-")
    assert run(node.session, verb, *(up if wanted else up[:3])) == Exited(0)
    assert [line.split()[0] for line in node.called] == [word]
    assert [int(line, 8) for line in (area / "umasks").read_text().split()] == [0o022]


def test_a_memory_is_written_down_with_the_umask_of_a_runs_own_files(node: Node) -> None:
    node.vzctl(f"    *) umask >>umasks ;;\nesac\ncase $1 in{UMASKS}")
    area = node.area
    (area / "dumps").mkdir()
    operands = (CTID, area / "private", area / "root", area / "dumps")
    assert run(node.session, "suspend-container", *operands) == Exited(0)
    assert [int(line, 8) for line in (node.area / "umasks").read_text().split()] == [0o077]
    marks = [node.here.folder / name for name in ("dumping", "dumped", "record")]
    assert {path.stat().st_mode & 0o777 for path in marks} == {0o600}


def test_vzctl_is_called_in_one_place_but_for_what_writes_a_memory_down() -> None:
    texts = {name: verbs.text(name) for name in VERBS} | {"library": verbs.library()}
    calls = [
        (name, line.strip())
        for name, text in texts.items()
        for line in text.splitlines()
        if "vzctl --skiplock " in line and not line.lstrip().startswith("#")
    ]
    assert {name for name, _ in calls} == {"dump-container", "library", "suspend-container"}
    assert sum(name == "library" for name, _ in calls) == 1
    assert all("chkpnt" in line for name, line in calls if name != "library")
