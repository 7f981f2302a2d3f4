"""Two real "hardware nodes" on one machine, for tests that need a kernel, ssh, mounts and processes to be real.

A node is a PID, mount and UTS namespace with a root, disks, /dev and sshd of its own. Nothing of the machine's own is
changed, and nothing stays behind, however the test run ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.sandbox import kernel, supervisor
from tests.sandbox.supervisor import CTID, NAMES, SandboxError, Spec

REPOSITORY: Final = Path(__file__).resolve().parents[2]
TOOLS: Final = (
    "blkid",
    "blockdev",
    "dumpe2fs",
    "flock",
    "losetup",
    "mke2fs",
    "mkfs.btrfs",
    "mkfs.xfs",
    "nsenter",
    "rsync",
    "setsid",
    "ssh",
)
SBIN_TOOLS: Final = ("/usr/sbin/sshd", "/bin/busybox")
NEVER_COMPARED: Final = ("counter", "tokens", "lost+found")
SAID_TWICE: Final = "trusted.SGI_ACL_"
"""How the names begin under which xfs lists ACLs once more."""
LOG: Final = "log"
"""In a sandbox's folder: what the supervisor of one that stays complains of."""
HOLDER: Final = "sleep 2147483647"
BUSY: Final = "sleep 2147483646"
NEVER_S: Final = 120
"""What has not come after so long will not come, on the slowest machine."""


def why_not() -> str | None:
    """Why no sandbox can be made here, or None if one can."""
    if os.geteuid() != 0:
        return "the sandbox needs root: namespaces, mounts and loop devices"
    path = f"{os.environ.get('PATH', '')}:{supervisor.PATH}"
    missing = [tool for tool in TOOLS if shutil.which(tool, path=path) is None]
    missing += [tool for tool in SBIN_TOOLS if not os.access(tool, os.X_OK)]
    if not Path("/dev/loop-control").exists():
        missing.append("/dev/loop-control")
    return f"the sandbox needs {', '.join(missing)}" if missing else None


IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108 # only to be looked at; the folder in it is this user's
ROOM_BYTES: Final = 2 << 30
"""A sandbox takes some 100 MB; several run beside each other."""


def base_folder() -> Path:
    """Where this user's sandboxes are; made if it is not there.

    In memory, if there is room: no power is cut here, and every sync would wait for the machine's own disk.
    """
    roomy = IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).total >= ROOM_BYTES
    folder = (IN_MEMORY if roomy else Path(tempfile.gettempdir())) / f"vzplan-sandbox-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise SandboxError(f"{folder} is not a folder that only this user can enter")
    return folder


@dataclass(frozen=True)
class Node:
    """One hardware node since its last boot. ``pid`` is its init, as seen from outside; 0 while it has no power."""

    name: str
    pid: int

    def sh(self, script: str, *, check: bool = True) -> str:
        """Run a script as root on the node, past its network, and give what it prints.

        Raises:
            SandboxError: it ended with another status than 0, and ``check`` is set; or the node has no power.
        """
        return supervisor.inside(self.pid, script, check=check)

    def path(self, path: str) -> Path:
        """A file of the node, as it can be opened from outside.

        Raises:
            SandboxError: the node has no power.
        """
        if not self.pid:
            raise SandboxError(f"{self.name} has no power")
        return Path(f"/proc/{self.pid}/root") / path.lstrip("/")


class Sandbox:
    """Both nodes, as a context; ``up`` makes one that stays after this process."""

    def __init__(
        self,
        world: str = "shared",
        *,
        running: bool = True,
        vz_mb: int = Spec.vz_mb,
        spare: str = Spec.spare,
        lun_mb: int = Spec.lun_mb,
    ) -> None:
        """``world``: "shared" or "san"; ``running``: container 123 at the start; ``vz_mb``: room on hn2.

        ``spare``: the type of the spare disk's filesystem; ``lun_mb``: size of the disks that both see.
        """
        if world not in ("shared", "san"):
            raise ValueError(f"{world!r} is not a world: shared or san")
        self._spec = Spec(world, running, vz_mb, spare, lun_mb)
        self._process: subprocess.Popen[str] | None = None
        self.folder = Path()
        self.hn1 = Node("hn1", 0)
        self.hn2 = Node("hn2", 0)

    @property
    def ssh_config(self) -> Path:
        """For ``ssh -F``: knows hn1 and hn2, their ports, keys and host keys."""
        return self.folder / "ssh_config"

    @property
    def nodes(self) -> tuple[Node, Node]:
        """Both nodes."""
        return self.hn1, self.hn2

    @property
    def supervisor_pid(self) -> int:
        """The process that everything of this sandbox hangs on."""
        return _supervisor(self.folder)[0]

    def up(self, *, stays: bool = False) -> Self:
        """Make the nodes; if it ``stays``, until ``take_down``, else no longer than this process lives.

        Raises:
            SandboxError: a node did not come up; says what it said. Nothing is left.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="box-", dir=base_folder()))
        try:
            with (self.folder / LOG).open("w") as log:
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "tests.sandbox",
                        "serve",
                        str(self.folder),
                        json.dumps(asdict(self._spec)),
                        *(["--stays"] if stays else []),
                    ],
                    stdin=subprocess.DEVNULL if stays else subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    # What stays must not hold what its caller writes to: "make sandbox 2>&1 | tail" would never end.
                    stderr=log if stays else None,
                    text=True,
                    cwd=REPOSITORY,
                    start_new_session=True,
                )
        except BaseException:
            shutil.rmtree(self.folder)
            raise
        start = kernel.start_time(self._process.pid)
        (self.folder / "supervisor").write_text(f"{self._process.pid} {start}\n")
        assert self._process.stdout is not None
        with self._process.stdout as output:
            said = output.read()
        if said != "ready\n":
            self._let_go()
            raise SandboxError(said or "the supervisor ended")
        states = supervisor.read_state(self.folder)
        self.hn1, self.hn2 = (Node(name, states[name].pid) for name in NAMES)
        return self

    def down(self) -> None:
        """Take everything down and see that nothing is left.

        Raises:
            SandboxError: something is left; says what.
        """
        self._let_go()
        take_down(self.folder)

    def power_cut(self, name: str) -> None:
        """The node is off from now on: all in it is gone, and what was not synced is lost, renames too."""
        supervisor.ask_power(self.folder, "cut", name)
        setattr(self, name, Node(name, 0))

    def boot(self, name: str) -> None:
        """Give a node its power back; returns once it has started what it starts at boot, and its sshd is there."""
        supervisor.ask_power(self.folder, "boot", name)
        setattr(self, name, Node(name, supervisor.read_node(self.folder, name).pid))

    def reboot(self, name: str) -> None:
        """A power cut, and at once a boot."""
        self.power_cut(name)
        self.boot(name)

    def _let_go(self) -> None:
        """Let the life line end, and the supervisor with it."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()

    def __enter__(self) -> Self:
        """Make the nodes."""
        return self.up()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, where: TracebackType | None
    ) -> None:
        """Take the nodes down."""
        self.down()


def sandboxes() -> list[Path]:
    """The folders of all sandboxes of this user, living or left by a killed run."""
    return sorted(path for path in base_folder().glob("box-*") if path.is_dir())


def take_down(folder: Path) -> None:
    """End the sandbox in ``folder``, whatever state it is in; doing it again changes nothing.

    Raises:
        SandboxError: something is left; says what.
    """
    if not folder.exists():
        return
    _end(*_supervisor(folder), signal.SIGTERM)
    if folder.exists():  # its supervisor had been killed
        for name in NAMES:
            try:
                state = supervisor.read_node(folder, name)
            except FileNotFoundError:
                continue  # it never came so far
            _end(state.pid, state.start, signal.SIGKILL)
        supervisor.remove(folder)


def cut_network(node: Node) -> None:
    """From now on nobody reaches the node: its sshd and all sessions are ended. What they had started goes on."""
    # Ended in one go after all were stopped, so that none can take in another connection meanwhile.
    pids = node.sh(
        'pids=; for f in /proc/[0-9]*/comm; do case $(cat "$f" 2>/dev/null) in'
        ' sshd*) p=${f%/comm}; pids="$pids ${p#/proc/}";; esac; done; '
        '[ -z "$pids" ] || kill -s STOP $pids; echo $pids'
    )
    node.sh(f"for p in {pids.strip()}; do kill -s KILL $p 2>/dev/null; done; true")


def restore_network(node: Node) -> None:
    """The node can be reached again."""
    node.sh("/usr/sbin/sshd -f /etc/ssh/node.conf -E /var/log/sshd.log")


def make_busy(node: Node, path: str) -> int:
    """A process on the node that stands in ``path``, so that it cannot be unmounted; gives its PID there."""
    return int(node.sh(f"cd '{path}' || exit 1; setsid {BUSY} </dev/null >/dev/null 2>&1 & echo $!").strip())


def end_busy(node: Node, pid: int) -> None:
    """End what ``make_busy`` started; returns once it stands nowhere."""
    node.sh(f"kill -s KILL {pid}")
    until(lambda: not node.sh(f"readlink /proc/{pid}/cwd", check=False), node)


def until(true: Callable[[], bool], *seen_from: Node) -> None:
    """Wait for what nobody announces, on these nodes.

    Raises:
        SandboxError: it does not come; says what goes on there. Only for what will never come: no test is about time.
    """
    deadline = time.monotonic() + NEVER_S
    while not true():
        if time.monotonic() > deadline:
            look = "vzlist -a; ls -l /vz/lock; head /vz/lock/*; ps -eo pid,stat,args; cat /proc/self/mounts"
            there = [f"{node.name}:\n{node.sh(look, check=False)}" for node in seen_from if node.pid]
            raise SandboxError("\n".join([f"it did not come in {NEVER_S} s", *there]))
        time.sleep(0.02)


def counter(node: Node, path: str) -> list[int]:
    """What a container's init has counted so far, given its private area or root; see ``node/init.sh`` for zeros."""
    try:
        return [int(line) for line in node.path(f"{path}/counter").read_text().replace("\0", "").splitlines()]
    except FileNotFoundError:
        return []


def assert_counts_on(node: Node, path: str) -> None:
    """All that it has counted is there, once, and it goes on from there."""
    seen = counter(node, path)
    until(lambda: len(counter(node, path)) > len(seen), node)
    numbers = counter(node, path)
    assert numbers == list(range(1, len(numbers) + 1))


def tree_hash(node: Node, path: str) -> str:
    """A hash over everything under ``path`` that a copy must keep, save what the container itself counts.

    Owners, modes, extended attributes with ACLs, groups of hard links, targets of links, device numbers, sizes, times
    in nanoseconds and contents. The top counts without its time.
    """
    top = node.path(path)
    links: dict[tuple[int, int], bytes] = {}
    total = hashlib.sha256()
    for full in _walk(top):
        name = os.fsencode(full.relative_to(top))
        found = full.lstat()
        fields = [name, f"{found.st_mode:o} {found.st_uid}:{found.st_gid} {found.st_rdev}".encode()]
        if full != top:  # the container makes /counter in the top
            fields.append(str(found.st_mtime_ns).encode())
        for key in sorted(os.listxattr(full, follow_symlinks=False)):
            if key.startswith(SAID_TWICE):
                continue
            fields += [key.encode(), os.getxattr(full, key, follow_symlinks=False)]
        if stat.S_ISLNK(found.st_mode):
            fields.append(os.fsencode(full.readlink()))
        elif stat.S_ISREG(found.st_mode):
            fields += [str(found.st_size).encode(), hashlib.sha256(full.read_bytes()).digest()]
        if not stat.S_ISDIR(found.st_mode):
            fields.append(links.setdefault((found.st_dev, found.st_ino), name))
        for field in fields:
            total.update(b"%d:" % len(field) + field)
    return total.hexdigest()


def leftovers(box: Sandbox) -> list[str]:
    """What a finished run must not leave on the nodes: locks, records, files and processes of its own, mounts.

    Journals and verdicts are a controller's, which may be at work on a node.
    """
    found = []
    for node in box.nodes:
        lines = node.sh(LOOK_FOR_LEFTOVERS).splitlines()
        found += [f"{node.name}: {line}" for line in lines]
    return found


LOOK_FOR_LEFTOVERS: Final = f"""
for f in /vz/lock/*; do [ -e "$f" ] && echo "lock $f"; done
(cd /var/lib/vzplan && find . -mindepth 1 \\( -path ./runs -o -path ./verdicts \\) -prune -o -print) |
    sed 's|^[.]|record /var/lib/vzplan|'
find /vz /etc/vz -name '*.vzplan*' | sed 's/^/file /'
for f in /proc/[0-9]*/cmdline; do
    [ "$(tr '\\0' ' ' <"$f" 2>/dev/null)" = '{HOLDER} ' ] && echo "process $f"
done
awk '{{ print $5 }}' /proc/self/mountinfo | while read -r point; do
    grep -q -x -F -e "$point" /usr/lib/node/mounts && continue
    case $point in
        /vz/root/*[!0-9]* | /vz/private/*[!0-9]*) ;;
        /vz/root/* | /vz/private/*)
            case $(/usr/lib/node/vzctl status "${{point##*/}}") in *" exist mounted "*) continue ;; esac ;;
    esac
    echo "mount $point"
done
true
"""


def _walk(top: Path) -> Iterator[Path]:
    waiting = [top]
    while waiting:
        path = waiting.pop()
        yield path
        if stat.S_ISDIR(path.lstat().st_mode):
            found = sorted(path.iterdir(), reverse=True)
            waiting += [entry for entry in found if path != top or entry.name not in NEVER_COMPARED]


def _supervisor(folder: Path) -> tuple[int, int]:
    try:
        pid, start = (folder / "supervisor").read_text().split()
    except (FileNotFoundError, ValueError):
        return 0, 0
    return int(pid), int(start)


def _end(pid: int, start: int, number: int) -> None:
    """Signal exactly that process and wait until it is gone."""
    try:
        handle = os.pidfd_open(pid) if pid else -1
    except ProcessLookupError:
        return
    if handle < 0:
        return
    try:
        # Looked at after it was opened: the descriptor cannot come to mean another process.
        if kernel.start_time(pid) == start:
            signal.pidfd_send_signal(handle, number)
            if not _ended(handle):
                raise SandboxError(f"process {pid} does not end")
    finally:
        os.close(handle)


def _ended(handle: int) -> bool:
    return bool(select.select([handle], [], [], supervisor.GONE_S * 3)[0])


def summary(box: Sandbox) -> str:
    """How to use a sandbox from a terminal."""
    config = box.ssh_config
    options = f'--from hn1 --ssh "-F {config}"'
    state = f"VZPLAN_STATE={box.folder}/state"
    flags = "" if box._spec.world == "san" else " --dst-device /dev/sdg1 --install-hooks"
    carrier = " --dump-device /dev/sdb1" if box._spec.world == "san" else " --precopy auto"
    return (
        f"Two nodes, hn1 and hn2; container {CTID} is on hn1. An ssh config for them: {config}\n\n"
        f"  ssh -F {config} hn1 vzlist -a\n"
        f"  .venv/bin/vzplan show {CTID} hn2 {options}\n"
        f"  {state} .venv/bin/vzplan apply {CTID} hn2 {options}\n"
        f"  .venv/bin/vzplan show {CTID} hn2 {options}{flags or ' --dst-shared'}\n"
        f"  .venv/bin/vzplan show {CTID} hn2 {options} --online{carrier}\n"
        f"  {state} .venv/bin/vzplan runs\n"
        "  make sandbox-down\n"
    )
