"""What stands on the nodes at the start: configs, hooks, keys, the containers' files. Written from outside."""

from __future__ import annotations

import os
import shutil
import stat
import struct
from pathlib import Path
from typing import Final

STAND_INS: Final = Path(__file__).parent / "node"
BUSYBOX: Final = Path("/bin/busybox")
HOOKS: Final = ("vps.premount", "vps.postumount")
VZ_CONF: Final = """VIRTUOZZO=yes
LOCKDIR=/vz/lock
DUMPDIR=/vz/dump
VE_ROOT="/vz/root/$VEID"
VE_PRIVATE="/vz/private/$VEID"
"""
OLD_NS: Final = 1_000_000_000_123_456_789
"""A time of change with nanoseconds, so that a copy that drops them shows."""
PLACES: Final = {  # stand-in: where it lies on a node
    "boot.sh": "usr/lib/node/boot.sh",
    "inside.sh": "usr/lib/node/inside.sh",
    "vz.sh": "etc/init.d/vz",
    "vzctl.sh": "usr/lib/node/vzctl",
    "vzlist.sh": "usr/sbin/vzlist",
    "scsi_id.sh": "usr/lib/udev/scsi_id",
}
SHIMMED: Final = ("mount", "rsync", "umount", "vzctl")


def config(hostname: str, *, name: str | None = None, device: str | None = None) -> str:
    """A container's config, as vzctl writes it, but without VE_LAYOUT: that comes with the first start."""
    lines = ['ONBOOT="yes"', f'HOSTNAME="{hostname}"']
    lines += [f'NAME="{name}"'] if name else []
    lines += ['VE_ROOT="/vz/root/$VEID"', 'VE_PRIVATE="/vz/private/$VEID"']
    lines += [f'VE_DEVICE="{device}"'] if device else []
    return "\n".join(lines) + "\n"


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """A file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def lay_stand_ins(seed: Path) -> None:
    """The tools that a node has and this machine has not, or that can be made to fail."""
    for source, place in PLACES.items():
        write(seed / place, (STAND_INS / source).read_text(), 0o755)
    # It says of this kernel that it will do; vzctl's own work with it is done by vzctl.sh.
    write(seed / "usr/sbin/criu", "#!/bin/sh\n[ \"$*\" = check ] && echo 'Looks good.'\n", 0o755)
    for tool in SHIMMED:
        write(seed / "usr/sbin" / tool, (STAND_INS / "shim.sh").read_text(), 0o755)


def lay_vz(seed: Path, configs: dict[int, str], *, hooks: bool) -> None:
    """/etc/vz with these containers' configs."""
    write(seed / "etc/vz/vz.conf", VZ_CONF)
    for ctid, text in configs.items():
        write(seed / f"etc/vz/conf/{ctid}.conf", text)
    for hook in HOOKS if hooks else ():
        write(seed / "etc/vz/conf" / hook, (STAND_INS / hook).read_text(), 0o755)


def lay_container(area: Path) -> None:
    """What a container needs to run: a static busybox and the counting init."""
    for folder in ("bin", "dev", "etc", "proc", "tmp", "var/log"):
        (area / folder).mkdir(parents=True, exist_ok=True)
    for name, minor in (("null", 3), ("urandom", 9)):
        os.mknod(area / "dev" / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        (area / "dev" / name).chmod(0o666)
    shutil.copy(BUSYBOX, area / "bin/busybox")
    for name in ("sh", "ls", "cat"):
        (area / "bin" / name).symlink_to("busybox")
    write(area / "init", (STAND_INS / "init.sh").read_text(), 0o755)
    (area / "tmp").chmod(0o1777)


def lay_rich_tree(area: Path) -> None:
    """Everything about files that a careless copy loses."""
    lay_container(area)
    data = area / "srv/data"
    data.mkdir(parents=True)
    for name in (
        "plain",
        "with space",
        "new\nline",
        "-dash",
        "back\\slash",
        "quote'\"$(x)`",
        "gr\u00fcn",
        "*?[a]",
    ):
        write(data / name, f"content of {name!r}\n")
    (data / os.fsdecode(b"not-utf8-\xff\xfe")).write_bytes(bytes(range(256)))
    write(data / "setuid", "#!/bin/sh\n", 0o4755)
    write(data / "setgid", "#!/bin/sh\n", 0o2755)
    write(data / "secret", "0600\n", 0o600)
    for number, name in enumerate(("owned-33", "owned-1000", "owned-big")):
        write(data / name, f"{number}\n")
    os.chown(data / "owned-33", 33, 33)
    os.chown(data / "owned-1000", 1000, 100)
    os.chown(data / "owned-big", 4_000_000_000, 4_000_000_001)
    os.chown(data / "setuid", 33, 33)  # which clears the bit
    (data / "setuid").chmod(0o4755)
    (data / "empty").mkdir(mode=0o2770)
    (data / "empty").chmod(0o2770)
    os.link(data / "plain", area / "srv/hard-link-1")
    os.link(data / "plain", area / "srv/hard-link-2")
    (data / "dangling").symlink_to("/nowhere/at all")
    (data / "relative").symlink_to("../hard-link-1")
    os.chown(data / "relative", 1000, 1000, follow_symlinks=False)
    os.mkfifo(data / "fifo", 0o640)
    os.mknod(data / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    write(data / "attributed", "x\n")
    os.setxattr(data / "attributed", "user.note", b"kept\x00whole")
    os.setxattr(data / "empty", "user.folder", b"too")
    os.setxattr(data / "attributed", "system.posix_acl_access", _acl(named_user=1000))
    os.setxattr(data / "empty", "system.posix_acl_default", _acl(named_user=33))
    with (data / "sparse").open("wb") as sparse:
        sparse.seek(8 << 20)
        sparse.write(b"end")
    deep = data
    for level in range(12):
        deep /= f"level-{level}"
    deep.mkdir(parents=True)
    write(deep / "leaf", "leaf\n")
    write(area / "var/log/messages", "".join(f"line {n}\n" for n in range(20_000)))
    for folder, _, names in os.walk(area, topdown=False):
        for number, name in enumerate(sorted(names)):
            when = OLD_NS + number
            os.utime(Path(folder) / name, ns=(when, when), follow_symlinks=False)
        os.utime(folder, ns=(OLD_NS, OLD_NS))


def _acl(named_user: int) -> bytes:
    """u::rw-, u:NAMED:r--, g::r--, m::rw-, o::--- as the kernel keeps it (linux/posix_acl_xattr.h)."""
    nobody = 0xFFFFFFFF
    entries = (
        (0x01, 6, nobody),
        (0x02, 4, named_user),
        (0x04, 4, nobody),
        (0x10, 6, nobody),
        (0x20, 0, nobody),
    )
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
