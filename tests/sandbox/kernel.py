"""What the kernel offers and Python 3.11 does not: namespaces, the parent's death signal, loop devices."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWPID: Final = 0x20000000
PR_SET_PDEATHSIG: Final = 1
LOOP_CONFIGURE: Final = 0x4C0A
BLKROSET: Final = 0x125D
LOOP_CTL_GET_FREE: Final = 0x4C82
LO_FLAGS_AUTOCLEAR: Final = 4
LOOP_MAJOR: Final = 7
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 0x40000
EXT4_IOC_SHUTDOWN: Final = 0x8004587D
EXT4_GOING_FLAGS_NOLOGFLUSH: Final = 2

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Leave the given namespaces for new ones (a new PID namespace takes effect for the next child)."""
    _checked(_libc.unshare(flags))


def enter(descriptor: int, flags: int) -> None:
    """Enter the namespace behind an open /proc/PID/ns file."""
    _checked(_libc.setns(descriptor, flags))


def die_with_parent() -> None:
    """Have the kernel end this process by SIGKILL when its parent ends, however that ends."""
    _checked(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))


def attach_loop(image: Path) -> tuple[int, int]:
    """A new loop device over ``image``, as open descriptor and minor number.

    It is set to clear itself in the same call that makes it: whoever is killed at whatever moment leaves none behind.
    """
    backing = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    name = os.fsencode(image.name)[:63]
    info = struct.pack("=5Q4I64s64s32s2Q", 0, 0, 0, 0, 0, 0, 0, 0, LO_FLAGS_AUTOCLEAR, name, b"", b"", 0, 0)
    config = struct.pack("=2I", backing, 0) + info + bytes(64)
    try:
        while True:
            minor = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
            device = os.open(f"/dev/loop{minor}", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, LOOP_CONFIGURE, config)
            except OSError as problem:
                os.close(device)
                if problem.errno != errno.EBUSY:  # someone else was quicker
                    raise
            else:
                fcntl.ioctl(device, BLKROSET, struct.pack("i", 0))  # of whoever had this loop device before
                return device, minor
    finally:
        os.close(control)
        os.close(backing)


def unwritten(minor: int) -> bool:
    """Whether an ext4 on this loop device may hold what its disk does not: some namespace still has it mounted."""
    return Path(f"/sys/fs/ext4/loop{minor}").exists()


def forget_unwritten(minor: int, at: Path) -> None:
    """Have the ext4 on this loop device write nothing more, not even its journal: as if its machine lost power now.

    Only in a mount namespace that is thrown away: it is mounted at ``at``, which leads to what is mounted already.
    """
    _checked(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    try:
        _checked(_libc.mount(f"/dev/loop{minor}".encode(), bytes(at), b"ext4", 0, None))
    except OSError as problem:
        if problem.errno == errno.EBUSY:  # mounted read-only: there is nothing to lose
            return
        raise
    top = os.open(at, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.ioctl(top, EXT4_IOC_SHUTDOWN, struct.pack("I", EXT4_GOING_FLAGS_NOLOGFLUSH))
    os.close(top)


def processes(space: str) -> Iterator[tuple[int, str]]:
    """PID and state (proc(5), stat, field 3) of each process in the PID namespace with this name."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if str((folder / "ns/pid").readlink()) == space:
                yield int(folder.name), (folder / "stat").read_text().rpartition(") ")[2][0]
        except OSError:
            continue  # ended meanwhile


def descendants(pid: int) -> Iterator[int]:
    """Its children, theirs, and so on (of its first thread): far fewer to look at than all of the machine."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return  # ended meanwhile
    for child in map(int, children):
        yield child
        yield from descendants(child)


def lies(path: Path) -> tuple[int, int] | None:
    """Device and inode; None: it is not there, or, of a process, that has ended."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def loops_over(folder: Path) -> list[str]:
    """Loop devices whose files are in ``folder``."""
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            text = backing.read_text().strip()
        except OSError:
            continue  # cleared meanwhile
        if text.startswith(f"{folder}/"):
            found.append(f"/dev/{backing.parts[3]} ({text})")
    return found


def start_time(pid: int) -> int | None:
    """When a process started, in ticks since boot; None if it has ended. With the PID, its identity."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
