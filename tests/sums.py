"""How much was tried by the tests that try as much as there is: summed up at the end of a run, over all processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

import pytest

SUM: Final = "sum of "
"""How the name of such a property begins: ``record_property(f"{SUM}points", 7)``."""


def sums(reports: Iterable[pytest.TestReport]) -> list[str]:
    """A line for each name; a test that failed counts as far as it came."""
    found: Counter[str] = Counter()
    for report in reports:
        for name, value in report.user_properties:
            if name.startswith(SUM) and isinstance(value, int):
                found[name.removeprefix(SUM)] += value
    return [f"{name}: {number:,}" for name, number in sorted(found.items())]
