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
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from plumbum import CommandNotFound, local

from executor import verbs
from executor.framing import Stream
from executor.node import ALONE, HOST, NodeOutcome, trial
from planner.plan import Command, Exited, Lost

KEEP_BYTES: Final = 32 * 1024
GRACE_S: Final = 30
"""How much later than the node's own deadline the controller gives up."""
CONNECT_S: Final = 60
KILLED: Final = 137
"""What a shell says of a child that SIGKILL ended: ``timeout -s KILL``, or a node out of memory."""
STATUS: Final = re.compile(rb"[0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5]")
LINE: Final = 500
"""How much is shown of the last thing that a lost session said."""
SSH_DEFAULTS: Final = (
    "-T",
    "-o",
    "BatchMode=yes",
    "-o",
    "ServerAliveInterval=15",
    "-o",
    "ServerAliveCountMax=4",
    *ALONE,
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
        self._brief = ""
        self._generation = generation
        self._introduced = False  # the session knows whose it is
        self._shell = shell
        self._speak = speak
        self._process: Any = None  # a Popen of bytes; plumbum's type says text
        self._known: set[str] = set()
        self._waker = _Waker()

    @property
    def trial(self) -> str:
        """What to type to see whether it can be reached."""
        return trial(self.name, self._ssh)

    def serve(self, run: str, control: str, generation: int, brief: str) -> None:
        """From here on the session is one of ``run``; ``brief`` is what the node is to keep of it."""
        self._environment |= {"VZPLAN_RUN": run, "VZPLAN_CONTROL": control}
        self._generation, self._brief, self._introduced = generation, brief, False

    def run(self, command: Command) -> NodeOutcome:
        """Run one verb inside the wrapper. See ``executor.node.Node``."""
        verb, *operands = command.argv
        texts = "" if verb in self._known else f"{_variable(verb)}={_quoted(verbs.text(verb))}\n"
        words = (str(command.deadline_s), command.stdin, verb, *operands)
        self._waker.awaited = command
        outcome = self._ask(texts, "vzplan_run", words, command.deadline_s, KEEP_BYTES)
        if isinstance(outcome, Exited):
            self._known.add(verb)
        else:
            self._generation += 1  # what may still be at work there belongs to the one before
        return outcome

    def read(self, script: str, deadline_s: int, limit_bytes: int) -> NodeOutcome:
        """Run a script that only looks, outside any run; up to ``limit_bytes`` of what it says are kept."""
        # Lost, it leaves nothing behind that could do harm: the next session is of the same generation.
        self._waker.awaited = None
        return self._ask("", "vzplan_read", (str(deadline_s), script), deadline_s, limit_bytes)

    def abandon(self, command: Command, why: str) -> None:
        """Wait no longer for ``command``, under way or about to be: its answer is lost. From any thread or handler."""
        self._waker.wake(command, why)

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
        if not self._introduced:
            before = self._introduction() + before
        nonce = secrets.token_hex(16)
        line = f"{before}{function} {nonce} {' '.join(map(_quoted, words))}\n"
        answer = self._converse(line.encode(), nonce.encode(), deadline_s + GRACE_S, keep)
        if isinstance(answer, Lost):
            self.close()
            return answer
        self._introduced = True
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
        prelude = (
            f"umask 077; cd /\n{self._introduction()}{verbs.wrapper()}\n"
            f"v_library={_quoted(verbs.library())}\nexport v_library\nvzplan_read {nonce} 10 true\n"
        )
        # Whatever a login prints comes before the first trailer, and is thrown away with it.
        answer = self._converse(prelude.encode(), nonce.encode(), CONNECT_S, KEEP_BYTES)
        if isinstance(answer, Lost):
            self.close()
            return Lost(f"cannot be reached: {answer.reason}")
        self._introduced = True
        return None

    def _introduction(self) -> str:
        """Whose session it is, in the words of the shell."""
        environment = {**self._environment, "VZPLAN_GENERATION": str(self._generation)}
        exports = "".join(f"export {name}={_quoted(value)}\n" for name, value in environment.items())
        return f"{exports}vzplan_brief={_quoted(self._brief)}\n"

    def _converse(self, line: bytes, nonce: bytes, limit_s: int, keep: int) -> NodeOutcome:
        """Write ``line`` and read both streams until both trailers have come, or nothing more can."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None or process.stderr is None:
            raise RuntimeError("the session has no process")
        out, err = Stream(nonce, keep, self._hear), Stream(nonce, KEEP_BYTES)
        pipes = (process.stdin.fileno(), process.stdout.fileno(), process.stderr.fileno())
        with _Talk(pipes, line, out, err, self._waker) as talk:
            lost = talk.until(time.monotonic() + limit_s)
        if lost is not None:
            return Lost(lost or f"no answer within {limit_s} s")
        if not STATUS.fullmatch(out.trailer or b""):
            return Lost(f"a trailer that says {out.trailer!r}")
        return Exited(
            int(out.trailer or b""), out.said().decode(errors="replace"), err.said().decode(errors="replace")
        )

    def _hear(self, data: bytes) -> None:
        if self._speak is not None:
            self._speak(self.name, data)


class _Waker:
    """Ends the wait for one command, from a signal's handler or another thread: a pipe that becomes readable.

    A call is for one command and for no other: it is neither lost if it comes before the wait begins, nor does it
    end the wait for what goes out next.
    """

    def __init__(self) -> None:
        self.awaited: Command | None = None
        self._called: tuple[Command, str] | None = None
        self._out, self._in = os.pipe()
        for descriptor in (self._out, self._in):
            os.set_blocking(descriptor, False)
            weakref.finalize(self, os.close, descriptor)

    def fileno(self) -> int:
        return self._out

    def wake(self, command: Command, why: str) -> None:
        self._called = (command, why)
        with contextlib.suppress(BlockingIOError):  # full: it has been called often enough
            os.write(self._in, b"!")

    def heard(self) -> str | None:
        """Why what is awaited is to be given up, if it is."""
        called = self._called
        return called[1] if called is not None and called[0] is self.awaited else None

    def drain(self) -> None:
        _read(self._out)


class _Talk:
    """A line goes to a process while both its streams are read as they come: neither can fill up and block it."""

    def __init__(
        self, pipes: tuple[int, int, int], line: bytes, out: Stream, err: Stream, waker: _Waker
    ) -> None:
        self._waker = waker
        self._stdin, self._stdout, stderr = pipes
        self._line = line
        self._streams = {self._stdout: out, stderr: err}
        self._selector = selectors.DefaultSelector()
        os.set_blocking(self._stdin, False)
        self._selector.register(self._stdin, selectors.EVENT_WRITE)
        for descriptor in self._streams:
            self._selector.register(descriptor, selectors.EVENT_READ)
        self._selector.register(waker, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def until(self, deadline: float) -> str | None:
        """Read to both trailers: None. Else why not: what was said last, or "" if time ran out."""
        while any(stream.trailer is None for stream in self._streams.values()):
            given_up = self._waker.heard()
            if given_up is not None:
                return given_up
            open_still = [descriptor for descriptor in self._streams if self._is_watched(descriptor)]
            if not open_still or not self._step(deadline):
                # The process may have let go of its output only; what stands on the other stream may tell why.
                ended = self._stdout not in open_still
                return (_last_line(self._streams) or "the connection ended") if ended else ""
        return None

    def _is_watched(self, descriptor: int) -> bool:
        return descriptor in self._selector.get_map()

    def _step(self, deadline: float) -> bool:
        """Wait until something can be read or written, and do it; False: there was not the time."""
        ready = self._selector.select(max(0, deadline - time.monotonic()))
        for key, _ in ready:
            if key.fd == self._stdin:
                self._write()
            elif key.fd not in self._streams:
                self._waker.drain()
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
        if self._is_watched(self._stdin):
            self._selector.unregister(self._stdin)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def _last_line(streams: Mapping[int, Stream]) -> str:
    said = b"\n".join(stream.said() for stream in streams.values()).decode(errors="replace")
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1].strip()[:LINE] if lines else ""


def _variable(verb: str) -> str:
    return "v_" + verb.replace("-", "_")


def _quoted(word: str) -> str:
    """The one place where words become shell text."""
    return shlex.quote(word)
