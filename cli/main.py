"""``vzplan``: the commands and their flags."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path
from traceback import format_exception
from typing import Annotated, Any

import typer
from msgspec import structs

from cli.aim import Aim
from cli.exit_codes import ExitCode
from cli.flags import CTID_MAX, Json, PeerSsh, Ssh, Times, Verbose, aimed, number, whole, words_read
from cli.streams import OutputError, heard, tell
from planner.model import Options

app = typer.Typer(
    name="vzplan",
    help="Move OpenVZ containers between hardware nodes: read the whole plan first, with what takes each step back.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SHOWN = 200
"""So much of a word is told when it is a wrong one."""
INTERRUPTED = 130
"""What typer makes of Ctrl-C."""


def _version(value: bool) -> None:  # noqa: FBT001 # typer's
    if value:
        from importlib.metadata import version

        print(f"vzplan {version('vzplan')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Move OpenVZ containers between hardware nodes: read the whole plan first, with what takes each step back."""


@app.command()
@aimed
def show(
    at: Aim,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Write the plan to FILE, too: 'vzplan apply FILE'."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Whether every failure of the plan is tried.")
    ] = True,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Print the plan: every step, what takes it back, the point of no return. Changes nothing on a node."""
    from cli import commands

    raise typer.Exit(commands.show(at, out=out, verify=verify, json=json, verbose=verbose))


@app.command()
@aimed
def verify(
    at: Aim,
    ctid: Annotated[
        int,
        typer.Argument(
            metavar="[CTID]",
            help="Number of the container.",
            parser=number(0, CTID_MAX),
            show_default=False,
        ),
    ] = 0,
    dest: Annotated[
        str, typer.Argument(metavar="[DEST]", help="Hardware node that it moves to.", show_default=False)
    ] = "",
    cases: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Instead of one move: every recorded case below DIR."),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="With --cases: write down the plans, as they are now.")
    ] = False,
    faults: Annotated[
        int,
        typer.Option(
            "--faults",
            metavar="N",
            parser=number(1, 3),
            help="Failures in one run: 1, 2, or 3 (of these, some).",
        ),
    ] = 1,
    schedule: Annotated[
        str | None,
        typer.Option(metavar="LINE", help="Play this schedule of failures only, and tell every move of it."),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a JUnit report to FILE, too.")
    ] = None,
    json: Json = False,
) -> None:
    """Try every way the plan can fail, in simulation; exit 0 only if all end well. Changes nothing on a node."""
    from cli import commands
    from cli.errors import UserError

    if cases is not None:
        nothing = structs.replace(at, source=None, peer_ssh=None, rsync="", simulate=None, options=Options())
        if ctid or dest or schedule is not None or at != nothing:
            raise UserError(
                "--cases goes without CTID, DEST and the flags of a move: each case says itself what is to move"
            )
        raise typer.Exit(
            commands.verify_cases(cases, words_read, failures=faults, update=update, json=json, junit=junit)
        )
    if not ctid or not dest:
        raise UserError("say which container is to go where: 'vzplan verify CTID DEST'; or --cases DIR")
    if update:
        raise UserError("--update goes with --cases: it writes down the plans that they expect")
    aim = structs.replace(at, ctid=ctid, destination=dest)
    if schedule is not None:
        if junit is not None or faults != 1:
            raise UserError(
                "--schedule plays one schedule; --junit and --faults go with a report of all of them"
            )
        raise typer.Exit(commands.play(aim, schedule, json=json))
    raise typer.Exit(commands.verify(aim, failures=faults, json=json, junit=junit))


@app.command()
@aimed
def check(at: Aim, json: Json = False) -> None:
    """Print only what speaks against the move. Changes nothing."""
    from cli import commands

    raise typer.Exit(commands.check(at, json=json))


@app.command()
@aimed
def apply(
    at: Aim,
    ctid: Annotated[
        str, typer.Argument(metavar="CTID|FILE", help="Number of the container, or a plan of 'show -o'.")
    ],
    dest: Annotated[str, typer.Argument(metavar="DEST", help="Hardware node that it moves to.")] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="OUT", help="With --simulate: write the nodes afterwards to OUT."
        ),
    ] = None,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Apply it although its failures have not been tried.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    times: Times = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Move the container; take everything back if something goes wrong before the point of no return."""
    from cli import commands

    raise typer.Exit(
        commands.apply(
            _meant(at, ctid, dest),
            out=out,
            unverified=unverified,
            yes=yes,
            timed=times,
            json=json,
            verbose=verbose,
        )
    )


def _meant(at: Aim, what: str, dest: str) -> Aim:
    """What is to be applied: a container and where it is to go, or a plan that says both itself."""
    from cli.errors import UserError

    meant = whole(what, 1, CTID_MAX)
    if meant is not None:
        if not dest:
            raise UserError(f"say where container {what} is to go: 'vzplan apply {what} DEST'")
        return structs.replace(at, ctid=meant, destination=dest)
    plan = Path(what)
    try:
        why = "" if plan.is_file() else "a file that has a plan"
    except OSError as problem:  # of a name that is too long, or in a folder that is closed to us
        why = f"the name of a file ({problem.strerror})"
    if why:
        said = what if len(what) <= SHOWN else f"{what[:SHOWN]}..."
        raise UserError(
            f"{said!r} is neither the number of a container (1 to {CTID_MAX}) nor {why}; "
            "'vzplan show -o FILE' writes one"
        )
    if dest or at.source or at.rsync or at.options != Options():
        raise UserError(
            f"{what} says itself what is to move, where and how; leave DEST and its other flags out"
        )
    return structs.replace(at, plan=plan)


@app.command()
def facts(
    nodes: Annotated[list[str], typer.Argument(metavar="NODE...", help="Hardware nodes to ask.")],
    measure: Annotated[
        int | None,
        typer.Option(
            metavar="CTID", parser=number(1, CTID_MAX), help="Count its files, too, and time the link."
        ),
    ] = None,
    ssh: Ssh = "",
    peer_ssh: PeerSsh = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="Write DIR/NODE.json for each, instead of printing."),
    ] = None,
) -> None:
    """Print, or write, all that vzplan knows of a node. Changes nothing there."""
    from cli import commands

    raise typer.Exit(commands.facts(nodes, measure=measure, ssh=ssh, peer_ssh=peer_ssh, out=out))


@app.command()
def runs(
    open_only: Annotated[bool, typer.Option("--open", help="Only those that are not finished.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove the journals of those that are finished.")
    ] = False,
) -> None:
    """List the runs of this control host."""
    from cli import recovery

    raise typer.Exit(recovery.runs(open_only=open_only, prune=prune))


@app.command()
def status(
    run: Annotated[str, typer.Argument(metavar="RUN")], times: Times = False, json: Json = False
) -> None:
    """Say how far a run went and what to type next. Changes nothing."""
    from cli import recovery

    raise typer.Exit(recovery.status(run, timed=times, json=json))


@app.command()
def recover(
    run: Annotated[str, typer.Argument(metavar="RUN")],
    forward: Annotated[
        bool,
        typer.Option("--forward", help="Before the point of no return: go on, instead of taking it back."),
    ] = False,
    back: Annotated[
        bool, typer.Option("--back", help="Take it back; refused where it can only go on.")
    ] = False,
    adopt: Annotated[
        str | None,
        typer.Option(
            metavar="NODE", help="Its journal is lost, or elsewhere: make it anew from what NODE keeps."
        ),
    ] = None,
    node_is_off: Annotated[
        list[str] | None,
        typer.Option(metavar="NODE", help="Your word that NODE has no power, and stays off meanwhile."),
    ] = None,
    ssh: Ssh = "",
    times: Times = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Take up a run whose controller is gone: unwind it, or after the point of no return complete it."""
    from cli import recovery
    from cli.errors import UserError
    from executor.control import Towards

    if forward and back:
        raise UserError("--forward --back: it can go one way only; leave one of them out")
    towards = Towards.FORWARD if forward else Towards.BACK if back else Towards.AS_IT_STANDS
    raise typer.Exit(
        recovery.recover(
            run,
            towards=towards,
            off=tuple(node_is_off or ()),
            adopt=adopt,
            ssh=ssh,
            timed=times,
            json=json,
            verbose=verbose,
        )
    )


def main(words: list[str] | None = None) -> None:
    """Entry point; ``words`` stand for the command line.

    Every error that we know how to put in words is one line on stderr; none is a traceback. What nobody foresaw is one,
    with an exit code of its own: Python's would be that of a broken invariant.
    """
    with heard():
        code = _ended(words)
    sys.exit(code)


def _ended(words: list[str] | None) -> int | None:
    try:
        code: int | None = app(words, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return _stopped()
    except Exception as problem:  # noqa: BLE001 # whatever it is: it is told
        return _told(problem)
    return _stopped() if code == INTERRUPTED else code


def _told(problem: Exception) -> ExitCode:
    """Say what is wrong, and give the exit code for it."""
    from cli.errors import UserError
    from cli.output import plain
    from executor.facts_files import FactsFileError
    from executor.journal import JournalError
    from executor.plan_files import PlanFileError
    from planner.codec import CodecError

    known = UserError | OutputError | CodecError | FactsFileError | JournalError | PlanFileError
    if isinstance(problem, known):
        tell(f"vzplan: {plain(str(problem))}", sys.stderr)
        if not isinstance(problem, UserError):
            return ExitCode.USAGE
        for more in problem.also:
            tell(f"vzplan: {plain(more)}", sys.stderr)
        return problem.code
    # What typer has to say of a wrong word; it brings its own copy of click, and gives no name to its errors.
    said = getattr(problem, "format_message", None)
    if said is not None:
        _wrong_word(problem, said())
        return ExitCode.USAGE
    tell("".join(format_exception(problem)), sys.stderr)
    tell(
        "vzplan: this is a bug of vzplan: please report it, with the lines above; if a run had begun, "
        "'vzplan runs --open' shows it",
        sys.stderr,
    )
    return ExitCode.BUG


def _wrong_word(problem: Any, said: str) -> None:  # noqa: ANN401 # typer's, which gives it no name
    from cli.output import plain

    if "\n" in said:  # no word at all: that is the help
        with suppress(OutputError):
            problem.show()
        return
    asked = problem.ctx.command_path if getattr(problem, "ctx", None) is not None else "vzplan"
    if re.fullmatch("No such option: -[0-9]+", said):  # of "-1" typer takes the first digit for a flag
        said += f", nor is that the number of a container (1 to {CTID_MAX})"
    tell(f"vzplan: {plain(said.removesuffix('.'))}; see '{asked} --help'", sys.stderr)


def _stopped() -> int:
    """Ctrl-C before anything was begun; a run that had begun says so itself."""
    tell("vzplan: stopped; nothing was begun", sys.stderr)
    return ExitCode.REFUSED


if __name__ == "__main__":
    main()
