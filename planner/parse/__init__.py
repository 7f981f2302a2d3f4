"""One tool's output -> facts, one file a tool. Pure: text in, values out."""

from __future__ import annotations


class ParseError(ValueError):
    """An output is not what its tool prints; the message shows what stood there."""
