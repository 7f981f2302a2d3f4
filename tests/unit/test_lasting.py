"""When a verb says 0, all that it changed is on the disk; and what it notes is there before what the note announces.

Stand-ins for the programs that change something come first in PATH. Each writes down its words and all files as they
are just then, and does the real thing. So it is known what a power cut would leave at any of these moments: what was
there at the last ``sync``, and what was written with ``fsync`` since. What the shell writes by itself (``: >file``) is
seen too, with the next program.

Not seen: in which order the shell itself changes two things between two programs; what kernel and disk make of a
``sync``; whose disk it was, since both ends of a copy lie on one here. Devices, mounts and vzctl are made up.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from executor import verbs
from executor.shell import ShellNode
from planner.parse.config import FENCE
from planner.plan import Exited
from planner.verbs import NOT_UP, VERBS
from tests.unit.test_shell import CTID, LOCAL_RSH, NOBODY, RUN, SHELLS, Here, is_gone, run

Files = dict[str, str]
"""Path -> kind, mode, where it leads, checksum."""

FOLDER: Final = f"home/node/{RUN}/"
SHORT_LIVED: Final = re.compile(
    rf"{FOLDER}(pids(/.*)?|input|lock|go|mnt|changed|copied-(literal|status)|.*\.new)"
    r"|area/(state|mounts/.*|.*\.lck|.*/\.vzplan-[^/]*\.lck|\.vzplan-[^/]*\.lck)"
)
"""What is of no use after a power cut: processes, mounts and the lock of a process are gone then."""

CHANGE: Final = ("chmod", "cp", "dd", "ln", "mkdir", "mkfifo", "mount", "mv", "rm", "rmdir", "rsync", "sync")
TRACED: Final = (*CHANGE, "umount", "vzctl")
STAND_IN: Final = """#!/bin/sh
[ "$1" = status ] || {{ {{ printf '=%s' {name}; printf '\\t%s' "$@"; }} | tr '\\n' ' '; echo; {look}; }} >>{trace}
exec {real} "$@"
"""
LOOK: Final = """#!/bin/sh
cd {tmp} && {find} home area -printf '%y %m %p -> %l\\n' -type f -exec {sha256sum} {{}} + 2>/dev/null
:
"""
MADE_UP: Final = {
    "mount": ': >"{area}/mounts/${{2##*/}}"',
    "umount": '/bin/rm "{area}/mounts/${{2##*/}}"',
    "sleep": '[ "$1" = 1 ] || exec /bin/sleep "$@"',
    "vzctl": """
cd {area} || exit
[ "$1" != --skiplock ] || shift
case "$*" in
    status*)
        case $(cat state) in
            running | frozen) echo "CTID $2 exist mounted running" ;;
            suspended) echo "CTID $2 exist unmounted down suspended" ;;
            *) echo "CTID $2 exist unmounted down" ;;
        esac
        ;;
    *' --dump '*) echo memory >"$5" ;;
    *' --suspend') echo frozen >state; echo last >>private/file ;;
    *' --undump '*) echo frozen >state ;;
    stop*) echo stopped >state; echo last >>private/file ;;
    *' --kill' | umount*) echo stopped >state ;;
    chkpnt*) echo suspended >state; echo memory >"dumps/Dump.$2" ;;
    restore*) echo running >state; /bin/rm -f "dumps/Dump.$2" ;;
    *) [ "$(cat state)" != broken ] && echo running >state ;;
esac""",
}
SEAM: Final = """
conf={area}/conf
number() {{ echo 8:97; }}
same_disk() {{ :; }}
on_device() {{ :; }}
prove_not_held() {{ :; }}
dirty() {{ return 1; }}
superblock() {{ echo 'Mount count: 1'; }}
mounts_of() {{ ls {area}/mounts; }}
mounted_at() {{ [ ! -e "{area}/mounts/${{1##*/}}" ] || echo 8:97; }}
stands_still() {{ [ "$(cat {area}/state)" = frozen ]; }}
keeps_still() {{ stands_still; }}
processes_in() {{ :; }}
blockdev() {{ :; }}
debugfs() {{ echo '/2/040755/0/0/.//'; }}
"""
"""What the library asks devices and processes, answered by files."""


class Event(NamedTuple):
    """A program that changes something, with the files before it, and before the next one."""

    program: str
    words: tuple[str, ...]
    before: Files
    after: Files

    @property
    def line(self) -> str:
        return " ".join((self.program, *self.words))


class Scene(NamedTuple):
    """A verb, and what it finds. AREA, CT: a folder, a container.

    ``note``: what announces its first change; ``says``: what tells of that change once it is made.
    """

    words: str
    before: str = ""
    stdin: str = ""
    note: str = ""
    says: str = ""
    status: int = 0
    after: tuple[str, ...] = ()  # verbs
    loose: str = "-"  # a note that may come back
    once: bool = False  # it has forgotten its notes, so all before was on the disk


UP: Final = "CT AREA/private AREA/root - - AREA/dumps running"
FENCED: Final = f"cat >%s <<'END'\n{FENCE}A=1\nEND"
STAGED: Final = FENCED % "staged"
DEVICE: Final = "/dev/x identity"
LEFT: Final = f"echo >$run/written; echo '{DEVICE} Mount count: %s clean' >$run/left"

SCENES: Final[dict[str, Scene]] = {
    "own": Scene("own CT"),
    "disown": Scene("disown CT"),
    "settle": Scene("settle"),
    "note-state": Scene("note-state CT stopped", "echo A=1 >conf/CT.conf", says="noted"),
    "restore-state": Scene(
        f"restore-state {UP} -",
        "echo 'running boot' >$run/noted; : >$run/frozen; echo >$run/put-dump; echo >dumps/Dump.CT",
        note="taken",
        once=True,
    ),
    "hold-lock": Scene("hold-lock CT AREA", note="holder"),
    "release-lock": Scene("release-lock CT AREA", after=("hold-lock CT AREA",)),
    "make-file": Scene("make-file AREA/new 0600", stdin="x\n", note="made/"),
    "make-dir": Scene("make-dir AREA/new 0700", note="made/"),
    "remove-made": Scene("remove-made AREA/new", after=("make-file AREA/new 0600",)),
    "remove-made-dir": Scene("remove-made AREA/new", after=("make-dir AREA/new 0700",)),
    "remove-made-tree": Scene("remove-made-tree AREA/new", after=("make-dir AREA/new 0700",)),
    "remove-made-that-is-another's": Scene(
        "remove-made AREA/new",
        f"mv new .vzplan-{RUN}-new; echo theirs >new",
        after=("make-file AREA/new 0600",),
    ),
    "remove-dir": Scene("remove-dir AREA/new", "mkdir new"),
    "rename-file": Scene("rename-file AREA/staged AREA/new -", STAGED),
    "rename-link": Scene("rename-file AREA/link AREA/new -", "ln -s nowhere link"),
    "hide-config": Scene(
        "hide-config CT AREA/root AREA/conf/CT.conf AREA/backup -", "echo A=1 >conf/CT.conf"
    ),
    "retire-area": Scene("retire-area CT AREA/private AREA/root AREA/aside", note="retiring"),
    "retire-dump": Scene(
        "retire-dump CT AREA/dumps/Dump.CT AREA/aside", "echo >dumps/Dump.CT", note="retiring-dump"
    ),
    "fence": Scene("fence AREA/conf/CT.conf -", "echo A=1 >conf/CT.conf", FENCE, "frozen"),
    "unfence": Scene("unfence AREA/conf/CT.conf", FENCED % "conf/CT.conf", FENCE),
    "name-config": Scene("name-config CT AREA/staged", STAGED, note="naming"),
    "name-config-half": Scene(
        "name-config CT AREA/staged", f"{STAGED}\n: >$run/naming; cp staged conf/CT.conf"
    ),
    "activate-config": Scene("activate-config CT AREA/staged", STAGED, FENCE, "naming"),
    "enable-container": Scene("enable-container CT AREA/staged", STAGED, FENCE, "out"),
    "bring-up": Scene(f"bring-up {UP} - AREA/staged", STAGED, note="out"),
    "bring-up-named": Scene(f"bring-up {UP} - -", note="out"),
    "bring-up-refused": Scene(
        f"bring-up {UP} - AREA/staged",
        f"{STAGED}\necho broken >state",
        note="out",
        says="refused",
        status=NOT_UP,
    ),
    "bring-up-unnamed": Scene(f"bring-up {UP} - AREA/staged", note="out", says="refused", status=NOT_UP),
    "enable-container-unnamed": Scene(
        "enable-container CT AREA/staged", stdin=FENCE, note="out", says="refused", status=NOT_UP
    ),
    "ensure-up": Scene(f"ensure-up {UP} -"),
    "ensure-up-with-memory": Scene(
        f"ensure-up {UP} -",
        "echo suspended >state; echo >$run/put-dump; echo >dumps/Dump.CT",
        note="taken",
        once=True,
    ),
    "ensure-up-with-memory-on-a-device": Scene(
        f"ensure-up {UP} -",
        "echo running >state; echo /dev/x identity AREA/room >$run/carrier; echo >$run/taken; echo >$run/put-dump",
    ),
    "ensure-up-killed": Scene(
        f"ensure-up {UP} AREA/file", "echo running >state; echo boot >$run/killing", says="taken"
    ),
    "ensure-up-anew": Scene(f"ensure-up {UP} -", "echo >$run/taken", note="anew"),
    "ensure-up-from-a-file": Scene(
        f"ensure-up {UP} AREA/file", "echo >file; echo >$run/written; echo >$run/dumped", note="taken"
    ),
    "ensure-up-undumped": Scene(
        f"ensure-up {UP} AREA/file", "echo frozen >state; : >$run/undumped", note="taken"
    ),
    "put-dump": Scene("put-dump AREA/copied AREA/dumps/Dump.CT", "echo >copied", note="put-dump"),
    "accept-dump": Scene("accept-dump AREA/dumps/Dump.CT", "echo >dumps/Dump.CT", says="put-dump"),
    "withdraw-dump": Scene(
        "withdraw-dump AREA/copied AREA/dumps/Dump.CT", "echo >$run/put-dump; echo >dumps/Dump.CT"
    ),
    "mount-dump": Scene(f"mount-dump {DEVICE} AREA/room clean CT", "mkdir room", says="carrier"),
    # That it would be mounted again after a power cut does no harm yet: until the sync it is nobody else's.
    "clear-dump": Scene(
        f"clear-dump {DEVICE} AREA/room CT",
        "echo >$run/carrier; echo >$run/put-dump; echo >room/Dump.CT",
        after=("make-dir AREA/room 0700",),
        loose="carrier",
        says="cleared",
    ),
    "void-dump": Scene(
        "void-dump AREA/dumps/Dump.CT", "echo >$run/taken; echo >$run/put-dump; echo >dumps/Dump.CT"
    ),
    "claim-empty": Scene(f"claim-empty AREA/empty {DEVICE}", "mkdir empty", says="claimed"),
    "empty-claimed": Scene(
        f"empty-claimed AREA/full {DEVICE}", "mkdir full; echo >full/file; : >mounts/full; echo >$run/claimed"
    ),
    "empty-claimed-elsewhere": Scene(
        f"empty-claimed AREA/full {DEVICE}", "mkdir full $run/mnt; echo >$run/claimed"
    ),
    "note-superblock": Scene(f"note-superblock {DEVICE}", says="superblock"),
    "mount-device": Scene(f"mount-device {DEVICE} AREA/private clean"),
    "mount-device-as-it-was-left": Scene(
        f"mount-device {DEVICE} AREA/private any", LEFT % "1" + "; echo >$run/dumped", note="back"
    ),
    "mount-device-not-as-it-was-left": Scene(
        f"mount-device {DEVICE} AREA/private any", LEFT % "0" + "; echo >$run/dumped", note="taken"
    ),
    "rename-file-of-what-comes-back": Scene(
        "rename-file AREA/conf/CT.conf.migrated AREA/conf/CT.conf -",
        LEFT % "0" + "; echo >$run/handed; echo A=1 >conf/CT.conf.migrated",
        note="left",
    ),
    "prove-released-as-it-was-left": Scene(
        f"prove-released {DEVICE}", LEFT % "1" + "; echo >$run/dumped", says="handed"
    ),
    "release-device": Scene(f"release-device {DEVICE} AREA/private", ": >mounts/private"),
    "release-unless-up": Scene(f"release-unless-up {DEVICE} AREA/private CT", ": >mounts/private"),
    "stop-container": Scene("stop-container CT AREA/private AREA/root", "echo running >state"),
    "suspend-container": Scene(
        "suspend-container CT AREA/private AREA/root AREA/dumps",
        "echo running >state",
        note="dumping",
        says="dumped",
    ),
    "freeze-container": Scene("freeze-container CT AREA/root", "echo running >state", note="freezing"),
    "dump-container": Scene(
        "dump-container CT AREA/root AREA/room/file",
        "echo frozen >state",
        note="writing",
        says="written",
        after=("make-dir AREA/room 0700",),
    ),
    "kill-container": Scene(
        "kill-container CT AREA/private AREA/root chkpnt AREA/file",
        "echo frozen >state; echo >file; echo >$run/written",
        note="killing",
        says="dumped",
    ),
    "undump-container": Scene(
        "undump-container CT AREA/private AREA/root - - AREA/dumps AREA/file", "echo >file", note="undumped"
    ),
    "copy-tree-first": Scene(
        "copy-tree CT AREA/private - - peer AREA/new - - first AREA/../rsh ''",
        says="copied-first",
        after=("make-dir AREA/new 0700",),
    ),
    "copy-tree": Scene(
        "copy-tree CT AREA/private - - peer AREA/new - - last AREA/../rsh ''",
        after=("make-dir AREA/new 0700",),
    ),
}
LOOKS: Final = {
    "guard-destination",
    "guard-source",
    "probe-pivot",
    "prove-frozen",
    "see-mounted",
}
"""Verbs that change nothing. (``guard-source`` notes how a disk reads, as ``note-superblock`` does.)"""


class Area:
    """An old node, in one of the shells, each change of which is written down."""

    def __init__(self, tmp: Path, patch: pytest.MonkeyPatch) -> None:
        """Not in the hands of the run yet."""
        self.here, self.tmp, self.path, self._trace = Here(SHELLS[0], tmp), tmp, tmp / "area", tmp / "trace"
        for folder in ("", "conf", "dumps", "mounts", "private", "root"):
            (self.path / folder).mkdir()
        (self.path / "private" / "file").write_text("x\n")
        (self.path / "state").write_text("stopped\n")
        self._tool(tmp / "rsh", LOCAL_RSH)
        tools = {name: str(shutil.which(name)) for name in ("find", "sha256sum")}
        self._tool(tmp / "look", LOOK.format(tmp=tmp, **tools))
        for name, text in MADE_UP.items():
            self._tool(tmp / "bin" / name, f"#!/bin/sh\n{text.format(area=self.path)}\n")
        (tmp / "traced").mkdir()
        for name in TRACED:
            real, trace = tmp / "bin" / name, self._trace
            text = STAND_IN.format(name=name, look=tmp / "look", trace=trace, real=real)
            self._tool(tmp / "traced" / name, text)
        library = verbs.library() + SEAM.format(area=self.path)
        patch.setattr(verbs, "library", lambda: library)
        self.node = self.session()

    @staticmethod
    def _tool(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def session(self, generation: int = 1) -> ShellNode:
        node = self.here.session(generation=generation)
        node._environment["PATH"] = f"{self.tmp}/traced:{node._environment['PATH']}"
        return node

    def named(self, text: str) -> str:
        return text.replace("AREA", str(self.path)).replace("CT", CTID)

    def files(self) -> Files:
        """As they are now."""
        return _files(subprocess.check_output([self.tmp / "look"], text=True).splitlines())

    def lay(self, scene: Scene) -> None:
        """What the verb finds."""
        for words in ("own CT", *scene.after) if scene.words != "own CT" else ():
            assert run(self.node, *shlex.split(self.named(words))) == Exited(0)
        script = f"set -e; run={self.here.folder}; {self.named(scene.before)}"
        subprocess.run(["/bin/sh", "-c", script], cwd=self.path, check=True)

    def traced(self, scene: Scene) -> list[Event]:
        """What the verb changes, program by program."""
        self._trace.write_text("")
        outcome = run(self.node, *shlex.split(self.named(scene.words)), stdin=scene.stdin)
        assert isinstance(outcome, Exited)
        assert outcome.status == scene.status, outcome
        parts = self._trace.read_text().split("\n=")
        heads = [tuple(part.partition("\n")[0].lstrip("=").split("\t")) for part in parts if part]
        looks = [*(_files(part.splitlines()[1:]) for part in parts if part), self.files()]
        return [
            Event(program, tuple(word.replace(f"{self.tmp}/", "") for word in words), before, after)
            for (program, *words), before, after in zip(heads, looks[:-1], looks[1:], strict=True)
        ]


def _files(lines: list[str]) -> Files:
    found = {}
    for line in lines:
        kind, rest = line.split(" ", 1)
        if len(kind) == 1:
            mode, rest = rest.split(" ", 1)
            path, _, leads = rest.partition(" -> ")
            found[path] = f"{kind} {mode} {leads}"
        else:
            found[rest.strip()] += kind
    return found


@pytest.fixture
def area(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Area]:
    place = Area(tmp_path, monkeypatch)
    yield place
    if (place.here.folder / "holder").exists() and not is_gone(place.here.holder):
        os.kill(place.here.holder, signal.SIGKILL)
    place.here.close()


def notes(files: Files, loose: str = "-") -> Files:
    """What the run has written down, which a later one goes by."""
    return {
        path: what
        for path, what in files.items()
        if path.startswith(FOLDER) and not SHORT_LIVED.fullmatch(path) and path != FOLDER + loose
    }


def others(files: Files, *, passing: bool = False) -> Files:
    """What is not the run's own: what notes speak of. ``passing``: with mounts, and what runs."""
    return {
        path: what
        for path, what in files.items()
        if path.startswith(("area/", "home/owners/")) and (passing or not SHORT_LIVED.fullmatch(path))
    }


class Disk:
    """What a power cut would leave; ``wrong``: where it takes a change back, or parts it from its note."""

    def __init__(self, files: Files, scene: Scene) -> None:
        """All of ``files`` is there."""
        self.files, self.scene, self.wrong = files, scene, list[str]()
        self._written: Files = {}  # by fsync; a name that it has since is not there yet
        self._half_named: set[str] = set()
        self._unmounted = False
        self._announced = not scene.note

    def see(self, event: Event) -> None:
        """The next program of the verb."""
        if event.program == "sync":
            self.files, self._unmounted, self._half_named = event.before, False, set()
        self._see_change(event)
        self._see_notes(event)
        match event.program:
            case "umount":
                self._unmounted = True
            case "dd":
                self._see_dd(event)
            case "mv" | "ln":
                self._see_name(event)
            case "rm" if self._half_named & set(event.words):
                self._is_wrong(event, "before its new name is on the disk")

    def _is_wrong(self, event: Event, why: str) -> None:
        self.wrong.append(f"'{event.line}' {why}")

    def _see_change(self, event: Event) -> None:
        before, after = others(event.before, passing=True), others(event.after, passing=True)
        if before == after:
            return
        if notes(event.before, self.scene.loose) != notes(self.files, self.scene.loose):
            self._is_wrong(event, "before all notes are on the disk")
        changed = [path for path, _ in before.items() ^ after.items()]
        if not self._announced and not all("/.vzplan-" in path for path in changed):
            self._announced = True
            if not any(path.startswith(FOLDER + self.scene.note) for path in notes(self.files)):
                self._is_wrong(event, f"before {self.scene.note} is on the disk")

    def _see_notes(self, event: Event) -> None:
        before, after = notes(event.before), notes(event.after)
        if others(event.before) == others(self.files):
            return
        if before.keys() - after.keys() - {FOLDER + self.scene.loose}:
            self._is_wrong(event, "forgets what is not on the disk")
        if self.scene.says and FOLDER + self.scene.says in after.keys() - before.keys():
            self._is_wrong(event, "says what is not on the disk")

    def _see_dd(self, event: Event) -> None:
        path = next(word for word in event.words if word.startswith("of="))[3:]
        if not any(re.fullmatch("conv=(.*,)?fsync", word) for word in event.words):
            self._is_wrong(event, "without fsync")
        elif "oflag=append" not in event.words:
            self._written[path] = event.after[path]
        elif path in self.files:
            self.files = {**self.files, path: event.after[path]}

    def _see_name(self, event: Event) -> None:
        path, what = event.words[-2], event.before.get(event.words[-2], "")
        if what.startswith("f") and what not in (self.files.get(path), self._written.get(path)):
            self._is_wrong(event, "before what is in it is on the disk")
        # By what a thing is known on the disk: what has only just been renamed is not known there by its new name, and
        # what has only just got a second one not by that. What lies beside is made once more.
        if event.program == "mv" or "/.vzplan-" not in path:
            self._half_named.add(event.words[-1] if event.program == "mv" else path)

    def see_end(self, files: Files) -> None:
        """The verb has ended, and has left this."""
        if self._unmounted:
            self.wrong.append("the unmount is not synced")
        if self.scene.says and FOLDER + self.scene.says not in self.files:
            self.wrong.append(f"nothing says {self.scene.says}")
        self.wrong += sorted(
            f"a power cut changes {path}"
            for path in files.keys() | self.files.keys()
            if files.get(path) != self.files.get(path) and not SHORT_LIVED.fullmatch(path)
        )


def lost(events: list[Event], on_disk: Files, scene: Scene) -> list[str]:
    """What a power cut could do to a verb that did this."""
    disk = Disk(on_disk, scene)
    for event in events:
        disk.see(event)
    disk.see_end(events[-1].after)
    return disk.wrong


def test_every_verb_that_changes_something_is_tried() -> None:
    assert {scene.words.split()[0] for scene in SCENES.values()} == set(VERBS) - LOOKS


@pytest.mark.parametrize("name", SCENES)
def test_what_a_verb_has_done_and_noted_outlasts_a_power_cut(area: Area, name: str) -> None:
    scene = SCENES[name]
    area.lay(scene)
    on_disk = area.files()
    assert lost(area.traced(scene), on_disk, scene) == []
    # And if it is repeated: the try before may have failed just before its sync.
    if scene.once:
        on_disk = area.files()
    on_disk = {path: what for path, what in on_disk.items() if path not in notes(on_disk)} | notes(
        area.files()
    )
    assert lost(area.traced(scene), on_disk, scene._replace(note="")) == []


def test_a_claim_is_forgotten_once_what_was_claimed_is_empty_on_the_disk_and_unmounted(area: Area) -> None:
    area.lay(SCENES["empty-claimed-elsewhere"])
    events = area.traced(SCENES["empty-claimed-elsewhere"])
    order = [event.line for event in events if event.program in ("mount", "umount", "sync", "rm", "rmdir")]
    mnt, claimed = f"{FOLDER}mnt", f"rm -f {FOLDER}claimed"
    assert order == [f"mount /dev/x {mnt}", "sync ", f"umount -- {mnt}", f"rmdir -- {mnt}", claimed, "sync "]


def test_what_a_node_knows_of_a_controller_is_whole_before_it_counts(area: Area) -> None:
    """A session is let in by both; the boot goes first, so that no generation stands beside that of another."""
    area.lay(SCENES["settle"])
    (area.here.folder / "boot").write_text("another boot\n")
    area.node = area.session(generation=2)
    named = [event.words[-1] for event in area.traced(SCENES["settle"]) if event.program == "mv"]
    assert named == [f"{FOLDER}boot", f"{FOLDER}generation"]


def test_a_lock_that_nobody_holds_any_more_is_forgotten_before_its_holder(area: Area) -> None:
    """By a lock of an older number nobody could tell that it was this run's."""
    area.lay(Scene("hold-lock CT AREA", f"echo {NOBODY} 1 >$run/holder; echo {NOBODY} >CT.lck"))
    events = area.traced(SCENES["hold-lock"])
    order = [e.line for e in events if e.program in ("rm", "sync", "mv") and f"{FOLDER}go" not in e.words]
    assert order[:3] == [f"rm -f area/{CTID}.lck", "sync ", f"mv -f {FOLDER}holder.new {FOLDER}holder"]
