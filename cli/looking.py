"""Which nodes the flags mean, and what is known of them: what a plan is made from."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from posixpath import normpath
from typing import Final

from msgspec import structs

from cli import output
from cli.aim import Aim
from cli.errors import UserError
from cli.exit_codes import ExitCode
from cli.shell_words import split_words
from cli.streams import tell
from executor import control
from executor.gather import GatherError
from executor.node import HOST
from executor.signals import unheeded
from executor.site import LiveSite, SimulatedSite, Site, is_here, this_machine
from planner.make import word_findings
from planner.model import Asked, NodeFacts, Options, Request

NOT_IN_PLAN: Final = "; a plan file does not carry --ssh: if 'vzplan show' had it, give it again"


@contextmanager
def site_of(aim: Aim, *, verbose: bool = False) -> Iterator[tuple[Site, Asked]]:
    """The nodes that the flags mean, and the request."""
    destination = node_name(aim.destination)
    _devices(aim.options)
    if aim.simulate is not None:
        simulated = SimulatedSite(aim.simulate)
        site: Site = simulated
        source = _recorded_source(aim, simulated.recorded)
        peer_ssh = split_words("--peer-ssh", aim.peer_ssh or "")
    else:
        source = node_name(aim.source) if aim.source is not None else this_machine()
        here = next((name for name in (source, destination) if is_here(name)), None)
        if here is not None and os.geteuid() != 0:
            other = (
                "other nodes" if here != source or aim.source is not None else "the source with --from NODE"
            )
            raise UserError(f"{here} is this machine: work on its containers as root, or name {other}")
        ssh = split_words("--ssh", aim.ssh)
        default = ssh if source == here else ()
        peer_ssh = default if aim.peer_ssh is None else split_words("--peer-ssh", aim.peer_ssh)
        site = LiveSite(ssh, here, spoken(verbose=verbose))
    try:
        for node in aim.options.also_seen_by:
            node_name(node)
        options = structs.replace(aim.options, peer_ssh=peer_ssh, rsync=split_words("--rsync", aim.rsync))
        asked = Asked(aim.ctid, source, destination, options)
        wrong = [f"{found.subject}: {found.summary}; {found.remedy}" for found in word_findings(asked)]
        if wrong:
            raise UserError(wrong[0], also=tuple(wrong[1:]))
        yield site, asked
    except GatherError as problem:
        unsaid = aim.plan is not None and not aim.ssh
        raise UserError(f"{problem}{NOT_IN_PLAN if unsaid else ''}", ExitCode.REFUSED) from None
    finally:
        with unheeded():
            site.close()


def looked(aim: Aim, asked: Asked, site: Site) -> Request:
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
        return node_name(aim.source)
    choice = control.source_of(aim.ctid, recorded, aim.destination)
    if choice.node is None:
        raise UserError(choice.why)
    return choice.node


def node_name(name: str) -> str:
    """A word that can be the name of a node.

    Raises:
        UserError: it cannot.
    """
    if not HOST.fullmatch(name):
        raise UserError(
            f"{name!r} is not the name of a node: letters, digits, '.', ':', '@', '_' and '-', not at the start"
        )
    return name


def _devices(options: Options) -> None:
    """What no node need be asked for."""
    for flag, name in (("--dst-device", options.dst_device), ("--dump-device", options.dump_device)):
        if name is None or (name.startswith("/dev/") and normpath(name) == name and name.isprintable()):
            continue
        raise UserError(f"{flag}: {name!r} is not the name of a device; say it in full, such as /dev/sdg1")


def spoken(*, verbose: bool) -> Callable[[str, bytes], None] | None:
    """What commands say while they run (rsync above all): shown with -v, else kept for the journal only."""
    if not verbose:
        return None

    def speak(node: str, said: bytes) -> None:
        for line in said.decode(errors="replace").splitlines():
            tell(f"         {node}: {output.plain(line)}", sys.stderr)

    return speak
