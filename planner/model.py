"""What is observed and what is wanted: the planner's input.

Everything here is a frozen, strict ``msgspec.Struct``: an unknown or missing field in a facts file is an error
that names the place. Sizes are bytes, device numbers are ``"MAJOR:MINOR"``, paths are absolute POSIX paths as the
node itself writes them.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field, structs

FACTS_VERSION: Final = 3
"""Version of the facts format; a file of another version is refused, never guessed at."""

FROZEN_MAX_S: Final = 1_000_000
"""Longer than anyone would have a container down on purpose; a limit that long is a slip of the hand."""

RECENT_MIN: Final = 10
"""Files that were written in the last so many minutes are called recent: much of them will be written again."""

CONF_DIR: Final = "/etc/vz/conf"
"""Where vzctl keeps container configs and action scripts (vzctl(8), FILES)."""


class Known(StrEnum):
    """A fact that may be missing. Silence is never "no"."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class State(StrEnum):
    """State of a container, from the words of ``vzctl status`` and the dump in DUMPDIR."""

    RUNNING = "running"
    MOUNTED = "mounted"
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    DELETED = "deleted"  # [seen] said while VE_PRIVATE does not exist, even with a config present
    UNKNOWN = "unknown"


class PathKind(StrEnum):
    """What lies at a path, links not followed."""

    ABSENT = "absent"
    DIRECTORY = "directory"
    FILE = "file"
    SYMLINK = "symlink"
    OTHER = "other"
    UNKNOWN = "unknown"


class Check(StrEnum):
    """A check that an operator may know better than the facts (vzmigrate's ``--nodeps``): it only warns then."""

    CPU = "cpu"  # what the CPU has, and the version of memory images


class Journal(StrEnum):
    """Where an ext filesystem keeps its journal (``dumpe2fs -h``: features and ``Journal inode``/``device``)."""

    INTERNAL = "internal"
    EXTERNAL = "external"
    NONE = "none"


class Filesystem(Struct, frozen=True, forbid_unknown_fields=True):
    """What is on a device, read without mounting it (``blkid -c /dev/null``, ``dumpe2fs -h`` after ``--flushbufs``)."""

    type: str  # as blkid says; "btrfs-of-N" of a btrfs that lies on N devices, of which this is one
    uuid: str | None
    journal: Journal | None  # None: not an ext filesystem, or unreadable
    needs_recovery: Known  # [seen] yes while *any* node has it mounted read-write
    label: str | None
    empty: Known  # nothing in it but lost+found; only ext says so without being mounted
    free_bytes: int | None  # room in it, as its superblock said; None: of a type that is not read
    inodes: int | None  # how many it has room for; xfs: has made so far
    free_inodes: int | None  # of those


class Device(Struct, frozen=True, forbid_unknown_fields=True):
    """A block device under the names that one node has for it."""

    names: tuple[str, ...]  # every path in /dev that leads to it, by-id and mapper names included, sorted
    number: str
    size_bytes: int
    read_only: Known  # blockdev --getro
    wwid: str | None  # VPD page 0x83 by scsi_id; None: no identity to be had
    start_sector: int | None  # of a partition (/sys/dev/block/MAJ:MIN/start); None: a whole disk
    holders: tuple[str, ...]  # /sys/dev/block/MAJ:MIN/holders
    exclusive: Known  # could it be opened exclusively; no: something on this node holds it
    filesystem: Filesystem | None


class Mount(Struct, frozen=True, forbid_unknown_fields=True):
    """A mount in any mount namespace of the node (``/proc/[pid]/mountinfo``, proc(5))."""

    point: str
    device: (
        str  # MAJOR:MINOR; of btrfs that of the device which is its source, if the node has one of that name
    )
    root: str  # the directory of the filesystem that is mounted: "/" but for bind mounts
    type: str
    source: str
    read_only: bool
    elsewhere: bool  # seen only in another mount namespace than the node's own


class Path(Struct, frozen=True, forbid_unknown_fields=True):
    """What lies at a path that matters: areas, their parents, DUMPDIR, LOCKDIR."""

    path: str
    kind: PathKind
    real: str | None  # symlinks resolved on the node; None: absent or unknown
    empty: bool | None  # a directory with nothing in it but ``lost+found``; None: not a directory, unknown
    entries: tuple[str, ...] | None  # sorted; listed for parents of areas, DUMPDIR and LOCKDIR only


class Script(Struct, frozen=True, forbid_unknown_fields=True):
    """An action script in /etc/vz/conf: ``vps.NAME`` or ``CTID.NAME``."""

    name: str
    mode: int  # permission bits
    text: str | None  # None: not UTF-8


class Lock(Struct, frozen=True, forbid_unknown_fields=True):
    """vzctl's ``LOCKDIR/CTID.lck``. [seen] It counts only while its process lives on that node."""

    ctid: int
    alive: Known


RUN: Final = re.compile("[0-9A-Za-z][0-9A-Za-z-]{0,63}")
"""What can be a run's name: nothing that a shell or a file system would take for more than a word."""


class Owner(Struct, frozen=True, forbid_unknown_fields=True):
    """vzplan's own record that a run has taken a container in hand; says where to look for that run.

    Whatever stands in it was said by a node: a ``run`` that no run can be called, or none, is of a damaged record.
    """

    ctid: int
    run: str
    control: str  # "HOST:STATE-FOLDER" of the controller


class Mounter(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that mounts a device by itself, whatever containers' configs say: fstab(5), a mount unit, autofs(5)."""

    where: str  # the file that says so
    what: str  # the device as it is written there: a name in /dev, UUID=..., LABEL=...
    point: str


class Activation(Struct, frozen=True, forbid_unknown_fields=True):
    """A volume group, or one volume of it, that LVM activates by itself at every boot (lvm.conf(5))."""

    where: str  # the file that names it
    group: str
    volume: str | None  # None: every volume of the group


class Usage(Struct, frozen=True, forbid_unknown_fields=True):
    """What lies in a private area, counted within its filesystem (``find -xdev``)."""

    path: str
    bytes: int
    inodes: int
    recent_bytes: int | None = None  # of files written in the last RECENT_MIN minutes; None: unknown


class Reach(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether this node reaches another one as root by ssh, without a password (``ssh -o BatchMode=yes``)."""

    peer: str
    reached: Known
    bytes_per_s: Annotated[int, Meta(ge=1)] | None = (
        None  # so fast it took what this node sent; None: unknown
    )


class Room(Struct, frozen=True, forbid_unknown_fields=True):
    """Room on a mounted filesystem (``df -P``, ``df -Pi``)."""

    point: str
    size_bytes: int
    free_bytes: int
    free_inodes: int | None  # None: the filesystem makes them as it needs them


class Cpu(Struct, frozen=True, forbid_unknown_fields=True):
    """What programs may find in a node's processors."""

    machine: str  # uname -m
    flags: tuple[
        str, ...
    ]  # of the first in /proc/cpuinfo (flags, on ARM Features), sorted; empty: it says none


class Criu(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether CRIU can work with a node's kernel (``criu check``)."""

    works: Known  # unknown: it came to no end, or could not be asked without leaving something behind
    said: str  # its last line


class Outside(Struct, frozen=True, forbid_unknown_fields=True):
    """A mount below a container's root area, and whether the container's processes have files open on it."""

    point: str
    used: Known


class Container(Struct, frozen=True, forbid_unknown_fields=True):
    """A container that has a config on the node."""

    ctid: int
    state: State
    config: str | None  # the config's text; None: not UTF-8
    resident_bytes: int | None = None  # VmRSS and VmSwap of all its processes; None: it has none, or unknown
    dump_bytes: int | None = None  # its memory dump in DUMPDIR; None: there is none, or unknown


class NodeFacts(Struct, frozen=True, forbid_unknown_fields=True):
    """All that one hardware node says of itself; one JSON file, also the form of a simulated node."""

    version: int
    node: str  # the name by which the operator reaches it
    boot_id: str
    vz_running: Known
    vz_conf: str | None  # text of /etc/vz/vz.conf; None: absent or not UTF-8
    tools: tuple[str, ...]  # programs found on the path, and of /proc/cpt and /proc/rst what is there; sorted
    containers: tuple[Container, ...]
    conf_names: tuple[str, ...]  # every name in /etc/vz/conf, sorted
    scripts: tuple[Script, ...]
    devices: tuple[Device, ...]
    mounts: tuple[Mount, ...]
    paths: tuple[Path, ...]
    locks: tuple[Lock, ...]
    owners: tuple[Owner, ...]
    rooms: tuple[Room, ...]
    mounters: tuple[Mounter, ...]
    activations: tuple[Activation, ...]
    reboots: (
        tuple[int, ...] | None
    )  # with a file in VZREBOOTDIR: a boot starts them; None: it could not be read
    usage: tuple[Usage, ...]  # of the areas that were asked for
    reaches: tuple[Reach, ...]  # of the nodes that were asked for
    cpu: Cpu | None = None
    criu: Criu | None = None  # None: it is not there, or was not asked
    cpt_version: int | None = None  # of the images that the kernel writes (vzcptcheck version)
    cpt_caps: int | None = None  # what its CPU has, one bit each (vzcptcheck caps)
    available_bytes: int | None = None  # memory that programs can get without swapping (/proc/meminfo)
    ipv6: Known = Known.UNKNOWN  # /proc/net/if_inet6
    outside: tuple[Outside, ...] = ()

    def in_order(self) -> NodeFacts:
        """The same facts, each list in one order, so that plans do not depend on how they were found.

        Mounts stay as they are: of two on one point the later one covers the earlier.
        """
        return structs.replace(
            self,
            tools=tuple(sorted(self.tools)),
            containers=tuple(sorted(self.containers, key=lambda c: c.ctid)),
            conf_names=tuple(sorted(self.conf_names)),
            scripts=tuple(sorted(self.scripts, key=lambda s: s.name)),
            devices=tuple(
                sorted(
                    (structs.replace(d, names=tuple(sorted(d.names))) for d in self.devices),
                    key=lambda d: d.names,
                )
            ),
            paths=tuple(sorted(self.paths, key=lambda p: p.path)),
            locks=tuple(sorted(self.locks, key=lambda entry: entry.ctid)),
            owners=tuple(sorted(self.owners, key=lambda o: (o.ctid, o.run))),
            rooms=tuple(sorted(self.rooms, key=lambda r: r.point)),
            mounters=tuple(sorted(self.mounters, key=lambda m: (m.where, m.what, m.point))),
            activations=tuple(sorted(self.activations, key=lambda a: (a.where, a.group, a.volume or ""))),
            reboots=None if self.reboots is None else tuple(sorted(self.reboots)),
            usage=tuple(sorted(self.usage, key=lambda u: u.path)),
            reaches=tuple(sorted(self.reaches, key=lambda r: r.peer)),
            outside=tuple(sorted(self.outside, key=lambda o: o.point)),
        )

    def container(self, ctid: int) -> Container | None:
        """The container ``ctid`` of this node, or None if it has no config here."""
        return next((c for c in self.containers if c.ctid == ctid), None)

    def path(self, path: str) -> Path:
        """What is known of ``path``; a path nobody looked at is UNKNOWN, unless its directory was."""
        for known in self.paths:
            if known.path == path:
                return known
        parent, _, name = path.rpartition("/")
        for known in self.paths:
            if known.path != parent:
                continue
            if known.kind is PathKind.ABSENT or (known.entries is not None and name not in known.entries):
                return Path(path=path, kind=PathKind.ABSENT, real=None, empty=None, entries=None)
        return Path(path=path, kind=PathKind.UNKNOWN, real=None, empty=None, entries=None)

    def device(self, name: str) -> Device | None:
        """The device that ``name`` (any of its names) stands for on this node."""
        return next((d for d in self.devices if name in d.names), None)

    def resolved(self, path: str) -> str:
        """``path`` without symbolic links, as far as this node's facts tell; mountinfo has such paths."""
        for known in self.paths:
            if known.path == path and known.real is not None:
                return known.real
        parent, slash, name = path.rpartition("/")
        return f"{self.resolved(parent).rstrip('/')}/{name}" if parent and slash else path

    def mounted_at(self, point: str) -> Mount | None:
        """What is mounted at ``point`` in the node's own namespace; of several the last, which covers the others."""
        point, found = self.resolved(point), None
        for mount in self.mounts:
            if mount.point == point and not mount.elsewhere:
                found = mount
        return found

    def mount_under(self, path: str) -> Mount | None:
        """The mount that a path lies on, in the node's own namespace."""
        found: Mount | None = None
        path = self.resolved(path)
        for mount in self.mounts:
            top = mount.point.rstrip("/") + "/"
            if mount.elsewhere or not (path + "/").startswith(top):
                continue
            if found is None or len(mount.point) >= len(found.point):
                found = mount
        return found

    def mounts_of(self, device: Device) -> tuple[Mount, ...]:
        """Every mount of ``device``, other namespaces included."""
        return tuple(m for m in self.mounts if m.device == device.number)


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """What the operator asked for beside the container and the destination."""

    peer_ssh: tuple[str, ...] = ()  # ssh options by which the source reaches the destination
    dst_device: str | None = None  # the device that the container is to own at the destination
    dst_shared: bool = False  # at the destination it is to share a filesystem, although it owns one now
    same_device: bool = (
        False  # the operator's word for what no identity proves; never against a known mismatch
    )
    also_seen_by: tuple[str, ...] = ()  # every further node that sees the device, by the operator's word
    install_hooks: bool = False  # give the container premount and postumount scripts of ours
    remove_area: bool = True  # delete the source's private area once it has moved
    rsync: tuple[str, ...] = ()  # further options for rsync
    precopy: int | Literal["auto"] = 1  # passes while it runs; auto: the node decides how many
    dump_device: str | None = None  # carries the memory of a container whose device is handed over
    online: bool = False  # it keeps its memory: suspended here, taken up there
    nodeps: tuple[Check, ...] = ()  # checks that only warn
    max_frozen_s: Annotated[int, Meta(ge=1, le=FROZEN_MAX_S)] | None = (
        None  # down for longer than that before the pivot: everything is taken back
    )


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """The operator's request without the facts: what was to move, from where, to where, how."""

    ctid: int
    source: str
    destination: str
    options: Options = field(default_factory=Options)


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a plan is made from. ``source`` and ``destination`` are each node's own word."""

    asked: Asked
    source: NodeFacts
    destination: NodeFacts
    others: tuple[NodeFacts, ...] = ()  # those that ``also_seen_by`` names
