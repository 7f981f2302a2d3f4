"""What runs in a guest beside the node, and tells the test what it sees there, past network, ssh and vzplan.

Requests come as a line of JSON each on a port of the guest's own, and are answered so.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.kernels.disks import CTID, LUNS, POOL, PRIVATE, ROOT
from tests.sandbox import kernel, nodes, population

PORT: Final = "/dev/virtio-ports/agent"
READY: Final = Path("/run/ready")


def sh(script: str) -> dict[str, Any]:
    """What a script says and ends with."""
    done = subprocess.run(
        ["/bin/sh", "-c", script], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    said = {"out": done.stdout, "err": done.stderr}
    return {"status": done.returncode} | {
        name: text.decode(errors="surrogateescape") for name, text in said.items()
    }


def tree_hash(path: str) -> str:
    """See ``nodes``."""
    return nodes.tree_hash(nodes.Node("", 1), path)


def look() -> dict[str, Any]:
    """Which of the disks that both nodes see are mounted, in whatever namespace, whether 123 runs, what it has kept."""
    numbers, known = set(), set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            namespace = (process / "ns/mnt").readlink()
            if namespace not in known:
                numbers |= {line.split()[2] for line in (process / "mountinfo").read_text().splitlines()}
                known.add(namespace)
        except OSError:
            continue  # ended meanwhile
    mounted = []
    for lun in LUNS:
        name = lun.seen_as(os.uname().nodename)  # the kernel's, whatever udev makes of it
        if lun is POOL and not Path(name).exists():
            continue  # not in every world
        device = Path(name).stat().st_rdev
        if f"{os.major(device)}:{os.minor(device)}" in numbers:
            mounted.append(lun.name)
    runs = _runs()
    return {"mounted": mounted, "runs": runs, "kept": _kept() if runs else None}


def populate(name: str, bystander: int, own_device: str | None, running: bool) -> None:  # by its request
    """The containers of a node, on disk as if they had been there for long; ``own_device``: 123's."""
    area = Path(f"/vz/private/{bystander}")
    area.mkdir()
    population.lay_container(area)
    if name == "hn1":
        area = Path(PRIVATE)
        area.mkdir()
        if own_device is not None:
            _checked(f"mount {own_device} {PRIVATE}")
        population.lay_rich_tree(area)
        if own_device is not None:
            _checked(f"umount {PRIVATE}")
        if running:
            _checked(f"vzctl --quiet start {CTID}")
    _checked(f"vzctl --quiet start {bystander}")
    _checked("for at in / /vz /vz/private/*; do sync -f $at; done")


def make_pool() -> None:
    """A filesystem on LVM, on a volume of two pieces."""
    _checked(f"pvcreate -q {POOL.disk} && vgcreate -q {POOL.group} {POOL.disk}")
    place = f"{POOL.group} {POOL.disk}"
    _checked(f"lvcreate -q -y -n {POOL.volume} -l 8 {place}:0-7")
    _checked(f"lvextend -q -y -l +8 {POOL.group}/{POOL.volume} {POOL.disk}:12-19 && udevadm settle")
    _checked(f"mke2fs -q -t ext4 -m 0 {POOL.filesystem} && blockdev --flushbufs {POOL.disk}")


def _runs() -> bool:
    tops = {kernel.lies(Path(area)) for area in (PRIVATE, ROOT)} - {None}
    return any(kernel.lies(place) in tops for place in Path("/proc").glob("[0-9]*/root"))


def _kept() -> str | None:
    """What 123 has counted and is sure to have on its disk: all lines but the last one, see ``node/init.sh``."""
    try:
        lines = Path(f"{PRIVATE}/tokens").read_text().replace("\0", "").split("\n")[:-1]
    except OSError:
        return None  # it begins just now, or is taken down
    return lines[-2] if len(lines) > 1 else None


def _checked(script: str) -> None:
    done = sh(script)
    if done["status"] != 0:
        raise RuntimeError(f"{script!r}: {done}")


VERBS: Final[dict[str, Callable[..., Any]]] = {
    function.__name__: function for function in (sh, tree_hash, look, populate, make_pool)
}


def _requests(port: int) -> Iterator[list[Any]]:
    waiting = b""
    while True:
        *lines, waiting = (waiting + os.read(port, 65536)).split(b"\n")
        yield from map(json.loads, lines)


def _answer(port: int, answer: dict[str, Any]) -> None:
    data = json.dumps(answer).encode() + b"\n"
    while data:
        data = data[os.write(port, data) :]


def main() -> None:
    """Say that the node is up, then answer."""
    port = os.open(PORT, os.O_RDWR)
    while not READY.exists():
        time.sleep(0.02)  # what comes last in the node's start makes it
    _answer(port, {"ready": True})
    for verb, *words in _requests(port):
        try:
            answer = {"said": VERBS[verb](*words)}
        except Exception as problem:  # noqa: BLE001 # whatever it is: whoever asked is told
            answer = {"problem": f"{problem!r} {getattr(problem, 'filename', '')}"}
        _answer(port, answer)


if __name__ == "__main__":
    main()
