"""What guests boot from: made once from Debian packages, kept in a cache, made anew when its recipe changes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
RECIPE: Final = HERE / "image"
CACHE: Final = HERE.parents[1] / ".cache/kernels"
PROGRAMS: Final = ("qemu-system-x86_64", "qemu-img", "mke2fs", "dumpe2fs", "ssh", "ssh-keygen")


@dataclass(frozen=True)
class Image:
    """A kernel, its initrd, and the disk that each guest begins with."""

    folder: Path

    @property
    def kernel(self) -> Path:
        """As QEMU starts it."""
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """Modules, and what mounts the root disk."""
        return self.folder / "initrd"

    @property
    def root(self) -> Path:
        """An ext4; never written to."""
        return self.folder / "root.img"


def key() -> str:
    """Stands for the recipe."""
    total = hashlib.sha256()
    for path in sorted(RECIPE.iterdir()):
        total.update(f"{path.name} {path.stat().st_size}\n".encode() + path.read_bytes())
    return total.hexdigest()[:16]


def kept() -> Image | None:
    """What the recipe makes, if it was made."""
    folder = CACHE / key()
    return Image(folder) if folder.exists() else None


def made() -> Image:
    """What the recipe makes; made if it is not there, which takes minutes, root, and a mirror of Debian.

    Raises:
        subprocess.CalledProcessError: it could not be made; what was said is on standard error.
    """
    found = kept()
    if found is not None:
        return found
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = kept()
        if found is not None:
            return found
        folder = CACHE / "new"
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["sh", str(RECIPE / "make.sh"), str(folder)], check=True)
        folder.rename(CACHE / key())
        for old in CACHE.iterdir():
            if old.is_dir() and old.name != key():
                shutil.rmtree(old)
    return Image(CACHE / key())


def why_not() -> str | None:
    """Why no guests can be started here, or None if they can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"the guests need {', '.join(missing)}"
    if kept() is None and os.geteuid() != 0:
        return "only root can make what the guests boot from: sudo make kernels-smoke"
    return None


if __name__ == "__main__":
    if (reason := why_not()) is not None:
        sys.exit(reason)
    print(made().folder, file=sys.stderr)
