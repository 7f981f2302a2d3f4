"""Whatever is read, from files, nodes or the command line, ends as its module documents: in a value, or its own error.

``VZPLAN_SEED=NUMBER VZPLAN_EXAMPLES=NUMBER`` tries other inputs, and as many as wanted.
"""

from __future__ import annotations

import base64
import io
import json
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cli.exit_codes import ExitCode
from cli.main import main
from cli.output import Standing, plain, plan_text
from executor import journal as journal_module
from executor.adoption import AdoptionError, adopt
from executor.brief import BriefError, packed, unpacked
from executor.framing import Stream
from executor.gather import GatherError
from executor.journal import Journal, JournalError, read_journal
from executor.node import NodeOutcome
from executor.shell import ShellNode
from planner.codec import CodecError, decode_entry, decode_facts, decode_plan, encode
from planner.make import make_plan
from planner.model import Asked, NodeFacts, Options, Request
from planner.parse import ParseError, df, dumpe2fs, mountinfo, probe, status
from planner.parse import config as configs
from planner.plan import (
    Adopted,
    Began,
    Ended,
    Entry,
    Exited,
    Lost,
    NodeOff,
    Opened,
    Restarted,
    Run,
    Want,
    What,
    Wish,
)
from planner.saga import next_move
from tests.worlds import NODES, bundled

T = TypeVar("T")
CAPTURED: Final = Path(__file__).parents[2] / "fixtures" / "captured"
RUN: Final = "20260101-000000-abcdef"
REQUEST: Final = bundled("san")
PLAN: Final = make_plan(REQUEST)

ODD: Final = (
    "",
    "\0",
    "-",
    "=",
    "\n",
    "\r",
    "\t",
    " ",
    "'",
    '"',
    "`",
    "$",
    "$VEID",
    "${CTID}",
    "\\",
    "\\040",
    "\\777",
    "/",
    "..",
    "/dev/sda1",
    "123",
    "٣",
    "²",
    "-1",
    "9" * 40,
    "9" * 5000,
    "\ufeff",
    "\u202e",
    "\u2028",
    "\x85",
    "\x1b[2J",
    "\U0001f4a5",
    "VE_PRIVATE=",
    "VE_DEVICE=",
    "#",
    "ext4",
    "end 1",
    "yes",
)
"""Pieces that mean something somewhere."""

texts: Final = st.lists(st.one_of(st.sampled_from(ODD), st.text(max_size=20)), max_size=20).map("".join)


@st.composite
def damaged(draw: st.DrawFn, whole: str) -> str:
    """``whole`` with pieces cut out, put in, or put elsewhere."""
    text = whole
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 60)))
        piece = draw(st.one_of(st.sampled_from(ODD), st.text(max_size=8), st.just(text[start:end] * 2)))
        text = text[:start] + piece + text[end:]
    return text


def like(*names: str) -> st.SearchStrategy[str]:
    """Text, or what a tool said, damaged."""
    captured = [(CAPTURED / name).read_text(errors="backslashreplace") for name in names]
    return st.one_of(texts, st.sampled_from(captured).flatmap(damaged))


# --- what tools say


@given(text=like("status-running.txt", "status-suspended.txt"), ctid=st.integers(1, 2**31 - 1))
def test_whatever_vzctl_says_is_a_state(text: str, ctid: int) -> None:
    assert status.state(ctid, text)


@given(text=like("dumpe2fs-ext4-clean.txt", "dumpe2fs-rhel6.txt", "dumpe2fs-label-with-newline.txt"))
@example("Filesystem features: has_journal\nFilesystem state: clean\nInode count: " + "9" * 5000)
def test_whatever_dumpe2fs_says_is_a_superblock_or_none(text: str) -> None:
    assert encode(dumpe2fs.superblock(text))


@given(sizes=like("df-bytes-rhel6.txt", "df-bytes-hostile.txt"), inodes=like("df-inodes-rhel6.txt"))
@example(f"/dev/sda1 {'9' * 5000} 1 1 1% /", "")
def test_whatever_df_says_is_room_or_none(sizes: str, inodes: str) -> None:
    assert encode(df.rooms(sizes.split("\n"), inodes.split("\n")))


def documented(error: type[Exception], call: Callable[..., T], *words: object) -> T | None:
    """What comes of it; None: its own error, whose message is for a person to read."""
    try:
        return call(*words)
    except error as problem:
        if type(problem) is error and str(problem):
            return None
        raise


@given(text=like("mountinfo-rhel6.txt", "mountinfo-blanks.txt"), elsewhere=st.booleans())
def test_whatever_is_mounted_is_a_mount_or_an_error(text: str, elsewhere: bool) -> None:
    for line in text.split("\n"):
        found = documented(ParseError, partial(mountinfo.mount, elsewhere=elsewhere), line)
        assert encode(found)


PROBES: Final = [(CAPTURED / f"probe-{name}.txt").read_text() for name in ("rhel6", "sandbox")]


@st.composite
def answers(draw: st.DrawFn) -> str:
    """An answer of the probe with damaged records, counted anew; what is in base64 is damaged within it, too."""
    lines = draw(st.sampled_from(PROBES)).split("\n")[:-2]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        words = lines[at].split(" ")
        place = draw(st.integers(0, len(words) - 1))
        said = draw(texts)
        words[place] = draw(
            st.sampled_from(
                (
                    said,
                    base64.b64encode(said.encode()).decode() or "-",
                    base64.b64encode(b"\xff").decode(),
                    f"={said}",
                    "-",
                )
            )
        )
        lines[at] = " ".join(words)
    return "\n".join((*lines, f"end {len(lines)}", ""))


@given(answer=st.one_of(texts, answers(), st.sampled_from(PROBES).flatmap(damaged)))
def test_whatever_the_probe_says_is_facts_or_an_error(answer: str) -> None:
    found = documented(ParseError, probe.facts, "hn1", answer)
    if found is not None:
        assert decode_facts(encode(found), "again") == found


# --- configs

CONFIG: Final = 'ONBOOT="yes"\nVE_PRIVATE="/vz/private/$VEID"\r\nVE_DEVICE=\'/dev/sda1\' # lun\nNAME=web1\n'
NAMES: Final = ("VE_DEVICE", "VE_PRIVATE", "NAME", "NEW")


@given(text=st.one_of(texts, damaged(CONFIG)), name=st.sampled_from(NAMES), new=texts)
@example(text="VE_DEVICE=" + " " * 100_000 + "x", name="VE_DEVICE", new="/dev/sdb1")
@example(text="A=1\n" * 20_000, name="A", new="2")
def test_whatever_a_config_says_is_data(text: str, name: str, new: str) -> None:
    configs.duplicates(text)
    for setting in configs.settings(text):
        documented(configs.ConfigError, configs.expanded, "X", setting.value, 123)
    assert configs.value(configs.without(text, name), name) is None
    assert configs.without_fence(configs.FENCE + text) == text
    edited = documented(configs.ConfigError, configs.with_value, text, name, new)
    if edited is not None:
        assert configs.value(edited, name) == new
        before, after = text.split("\n"), edited.split("\n")
        assert sum(a != b for a, b in zip(before, after, strict=False)) <= 1
        assert len(after) - len(before) in (0, 1, 2)  # the last one had no end perhaps


# --- files


@given(data=st.one_of(st.binary(max_size=200), texts.map(lambda t: t.encode(errors="replace"))))
@example(b'"\xff"')
@example('{"version": 2}'.encode("utf-16"))
@example(b"[" * 100_000)
@example(b'{"version":' * 50_000)
def test_whatever_a_file_holds_is_a_value_or_an_error(data: bytes) -> None:
    for decode in (decode_facts, decode_plan, decode_entry):
        documented(CodecError, decode, data, "file")


NOTHING: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    2**70,
    1.5,
    1e300,
    "",
    [],
    {},
    "\0",
    "../x",
    "/",
    "-",
    "hn1",
    "/dev/sda1",
    "\ud800",
)


@st.composite
def mutated(draw: st.DrawFn, text: bytes) -> bytes:
    """A JSON document in which some values are others: nothing of their kind, or what stands elsewhere in it."""
    document = json.loads(text)
    for _ in range(draw(st.integers(1, 3))):
        holder, key = _place(draw, document)
        kind = draw(st.sampled_from(("other", "text", "gone", "twice", "borrowed")))
        if kind == "other":
            holder[key] = draw(st.sampled_from(NOTHING))
        elif kind == "text":
            holder[key] = draw(texts)
        elif kind == "borrowed":
            other, place = _place(draw, document)
            holder[key] = json.loads(json.dumps(other[place]))
        elif isinstance(holder, list):
            holder[key : key + 1] = [] if kind == "gone" else [holder[key], holder[key]]
        elif kind == "gone":
            del holder[key]
    return json.dumps(document).encode()


def _place(draw: st.DrawFn, document: Any) -> tuple[Any, Any]:  # noqa: ANN401 # json
    """Some value of a document, by what holds it."""
    holder: Any = {"": document}
    key: Any = ""
    while isinstance(holder[key], dict | list) and holder[key] and draw(st.integers(0, 9)):
        holder = holder[key]
        key = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
    return (holder, key) if holder is not document and "" not in holder else _within(document)


def _within(document: Any) -> tuple[Any, Any]:  # noqa: ANN401 # json
    """The whole cannot be put in its own place: its first value, then."""
    return document, (0 if isinstance(document, list) else next(iter(document)))


FACTS: Final = {
    world: tuple((NODES / world / f"{node}.json").read_bytes() for node in ("hn1", "hn2"))
    for world in ("san", "shared", "to-insulated")
}


@given(data=st.data(), world=st.sampled_from(sorted(FACTS)), device=st.sampled_from((None, "/dev/sdg1")))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_whatever_facts_say_a_plan_is_made_of_them_or_not(
    data: st.DataObject, world: str, device: str | None
) -> None:
    """What is well formed may still be nonsense."""
    hn1, hn2 = FACTS[world]
    which = data.draw(st.booleans())
    odd = data.draw(mutated(hn1 if which else hn2))
    found = documented(CodecError, decode_facts, odd, "file")
    if found is None:
        return
    one, two = (odd, hn2) if which else (hn1, odd)
    asked = Asked(123, "hn1", "hn2", Options(dst_device=device))
    plan = make_plan(Request(asked, decode_facts(one, "one"), decode_facts(two, "two")))
    assert decode_plan(encode(plan), "again") == plan
    assert all(c.isprintable() or c == "\n" for c in plan_text(plan, verbose=True))


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_plan_says_is_a_plan_or_an_error(data: st.DataObject) -> None:
    found = documented(CodecError, decode_plan, data.draw(mutated(encode(PLAN))), "file")
    if found is not None:
        assert all(c.isprintable() or c == "\n" for c in plan_text(found, verbose=True))


# --- journals

IDS: Final = (*(step.id for step in PLAN.steps), *PLAN.nodes, "gone")
outcomes: Final = st.one_of(
    st.builds(Exited, st.sampled_from((0, 1, 3, 10, 11, 12, 120, 121, -1)), texts, texts),
    st.builds(Lost, texts),
)
ats: Final = st.sampled_from(IDS)
entries: Final[st.SearchStrategy[Entry]] = st.one_of(
    st.builds(Began, st.sampled_from(What), ats),
    st.builds(Ended, st.sampled_from(What), ats, outcomes),
    st.builds(Wish, st.sampled_from(Want), texts),
    st.builds(Restarted, st.booleans()),
    st.builds(
        Adopted,
        ats,
        st.lists(ats, max_size=4).map(tuple),
        st.lists(ats, max_size=2).map(tuple),
        st.integers(),
    ),
    st.builds(NodeOff, ats),
    st.just(Opened(RUN, PLAN)),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Entry]:
    """Entries of a run: what it may write, mostly; a move that was begun has ended, or has not."""
    found: list[Entry] = []
    for step in PLAN.steps[: draw(st.integers(0, len(PLAN.steps)))]:
        found += [Began(What.DO, step.id), Ended(What.DO, step.id, Exited(0))]
    for _ in range(draw(st.integers(0, 6))):
        found.insert(draw(st.integers(0, len(found))) if draw(st.booleans()) else len(found), draw(entries))
    return found


@pytest.fixture(scope="module")
def runs() -> Iterator[Path]:
    """A state folder with the journal of a run, which is written anew each time."""
    with tempfile.TemporaryDirectory() as folder:
        Journal.create(Path(folder) / "runs" / RUN, Opened(RUN, PLAN)).close()
        yield Path(folder)


@given(history=histories(), more=st.binary(max_size=60))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_journal_tells_is_told_or_refused(runs: Path, history: list[Entry], more: bytes) -> None:
    path = runs / "runs" / RUN / "journal"
    records = (journal_module._record(n, entry) for n, entry in enumerate((Opened(RUN, PLAN), *history)))
    path.write_bytes(b"".join(records) + more)
    record = documented(JournalError, read_journal, runs, RUN)
    if record is not None:
        move = next_move(record.plan, record.past)
        said = Standing.of(RUN, record, move)
        assert all(c.isprintable() or c == "\n" for c in said.text())
        if isinstance(move, Run):
            assert move.command.node in PLAN.nodes
        with Journal.open(path.parent) as journal:
            assert next_move(journal.plan, journal.past) == move


# --- what nodes keep, and what they say

BRIEF: Final = packed(REQUEST, PLAN, "1")


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_node_keeps_of_a_run_is_its_plan_or_an_error(data: st.DataObject) -> None:
    inner = zlib.decompress(base64.b64decode(BRIEF))
    text = data.draw(
        st.one_of(
            texts,
            damaged(BRIEF),
            mutated(inner).map(lambda raw: base64.b64encode(zlib.compress(raw)).decode()),
            st.binary(max_size=50).map(lambda raw: base64.b64encode(zlib.compress(raw)).decode()),
        )
    )
    plan = documented(BriefError, unpacked, text, "hn1")
    assert plan is None or plan.digest == PLAN.digest


class Kept:
    """Nodes that say the same whatever they are asked."""

    ssh: tuple[str, ...] = ()
    here: str | None = None

    def __init__(self, said: str) -> None:
        """``said``: their whole answer."""
        self._said = said

    def works_on(self, *names: str) -> None:
        """See ``executor.adoption.Reader``."""

    def read(self, name: str, script: str, deadline_s: int, limit_bytes: int) -> NodeOutcome:
        """See ``executor.adoption.Reader``."""
        del name, script, deadline_s, limit_bytes
        return Exited(0, self._said)

    def facts(self, *names: str) -> dict[str, NodeFacts]:
        """See ``executor.adoption.Reader``."""
        raise GatherError(f"{names[0]} gives no facts")


LOG: Final = base64.b64encode(b"began own 123\nended own 0\n").decode()


@given(
    said=st.one_of(
        texts,
        damaged(f"generation 1\nbrief {BRIEF}\nlog {LOG}\nend\n"),
        st.builds(
            lambda generation, log: f"generation {generation}\nbrief {BRIEF}\nlog {log}\nend\n",
            texts,
            st.one_of(texts, st.binary().map(lambda raw: base64.b64encode(raw).decode())),
        ),
    )
)
@example(f"generation {'9' * 4000}\nbrief {BRIEF}\nlog {LOG}\nend\n")
@example(f"generation ٣\nbrief {BRIEF}\nlog {LOG}\nend\n")
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_whatever_nodes_say_of_a_lost_run_it_is_adopted_or_not(said: str) -> None:
    found = documented(AdoptionError, adopt, Kept(said), RUN, "hn1")
    if found is not None:
        opened, known = found
        assert opened.plan.digest == PLAN.digest
        assert decode_entry(encode(known), "again") == known


@given(chunks=st.lists(st.one_of(st.binary(max_size=40), st.sampled_from((b"\n", b"nonce", b"\nnonce")))))
def test_whatever_a_stream_says_what_is_kept_of_it_is_bounded(chunks: list[bytes]) -> None:
    stream = Stream(b"nonce", 16)
    for chunk in chunks:
        stream.feed(chunk)
    assert len(stream.said()) <= 2 * 16 + len("\n[... bytes left out ...]\n") + 20 + len(stream._pending)


# --- the command line

WORDS: Final = (
    "show",
    "check",
    "apply",
    "facts",
    "runs",
    "status",
    "recover",
    "123",
    "hn2",
    "hn1",
    "--simulate",
    str(NODES / "san"),
    str(NODES / "shared"),
    "--from",
    "--to",
    "--dst-device",
    "/dev/sdg1",
    "--dst-shared",
    "--same-device",
    "--also-seen-by",
    "--install-hooks",
    "--remove-area",
    "yes",
    "--rsync",
    "--precopy",
    "auto",
    "--max-frozen",
    "--ssh",
    "--peer-ssh",
    "--json",
    "-v",
    "--yes",
    "--open",
    "--prune",
    "--forward",
    "--back",
    "--adopt",
    "--node-is-off",
    "--measure",
    "--help",
    "--version",
    "--",
    RUN,
)

words: Final = st.lists(
    st.one_of(st.sampled_from(WORDS), st.sampled_from(ODD), st.text(max_size=8)).filter(
        lambda word: (
            "\0" not in word and not word.startswith(("-o", "--o"))
        )  # where to write is not for chance
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def nowhere() -> Iterator[Path]:
    """An empty folder as current directory and state folder, and no node that answers."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("VZPLAN_STATE", folder)
        patch.setattr("sys.stdin", io.StringIO(""))
        for name in ("run", "read"):
            patch.setattr(ShellNode, name, lambda *_: Lost("nobody is there"))
        yield Path(folder)


@given(words=words)
@example(words=["show", "123", "hn2", "--simulate", str(NODES / "san"), "-v"])
@example(words=["show", "\udcff", "\udcff"])
@example(words=["\udcff"])
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_typed_is_answered(nowhere: Path, words: list[str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code in {None, *ExitCode}
    if ended.value.code == ExitCode.USAGE:
        assert err.getvalue()
    assert "Traceback" not in err.getvalue()
    assert list(nowhere.iterdir()) == []


@given(text=texts)
def test_what_is_made_plain_is_printable(text: str) -> None:
    assert plain(text).isprintable()
