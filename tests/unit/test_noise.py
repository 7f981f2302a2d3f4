"""A node that is broken, or hostile: its answer is bounded, escaped, ``Lost`` or not known; never simply believed."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from cli import looking, output
from executor import shell as shell_module
from executor.adoption import AdoptionError, adopt
from executor.gather import Ask, GatherError, ask_each
from executor.node import NodeOutcome
from executor.shell import KEEP_BYTES, ShellNode
from planner.make import make_plan
from planner.model import NodeFacts
from planner.plan import Command, Exited, Lost, Outcome, Stop
from planner.saga import words
from tests.worlds import bundled

NODE: Final = r"""
import os, re, sys

def say(stream, text):
    view = memoryview(text)
    while view:
        view = view[os.write(stream, view):]

def answer(nonce, status=b"0"):
    say(2, b"\n" + nonce + b"\n")
    say(1, b"\n" + nonce + b" " + status + b"\n")

asked = 0
for line in sys.stdin.buffer:
    question = re.match(rb"vzplan_(?:read|run) ([0-9a-f]{32}) ", line)
    if question:
        asked += 1
        nonce = question[1]
        if asked > 1:
            exec(sys.argv[1])
        answer(nonce)
"""
"""A shell that understands its first question, which connects it; on the next ones it does as it was told."""

Told = Callable[[str], ShellNode]
MIB: Final = 1 << 20


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    """A node that does something of its own before it answers; ``exit()`` keeps it from answering."""
    nodes = []

    def node(does: str) -> ShellNode:
        shell = (sys.executable, "-c", NODE, does)
        nodes.append(ShellNode("here", None, run="run-1", home=str(tmp_path / "home"), shell=shell))
        return nodes[-1]

    yield node
    for each in nodes:
        each.close()
    assert not (tmp_path / "home").exists()


def run(node: ShellNode) -> NodeOutcome:
    return node.run(Command("here", ("own", "123"), "", 60))


NOISE: Final = {
    "lines": r'say(STREAM, b"yes\n" * 4096)',
    "one line": r'say(STREAM, b"x" * 16384)',
    "newlines": r'say(STREAM, b"\n" * 16384)',
    "nearly trailers": r'say(STREAM, (b"\n" + nonce[:-1]) * 512)',
}


@pytest.mark.parametrize(("kind", "stream"), [*((kind, 1) for kind in NOISE), ("lines", 2)])
def test_a_hundred_megabytes_are_read_and_not_kept(told: Told, kind: str, stream: int) -> None:
    once = NOISE[kind].replace("STREAM", str(stream))
    node = told(f"for _ in range({100 * MIB} // 16384): {once}")
    tracemalloc.start()
    try:
        outcome = run(node)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(outcome, Exited)
    assert outcome.status == 0
    assert f"\n[... {100 * MIB - 2 * KEEP_BYTES} bytes left out ...]\n" in outcome.out + outcome.err
    assert len(outcome.out) + len(outcome.err) < 2 * KEEP_BYTES + 100
    assert peak_bytes < 2 * MIB


@pytest.mark.parametrize("fits", [True, False])
def test_facts_that_are_noise_are_refused_with_all_that_is_kept_of_them_bounded(
    told: Told, monkeypatch: pytest.MonkeyPatch, fits: bool
) -> None:
    monkeypatch.setattr("executor.gather.LIMIT_BYTES", MIB)
    node = told(f'say(1, b"mount " * {MIB // 6 if fits else 20 * MIB // 6})')
    tracemalloc.start()
    try:
        answer = ask_each({"here": node}, {"here": Ask()})["here"]
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(answer, GatherError)
    assert len(str(answer)) < 1000
    assert peak_bytes < 16 * MIB


GARBLED: Final = {
    "a word": rb" none",
    "nothing": rb"",
    "a negative number": rb" -1",
    "more than a status": rb" 256",
    "a number as Python has them": rb" 1_0",
    "two": rb" 0 0",
    "a sign": rb" +0",
    "zeros": rb" 00",
    "NUL": rb" \0",
    "no end": rb" " + b"9" * 100_000,
}


@pytest.mark.parametrize("kind", GARBLED)
def test_a_trailer_without_a_status_is_no_answer(told: Told, kind: str) -> None:
    node = told(
        f'say(2, b"\\n" + nonce + b"\\n"); say(1, b"\\n" + nonce + {GARBLED[kind]!r} + b"\\n"); exit()'
    )
    outcome = run(node)
    assert isinstance(outcome, Lost)
    assert outcome.reason.startswith("a trailer that says ")
    assert len(outcome.reason) < 400


@pytest.mark.parametrize("end", ["exit()", "os._exit(0)", "os.kill(os.getpid(), 9)"])
@pytest.mark.parametrize(
    "said", ["", "half an ans", "\nffffffffffffffffffffffffffffffff 0\n", "\n"], ids=ascii
)
def test_an_answer_that_ends_early_is_lost(told: Told, said: str, end: str) -> None:
    outcome = run(told(f"say(1, {said.encode()!r}); {end}"))
    assert isinstance(outcome, Lost)
    assert outcome.reason


def test_half_a_trailer_is_lost(told: Told) -> None:
    for half in ("nonce[:-1]", "nonce", 'nonce + b" 0"'):
        assert isinstance(
            run(told(f'say(2, b"\\n" + nonce + b"\\n"); say(1, b"\\n" + {half}); exit()')), Lost
        )


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ('while True: say(1, b"y\\n" * 999)', "no answer within 1 s"),
        ("sys.stdin.read()", "no answer within 1 s"),
        ("answer(nonce[::-1]); sys.stdin.read()", "no answer within 1 s"),
        ("os.close(1); sys.stdin.read()", "the connection ended"),
    ],
)
def test_an_answer_that_never_ends_is_lost_at_its_deadline(
    told: Told, monkeypatch: pytest.MonkeyPatch, does: str, why: str
) -> None:
    node = told(does)
    monkeypatch.setattr(shell_module, "GRACE_S", -59)
    assert run(node) == Lost(why)


STEERING: Final = "\x1b[2J\x1b]0;title\x07\x9b31m\u202e\u2066\r\b\x7f\x00 [bold red]markup[/] [link=x]"


def test_what_a_node_says_is_shown_spelled_out(told: Told) -> None:
    said = STEERING.encode()
    failed = run(told(f'say(2, {said!r}); answer(nonce, b"1")'))
    lost = run(told(f"say(2, {said!r}); exit()"))
    plan = make_plan(bundled("san"))
    stopped = Stop(Outcome.IN_DOUBT, words(failed), (plan.steps[0].do,))
    assert isinstance(failed, Exited)
    assert isinstance(lost, Lost)
    assert "\x1b[2J" in failed.err, "it is kept as it was"
    for shown in (
        output.stop_text(stopped, "run"),
        output.plain(words(failed)) + "\n",
        output.plain(words(lost)) + "\n",
        output.json_text({"because": stopped.because}),
    ):
        assert all(c.isprintable() or c == "\n" for c in shown)
        assert "[bold red]markup[/] [link=x]" in shown


def test_what_a_command_says_while_it_is_at_work_is_shown_spelled_out(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    said = f"sending\n{STEERING}\n".encode() + b"\x9b31m"
    node = told(f"say(1, {said!r}); answer(nonce)")
    node._speak = looking.spoken(verbose=True)
    outcome = run(node)
    assert isinstance(outcome, Exited)
    assert "\x1b[2J" in outcome.out, "it is kept as it was"
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert all(line.startswith("         here: ") and line.isprintable() for line in lines)
    shown = "".join(line.removeprefix("         here: ") for line in lines)
    # A carriage return begins a line of its own; what is no text is a mark that says so.
    assert shown == (
        r"sending\x1b[2J\x1b]0;title\x07\x9b31m\x202e\x2066\x08\x7f\x00 [bold red]markup[/] [link=x]"
        "\ufffd31m"
    )


@pytest.mark.parametrize("line", ["x" * 100_000, STEERING * 1000], ids=["long", "steering"])
def test_of_what_went_wrong_only_so_much_is_repeated(told: Told, line: str) -> None:
    assert len(words(run(told(f'say(2, {line.encode()!r}); answer(nonce, b"1")')))) <= 500 * 4 + 6
    assert len(words(run(told(f"say(2, {line.encode()!r}); exit()")))) <= 520


class Keeps:
    """Nodes that say the same of any run."""

    ssh: tuple[str, ...] = ()
    here: str | None = None

    def __init__(self, node: ShellNode) -> None:
        """``node`` is all of them."""
        self._node = node

    def works_on(self, *names: str) -> None:
        """See ``executor.adoption.Reader``."""

    def read(self, name: str, script: str, deadline_s: int, limit_bytes: int) -> NodeOutcome:
        """See ``executor.adoption.Reader``."""
        del name
        return self._node.read(script, deadline_s, limit_bytes)

    def facts(self, *names: str) -> dict[str, NodeFacts]:
        """See ``executor.adoption.Reader``."""
        raise GatherError(f"{names[0]} gives no facts")


@pytest.mark.parametrize(
    "said",
    ["", "end\\n", "generation 1\\nbrief x\\nlog eA==\\nend\\n", "generation 1\\nend\\n", "\\x1b[2J" * 99],
)
def test_nothing_is_adopted_from_a_node_that_talks_nonsense(told: Told, said: str) -> None:
    with pytest.raises(AdoptionError) as caught:
        adopt(Keeps(told(f'say(1, b"{said}"); answer(nonce)')), "run-1", "here")
    assert "; " in str(caught.value)
