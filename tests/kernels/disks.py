"""The disks that both guests see, each with an identity of its own, and under another name on each."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CTID: Final = 123
PRIVATE: Final = f"/vz/private/{CTID}"
ROOT: Final = f"/vz/root/{CTID}"
NAMES: Final = ("hn1", "hn2")
BYSTANDERS: Final = {"hn1": 101, "hn2": 202}
START_BYTES: Final = 1 << 20
SECTOR_BYTES: Final = 512


@dataclass(frozen=True)
class Lun:
    """A disk with one partition."""

    name: str
    wwn: int
    places: tuple[int, int]
    """Which disk it is on hn1 and on hn2, counted from 0: sda."""

    @property
    def disk(self) -> str:
        """Its name that does not change."""
        return f"/dev/disk/by-id/wwn-0x{self.wwn:x}"

    @property
    def filesystem(self) -> str:
        """What is mounted, by its name that does not change."""
        return f"{self.disk}-part1"

    def seen_as(self, node: str) -> str:
        """What a node's kernel calls that."""
        return f"/dev/sd{chr(ord('a') + self.places[NAMES.index(node)])}1"


@dataclass(frozen=True)
class Pool(Lun):
    """A disk with LVM on it."""

    group: str = "san"
    volume: str = "web"

    @property
    def filesystem(self) -> str:
        """What is mounted."""
        return f"/dev/mapper/{self.group}-{self.volume}"

    def seen_as(self, node: str) -> str:
        """The same on both."""
        assert node in NAMES
        return self.filesystem


LUN: Final = Lun("lun", 0x5000C500A1B2C3D0, (0, 1))
SPARE: Final = Lun("spare", 0x5000C500A1B2C3D1, (2, 0))
POOL: Final = Pool("pool", 0x5000C500A1B2C3D2, (1, 2))
LUNS: Final = (LUN, SPARE, POOL)


BLOCK_BYTES: Final = 1024
"""As mke2fs has it for small ones; see ``watched.read_before``."""


def make_lun(image: Path, size_mb: int, number: int | None) -> None:
    """A disk with one partition from its first megabyte on, and an ext4 in it; empty if it has no number."""
    with image.open("wb") as disk:
        disk.truncate(size_mb << 20)
        if number is None:
            return
        start = START_BYTES // SECTOR_BYTES
        sectors = (size_mb << 20) // SECTOR_BYTES - start
        disk.seek(440)
        disk.write(struct.pack("<IH", number, 0))
        disk.write(struct.pack("<B3sB3sII", 0, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", start, sectors))
        disk.seek(SECTOR_BYTES - 2)
        disk.write(b"\x55\xaa")
    make_ext4(image, (size_mb << 10) - START_BYTES // 1024, START_BYTES)


def make_ext4(image: Path, size_kb: int, offset_bytes: int = 0) -> None:
    """An ext4 of that size in a file that is there."""
    where = ("-E", f"offset={offset_bytes}") if offset_bytes else ()
    subprocess.run(
        [
            "mke2fs",
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            str(BLOCK_BYTES),
            "-m",
            "0",
            *where,
            str(image),
            f"{size_kb}k",
        ],
        check=True,
        capture_output=True,
    )
