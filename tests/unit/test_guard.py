"""``guard-source``: which config it takes for the one that was planned with, and what it says of another one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from executor import verbs
from planner.codec import text_sha256
from planner.parse.config import fence

CONFIG: Final = 'NAME="web1"\nONBOOT="yes"\n'
DUMPDIR: Final = "/vz/dump/.vzplan-dump-123/a"
UNFIT: Final = 13


class Source:
    """A node with container 123, which is stopped, in one of the shells."""

    def __init__(self, shell: tuple[str, ...], folder: Path, on_top: str) -> None:
        """``on_top``: what this run's fence is."""
        self.shell, self.folder, self.on_top = shell, folder, on_top
        self.run = folder / "node" / "run-1"
        self.run.mkdir(parents=True)
        (self.run / "config").write_text(CONFIG)

    def guard(self, config: str) -> tuple[int, list[str]]:
        """How it ends with that config, and what it says but for the config's name."""
        (self.folder / "123.conf").write_text(config)
        stands_in = f"conf='{self.folder}'\nvzctl() {{ echo 'CTID 123 exist unmounted down'; }}\n"
        known = (text_sha256(CONFIG), text_sha256(self.on_top + CONFIG))
        done = subprocess.run(
            [
                *self.shell,
                "-c",
                verbs.library() + "\n" + stands_in + verbs.text("guard-source"),
                *("guard-source", "123", "stopped", *known, self.folder, "-", "-"),
            ],
            env={
                "PATH": "/sbin:/usr/sbin:/bin:/usr/bin",
                "VZPLAN_HOME": str(self.folder),
                "VZPLAN_RUN": "run-1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stderr.replace(f"{self.folder}/123.conf was changed since the plan was made", "changed")
        return done.returncode, said.split("\n")[:-1]


@pytest.fixture(params=(("dash",), ("bash", "--posix"), ("busybox", "sh")), ids=" ".join)
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    words: tuple[str, ...] = request.param
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    return words


@pytest.mark.parametrize("on_top", [fence(), fence(DUMPDIR)], ids=["fence", "with-dumpdir"])
def test_a_fenced_config_is_as_planned_only_once_this_run_may_have_fenced_it(
    shell: tuple[str, ...], on_top: str, tmp_path: Path
) -> None:
    source = Source(shell, tmp_path, on_top)
    lines = [f"+{line}" for line in on_top.splitlines()]
    more = f"and {len(lines) - 2} more lines" if len(lines) > 2 else ""
    assert source.guard(CONFIG) == (0, [])
    assert source.guard(on_top + CONFIG) == (UNFIT, ["changed", *lines[:2], more])
    (source.run / "frozen").touch()
    assert source.guard(CONFIG) == (0, [])
    assert source.guard(on_top + CONFIG) == (0, [])


@pytest.mark.parametrize("on_top", [fence(), fence(DUMPDIR)], ids=["fence", "with-dumpdir"])
def test_what_is_said_to_be_changed_is_what_others_changed(
    shell: tuple[str, ...], on_top: str, tmp_path: Path
) -> None:
    source = Source(shell, tmp_path, on_top)
    (source.run / "frozen").touch()
    mended = CONFIG.replace("web1", "mail1")
    assert source.guard(on_top + mended) == (UNFIT, ["changed", '-NAME="web1"', '+NAME="mail1"', ""])
    assert source.guard(on_top + on_top + CONFIG)[0] == UNFIT
    assert source.guard(CONFIG + on_top)[0] == UNFIT
