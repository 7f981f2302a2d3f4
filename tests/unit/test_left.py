"""Whether the disk of a memory is as it was left (``memory.sh``): in those sh, with a disk that is made up."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from executor import verbs

DISK: Final = """
superblock() { cat superblock 2>/dev/null; }
dirty() { [ -e dirty ]; }
number() { echo 8:1; }
mounts_of() { cat mounted 2>/dev/null; }
same_disk() { [ ! -e other ]; }
boot_id() { cat boot; }
sync() { :; }
"""
LEFT: Final = "/dev/x identity Mount count: 5 Last mount time: then"


class Source:
    """The source, which has released its disk, and has its container's memory in a place of this run's."""

    def __init__(self, folder: Path, shell: tuple[str, ...]) -> None:
        """Noted while it ran."""
        self.folder, self.shell, self.run = folder, shell, folder / "node" / "run-1"
        (self.run / "made").mkdir(parents=True)
        (self.run / "made" / "sum").write_text("/vz/dump/.vzplan-dump-123\n")
        self.has(
            superblock="Mount count: 5 Last mount time: then",
            boot="first",
            mounted="/vz/private/123",
            dirty="",
        )
        assert self.does("note_left /dev/x identity") == 0
        self.lacks("mounted", "dirty")
        self.marks("writing", "written", "dumped")

    def has(self, **files: str) -> None:
        for name, text in files.items():
            (self.folder / name).write_text(f"{text}\n" if text else "")

    def lacks(self, *names: str) -> None:
        for name in names:
            (self.folder / name).unlink()

    def marks(self, *names: str) -> None:
        for name in names:
            (self.run / name).write_text("\n")

    def note(self, name: str) -> str | None:
        return (self.run / name).read_text().rstrip("\n") if (self.run / name).exists() else None

    def does(self, words: str) -> int:
        environment = {
            "PATH": "/sbin:/usr/sbin:/bin:/usr/bin",
            "VZPLAN_HOME": str(self.folder),
            "VZPLAN_RUN": "run-1",
        }
        script = f"{verbs.library()}\n{DISK}\n{words}"
        done = subprocess.run([*self.shell, "-c", script], cwd=self.folder, env=environment, check=False)
        return done.returncode

    def is_kept(self) -> bool:
        """Whether the memory may be taken up, once its disk was looked at."""
        assert self.does("as_left /dev/x identity") == 0
        return self.note("taken") is None


@pytest.fixture(params=(("dash",), ("bash", "--posix"), ("busybox", "sh")), ids=" ".join)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    words: tuple[str, ...] = request.param
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    return Source(tmp_path, words)


def test_a_disk_that_nobody_has_mounted_keeps_its_memory_also_after_a_power_cut(source: Source) -> None:
    assert source.note("left") == f"{LEFT} clean"
    source.has(boot="second")
    assert source.is_kept()
    assert source.note("back") == "second"
    # By this run itself; after the next power cut nobody knows what else was done to it.
    source.has(superblock="Mount count: 6 Last mount time: now", mounted="/vz/private/123")
    assert source.is_kept()
    source.has(boot="third")
    assert not source.is_kept()


def test_a_disk_that_was_mounted_meanwhile_costs_its_memory(source: Source) -> None:
    source.has(superblock="Mount count: 6 Last mount time: now", boot="second")
    assert not source.is_kept()


def test_a_disk_that_was_mounted_as_the_node_went_down_costs_its_memory(source: Source) -> None:
    source.has(boot="second", dirty="")
    assert not source.is_kept()


def test_a_disk_that_was_never_released_is_as_it_was(source: Source) -> None:
    source.has(mounted="/vz/private/123", dirty="")
    assert source.is_kept()


def test_without_a_note_nothing_is_taken_up(source: Source) -> None:
    (source.run / "left").unlink()
    assert not source.is_kept()


@pytest.mark.parametrize("gone", ["dumped", "written"])
def test_what_no_disk_is_bound_to_is_not_looked_at(source: Source, gone: str) -> None:
    (source.run / gone).unlink()
    source.has(superblock="Mount count: 6 Last mount time: now", boot="second")
    assert source.is_kept()
    source.marks("carrier")
    assert source.is_kept() == (gone == "dumped")


def test_another_disk_of_that_name_says_nothing(source: Source) -> None:
    source.has(other="", superblock="Mount count: 1 Last mount time: never")
    assert source.is_kept()
    assert source.note("back") is None


def test_what_cannot_be_read_is_not_given_up(source: Source) -> None:
    source.has(superblock="")
    source.lacks("superblock")
    assert source.does("as_left /dev/x identity") == 1
    assert source.note("taken") is None


def test_it_goes_to_the_destination_only_as_it_was_left(source: Source) -> None:
    assert source.does("goes_as_left /dev/x identity") == 0
    assert source.note("handed") is not None
    (source.run / "handed").unlink()
    source.has(superblock="Mount count: 6 Last mount time: now")
    assert source.does("goes_as_left /dev/x identity") == 1
    assert source.note("handed") is None


@pytest.mark.parametrize("staged", [True, False])
def test_what_the_destination_did_to_it_is_no_hand_of_somebody_elses(source: Source, staged: bool) -> None:
    if not staged:
        (source.run / "written").unlink()
        source.marks("carrier")
    source.marks("handed")
    source.has(superblock="Mount count: 6 Last mount time: there")
    assert source.does("comes_back") == 0
    assert source.note("handed") is None
    assert source.is_kept()


@pytest.mark.parametrize("staged", [True, False])
def test_a_destination_that_went_down_with_it_may_have_had_a_staged_one_started(
    source: Source, staged: bool
) -> None:
    if not staged:
        (source.run / "written").unlink()
        source.marks("carrier")
    source.marks("handed")
    source.has(superblock="Mount count: 6 Last mount time: there", dirty="")
    assert source.does("comes_back") == 0
    assert source.is_kept() != staged


def test_what_cannot_be_read_as_it_comes_back_is_compared_with_what_it_was_before(source: Source) -> None:
    source.marks("handed")
    source.lacks("superblock")
    assert source.does("comes_back") == 0
    assert (source.note("handed"), source.note("left")) == (None, f"{LEFT} clean")
    source.has(superblock="Mount count: 6 Last mount time: there")
    assert not source.is_kept()


def test_nothing_is_noted_of_a_memory_that_is_written_down_already_or_goes_another_way(
    source: Source,
) -> None:
    (source.run / "left").unlink()
    assert source.does("note_left /dev/x identity") == 0
    assert source.note("left") is None
    for name in ("writing", "written", "dumped"):
        (source.run / name).unlink()
    (source.run / "made" / "sum").write_text("/vz/private/123\n")
    assert source.does("note_left /dev/x identity") == 0
    assert source.note("left") is None
