"""Commands that say that they change nothing, on real nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from cli.exit_codes import ExitCode
from tests.sandbox import Sandbox
from tests.sandbox.driving import Driver

EVERYTHING: Final = r"""
find / /vz -xdev \( -path /proc -o -path /sys -o -path /run -o -path /var/log \
    -o -path '/vz/*/*/counter' -o -path '/vz/*/*/tokens' \) -prune -o -printf '%p %y %m %U %s %T@ %C@ %l\n'
cut -d ' ' -f 3- /proc/self/mountinfo
"""
"""Every file of a node, when it was last changed, and what is mounted; but for logs, and what containers write."""


@pytest.mark.parametrize("world", ["shared", "san"])
def test_who_only_looks_changes_nothing(world: str, tmp_path: Path) -> None:
    """I9, of the commands that say so."""
    with Sandbox(world) as box:
        driver, before = Driver(box, tmp_path), [node.sh(EVERYTHING) for node in box.nodes]
        assert all(len(lines.splitlines()) > 100 for lines in before)
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
                now = node.sh(EVERYTHING)
                differs = sorted({*lines.splitlines()} ^ {*now.splitlines()})
                assert "\n".join(differs) == "", (words, node.name)
        assert not (tmp_path / "runs").exists()
