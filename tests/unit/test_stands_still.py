"""Whether a container stands still is seen, not believed: that sh itself, with a made-up vzctl and processes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import pytest

from executor import verbs

SHELLS: Final = (("dash",), ("bash", "--posix"), ("busybox", "sh"))
MADE_UP: Final = """
state_of() { echo running; }
processes_in() { echo 1; }
mark() { :; }
sync() { :; }
looked=0
sleep() { looked=$((looked + 1)); }
first_line() { if [ "$looked" -lt "$waits" ]; then echo "1 (init) D 0"; else echo "1 (init) S 0"; fi; }
vzctl() { return "$says"; }
"""


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
@pytest.mark.parametrize(
    ("says", "waits", "goes_on"),
    [(0, 0, True), (0, 2, True), (16, 0, True), (16, 2, True), (16, 9, False)],
)
def test_what_waits_for_its_disk_is_not_taken_for_what_was_not_resumed(
    shell: tuple[str, ...], says: int, waits: int, goes_on: bool, tmp_path: Path
) -> None:
    script = f"{verbs.library()}\n{MADE_UP}\ngo_on 123 /private /root - - /dump running /file"
    done = subprocess.run(
        [*shell, "-c", script],
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "VZPLAN_HOME": str(tmp_path),
            "VZPLAN_RUN": "run",
            "says": str(says),
            "waits": str(waits),
        },
        capture_output=True,
        check=False,
    )
    assert (done.returncode == 0) is goes_on, done.stderr
