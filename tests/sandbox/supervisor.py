"""The process that owns a sandbox: makes both nodes, waits, and takes everything down again.

The nodes are its children and die with it, whatever kills it; mounts go with their namespaces, loop devices clear
themselves. It ends when its life line (standard input of whoever wanted the sandbox) ends, or by SIGTERM. Until then it
takes the power from a node, and gives it back, when asked to on its socket.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NoReturn

from tests.sandbox import kernel, population

ADDRESSES: Final = {"hn1": "127.0.0.2", "hn2": "127.0.0.3"}
NAMES: Final = tuple(ADDRESSES)
BYSTANDERS: Final = {"hn1": 101, "hn2": 202}
CTID: Final = 123
BOOT_S: Final = 60
GONE_S: Final = 20
SOCKET: Final = "power"
DONE: Final = b"done"
PATH: Final = "/sbin:/usr/sbin:/bin:/usr/bin"


class SandboxError(Exception):
    """The sandbox cannot be made, asked or taken down; says what and why."""


@dataclass(frozen=True)
class Spec:
    """What is wanted."""

    world: str = "shared"
    running: bool = True
    vz_mb: int = 256
    """Size of hn2's /vz; hn1's has room for what is to be moved."""
    spare: str = "ext4"
    """What the spare disk is made with: a name of ``MAKERS``."""
    lun_mb: int = 96
    """Size of the disks that both nodes see; their files are sparse."""


@dataclass(frozen=True)
class Lun:
    """A disk that both nodes see, each through a loop device of its own and under a name of its own."""

    name: str
    wwid: str
    seen_as: tuple[str, str]

    def image(self, folder: Path) -> Path:
        """The file behind it."""
        return folder / f"{self.name}.img"


LUNS: Final = (
    Lun("lun", "3600508b4000971f0", ("sda1", "sdm1")),
    Lun("spare", "3600508b4000971f1", ("sdb1", "sdg1")),
)
"""The container's disk in world "san", and an empty one to copy to. Both exist in every world."""


@dataclass(frozen=True)
class Maker:
    """How a filesystem is made, and the size below which it cannot be."""

    argv: tuple[str, ...]
    least_mb: int = 0


MAKERS: Final = {
    "ext4": Maker(("mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-U")),
    "xfs": Maker(("mkfs.xfs", "-q", "-f", "-m"), 320),
    "btrfs": Maker(("mkfs.btrfs", "-q", "-f", "-U"), 128),
}
"""By type; the last word takes the UUID."""


@dataclass(frozen=True)
class NodeState:
    """A node as others find it since its last boot: its init as seen from outside, and where its sshd listens."""

    name: str
    pid: int
    start: int
    address: str
    port: int


def serve(folder: Path, spec: Spec, lifeline: int | None) -> int:
    """Make the sandbox in ``folder``, say "ready" or why not on standard output, and keep it until the end."""
    stop_read, stop_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(stop_write)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    status = 0
    nodes: dict[str, _Booted] = {}
    ends = {stop_read} if lifeline is None else {stop_read, lifeline}
    with socket.socket(socket.AF_UNIX) as power:
        try:
            _prepare(folder, spec)
            power.bind(str(folder / SOCKET))
            power.listen()
            for name in NAMES:
                nodes[name] = _boot(folder, name)
            for node in nodes.values():
                node.wait_until_ready()
            _populate(spec, *(nodes[name].state for name in NAMES))
            _say("ready")
            while ends.isdisjoint(select.select([power.fileno(), *ends], [], [])[0]):
                _serve_one(power, folder, nodes)
        except Exception:  # noqa: BLE001 # whatever it is: it is reported, and everything is taken down
            status = 1
            _say("failed\n" + traceback.format_exc())
    for node in nodes.values():
        node.end()
    remove(folder)
    return status


def _serve_one(power: socket.socket, folder: Path, nodes: dict[str, _Booted]) -> None:
    """One request, "cut NODE" or "boot NODE"; the answer is "done", or says what went wrong."""
    asking, _ = power.accept()
    with asking, suppress(ConnectionError):  # whoever asked may be gone: what was begun is done all the same
        try:
            verb, name = asking.recv(64).decode().split()
            (_cut if verb == "cut" else _give_power)(folder, name, nodes)
            asking.sendall(DONE)
        except Exception:  # noqa: BLE001 # whatever it is: whoever asked is told, the sandbox is kept
            asking.sendall(traceback.format_exc().encode())


def _cut(folder: Path, name: str, nodes: dict[str, _Booted]) -> None:
    """A power cut: an end at one instant, that writes out nothing."""
    if name not in nodes:
        raise SandboxError(f"{name} has no power")
    node = nodes[name]
    node.stop()
    for minor in filter(kernel.unwritten, node.loops):
        _forget_unwritten(minor, folder / name / "disk")
    nodes.pop(name).end()
    files = [Path(f"/sys/block/loop{minor}/loop/backing_file") for minor in node.loops]
    _until_gone(lambda: [path for path in files if _first_line(path).startswith(f"{folder}/")])


def _give_power(folder: Path, name: str, nodes: dict[str, _Booted]) -> None:
    if name in nodes:
        raise SandboxError(f"{name} has power")
    nodes[name] = _boot(folder, name)
    nodes[name].wait_until_ready()


def ask_power(folder: Path, verb: str, name: str) -> None:
    """Have the supervisor of the sandbox in ``folder`` "cut" a node's power, or "boot" it; returns once that is done.

    Raises:
        SandboxError: it was not done; says why.
    """
    with socket.socket(socket.AF_UNIX) as power:
        try:
            power.connect(str(folder / SOCKET))
            power.sendall(f"{verb} {name}".encode())
            said = b"".join(iter(lambda: power.recv(65536), b""))
        except OSError as problem:
            said = str(problem).encode()
    if said != DONE:
        raise SandboxError(f"{verb} {name}: {said.decode(errors='replace') or 'the supervisor is gone'}")


def _prepare(folder: Path, spec: Spec) -> None:
    """Write what must be there before the nodes are: keys, ssh's configs, images, what is laid over each root.

    ``seed`` is laid once, on the node's disk; ``each`` at each boot, on what is new then.
    """
    ports = {name: _free_port(address) for name, address in ADDRESSES.items()}
    for key in ("key", "host_key"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "sandbox", "-f", str(folder / key))
    public = (folder / "host_key.pub").read_text()
    known = "".join(f"[{address}]:{ports[name]} {public}" for name, address in ADDRESSES.items())
    population.write(folder / "known_hosts", known, 0o600)
    population.write(folder / "ssh_config", _ssh_config(ports, str(folder)), 0o600)
    for lun, kind in zip(LUNS, ("ext4", spec.spare), strict=True):
        _make_image(lun.image(folder), max(spec.lun_mb, MAKERS[kind].least_mb), kind)
    for name, address in ADDRESSES.items():
        home = folder / name
        seed, each = home / "seed", home / "each"
        (home / "disk").mkdir(parents=True)
        population.lay_stand_ins(seed)
        device = "/dev/sda1" if spec.world == "san" else None
        configs = {BYSTANDERS[name]: population.config(f"mail{BYSTANDERS[name]}")}
        if name == "hn1":
            configs[CTID] = population.config("web1", name="web1", device=device)
        population.lay_vz(seed, configs, hooks=spec.world == "san")
        population.write(seed / "etc/shadow", "root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n", 0o600)
        population.write(seed / "etc/hostname", f"{name}\n")
        population.write(each / "etc/ssh/node.conf", _sshd_config(address, ports[name]))
        population.write(each / "etc/ssh/authorized_keys", (folder / "key.pub").read_text(), 0o600)
        population.write(each / "etc/ssh/host_key", (folder / "host_key").read_text(), 0o600)
        population.write(each / "root/.ssh/config", _ssh_config(ports, "/root/.ssh"), 0o600)
        population.write(each / "root/.ssh/key", (folder / "key").read_text(), 0o600)
        population.write(each / "root/.ssh/known_hosts", known, 0o600)
        (each / "root").chmod(0o700)
        (each / "root/.ssh").chmod(0o700)
        by_id = each / "dev/disk/by-id"
        by_id.mkdir(parents=True)
        for lun in LUNS:
            (by_id / f"wwn-0x{lun.wwid[1:]}").symlink_to(f"../../{lun.seen_as[NAMES.index(name)]}")
        _make_image(home / "disk.img", 512)
        _make_image(home / "vz.img", spec.vz_mb if name == "hn2" else Spec.vz_mb)
    population.write(folder / "ports.json", json.dumps(ports), 0o600)


def remove(folder: Path) -> None:
    """Delete a sandbox's folder once nothing of it lives.

    Raises:
        SandboxError: a loop device or a mount of it is still there; nothing was deleted.
    """
    _until_gone(lambda: _still_there(folder))
    shutil.rmtree(folder, ignore_errors=False)


def read_state(folder: Path) -> dict[str, NodeState]:
    """The nodes of a running sandbox by name."""
    return {name: read_node(folder, name) for name in NAMES}


def read_node(folder: Path, name: str) -> NodeState:
    """One node of a sandbox; FileNotFoundError if it was never started."""
    return NodeState(**json.loads((folder / name / "state.json").read_text()))


def inside(pid: int, script: str, *, check: bool = True) -> str:
    """Run a script as root in the node whose init has this PID.

    Raises:
        SandboxError: the script ended with another status than 0, and ``check`` is set; or the node has no power.
    """
    if not pid:
        raise SandboxError(f"{script!r}: the node has no power")
    done = subprocess.run(
        [
            "nsenter",
            f"--target={pid}",
            "--mount",
            "--pid",
            "--uts",
            "--root",
            "--wd",
            "/bin/sh",
            "-c",
            script,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={"PATH": PATH, "LC_ALL": "C", "HOME": "/root"},
        check=False,
    )
    said = done.stdout.decode(errors="surrogateescape")
    if check and done.returncode != 0:
        told = done.stderr.decode(errors="replace").strip()
        raise SandboxError(f"{script!r}: exit status {done.returncode}: {told} {said.strip()}")
    return said


# --- one node -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Booted:
    state: NodeState
    console: int
    lifeline: int
    loops: tuple[int, ...]

    def wait_until_ready(self) -> None:
        said = b""
        until = time.monotonic() + BOOT_S
        while not said.endswith(b"ready\n"):
            readable, _, _ = select.select([self.console], [], [], max(0.0, until - time.monotonic()))
            data = os.read(self.console, 65536) if readable else b""
            if not data:
                raise SandboxError(f"{self.state.name} did not come up: {said.decode(errors='replace')}")
            said += data

    def end(self) -> None:
        """Its init is ended, and with it everything in the node; returns when all of it is gone."""
        os.close(self.lifeline)
        with suppress(ProcessLookupError):
            os.kill(self.state.pid, signal.SIGKILL)
        os.waitpid(self.state.pid, 0)
        os.close(self.console)

    def stop(self) -> None:
        """Stop all its processes: from now on none of them writes, or answers anybody."""
        space = str(Path(f"/proc/{self.state.pid}/ns/pid").readlink())

        def stopped() -> list[int]:
            running = [pid for pid, state in kernel.processes(space) if state not in "TtZX"]
            for pid in running:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            return running

        _until_gone(stopped)


def _forget_unwritten(minor: int, at: Path) -> None:
    """See ``kernel``; in a process of its own, whose mount namespace ends with it."""
    pid = os.fork()
    if pid == 0:
        try:
            kernel.die_with_parent()
            machine = _namespace("mnt")
            kernel.unshare(kernel.CLONE_NEWNS)
            if _namespace("mnt") == machine:
                os._exit(2)
            kernel.forget_unwritten(minor, at)
            os._exit(0)
        except BaseException:  # noqa: BLE001 # a forked copy of the supervisor must never go on as one
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status != 0:
        raise SandboxError(f"/dev/loop{minor} could not be made to forget what is not written: {status}")


def _boot(folder: Path, name: str) -> _Booted:
    port: int = json.loads((folder / "ports.json").read_text())[name]
    index, home = NAMES.index(name), folder / name
    images = {"vda1": home / "disk.img", "vda2": home / "vz.img"}
    images |= {lun.seen_as[index]: lun.image(folder) for lun in LUNS}
    devices = {known_as: kernel.attach_loop(image) for known_as, image in images.items()}
    _lay_devices(home / "each", index, {known_as: minor for known_as, (_, minor) in devices.items()}, images)
    life_read, life_write = os.pipe2(os.O_CLOEXEC)
    console_read, console_write = os.pipe2(os.O_CLOEXEC)
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    kernel.unshare(kernel.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        os.close(life_write)
        os.close(console_read)
        _become_init(folder, name, devices, life_read, console_write)
    kernel.enter(own, kernel.CLONE_NEWPID)
    for descriptor in (own, life_read, console_write, *(descriptor for descriptor, _ in devices.values())):
        os.close(descriptor)
    start = kernel.start_time(pid)
    if start is None:
        raise SandboxError(f"{name} ended at once")
    state = NodeState(name, pid, start, ADDRESSES[name], port)
    population.write(folder / name / "state.json", json.dumps(asdict(state)), 0o600)
    return _Booted(state, console_read, life_write, tuple(minor for _, minor in devices.values()))


def _become_init(
    folder: Path, name: str, devices: dict[str, tuple[int, int]], lifeline: int, console: int
) -> NoReturn:
    """In the new node's first process: become its boot script, with its disks open."""
    try:
        kernel.die_with_parent()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        index = NAMES.index(name)
        home = folder / name
        # After the disks: a loop device holds the mount through which its file was opened, and the node lets go of it.
        machine = {kind: _namespace(kind) for kind in ("mnt", "uts")}
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS)
        # The boot script moves the root of its mount namespace: in the machine's own that would take all along.
        if any(_namespace(kind) == before for kind, before in machine.items()):
            raise SandboxError(f"{name} has no namespaces of its own")  # noqa: TRY301 # reported just below
        socket.sethostname(name)
        shared = [lun.seen_as[index] for lun in LUNS]
        keep = [lifeline, console, *(devices[known_as][0] for known_as in shared)]
        keep += [descriptor for known_as, (descriptor, _) in devices.items() if known_as not in shared]
        high = [os.dup2(descriptor, 100 + place, inheritable=False) for place, descriptor in enumerate(keep)]
        for place, descriptor in enumerate(high):
            os.dup2(descriptor, 3 + place)
        table = "\n".join(
            f"{known_as} {kernel.LOOP_MAJOR} {minor}" for known_as, (_, minor) in devices.items()
        )
        environment = {
            "PATH": PATH,
            "LC_ALL": "C",
            "NODE": name,
            "MACHINE": machine["mnt"],
            "FOLDER": str(home),
            "DISK": f"/dev/loop{devices['vda1'][1]}",
            "DEVICES": table,
            "SHARED": " ".join(shared),
            "LAST_PID": str(_last_pid(home / "boots")),
        }
        os.execve("/bin/sh", ["sh", str(home / "seed/usr/lib/node/boot.sh")], environment)
    except BaseException:  # noqa: BLE001 # a forked copy of the supervisor must never go on as one
        os.write(console, traceback.format_exc().encode())
        os._exit(1)


def _last_pid(boots: Path) -> int:
    """After which number the next boot's processes begin, which ``boots`` counts: each boot's in a range of its own.

    Else each would give the same numbers to the same processes, in the same order, and a lock that names one would
    always seem to be held after a power cut: vzctl looks only whether there is a process with that number.
    """
    count = int(boots.read_text()) + 1 if boots.exists() else 1
    population.write(boots, str(count))
    return 1000 + count * 2000 % 30000


def _namespace(kind: str) -> str:
    """The identity of one of this process's namespaces, as the kernel names it."""
    return str(Path(f"/proc/self/ns/{kind}").readlink())


def _lay_devices(each: Path, index: int, minors: dict[str, int], images: dict[str, Path]) -> None:
    """What differs from boot to boot: tables that give devices their names and shared ones an identity; the boot id."""
    wwids = "".join(f"{kernel.LOOP_MAJOR:x}:{minors[lun.seen_as[index]]:x} {lun.wwid}\n" for lun in LUNS)
    rows = "".join(
        f"{kernel.LOOP_MAJOR:4}  {minor:7} {images[known_as].stat().st_size // 1024:10} {known_as}\n"
        for known_as, minor in minors.items()
    )
    population.write(each / "usr/lib/node/wwids", wwids)
    population.write(each / "usr/lib/node/partitions", f"major minor  #blocks  name\n\n{rows}")
    population.write(each / "usr/lib/node/boot_id", f"{uuid.uuid4()}\n", 0o444)


# --- the containers -------------------------------------------------------------------------------------------


def _populate(spec: Spec, source: NodeState, destination: NodeState) -> None:
    for node in (source, destination):
        area = Path(f"/proc/{node.pid}/root/vz/private/{BYSTANDERS[node.name]}")
        area.mkdir()
        population.lay_container(area)
    with _writable_area(spec, source) as area:
        population.lay_rich_tree(area)
    inside(source.pid, f"vzctl --quiet start {BYSTANDERS[source.name]}")
    if spec.running:
        inside(source.pid, f"vzctl --quiet start {CTID}")
    for node in (source, destination):  # all this has been there for long: no power cut takes it away
        inside(node.pid, "for at in / /vz /vz/private/*; do sync -f $at; done")


@contextmanager
def _writable_area(spec: Spec, source: NodeState) -> Iterator[Path]:
    place = f"/vz/private/{CTID}"
    inside(source.pid, f"mkdir {place}")
    if spec.world == "san":
        inside(source.pid, f"mount /dev/sda1 {place}")
    yield Path(f"/proc/{source.pid}/root{place}")
    if spec.world == "san":
        inside(source.pid, f"umount {place}")


# --- files ----------------------------------------------------------------------------------------------------


def _ssh_config(ports: dict[str, int], keys: str) -> str:
    hosts = "".join(
        f"Host {name}\n    HostName {address}\n    Port {ports[name]}\n"
        for name, address in ADDRESSES.items()
    )
    return (
        f"{hosts}Host *\n    User root\n    IdentityFile {keys}/key\n    IdentitiesOnly yes\n    IdentityAgent none\n"
        f"    UserKnownHostsFile {keys}/known_hosts\n    GlobalKnownHostsFile /dev/null\n"
        "    StrictHostKeyChecking yes\n    BatchMode yes\n"
        # Keys that no quantum computer finds out (ssh's default since 9.0) take it a quarter of a second a connection.
        "    KexAlgorithms curve25519-sha256\n"
    )


def _sshd_config(address: str, port: int) -> str:
    return (
        f"ListenAddress {address}:{port}\nHostKey /etc/ssh/host_key\nAuthorizedKeysFile /etc/ssh/authorized_keys\n"
        "PidFile /run/sshd.pid\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nUsePAM no\nUseDNS no\nPrintMotd no\nMaxStartups 100\n"
        f"SetEnv PATH={PATH}\n"
    )


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


def _make_image(path: Path, size_mb: int, kind: str = "ext4") -> None:
    with path.open("wb") as image:
        image.truncate(size_mb << 20)
    own = str(uuid.UUID(bytes=secrets.token_bytes(16)))
    _run(*MAKERS[kind].argv, f"uuid={own}" if kind == "xfs" else own, str(path))


def _still_there(folder: Path) -> list[str]:
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in mounts]
    return kernel.loops_over(folder) + [
        point for point in points if point == str(folder) or point.startswith(f"{folder}/")
    ]


def _until_gone(look: Callable[[], Sequence[object]]) -> None:
    until = time.monotonic() + GONE_S
    while left := look():
        if time.monotonic() > until:
            raise SandboxError(f"still there: {', '.join(map(str, left))}")
        time.sleep(
            0.02
        )  # the kernel clears loop devices and stops processes in its own time and tells nobody


def _first_line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _run(*argv: str) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SandboxError(f"{argv[0]}: exit status {done.returncode}: {done.stderr.strip()}")


def _say(text: str) -> None:
    with suppress(BrokenPipeError):  # nobody waits any more; the life line says so, too
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())  # whoever waits reads to the end of the file
    os.close(null)
