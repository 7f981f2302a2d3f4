"""Container configs are data: read, edited by the smallest edit, never evaluated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.parse.config import (
    FENCE,
    ConfigError,
    duplicates,
    expanded,
    settings,
    value,
    with_value,
    without_fence,
)

CONFIG = """\
# who pays: web team
ONBOOT="yes"

VE_PRIVATE="/vz/private/$VEID"
VE_DEVICE="/dev/sda1"   # the LUN
NAME=web1
DESCRIPTION='two words'
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ONBOOT", "yes"),
        ("VE_PRIVATE", "/vz/private/$VEID"),
        ("VE_DEVICE", "/dev/sda1"),
        ("NAME", "web1"),
        ("DESCRIPTION", "two words"),
        ("MISSING", None),
    ],
)
def test_a_value_is_read_without_its_quotes_and_comments(name: str, expected: str | None) -> None:
    assert value(CONFIG, name) == expected


def test_of_two_settings_the_first_counts_and_both_are_reported() -> None:
    text = 'VE_DEVICE="/dev/a"\nX=1\nVE_DEVICE="/dev/b"\n'
    assert value(text, "VE_DEVICE") == "/dev/a"
    assert duplicates(text) == {"VE_DEVICE"}


def test_a_commented_out_setting_is_none() -> None:
    assert value('#VE_DEVICE="/dev/a"\n', "VE_DEVICE") is None


def test_the_smallest_edit_changes_one_line_and_keeps_its_comment() -> None:
    edited = with_value(CONFIG, "VE_DEVICE", "/dev/disk/by-id/wwn-1")
    changed = [(a, b) for a, b in zip(CONFIG.split("\n"), edited.split("\n"), strict=True) if a != b]
    assert changed == [('VE_DEVICE="/dev/sda1"   # the LUN', 'VE_DEVICE="/dev/disk/by-id/wwn-1"   # the LUN')]


def test_a_missing_setting_is_added_at_the_end() -> None:
    assert with_value("A=1", "B", "2") == 'A=1\nB="2"\n'
    assert with_value("A=1\r\n", "B", "2") == 'A=1\r\nB="2"\r\n'
    assert with_value("", "B", "2") == 'B="2"\n'


def test_crlf_survives_an_edit() -> None:
    assert with_value('A="1"\r\nB=2\r\n', "A", "3") == 'A="3"\r\nB=2\r\n'


@pytest.mark.parametrize("new", ['a"b', "a$b", "a`b", "a\\b", "a\nb"])
def test_what_a_shell_would_evaluate_is_never_written(new: str) -> None:
    with pytest.raises(ConfigError):
        with_value(CONFIG, "VE_DEVICE", new)


def test_the_container_number_is_the_only_variable() -> None:
    assert expanded("VE_PRIVATE", "/vz/$VEID/${CTID}", 123) == "/vz/123/123"
    for raw in ("/vz/$HOME", "/vz/$(id)", "/vz/`id`", "/vz/$VEIDX", "/vz/\\$VEID", "/vz/${VEID:-1}"):
        with pytest.raises(ConfigError, match="evaluated by a shell"):
            expanded("VE_PRIVATE", raw, 123)


def test_only_our_own_fence_is_taken_out() -> None:
    theirs = 'DISABLED="yes"\n' + CONFIG
    assert without_fence(FENCE + theirs) == theirs
    assert without_fence(theirs) == theirs
    assert without_fence(FENCE + CONFIG + FENCE) == CONFIG + FENCE  # one for one
    assert without_fence("# added above\n" + FENCE + CONFIG) == "# added above\n" + CONFIG


NAMES = st.sampled_from(["VE_DEVICE", "NAME", "X_1"])
VALUES = st.text(st.characters(exclude_characters='"\\$`\r\n', exclude_categories=["Cs", "Cc"]), max_size=20)
LINES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30), max_size=8
)


@given(LINES, NAMES, VALUES)
def test_what_was_set_is_read_back_and_nothing_else_moves(lines: list[str], name: str, new: str) -> None:
    text = "\n".join(lines)
    edited = with_value(text, name, new)
    assert value(edited, name) == new
    others = [(s.name, s.value) for s in settings(text) if s.name != name]
    assert [(s.name, s.value) for s in settings(edited) if s.name != name] == others
    assert with_value(edited, name, new) == edited


@pytest.mark.parametrize(
    ("line", "read"),
    [('A="b c', "b c"), ("A='b", "b"), ('A=""', ""), ('A="b"c', "b"), ("A=b c d", "b"), ("A=", "")],
)
def test_a_value_ends_where_its_quote_does_or_at_the_end_of_its_line(line: str, read: str) -> None:
    assert value(f"{line}\nB=1\n", "A") == read
