"""``make bench``: how long things take and how much they need, as medians and ratios of one run. Nothing is asserted.

The targets beside the figures are for a machine that does nothing else.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from executor.journal import Journal, read_journal
from executor.times import times
from planner.make import make_plan
from planner.model import Options
from planner.plan import Began, Ended, Exited, Opened, What
from tests.sandbox import Sandbox
from tests.sandbox.driving import Driver
from tests.sandbox.nodes import REPOSITORY, why_not
from tests.worlds import NODES, bundled

COLD: Final = 15
MOVES: Final = 5
APPENDS: Final = 500
RUN: Final = "20260101-000000-abcdef"
ENTRY: Final = """
import atexit, re
from cli.main import main
atexit.register(lambda: open({where!r}, "w").write(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]))
main()
"""
"""The command, leaving behind how many KiB it had at most; getrusage would tell of its parent too, before the exec."""

CTID: Final = 123
NAIVE: Final = (
    ("source", "vzctl status {ctid}"),
    ("source", "vzctl stop {ctid}"),
    ("source", "! grep ' /vz/private/{ctid} ' /proc/mounts"),
    ("source", "sync"),
    ("source", "cat /etc/vz/conf/{ctid}.conf"),
    ("destination", "mkdir -p /vz/private/{ctid} /vz/root/{ctid}"),
    ("destination", "cat >/etc/vz/conf/{ctid}.conf"),
    ("source", "mv /etc/vz/conf/{ctid}.conf /etc/vz/conf/{ctid}.conf.migrated"),
    ("destination", "blockdev --flushbufs {device}"),
    ("destination", "mount {device} /vz/private/{ctid}"),
    ("destination", "umount /vz/private/{ctid}"),
    ("destination", "vzctl status {ctid}"),
)
"""Hand-over of a stopped container as a script would do it that opens a connection for each command."""


class Took(NamedTuple):
    """One command."""

    seconds: float
    cpu_s: float  # of which it computed; on a machine that does other things as well, this is what can be compared
    peak_kib: int


def main() -> None:
    """Measure, and print as it is known."""
    os.chdir(REPOSITORY)
    say("Cold starts", f"median of {COLD}")
    show = ("show", str(CTID), "hn2", "--simulate", str(NODES / "san"), "--no-verify")
    for words, target in ((("--help",), 0.15), (show, 0.35)):
        took = [vzplan(*words) for _ in range(COLD)]
        seconds, cpu_s = median(t.seconds for t in took), median(t.cpu_s for t in took)
        line(
            " ".join(words[:1]),
            f"{seconds:.3f} s",
            f"target {target} s; {took[-1].peak_kib / 1024:.0f} MiB, CPU {cpu_s:.3f} s",
        )
    for name, milliseconds in imports(show):
        line(f"  import {name}", f"{milliseconds:.1f} ms", "its own")
    say("Journal", f"{APPENDS} records, each on disk before the next")
    line("appends", f"{appends():.0f} /s")
    reason = why_not()
    if reason is not None:
        print(f"\nNothing on real nodes: {reason}")
        return
    hand_over()
    frozen()
    memory()


def vzplan(*words: str, state: str | None = None) -> Took:
    """Run it, its output thrown away; ``state``: what it remembers (None: nothing)."""
    with tempfile.TemporaryDirectory() as folder:
        peak = Path(folder) / "peak"
        began, used = time.perf_counter(), _cpu_s()
        done = subprocess.run(
            [sys.executable, "-c", ENTRY.format(where=str(peak)), *words],
            env={**os.environ, "VZPLAN_STATE": state or str(Path(folder) / "state")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - began
        if done.returncode != 0:
            raise SystemExit(f"vzplan {' '.join(words)}: {done.stdout}{done.stderr}")
        return Took(seconds, _cpu_s() - used, int(peak.read_text()))


def _cpu_s() -> float:
    """What the processes that this one has waited for have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def imports(words: Sequence[str], most: int = 6) -> list[tuple[str, float]]:
    """What takes longest to import, without what it imports in turn; in milliseconds."""
    argv = [sys.executable, "-X", "importtime", "-c", "from cli.main import main; main()", *words]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stderr
    rows = re.findall(r"(?m)^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", said)
    return sorted(((name, int(own) / 1000) for own, name in rows), key=lambda row: -row[1])[:most]


def appends() -> float:
    """Records a second."""
    with tempfile.TemporaryDirectory(dir=REPOSITORY) as folder:  # on a disk, which /tmp may not be
        opened = Opened(RUN, make_plan(bundled("san")))
        with Journal.create(Path(folder) / "runs" / RUN, opened) as journal:
            began = time.perf_counter()
            for _ in range(APPENDS // 2):
                journal.append(Began(What.SETTLE, "hn1"))
                journal.append(Ended(What.SETTLE, "hn1", Exited(0)))
            return APPENDS / (time.perf_counter() - began)


def hand_over() -> None:
    """There by vzplan and back by the naive script, in turns; of vzplan the first plan is one that it has not seen."""
    say("Hand-over of a stopped container", f"{MOVES} moves each, in turns, on sandbox nodes")
    unseen, seen, naive = [], [], []
    with Sandbox("san", running=False) as box, tempfile.TemporaryDirectory() as state:
        for _ in range(MOVES):
            unseen.append(vzplan("apply", *_move(box), "--yes").seconds)
            naive.append(_naively(box, "hn2", "hn1", "/dev/sda1"))
            vzplan("show", *_move(box), state=state)
            seen.append(vzplan("apply", *_move(box), "--yes", state=state).seconds)
            naive.append(_naively(box, "hn2", "hn1", "/dev/sda1"))
    base = median(naive)
    line(f"{len(NAIVE)} commands by ssh", f"{base:.2f} s")
    for name, took in (("apply", unseen), ("apply after show", seen)):
        line(name, f"{median(took):.2f} s")
        line("  ratio", f"{median(took) / base:.2f}", "target 0.25")


def frozen() -> None:
    """A container that keeps its memory, by a small filesystem and by a large one, in turns."""
    say("Frozen time of a hand-over online", f"{FROZEN} moves each, in turns, on sandbox nodes")
    took: dict[int, list[float]] = {mb: [] for mb in SIZES_MB}
    for _ in range(FROZEN):
        for mb, each in took.items():
            with Sandbox("san", lun_mb=mb) as box, tempfile.TemporaryDirectory() as state:
                driver = Driver(box, Path(state))
                _, _, run = driver.apply(options=Options(online=True))
                record = read_journal(driver.state, run)
                told = times(record.plan, record.entries)
                if told is None or told.frozen_s is None:
                    raise SystemExit(f"the journal of {run} does not tell how long it was frozen")
                each.append(told.frozen_s)
    small, large = (median(each) for each in took.values())
    for mb, each in took.items():
        line(f"{mb} MiB", f"{median(each):.2f} s")
    line("ratio", f"{large / small:.2f}", "target 1")


FROZEN: Final = 3
SIZES_MB: Final = (64, 4096)


AS_BY_ITSELF: Final = "KexAlgorithms=+curve25519-sha256"
"""What ssh agrees on without the sandbox's config: to add what it knows already changes nothing."""


def _move(box: Sandbox) -> tuple[str, ...]:
    ssh = f"-F {box.ssh_config} -o {AS_BY_ITSELF}"
    return (str(CTID), "hn2", "--from", "hn1", "--ssh", ssh)


def _naively(box: Sandbox, source: str, destination: str, device: str) -> float:
    nodes, config = {"source": source, "destination": destination}, ""
    began = time.perf_counter()
    for where, command in NAIVE:
        script = command.format(ctid=CTID, device=device)
        done = subprocess.run(
            ["ssh", "-F", str(box.ssh_config), "-o", AS_BY_ITSELF, nodes[where], script],
            input=config if script.startswith("cat >") else "",
            capture_output=True,
            text=True,
            check=False,
        )
        if script.startswith("cat /"):
            config = done.stdout
    return time.perf_counter() - began


def memory() -> None:
    """The controller of a copy, of a container that is small and of one that is not."""
    say("Memory of the controller", "copying a stopped container; target 80 MiB whatever its size")
    for name, fill in (("small", ""), ("large", LARGE)):
        with Sandbox("shared", running=False) as box:
            box.hn1.sh(fill or "true")
            took = vzplan("apply", *_move(box), "--yes", "-v")
            line(name, f"{took.peak_kib / 1024:.0f} MiB", f"{took.seconds:.1f} s")


LARGE: Final = """
cd /vz/private/123/srv && head -c 100000000 /dev/urandom >big && mkdir many && cd many || exit 1
i=0
while [ $i -lt 10000 ]; do : >"file-with-a-name-$i"; i=$((i + 1)); done
"""


def say(title: str, how: str) -> None:
    """A headline."""
    print(f"\n{title} ({how})")


def line(name: str, figure: str, more: str = "") -> None:
    """A figure."""
    print(f"  {name:<32}{figure:>12}  {more}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
