"""What ``make mutation`` changes, and that a change is put in place without anything else moving."""

from __future__ import annotations

from pathlib import Path
from types import FunctionType

import pytest

from tests.mutation.__main__ import ROOT, _key, _reasons
from tests.mutation.mutants import Mutant, mutants_of

SOURCE = '''\
"""A module."""

LIMIT = 3


def decides(a: int, b: str = "x") -> int | None:
    """Words."""
    if not b or a > LIMIT:
        raise ValueError("y is not enough")
    for n in range(4):
        if n:
            continue
        return a + n
    return None


class Thing:
    kind = "thing"

    @property
    def name(self) -> str:
        return "a thing " + self.kind.strip("t")
'''


def mutants(tmp_path: Path) -> list[Mutant]:
    (tmp_path / "some.py").write_text(SOURCE)
    return mutants_of(tmp_path, "some.py")


def test_what_functions_do_is_changed_and_nothing_else(tmp_path: Path) -> None:
    assert [f"{mutant.lines.start} {mutant.name}" for mutant in mutants(tmp_path)] == [
        "8 decides: `not b or a > LIMIT` -> `not b and a > LIMIT`",
        "8 decides: `not b` -> `b`",
        "8 decides: `a > LIMIT` -> `a >= LIMIT`",
        "9 decides: `raise ValueError('y is not enough')` -> `pass`",
        "10 decides: `4` -> `5`",
        "11 decides: `n` -> `not n`",
        "12 decides: `continue` -> `break`",
        "13 decides: `return a + n` -> `return None`",
        "13 decides: `a + n` -> `a - n`",
        "22 Thing.name: `return 'a thing ' + self.kind.strip('t')` -> `return None`",
        "22 Thing.name: `'a thing ' + self.kind.strip('t')` -> `'a thing ' - self.kind.strip('t')`",
        "22 Thing.name: `'t'` -> `'tXX'`",
    ]


def test_a_mutant_has_its_own_change_only(tmp_path: Path) -> None:
    def results(mutant: Mutant | None) -> list[object]:
        names: dict[str, object] = {}
        exec(SOURCE, names)  # noqa: S102 # the source is the one above
        decides = names["decides"]
        assert isinstance(decides, FunctionType)
        if mutant is not None:
            decides.__code__ = mutant.codes("some.py")["decides"]
        return [decides(a, b="y") for a in (1, 3)]

    _, otherwise, *_, returns, minus = [m for m in mutants(tmp_path) if m.function == "decides"]
    assert results(None) == [1, 3]
    assert results(returns) == [None, None]
    assert results(minus) == [1, 3]  # what is added is 0: these results do not tell
    with pytest.raises(ValueError, match="y is not enough"):
        results(otherwise)


def test_every_known_survivor_is_a_mutant_of_today() -> None:
    known = _reasons().keys()
    files = {key.partition(" ")[0] for key in known}
    assert len(files) > 10
    assert known - {_key(mutant) for file in files for mutant in mutants_of(ROOT, file)} == set()
