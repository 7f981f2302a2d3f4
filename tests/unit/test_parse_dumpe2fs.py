"""What a superblock says of the journal and of mounts on other nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.model import Journal, Known
from planner.parse.dumpe2fs import superblock

CAPTURED = Path(__file__).resolve().parents[2] / "fixtures/captured"
NOT_READ = (None, Known.UNKNOWN)

STATE = "Filesystem state: clean\n"


def captured(case: str) -> str:
    return (CAPTURED / f"dumpe2fs-{case}.txt").read_bytes().decode(errors="replace")


@pytest.mark.parametrize(
    ("case", "journal", "needs_recovery"),
    [
        ("ext4-clean", Journal.INTERNAL, Known.NO),
        ("ext4-mounted", Journal.INTERNAL, Known.YES),
        ("ext3", Journal.INTERNAL, Known.NO),
        ("ext2", Journal.NONE, Known.NO),
        ("ext4-no-journal", Journal.NONE, Known.NO),
        ("external-journal", Journal.EXTERNAL, Known.NO),
        ("journal-device", Journal.NONE, Known.NO),
        ("label-with-newline", Journal.NONE, Known.NO),  # its second line is "Journal inode:"
        ("mmp", Journal.INTERNAL, Known.NO),
        ("rhel6", Journal.INTERNAL, Known.NO),
        ("rhel6-mounted", Journal.INTERNAL, Known.YES),
        ("rhel6-ext3-mounted", Journal.INTERNAL, Known.YES),
        ("rhel6-external-journal", Journal.EXTERNAL, Known.NO),
    ],
)
def test_a_capture_tells_its_journal_and_its_mounts(
    case: str, journal: Journal, needs_recovery: Known
) -> None:
    assert superblock(captured(case)) == (journal, needs_recovery)


@pytest.mark.parametrize("case", ["not-ext", "binary"])
def test_what_is_no_superblock_says_nothing(case: str) -> None:
    assert superblock(captured(case)) == NOT_READ


def test_an_answer_cut_before_its_journal_never_looks_like_an_internal_one() -> None:
    assert superblock(captured("truncated")) == (None, Known.UNKNOWN)
    for case in ("ext4-mounted", "rhel6-mounted", "external-journal"):
        lines = captured(case).splitlines(keepends=True)
        whole = superblock(captured(case))
        for end in range(len(lines)):
            journal, needs_recovery = superblock("".join(lines[:end]))
            assert journal in {None, Journal.EXTERNAL, whole[0]}
            assert needs_recovery in {Known.UNKNOWN, whole[1]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        ":",
        "needs_recovery",
        "Filesystem features",
        "filesystem features: has_journal",
        "Journal inode:            8\n",
        "Filesystem state:         clean\n",
    ],
)
def test_features_are_the_mark_of_a_superblock(text: str) -> None:
    assert superblock(text) == NOT_READ


def test_clean_is_said_while_mounted_too_and_proves_nothing() -> None:
    assert "Filesystem state:         clean" in captured("ext4-mounted")
    assert superblock(captured("ext4-mounted"))[1] is Known.YES


def test_a_feature_is_a_whole_word() -> None:
    text = f"Filesystem features: has_journal not_needs_recovery needs_recovery_x\n{STATE}Journal inode: 8\n"
    assert superblock(text) == (Journal.INTERNAL, Known.NO)
    assert superblock(f"Filesystem features: has_journal_not\n{STATE}Journal inode: 8\n")[0] is Journal.NONE


def test_the_colon_may_be_followed_by_any_blanks() -> None:
    text = f"Filesystem features:\thas_journal\tneeds_recovery  \r\n{STATE}Journal inode:\t8\r\n"
    assert superblock(text) == (Journal.INTERNAL, Known.YES)


def test_a_superblock_may_be_followed_by_very_many_groups() -> None:
    groups = "".join(f"Group {n}: (Blocks {n * 8192}-{n * 8192 + 8191})\n" for n in range(20_000))
    assert superblock(captured("ext4-mounted") + groups) == (Journal.INTERNAL, Known.YES)


@given(st.text())
def test_no_text_makes_it_fail(text: str) -> None:
    superblock(text)
    journal, needs_recovery = superblock(f"Filesystem features: {text}")
    assert (journal is None) == (needs_recovery is Known.UNKNOWN)


def test_a_label_with_a_newline_does_not_make_an_external_journal_internal() -> None:
    text = captured("external-journal").replace(
        "Filesystem volume name:   <none>", "Filesystem volume name:   x\nJournal inode:"
    )
    assert superblock(text)[0] is Journal.EXTERNAL


def test_features_cut_short_do_not_read_as_not_mounted() -> None:
    text = captured("ext4-mounted")
    assert superblock(text[: text.index(" needs_recovery")])[1] is Known.UNKNOWN
