"""A hardware node with a kernel of its own: a guest of QEMU. It ends with the thread that started it."""

from __future__ import annotations

import json
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any, Final, NamedTuple

from tests.kernels import images
from tests.kernels.disks import LUNS, NAMES, PRIVATE
from tests.sandbox import kernel
from tests.sandbox.supervisor import SandboxError

OWN_DISKS: Final = (("root", "qcow2"), ("vz", "raw"), ("seed", "raw"))
"""What of its disks no other guest sees, in their order."""
BOOT_S: Final = 120
ANSWER_S: Final = 120
MEMORY_MB: Final = 384


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
        self.kept: set[str] = set()
        """What 123 had counted and on its disk, each time that it was seen to run here; see ``agent``."""

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
        if said["kept"] is not None:
            self.kept.add(said["kept"])
        return Seen(frozenset(said["mounted"]), said["runs"])

    def tree_hash(self, path: str = PRIVATE) -> str:
        """See ``tests.sandbox.nodes``."""
        said: str = self.ask("tree_hash", path)
        return said

    def start(self, saved: Path | None = None) -> None:
        """Give it power; it is up only once ``wait_until_up`` has returned.

        ``saved``: a memory that it goes on from, see ``save``; then ``wait_until_back`` waits for it.
        """
        assert self._process is None, f"{self.name} has power"
        (ours_agent, its_agent), (ours_monitor, its_monitor) = socket.socketpair(), socket.socketpair()
        argv = self._argv(its_agent.fileno(), its_monitor.fileno())
        if saved is not None:
            argv += ["-incoming", f"exec:cat {shlex.quote(str(saved))}"]
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
        try:
            self._greet()
            assert self._agent.read() == {"ready": True}
        except SandboxError as problem:
            raise SandboxError(
                f"{self.name} did not come up: {problem}: {self.console()[-2000:]}"
            ) from problem
        self._agent.patience_s = ANSWER_S
        for network in self._dark:
            self.cut(network)

    def wait_until_back(self) -> None:
        """Until its memory is there again; it goes on at ``go_on``, at another time of day than it knows.

        Raises:
            SandboxError: it did not come back.
        """
        self._greet()
        self._wait_for("query-status", {"paused"}, {"inmigrate"})

    def go_on(self) -> None:
        """After ``halt``, or once its memory is back."""
        self._command("cont")

    def halt(self) -> None:
        """It stands still."""
        self._command("stop")

    def save(self, into: Path) -> None:
        """Write the memory of a guest that stands still into a file; from then on its disks are complete without it.

        Raises:
            SandboxError: QEMU could not.
        """
        self._command("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        part, whole = shlex.quote(f"{into}.part"), shlex.quote(str(into))
        self._command("migrate", uri=f"exec:cat >{part} && mv {part} {whole}")
        self._wait_for("query-migrate", {"completed"}, {"setup", "active", "device", "pre-switchover", ""})
        until = time.monotonic() + ANSWER_S
        while not into.exists():  # QEMU is through when all is in the pipe
            if time.monotonic() > until:
                raise SandboxError(f"{self.name}: its memory is not in {into}")
            time.sleep(0.02)

    def _greet(self) -> None:
        assert self._monitor is not None
        self._monitor.read()
        self._command("qmp_capabilities")

    def _wait_for(self, question: str, wanted: set[str], before: set[str]) -> None:
        until = time.monotonic() + ANSWER_S
        while (status := self._command(question).get("status", "")) not in wanted:
            if status not in before or time.monotonic() > until:
                raise SandboxError(f"{self.name}: {question}: {status}")
            time.sleep(0.02)  # QEMU's monitor tells of no end that came before the question

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

    def _command(self, command: str, **arguments: object) -> dict[str, Any]:
        assert self._monitor is not None, f"{self.name} has no power"
        answer = self._monitor.ask({"execute": command, "arguments": arguments})
        while "event" in answer:
            answer = self._monitor.read()
        if "return" not in answer:
            raise SandboxError(f"{self.name}: {command}: {answer}")
        returned: dict[str, Any] = answer["return"]
        return returned

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
        argv += ["console=ttyS0 quiet panic=-1 random.trust_cpu=on mitigations=off norandmaps"]
        argv += [
            "-chardev",
            f"file,id=console,path={self._folder}/console,append=on",
            "-serial",
            "chardev:console",
        ]
        argv += ["-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control"]
        argv += ["-chardev", f"socket,id=agent,fd={agent}", "-device", "virtio-serial-pci"]
        argv += ["-device", "virtserialport,chardev=agent,name=agent", "-device", "virtio-rng-pci"]
        for name, kind in OWN_DISKS:
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
