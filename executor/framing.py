"""One stream of a persistent shell, cut into answers: everything up to a line that begins with a nonce.

Pure: bytes in, bytes out. Capture is bounded: of a long answer the first and the last part are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

WORDS_BYTES: Final = 64
"""What stands behind a nonce is an exit status: of more it is nothing of ours, and of no end none is waited for."""


class Stream:
    r"""What one command says on one stream, until its trailer ``\\nNONCE[ WORDS]\\n`` has come."""

    def __init__(self, nonce: bytes, keep_bytes: int, speak: Callable[[bytes], None] | None = None) -> None:
        """Keep ``keep_bytes`` of the beginning and as many of the end; ``speak`` hears all of it as it comes."""
        self._mark = b"\n" + nonce
        self._keep = keep_bytes
        self._speak = speak
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0
        self._pending = b""
        self.trailer: bytes | None = None  # what stood behind the nonce
        self.rest = b""  # what came behind the trailer

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        if self.trailer is not None:
            self.rest = (self.rest + data)[: self._keep]
            return
        self._pending += data
        at = self._pending.find(self._mark)
        if at < 0:
            # The trailer may have begun at the very end: hold back as much as its mark is long.
            keep = len(self._mark) - 1
            self._take(self._pending[: max(0, len(self._pending) - keep)])
            self._pending = self._pending[-keep:]
            return
        end = self._pending.find(b"\n", at + 1)
        behind = at + len(self._mark) + WORDS_BYTES
        if end < 0 and len(self._pending) > behind:
            end = behind
        if end < 0:
            self._take(self._pending[:at])
            self._pending = self._pending[at:]
            return
        self._take(self._pending[:at])
        self.trailer = self._pending[at + len(self._mark) : end].strip()
        self.rest = self._pending[end + 1 :][: self._keep]
        self._pending = b""

    def said(self) -> bytes:
        """What was kept; where something was left out, a line says how much."""
        end = b"" if self.trailer is not None else self._pending
        gap = b"\n[... %d bytes left out ...]\n" % self._dropped if self._dropped else b""
        return bytes(self._head) + gap + bytes(self._tail) + end

    def _take(self, data: bytes) -> None:
        if not data:
            return
        if self._speak is not None:
            self._speak(data)
        room = self._keep - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        extra = len(self._tail) - self._keep
        if extra > 0:
            del self._tail[:extra]
            self._dropped += extra
