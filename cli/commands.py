"""What each command does: ask the executor, print, answer with an exit code."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from posixpath import normpath
from typing import Final, TextIO

from msgspec import structs

from cli import output
from cli.aim import Aim
from cli.errors import UserError
from cli.exit_codes import OF_OUTCOME, ExitCode
from cli.paths import is_file, is_folder, is_there
from cli.shell_words import split_words
from cli.streams import columns, has_gone, tell
from cli.trust import trust
from executor import adoption, control, verbs
from executor.adoption import AdoptionError
from executor.control import RecoverError, Towards
from executor.facts_files import write_facts
from executor.gather import Ask, GatherError
from executor.journal import (
    NAME_IT,
    Journal,
    JournalError,
    MemoryJournal,
    list_runs,
    new_run_id,
    read_journal,
    remove_journal,
    state_folder,
)
from executor.node import HOST
from executor.plan_files import read_plan, write_plan
from executor.signals import heeded
from executor.site import LiveSite, SimulatedSite, Site, is_here, this_machine
from executor.times import Times, times
from planner.difference import difference
from planner.make import make_plan
from planner.model import Asked, NodeFacts, Options, Request
from planner.plan import Exited, Lost, Opened, Outcome, Plan, Run, Stop, What
from planner.saga import Pivot, next_move, words

WORST_FIRST: Final = (ExitCode.USAGE, ExitCode.REFUSED, ExitCode.DIFFERS)
"""What several cases exit with: of which nothing was seen, before what was seen and differs."""

NOT_IN_PLAN: Final = "; a plan file does not carry --ssh: if 'vzplan show' had it, give it again"


def show(aim: Aim, *, out: Path | None, verify: bool, json: bool, verbose: bool) -> int:
    """Print the plan; ``verify``: try every failure of it, and say in a line what came of it."""
    with _site(aim) as (site, asked):
        request = _looked(aim, asked, site)
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
    said = trust(request, plan)
    if json:
        print(said.line, file=sys.stderr)
    else:
        print(f"\n{said.line}")
    return ExitCode.OK if said.holds else ExitCode.DIFFERS


def verify(aim: Aim, *, failures: int, json: bool, junit: Path | None) -> int:
    """Try every schedule of so many failures of the plan that ``apply`` would walk."""
    from cli import verification

    verification.may_write(junit)
    title = f"Move container {aim.ctid} to {aim.destination}"
    try:
        request, plan = _to_verify(aim)
        title = plan.title
        if failures > 1 and sys.stderr.isatty():
            print("trying what can follow every failure: that takes minutes", file=sys.stderr)
        said = verification.verified(request, plan, failures=failures)
    except UserError as problem:
        if junit is not None:
            verification.write_junit(junit, {title: [str(problem)]}, frozenset({title}))
        raise
    print(output.json_text(said) if json else verification.report(said, plan), end="")
    if junit is not None:
        verification.write_junit(junit, {title: verification.against(said)})
    return ExitCode.OK if said.holds else ExitCode.DIFFERS


def _to_verify(aim: Aim) -> tuple[Request, Plan]:
    with _site(aim) as (site, asked):
        request = _looked(aim, asked, site)
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
    for case in cases(folder):
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
        errors = frozenset(c.name for c in found if c.code not in (ExitCode.OK, ExitCode.DIFFERS))
        verification.write_junit(junit, {case.name: list(case.against) for case in found}, errors)
    codes = {case.code for case in found}
    return next((code for code in WORST_FIRST if code in codes), ExitCode.OK)


def check(aim: Aim, *, json: bool) -> int:
    """Print the findings."""
    with _site(aim) as (site, asked):
        plan = make_plan(_looked(aim, asked, site))
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
    agreed = None
    if aim.plan is not None:
        agreed = read_plan(aim.plan)
        asked = agreed.asked
        aim = structs.replace(
            aim, ctid=asked.ctid, source=asked.source, destination=asked.destination, options=asked.options
        )
    with _site(aim, verbose=verbose) as (site, asked):
        request = _looked(aim, asked if agreed is None else agreed.asked, site)
        plan = make_plan(request)
        if agreed is not None and agreed.digest != plan.digest:
            because = f"the nodes are no longer as {aim.plan} has them:\n{difference(agreed, plan)}"
            return _report(Stop(Outcome.REFUSED, because, ()), None, json=json)
        stream = sys.stderr if json else sys.stdout
        print(output.plan_text(plan, room=columns(stream)), end="", file=stream)
        if not plan.runnable:
            return _report(Stop(Outcome.REFUSED, "see the errors above", ()), None, json=json)
        broken = _trusted(request, plan, unverified=unverified, stream=stream)
        if broken is not None:
            return _report(Stop(Outcome.REFUSED, broken, ()), None, json=json)
        if has_gone(stream):
            raise UserError("whoever read the plan has gone; nothing was begun", ExitCode.REFUSED)
        if not yes:
            _ask()
        run = new_run_id()
        opened = control.opened(request, plan, site, run, this_version())
        acknowledged = _Acknowledged(run)
        with heeded(acknowledged) as signals, _journal(site, opened) as journal:
            acknowledged.journal = journal
            progress = _Progress(plan, quiet=json)
            with _no_way_on(run):
                stop = control.apply(request, site, journal, control=_here(), signals=signals, watch=progress)
            took = times(plan, journal.entries)
        if isinstance(site, SimulatedSite) and out is not None:
            site.save(out)
        run_told = None if isinstance(site, SimulatedSite) else run
        return _report(stop, run_told, journal, took=took, timed=timed, json=json)


def _trusted(request: Request, plan: Plan, *, unverified: bool, stream: TextIO) -> str | None:
    """Why the plan is not to be walked, if so; says what it was tried for."""
    if unverified:
        print(
            "\nNOT VERIFIED, as you asked: nobody knows what comes of this plan if something fails",
            file=stream,
        )
        return None
    said = trust(request, plan)
    print(f"\n{said.line}", file=stream)
    return None if said.holds else "there are failures that it does not survive; 'vzplan verify' shows them"


def facts(nodes: list[str], *, measure: int | None, ssh: str, peer_ssh: str | None, out: Path | None) -> int:
    """Print or write facts; an unreachable node does not keep the others from being written."""
    for node in nodes:
        _host(node)
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


def runs(*, open_only: bool, prune: bool) -> int:
    """One line a run, newest first; ``prune``: those that are finished are told of a last time.

    One that cannot be told of, or not be removed, is not passed over by the exit code: it may be open.
    """
    state = _state()
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
    record = read_journal(_state(), _run(run))
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
    folder = _state() / "runs" / _run(run)
    speaker = _speaker(verbose=verbose)
    if adopt is not None:
        site = LiveSite(split_words("--ssh", ssh), None, speaker)
        journal = _adopted(site, folder, _host(adopt), towards)
    else:
        if ssh:
            raise UserError("--ssh goes with --adopt: else the run's journal knows how its nodes are reached")
        journal = Journal.open(folder)
        site = LiveSite(journal.opened.ssh, journal.opened.here, speaker)
    try:
        with journal, heeded(_Acknowledged(run, journal)) as signals, _no_way_on(run):
            stop = control.recover(
                site,
                journal,
                control=_here(),
                signals=signals,
                watch=_Progress(journal.plan, quiet=json),
                towards=towards,
                off=off,
            )
    except (RecoverError, AdoptionError) as problem:
        raise UserError(f"{run}: {problem}", ExitCode.REFUSED) from None
    finally:
        site.close()
    took = times(journal.plan, journal.entries)
    return _report(stop, run, journal, took=took, timed=timed, json=json)


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


def _state() -> Path:
    """The folder of this control host's journals, which need not be there yet."""
    state = state_folder(os.environ)
    if is_there(state, NAME_IT) and not is_folder(state):
        raise UserError(f"{state}: it is not a folder; {NAME_IT}")
    return state


def this_version() -> str:
    """The version of vzplan that this is; what knows it takes long to import, and few commands ask."""
    from importlib.metadata import version

    return version("vzplan")


def _here() -> str:
    """Where this controller is, for whoever finds its records on a node."""
    return f"{socket.gethostname()}:{state_folder(os.environ).absolute()}"


@contextmanager
def _site(aim: Aim, *, verbose: bool = False) -> Iterator[tuple[Site, Asked]]:
    """The nodes that the flags mean, and the request."""
    destination = _host(aim.destination)
    _device(aim.options)
    if aim.simulate is not None:
        simulated = SimulatedSite(aim.simulate)
        site: Site = simulated
        source = _recorded_source(aim, simulated.recorded)
        peer_ssh = split_words("--peer-ssh", aim.peer_ssh or "")
    else:
        source = _host(aim.source) if aim.source is not None else this_machine()
        here = next((name for name in (source, destination) if is_here(name)), None)
        if here is not None and os.geteuid() != 0:
            other = (
                "other nodes" if here != source or aim.source is not None else "the source with --from NODE"
            )
            raise UserError(f"{here} is this machine: work on its containers as root, or name {other}")
        ssh = split_words("--ssh", aim.ssh)
        default = ssh if source == here else ()
        peer_ssh = default if aim.peer_ssh is None else split_words("--peer-ssh", aim.peer_ssh)
        site = LiveSite(ssh, here, _speaker(verbose=verbose))
    try:
        for node in aim.options.also_seen_by:
            _host(node)
        options = structs.replace(aim.options, peer_ssh=peer_ssh, rsync=split_words("--rsync", aim.rsync))
        yield site, Asked(aim.ctid, source, destination, options)
    except GatherError as problem:
        unsaid = aim.plan is not None and not aim.ssh
        raise UserError(f"{problem}{NOT_IN_PLAN if unsaid else ''}", ExitCode.REFUSED) from None
    finally:
        site.close()


def _looked(aim: Aim, asked: Asked, site: Site) -> Request:
    """What a plan is made from.

    Raises:
        UserError: the source is this machine since no other was named, and it has no such container: then nothing else
            that is wrong with it is of interest.
    """
    request = control.look(asked, site)
    unsaid = aim.source is None and isinstance(site, LiveSite)
    if unsaid and request.source.container(asked.ctid) is None:
        what = f"has no container {asked.ctid}" if _is_node(request.source) else "is no OpenVZ node"
        raise UserError(
            f"this machine ({asked.source}) {what}; name the node that has it with --from NODE",
            ExitCode.REFUSED,
        )
    return request


def _is_node(facts: NodeFacts) -> bool:
    """Whether there is anything of OpenVZ."""
    return bool("vzctl" in facts.tools or facts.vz_conf is not None or facts.conf_names)


def _recorded_source(aim: Aim, recorded: dict[str, NodeFacts]) -> str:
    for name in (aim.source, aim.destination, *aim.options.also_seen_by):
        if name is None:
            continue
        if name not in recorded:
            raise UserError(f"{aim.simulate} has no node {name}; it has {', '.join(recorded)}")
    if aim.source is not None:
        return _host(aim.source)
    choice = control.source_of(aim.ctid, recorded, aim.destination)
    if choice.node is None:
        raise UserError(choice.why)
    return choice.node


@contextmanager
def _journal(site: Site, opened: Opened) -> Iterator[Journal | MemoryJournal]:
    """The journal of a new run; a simulated one leaves nothing behind."""
    if isinstance(site, LiveSite):
        with Journal.create(_state() / "runs" / opened.run, opened) as journal:
            yield journal
    else:
        yield MemoryJournal(opened)


class _Acknowledged:
    """What is said when a signal comes: at once, since the step that is under way may take long."""

    def __init__(self, run: str, journal: Journal | MemoryJournal | None = None) -> None:
        """``journal``: of the run, once it has one; it tells which way the run goes."""
        self._run = run
        self.journal = journal

    def __call__(self, name: str) -> None:
        pivot = Pivot.AHEAD if self.journal is None else self.journal.past.pivot
        tell(
            f"\n{name}: {ACKNOWLEDGED[pivot]}; a second one stops here, 'vzplan recover {self._run}' goes on",
            sys.stderr,
        )


ACKNOWLEDGED: Final[dict[Pivot, str]] = {
    Pivot.AHEAD: "it is taken back as soon as this step has ended",
    Pivot.ASKED: "it is at the point of no return: if that is passed it is brought to its end, else taken back",
    Pivot.NEVER: "it is being taken back already",
    Pivot.PASSED: "it has moved already and is brought to its end",
}
"""By what is known of the point of no return."""


@contextmanager
def _no_way_on(run: str) -> Iterator[None]:
    """A run whose journal cannot be written stops where it is, and says so by its exit code."""
    try:
        yield
    except JournalError as problem:
        raise UserError(str(problem), ExitCode.IN_DOUBT) from None
    except KeyboardInterrupt:
        raise UserError(f"stopped in the middle; 'vzplan recover {run}' ends it", ExitCode.IN_DOUBT) from None


def _ask() -> None:
    if not sys.stdin.isatty():
        raise UserError("there is no terminal to ask at; say --yes to start without being asked")
    print("\nstart? type 'yes': ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != "yes":
        raise UserError("not started; nothing was changed", ExitCode.REFUSED)


def _report(
    stop: Stop,
    run: str | None,
    journal: Journal | MemoryJournal | None = None,
    *,
    json: bool,
    took: Times | None = None,
    timed: bool = False,
) -> int:
    code = OF_OUTCOME[stop.outcome]
    if json:
        answer = {
            "run": run,
            "outcome": stop.outcome,
            "because": stop.because,
            "left": stop.left,
            "exit": code,
            "times": took,
        }
        tell(output.json_text(answer).removesuffix("\n"), sys.stdout)
    else:
        told = output.stop_text(stop, run, journal) + ("\n" + output.times_text(took) if timed else "")
        tell("\n" + told.removesuffix("\n"), sys.stdout)
    return code


class _Progress:
    """Tells each move as it begins, and what came of it if it did not succeed."""

    def __init__(self, plan: Plan, *, quiet: bool) -> None:
        self._plan = plan
        self._stream = sys.stderr if quiet else sys.stdout

    def began(self, move: Run) -> None:
        self._tell(output.move_line(self._plan, move))

    def ended(self, move: Run, outcome: Exited | Lost) -> None:
        good = isinstance(outcome, Exited) and (outcome.status == 0 or move.what is What.PROBE)
        if not good:
            self._tell(f"         {output.plain(words(outcome))}")

    def _tell(self, line: str) -> None:
        tell(line, self._stream)


def _speaker(*, verbose: bool) -> Callable[[str, bytes], None] | None:
    """What commands say while they run (rsync above all): shown with -v, else kept for the journal only."""
    if not verbose:
        return None

    def speak(node: str, said: bytes) -> None:
        for line in said.decode(errors="replace").splitlines():
            tell(f"         {node}: {output.plain(line)}", sys.stderr)

    return speak


def _host(name: str) -> str:
    if not HOST.fullmatch(name):
        raise UserError(
            f"{name!r} is not the name of a node: letters, digits, '.', ':', '@', '_' and '-', not at the start"
        )
    return name


def _device(options: Options) -> None:
    """What no node need be asked for."""
    name = options.dst_device
    if name is not None and options.dst_shared:
        raise UserError(
            "--dst-device --dst-shared: it can share a filesystem or own one; leave one of them out"
        )
    if name is not None and not (name.startswith("/dev/") and normpath(name) == name and name.isprintable()):
        raise UserError(
            f"--dst-device: {name!r} is not the name of a device; say it in full, such as /dev/sdg1"
        )


def _run(name: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}", name):
        raise UserError(f"{name!r} is not the name of a run; see 'vzplan runs'")
    return name
