"""Two hardware nodes with a kernel each: guests of QEMU, which see the same disks.

A power cut is the end of a guest's process: what its kernel had not yet given to its disks is lost, as on a machine.
The guests end with the process that started them, however that ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from tests.kernels import images
from tests.kernels.disks import BYSTANDERS, CTID, LUN, LUNS, NAMES, POOL, PRIVATE, make_ext4, make_lun
from tests.sandbox import kernel, population
from tests.sandbox.supervisor import PATH, SandboxError

REPOSITORY: Final = Path(__file__).resolve().parents[2]
LINK: Final = {"hn1": "192.0.2.1", "hn2": "192.0.2.2"}
"""Their addresses on the network that is between the two."""
CARRIED: Final = (
    "tests/__init__.py",
    "tests/kernels/__init__.py",
    "tests/kernels/agent.py",
    "tests/kernels/disks.py",
    "tests/sandbox/__init__.py",
    "tests/sandbox/kernel.py",
    "tests/sandbox/nodes.py",
    "tests/sandbox/population.py",
    "tests/sandbox/supervisor.py",
    "tests/sandbox/node",
)
"""What of this repository a guest's agent is made of."""
REAL_THERE: Final = ("usr/lib/udev/scsi_id", "usr/sbin/criu")
"""Stand-ins of the sandbox for what a guest has."""
WORLDS: Final = {"shared": None, "san": LUN, "lvm": POOL}
"""The disk that 123 owns."""
BOOT_S: Final = 120
ANSWER_S: Final = 120
MEMORY_MB: Final = 384
LUN_MB: Final = 96
VZ_MB: Final = 256


class Seen(NamedTuple):
    """What is so on a node at one moment."""

    mounted: frozenset[str]
    """The LUNs that it has mounted, wherever, by name."""
    runs: bool
    """Whether a process of 123 lives there."""


NOTHING: Final = Seen(frozenset(), False)


class Guest:
    """One node."""

    def __init__(
        self, name: str, folder: Path, image: images.Image, port: int, starter: ThreadPoolExecutor
    ) -> None:
        """``folder`` is that of both; ``port`` its sshd's, from here; ``starter``'s thread starts it."""
        self.name, self.port = name, port
        self._all, self._folder, self._image, self._starter = folder, folder / name, image, starter
        self._process: subprocess.Popen[bytes] | None = None
        self._agent: _Line | None = None
        self._monitor: _Line | None = None
        self._dark: set[str] = set()

    @property
    def pid(self) -> int:
        """Its process; 0 while it has no power."""
        return 0 if self._process is None else self._process.pid

    def sh(self, script: str, *, check: bool = True) -> str:
        """Run a script as root on the node, past its network, and give what it prints.

        Raises:
            SandboxError: it ended with another status than 0, and ``check`` is set; or the node has no power.
        """
        done = self.ask("sh", script)
        if check and done["status"] != 0:
            raise SandboxError(
                f"{self.name}: {script!r}: exit status {done['status']}: {done['err']}{done['out']}"
            )
        said: str = done["out"]
        return said

    def ask(self, verb: str, *words: object) -> Any:  # noqa: ANN401 # json
        """Have the node's agent do one of its verbs.

        Raises:
            SandboxError: it could not; or the node has no power.
        """
        if self._agent is None:
            raise SandboxError(f"{self.name} has no power")
        answer = self._agent.ask([verb, *words])
        if "problem" in answer:
            raise SandboxError(f"{self.name}: {verb}: {answer['problem']}")
        return answer["said"]

    def look(self) -> Seen:
        """What is mounted, and whether 123 runs; nothing while it has no power."""
        if self._agent is None:
            return NOTHING
        said = self.ask("look")
        return Seen(frozenset(said["mounted"]), said["runs"])

    def tree_hash(self, path: str = PRIVATE) -> str:
        """See ``tests.sandbox.nodes``."""
        said: str = self.ask("tree_hash", path)
        return said

    def start(self) -> None:
        """Give it power; it is up only once ``wait_until_up`` has returned."""
        assert self._process is None, f"{self.name} has power"
        (ours_agent, its_agent), (ours_monitor, its_monitor) = socket.socketpair(), socket.socketpair()
        argv = self._argv(its_agent.fileno(), its_monitor.fileno())
        passed = (its_agent.fileno(), its_monitor.fileno())
        with its_agent, its_monitor, (self._folder / "said").open("ab") as said:
            self._process = self._starter.submit(_start, argv, passed, said.fileno()).result()
        self._agent, self._monitor = _Line(ours_agent, BOOT_S), _Line(ours_monitor, ANSWER_S)

    def wait_until_up(self) -> None:
        """Until it has started what it starts at boot, and its sshd is there.

        Raises:
            SandboxError: it did not come up; says what its console said.
        """
        assert self._agent is not None
        assert self._monitor is not None
        try:
            self._monitor.read()  # its greeting
            self._command("qmp_capabilities")
            assert self._agent.read() == {"ready": True}
        except SandboxError as problem:
            raise SandboxError(
                f"{self.name} did not come up: {problem}: {self.console()[-2000:]}"
            ) from problem
        self._agent.patience_s = ANSWER_S
        for network in self._dark:
            self.cut(network)

    def console(self) -> str:
        """All that its console has said, and QEMU."""
        found = (self._folder / name for name in ("console", "said"))
        return "".join(path.read_text(errors="replace") for path in found if path.exists())

    def power_cut(self) -> None:
        """It is off from now on; what its kernel had not written is lost."""
        assert self._process is not None, f"{self.name} has no power"
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        for line in (self._agent, self._monitor):
            assert line is not None
            line.close()
        self._process = self._agent = self._monitor = None

    def cut(self, network: str) -> None:
        """Pull a cable: "outer" leads to the controller, "link" to the other node."""
        self._dark.add(network)
        self._command("set_link", name=network, up=False)

    def mend(self, network: str) -> None:
        """Put it in again."""
        self._dark.discard(network)
        self._command("set_link", name=network, up=True)

    def _command(self, command: str, **arguments: object) -> None:
        assert self._monitor is not None, f"{self.name} has no power"
        answer = self._monitor.ask({"execute": command, "arguments": arguments})
        while "event" in answer:
            answer = self._monitor.read()
        if "return" not in answer:
            raise SandboxError(f"{self.name}: {command}: {answer}")

    def _argv(self, agent: int, monitor: int) -> list[str]:
        index, sockets = NAMES.index(self.name), [str(self._all / f"{name}.link") for name in NAMES]
        mine, others = sockets[index], sockets[1 - index]
        argv = [
            "qemu-system-x86_64",
            "-accel",
            "tcg",
            "-M",
            "pc",
            "-cpu",
            "max",
            "-smp",
            "1",
            "-m",
            str(MEMORY_MB),
        ]
        argv += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        argv += ["-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd), "-append"]
        # norandmaps: code that lies elsewhere in each process is translated anew for each: five times as slow.
        argv += [
            "console=ttyS0 quiet panic=-1 scsi_mod.scan=manual random.trust_cpu=on mitigations=off norandmaps"
        ]
        argv += [
            "-chardev",
            f"file,id=console,path={self._folder}/console,append=on",
            "-serial",
            "chardev:console",
        ]
        argv += ["-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control"]
        argv += ["-chardev", f"socket,id=agent,fd={agent}", "-device", "virtio-serial-pci"]
        argv += ["-device", "virtserialport,chardev=agent,name=agent", "-device", "virtio-rng-pci"]
        for name, kind in (("root", "qcow2"), ("vz", "raw"), ("seed", "raw")):
            argv += ["-drive", f"if=virtio,format={kind},file={self._folder}/{name}.img"]
        argv += ["-device", "virtio-scsi-pci,id=san"]
        for lun in LUNS:
            place = lun.places[index]
            argv += [
                "-drive",
                f"if=none,id={lun.name},format=raw,file.locking=off,file={self._all}/{lun.name}.img",
            ]
            identity = f"wwn={lun.wwn:#x},serial=vzplan-{lun.name}"
            argv += ["-device", f"scsi-hd,bus=san.0,scsi-id={place},lun=0,drive={lun.name},{identity}"]
        argv += ["-netdev", f"user,id=outer,ipv6=off,hostfwd=tcp:127.0.0.1:{self.port}-:22"]
        argv += ["-device", f"virtio-net-pci,netdev=outer,mac=52:54:00:00:01:0{index + 1},romfile="]
        argv += [
            "-netdev",
            f"dgram,id=link,local.type=unix,local.path={mine},remote.type=unix,remote.path={others}",
        ]
        argv += ["-device", f"virtio-net-pci,netdev=link,mac=52:54:00:00:02:0{index + 1},romfile="]
        return argv


class Guests:
    """Both nodes, as a context."""

    def __init__(self, world: str = "shared", *, running: bool = True) -> None:
        """``world``: a key of ``WORLDS``; ``running``: 123 at the start."""
        self._own, self._running = WORLDS[world], running
        self._starter = ThreadPoolExecutor(max_workers=1)
        self.folder = Path(tempfile.mkdtemp(prefix="box-", dir=base_folder()))
        new = self.folder / "mark.new"
        self._mark = new.open("w")
        fcntl.flock(self._mark, fcntl.LOCK_EX)
        new.rename(self.folder / "mark")  # what has this name and no lock is nobody's
        image = images.made()
        self.hn1, self.hn2 = self.nodes = tuple(
            Guest(name, self.folder, image, _free_port(), self._starter) for name in NAMES
        )

    @property
    def ssh_config(self) -> Path:
        """For ``ssh -F``: knows hn1 and hn2, their ports, keys and host keys."""
        return self.folder / "ssh_config"

    def __enter__(self) -> Self:
        """Make disks, give power, and put the containers there."""
        try:
            self._prepare()
            for guest in self.nodes:
                guest.start()
            for guest in self.nodes:
                guest.wait_until_up()
            if self._own is POOL:
                self.hn1.ask("make_pool")
                self.hn2.sh("lvm vgchange -q -a y && udevadm settle")
            with ThreadPoolExecutor() as pool:
                for done in [pool.submit(self._populate, guest) for guest in self.nodes]:
                    done.result()
        except BaseException:
            self._down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, where: TracebackType | None
    ) -> None:
        """Take power and disks."""
        self._down()

    def guest(self, name: str) -> Guest:
        """By its name."""
        return self.nodes[NAMES.index(name)]

    def power_cut(self, *names: str) -> None:
        """They are off from now on, all at one moment."""
        for name in names:
            self.guest(name).power_cut()

    def boot(self, *names: str) -> None:
        """Give them power; returns once they have started what they start at boot."""
        for name in names:
            self.guest(name).start()
        for name in names:
            self.guest(name).wait_until_up()

    def reboot(self, *names: str) -> None:
        """A power cut, and at once a boot."""
        self.power_cut(*names)
        self.boot(*names)

    def _prepare(self) -> None:
        for number, lun in enumerate(LUNS):
            make_lun(self.folder / f"{lun.name}.img", LUN_MB, None if lun is POOL else 0x76700000 + number)
        for key in ("key", "host_key"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "guests", "-f", str(self.folder / key))
        public = (self.folder / "host_key.pub").read_text()
        here = {guest.name: ("127.0.0.1", guest.port) for guest in self.nodes}
        there = {name: (address, 22) for name, address in LINK.items()}
        population.write(self.folder / "known_hosts", _known_hosts(here, public), 0o600)
        population.write(self.ssh_config, _ssh_config(here, str(self.folder)), 0o600)
        for guest in self.nodes:
            home = self.folder / guest.name
            seed = home / "seed"
            population.lay_stand_ins(seed)
            for name in REAL_THERE:
                (seed / name).unlink()
            own = None if self._own is None else self._own.seen_as(guest.name)
            configs = {BYSTANDERS[guest.name]: population.config(f"mail{BYSTANDERS[guest.name]}")}
            if guest.name == "hn1":
                configs[CTID] = population.config("web1", name="web1", device=own)
            population.lay_vz(seed, configs, hooks=own is not None)
            population.write(seed / "etc/hostname", f"{guest.name}\n")
            population.write(seed / "usr/lib/node/own-kernel", "")
            population.write(seed / "usr/lib/node/address", f"{LINK[guest.name]}\n")
            population.write(
                seed / "usr/lib/node/init.sh", (images.HERE / "guest/init.sh").read_text(), 0o755
            )
            population.write(seed / "etc/ssh/node.conf", SSHD_CONFIG)
            population.write(seed / "etc/ssh/authorized_keys", (self.folder / "key.pub").read_text(), 0o600)
            population.write(seed / "etc/ssh/host_key", (self.folder / "host_key").read_text(), 0o600)
            population.write(seed / "root/.ssh/config", _ssh_config(there, "/root/.ssh"), 0o600)
            population.write(seed / "root/.ssh/key", (self.folder / "key").read_text(), 0o600)
            population.write(seed / "root/.ssh/known_hosts", _known_hosts(there, public), 0o600)
            for folder in (seed / "root", seed / "root/.ssh"):
                folder.chmod(0o700)
            for carried in CARRIED:
                found = REPOSITORY / carried
                place = seed / "usr/lib/node/python" / carried
                place.parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if found.is_dir() else shutil.copy)(found, place)
            _pack(seed, home / "seed.img")
            with (home / "vz.img").open("wb") as disk:
                disk.truncate(VZ_MB << 20)
            make_ext4(home / "vz.img", VZ_MB << 10)
            base = str(guest._image.root)
            _run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", str(home / "root.img"))

    def _populate(self, guest: Guest) -> None:
        own = None if self._own is None else self._own.filesystem
        guest.ask("populate", guest.name, BYSTANDERS[guest.name], own, self._running)

    def _down(self) -> None:
        for guest in self.nodes:
            if guest.pid:
                guest.power_cut()
        self._starter.shutdown()
        self._mark.close()
        shutil.rmtree(self.folder)


def base_folder() -> Path:
    """Where this user's guests keep their disks; what killed runs left there is taken away.

    In memory, if there is room: the disks' own power is never cut.
    """
    roomy = Path("/dev/shm")  # noqa: S108 # the folder in it is this user's
    top = (
        roomy if roomy.is_dir() and shutil.disk_usage(roomy).free >= 4 << 30 else Path(tempfile.gettempdir())
    )
    folder = top / f"vzplan-kernels-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise SandboxError(f"{folder} is not a folder that only this user can enter")
    for mark in folder.glob("box-*/mark"):
        with mark.open("r+") as left:
            try:
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # somebody's who lives
        shutil.rmtree(mark.parent, ignore_errors=True)
    return folder


SSHD_CONFIG: Final = (
    "ListenAddress 0.0.0.0:22\nHostKey /etc/ssh/host_key\nAuthorizedKeysFile /etc/ssh/authorized_keys\n"
    "PidFile /run/sshd.pid\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
    "KbdInteractiveAuthentication no\nUsePAM no\nUseDNS no\nPrintMotd no\nMaxStartups 100\n"
    f"SetEnv PATH={PATH}\n"
)


def _ssh_config(places: dict[str, tuple[str, int]], keys: str) -> str:
    hosts = "".join(
        f"Host {name}\n    HostName {address}\n    Port {port}\n" for name, (address, port) in places.items()
    )
    return (
        f"{hosts}Host *\n    User root\n    IdentityFile {keys}/key\n    IdentitiesOnly yes\n    IdentityAgent none\n"
        f"    UserKnownHostsFile {keys}/known_hosts\n    GlobalKnownHostsFile /dev/null\n"
        "    StrictHostKeyChecking yes\n    BatchMode yes\n"
    )


def _known_hosts(places: dict[str, tuple[str, int]], public: str) -> str:
    return "".join(
        f"{address if port == 22 else f'[{address}]:{port}'} {public}" for address, port in places.values()
    )


def _pack(seed: Path, into: Path) -> None:
    def as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        return entry

    with tarfile.open(into, "w") as packed:
        packed.add(seed, ".", filter=as_root)


def _start(argv: Sequence[str], passed: tuple[int, ...], said: int) -> subprocess.Popen[bytes]:
    """In the thread with which the guests end."""
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        pass_fds=passed,
        preexec_fn=kernel.die_with_parent,  # noqa: PLW1509 # it only asks the kernel
        start_new_session=True,
    )


class _Line:
    """One JSON a line, there and back."""

    def __init__(self, ours: socket.socket, patience_s: float) -> None:
        self.patience_s = patience_s
        self._socket, self._waiting, self._asking = ours, b"", Lock()

    def ask(self, question: object) -> Any:  # noqa: ANN401 # json
        with self._asking:
            self._socket.sendall(json.dumps(question).encode() + b"\n")
            return self.read()

    def read(self) -> Any:  # noqa: ANN401 # json
        until = time.monotonic() + self.patience_s
        while b"\n" not in self._waiting:
            self._socket.settimeout(max(0.01, until - time.monotonic()))
            try:
                data = self._socket.recv(1 << 20)
            except (TimeoutError, ConnectionError) as problem:
                raise SandboxError(f"no answer: {problem!r}") from problem
            if not data:
                raise SandboxError("no answer: it ended")
            self._waiting += data
        line, _, self._waiting = self._waiting.partition(b"\n")
        return json.loads(line)

    def close(self) -> None:
        self._socket.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _run(*argv: str) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SandboxError(f"{argv[0]}: exit status {done.returncode}: {done.stderr.strip()}")
