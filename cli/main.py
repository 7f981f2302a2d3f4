"""``vzplan``: the commands and their flags."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.exit_codes import ExitCode

app = typer.Typer(
    name="vzplan",
    help="Move OpenVZ containers between hardware nodes: read the whole plan first, with what takes each step back.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

CTID_MAX = 2**31 - 1

Ctid = Annotated[int, typer.Argument(metavar="CTID", help="Number of the container.", min=1, max=CTID_MAX)]
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
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print the command of every step, and the sh behind it.")
]


@app.command()
def show(
    ctid: Ctid,
    dest: Dest,
    source: From = None,
    ssh: Ssh = "",
    peer_ssh: PeerSsh = None,
    simulate: Simulate = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Print the plan: every step, what takes it back, the point of no return. Changes nothing."""
    from cli import commands

    raise typer.Exit(
        commands.show(commands.Aim(ctid, dest, source, ssh, peer_ssh, simulate), json=json, verbose=verbose)
    )


@app.command()
def check(
    ctid: Ctid,
    dest: Dest,
    source: From = None,
    ssh: Ssh = "",
    peer_ssh: PeerSsh = None,
    simulate: Simulate = None,
    json: Json = False,
) -> None:
    """Print only what speaks against the move. Changes nothing."""
    from cli import commands

    raise typer.Exit(commands.check(commands.Aim(ctid, dest, source, ssh, peer_ssh, simulate), json=json))


@app.command()
def apply(
    ctid: Ctid,
    dest: Dest,
    source: From = None,
    ssh: Ssh = "",
    peer_ssh: PeerSsh = None,
    simulate: Simulate = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="OUT", help="With --simulate: write the nodes afterwards to OUT."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Move the container; take everything back if something goes wrong before the point of no return."""
    from cli import commands

    aim = commands.Aim(ctid, dest, source, ssh, peer_ssh, simulate)
    raise typer.Exit(commands.apply(aim, out=out, yes=yes, json=json, verbose=verbose))


@app.command()
def facts(
    nodes: Annotated[list[str], typer.Argument(metavar="NODE...", help="Hardware nodes to ask.")],
    ssh: Ssh = "",
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="Write DIR/NODE.json for each, instead of printing."),
    ] = None,
) -> None:
    """Print, or write, all that vzplan knows of a node. Changes nothing there."""
    from cli import commands

    raise typer.Exit(commands.facts(nodes, ssh, out))


@app.command()
def runs(
    open_only: Annotated[bool, typer.Option("--open", help="Only those that are not finished.")] = False,
) -> None:
    """List the runs of this control host."""
    from cli import commands

    raise typer.Exit(commands.runs(open_only=open_only))


@app.command()
def status(run: Annotated[str, typer.Argument(metavar="RUN")], json: Json = False) -> None:
    """Say how far a run went and what to type next. Changes nothing."""
    from cli import commands

    raise typer.Exit(commands.status(run, json=json))


@app.command()
def recover(
    run: Annotated[str, typer.Argument(metavar="RUN")], json: Json = False, verbose: Verbose = False
) -> None:
    """Take up a run whose controller is gone: unwind it, or after the point of no return complete it."""
    from cli import commands

    raise typer.Exit(commands.recover(run, json=json, verbose=verbose))


def main(words: list[str] | None = None) -> None:
    """Entry point; ``words`` stand for the command line.

    Every error that we know how to put in words is one line on stderr; none is a traceback.
    """
    from cli.errors import UserError
    from cli.output import plain
    from executor.facts_files import FactsFileError
    from executor.journal import JournalError
    from planner.codec import CodecError

    try:
        app(words)
    except UserError as problem:
        print(f"vzplan: {plain(str(problem))}", file=sys.stderr)
        sys.exit(problem.code)
    except (CodecError, FactsFileError, JournalError) as problem:
        print(f"vzplan: {plain(str(problem))}", file=sys.stderr)
        sys.exit(ExitCode.USAGE)
    except BrokenPipeError:
        # Whoever read our output has gone ("| head"); a run that was under way can be recovered.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.IN_DOUBT)
    except KeyboardInterrupt:
        print("vzplan: stopped; see 'vzplan runs --open'", file=sys.stderr)
        sys.exit(ExitCode.IN_DOUBT)


if __name__ == "__main__":
    main()
