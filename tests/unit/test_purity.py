"""The planner is pure: no clock, no chance, no file, no process, no socket; and it is so wherever it is called.

A fresh interpreter imports the planner and reads the facts. From then on *every* audit event (sys.addaudithook) is
refused, and so are the clocks and sources of chance, which raise none. Then it plans and walks. What is refused is
noted as well, so that nobody can swallow it; and things planted on purpose show that the harness would notice.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODES = ROOT / "fixtures" / "nodes"
PLANNER = ROOT / "planner"

PURE = {
    "__future__",
    "base64",
    "binascii",
    "collections",
    "dataclasses",
    "difflib",
    "enum",
    "fnmatch",
    "functools",
    "hashlib",
    "ipaddress",
    "itertools",
    "json",
    "math",
    "msgspec",
    "operator",
    "planner",
    "posixpath",
    "re",
    "shlex",
    "string",
    "textwrap",
    "typing",
}

HARNESS = r'''
import contextlib, json, os, pkgutil, random, socket, subprocess, sys, time
from pathlib import Path

armed = False
noted = []


def refuse(what):
    noted.append(what)
    raise RuntimeError(f"not pure: {what}")


def guard(module, name):
    real = getattr(module, name)

    def guarded(*args, **kwargs):
        if armed:
            refuse(f"{module.__name__}.{name}")
        return real(*args, **kwargs)

    setattr(module, name, guarded)


# Before the planner is imported, so that "from time import time" is guarded as well.
for name in "clock_gettime monotonic perf_counter process_time thread_time time".split():
    guard(time, name)
    guard(time, f"{name}_ns")
for name in "gmtime localtime sleep strftime".split():
    guard(time, name)
CHANCE = "choice choices gauss getrandbits randbytes randint random randrange sample shuffle uniform"
for name in CHANCE.split():
    guard(random, name)
for name in "getenv getrandom urandom".split():
    guard(os, name)

import planner

for module in pkgutil.walk_packages(planner.__path__, "planner."):
    __import__(module.name)

from planner import make
from planner.codec import decode_entry, decode_facts, decode_plan, encode, pretty
from planner.make import make_plan
from planner.model import Asked, Request
from planner.parse import config, df, dumpe2fs, mountinfo, status
from planner.plan import Began, Ended, Exited, Lost, Opened, Restarted, Run, What
from planner.saga import Past, next_move, words

PLANTED = {
    "open": lambda: open(os.devnull),
    "os.listdir": lambda: os.listdir("."),
    "os.stat by pathlib": lambda: list(Path(".").iterdir()),
    "socket.__new__": lambda: socket.socket(),
    "subprocess.Popen": lambda: subprocess.run(["true"]),
    "import": lambda: __import__("wave"),
    "time.time": lambda: time.time(),
    "time.monotonic_ns": lambda: time.monotonic_ns(),
    "random.random": lambda: random.random(),
    "os.urandom": lambda: os.urandom(1),
    "os.getenv": lambda: os.getenv("HOME"),
}


def plant(thing):
    """A check that does it, and keeps quiet about the refusal."""

    def check(request):
        with contextlib.suppress(Exception):
            PLANTED[thing]()
        return ()

    make.OF_NODES = (*make.OF_NODES, check)


def walk(plan, odd):
    """The moves of a run in which the moves with these numbers come out oddly; None: the controller dies over it."""
    past, moves = Past(plan), []
    entries = [Opened("run", plan)]
    while isinstance(move := next_move(plan, past), Run):
        outcome = odd.get(len(moves), Exited(10 if move.what is What.PROBE else 0))
        entries.append(Began(move.what, move.at))
        entries.append(Restarted() if outcome is None else Ended(move.what, move.at, outcome))
        for entry in entries[-2:]:
            past.note(entry)
        moves.append((move.what, move.at, "died" if outcome is None else words(outcome)))
        assert len(moves) < 500, "the walk does not end"
    for entry in entries:
        assert decode_entry(encode(entry), "journal") == entry
    return [*moves, move.outcome, move.because]


def parse():
    status.state(123, "VEID 123 exist mounted running")
    dumpe2fs.superblock("Filesystem features: has_journal needs_recovery\nJournal inode: 8")
    mountinfo.mount("36 35 8:1 / /vz/private/123 rw - ext4 /dev/sda1 rw", elsewhere=False)
    df.rooms(["/dev/vda2 1000 500 500 50% /vz"], ["/dev/vda2 100 50 50 50% /vz"])


def work(read):
    parse()
    told = {}
    for world, texts in read.items():
        hn1, hn2 = (decode_facts(texts[node], node) for node in ("hn1", "hn2"))
        for container in hn1.containers:
            text = container.config or ""
            config.settings(text), config.duplicates(text), config.value(text, "VE_PRIVATE")
            config.with_value(text, "VE_DEVICE", "/dev/disk/by-id/wwn-1"), config.without_fence(text)
        plan = make_plan(Request(Asked(123, "hn1", "hn2"), hn1, hn2))
        assert decode_plan(encode(plan), "plan") == plan
        assert pretty(plan)
        told[world] = {"digest": plan.digest, "steps": len(plan.steps), "plan": encode(plan).decode()}
        if not plan.steps:
            continue
        odd = [{n: outcome} for n in range(len(plan.steps)) for outcome in (Exited(1), Lost("cut"), None)]
        told[world]["walks"] = [walk(plan, at) for at in ({}, *odd)]
    return told


def hook(event, args):
    if armed:
        refuse(f"{event} {args[:1]}")


nodes, planted = Path(sys.argv[1]), sys.argv[2]
read = {
    world.name: {node: (world / f"{node}.json").read_bytes() for node in ("hn1", "hn2")}
    for world in sorted(nodes.iterdir())
}
if planted:
    plant(planted)
sys.addaudithook(hook)
armed = True
try:
    told = work(read)
finally:
    armed = False
print(json.dumps({"noted": noted, "told": told}))
'''


def run(planted: str = "", hash_seed: str = "0") -> tuple[list[str], dict[str, dict[str, object]]]:
    """What was refused, and what was planned, by folder of fixtures."""
    done = subprocess.run(
        [sys.executable, "-c", HARNESS, str(NODES), planted],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    return answer["noted"], answer["told"]


def test_planning_and_walking_touch_nothing_outside() -> None:
    noted, told = run()
    assert noted == []
    # It would be easy to be pure and do nothing.
    assert told["san"]["steps"]
    assert told["san"]["walks"]


def test_plans_do_not_depend_on_the_order_in_which_this_interpreter_hashes() -> None:
    assert run(hash_seed="1") == run(hash_seed="2")


@pytest.mark.parametrize(
    ("planted", "event"),
    [
        ("open", "open"),
        ("os.listdir", "os.listdir"),
        ("os.stat by pathlib", "os.listdir"),
        ("socket.__new__", "socket.__new__"),
        ("subprocess.Popen", "subprocess.Popen"),
        ("import", "import"),
        ("time.time", "time.time"),
        ("time.monotonic_ns", "time.monotonic_ns"),
        ("random.random", "random.random"),
        ("os.urandom", "os.urandom"),
        ("os.getenv", "os.getenv"),
    ],
)
def test_what_is_planted_in_the_planner_is_noticed_even_if_its_refusal_is_swallowed(
    planted: str, event: str
) -> None:
    noted, _ = run(planted)
    assert noted
    assert noted[0].split(" ")[0] == event


@pytest.mark.parametrize("file", sorted(PLANNER.rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_the_planner_imports_only_what_is_pure(file: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            imported.add((node.module or "").partition(".")[0])
    assert imported <= PURE
