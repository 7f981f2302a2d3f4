"""What a superblock says of the journal and of mounts on other nodes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.model import Journal, Known
from planner.parse.dumpe2fs import NOT_READ, superblock

CAPTURED = Path(__file__).resolve().parents[2] / "fixtures/captured"

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
    assert superblock(captured(case))[:2] == (journal, needs_recovery)


YES, NO, UNKNOWN = Known.YES, Known.NO, Known.UNKNOWN


@pytest.mark.parametrize(
    ("case", "room"),
    [  # the captures' own counts, of a mounted one those that stay; a block is 1024 bytes, at RHEL 6 4096
        ("ext4-clean", (NO, 84295 * 1024, 24576, 24513)),
        ("ext4-mounted", (UNKNOWN, None, 24576, None)),
        ("ext3", (YES, 14182 * 1024, 4096, 4085)),
        ("ext2", (YES, 15211 * 1024, 4096, 4085)),
        ("ext4-no-journal", (YES, 15083 * 1024, 4096, 4085)),
        ("external-journal", (YES, 15083 * 1024, 4096, 4085)),
        ("label-with-newline", (YES, 15211 * 1024, 4096, 4085)),
        ("mmp", (YES, 14058 * 1024, 4096, 4085)),
        ("rhel6", (NO, 2541329 * 4096, 655360, 655262)),
        ("rhel6-mounted", (UNKNOWN, None, 655360, None)),
        ("rhel6-ext3-mounted", (UNKNOWN, None, 655360, None)),
        ("rhel6-external-journal", (NO, 2541329 * 4096, 655360, 655262)),
        ("truncated", (UNKNOWN, None, None, None)),
        ("not-ext", (UNKNOWN, None, None, None)),
        ("binary", (UNKNOWN, None, None, None)),
    ],
)
def test_a_capture_tells_its_room(case: str, room: tuple[Known, int | None, int | None, int | None]) -> None:
    assert superblock(captured(case))[2:] == room


def counting(**fields: str) -> str:
    """A superblock with these counts, written ``free_inodes="9"``."""
    lines = (f"{name.replace('_', ' ').capitalize()}: {value}\n" for name, value in fields.items())
    return f"Filesystem features: ext_attr\n{STATE}{''.join(lines)}"


@pytest.mark.parametrize(
    ("free", "first", "empty"),
    [
        ("4096", "11", YES),
        ("4085", "11", YES),
        ("4084", "11", NO),  # one file
        ("0", "11", NO),
        ("4080", "16", YES),  # as many as the filesystem says are reserved
        ("4079", "16", NO),
        ("4085", "", YES),  # revision 0 does not say how many
        ("4084", "", NO),
    ],
)
def test_a_filesystem_is_empty_up_to_lost_and_found(free: str, first: str, empty: Known) -> None:
    said = superblock(counting(inode_count="4096", free_inodes=free, first_inode=first))
    assert (said.empty, said.inodes, said.free_inodes) == (empty, 4096, int(free))


@pytest.mark.parametrize("odd", ["", "-1", "0x10", "1 2", "\u0665", "\u00b2", "1e3", "1_0", "many"])
def test_a_count_that_is_none_is_not_guessed_at(odd: str) -> None:
    said = superblock(counting(inode_count=odd, free_inodes="4085", free_blocks="7", block_size="1024"))
    assert said[2:] == (UNKNOWN, 7 * 1024, None, 4085)
    said = superblock(counting(inode_count="4096", free_inodes=odd, free_blocks=odd, block_size="1024"))
    assert said[2:] == (UNKNOWN, None, 4096, None)
    said = superblock(counting(inode_count="4096", free_inodes="1", free_blocks="7", block_size=odd))
    assert said[2:] == (NO, None, 4096, 1)


@pytest.mark.parametrize("field", ["Free blocks", "Free inodes", "Inode count", "Block size", "First inode"])
def test_a_label_with_a_newline_says_nothing_of_room(field: str) -> None:
    text = captured("ext4-clean").replace(
        "Filesystem volume name:   <none>", f"Filesystem volume name:   x\n{field}:99"
    )
    assert f"\n{field}:99\n" in text
    assert superblock(text) == superblock(captured("ext4-clean"))


def test_an_answer_cut_after_any_line_never_shows_more_room_or_less_content() -> None:
    for case in ("ext4-clean", "ext4-mounted", "rhel6"):
        lines, whole = captured(case).splitlines(keepends=True), superblock(captured(case))
        for end in range(len(lines)):
            said = superblock("".join(lines[:end]))
            assert said.empty in {UNKNOWN, whole.empty}
            assert said.free_bytes in {None, whole.free_bytes}
            assert said.inodes in {None, whole.inodes}
            assert said.free_inodes in {None, whole.free_inodes}


@pytest.mark.parametrize("case", ["not-ext", "binary"])
def test_what_is_no_superblock_says_nothing(case: str) -> None:
    assert superblock(captured(case)) == NOT_READ


def test_an_answer_cut_before_its_journal_never_looks_like_an_internal_one() -> None:
    assert superblock(captured("truncated")) == NOT_READ
    for case in ("ext4-mounted", "rhel6-mounted", "external-journal"):
        lines = captured(case).splitlines(keepends=True)
        whole = superblock(captured(case))
        for end in range(len(lines)):
            journal, needs_recovery, *_ = superblock("".join(lines[:end]))
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
    assert superblock(text)[:2] == (Journal.INTERNAL, Known.NO)
    assert superblock(f"Filesystem features: has_journal_not\n{STATE}Journal inode: 8\n")[0] is Journal.NONE


def test_the_colon_may_be_followed_by_any_blanks() -> None:
    text = f"Filesystem features:\thas_journal\tneeds_recovery  \r\n{STATE}Journal inode:\t8\r\n"
    assert superblock(text)[:2] == (Journal.INTERNAL, Known.YES)


def test_a_superblock_may_be_followed_by_very_many_groups() -> None:
    groups = "".join(f"Group {n}: (Blocks {n * 8192}-{n * 8192 + 8191})\n" for n in range(20_000))
    assert superblock(captured("ext4-mounted") + groups)[:2] == (Journal.INTERNAL, Known.YES)


@given(st.text())
def test_no_text_makes_it_fail(text: str) -> None:
    superblock(text)
    said = superblock(f"Filesystem features: {text}")
    assert (said.journal is None) == (said.needs_recovery is Known.UNKNOWN)
    superblock(
        counting(inode_count=text, free_inodes=text, free_blocks=text, block_size=text, first_inode=text)
    )


def test_a_label_with_a_newline_does_not_make_an_external_journal_internal() -> None:
    text = captured("external-journal").replace(
        "Filesystem volume name:   <none>", "Filesystem volume name:   x\nJournal inode:"
    )
    assert superblock(text)[0] is Journal.EXTERNAL


def test_features_cut_short_do_not_read_as_not_mounted() -> None:
    text = captured("ext4-mounted")
    assert superblock(text[: text.index(" needs_recovery")])[1] is Known.UNKNOWN
