"""A property is tried twice: on examples that are the same each time, and on some of a fresh seed.

Hypothesis also draws the numbers and words that stand in modules which are loaded at that time. So all are loaded, or
what is the same each time would hang on which tests ran before in the same process.

With ``VZPLAN_SEED`` only those of that seed are tried, as many as ``VZPLAN_EXAMPLES`` says.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pkgutil import walk_packages
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

import cli
import executor
import planner
from tests.seeds import EXAMPLES, FRESH, SEED, repeated_by

CORE: Final = "core"
KINDS: Final = ("fresh",) if SEED else (CORE, "fresh")

for package in (planner, executor, cli):
    for module in walk_packages(package.__path__, f"{package.__name__}."):
        import_module(module.name)

Property = Callable[..., None]


def chosen(kind: str, core: int, fresh: int, **more: Any) -> settings:  # noqa: ANN401 # settings of all kinds
    """How many examples, and which; worlds are large, and drawing one takes as long as trying it."""
    same = kind == CORE
    return settings(
        derandomize=same,
        max_examples=core if same else EXAMPLES or fresh,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
        ],
        **more,
    )


def holds(*, core: int, fresh: int, **drawn: st.SearchStrategy[Any]) -> Callable[[Property], Property]:
    """The function is a property of what is drawn; so many examples of each kind."""

    def decorate(promise: Property) -> Property:
        @pytest.mark.parametrize("examples", KINDS)
        def test(examples: str) -> None:
            tried = chosen(examples, core, fresh)(given(**drawn)(promise))
            _tried(examples, tried if examples == CORE else seed(int(FRESH))(tried))

        test.__doc__ = promise.__doc__
        return test

    return decorate


def machine_holds(
    machine: type[RuleBasedStateMachine], *, core: int, fresh: int, steps: int
) -> Callable[[str], None]:
    """A test that plays a machine; so many examples of each kind, of up to so many steps."""

    @pytest.mark.parametrize("examples", KINDS)
    def test(examples: str) -> None:
        played = machine if examples == CORE else seed(int(FRESH))(type(machine.__name__, (machine,), {}))
        how = chosen(examples, core, fresh, stateful_step_count=steps, phases=(Phase.generate, Phase.shrink))
        _tried(examples, lambda: run_state_machine_as_test(played, settings=how))

    test.__doc__ = machine.__doc__
    return test


def _tried(kind: str, test: Callable[[], None]) -> None:
    try:
        test()
    except BaseException as problem:
        if kind != CORE:
            problem.add_note(repeated_by())
        raise
