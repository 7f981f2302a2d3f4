"""The words that commands have in common: which container, from where to where, and how; and what they mean."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from cli.aim import Aim
from planner.model import FROZEN_MAX_S, Check, Options

CTID_MAX: Final = 2**31 - 1
SHOWN: Final = 40
"""So much of a wrong word is shown."""


class YesNo(StrEnum):
    """As vzmigrate has it."""

    YES = "yes"
    NO = "no"


def whole(word: str, least: int, most: int) -> int | None:
    """The number that a word is: ASCII digits, and nothing else that Python would take for one ("1_2", "+3")."""
    # So many digits at most: Python reads no number of thousands.
    if re.fullmatch("[0-9]{1,10}", word) and least <= int(word) <= most:
        return int(word)
    return None


def number(least: int, most: int) -> Callable[[str | int], int]:
    """What takes a whole number, or says that a word is none."""

    def read(said: str | int) -> int:
        """A word, or the default."""
        word = str(said)
        found = whole(word, least, most)
        if found is not None:
            return found
        raise typer.BadParameter(f"{word[:SHOWN]!r} is not a number from {least} to {most}.")

    return read


Ctid = Annotated[
    int, typer.Argument(metavar="CTID", help="Number of the container.", parser=number(1, CTID_MAX))
]
Dest = Annotated[str, typer.Argument(metavar="DEST", help="Hardware node that it moves to.")]
From = Annotated[
    str | None, typer.Option("--from", metavar="NODE", help="Node that has it (default: this machine).")
]
Ssh = Annotated[
    str, typer.Option(metavar="OPTIONS", help="Options for every ssh to a node, quoted as for a shell.")
]
PeerSsh = Annotated[
    str | None,
    typer.Option(
        metavar="OPTIONS",
        help="ssh options by which the source reaches DEST (default: --ssh's if the source is here).",
    ),
]
Simulate = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Work on the nodes recorded in DIR instead of real ones; DIR stays as it is."
    ),
]
DstDevice = Annotated[
    str | None,
    typer.Option(
        metavar="DEV", help="The device that it is to own at DEST (the same LUN: it is handed over)."
    ),
]
DstShared = Annotated[
    bool, typer.Option("--dst-shared", help="It is to share a filesystem at DEST, although it owns one now.")
]
SameDevice = Annotated[
    bool,
    typer.Option(
        "--same-device", help="Your word that both nodes see one device; the challenge still decides."
    ),
]
AlsoSeenBy = Annotated[
    list[str] | None,
    typer.Option(metavar="NODE", help="A further node that sees the device; once for each of them."),
]
InstallHooks = Annotated[
    bool,
    typer.Option("--install-hooks", help="Give it premount and postumount scripts that mount its device."),
]
RemoveArea = Annotated[
    YesNo, typer.Option(help="Whether the source's private area is deleted once it has moved.")
]
Rsync = Annotated[
    list[str] | None,
    typer.Option(
        metavar="OPTIONS", help="Further options for rsync, such as --bwlimit=5000; may be repeated."
    ),
]


def _passes(said: str | int) -> int | Literal["auto"]:
    """What --precopy takes, and its default."""
    word = str(said)
    if word == "auto":
        return "auto"
    if re.fullmatch("[0-9]{1,2}", word):
        return int(word)
    raise typer.BadParameter(f"{word!r} is neither a number from 0 to 99 nor 'auto'.")


Precopy = Annotated[
    int,  # or "auto"; of a union typer knows nothing
    typer.Option(
        metavar="N|auto",
        parser=_passes,
        help="Passes of the copy while it is up, before it goes down; auto: again while each sends at most half.",
    ),
]
Online = Annotated[
    bool, typer.Option("--online", "--live", help="Its memory goes along: suspended here, taken up there.")
]
NoDeps = Annotated[
    list[Check] | None,
    typer.Option(
        "--nodeps",
        help="Only warn of what this check finds: cpu (the CPU, and the version of memory images).",
    ),
]
DumpDevice = Annotated[
    str | None,
    typer.Option(
        metavar="DEV", help="Shared device that carries its memory in a hand-over (VE_DUMP_DEVICE)."
    ),
]
MaxFrozen = Annotated[
    int | None,
    typer.Option(
        metavar="SECONDS",
        parser=number(1, FROZEN_MAX_S),
        help="Take everything back if it is down for longer, before the point of no return "
        "(--online: 5 times the estimate, 60 at least).",
    ),
]
Times = Annotated[
    bool, typer.Option("--times", help="Say at the end how long it was down, and what that time went into.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print the command of every step, and the sh behind it.")
]


def aim(
    ctid: Ctid,
    dest: Dest,
    source: From = None,
    dst_device: DstDevice = None,
    dst_shared: DstShared = False,
    same_device: SameDevice = False,
    also_seen_by: AlsoSeenBy = None,
    install_hooks: InstallHooks = False,
    remove_area: RemoveArea = YesNo.YES,
    rsync: Rsync = None,
    precopy: Precopy = 1,
    online: Online = False,
    nodeps: NoDeps = None,
    dump_device: DumpDevice = None,
    max_frozen: MaxFrozen = None,
    ssh: Ssh = "",
    peer_ssh: PeerSsh = None,
    simulate: Simulate = None,
) -> Aim:
    """What show, check and apply have in common: which container, from where to where, and how."""
    return Aim(
        ctid=ctid,
        destination=dest,
        source=source,
        ssh=ssh,
        peer_ssh=peer_ssh,
        rsync=" ".join(rsync or ()),
        simulate=simulate,
        options=Options(
            dst_device=dst_device,
            dst_shared=dst_shared,
            same_device=same_device,
            also_seen_by=tuple(also_seen_by or ()),
            install_hooks=install_hooks,
            remove_area=remove_area is YesNo.YES,
            precopy=precopy,
            online=online,
            nodeps=tuple(sorted(set(nodeps or ()))),
            dump_device=dump_device,
            max_frozen_s=max_frozen,
        ),
    )


def aimed(command: Callable[..., None]) -> Callable[..., None]:
    """``command`` with the words of ``aim`` before its own; it is called with the ``Aim`` that they make."""
    own = {n: p for n, p in inspect.signature(command, eval_str=True).parameters.items() if n != "at"}
    common = {n: p for n, p in inspect.signature(aim, eval_str=True).parameters.items() if n not in own}

    unsaid: dict[str, Any] = {"ctid": 0, "dest": ""}  # by a command that has words of its own for them

    @wraps(command)
    def run(**words: Any) -> None:  # noqa: ANN401 # typer knows what they are
        command(aim(**{**unsaid, **{name: words.pop(name) for name in common}}), **words)

    # Arguments before flags; of the same kind, those of the command itself come last.
    words = sorted((*common.values(), *own.values()), key=lambda p: p.default is not p.empty)
    run.__signature__ = inspect.Signature(words)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in words}
    return run


def words_read(words: list[str]) -> Aim:
    """What words behind ``vzplan show`` say; whatever typer has to say of a wrong one flies."""
    from typer.main import get_command

    from cli.errors import UserError

    found: list[Aim] = []
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

    @alone.command()
    @aimed
    def move(at: Aim) -> None:
        found.append(at)

    get_command(alone).main(words, prog_name="move", standalone_mode=False)
    if not found:
        raise UserError("a move is CTID DEST and flags of 'vzplan show'; nothing is asked for here")
    return found[0]
