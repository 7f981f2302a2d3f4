"""How Hypothesis runs here: the same examples each time, so that a red test is red for everyone.

``VZPLAN_SEED=NUMBER`` explores instead: other examples, the same ones for the same number; ``VZPLAN_EXAMPLES=NUMBER``
says how many, of every property that does not say so itself. Properties of whole worlds
(``tests/property/examples.py``) are tried on some examples of a fresh seed as well; the header names it, and so does
each failure.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from cli import verification
from executor.simulated.verify import Verdict, verify
from planner.codec import encode
from planner.model import Request
from planner.plan import Plan
from tests.seeds import EXAMPLES, SEED, repeated_by
from tests.sums import sums
from tests.tiers import parted

# Helpers that assert: a failure shows what was compared, as it does in a test.
pytest.register_assert_rewrite(
    "tests.sandbox.nodes",
    "tests.sandbox.watched",
    "tests.sandbox.driving",
    "tests.sandbox.beside",
    "tests.kernels.alike",
    "tests.kernels.watched",
)

# No deadline: how long an example takes is the machine's affair, not a property of the code.
settings.register_profile("same-each-time", derandomize=True, deadline=None, print_blob=True)
settings.register_profile(
    "explore", derandomize=False, deadline=None, max_examples=EXAMPLES or 100, print_blob=True
)
settings.load_profile("explore" if SEED else "same-each-time")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Before Hypothesis looks: the seed as if it had been given by --hypothesis-seed."""
    if SEED:
        config.option.hypothesis_seed = SEED


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--part some|rest``: what ``make test`` runs, or what it leaves (tests/tiers.py)."""
    parser.addoption("--part", choices=("some", "rest"), help="what 'make test' runs, or what it leaves out")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is of the other part."""
    part = config.getoption("--part")
    if part is not None:
        mine, others = parted(items, rest=part == "rest")
        config.hook.pytest_deselected(items=others)
        items[:] = mine


def pytest_report_header() -> str:
    """What is new in this run can be seen again."""
    return f"hypothesis: {repeated_by()}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How much was tried (tests/sums.py)."""
    for line in sums([*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]):
        terminalreporter.write_line(line)


@pytest.fixture(autouse=True, scope="session")
def verified_once() -> Iterator[None]:
    """In one process the same plan, made from the same facts, is verified once: dozens of tests show the same plans."""
    known: dict[tuple[bytes, int], Verdict] = {}

    def once(request: Request, plan: Plan, *, failures: int = 1) -> Verdict:
        key = (encode((request, plan)), failures)
        if key not in known:
            known[key] = verify(request, plan, failures=failures)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "verify", once)
        yield
