"""What the sh texts read of a node's tools and of /sys: that sh itself, with stand-ins that say what was captured.

A capture is a transcript: ``$ COMMAND``, what it said, and ``[exit status N]`` if that was not 0. The stand-in of a
tool knows exactly the commands in there, so that what the product asks is seen too.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from executor import verbs
from executor.gather import probe
from planner.model import Device, Filesystem, Known
from planner.parse.probe import facts

CAPTURED: Final = Path(__file__).resolve().parents[2] / "fixtures/captured"
SHELLS: Final = (("dash",), ("bash", "--posix"), ("busybox", "sh"))
TOOLS: Final = ("blkid", "blockdev", "dmsetup", "dumpe2fs", "mke2fs", "scsi_id")
STAND_IN: Final = """#!/bin/sh
export asked="\\$ ${0##*/} $*"
exec awk '
    /^[$] / { here = $0 == ENVIRON["asked"]; known = known || here; next }
    here && /^\\[exit status [0-9]+\\]$/ { status = $3 + 0; next }
    here { print }
    END { exit known ? status : 2 }' "$CAPTURES/${0##*/}-$AGE.txt"
"""
SEAM: Final = """
number() { case $1 in /dev/block/*) printf '%s' "${1#/dev/block/}" ;; *) sed -n "s|^$1 ||p" "$NODE/numbers" ;; esac; }
sysdev=$NODE/sys/dev/block
for tool in blkid blockdev dmsetup dumpe2fs mke2fs scsi_id; do
    eval "$tool() { \\"\\$NODE/bin/$tool\\" \\"\\$@\\"; }" # before busybox's own, and where udev has it
done
timeout() { shift 3; "$@"; } # busybox's would run its own tools
"""
LOCAL: Final = "3600605b0029f3c1017ac5a6e0b3c1d2e"
WEB: Final = "3600508b4000971f0000a000000410000"
SAN: Final = "3600508b4000971f0000a000000420000"
OLD: Final = {
    "/dev/sda": "8:0",
    "/dev/sda1": "8:1",
    "/dev/sda2": "8:2",
    "/dev/sdb": "8:16",
    "/dev/sdc": "8:32",
    "/dev/sdd": "8:48",
    "/dev/sde": "8:64",
    "/dev/mapper/vg_hn1-lv_root": "253:0",
    "/dev/mapper/vg_hn1-lv_vz": "253:2",
    "/dev/mapper/mpathb": "253:3",
    "/dev/mapper/mpathc": "253:4",
    "/dev/mapper/mpathcp1": "253:5",
    "/dev/mapper/vg_hn1-lv_fast": "253:6",
    "/dev/mapper/vg_hn1-lv_base": "253:7",
    "/dev/mapper/vg_hn1-lv_snap": "253:10",
    "/dev/mapper/vg_hn1-lv_twin": "253:11",
}
NEW: Final = {
    "/dev/nvme0n1": "259:0",
    "/dev/nvme0n1p2": "259:2",
    "/dev/nvme1n1": "259:3",
    "/dev/nvme2n1": "259:4",
    "/dev/vda": "252:0",
    "/dev/vda1": "252:1",
    "/dev/vdb": "252:16",
    "/dev/sda": "8:0",
    "/dev/sdb": "8:16",
    "/dev/sdc": "8:32",
    "/dev/sdd": "8:48",
    f"/dev/mapper/{SAN}": "253:0",
    "/dev/mapper/vg--san-ct--123": "253:1",
    "/dev/mapper/vg--san-thin": "253:5",
    "/dev/mapper/vg--san-raid": "253:10",
    "/dev/mapper/secret": "253:11",
}
NUMBERS: Final = {"rhel6": OLD, "current": NEW}


def transcript(name: str) -> dict[str, str]:
    """What each command of a capture said."""
    said: dict[str, str] = {}
    for part in re.split(r"^\$ ", (CAPTURED / name).read_text(), flags=re.MULTILINE)[1:]:
        command, _, rest = part.partition("\n")
        said[command] = re.sub(r"^\[exit status \d+\]\n", "", rest, flags=re.MULTILINE)
    return said


class Node:
    """A node of that age: its /sys, and its tools."""

    def __init__(self, folder: Path, age: str, shell: tuple[str, ...]) -> None:
        """Skip the test if there is no such shell."""
        program = shutil.which(shell[0])
        if program is None:
            pytest.skip(f"{shell[0]} is not installed")
        self.shell, self.folder, self.age, self.captures = (program, *shell[1:]), folder, age, CAPTURED
        (folder / "bin").mkdir()
        (folder / "sys/dev/block").mkdir(parents=True)
        for tool in TOOLS:
            (folder / "bin" / tool).write_text(STAND_IN)
            (folder / "bin" / tool).chmod(0o755)
        (folder / "numbers").write_text("".join(f"{name} {n}\n" for name, n in NUMBERS[age].items()))
        values, holders = transcript(f"sysfs-{age}.txt").values()
        for line in values.splitlines():
            path, value = re.split(r"(?<=[a-z]):", line, maxsplit=1)
            self.sysfs(path, f"{value}\n")
        for line in holders.splitlines():
            (self.at(line.partition("/")[0]) / line.partition("/")[2]).mkdir(parents=True)

    def at(self, number: str) -> Path:
        """A device's folder: as the kernel has it, a link into a tree in which a partition is below its disk."""
        link, place = self.folder / "sys/dev/block" / number, self.folder / "sys/devices" / number / "block"
        if not link.is_symlink():
            place.mkdir(parents=True)
            link.symlink_to(f"../../devices/{number}/block")
        return link

    def sysfs(self, path: str, value: str | bytes) -> None:
        number, _, name = path.partition("/")
        place = self.at(number).resolve() / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(value.encode() if isinstance(value, str) else value)

    def say(self, tool: str, said: str | bytes) -> None:
        """From now on ``tool`` says this, whatever it is asked."""
        (self.folder / "said").write_bytes(said.encode() if isinstance(said, str) else said)
        (self.folder / "bin" / tool).write_text(f"#!/bin/sh\nexec cat '{self.folder}/said'\n")

    def run(self, text: str, script: str) -> bytes:
        """What ``script`` says after ``text``, which is of the product."""
        done = subprocess.run(
            [*self.shell, "-c", f"{text}{SEAM}{script}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
            env={
                "PATH": f"{self.folder}/bin:/sbin:/usr/sbin:/bin:/usr/bin",
                "LC_ALL": "C",
                "VZPLAN_HOME": str(self.folder),
                "VZPLAN_RUN": "",
                "NODE": str(self.folder),
                "CAPTURES": str(self.captures),
                "AGE": self.age,
            },
        )
        # bash says so of every NUL that a command substitution drops, and so does none of the others.
        said = [line for line in done.stderr.splitlines() if not line.endswith(b"ignored null byte in input")]
        assert (done.returncode, said) == (0, [])
        return done.stdout

    def identity(self, device: str) -> str:
        return self.run(verbs.library(), f"identity '{device}'").decode(errors="backslashreplace")

    def wwid(self, device: str) -> str:
        return self.run(verbs.library(), f"printf %s \"$(wwid '{device}')\"").decode(
            errors="backslashreplace"
        )

    def device(self, name: str) -> Device:
        """As the probe tells of it, and the planner reads that."""
        functions, _, _ = probe().rpartition("\nsay |")
        record = self.run(functions + "\n", f"device {NUMBERS[self.age][name]} '{name}'").decode()
        (found,) = facts("hn1", f"boot b\nvz yes\n{record}end 3\n").devices
        return found


Make = Callable[[str], Node]


@pytest.fixture(params=SHELLS, ids=" ".join)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    return lambda age: Node(tmp_path, age, request.param)


# --- every device of both nodes


def test_identities_on_a_node_of_rhel_6(make: Make) -> None:
    node = make("rhel6")
    sizes = {"root": 41943040, "vz": 327655424, "fast": 4194304, "small": 2097152, "twin": 1048576}
    assert {name: node.identity(name) for name in OLD if name not in {"/dev/sdd", "/dev/sde"}} == {
        "/dev/sda": f"{LOCAL}:-:146815733760:-:-",
        "/dev/sda1": f"{LOCAL}:2048:524288000:ext3:0a1b54c2-8f0e-4a61-bb0c-6f5d4c3b2a19",
        "/dev/sda2": f"{LOCAL}:1026048:146290393088:LVM2_member:k2Wq3c-4hPd-9sXv-Qm1Z-T7rB-c0Lf-uJ8aYe",
        "/dev/sdb": f"{WEB}:-:10737418240:ext4:4b9f6a4e-3a07-4f0c-9d0a-6f0c7b7e1a23",
        "/dev/sdc": f"{SAN}:-:53687091200:-:-",
        # Of a volume each piece: how long, on what, and where on that.
        "/dev/mapper/vg_hn1-lv_root": f"41943040@{LOCAL}@1028096:-:{sizes['root'] * 512}:ext4:"
        "9d2a6c1e-52ab-4f0c-8d7b-3f1f5c0e7a01",
        "/dev/mapper/vg_hn1-lv_vz": f"243769344@{LOCAL}@42971136+83886080@104855552@{SAN}@2048@384:-:"
        f"{sizes['vz'] * 512}:ext4:77aa1c52-3b9d-4a40-9e4f-12d0c8f3b6e5",
        "/dev/mapper/mpathb": f"{WEB}:-:10737418240:ext4:4b9f6a4e-3a07-4f0c-9d0a-6f0c7b7e1a23",
        "/dev/mapper/mpathc": f"{SAN}:-:53687091200:-:-",
        "/dev/mapper/mpathcp1": f"104855552@{SAN}@2048:-:53686042624:LVM2_member:"
        "Vd0wZp-1xQe-77Ka-sN4u-Yb2M-o9Tc-R5hGfL",
        # What is more than a row of pieces has no identity.
        "/dev/mapper/vg_hn1-lv_fast": f"-:-:{sizes['fast'] * 512}:xfs:a981eb1d-87be-49b5-9cce-617e1f53f14e",
        "/dev/mapper/vg_hn1-lv_base": f"-:-:{sizes['small'] * 512}:ext3:158e3db7-1587-4109-ad66-95ceb13bf306",
        "/dev/mapper/vg_hn1-lv_snap": f"-:-:{sizes['small'] * 512}:ext3:158e3db7-1587-4109-ad66-95ceb13bf306",
        "/dev/mapper/vg_hn1-lv_twin": f"-:-:{sizes['twin'] * 512}:ext4:eb71ea52-97ee-46b1-8716-918fcdc89872",
    }


def test_identities_on_a_current_node(make: Make) -> None:
    node = make("current")
    vendor = "nvme.1b36-64656164626565662d31-51454d55204e564d65204374726c-00000001"
    assert {name: node.identity(name) for name in NEW if name not in {"/dev/vda", "/dev/sdd"}} == {
        "/dev/nvme0n1": "eui.0025385b71b0a1b2:-:512110190592:-:-",
        # The namespace's own name is its partitions' too.
        "/dev/nvme0n1p2": "eui.0025385b71b0a1b2:1050624:511571205632:ext4:b83f83c2-6112-406b-91e4-255de783b6fe",
        "/dev/nvme1n1": f"{vendor}:-:10737418240:xfs:2c3c1f0d-4a18-49c5-9d3e-6b1f60a7c944",
        # How many devices it spans stands in its superblock, which nothing captured.
        "/dev/nvme2n1": "uuid.5c1f0b7e-9f3a-4c83-b8d4-2a6f7c3e1d90:-:10737418240:btrfs-of-?:"
        "0f5b3447-643e-4783-aac0-08906baca43d",
        "/dev/vda1": "data_disk_7:2048:21473771008:ext4:e6f4f715-633e-4240-ae92-b75d67fbe9bb",
        "/dev/vdb": "-:-:2147483648:swap:73608ba6-6efb-45a0-accb-d247b268b263",  # it was given no serial
        "/dev/sda": "-:-:536870912:vfat:6A2B-11C9",  # every guest of that host has a disk of that name
        "/dev/sdb": "-:-:10737418240:ext4:1b4e28ba-2fa1-11d2-883f-0016d3cca427",  # no page 0x83
        "/dev/sdc": f"{SAN}:-:53687091200:mpath_member:-",
        f"/dev/mapper/{SAN}": f"{SAN}:-:53687091200:LVM2_member:c0LfuJ-8aYe-k2Wq-3c4h-Pd9s-XvQm-1ZT7rB",
        "/dev/mapper/vg--san-ct--123": f"20971520@{SAN}@2048+8388608@eui.0025385b71b0a1b2@1052672:-:15032385536:"
        "ext4:4b9f6a4e-3a07-4f0c-9d0a-6f0c7b7e1a23",
        "/dev/mapper/vg--san-thin": "-:-:10737418240:ext4:1b4e28ba-2fa1-11d2-883f-0016d3cca428",
        "/dev/mapper/vg--san-raid": "-:-:536870912:ext4:1b4e28ba-2fa1-11d2-883f-0016d3cca429",
        "/dev/mapper/secret": "-:-:10720641024:ext4:1b4e28ba-2fa1-11d2-883f-0016d3cca42a",
    }


@pytest.mark.parametrize("age", NUMBERS)
def test_what_multipath_lists_is_what_its_maps_and_paths_are_known_by(age: str, make: Make) -> None:
    node, maps, paths = make(age), 0, 0
    names = {number: name for name, number in NUMBERS[age].items()}
    wwid = ""
    for line in transcript(f"multipath-{age}.txt")["multipath -ll"].splitlines():
        header = re.match(r"(?:\S+ \()?([0-9a-f]{33})\)? dm-(\d+) ", line)
        path = re.search(r"- \d+:\d+:\d+:\d+ \S+ +(\d+:\d+) ", line)
        if header is not None:
            wwid = header[1]
            assert node.wwid(names[f"253:{header[2]}"]) == wwid
            maps += 1
        if path is not None:
            assert node.wwid(names[path[1]]) == wwid
            paths += 1
    assert (maps, paths) == ((2, 4) if age == "rhel6" else (1, 2))


# --- as the probe tells of them


@pytest.mark.parametrize(
    ("age", "name", "kind", "label", "holders", "exclusive"),
    [
        ("rhel6", "/dev/sda1", "ext3", "/boot", (), Known.NO),
        ("rhel6", "/dev/sdb", "ext4", None, ("dm-3",), Known.NO),
        ("rhel6", "/dev/mapper/mpathb", "ext4", None, (), Known.YES),
        ("rhel6", "/dev/sda2", None, None, ("dm-0", "dm-2", "dm-6"), Known.UNKNOWN),
        ("rhel6", "/dev/mapper/vg_hn1-lv_vz", "ext4", " two  words ", (), Known.UNKNOWN),
        ("current", "/dev/nvme0n1p2", "ext4", None, ("dm-1",), Known.NO),
        ("current", "/dev/nvme1n1", "xfs", "two words", (), Known.UNKNOWN),
        ("current", "/dev/vdb", None, None, (), Known.NO),
        ("current", "/dev/sda", "vfat", "EFI", (), Known.UNKNOWN),
        ("current", "/dev/sdc", None, None, ("dm-0",), Known.UNKNOWN),
        ("current", "/dev/mapper/vg--san-ct--123", "ext4", "web1", (), Known.YES),
    ],
)
def test_a_device_is_told_with_its_label_and_holders(  # noqa: PLR0917
    age: str,
    name: str,
    kind: str | None,
    label: str | None,
    holders: tuple[str, ...],
    exclusive: Known,
    make: Make,
) -> None:
    node = make(age)
    found = node.device(name)
    _, _, size, type_, uuid = node.identity(name).rsplit(":", 4)
    assert (found.names, found.number, found.size_bytes) == ((name,), NUMBERS[age][name], int(size))
    assert (found.wwid or "", found.holders, found.exclusive) == (node.wwid(name), holders, exclusive)
    assert found.read_only is Known.UNKNOWN  # blockdev said nothing
    assert (found.filesystem is None) == (kind is None)
    if found.filesystem is not None:
        assert type_ == kind
        unread = (None, Known.UNKNOWN, label, Known.UNKNOWN, None, None, None)
        assert found.filesystem == Filesystem(type_, uuid, *unread)


# --- what nobody should say


@pytest.mark.parametrize(
    "table",
    [
        "",
        "\n",
        "0",
        "0 41943040",
        "0 41943040 linear",
        "0 41943040 linear 8:2",
        "0 41943040 linear 8:2 ",
        "0 41943040 linear 8:2 x",
        "0 41943040 linear 8:2 -1",
        "0 41943040 linear 8:2 0x10",
        "0 41943040 linear 8:2 2048 more",
        "0 x linear 8:2 2048",
        "0 41943040 linear /dev/sda2 2048",
        "0 41943040 linear 8:2:1 2048",
        "0 41943040 linear 9:9 2048",
        "0 41943040 Linear 8:2 2048",
        "0 41943040 error",
        "0 20 linear 8:2 2048\n20 20 error",
        "0 20 linear 8:2 2048\n20 20 linear 8:2",
        "0 20 linear 8:2 2048\n\n20 20 linear 8:2 4096",
        "vg-lv: 0 41943040 linear 8:2 2048",
        "0 41943040 linear 8:2 a[$(touch${IFS}pwned)]",
        "0 a[$(touch${IFS}pwned)] linear 8:2 1",
        "Device does not exist.",
        b"\x00\xff\xfe\x80 linear \x00\x01",
        b"0 41943040 linear 8:2 20\xff48",
    ],
)
def test_of_what_is_no_table_of_pieces_nothing_is_known(table: str | bytes, make: Make) -> None:
    node = make("rhel6")
    node.say("dmsetup", table)
    assert node.wwid("/dev/mapper/vg_hn1-lv_root") == ""
    assert not list(node.folder.rglob("pwned"))
    assert not Path("pwned").exists()


def test_no_cut_of_a_table_is_another_place_on_the_same_disk(make: Make) -> None:
    node = make("rhel6")
    table = "0 40 linear 8:2 2048\n40 60 linear 8:2 4096"
    node.say("dmsetup", table)
    whole = node.wwid("/dev/mapper/vg_hn1-lv_root")
    assert whole == f"40@{LOCAL}@1028096+60@{LOCAL}@1030144"
    for end in (4, 11, 15, 17, 24, 30, 36, 37):  # within each word, and before the last
        node.say("dmsetup", table[:end])
        assert node.wwid("/dev/mapper/vg_hn1-lv_root") in {"", f"40@{LOCAL}@1026050", f"40@{LOCAL}@1028096"}


def test_of_a_volume_of_two_pieces_the_superblock_is_read(make: Make) -> None:
    node = make("rhel6")
    node.say("dmsetup", "0 40 linear 8:2 2048\n40 60 linear 8:2 4096")
    (node.folder / "bin/dumpe2fs").write_text(
        "#!/bin/sh\necho 'Filesystem features: has_journal needs_recovery'; echo 'Filesystem state: clean'\n"
    )
    found = node.device("/dev/mapper/vg_hn1-lv_root")
    assert found.wwid == f"40@{LOCAL}@1028096+60@{LOCAL}@1030144"
    assert found.filesystem is not None
    assert (found.filesystem.type, found.filesystem.needs_recovery) == ("ext4", Known.YES)


def test_a_volume_in_very_many_pieces_has_all_of_them(make: Make) -> None:
    node, count = make("rhel6"), 60
    node.say("dmsetup", "".join(f"{n * 8} 8 linear 253:4 {n * 16}\n" for n in range(count)))
    pieces = node.wwid("/dev/mapper/vg_hn1-lv_root").split("+")
    assert pieces == [f"8@{SAN}@{n * 16}" for n in range(count)]


@pytest.mark.parametrize(
    ("serial", "known_as"),
    [
        (b"data disk 7\n", "data_disk_7"),
        (b"data disk 7", "data_disk_7"),
        (b"data disk 7         \n", "data_disk_7"),  # 20 bytes, filled up
        (b"  lead\n", "_lead"),
        (b"a:b\n", "a:b"),
        (b"two\nlines\n", "two_lines"),
        (b"caf\xe9\n", "caf\\xe9"),
        (b"$(touch pwned)\n", "$(touch_pwned)"),
        (b"%s%n\\n\n", "%s%n\\n"),
        (b"-n\n", "-n"),
        (b"   \n", ""),
        (b"\n", ""),
        (b"", ""),
        (b"9" * 4000 + b"\n", "9" * 4000),
    ],
)
@pytest.mark.parametrize("name", ["wwid", "serial"])
def test_a_disks_own_name_is_one_word(name: str, serial: bytes, known_as: str, make: Make) -> None:
    node = make("current")
    node.sysfs(f"252:16/{name}", serial)
    assert node.wwid("/dev/vdb") == known_as
    if b":" not in serial:
        assert node.identity("/dev/vdb").partition(":")[0] == (known_as or "-")


def test_of_two_names_of_a_disk_the_wider_one_counts(make: Make) -> None:
    node = make("current")
    node.sysfs("252:16/serial", "0001\n")
    assert node.wwid("/dev/vdb") == "0001"
    node.sysfs("252:16/wwid", "nvme.1b36-0001\n")
    assert node.wwid("/dev/vdb") == "nvme.1b36-0001"


@pytest.mark.parametrize(
    ("uuid", "known_as"),
    [
        ("", ""),
        ("\n", ""),
        ("mpath-", ""),
        (f"mpath-{SAN}", SAN),
        ("MPATH-x\n", ""),
        (f"part2-mpath-{SAN}\n", ""),
        ("DMRAID-isw_x\n", ""),
    ],
)
def test_only_a_map_of_multipath_is_known_by_its_own_uuid(uuid: str, known_as: str, make: Make) -> None:
    node = make("rhel6")
    node.sysfs("253:4/dm/uuid", uuid)
    assert node.wwid("/dev/mapper/mpathc") == known_as  # and its table is of multipath


@pytest.mark.parametrize(
    ("said", "kind", "uuid"),
    [
        (b"", "-", "-"),
        (b"\n", "-", "-"),
        (b"ext4\n", "-", "-"),
        (b'/dev/sda1: UUID="u-1" TYPE="ext4" \n', "ext4", "u-1"),
        (b'/dev/sda1: TYPE="ext4" UUID="u-1"\n', "ext4", "u-1"),
        (b'/dev/sda1: TYPE="DDF_raid_member"\n', "DDF_raid_member", "-"),
        (b'/dev/sda1: TYPE="zfs:member"\n', "zfs:member", "-"),
        (b'/dev/sda1: UUID="u-1"\n', "-", "u-1"),
        (b'/dev/sda1: PTUUID="8f" PTTYPE="dos"\n', "-", "-"),  # a table of partitions, no filesystem
        (b'/dev/sda1: UUID_SUB="s" TYPE="btr', "btr", "-"),
        (b'TYPE="\x00\xff"\n', "\\xff", "-"),
    ],
)
def test_whatever_blkid_says_is_no_other_part_of_the_identity(
    said: bytes, kind: str, uuid: str, make: Make
) -> None:
    node = make("rhel6")
    node.say("blkid", said)
    assert node.identity("/dev/sda1") == f"{LOCAL}:2048:524288000:{kind}:{uuid}"
