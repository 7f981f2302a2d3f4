"""The request read closely: where each node keeps the container's things, and which device it stands on.

Everything that a check or a way would otherwise work out again is worked out here, once.
"""

from __future__ import annotations

import re
from posixpath import normpath
from typing import Final

from msgspec import Struct, structs

from planner.findings import Finding, error
from planner.identity import same_disk
from planner.model import CONF_DIR, Container, Device, NodeFacts, Options, PathKind, Request, State
from planner.parse.config import VARIABLE, ConfigError, duplicates, expanded, settings, strange, value

DEFAULTS: Final = {
    "VE_PRIVATE": "/vz/private/$VEID",
    "VE_ROOT": "/vz/root/$VEID",
    "LOCKDIR": "/vz/lock",
    "DUMPDIR": "/vz/dump",
}
"""What vzctl takes where neither config says (vz.conf(5))."""


CHECKPOINTS: Final = "/proc/cpt"
"""There if the kernel makes checkpoints itself; vzctl takes CRIU where it is not."""
TAKES_UP: Final = "/proc/rst"
"""There if the kernel takes such a checkpoint up."""

REBOOT_DIR: Final = "/var/lib/vzctl/vzreboot"
"""Where vz's boot script finds further containers to start, unless vz.conf says VZREBOOTDIR."""

SHOWN: Final = 60
"""So much of a line is shown."""

READ: Final = frozenset({*DEFAULTS, "VE_DEVICE", "VE_DUMP_DEVICE"})
"""Settings that are read here, and complained of one by one."""


TOLD_ONCE: Final = frozenset(
    {
        "VE_DEVICE",
        "VE_DUMP_DEVICE",
        "VE_PRIVATE",
        "VE_ROOT",
        "DUMPDIR",
        "DISABLED",
        "ONBOOT",
        "NAME",
        "IP_ADDRESS",
        "NETIF",
    }
)
"""Settings of which two would mean one thing to vzctl and another to whoever sources the config."""

AREAS: Final = re.compile(
    r"\b(?:VE_PRIVATE|VE_ROOT|VE_DEVICE|LOCKDIR|DUMPDIR|VZREBOOTDIR)\b|^\s*(?:\.|source)\s"
)
"""What of a file that others read too must be plain: where things are."""


class Side(Struct, frozen=True):
    """One node's end of the move: its facts, and where it keeps the container. All paths absolute."""

    facts: NodeFacts
    private: str
    root: str
    lockdir: str
    dumpdir: str
    device: Device | None  # the one that carries an insulated container, under this node's names
    dump_device: Device | None = (
        None  # the one that carries its memory in a hand-over, under this node's names
    )

    @property
    def node(self) -> str:
        """The node's name."""
        return self.facts.node


class Situation(Struct, frozen=True):
    """The request, read.

    ``source.device`` is the one that the container owns now (None: it shares a filesystem), ``destination.device`` the
    one that it is to own there. ``insulated``: it owns a filesystem now (VE_DEVICE, or VE_PRIVATE is a mount point).
    ``handed_over``: both are one disk.
    """

    request: Request
    ctid: int
    container: Container
    config: str
    name: str | None
    device_name: str | None  # VE_DEVICE as it is written
    dump_device_name: str | None  # --dump-device, or VE_DUMP_DEVICE as it is written
    insulated: bool
    handed_over: bool
    source: Side
    destination: Side

    @property
    def config_path(self) -> str:
        """The container's config, the same path on every node."""
        return f"{CONF_DIR}/{self.ctid}.conf"

    @property
    def up(self) -> bool:
        """Whether its files are mounted at the source: it runs, or is mounted."""
        return self.container.state in (State.RUNNING, State.MOUNTED)

    @property
    def online(self) -> bool:
        """Whether it runs and is to keep its memory."""
        return self.options.online and self.container.state is State.RUNNING

    @property
    def staged(self) -> bool:
        """Whether its memory is written down stage by stage by an OpenVZ kernel, not whole, by CRIU (domain.md)."""
        return self.online and CHECKPOINTS in self.source.facts.tools

    @property
    def by_device(self) -> bool:
        """Whether its memory goes by a device of its own; meaningful only with a hand-over (domain.md)."""
        return self.online and self.handed_over and self.dump_device_name is not None

    @property
    def has_memory(self) -> bool:
        """Whether its memory goes along as a dump: it is suspended, or will be."""
        return self.online or self.container.state is State.SUSPENDED

    @property
    def options(self) -> Options:
        """What the operator asked for."""
        return self.request.asked.options


def read(request: Request) -> Situation | tuple[Finding, ...]:
    """The situation, or all that keeps it from being read."""
    ctid = request.asked.ctid
    source, destination = request.source, request.destination
    subject = f"{source.node}:{CONF_DIR}/{ctid}.conf"
    container = source.container(ctid)
    if container is None:
        others = ", ".join(str(c.ctid) for c in source.containers) or "none"
        return (
            error(
                "no-container",
                source.node,
                f"there is no container {ctid}; there are: {others}",
                "name the node that has it with --from",
            ),
        )
    if container.config is None or "\0" in container.config:
        return (
            error(
                "config-unreadable",
                subject,
                "the config is not UTF-8 text"
                if container.config is None
                else "there is a NUL byte in the config",
                "convert it, or take the odd bytes out",
            ),
        )
    found: list[Finding] = [
        error(
            "vz-conf-unreadable",
            f"{facts.node}:/etc/vz/vz.conf",
            "vz.conf is missing or is not UTF-8 text",
            "see that vzctl is installed there, and gather the facts again",
        )
        for facts in (source, destination)
        if facts.vz_conf is None
    ]
    found += [
        error(
            "config-duplicate",
            subject,
            f"{name} is set twice: vzctl takes the first, hooks take the last",
            "leave one of them",
        )
        for name in sorted(duplicates(container.config) & TOLD_ONCE)
    ]
    found += lines_of_a_shell(container.config, subject)
    found += _evaluated(container.config, subject)
    for facts in (source, destination):
        found += lines_of_a_shell(facts.vz_conf or "", f"{facts.node}:/etc/vz/vz.conf", AREAS)
    sides = [_side(facts, container.config, ctid, found) for facts in (source, destination)]
    device_name = _setting("VE_DEVICE", (container.config,), ctid, subject, found)
    dump_name = request.asked.options.dump_device
    if dump_name is None:
        dump_name = _setting("VE_DUMP_DEVICE", (container.config,), ctid, subject, found)
    if found:
        return tuple(found)
    here, there = sides
    mount = source.mounted_at(here.private)
    device = source.device(device_name) if device_name else None
    if device_name is None and mount is not None:
        device = next((d for d in source.devices if d.number == mount.device), None)
    insulated = bool(device_name) or mount is not None
    target, handed_over = _target(request, device_name, device, insulated=insulated)
    dump_device = source.device(dump_name) if dump_name else None
    return Situation(
        request=request,
        ctid=ctid,
        container=container,
        config=container.config,
        name=value(container.config, "NAME") or None,
        device_name=device_name,
        dump_device_name=dump_name,
        insulated=insulated,
        handed_over=handed_over,
        source=structs.replace(here, device=device, dump_device=dump_device),
        destination=structs.replace(there, device=target, dump_device=_peer(dump_device, destination)),
    )


def _target(
    request: Request, device_name: str | None, device: Device | None, *, insulated: bool
) -> tuple[Device | None, bool]:
    """The device that the container is to own at the destination, and whether it is the one that it owns now.

    Names lie: a device that was named may be the same LUN, and the same name may be another disk (domain.md).
    """
    options, facts = request.asked.options, request.destination
    if options.dst_shared:
        return None, False
    if options.dst_device is not None:
        named = facts.device(options.dst_device)
        same = (
            device is not None
            and named is not None
            and same_disk(device, named, believed=options.same_device)
        )
        return named, same
    if (
        not insulated or device_name is None
    ):  # VE_DEVICE was taken out: the seed's way of asking for a shared one
        return None, False
    peer = _peer(device, facts)
    if peer is None and device is not None and options.same_device:
        named = facts.device(device_name)
        if named is not None and same_disk(device, named, believed=True):
            peer = named
    return peer, True


def lines_of_a_shell(text: str, subject: str, about: re.Pattern[str] | None = None) -> list[Finding]:
    """Lines that vzctl passes over, and a hook that sources the file would run; ``about``: only such as say this."""
    return [
        error(
            "config-shell",
            f"{subject}:{number}",
            f'{line[:SHOWN]!r} is no plain NAME="value": vzctl passes over what a hook that sources the file would run',
            'write it as one NAME="value" a line, or take it out',
        )
        for number, line in strange(text)
        if about is None or about.search(line)
    ]


def _evaluated(config: str, subject: str) -> list[Finding]:
    """Settings that hooks, which source the config as root, would evaluate, at the destination too (L12)."""
    return [
        error(
            "config-evaluates",
            subject,
            f"{setting.name}={setting.value!r} would be evaluated by a shell that sources the config",
            "write the value itself; only $VEID and $CTID are known",
        )
        for setting in settings(config)
        if setting.name not in READ and ("`" in setting.value or "$" in VARIABLE.sub("", setting.value))
    ]


def areas(request: Request) -> tuple[str, ...]:
    """Paths at the destination that the plan depends on; none if the request cannot be read."""
    at = read(request)
    if not isinstance(at, Situation):
        return ()
    places = (at.destination.private, at.destination.root, f"{at.destination.dumpdir}/Dump.{at.ctid}")
    return tuple(dict.fromkeys(p for place in places for p in (place, place.rpartition("/")[0] or "/")))


def unseen(request: Request) -> tuple[str, ...]:
    """Those of ``areas`` that the destination's facts say nothing of; to be asked for, if any."""
    facts = request.destination
    return tuple(path for path in areas(request) if facts.path(path).kind is PathKind.UNKNOWN)


def reboot_dir(vz_conf: str | None) -> str:
    """VZREBOOTDIR as it is written; the boot script sources vz.conf, so that of several the last counts."""
    said = [s.value for s in settings(vz_conf or "") if s.name == "VZREBOOTDIR" and s.value]
    return said[-1] if said else REBOOT_DIR


def _peer(device: Device | None, facts: NodeFacts) -> Device | None:
    """The same disk under the destination's names; of several paths to it the one that nothing else is built on."""
    if device is None:
        return None
    same = [d for d in facts.devices if same_disk(device, d)]
    return next((d for d in same if not d.holders), same[0] if same else None)


def _side(facts: NodeFacts, config: str, ctid: int, found: list[Finding]) -> Side:
    """One node's paths: the container's config first, then that node's vz.conf, then vzctl's defaults."""
    paths = {}
    for name, default in DEFAULTS.items():
        own = None if name == "LOCKDIR" else config
        subject = (
            f"{facts.node}:{CONF_DIR}/{ctid}.conf"
            if own and value(own, name)
            else f"{facts.node}:/etc/vz/vz.conf"
        )
        path = _setting(name, (own, facts.vz_conf), ctid, subject, found) or expanded(name, default, ctid)
        plain = path.startswith("/") and not path.startswith("//") and normpath(path) == path
        if not plain or not path.isprintable():
            found.append(
                error(
                    "config-path",
                    subject,
                    f"{name} is {path!r}, not an absolute path without '.', '..' or doubled slashes",
                    "write it plainly",
                )
            )
        paths[name] = path
    return Side(facts, paths["VE_PRIVATE"], paths["VE_ROOT"], paths["LOCKDIR"], paths["DUMPDIR"], None)


def _setting(
    name: str, texts: tuple[str | None, ...], ctid: int, subject: str, found: list[Finding]
) -> str | None:
    """A setting expanded, from the first of the texts that has it; empty counts as not set."""
    for text in texts:
        raw = value(text, name) if text else None
        if raw:
            try:
                return expanded(name, raw, ctid)
            except ConfigError as problem:
                found.append(
                    error(
                        "config-evaluates",
                        subject,
                        str(problem),
                        "write the path itself; only $VEID and $CTID are known",
                    )
                )
                return None
    return None
