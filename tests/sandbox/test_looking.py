"""Commands that say that they change nothing, on real nodes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

import pytest

from cli.exit_codes import ExitCode
from tests.sandbox import Sandbox
from tests.sandbox.driving import Driver
from tests.sandbox.nodes import Node

EVERYTHING: Final = r"""
every() {
    find "$@" -xdev \( -path '*/var/log' -o -path '/vz/*/*/counter' -o -path '/vz/*/*/tokens' \) -prune -o \
        -printf '%p %y %m %U %s %T@ %C@ %l\n'
}
every /vz /tmp /root /etc/ssh /dev
cut -d ' ' -f 3- /proc/self/mountinfo
mount -t ext4 /dev/vda1 /mnt
every /mnt/upper
"""
"""Every file that is the node's own, when it was last changed, and what is mounted; but for logs, and what containers
write. Of its root that is the layer that is written to: what shows through is the machine's, where others may work."""


def everything(node: Node) -> list[str]:
    return node.sh(f"unshare -m sh -ec {shlex.quote(EVERYTHING)}").splitlines()


@pytest.mark.parametrize("world", ["shared", "san"])
def test_who_only_looks_changes_nothing(world: str, tmp_path: Path) -> None:
    """I9, of the commands that say so."""
    with Sandbox(world) as box:
        driver, before = Driver(box, tmp_path), [everything(node) for node in box.nodes]
        for place in ("/mnt/upper/etc/vz/vz.conf f", "/vz/private d", "/root d"):
            assert all(any(line.startswith(place) for line in lines) for lines in before)
        ssh = ("--ssh", f"-F {box.ssh_config}")
        move = ("123", "hn2", "--from", "hn1", *ssh)
        for words in (
            ("show", *move, "--online"),
            ("show", *move),
            ("check", *move),
            ("verify", *move),
            ("facts", "hn1", "hn2", "--measure", "123", "-o", str(tmp_path / "facts"), *ssh),
        ):
            done = driver.vzplan(*words)
            assert done.returncode == ExitCode.OK, (words, done.stdout, done.stderr)
            for node, lines in zip(box.nodes, before, strict=True):
                differs = sorted({*lines} ^ {*everything(node)})
                assert "\n".join(differs) == "", (words, node.name)
        assert not (tmp_path / "runs").exists()
