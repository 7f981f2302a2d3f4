"""Container configs and vz.conf, read and edited as text; never sourced, never evaluated.

The format is that of ctid.conf(5): ``NAME="value"`` lines. [seen] Of a parameter that stands twice vzctl takes the
first, a shell that sources the file takes the last; so a duplicate of what matters is a finding, not a choice.
Only ``$VEID``, ``${VEID}``, ``$CTID`` and ``${CTID}`` are known; command substitution and other variables are
refused (``ConfigError``), since hooks would evaluate them.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import Final

from msgspec import Struct

FENCE: Final = (
    "# vzplan: fenced while this container is being moved; 'vzplan runs' says by whom\nDISABLED=\"yes\"\n"
)
"""What ``fence`` puts on top of a config and ``unfence`` takes out again, to the letter."""
DUMP_PLACE: Final = ".vzplan-dump-"
"""How the name of a directory of ours for a memory dump begins; its container's number follows."""
_FENCED: Final = re.compile(re.escape(FENCE) + rf'(?:DUMPDIR="[^"\n]*/{re.escape(DUMP_PLACE)}\d+/[a-z]+"\n)?')

_WORD: Final = (
    r"""(?:[^\s"'`\\;&|<>()]|\$\([^)]*\)|`[^`]*`)*"""  # what would be evaluated is complained of apart
)
_CLEAN: Final = re.compile(
    rf"""[ \t]*(?:\#[^\r]*|[A-Za-z_]\w*=(?:"[^"\r]*"|'[^'\r]*'|{_WORD})[ \t]*(?:[ \t]\#[^\r]*)?)?\r?""",
    re.ASCII,
)
"""A line that vzctl and a shell read alike: nothing, a comment, or one setting and perhaps a comment behind it."""
_LINE: Final = re.compile(r"[ \t]*([A-Za-z_][A-Za-z0-9_]*)[ \t]*=(.*)", re.DOTALL)
VARIABLE: Final = re.compile(r"\$(?:VEID|CTID)(?![A-Za-z0-9_])|\$\{(?:VEID|CTID)\}")


class ConfigError(ValueError):
    """A value that cannot be taken as data; the message names the parameter and what is in the way."""


class Setting(Struct, frozen=True):
    """One ``NAME=value`` line: ``line`` counts from 0, ``value`` has its quotes taken off, nothing expanded."""

    name: str
    value: str
    line: int


@lru_cache(maxsize=4096)
def settings(text: str) -> tuple[Setting, ...]:
    """Every setting of a config, in order, duplicates included; comments and other lines are passed over."""
    found = []
    for number, line in enumerate(text.split("\n")):
        match = _LINE.match(line)
        if match:
            found.append(Setting(match[1], _unquoted(match[2]), number))
    return tuple(found)


@lru_cache(maxsize=4096)
def strange(text: str) -> tuple[tuple[int, str], ...]:
    """Lines, counted from 1, that a shell which sources the config may read otherwise than vzctl, or would run.

    ``export VE_DEVICE=...`` is no setting for vzctl, and one for a hook; ``A=1; VE_DEVICE=...`` is two for a hook.
    """
    lines = text.split("\n")
    return tuple((n, line) for n, line in enumerate(lines, 1) if not _CLEAN.fullmatch(line))


def value(text: str, name: str) -> str | None:
    """The value of ``name`` as vzctl reads it (first occurrence), not expanded; None if it is not set."""
    return next((s.value for s in settings(text) if s.name == name), None)


def duplicates(text: str) -> frozenset[str]:
    """Names that are set more than once."""
    names = Counter(setting.name for setting in settings(text))
    return frozenset(name for name, count in names.items() if count > 1)


def expanded(name: str, raw: str, ctid: int) -> str:
    """``raw`` with the container number put in.

    Raises:
        ConfigError: it has command substitution, a backslash, or a variable other than VEID and CTID.
    """
    text = VARIABLE.sub(str(ctid), raw)
    if "$" in text or "`" in text or "\\" in text:
        raise ConfigError(f"{name}={raw!r} would have to be evaluated by a shell")
    return text


def with_value(text: str, name: str, new: str) -> str:
    """``text`` with ``name`` set to ``new`` by the smallest edit: one line changes, or one is added at the end.

    Comments, order and line endings survive. ``new`` must hold no quote, backslash, ``$``, backtick or newline.

    Raises:
        ConfigError: ``new`` cannot be written between double quotes as it is.
    """
    if re.search(r"[\"\\$`\r\n]", new):
        raise ConfigError(f"{name}: {new!r} cannot be written into a config")
    lines = text.split("\n")
    for setting in settings(text):
        if setting.name == name:
            lines[setting.line] = _replaced(lines[setting.line], new)
            return "\n".join(lines)
    end = "\r\n" if "\r\n" in text else "\n"
    gap = "" if text.endswith("\n") or not text else end
    return f'{text}{gap}{name}="{new}"{end}'


def without(text: str, name: str) -> str:
    """``text`` without any setting of ``name``; all else stays as it is."""
    gone = {setting.line for setting in settings(text) if setting.name == name}
    return "\n".join(line for number, line in enumerate(text.split("\n")) if number not in gone)


def without_fence(text: str) -> str:
    """``text`` without vzplan's own fence, wherever it stands; all else stays."""
    return _FENCED.sub("", text, count=1)


def fence(dumpdir: str | None = None) -> str:
    """The fence, and with it where vzctl is to look for the memory dump: of two settings it takes the first."""
    return FENCE if dumpdir is None else f'{FENCE}DUMPDIR="{dumpdir}"\n'


def _replaced(line: str, new: str) -> str:
    head, _, tail = line.partition("=")
    kept = tail[len(tail.rstrip("\r")) :]
    lead = tail[: len(tail) - len(tail.lstrip(" \t"))]
    # Its blanks are stripped, not matched: a pattern would try each of a million of them as the first.
    bare = tail.rstrip("\r")
    comment = re.search(r"[ \t]#", bare)
    trailing = bare[len(bare[: comment.start()].rstrip(" \t")) :] if comment else ""
    return f'{head}={lead}"{new}"{trailing}{kept}'


def _unquoted(raw: str) -> str:
    text = raw.strip(" \t\r")
    for quote in ('"', "'"):
        if text.startswith(quote):
            end = text.find(quote, 1)
            return text[1:end] if end > 0 else text[1:]
    return re.split(r"[ \t]", text, maxsplit=1)[0]
