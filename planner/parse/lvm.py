"""lvm.conf(5), and lvmlocal.conf, which comes before it: what LVM activates by itself when the node boots."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from planner.model import Activation

AT_BOOT: Final = "activation/auto_activation_volume_list"
AT_ALL: Final = "activation/volume_list"
"""What may be activated at all; a boot activates all of it, unless the other list says which."""

_TOKEN: Final = re.compile(
    r"""\s+ | \#[^\n]* | (?P<mark>[{}\[\]=,]) | "(?P<quoted>(?:[^"\\]|\\.)*)" | '(?P<single>[^']*)'"""
    r"""| (?P<bare>[^\s{}\[\]=,#"']+) | (?P<open>.)""",
    re.VERBOSE | re.DOTALL,
)


def activations(files: Mapping[str, str]) -> tuple[Activation, ...]:
    """What is named in the list that a boot goes by; a later file comes before an earlier one.

    Where nothing is listed LVM activates whatever it sees: nobody said so of a certain volume. What a tag ("@tag")
    stands for only LVM's own metadata tell.
    """
    said = {name: (where, words) for where, text in files.items() for name, words in settings(text).items()}
    where, words = said.get(AT_BOOT) or said.get(AT_ALL) or ("", ())
    named = (word.partition("/") for word in dict.fromkeys(words) if not word.startswith("@"))
    return tuple(Activation(where, group, volume or None) for group, _, volume in named if group)


def settings(text: str) -> dict[str, tuple[str, ...]]:
    """Every setting as ``section/name``, a single value as a list of one; of one that stands twice the last."""
    found: dict[str, tuple[str, ...]] = {}
    sections: list[str] = []
    name = ""
    tokens = _tokens(text)
    for kind, word in tokens:
        match kind, word:
            case "mark", "{":
                sections.append(name)
            case "mark", "}":
                del sections[-1:]
            case "mark", "=":
                found["/".join((*sections, name))] = _values(tokens)
            case _:
                name = word
    return found


def _values(tokens: Iterator[tuple[str, str]]) -> tuple[str, ...]:
    first = next(tokens, ("", ""))
    if first != ("mark", "["):
        return (first[1],)
    found = []
    for token in tokens:
        if token == ("mark", "]"):
            break
        if token[0] != "mark":
            found.append(token[1])
    return tuple(found)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Words and marks; comments are passed over. A quote that is never closed ends it: that is no value."""
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind == "open":
            return
        if kind is not None:
            yield kind, match[kind]
