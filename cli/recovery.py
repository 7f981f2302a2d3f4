"""The commands that are about a run which has begun: ``runs``, ``status``, ``recover``."""

from __future__ import annotations

from pathlib import Path

from cli import output
from cli.errors import UserError
from cli.exit_codes import ExitCode
from cli.host import own_state, this_controller
from cli.looking import node_name, spoken
from cli.paths import is_file
from cli.shell_words import split_words
from cli.walking import Acknowledged, Progress, no_way_on, reported
from executor import adoption, control
from executor.adoption import AdoptionError
from executor.control import RecoverError, Towards
from executor.journal import Journal, JournalError, list_runs, read_journal, remove_journal
from executor.signals import heeded, unheeded
from executor.site import LiveSite, is_here
from executor.times import times
from planner.model import RUN
from planner.saga import next_move


def runs(*, open_only: bool, prune: bool) -> int:
    """One line a run, newest first; ``prune``: those that are finished are told of a last time.

    One that cannot be told of, or not be removed, is not passed over by the exit code: it may be open.
    """
    state = own_state()
    code = ExitCode.OK
    for run in list_runs(state):
        try:
            record = read_journal(state, run)
            standing = output.Standing.of(run, record, next_move(record.plan, record.past))
            if prune and standing.finished:
                remove_journal(state, run)
        except JournalError as problem:  # of one run; the others can be told of all the same
            print(f"{output.plain(run)}  {output.plain(str(problem))}")
            code = ExitCode.REFUSED
            continue
        if not open_only or not standing.finished:
            gone = ", removed" if prune and standing.finished else ""
            print(f"{output.plain(run)}  {output.plain(record.plan.title)}  {standing.word}{gone}")
    return code


def status(run: str, *, timed: bool, json: bool) -> int:
    """How far it went, whether its controller lives, what to type next; ``timed``: how long it was down."""
    record = read_journal(own_state(), _run(run))
    said = output.Standing.of(run, record, next_move(record.plan, record.past))
    print(output.json_text(said) if json else said.text(), end="")
    if timed and not json:
        print(output.times_text(said.times), end="")
    return ExitCode.OK


def recover(
    run: str,
    *,
    towards: Towards,
    off: tuple[str, ...],
    adopt: str | None,
    ssh: str,
    timed: bool,
    json: bool,
    verbose: bool,
) -> int:
    """Open the journal again and go on from what it says; ``adopt``: make it anew from what that node keeps."""
    folder = own_state() / "runs" / _run(run)
    speaker = spoken(verbose=verbose)
    if adopt is not None:
        site = LiveSite(split_words("--ssh", ssh), None, speaker)
        journal = _adopted(site, folder, node_name(adopt), towards)
    else:
        journal = Journal.open(folder)
        site = LiveSite(_options(journal, ssh), None, speaker)
        # Its folder may have been brought here from the node that it ran on.
        site.works_on(*journal.plan.nodes)
    try:
        with journal, heeded(Acknowledged(run, journal)) as signals:
            with no_way_on(run, json=json):
                stop = control.recover(
                    site,
                    journal,
                    control=this_controller(),
                    signals=signals,
                    watch=Progress(journal.plan, quiet=json),
                    towards=towards,
                    off=off,
                )
            signals.ended = True
            took = times(journal.plan, journal.entries)
            return reported(stop, run, journal, took=took, timed=timed, json=json)
    except (RecoverError, AdoptionError) as problem:
        raise UserError(f"{run}: {problem}", ExitCode.REFUSED) from None
    finally:
        with unheeded():
            site.close()


def _options(journal: Journal, ssh: str) -> tuple[str, ...]:
    """For every ssh, as the journal knows them; ``ssh`` only if it ran on one of its nodes, and this is another one."""
    opened = journal.opened
    if not ssh:
        return opened.ssh
    if opened.here is None or is_here(opened.here):
        journal.close()
        raise UserError(
            "--ssh goes with --adopt, or with a journal that was brought here from the node that it was begun on: "
            "else the run's journal knows how its nodes are reached"
        )
    return split_words("--ssh", ssh)


def _adopted(site: LiveSite, folder: Path, node: str, towards: Towards) -> Journal:
    if is_file(folder / "journal"):
        raise UserError(f"{folder}: the run has its journal here; recover it without --adopt")
    try:
        opened, known = adoption.adopt(site, folder.name, node)
        control.may(opened.plan, [opened, known], towards)
    except (AdoptionError, RecoverError) as problem:
        site.close()
        raise UserError(str(problem), ExitCode.REFUSED) from None
    return Journal.create(folder, opened, known)


def _run(name: str) -> str:
    if not RUN.fullmatch(name):
        raise UserError(f"{name!r} is not the name of a run; see 'vzplan runs'")
    return name
