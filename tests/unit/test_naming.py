"""How the staged config gets its name: the sh text itself, with whatever may be at either name."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from executor import verbs
from planner.verbs import HALF_UP, NOT_UP
from tests.unit.test_library import SHELLS

DOWN: Final = "CTID 123 exist unmounted down"
UP: Final = "CTID 123 exist mounted running"
OURS, ANOTHERS, WRITTEN_INTO = "# ours\n", "# another's\n", '# ours\nVE_LAYOUT="simfs"\n'
COMES_FIRST: Final = """ln() { printf "# another's\\n" >"$conf/123.conf"; command ln "$@"; }"""


class Found(NamedTuple):
    """What is at both names and in the run's folder before, and what must be there afterwards."""

    config: str | None
    staged: str | None
    naming: bool
    says: str
    status: int
    config_after: str | None
    staged_after: str | None
    one_file: bool = False
    meanwhile: str = ""


CASES: Final = {
    "staged": Found(None, OURS, False, DOWN, 0, OURS, None),
    "cut off before the name": Found(None, OURS, True, DOWN, 0, OURS, None),
    "named": Found(OURS, None, True, DOWN, 0, OURS, None),
    "both names": Found(OURS, OURS, True, DOWN, 0, OURS, None, one_file=True),
    "both names, and vzctl wrote": Found(WRITTEN_INTO, OURS, True, UP, 0, WRITTEN_INTO, None),
    "another's": Found(ANOTHERS, OURS, False, DOWN, NOT_UP, ANOTHERS, OURS),
    "another's, and it is up": Found(ANOTHERS, OURS, False, UP, HALF_UP, ANOTHERS, OURS),
    "another's comes first": Found(None, OURS, False, DOWN, NOT_UP, ANOTHERS, OURS, meanwhile=COMES_FIRST),
    "none": Found(None, None, True, DOWN, NOT_UP, None, None),
    "none, and it is up": Found(None, None, True, UP, 1, None, None),
}


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
@pytest.mark.parametrize("case", CASES)
def test_only_what_was_staged_gets_the_name(case: str, shell: tuple[str, ...], tmp_path: Path) -> None:
    found, config, staged = CASES[case], tmp_path / "123.conf", tmp_path / "123.conf.vzplan"
    if found.staged is not None:
        staged.write_text(found.staged)
    if found.one_file:
        os.link(staged, config)
    elif found.config is not None:
        config.write_text(found.config)
    naming = tmp_path / "naming"
    if found.naming:
        naming.touch()
    script = (
        f"{verbs.library()}\nconf=$PLACE run=$PLACE\nsync() {{ :; }}\n"
        f'vzctl() {{ echo "{found.says}"; }}\n{found.meanwhile}\nname_config 123 "$conf/123.conf.vzplan"\n'
    )
    for _ in range(2):  # a verb that is sent once more does nothing more
        said = subprocess.run(
            [*shell, "-c", script],
            env={**os.environ, "PLACE": str(tmp_path), "VZPLAN_RUN": "run-1", "VZPLAN_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (said.returncode, _text(config), _text(staged)) == (
            found.status,
            found.config_after,
            found.staged_after,
        ), said.stderr
    # What says that the name is this run's is not left where another was first.
    assert naming.exists() is (found.config_after != ANOTHERS and (found.naming or found.config is None))
