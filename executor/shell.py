"""Real nodes: one persistent POSIX shell each, local or over ssh. The only module that knows plumbum.

plumbum starts the process. Its own ``ShellSession`` is not used: it reads both streams a line each in turns, and so
hangs once a command prints more than a pipe holds; and it has no deadline. Here both streams are read as they come,
and a nonce in a trailer ends each (``executor/framing.py``).
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import selectors
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from plumbum import CommandNotFound, local

from executor import verbs
from executor.framing import Stream
from executor.node import NodeOutcome
from planner.plan import Command, Exited, Lost

KEEP_BYTES: Final = 32 * 1024
GRACE_S: Final = 30
"""How much later than the node's own deadline the controller gives up."""
CONNECT_S: Final = 60
KILLED: Final = 137
"""What a shell says of a child that SIGKILL ended: ``timeout -s KILL``, or a node out of memory."""

HOST: Final = re.compile(r"(?!-)[A-Za-z0-9_.:@\[\]%-]+")
SSH_DEFAULTS: Final = (
    "-T",
    "-o",
    "BatchMode=yes",
    "-o",
    "ServerAliveInterval=15",
    "-o",
    "ServerAliveCountMax=4",
)
"""After the operator's own options: of two the first counts (ssh_config(5))."""

Speak = Callable[[str, bytes], None]


class ShellNode:
    """One session of one run with one real node; the connection is made when it is first needed.

    After a lost answer the session is over: the next command opens a new one, with a higher generation, which only
    ``settle`` can make valid on the node (architecture: run identity).

    Raises:
        ValueError: ``name`` cannot be the name of a host.
    """

    def __init__(
        self,
        name: str,
        ssh: tuple[str, ...] | None,
        *,
        run: str = "",
        control: str = "",
        generation: int = 0,
        home: str = "/var/lib/vzplan",
        shell: tuple[str, ...] = ("/bin/sh",),
        speak: Speak | None = None,
    ) -> None:
        """``ssh``: options for ssh, or None for this machine; ``speak`` hears standard output as it comes."""
        if not HOST.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a host")
        self.name = name
        self._ssh = ssh
        self._environment = {
            "VZPLAN_HOME": home,
            "VZPLAN_RUN": run,
            "VZPLAN_CONTROL": control,
            "PATH": "/sbin:/usr/sbin:/bin:/usr/bin",
            "LC_ALL": "C",
        }
        self._generation = generation
        self._shell = shell
        self._speak = speak
        self._process: Any = None  # a Popen of bytes; plumbum's type says text
        self._known: set[str] = set()

    def run(self, command: Command) -> NodeOutcome:
        """Run one verb inside the wrapper. See ``executor.node.Node``."""
        verb, *operands = command.argv
        texts = "" if verb in self._known else f"{_variable(verb)}={_quoted(verbs.text(verb))}\n"
        words = (str(command.deadline_s), command.stdin, verb, *operands)
        outcome = self._ask(texts, "vzplan_run", words, command.deadline_s, KEEP_BYTES)
        if isinstance(outcome, Exited):
            self._known.add(verb)
        else:
            self._generation += 1  # what may still be at work there belongs to the one before
        return outcome

    def read(self, script: str, deadline_s: int, limit_bytes: int) -> NodeOutcome:
        """Run a script that only looks, outside any run; up to ``limit_bytes`` of what it says are kept."""
        # Lost, it leaves nothing behind that could do harm: the next session is of the same generation.
        return self._ask("", "vzplan_read", (str(deadline_s), script), deadline_s, limit_bytes)

    def close(self) -> None:
        """End the session: the shell reads its end of input, and ssh is ended if it does not go by itself."""
        process, self._process = self._process, None
        self._known.clear()
        if process is None:
            return
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was still to be written had nowhere to go
                    pipe.close()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    # --- one question, one answer

    def _ask(
        self, before: str, function: str, words: tuple[str, ...], deadline_s: int, keep: int
    ) -> NodeOutcome:
        if self._process is None:
            lost = self._connect()
            if lost is not None:
                return lost
        nonce = secrets.token_hex(16)
        line = f"{before}{function} {nonce} {' '.join(map(_quoted, words))}\n"
        answer = self._converse(line.encode(), nonce.encode(), deadline_s + GRACE_S, keep)
        if isinstance(answer, Lost):
            self.close()
            return answer
        if answer.status == KILLED:
            self.close()
            return Lost(
                f"ended by SIGKILL: its deadline of {deadline_s} s passed, or the node ran out of memory"
            )
        return answer

    def _connect(self) -> Lost | None:
        try:
            if self._ssh is None:
                process = local[self._shell[0]][self._shell[1:]]
            else:
                user = () if "@" in self.name else ("-o", "User=root")
                process = local["ssh"][(*self._ssh, *SSH_DEFAULTS, *user, "--", self.name, "exec /bin/sh")]
            self._process = process.popen(
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                new_session=True,  # the terminal's Ctrl-C is for the controller, not for ssh
            )
        except (CommandNotFound, OSError) as problem:
            return Lost(f"cannot be started: {problem}")
        nonce = secrets.token_hex(16)
        exports = "".join(
            f"export {name}={_quoted(value)}\n"
            for name, value in {**self._environment, "VZPLAN_GENERATION": str(self._generation)}.items()
        )
        prelude = (
            f"umask 077; cd /\n{exports}{verbs.wrapper()}\nv_library={_quoted(verbs.library())}\nexport v_library\n"
            f"vzplan_read {nonce} 10 true\n"
        )
        # Whatever a login prints comes before the first trailer, and is thrown away with it.
        answer = self._converse(prelude.encode(), nonce.encode(), CONNECT_S, KEEP_BYTES)
        if isinstance(answer, Lost):
            self.close()
            return Lost(f"cannot be reached: {answer.reason}")
        return None

    def _converse(self, line: bytes, nonce: bytes, limit_s: int, keep: int) -> NodeOutcome:
        """Write ``line`` and read both streams until both trailers have come, or nothing more can."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None or process.stderr is None:
            raise RuntimeError("the session has no process")
        out, err = Stream(nonce, keep, self._hear), Stream(nonce, KEEP_BYTES)
        pipes = (process.stdin.fileno(), process.stdout.fileno(), process.stderr.fileno())
        with _Talk(pipes, line, out, err) as talk:
            lost = talk.until(time.monotonic() + limit_s)
        if lost is not None:
            return Lost(lost or f"no answer within {limit_s} s")
        try:
            status = int(out.trailer or b"")
        except ValueError:
            return Lost(f"a trailer that says {out.trailer!r}")
        return Exited(status, out.said().decode(errors="replace"), err.said().decode(errors="replace"))

    def _hear(self, data: bytes) -> None:
        if self._speak is not None:
            self._speak(self.name, data)


class _Talk:
    """A line goes to a process while both its streams are read as they come: neither can fill up and block it."""

    def __init__(self, pipes: tuple[int, int, int], line: bytes, out: Stream, err: Stream) -> None:
        self._stdin, self._stdout, stderr = pipes
        self._line = line
        self._streams = {self._stdout: out, stderr: err}
        self._selector = selectors.DefaultSelector()
        os.set_blocking(self._stdin, False)
        self._selector.register(self._stdin, selectors.EVENT_WRITE)
        for descriptor in self._streams:
            self._selector.register(descriptor, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def until(self, deadline: float) -> str | None:
        """Read to both trailers: None. Else why not: what was said last, or "" if time ran out."""
        while any(stream.trailer is None for stream in self._streams.values()):
            if self._stdout not in self._selector.get_map():
                # The process has ended, or let go of its output; what stands on the other stream may tell why.
                if len(self._selector.get_map()) == 0 or not self._step(deadline):
                    return _last_line(self._streams) or "the connection ended"
            elif not self._step(deadline):
                return ""
        return None

    def _step(self, deadline: float) -> bool:
        """Wait until something can be read or written, and do it; False: there was not the time."""
        ready = self._selector.select(max(0, deadline - time.monotonic()))
        for key, _ in ready:
            if key.fd == self._stdin:
                self._write()
            else:
                data = _read(key.fd)
                self._streams[key.fd].feed(data)
                if not data:
                    self._selector.unregister(key.fd)
                    self._forget_stdin()
        return bool(ready)

    def _write(self) -> None:
        try:
            self._line = self._line[os.write(self._stdin, self._line) :]
        except BlockingIOError:
            return
        except OSError:
            self._line = b""  # it has gone; the end of its output says so
        if not self._line:
            self._forget_stdin()

    def _forget_stdin(self) -> None:
        if self._stdin in self._selector.get_map():
            self._selector.unregister(self._stdin)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def _last_line(streams: Mapping[int, Stream]) -> str:
    said = b"\n".join(stream.said() for stream in streams.values()).decode(errors="replace")
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def _variable(verb: str) -> str:
    return "v_" + verb.replace("-", "_")


def _quoted(word: str) -> str:
    """The one place where words become shell text."""
    return shlex.quote(word)
