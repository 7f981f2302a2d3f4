"""What /proc/PID/mountinfo says, as real and as hostile nodes write it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.model import Mount
from planner.parse import ParseError
from planner.parse.mountinfo import PSEUDO, mount, plain

CAPTURED = Path(__file__).resolve().parents[2] / "fixtures/captured"
RW, RO = False, True


def mounts(case: str) -> list[Mount]:
    lines = (CAPTURED / f"mountinfo-{case}.txt").read_text().splitlines()
    return [found for line in lines if (found := mount(line, elsewhere=False)) is not None]


def row(point: str, device: str, root: str, kind: str, source: str, read_only: bool) -> Mount:  # noqa: PLR0917
    return Mount(point, device, root, kind, source, read_only, elsewhere=False)


def test_a_sandbox_node_shows_its_disks_and_no_pseudo_filesystem() -> None:
    boot_id, partitions = "/proc/sys/kernel/random/boot_id", "/proc/partitions"
    number = mounts("sandbox")[0].device
    assert mounts("sandbox") == [
        row("/", number, "/", "overlay", "hn1-root", RW),
        row("/vz", "7:9", "/", "ext4", "/dev/vda2", RW),
        row(boot_id, number, "/usr/lib/node/boot_id", "overlay", "hn1-root", RW),
        row(partitions, number, "/usr/lib/node/partitions", "overlay", "hn1-root", RW),
        row("/vz/root/101", "7:9", "/private/101", "ext4", "/dev/vda2", RW),
        row("/vz/private/123", "7:10", "/", "ext4", "/dev/sda1", RW),
        row("/vz/root/123", "7:10", "/", "ext4", "/dev/sda1", RW),
    ]


def test_a_kernel_of_rhel_6_writes_no_optional_fields() -> None:
    root, vz = "/dev/mapper/vg_hn1-lv_root", "/dev/mapper/vg_hn1-lv_vz"
    backup = "fs1.example.org:/export/backup"
    assert mounts("rhel6") == [
        row("/", "253:0", "/", "ext4", root, RW),
        row("/boot", "8:1", "/", "ext3", "/dev/sda1", RW),
        row("/vz", "253:2", "/", "ext4", vz, RW),
        row("/mnt/backup", "0:19", "/", "nfs", backup, RO),  # read-only is this mount
        row("/vz/private/123", "253:3", "/", "ext4", "/dev/mapper/mpathb", RW),
        row("/vz/root/101", "0:20", "/", "simfs", "/vz/private/101", RW),
        row("/vz/root/123", "0:21", "/", "simfs", "/vz/private/123", RW),
        row("/media/old", "8:33", "/", "ext3", "/dev/sdc1", RO),  # read-only is the filesystem
        row("/srv/cache", "253:2", "/template/cache", "ext4", vz, RW),
    ]


def test_optional_fields_are_passed_over_however_many_there_are() -> None:
    assert mounts("propagation") == [
        row("/mnt2", "98:0", "/mnt1", "ext3", "/dev/root", RW),
        row("/mnt3", "98:0", "/", "ext4", "/dev/disk one", RO),
        row("/mnt4", "0:44", "/", "fuse.sshfs", "user@host:/", RW),
        row("/mnt5", "0:45", "/", "nfsd", "", RW),
    ]


def test_blanks_tabs_newlines_and_backslashes_come_back_as_they_are() -> None:
    lines = (CAPTURED / "mountinfo-blanks.txt").read_text().splitlines()
    assert [plain(line.split(" ")[4]) for line in lines] == [
        "/mnt/back\\slash",
        "/mnt/hash#gr\u00fcn",
        "/mnt/new\nline",
        "/mnt/tab\tx",
        "/mnt/with blank",
        "/mnt/b",
        "/mnt/with blank/sub",
    ]
    assert mounts("blanks") == [
        row("/mnt/b", "7:9", "/private", "ext4", "/dev/vda2", RO),
        row("/mnt/with blank/sub", "7:9", "/", "ext4", "/dev/vda2", RW),
    ]


@pytest.mark.parametrize("case", ["truncated", "binary"])
def test_what_is_no_line_of_mountinfo_is_refused(case: str) -> None:
    text = (CAPTURED / f"mountinfo-{case}.txt").read_bytes().decode(errors="replace")
    with pytest.raises(ParseError, match=r"^not a line of mountinfo: '"):
        mount(text.removesuffix("\n"), elsewhere=False)


GOOD = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"


def test_where_it_was_seen_is_kept() -> None:
    for elsewhere in (True, False):
        found = mount(GOOD, elsewhere=elsewhere)
        assert found is not None
        assert found.elsewhere is elsewhere


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        "-",
        " - ",
        GOOD.replace(" - ", " "),
        GOOD.replace("98:0", "98"),
        GOOD.replace("98:0", "98:"),
        GOOD.replace("98:0", "98:0:1"),
        GOOD.replace("98:0", "a:b"),
        GOOD.replace(" rw,errors=continue", ""),
        GOOD.replace("36 ", ""),
        "36 35 98:0 /mnt1 /mnt2 - ext3 /dev/root rw",
        "36  98:0 /mnt1 /mnt2 - ext3 /dev/root rw",
    ],
)
def test_a_line_that_lacks_something_is_refused(line: str) -> None:
    with pytest.raises(ParseError):
        mount(line, elsewhere=False)


def test_no_cut_of_a_line_is_taken_for_another_mount() -> None:
    whole = mount(GOOD, elsewhere=False)
    for end in range(len(GOOD)):
        try:
            found = mount(GOOD[:end], elsewhere=False)
        except ParseError:
            continue
        assert found == whole  # only options of the filesystem were cut


def test_ro_is_an_option_and_not_a_part_of_one() -> None:
    found = mount("36 35 98:0 / /mnt rw,relro,errors=ro - ext4 /dev/ro rw,errors=remount-ro", elsewhere=False)
    assert found is not None
    assert not found.read_only


def test_a_very_long_line_is_read_whole_and_shown_short_if_it_is_wrong() -> None:
    point = "/mnt" + "/\\040very\\011long\\134name" * 5000
    found = mount(f"36 35 98:0 / {point} rw - ext4 /dev/sda1 rw", elsewhere=False)
    assert found is not None
    assert found.point == "/mnt" + "/ very\tlong\\name" * 5000
    with pytest.raises(ParseError) as caught:
        mount(f"36 35 98:0 / {point} rw", elsewhere=False)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("kind", sorted(PSEUDO))
def test_a_pseudo_filesystem_is_no_mount_of_interest(kind: str) -> None:
    assert mount(f"36 35 0:5 / /mnt rw - {kind} /dev/sda1 rw", elsewhere=True) is None


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("/plain", "/plain"),
        ("/a\\040b", "/a b"),
        ("/a\\011b\\012c", "/a\tb\nc"),
        ("/a\\134040b", "/a\\040b"),  # a backslash, and then what only looks like a blank
        ("/a\\134\\040b", "/a\\ b"),
        ("/a\\043b", "/a#b"),
        ("/a\\04", "/a\\04"),
        ("/a\\089", "/a\\089"),
        ("/a\\777", "/a\u01ff"),  # no byte: the kernel writes no such thing
        ("", ""),
    ],
)
def test_octal_is_turned_back_once(word: str, expected: str) -> None:
    assert plain(word) == expected


def escaped(path: str) -> str:
    """As the kernel does it (seq_path)."""
    return "".join(f"\\{ord(c):03o}" if c in " \t\n\\#" else c for c in path)


@given(st.text(st.characters(max_codepoint=126, exclude_characters="\0"), max_size=40))
def test_what_the_kernel_escapes_is_read_back(path: str) -> None:
    assert plain(escaped(path)) == path


@given(st.text(max_size=80))
def test_no_text_makes_anything_but_a_parse_error(text: str) -> None:
    plain(text)
    for line in (text, f"1 1 1:1 / {text} rw - ext4 /dev/sda1 rw", f"1 1 1:1 / / rw - {text}"):
        with suppress(ParseError):
            mount(line, elsewhere=False)


def test_a_huge_line_is_read() -> None:
    path = "/a b" * 250_000
    found = mount(f"36 35 8:1 / {escaped(path)} rw - overlay x rw,lowerdir={'/l:' * 100_000}", elsewhere=True)
    assert found is not None
    assert found.point == path
