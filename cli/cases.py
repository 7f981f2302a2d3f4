"""``vzplan verify --cases``: a site's own recorded nodes, the moves that it means to make, and the plans it expects.

A case is a folder with the facts of its nodes (``vzplan facts -o FOLDER``), a ``case.toml`` that says which move, in
the words of ``vzplan show``, and the plan that is expected, ``plan.txt``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from difflib import unified_diff
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, structs

from cli import output, verification
from cli.aim import Aim
from cli.errors import UserError
from cli.exit_codes import ExitCode
from cli.paths import is_file, is_folder
from cli.shell_words import split_words
from executor import control
from executor.facts_files import FactsFileError, read_whole, write_whole
from executor.site import SimulatedSite
from planner.codec import CodecError
from planner.findings import typed
from planner.make import make_plan
from planner.model import Asked

CASE: Final = "case.toml"
PLAN: Final = "plan.txt"
LIMIT_BYTES: Final = 1 << 20


class Case(Struct, frozen=True, forbid_unknown_fields=True):
    """``case.toml``."""

    move: str  # as behind ``vzplan show``, such as "123 hn2 --precopy 2"
    verify: bool = True  # whether every failure of the plan is tried


class Found(Struct, frozen=True):
    """What came of a case: what speaks against it, or nothing; ``said``: in a few words; ``code``: if it were alone.

    ``refused``: there is no plan, as it stands in ``plan.txt``.
    """

    name: str
    said: str
    against: tuple[str, ...]
    code: ExitCode
    refused: bool = False


def cases(folder: Path) -> list[Path]:
    """The cases below ``folder``, in order of their names; or itself, if it is one.

    Raises:
        UserError: there are none.
    """
    if not is_folder(folder):
        raise UserError(f"{folder}: not a folder; name one that has cases in it")
    if is_file(folder / CASE):
        return [folder]
    try:
        found = sorted(path for path in folder.iterdir() if _may_be_case(path))
    except OSError as problem:
        raise UserError(f"{folder}: {problem.strerror}; name one that can be looked into") from None
    if not found:
        gathers = typed("vzplan", "facts", "-o", f"{folder}/NAME", "NODE...")
        raise UserError(
            f"{folder}: no case is in there; make one with {gathers} and write "
            f'{folder}/NAME/{CASE} with a line such as: move = "123 hn2"'
        )
    return found


def _may_be_case(folder: Path) -> bool:
    """Also what cannot be looked into: that is told when it is tried, and never passed over."""
    try:
        (folder / CASE).lstat()
    except OSError as problem:
        return not isinstance(problem, FileNotFoundError | NotADirectoryError)
    return True


def _name(folder: Path) -> str:
    """As it is called beside the others: a link may lead to a folder that is called as one of them."""
    return output.plain(folder.name if folder.name not in ("", "..") else folder.resolve().name)


def tried(folder: Path, read: Callable[[list[str]], Aim], *, failures: int, update: bool) -> Found:
    """Plan the case's move, compare it with the plan that is expected, and verify it.

    A case that cannot be read, or of which nothing can be said, is found to be so; others go on.
    ``read``: the words of a move as flags; ``update``: the plan is written down instead of being compared.
    """
    try:
        return _tried(folder, read, failures=failures, update=update)
    except (UserError, CodecError, FactsFileError) as problem:
        code = problem.code if isinstance(problem, UserError) else ExitCode.USAGE
        said = "nothing can be said of it" if code == ExitCode.REFUSED else "cannot be read"
        told = "\n".join(map(output.plain, str(problem).splitlines()))
        return Found(_name(folder), said, (told,), code)


def _tried(folder: Path, read: Callable[[list[str]], Aim], *, failures: int, update: bool) -> Found:
    path = folder / CASE
    case = _case(path)
    words = split_words(f"{path}: move", case.move)
    odd = next((word for word in words if word.partition("=")[0] in ("--help", "--simulate")), None)
    if odd is not None:
        raise UserError(f"{path}: move: {odd}: a move is CTID DEST and its flags, of the nodes beside it")
    move = [*words, "--simulate", str(folder)]
    aim = _understood(path, read, move)
    site = SimulatedSite(folder)
    source = aim.source or control.source_of(aim.ctid, site.recorded, aim.destination).node
    for name in (source, aim.destination):
        if name not in site.recorded:
            raise UserError(
                f"{path}: no facts of {name or 'a node that has the container'} are beside it; there are "
                f"{', '.join(site.recorded)}"
            )
    assert source is not None
    rsync = split_words(f"{path}: --rsync", aim.rsync)
    peer_ssh = split_words(f"{path}: --peer-ssh", aim.peer_ssh or "")
    options = structs.replace(aim.options, rsync=rsync, peer_ssh=peer_ssh)
    request = control.look(Asked(aim.ctid, source, aim.destination, options), site)
    plan = make_plan(request)
    against = _differs(folder / PLAN, output.plan_text(plan), update=update)
    said = "planned"
    if not plan.runnable:
        expected = "so it is expected from now on" if update else f"so {PLAN} expects it"
        said = "there is no plan" + ("" if against else f": {expected}")
    if plan.runnable and case.verify:
        verdict = verification.verified(request, plan, failures=failures)
        said = verification.line(verdict)
        against += verification.against(verdict)
    code = ExitCode.DIFFERS if against else ExitCode.OK
    return Found(_name(folder), said, tuple(against), code, not plan.runnable)


def _understood(path: Path, read: Callable[[list[str]], Aim], move: list[str]) -> Aim:
    try:
        return read(move)
    except UserError as problem:
        raise UserError(f"{path}: move: {problem}") from None
    except Exception as problem:  # typer brings its own copy of click, and gives no name to its errors
        told = getattr(problem, "format_message", None)
        if told is None:
            raise
        raise UserError(f"{path}: move: {told()}") from None


def _case(path: Path) -> Case:
    try:
        text = read_whole(path, LIMIT_BYTES)
        if text is None:
            raise UserError(f"{path}: not a file, or too large for a case")
        return msgspec.convert(tomllib.loads(text.decode()), Case)
    except OSError as problem:
        raise UserError(f"{path}: {problem.strerror}") from None
    except (msgspec.ValidationError, tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise UserError(f'{path}: {problem}; it has a line such as: move = "123 hn2"') from None


def _differs(path: Path, now: str, *, update: bool) -> list[str]:
    """A plan that is not the expected one, as a diff."""
    try:
        if update:
            write_whole(path, now)
        expected = read_whole(path, LIMIT_BYTES) if path.exists() else b""
    except OSError as problem:
        raise UserError(f"{path}: {problem.strerror}") from None
    before = (expected or b"").decode(errors="replace").splitlines()
    if before == now.splitlines():
        return []
    if not before:
        return [f"{PLAN} is not there; look at the plan, and write it down with --update\n{now}"]
    lines = unified_diff(before, now.splitlines(), PLAN, "now", lineterm="")
    return ["\n".join([f"the plan is not the one that {PLAN} expects", *lines])]
