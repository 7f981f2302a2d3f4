"""Facts, plans and journal entries as JSON: strict within a version, deterministic, versioned.

Text in, text out: reading and writing files is the business of others.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import msgspec

from planner.model import FACTS_VERSION, NodeFacts
from planner.plan import JOURNAL_VERSION, JOURNALS_READ, Entry, Plan

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_FACTS: Final = msgspec.json.Decoder(NodeFacts)
_PLAN: Final = msgspec.json.Decoder(Plan)

MAKE_AGAIN: Final = "make it again with 'vzplan show -o'"
"""A plan, of which nothing is to be mended by hand."""

DAMAGED: Final = "the journal is damaged"

_NOT_DECODED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a text. Python's own reader, which looks first, passes some (UTF-16, half a surrogate)."""


class _Head(msgspec.Struct):
    """What of an entry every version can read."""

    type: str = ""
    version: int | None = None
    by: str = ""


_HEAD: Final = msgspec.json.Decoder(_Head)
_ENTRY: Final[msgspec.json.Decoder[Entry]] = msgspec.json.Decoder(Entry)


class CodecError(ValueError):
    """The text is not what it should be; the message names ``where`` (a file) and the path inside it."""

    def __init__(self, where: str, problem: str, remedy: str) -> None:
        """Say which file, what is wrong in it, and what to do."""
        super().__init__(f"{where}: {problem}; {remedy}")


def encode(value: object) -> bytes:
    """One line of JSON; the same value always gives the same bytes."""
    return _ENCODER.encode(value)


def pretty(value: object) -> str:
    """JSON for people and for files under version control: indented, a newline at the end."""
    return msgspec.json.format(_ENCODER.encode(value), indent=2).decode() + "\n"


def sha256(value: object) -> str:
    """Hex digest of ``encode(value)``."""
    return hashlib.sha256(_ENCODER.encode(value)).hexdigest()


def text_sha256(text: str) -> str:
    """Hex digest of a text's UTF-8 bytes, as ``sha256sum`` on a node prints it for the file."""
    return hashlib.sha256(text.encode()).hexdigest()


def decode_facts(text: bytes, where: str) -> NodeFacts:
    """A node's facts from a facts file.

    Raises:
        CodecError: no JSON, another version, an unknown or missing field, a value of the wrong type.
    """
    version = _peek(text, where, "gather it again with 'vzplan facts'").get("version")
    if version != FACTS_VERSION:
        raise CodecError(
            where,
            f"facts of version {version!r}, this vzplan reads version {FACTS_VERSION} - at `$.version`",
            "gather them again with 'vzplan facts'",
        )
    try:
        return _FACTS.decode(text)
    except _NOT_DECODED as error:
        raise CodecError(
            where, str(error), "gather it again with 'vzplan facts', or mend that field"
        ) from None


def decode_plan(text: bytes, where: str) -> Plan:
    """A plan from its JSON.

    Raises:
        CodecError: no JSON, or not a plan that keeps the rules of the saga.
    """
    _peek(text, where, MAKE_AGAIN)
    try:
        return _PLAN.decode(text)
    except _NOT_DECODED as error:
        raise CodecError(where, str(error), MAKE_AGAIN) from None


def decode_entry(text: bytes, where: str, remedy: str = DAMAGED) -> Entry:
    """One journal entry from its JSON.

    Raises:
        CodecError: not an entry, or one of a version that this vzplan does not know.
    """
    try:
        head = _HEAD.decode(text)
        if head.type == "Opened" and head.version is not None and head.version not in JOURNALS_READ:
            later = ", or a later one" if head.version > JOURNAL_VERSION else ""
            raise CodecError(
                where,
                f"written by vzplan {head.by}, as version {head.version} of the journal; this vzplan reads "
                f"{' and '.join(map(str, JOURNALS_READ))}",
                f"recover the run with that one{later}",
            )
        return _ENTRY.decode(text)
    except _NOT_DECODED as error:
        raise CodecError(where, str(error), remedy) from None


def _peek(text: bytes, where: str, remedy: str) -> dict[str, Any]:
    try:
        top = json.loads(text, object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
    except RecursionError:
        raise CodecError(where, "nested too deeply", "is this the right file?") from None
    except ValueError as error:
        raise CodecError(where, f"not JSON: {error}", f"the file is cut short or damaged; {remedy}") from None
    if not isinstance(top, dict):
        raise CodecError(
            where, f"Expected `object`, got `{type(top).__name__}` - at `$`", "is this the right file?"
        )
    return top


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is a word of Python's, not of JSON's")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Which of two would count depends on who reads it."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} stands there twice")
        found[name] = value
    return found
