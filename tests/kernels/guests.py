"""Two hardware nodes with a kernel each: guests of QEMU, which see the same disks.

A power cut is the end of a guest's process: what its kernel had not yet given to its disks is lost, as on a machine.
What the disks have been given is kept, also what they were not told to flush: not modelled are a disk that forgets what
is in a cache of its own, and a sector that is half written. The guests end with the process that started them, however
that ends.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
import stat
import subprocess
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TextIO

from tests.kernels import images
from tests.kernels.disks import BYSTANDERS, CTID, LUN, LUNS, NAMES, POOL, make_ext4, make_lun
from tests.kernels.qemu import OWN_DISKS, Guest
from tests.sandbox import population
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
KEYS: Final = ("key", "host_key", "host_key.pub")
MEMORY: Final = "memory"
LUN_MB: Final = 96
ROOM_BYTES: Final = 4 << 30
"""Of snapshots and disks of one process, and some more."""
VZ_MB: Final = 256
PORTS: Final = range(20_000, 32_000)


class Guests:
    """Both nodes, as a context."""

    def __init__(self, world: str = "shared", *, running: bool = True, saved: Path | None = None) -> None:
        """``world``: a key of ``WORLDS``; ``running``: 123 at the start; ``saved``: a folder to go on from."""
        self._own, self._running, self._saved = WORLDS[world], running, saved
        self._starter = ThreadPoolExecutor(max_workers=1)
        self.folder, self._mark = new_folder()
        image = images.made()
        self.hn1, self.hn2 = self.nodes = tuple(
            Guest(name, self.folder, image, _free_port(), self._starter) for name in NAMES
        )

    @property
    def ssh_config(self) -> Path:
        """For ``ssh -F``: knows hn1 and hn2, their ports, keys and host keys."""
        return self.folder / "ssh_config"

    def __enter__(self) -> Self:
        """Make disks, give power, and put the containers there; or take up what was saved."""
        try:
            if self._saved is None:
                self._begin()
            else:
                self._go_on(self._saved)
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

    def save(self, into: Path) -> None:
        """Leave in a folder all that others, which are given it, go on from; these two are then of no more use.

        Raises:
            SandboxError: QEMU could not.
        """
        for guest in self.nodes:
            guest.halt()
        for guest in self.nodes:
            (into / guest.name).mkdir()
            guest.save(into / guest.name / MEMORY)
        _copy(self.folder, into)

    def _go_on(self, saved: Path) -> None:
        for guest in self.nodes:
            (self.folder / guest.name).mkdir()
        _copy(saved, self.folder)
        self._tell_ssh()
        for guest in self.nodes:
            guest.start(saved / guest.name / MEMORY)
        for guest in self.nodes:
            guest.wait_until_back()
        for guest in self.nodes:
            guest.go_on()

    def _begin(self) -> None:
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

    def _tell_ssh(self) -> None:
        here = {guest.name: ("127.0.0.1", guest.port) for guest in self.nodes}
        public = (self.folder / "host_key.pub").read_text()
        population.write(self.folder / "known_hosts", _known_hosts(here, public), 0o600)
        population.write(self.ssh_config, _ssh_config(here, str(self.folder)), 0o600)

    def _prepare(self) -> None:
        for number, lun in enumerate(LUNS):
            make_lun(self.folder / f"{lun.name}.img", LUN_MB, None if lun is POOL else 0x76700000 + number)
        for key in ("key", "host_key"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "guests", "-f", str(self.folder / key))
        public = (self.folder / "host_key.pub").read_text()
        there = {name: (address, 22) for name, address in LINK.items()}
        self._tell_ssh()
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
        shutil.rmtree(self.folder)
        self._mark.close()


def base_folder() -> Path:
    """Where this user's guests keep their disks; what killed runs left there is taken away.

    In memory, if there is room: the disks' own power is never cut.
    """
    roomy, other = Path("/dev/shm"), Path(tempfile.gettempdir())  # noqa: S108 # the folder in it is this user's
    name = f"vzplan-kernels-{os.geteuid()}"
    for top in (roomy, other):
        if (top / name).is_dir() and _only_ours(top / name):
            _clean(top / name)
    has_room = roomy.is_dir() and shutil.disk_usage(roomy).free >= ROOM_BYTES
    folder = (roomy if has_room else other) / name
    folder.mkdir(mode=0o700, exist_ok=True)
    if not _only_ours(folder):
        raise SandboxError(f"{folder} is not a folder that only this user can enter")
    return folder


def _only_ours(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _clean(folder: Path) -> None:
    for mark in folder.glob("box-*/mark"):
        try:
            with mark.open("r+") as left:
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, FileNotFoundError):
            continue  # somebody's who lives, or who has just taken it away
        shutil.rmtree(mark.parent, ignore_errors=True)


def new_folder() -> tuple[Path, TextIO]:
    """A folder there, and what marks it as somebody's for as long as it is open."""
    folder = Path(tempfile.mkdtemp(prefix="box-", dir=base_folder()))
    new = folder / "mark.new"
    mark = new.open("w")
    fcntl.flock(mark, fcntl.LOCK_EX)
    new.rename(folder / "mark")  # what has this name and no lock is nobody's
    return folder, mark


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


def _copy(folder: Path, to: Path) -> None:
    """What of both guests is not their memory, nor of one run of theirs alone."""
    own = [f"{node}/{disk}.img" for node in NAMES for disk, _ in OWN_DISKS]
    for name in (*KEYS, *(f"{lun.name}.img" for lun in LUNS), *own):
        _run("cp", "-p", "--sparse=always", "--reflink=auto", "--", str(folder / name), str(to / name))


def _free_port() -> int:
    """Not one of those that the kernel gives to whoever connects: it is to be there again after a power cut."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _run(*argv: str) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SandboxError(f"{argv[0]}: exit status {done.returncode}: {done.stderr.strip()}")
