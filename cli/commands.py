"""The commands that are about a plan, or its facts: ask the executor, print, answer with an exit code."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import structs

from cli import output
from cli.aim import Aim
from cli.errors import UserError
from cli.exit_codes import ExitCode
from cli.host import own_state, this_controller
from cli.looking import looked, node_name, site_of
from cli.shell_words import split_words
from cli.streams import columns, has_gone
from cli.trust import remember, trust
from cli.walking import Acknowledged, Progress, journal_of, no_way_on, reported
from executor import control, verbs
from executor.facts_files import FactsFileError, write_facts
from executor.gather import Ask, GatherError
from executor.journal import new_run_id, state_folder
from executor.plan_files import read_plan, write_plan
from executor.signals import heeded
from executor.site import LiveSite, SimulatedSite, Site, is_here
from executor.times import times
from executor.verdicts import Verdicts
from planner.codec import CodecError
from planner.difference import difference
from planner.make import make_plan
from planner.model import Asked, Request
from planner.plan import Outcome, Plan, Stop

WORST_FIRST: Final = (ExitCode.USAGE, ExitCode.REFUSED, ExitCode.DIFFERS)
"""What several cases exit with: of which nothing was seen, before what was seen and differs."""

UNVERIFIED: Final = "NOT VERIFIED, as you asked: nobody knows what comes of this plan if something fails"
NOT_SURVIVED: Final = "there are failures that it does not survive; 'vzplan verify' shows them"


def show(aim: Aim, *, out: Path | None, verify: bool, json: bool, verbose: bool) -> int:
    """Print the plan; ``verify``: try every failure of it, and say in a line what came of it."""
    kept = _kept(aim)
    with site_of(aim) as (site, asked):
        request = looked(aim, asked, site)
    plan = make_plan(request)
    if out is not None:
        write_plan(out, plan)
    print(
        output.json_text(plan) if json else output.plan_text(plan, verbose=verbose, room=columns(sys.stdout)),
        end="",
    )
    if verbose and not json:
        print(
            output.verb_texts(
                plan, verbs.text, {"what they share": verbs.library(), "around each": verbs.wrapper()}
            )
        )
    if not plan.runnable:
        return ExitCode.REFUSED
    if not verify:
        return ExitCode.OK
    said = trust(request, plan, kept)
    if json:
        print(said.line, file=sys.stderr)
    else:
        print(f"\n{said.line}")
    return ExitCode.OK if said.holds else ExitCode.DIFFERS


def verify(aim: Aim, *, failures: int, json: bool, junit: Path | None) -> int:
    """Try every schedule of so many failures of the plan that ``apply`` would walk."""
    from cli import verification

    verification.may_write(junit)
    kept, title = _kept(aim), f"Move container {aim.ctid} to {aim.destination}"
    try:
        request, plan = _to_verify(aim)
        title = plan.title
        if failures > 1 and sys.stderr.isatty():
            print("trying what can follow every failure: that takes minutes", file=sys.stderr)
        said = verification.verified(request, plan, failures=failures)
    except (UserError, CodecError, FactsFileError) as problem:
        verification.write_error(junit, title, problem)
        raise
    if said.holds:
        remember(request, plan, verification.of_verdict(said), kept)
    print(output.json_text(said) if json else verification.report(said, plan), end="")
    if junit is not None:
        verification.write_junit(junit, [verification.Reported(title, tuple(verification.against(said)))])
    return ExitCode.OK if said.holds else ExitCode.DIFFERS


def _to_verify(aim: Aim) -> tuple[Request, Plan]:
    with site_of(aim) as (site, asked):
        request = looked(aim, asked, site)
    plan = make_plan(request)
    if not plan.runnable:
        print("\n".join(output.findings_lines(plan.findings)), file=sys.stderr)
        raise UserError("errors speak against this move, so there is no plan to verify", ExitCode.REFUSED)
    return request, plan


def play(aim: Aim, schedule: str, *, json: bool) -> int:
    """Play one schedule of failures, and tell every move of it."""
    from cli import verification

    played = verification.played(*_to_verify(aim), schedule)
    print(output.json_text(played) if json else verification.story(played), end="")
    return ExitCode.DIFFERS if played.violations else ExitCode.OK


def verify_cases(
    folder: Path,
    read: Callable[[list[str]], Aim],
    *,
    failures: int,
    update: bool,
    json: bool,
    junit: Path | None,
) -> int:
    """Every recorded case below ``folder``: its plan compared with the one that is expected, and verified."""
    from cli import verification
    from cli.cases import cases, tried

    found = []
    verification.may_write(junit)
    try:
        folders = cases(folder)
    except UserError as problem:
        verification.write_error(junit, str(folder), problem)
        raise
    for case in folders:
        found.append(tried(case, read, failures=failures, update=update))
        if not json:
            last = found[-1]
            word = {ExitCode.OK: "ok", ExitCode.DIFFERS: "DIFFERS"}.get(last.code, "ERROR")
            word = "refused" if last.refused and last.code is ExitCode.OK else word
            print(f"{word:<9}{output.plain(last.name)}: {output.plain(last.said)}")
            for text in last.against:
                print("\n".join(f"    {output.plain(line)}" for line in text.splitlines()))
    if json:
        print(output.json_text(found), end="")
    if junit is not None:
        could = (ExitCode.OK, ExitCode.DIFFERS)
        each = [verification.Reported(c.name, c.against, error=c.code not in could) for c in found]
        verification.write_junit(junit, each)
    codes = {case.code for case in found}
    return next((code for code in WORST_FIRST if code in codes), ExitCode.OK)


def check(aim: Aim, *, json: bool) -> int:
    """Print the findings."""
    with site_of(aim) as (site, asked):
        plan = make_plan(looked(aim, asked, site))
    if json:
        print(output.json_text(plan.findings), end="")
    else:
        print("\n".join(output.findings_lines(plan.findings)) or "nothing speaks against it")
    return ExitCode.OK if plan.runnable else ExitCode.REFUSED


def apply(
    aim: Aim, *, out: Path | None, unverified: bool, yes: bool, timed: bool, json: bool, verbose: bool
) -> int:
    """Show, verify, ask, walk, report; ``unverified``: whatever the plan may fail by, it is walked."""
    if out is not None and aim.simulate is None:
        raise UserError("-o/--out goes with --simulate: it is where the simulated nodes are written")
    if aim.simulate is None:
        own_state()  # one that cannot be is told of now, not once the plan was tried, read and agreed to
    kept, agreed = _kept(aim), None
    if aim.plan is not None:
        agreed = read_plan(aim.plan)
        asked = agreed.asked
        aim = structs.replace(
            aim, ctid=asked.ctid, source=asked.source, destination=asked.destination, options=asked.options
        )
    with site_of(aim, verbose=verbose) as (site, asked):
        request = looked(aim, asked if agreed is None else _agreed_to(agreed.asked, asked, aim), site)
        plan = make_plan(request)
        if agreed is not None and agreed.digest != plan.digest:
            because = f"the nodes are no longer as {aim.plan} has them:\n{difference(agreed, plan)}"
            return reported(Stop(Outcome.REFUSED, because, ()), None, json=json)
        stream = sys.stderr if json else sys.stdout
        print(output.plan_text(plan, room=columns(stream)), end="", file=stream)
        if not plan.runnable:
            return reported(Stop(Outcome.REFUSED, "see the errors above", ()), None, json=json)
        if unverified:
            print(f"\n{UNVERIFIED}", file=stream)
        else:
            said = trust(request, plan, kept)
            print(f"\n{said.line}", file=stream)
            if not said.holds:
                return reported(Stop(Outcome.REFUSED, NOT_SURVIVED, ()), None, json=json)
        if has_gone(stream):
            raise UserError("whoever read the plan has gone; nothing was begun", ExitCode.REFUSED)
        if not yes:
            _ask()
        return _walked(request, plan, site, out=out, timed=timed, json=json)


def _agreed_to(agreed: Asked, asked: Asked, aim: Aim) -> Asked:
    """What the plan's file asks for; by what nodes are reached is never taken from a file, it would be run at once.

    Raises:
        UserError: it has other options for ssh than those of the command line.
    """
    said = agreed.options.peer_ssh
    if said != asked.options.peer_ssh:
        raise UserError(
            f"{aim.plan}: its source reaches the destination by --peer-ssh {shlex.quote(shlex.join(said))}; "
            "that is taken from no file: say it again if it is meant"
        )
    return agreed


def _walked(request: Request, plan: Plan, site: Site, *, out: Path | None, timed: bool, json: bool) -> int:
    """The run of it, from its first step to its end."""
    run = new_run_id()
    opened = control.opened(request, plan, site, run, this_version())
    acknowledged, progress = Acknowledged(run), Progress(plan, quiet=json)
    with heeded(acknowledged) as signals, journal_of(site, opened) as journal:
        acknowledged.journal = journal
        with no_way_on(run, json=json):
            stop = control.apply(
                request, site, journal, control=this_controller(), signals=signals, watch=progress
            )
        signals.ended = True
        if isinstance(site, SimulatedSite) and out is not None:
            site.save(out)
        run_told, took = None if isinstance(site, SimulatedSite) else run, times(plan, journal.entries)
        return reported(stop, run_told, journal, took=took, timed=timed, json=json)


def _kept(aim: Aim) -> Verdicts | None:
    return Verdicts(state_folder(os.environ)) if aim.simulate is None else None


def facts(nodes: list[str], *, measure: int | None, ssh: str, peer_ssh: str | None, out: Path | None) -> int:
    """Print or write facts; an unreachable node does not keep the others from being written."""
    for node in nodes:
        node_name(node)
    here = next((node for node in nodes if is_here(node)), None)
    site = LiveSite(split_words("--ssh", ssh), here)
    try:
        peer = split_words("--peer-ssh", peer_ssh or "")
        asks = {
            n: Ask(
                measured=measure,
                peers=tuple(p for p in nodes if p != n),
                peer_ssh=peer,
                estimated=measure is not None,
            )
            for n in nodes
        }
        answers = site.answers(*nodes, asks=asks)
    finally:
        site.close()
    for answer in answers.values():
        if isinstance(answer, GatherError):
            print(f"vzplan: {output.plain(str(answer))}", file=sys.stderr)
        else:
            print(output.json_text(answer) if out is None else f"{write_facts(out, answer)}\n", end="")
    failed = any(isinstance(answer, GatherError) for answer in answers.values())
    return ExitCode.REFUSED if failed else ExitCode.OK


def _ask() -> None:
    if not sys.stdin.isatty():
        raise UserError("there is no terminal to ask at; say --yes to start without being asked")
    print("\nstart? type 'yes': ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != "yes":
        raise UserError("not started; nothing was changed", ExitCode.REFUSED)


def this_version() -> str:
    """The version of vzplan that this is; what knows it takes long to import, and few commands ask."""
    from importlib.metadata import version

    return version("vzplan")
