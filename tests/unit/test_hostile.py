"""Hostile and careless input to the command line: refused in one clear line, before anything is started or written.

An audit hook (sys.addaudithook) notes every process, every connection and every write of this interpreter while the
command is at work; whatever it notes fails the test.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from msgspec import structs

from cli.exit_codes import ExitCode
from cli.main import main
from executor import facts_files
from executor import journal as journal_module
from executor.facts_files import read_world, write_facts
from executor.journal import Journal
from planner.codec import decode_plan, pretty
from planner.make import digest_of, make_plan
from planner.model import Mount, Script
from planner.plan import JOURNAL_VERSION, Began, Opened, What
from tests.worlds import NODES, bundled

RUN: Final = "20260101-000000-abcdef"
SAN: Final = NODES / "san"
CTIDS: Final = (0, 2**31, "../123", "12x", "٣")
NUMBERS: Final = ("1_2", "+123", "123\n", "\u00a0123", "١٢٣", "1e3", "0x7b", "")
"""What Python takes for a number, or what another program might."""
"""What looks like the number of a container, and is none."""

STARTS: Final = frozenset(
    {
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.spawn",
        "os.system",
        "pty.spawn",
        "subprocess.Popen",
    }
)
REACHES: Final = frozenset({"socket.bind", "socket.connect", "socket.getaddrinfo", "socket.sendto"})
CHANGES: Final = frozenset(
    {
        "os.chmod",
        "os.chown",
        "os.link",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.symlink",
        "os.truncate",
        "os.utime",
        "shutil.move",
        "shutil.rmtree",
        "tempfile.mkdtemp",
        "tempfile.mkstemp",
    }
)
WRITES: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
"""A journal is opened for both before it is known to be one; that nothing was written is seen by its bytes."""


class Ear:
    """What the interpreter does, as the audit hook hears it; a hook cannot be taken out again, only turned deaf."""

    def __init__(self) -> None:
        """Deaf."""
        self.hears = False
        self.heard: list[str] = []

    def __call__(self, event: str, words: tuple[object, ...]) -> None:
        if self.hears and (event in STARTS | REACHES | CHANGES or (event == "open" and _writes(words))):
            self.heard.append(f"{event} {words[:1]}")


def _writes(words: tuple[object, ...]) -> bool:
    path, _, flags = words
    # Python keeps what it has compiled.
    return isinstance(flags, int) and bool(flags & WRITES) and "__pycache__" not in str(path)


def _standing(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """All that is below a folder."""
    found = {path: path.lstat().st_mode for path in folder.rglob("*")}
    return {p: (mode, p.read_bytes() if stat.S_ISREG(mode) else b"") for p, mode in found.items()}


class Said(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str


class Place:
    """A command line in this process, of which nothing may be left but words."""

    def __init__(self, folder: Path, ear: Ear, capsys: pytest.CaptureFixture[str]) -> None:
        """``folder``: all that may be written to, and is not."""
        self.folder = folder
        self.state = folder / "state"
        self._ear, self._capsys = ear, capsys

    def vzplan(self, *words: object) -> Said:
        before = Path.cwd(), _standing(self.folder)
        self._ear.heard.clear()
        self._ear.hears = True
        try:
            with pytest.raises(SystemExit) as ended:
                main([str(word) for word in words])
        finally:
            self._ear.hears = False
        said = self._capsys.readouterr()
        assert self._ear.heard == []
        assert (Path.cwd(), _standing(self.folder)) == before
        assert "Traceback" not in said.out + said.err
        assert all(c.isprintable() or c == "\n" for c in said.out + said.err)
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, said.out, said.err)

    def refused(self, *words: object) -> str:
        """The one line that says why, with its remedy."""
        said = self.vzplan(*words)
        assert said.code in (ExitCode.USAGE, ExitCode.REFUSED), said
        assert said.out == ""
        assert said.err.startswith("vzplan: ")
        assert said.err.count("\n") == 1
        assert "; " in said.err or ": " in said.err.removeprefix("vzplan: ")
        return said.err


EAR: Final = Ear()


@pytest.fixture(scope="module")
def ear() -> Ear:
    if not EAR.heard and not EAR.hears:
        sys.addaudithook(EAR)
    return EAR


@pytest.fixture
def place(
    ear: Ear, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Place]:
    monkeypatch.setenv("VZPLAN_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    yield Place(tmp_path, ear, capsys)
    ear.hears = False


@pytest.mark.parametrize(
    "does",
    [
        lambda _: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0),
        lambda _: subprocess.run(["true"], check=True),
        lambda folder: (folder / "new").mkdir(),
        lambda folder: (folder / "new").write_text(""),
        lambda folder: os.close(os.open(folder / "new", os.O_CREAT | os.O_RDWR)),
        lambda folder: folder.rename(folder.with_name("other")),
        lambda folder: shutil.copytree(SAN, folder / "new"),
    ],
    ids=["spawn", "run", "mkdir", "write", "open", "rename", "copytree"],
)
def test_what_is_started_or_written_would_be_noticed(
    ear: Ear, tmp_path: Path, does: Callable[[Path], object]
) -> None:
    ear.heard.clear()
    ear.hears = True
    does(tmp_path)
    ear.hears = False
    assert ear.heard


# --- words

HOSTS: Final = (
    "-oProxyCommand=x",
    "root@-oProxyCommand=x",
    "root@-F",
    "hn2\nhn3",
    "hn2;reboot",
    "hn2 hn3",
    "hn2\t",
    "$(id)",
    "`id`",
    "hn2|sh",
    "",
    " ",
    "..;/x",
    "hn\u202e2",
    "h\u0430n2",
    "hn2\x1b[2J",
)
LONG: Final = "a" * 300
"""No file can be called so."""
ADOPT: Final = f"if a node knows this one, 'vzplan recover {RUN} --adopt NODE' makes its journal anew"
NEITHER: Final = "is neither the number of a container"


@pytest.mark.parametrize("host", HOSTS, ids=ascii)
@pytest.mark.parametrize(
    "words",
    [
        lambda host: ("show", 123, "--from", "hn1", "--", host),
        lambda host: ("check", 123, "--from", "hn1", "--", host),
        lambda host: ("apply", 123, "--yes", "--from", "hn1", "--", host),
        lambda host: ("show", 123, "hn2", f"--from={host}") if host else ("show", 123, ""),
        lambda host: ("show", 123, "hn2", "--from", "hn1", f"--also-seen-by={host}"),
        lambda host: ("facts", "--", host),
        lambda host: ("recover", RUN, f"--adopt={host}"),
    ],
    ids=["show", "check", "apply", "from", "also-seen-by", "facts", "adopt"],
)
def test_what_is_no_name_of_a_host_reaches_nobody(
    place: Place, words: Callable[[str], tuple[object, ...]], host: str
) -> None:
    said = place.refused(*words(host)) if host or words("x")[0] != "apply" else ""
    assert "is not the name of a node: letters, digits" in said or not host


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("show", 123, "hn2", "--simulate", "/nowhere"),
            "/nowhere: No such file or directory; name a folder",
        ),
        (("show", 123, "hn3", "--simulate", SAN), "has no node hn3; it has hn1, hn2"),
        (("show", 123, "hn2", "--from", "hn9", "--simulate", SAN), "has no node hn9"),
        (("show", 124, "hn2", "--simulate", SAN), "none of hn1, hn2 has a container 124"),
        (("show", 123, "-pProxyCommand=x"), "No such option"),
        (("show", 123, "-oProxyCommand=x"), "Missing argument 'DEST'"),  # -o is a file's name
        *((("apply", ctid, "hn2"), NEITHER) for ctid in CTIDS),
        (("apply", "9" * 5000, "hn2"), f"{'9' * 200}...' {NEITHER}"),
        (("apply", LONG), "nor the name of a file (File name too long); 'vzplan show -o FILE' writes one"),
        (("verify", "--cases", LONG), f"{LONG}: File name too long; name another"),
        (("verify", 123, "hn2", "--simulate", SAN, "--junit", LONG), "File name too long; name another"),
        (
            ("verify", 123, "hn2", "--simulate", SAN, "--junit", f"{LONG}/x"),
            "File name too long; name another",
        ),
        (("show", 123, "hn2", "--simulate", LONG), f"{LONG}: File name too long; name a folder"),
        (("show", 123, "hn2", "--simulate", SAN, "-o", LONG), "File name too long; the plan was not written"),
        (("apply", "--", -1, "hn2"), NEITHER),
        *((("show", ctid, "hn2"), "CTID") for ctid in CTIDS),
        (("show", "--", -1, "hn2"), "CTID"),
        (("facts", "hn1", "--measure", 0), "--measure"),
        (("apply", 123), "say where container 123 is to go"),
        (("recover", RUN, "--forward", "--back"), "it can go one way only"),
        (("recover", RUN, "--ssh", "-v"), f"'vzplan runs' lists the runs of this host; {ADOPT}"),
        *((("show", ctid, "hn2", "--simulate", SAN), "is not a number from 1 to") for ctid in NUMBERS),
        *((("apply", ctid, "hn2"), NEITHER) for ctid in NUMBERS),
        *((("facts", "hn1", "--measure", ctid), "is not a number from 1 to") for ctid in NUMBERS),
        *((("show", 123, "hn2", "--simulate", SAN, "--max-frozen", s), "--max-frozen") for s in NUMBERS),
        (("show", -1, "hn2"), "nor is that the number of a container (1 to 2147483647)"),
        (("show", 123, "hn2", "--simulate", SAN, "--rsync", "--bwlimit=\udcff"), "--rsync: '--bwlimit="),
        (
            ("show", 123, "hn2", "--simulate", SAN, "--peer-ssh", "-o Foo=\udcff"),
            "is not UTF-8; say it otherwise",
        ),
        (("show", 123, "hn2", "--from", "hn1", "--ssh", "-o Foo=\udcff"), "is not UTF-8; say it otherwise"),
        (("recover", "../../etc"), "is not the name of a run"),
        (("status", "../x"), "is not the name of a run"),
        (("status", ""), "is not the name of a run"),
        (("status", RUN), f"'vzplan runs' lists the runs of this host; {ADOPT}"),
        (("recover", RUN), f"'vzplan runs' lists the runs of this host; {ADOPT}"),
        (("show", 123, "hn2", "--from", "hn1", "--ssh", "-o 'x"), "--ssh: No closing quotation"),
        (("show", 123, "hn2", "--simulate", SAN, "--rsync", "'"), "--rsync: No closing quotation"),
        (("show", 123, "hn2", "--simulate", SAN, "--max-frozen", 0), "--max-frozen"),
        (("show", 123, "hn2", "--simulate", SAN, "--precopy", -1), "--precopy"),
        (("show", 123, "hn2", "--simulate", SAN, "--precopy", 100), "--precopy"),
        (("show", 123, "hn2", "--simulate", SAN, "--precopy", "Auto"), "--precopy"),
        (("show", 123, "hn2", "--simulate", SAN, "--precopy", "\u0663"), "--precopy"),
        (("show", 123, "hn2", "--simulate", SAN, "--precopy", "9" * 5000), "--precopy"),
        (("show", 123, "hn2", "--simulate", SAN, "--remove-area", "maybe"), "--remove-area"),
        (("apply", 123, "hn2", "--from", "hn1", "-o", "out"), "-o/--out goes with --simulate"),
        (("no-such-command",), "No such command"),
    ],
    ids=lambda value: " ".join(str(word) for word in value)[:40] if isinstance(value, tuple) else "",
)
def test_a_wrong_word_is_a_clear_error(place: Place, words: tuple[object, ...], said: str) -> None:
    found = place.vzplan(*words)
    assert found.code == ExitCode.USAGE
    assert said in found.err
    assert (found.out, found.err.count("\n"), found.err[:8]) == ("", 1, "vzplan: ")


@pytest.mark.parametrize("flag", ["--dst-device", "--dump-device"])
@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/dev/../etc/passwd",
        "/etc/passwd",
        "/etc",
        "sdg1",
        "",
        "-",
        "/dev/sdg1\n/dev/sda",
        "/dev/sd\u202eg1",
        "/dev//sdg1",
        "/dev/",
    ],
    ids=ascii,
)
def test_what_is_no_name_of_a_device_is_refused_before_a_node_is_asked(
    place: Place, name: str, flag: str
) -> None:
    said = place.refused("show", 123, "hn2", "--from", "hn1", "--online", f"{flag}={name}")
    assert f"{flag}: " in said
    assert "is not the name of a device; say it in full" in said


def test_all_contradictions_are_told_at_once(place: Place) -> None:
    words = ("--dst-shared", "--same-device", "--install-hooks", "--rsync", "/etc")
    said = place.vzplan("show", 123, "hn2", "--from", "hn1", *words)
    assert (said.code, said.out) == (ExitCode.USAGE, "")
    assert [line.split(": ")[1] for line in said.err.splitlines()] == [
        "--dst-shared --same-device",
        "--dst-shared --install-hooks",
        "--rsync /etc",
    ]


def findings(place: Place, *words: object) -> list[str]:
    """The codes of what a refusal is put down to."""
    said = place.vzplan("show", 123, "hn2", *words, "--json")
    assert said.code == ExitCode.REFUSED
    assert said.err == ""
    assert all(found["remedy"] for found in json.loads(said.out)["findings"])
    return [found["code"] for found in json.loads(said.out)["findings"]]


@pytest.mark.parametrize("device", ["/dev/nowhere", "/dev/disk"])
def test_a_device_that_is_not_there_is_a_finding(place: Place, device: str) -> None:
    assert "device-missing" in findings(place, "--simulate", SAN, "--dst-device", device)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--dst-shared", "--dst-device", "/dev/sdg1"),
            "--dst-shared --dst-device: it can share a filesystem or own one, not both; leave one of them out",
        ),
        (
            ("--dst-shared", "--same-device"),
            "--dst-shared --same-device: no device is handed over; leave one of them out",
        ),
        (
            ("--dst-shared", "--also-seen-by", "hn1"),
            (
                "--dst-shared --also-seen-by: it owns no device there; leave one of them out\n"
                "--also-seen-by hn1: source and destination are asked anyway; leave it out"
            ),
        ),
        (
            ("--dst-shared", "--install-hooks"),
            "--dst-shared --install-hooks: it owns no device there; leave one of them out",
        ),
        (
            ("--also-seen-by", "hn2", "--also-seen-by", "hn1"),
            "--also-seen-by hn1 hn2: source and destination are asked anyway; leave both out",
        ),
        (
            ("--also-seen-by", "hn2"),
            "--also-seen-by hn2: source and destination are asked anyway; leave it out",
        ),
        (("--from", "hn2"), "hn2: source and destination are one node; name another destination"),
        *(
            (
                ("--rsync", word),
                f"--rsync {word}: it could change what is copied, not only how it is sent; leave it out",
            )
            for word in ("--rsh=/tmp/x", "--rsync-path=/tmp/x", "--delete-excluded", "/etc", "a:b")
        ),
        (
            ("--rsync", "-e sh"),
            (
                "--rsync -e: it could change what is copied, not only how it is sent; leave it out\n"
                "--rsync sh: it could change what is copied, not only how it is sent; leave it out"
            ),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
@pytest.mark.parametrize("nodes", [("--from", "hn1"), ("--simulate", SAN)], ids=["live", "recorded"])
@pytest.mark.parametrize("command", ["show", "check", "verify", "apply"])
def test_flags_that_contradict_each_other_are_refused_before_a_node_is_asked(
    place: Place, command: str, nodes: tuple[object, ...], words: tuple[str, ...], said: str
) -> None:
    found = place.vzplan(command, 123, "hn2", *nodes, *words)
    assert found == Said(ExitCode.USAGE, "", "".join(f"vzplan: {line}\n" for line in said.splitlines()))


@pytest.mark.parametrize(
    ("disk", "part", "point"),
    [("/dev/sdg", "/dev/sdg1", "/srv"), ("/dev/cciss/c0d0", "/dev/cciss/c0d0p3", "/vz")],
)
@pytest.mark.parametrize("command", [("show",), ("check",), ("apply", "--yes")], ids=" ".join)
def test_a_disk_of_which_a_part_is_in_use_is_not_written_over(
    place: Place, tmp_path: Path, command: tuple[str, ...], *, disk: str, part: str, point: str
) -> None:
    nodes = read_world(NODES / "to-insulated")
    there = nodes["hn2"]
    inside = there.device(part)
    assert inside is not None
    whole = structs.replace(inside, names=(disk,), number="8:250", start_sector=None, filesystem=None)
    mounted = Mount(point, inside.number, "/", "ext4", part, read_only=False, elsewhere=False)
    mounts = tuple(mount for mount in there.mounts if mount.point != point)
    write_facts(tmp_path / "nodes", nodes["hn1"])
    write_facts(
        tmp_path / "nodes",
        structs.replace(there, devices=(*there.devices, whole), mounts=(*mounts, mounted)),
    )
    name, *flags = command
    out = ("-o", tmp_path / "after") if name == "apply" else ()
    found = place.vzplan(
        name, 123, "hn2", "--simulate", tmp_path / "nodes", "--dst-device", disk, *flags, *out
    )
    assert found.code == ExitCode.REFUSED
    why = f"error     target-divided: hn2:{disk}: it is a whole disk, and has partitions: hn2:{part}"
    assert why in found.out.splitlines()
    assert found.err == ""


# --- files of facts

Change = Callable[[bytes], bytes]

SIZE: Final = b'"size_bytes": 68719476736'
DAMAGED: Final[dict[str, tuple[Change, str]]] = {
    "empty": (lambda _: b"", "not JSON"),
    "cut short": (lambda text: text[: len(text) // 2], "not JSON"),
    "binary": (lambda _: bytes(range(256)) * 10, "not JSON"),
    "NUL": (lambda _: b"\0" * 1000, "not JSON"),
    "deep": (lambda _: b"[" * 100_000, "nested too deeply"),
    "deep below": (
        lambda text: text.replace(
            b'"devices": [', b'"devices": ' + b"[" * 100_000 + b"]" * 100_000 + b', "x": ['
        ),
        "nested too deeply",
    ),
    "a list": (lambda _: b"[]", "Expected `object`"),
    "infinite": (lambda text: text.replace(SIZE, b'"size_bytes": 1e999', 1), "size_bytes"),
    "fraction": (lambda text: text.replace(SIZE, b'"size_bytes": 1.5', 1), "size_bytes"),
    "NaN": (lambda text: text.replace(SIZE, b'"size_bytes": NaN', 1), "NaN is a word of Python's"),
    "digits": (lambda text: text.replace(SIZE, b'"size_bytes": ' + b"9" * 5000, 1), "not JSON"),
    "twice": (lambda text: text.replace(b'"node"', b'"node": "x", "node"', 1), "'node' stands there twice"),
    "UTF-16": (lambda text: text.decode().encode("utf-16"), "invalid character"),
    "byte order mark": (lambda text: b"\xef\xbb\xbf" + text, "invalid character"),
    "half a surrogate": (
        lambda text: text.replace(b'"boot_id": "', b'"boot_id": "\\ud800', 1),
        "surrogate",
    ),
    "a version that is a list": (
        lambda text: text.replace(b'"version": ', b'"version": [], "x": ', 1),
        "of version []",
    ),
    "a plan": (lambda _: json.dumps({"steps": []}).encode(), "of version None"),
    "another program's": (lambda _: b'{"apiVersion": "v1", "kind": "List"}', "of version None"),
}


def copied(folder: Path, *nodes: str) -> Path:
    """The bundled world as a folder of one's own."""
    folder.mkdir()
    for node in nodes or ("hn1", "hn2"):
        shutil.copy(SAN / f"{node}.json", folder)
    return folder


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_file_of_facts_that_is_none_is_named(place: Place, tmp_path: Path, damage: str) -> None:
    change, said = DAMAGED[damage]
    path = copied(tmp_path / "nodes") / "hn1.json"
    before = path.read_bytes()
    path.write_bytes(change(before))
    assert path.read_bytes() != before
    refused = place.refused("show", 123, "hn2", "--simulate", path.parent)
    assert refused.startswith(f"vzplan: {path}: ")
    assert said in refused


def test_a_file_of_facts_that_is_too_large_is_not_read(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied(tmp_path / "nodes") / "hn1.json"
    monkeypatch.setattr(facts_files, "LIMIT_BYTES", 1000)
    assert f"{path}: not a file, or too large" in place.refused("show", 123, "hn2", "--simulate", path.parent)


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("/dev/stdin"),
        lambda path: path.symlink_to("/nowhere"),
        lambda path: path.symlink_to(path),
        lambda path: path.mkdir(),
    ],
    ids=["pipe", "endless", "stdin", "dangling", "loop", "directory"],
)
def test_what_is_no_file_is_not_read_for_facts(
    place: Place, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    path = copied(tmp_path / "nodes", "hn2") / "hn1.json"
    make(path)
    assert place.refused("show", 123, "hn2", "--simulate", path.parent).startswith(f"vzplan: {path}: ")


def test_a_node_whose_name_is_a_path_is_written_nowhere(place: Place, tmp_path: Path) -> None:
    path = copied(tmp_path / "nodes") / "hn1.json"
    path.write_bytes(path.read_bytes().replace(b'"node": "hn1"', b'"node": "../../hn1"'))
    assert "has no node hn1" in place.refused("show", 123, "hn2", "--from", "hn1", "--simulate", path.parent)
    with pytest.raises(facts_files.FactsFileError, match="cannot be the name of a file"):
        write_facts(tmp_path / "out", read_world(path.parent)["../../hn1"])


def test_what_a_link_leads_to_is_never_written_over(place: Place, tmp_path: Path) -> None:
    """In a folder of everyone's another may have put the link there."""
    link, file = tmp_path / "link", tmp_path / "theirs"
    file.write_text("old")
    link.symlink_to(file)
    said = place.refused("show", 123, "hn2", "--simulate", SAN, "-o", link)
    assert (
        f"{link}: it is a link, which is not followed; name the file itself; the plan was not written" in said
    )
    assert file.read_text() == "old"
    link.rename(tmp_path / "hn1.json")
    with pytest.raises(facts_files.FactsFileError, match="it is a link, which is not followed"):
        write_facts(tmp_path, bundled("san").source)
    assert file.read_text() == "old"


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero", "/"])
def test_a_plan_is_never_written_over_what_is_no_file(place: Place, path: str) -> None:
    """As root it would take the place of the device."""
    said = place.refused("show", 123, "hn2", "--simulate", SAN, "-o", path)
    assert f"{path}: it is there, and is not a file; the plan was not written" in said


# --- plans


def plan_file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    path.write_bytes(pretty(make_plan(bundled("san"))).encode())
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace(b"mount-device", b"remove-dir", 1), "remove-dir takes path"),
        (lambda text: text.replace(b'"/vz/private/123"', b'"/"', 1), "it was changed since it was written"),
        (
            lambda text: text.replace(b'"digest": "', b'"digest": "0', 1),
            "it was changed since it was written",
        ),
        (lambda text: text.decode().encode("utf-16"), "invalid character"),
        (lambda text: text.replace(b'"title": "', b'"title": "\\ud800', 1), "surrogate"),
        (lambda text: text.replace(b'"deadline_s": 60', b'"deadline_s": 1e999', 1), "deadline_s"),
        (lambda text: text[:-20], "not JSON"),
        (lambda _: b"\x7fELF\x00", "not JSON"),
        (lambda _: b"[" * 100_000, "nested too deeply"),
        (lambda _: (SAN / "hn1.json").read_bytes(), "Object"),
    ],
    ids=["verb", "operand", "digest", "UTF-16", "surrogate", "infinite", "cut", "binary", "deep", "facts"],
)
def test_a_plan_that_was_tampered_with_starts_nothing(
    place: Place, tmp_path: Path, change: Change, said: str
) -> None:
    path = plan_file(tmp_path)
    before = path.read_bytes()
    path.write_bytes(change(before))
    assert path.read_bytes() != before
    refused = place.refused("apply", path, "--yes")
    assert refused.startswith(f"vzplan: {path}: ")
    assert said in refused


def test_a_plan_with_a_digest_of_its_own_is_compared_with_what_is_planned_now(
    place: Place, tmp_path: Path
) -> None:
    plan = make_plan(bundled("san"))
    steps = tuple(structs.replace(step, title="harmless") for step in plan.steps)
    forged = structs.replace(plan, steps=steps)
    path = tmp_path / "plan.json"
    path.write_text(pretty(structs.replace(forged, digest=digest_of(forged))))
    said = place.vzplan("apply", path, "--yes", "--simulate", SAN)
    assert said.code == ExitCode.REFUSED
    assert "the nodes are no longer as" in said.out
    assert "harmless" in said.out


def test_by_what_nodes_are_reached_is_taken_from_no_file(place: Place, tmp_path: Path) -> None:
    request = bundled("san")
    options = structs.replace(request.asked.options, peer_ssh=("-oProxyCommand=touch /tmp/pwned",))
    asked = structs.replace(request.asked, options=options)
    path = tmp_path / "plan.json"
    path.write_text(pretty(make_plan(structs.replace(request, asked=asked))))
    for more in ((), ("--simulate", SAN), ("--peer-ssh", "-v")):
        refused = place.refused("apply", path, "--yes", *more)
        assert "that is taken from no file: say it again if it is meant" in refused
        assert "-oProxyCommand=touch /tmp/pwned" in refused
    words = ("apply", path, "--yes", "--unverified", "--simulate", SAN)
    agreed = place.vzplan(*words, "--peer-ssh", "'-oProxyCommand=touch /tmp/pwned'")
    assert agreed.code == ExitCode.OK


@pytest.mark.parametrize("what", ["pipe", "directory", "device", "nothing"])
def test_what_is_no_file_is_no_plan(place: Place, tmp_path: Path, what: str) -> None:
    path = Path("/dev/zero") if what == "device" else tmp_path / "plan.json"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    assert NEITHER in place.refused("apply", path, "--yes")


# --- journals


def run_folder(place: Place, run: str = RUN, named: str = RUN) -> Path:
    """A run whose controller is gone, in a folder of another name perhaps."""
    folder = place.state / "runs" / run
    with Journal.create(folder, Opened(run, make_plan(bundled("san")), (), None)) as journal:
        journal.append(Began(What.DO, "own-hn1"))
    return folder.rename(folder.with_name(named))


def record(body: bytes, number: int = 0) -> bytes:
    """A record with the checksum that it should have, whatever it says."""
    return b"%d %s %s\n" % (number, journal_module._checksum(number, body), body)


ADOPTED: Final = f"type 'vzplan recover {RUN} --adopt NODE'"
LATER: Final = b'{"type":"Opened","version":%d,"by":"9.0","moon":"full"}' % (JOURNAL_VERSION + 1)
FOREIGN: Final[dict[str, tuple[Change, str]]] = {
    "empty": (lambda _: b"", "it is damaged at its beginning"),
    "text": (lambda _: b"-- Logs begin at Thu 2026-01-01\n" * 3, "record 0 is damaged"),
    "binary": (lambda _: b"LPKSHHRH\0\xff", "it is damaged at its beginning"),
    "binary lines": (lambda _: b"LPKSHHRH\n" + bytes(range(256)) * 9, "record 0 is damaged"),
    "one endless line": (lambda _: b"x" * 1_000_000, "it is damaged at its beginning"),
    "turned around": (lambda text: b"".join(reversed(text.splitlines(keepends=True))), "record 0 is damaged"),
    "of a later version": (lambda _: record(LATER), "recover the run with that one"),
    "not an entry": (lambda _: record(b'{"type":"Gone"}'), ADOPTED),
    "not JSON": (lambda _: record(b"\xff\xfe"), ADOPTED),
    "deep": (lambda _: record(b"[" * 100_000), ADOPTED),
    "deep in a field": (lambda _: record(b'{"type":"Opened","x":' + b"[" * 100_000), ADOPTED),
    "without a plan": (lambda _: record(b'{"type":"Restarted"}'), "it does not begin with a plan"),
    "begun twice": (
        lambda text: text + record(text.splitlines()[0].split(b" ", 2)[2], 2),
        "record 2: ",
    ),
    "a step that is none": (
        lambda text: text + record(b'{"type":"Began","what":"do","at":"x"}', 2),
        "record 2: ",
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_journal_is_refused_and_left_as_it_is(place: Place, kind: str) -> None:
    change, said = FOREIGN[kind]
    path = run_folder(place) / "journal"
    path.write_bytes(change(path.read_bytes()))
    before = path.read_bytes()
    for command in ("status", "recover"):
        refused = place.refused(command, RUN)
        assert refused.startswith(f"vzplan: {path}: ")
        assert said in refused
    listed = place.vzplan("runs")
    assert (listed.code, listed.err) == (ExitCode.REFUSED, "")
    assert listed.out.startswith(f"{RUN}  {path}: ")
    assert place.vzplan("runs", "--prune").code == ExitCode.REFUSED
    assert path.read_bytes() == before


@pytest.mark.parametrize("command", ["status", "recover"])
def test_the_journal_of_another_run_is_not_taken_for_this_ones(place: Place, command: str) -> None:
    path = run_folder(place, "20250101-000000-000000", named=RUN) / "journal"
    assert f"{path}: it is the journal of run 20250101-000000-000000; put it back" in place.refused(
        command, RUN
    )


NEED_STATE: Final = (
    ("runs",),
    ("status", RUN),
    ("recover", RUN),
    ("recover", RUN, "--adopt", "hn1"),
    ("apply", "123", "hn2", "--from", "hn1", "--yes"),
)


@pytest.mark.parametrize("words", NEED_STATE, ids=" ".join)
@pytest.mark.parametrize(("name", "why"), [(LONG, "File name too long"), ("file", "it is not a folder")])
def test_what_cannot_be_the_state_folder_is_named(
    place: Place, words: tuple[str, ...], name: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = place.folder / name
    (place.folder / "file").touch()
    monkeypatch.setenv("VZPLAN_STATE", str(state))
    assert f"{state}: {why}; name the state folder by VZPLAN_STATE" in place.refused(*words)


@pytest.mark.parametrize("words", NEED_STATE, ids=" ".join)
@pytest.mark.parametrize(
    ("name", "told"), [("a\nb", "a\\x0ab"), ("a\udcff", "a\\xdcff"), ("a\x85", "a\\x85")]
)
def test_a_state_folder_that_no_node_could_keep_is_refused_before_anything_begins(
    place: Place, words: tuple[str, ...], name: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VZPLAN_STATE", str(place.folder / name))
    said = place.vzplan(*words)
    assert (said.code, said.out) == (ExitCode.USAGE, "")
    assert f"/{told}: a character of it cannot be printed, or is not UTF-8; name the state folder" in said.err


@pytest.mark.parametrize("command", ["status", "recover"])
@pytest.mark.parametrize("what", ["journal", "folder"])
def test_a_link_in_the_place_of_a_journal_is_not_followed(place: Place, what: str, command: str) -> None:
    path = run_folder(place)
    if what == "journal":
        path /= "journal"
    elsewhere = path.rename(place.folder / "elsewhere")
    path.symlink_to(elsewhere)
    assert f"{path}: a link, which is not followed" in place.refused(command, RUN)


@pytest.mark.parametrize("command", ["status", "recover"])
@pytest.mark.parametrize("what", ["pipe", "directory", "device"])
def test_what_is_no_file_is_no_journal(place: Place, what: str, command: str) -> None:
    path = run_folder(place) / "journal"
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    elif os.geteuid() == 0:
        os.mknod(path, 0o020600, os.makedev(1, 5))
    else:
        path.symlink_to("/dev/zero")
    assert place.refused(command, RUN).startswith(f"vzplan: {path}: ")


def test_names_of_folders_among_the_runs_cannot_steer_the_terminal(place: Place) -> None:
    run_folder(place, named="\x1b[2J\u202e")
    assert "\\x1b[2J\\x202e  " in place.vzplan("runs").out


# --- configs


def in_world(place: Place, change: Callable[[str], str]) -> Path:
    """A folder of nodes on which 123 has another config."""
    folder = place.folder / "nodes"
    for facts in read_world(SAN).values():
        containers = tuple(
            structs.replace(c, config=change(c.config or "")) if c.ctid == 123 else c
            for c in facts.containers
        )
        write_facts(folder, structs.replace(facts, containers=containers))
    return folder


OWNED: Final = 'VE_DEVICE="/dev/sda1"'
ODD: Final[dict[str, Callable[[str], str]]] = {
    "quotes": lambda text: text + "A='it is \"so\"'\n" + """B="it is 'so'"\nC=""\nD=''\nE=\n""",
    "unicode": lambda text: text + 'DESCRIPTION="äöü 💥 \u202e \u2028 \x85 \ufeff"\n',
    "control characters": lambda text: text + 'X="\x01\x1b[2J\x7f\x0c"\n',
    "carriage returns": lambda text: text.replace("\n", "\r\n"),
    "no newline at its end": lambda text: text + "A=1",
    "10,000 lines": lambda text: text + "".join(f'K{n}="{n}"\n' for n in range(10_000)),
    "10,000 equal lines": lambda text: 'K="1"\n' * 5000 + text + 'K="1"\n' * 5000,
    "a line of 1 MB": lambda text: text + "#" + "x" * 1_000_000 + "\n",
    "a value of 1 MB": lambda text: text + 'A="' + "x" * 1_000_000 + '"\n',
    "1 MB of blanks behind the device": lambda text: text.replace(OWNED, OWNED + " " * 1_000_000),
    "a comment of 1 MB": lambda text: text.replace(OWNED, OWNED + " #" + "x y " * 250_000),
    "rich markup": lambda text: text + 'A="[bold red]x[/] [link=http://x]"\n',
}


SHELL: Final[dict[str, Callable[[str], str]]] = {
    "export": lambda text: text.replace(OWNED, f"export {OWNED}"),
    "a condition": lambda text: text.replace(OWNED, f"[ -b /dev/sda1 ] && {OWNED}"),
    "a second setting behind it": lambda text: text.replace(OWNED, f"A=1; {OWNED}"),
    "a command behind it": lambda text: text.replace(OWNED, f"{OWNED} true"),
    "1 MB of blanks and a word": lambda text: text.replace(OWNED, OWNED + " " * 1_000_000 + "x"),
    "an addition": lambda text: text.replace(OWNED, f"{OWNED}\nVE_DEVICE+=x"),
    "a second one by export": lambda text: text.replace(OWNED, f"{OWNED}\nexport VE_DEVICE=/dev/sdz1"),
    "blanks around the sign": lambda text: text.replace(OWNED, 'VE_DEVICE = "/dev/sda1"'),
    "a byte order mark": lambda text: f"\ufeff{OWNED}\n" + text.replace(OWNED, ""),
    "carriage returns alone": lambda text: text.replace("\n", "\r"),
    "another file": lambda text: f". /etc/vz/common.sh\n{text}",
    "a plain command": lambda text: f"reboot\n{text}",
    "an open quote": lambda text: text + 'B="open\n',
    "quotes within quotes": lambda text: text + 'D=""x""\n',
    "a line that goes on": lambda text: text.replace(OWNED, "VE_DEVICE=/dev/\\\nsda1"),
    "a form feed": lambda text: text + "\x0c\n",
}
"""What vzctl passes over, or reads otherwise than a hook that sources the config."""


@pytest.mark.parametrize("kind", SHELL)
def test_a_line_that_a_shell_reads_otherwise_than_vzctl_is_refused(place: Place, kind: str) -> None:
    folder = in_world(place, SHELL[kind])
    code, out, err = place.vzplan("check", 123, "hn2", "--simulate", folder)
    assert (code, err) == (ExitCode.REFUSED, "")
    assert "config-shell: hn1:/etc/vz/conf/123.conf:" in out


@pytest.mark.parametrize("kind", ODD)
def test_of_an_odd_config_only_the_line_of_the_device_changes(place: Place, kind: str) -> None:
    folder = in_world(place, ODD[kind])
    assert place.vzplan("show", 123, "hn2", "--simulate", folder, "--no-verify").code == ExitCode.OK
    said = place.vzplan("show", 123, "hn2", "--simulate", folder, "--json", "--no-verify")
    config = decode_plan(said.out.encode(), "stdout").config
    assert config is not None
    (old,) = (line for line in config.before.split("\n") if line.startswith("VE_DEVICE="))
    (new,) = (line for line in config.after.split("\n") if line.startswith("VE_DEVICE="))
    assert new.startswith('VE_DEVICE="/dev/disk/by-id/wwn-')
    assert config.after == config.before.replace(old, new)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda text: text + 'A="a\0b"\n', "config-unreadable"),
        (lambda text: text.replace(OWNED, 'VE_DEVICE="/dev/sda1\0"'), "config-unreadable"),
        (lambda text: text + "A=$(touch /tmp/x)\n", "config-evaluates"),
        (lambda text: text + 'A="`touch /tmp/x`"\n', "config-evaluates"),
        (lambda text: text.replace(OWNED, 'VE_DEVICE="/dev/$X"'), "config-evaluates"),
        (lambda text: text + f"{OWNED}\n", "config-duplicate"),
        (lambda text: text + 'VE_PRIVATE="/vz/../etc"\n', "config-duplicate"),
        (lambda text: text.replace("VE_PRIVATE=", "VE_PRIVATE=/vz/private/../../etc #"), "config-path"),
        (lambda text: text.replace("VE_PRIVATE=", "VE_PRIVATE=/vz/pri\u202evate #"), "config-path"),
    ],
    ids=["NUL", "NUL in device", "$()", "``", "$X", "twice", "area twice", "..", "bidi"],
)
def test_a_config_that_cannot_be_taken_as_data_is_refused(
    place: Place, change: Callable[[str], str], code: str
) -> None:
    assert code in findings(place, "--simulate", in_world(place, change))


@pytest.mark.parametrize("text", [None, "#!/bin/sh\necho \0\n"], ids=["not UTF-8", "NUL"])
def test_an_action_script_that_is_no_text_is_not_carried_over_as_an_empty_one(
    place: Place, text: str | None
) -> None:
    folder = place.folder / "nodes"
    for facts in read_world(NODES / "shared").values():
        own = (Script("123.mount", 0o755, text),) if facts.node == "hn1" else ()
        write_facts(folder, structs.replace(facts, scripts=(*facts.scripts, *own)))
    assert findings(place, "--simulate", folder) == ["script-unreadable"]
