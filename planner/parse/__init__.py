"""One tool's output -> facts, one file a tool. Pure: text in, values out."""

from __future__ import annotations

import re
from typing import Final

COUNT: Final = re.compile("[0-9]{1,30}")
"""Bytes, inodes, sectors. Nothing has more digits, and of thousands of them Python makes no number."""


class ParseError(ValueError):
    """An output is not what its tool prints; the message shows what stood there."""
