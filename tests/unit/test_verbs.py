"""The vocabulary: the table, the sh texts and the simulated twins speak of the same verbs with the same operands."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
from keyword import iskeyword
from pathlib import Path

import pytest

from executor import verbs
from executor.simulated.twins import TWINS
from planner.plan import Command
from planner.verbs import VERBS

FOLDER = Path(verbs.__file__).parent
NO_VERBS = {*verbs.SHARED, "wrapper"}
SHELLS = (("dash",), ("bash", "--posix"), ("busybox", "sh"))

shells = pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
each_verb = pytest.mark.parametrize("verb", sorted(VERBS))


def usage(verb: str) -> re.Match[str]:
    """``# VERB OPERAND... [<INPUT]``: the first comment of a verb's text that is not for shellcheck."""
    lines = verbs.text(verb).splitlines()
    line = next(line for line in lines if not line.startswith("# shellcheck "))
    found = re.match(
        rf"# {re.escape(verb)}(?P<operands>(?: [A-Z0-9_]+)*)(?P<input> <[A-Z]+)?(?![A-Z<])", line
    )
    assert found is not None, f"{verb}.sh begins with {line!r}"
    return found


def test_every_verb_has_a_text_and_every_text_a_verb() -> None:
    assert {path.stem for path in FOLDER.glob("*.sh")} - NO_VERBS == set(VERBS)


def test_every_verb_has_a_twin_and_every_twin_a_verb() -> None:
    assert set(TWINS) == set(VERBS)
    assert len(set(TWINS.values())) == len(TWINS), "two verbs share a twin"


def test_there_is_no_text_of_what_is_no_verb() -> None:
    for name in (*NO_VERBS, "rm", "../__init__"):
        with pytest.raises(KeyError):
            verbs.text(name)


@each_verb
def test_a_text_begins_with_the_operands_of_the_table(verb: str) -> None:
    operands = usage(verb)["operands"].split()
    assert tuple(word.lower() for word in operands) == VERBS[verb].operands


@each_verb
def test_a_text_names_its_input_if_the_table_says_that_it_reads_one(verb: str) -> None:
    assert (usage(verb)["input"] is not None) == VERBS[verb].reads_stdin


@each_verb
def test_a_text_uses_no_operand_that_the_table_does_not_have(verb: str) -> None:
    # Functions, and scripts for another shell, have operands of their own.
    outside = re.sub(r"^\w+\(\) \{.*?^\}|='\n.*?'$", "", verbs.text(verb), flags=re.MULTILINE | re.DOTALL)
    used = {int(number) for number in re.findall(r"\$\{?([1-9])", outside)}
    assert max(used, default=0) <= len(VERBS[verb].operands)


@each_verb
def test_a_twin_takes_here_and_the_operands_of_the_table(verb: str) -> None:
    _, *operands = inspect.signature(TWINS[verb]).parameters.values()
    assert len(operands) == len(VERBS[verb].operands)
    for parameter, operand in zip(operands, VERBS[verb].operands, strict=True):
        assert parameter.name == operand or iskeyword(operand)  # "pass" cannot be a parameter's name
    assert all(each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for each in operands)
    assert all(each.default is inspect.Parameter.empty for each in operands)


@each_verb
def test_a_command_takes_as_many_operands_as_the_table_says(verb: str) -> None:
    count = len(VERBS[verb].operands)
    Command("here", (verb, *["x"] * count), "", 1)
    for wrong in {count - 1, count + 1} - {-1}:
        with pytest.raises(ValueError, match="takes"):
            Command("here", (verb, *["x"] * wrong), "", 1)


@each_verb
@shells
def test_every_shell_of_a_node_can_read_every_text(verb: str, shell: tuple[str, ...]) -> None:
    accepts(shell, f"{verbs.library()}\n{verbs.text(verb)}")


@shells
def test_every_shell_of_a_node_can_read_the_wrapper(shell: tuple[str, ...]) -> None:
    accepts(shell, verbs.wrapper())


def accepts(shell: tuple[str, ...], text: str) -> None:
    """``sh -n``: read to the end, run nothing."""
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    done = subprocess.run((*shell, "-n"), input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
