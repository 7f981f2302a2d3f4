"""From facts to a world and back, without loss.

``derive`` says what a node of the world looks like. Facts may tell more than a world acts on, so what is given back
is, item by item, the fact as it was loaded as long as the world's own word for it has not changed since.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

from msgspec import structs

from executor.simulated import vz
from executor.simulated.tree import EMPTY, FIRST, Dir, File, Link, Thing, Tree
from executor.simulated.world import FILES, Lun, NodeState, RootSeen, Standing, World
from planner.identity import identity, is_part_of
from planner.model import (
    CONF_DIR,
    Container,
    Device,
    Known,
    Lock,
    Mount,
    NodeFacts,
    Owner,
    Path,
    PathKind,
    Room,
    Script,
    State,
)
from planner.parse.config import DUMP_PLACE
from planner.situation import reboot_dir

HOME: Final = "/var/lib/vzplan/node"
"""Folder of the run folders on a node."""

OWNERS: Final = "/var/lib/vzplan/owners"
"""Folder of the owner records, one file a container: run and control, a word each."""

OPAQUE: Final = Link("other", None)
"""Something whose bytes and kind nobody said."""

HOOKS: Final = ("start", "stop", "mount", "umount", "premount", "postumount")

T = TypeVar("T", Container, Device, Path, Lock, Owner, Script)

Pairs = tuple[tuple[tuple[str, str], tuple[str, str]], ...]


class Truth(NamedTuple):
    """What no facts show, of pairs of (node, device name): one LUN without a WWID, or two with the same identity."""

    same: Pairs = ()
    different: Pairs = ()


# --- facts -> world -------------------------------------------------------------------------------------------


def load(facts: Sequence[NodeFacts], truth: Truth, writers: frozenset[int] | None) -> World:
    """See ``World.of``."""
    world = World.__new__(World)
    world.nodes = {}
    world.clock, world.losses, world.late = 1, (), ()
    world.untaken = frozenset()
    world.ran, world.meddled, world.others, world.writers = frozenset(), frozenset(), frozenset(), writers
    world.edited = False
    luns: dict[str, Lun] = {}
    roots_seen: dict[int, RootSeen] = {}
    for given in facts:
        world.nodes[given.node] = _node(given, truth, luns, roots_seen)
    world.luns, world.roots_seen, world.logged = luns, roots_seen, ()
    world.ledger = {c.ctid: FIRST.tail for given in facts for c in given.containers}
    world.ran = frozenset((n.name, ctid) for n in world.nodes.values() for ctid in n.running)
    for node in world.nodes.values():
        node.base = derive(world, node)
    return world


def _node(given: NodeFacts, truth: Truth, luns: dict[str, Lun], roots_seen: dict[int, RootSeen]) -> NodeState:
    node = NodeState.__new__(NodeState)
    node.name, node.given, node.base = given.node, given, None
    node.reachable, node.dark, node.hushed, node.back_in = True, False, False, 0
    node.boots, node.renamed = 0, 0
    node.busy, node.stubborn, node.bare = frozenset(), frozenset(), frozenset()
    node.cold, node.frozen, node.told = frozenset(), frozenset(), frozenset()
    node.devices = {name: device for device in given.devices for name in device.names}
    node.luns = {d.number: _lun_name(given.node, d, truth) for d in given.devices}
    areas = {
        c.ctid: vz.areas(c.ctid, c.config, given.vz_conf) for c in given.containers if c.config is not None
    }
    owned = {where.hook_device for where in areas.values() if where is not None}
    for device in given.devices:
        name, dirty = node.luns[device.number], _dirty(device)
        used = not owned.isdisjoint(device.names) or any(m.device == device.number for m in given.mounts)
        used = used or (name in luns and luns[name].data != EMPTY)
        empty = _said_empty(device, used=used)
        luns[name] = Lun(EMPTY if empty else FIRST, dirty or (name in luns and luns[name].dirty))
    tree = Tree(_tree(given))
    node.tree = node.disk = tree
    node.roots, node.running, node.living, node.cached = {}, {}, frozenset(), {}
    node.mounts = given.mounts
    for ctid, where in areas.items():
        said = next(c.state for c in given.containers if c.ctid == ctid)
        if where is not None and said in (State.RUNNING, State.MOUNTED):
            node.roots[ctid] = where.root
            seen = _root_seen(node.mounts, where.root)
            if seen is not None:
                roots_seen[ctid] = seen
            node.mounts = tuple(
                m for m in node.mounts if m.point != where.root and (not seen or m != seen.inside)
            )
        if where is not None and said is State.RUNNING:
            node.running[ctid] = Standing(where.private, node.lun_at(where.private))
    # Mounts at private areas are made by action scripts or by hand; a boot makes them again only if fstab says so.
    by_itself = {mounter.point for mounter in given.mounters}
    made = {where.private for where in areas.values() if where is not None} - by_itself
    node.lasting = tuple(m for m in node.mounts if m.point not in made)
    node.living = frozenset(
        node.text(f"{_lockdir(given)}/{lock.ctid}.lck") or ""
        for lock in given.locks
        if lock.alive is not Known.NO
    )
    return node


def _root_seen(mounts: tuple[Mount, ...], root: str) -> RootSeen | None:
    """Of several at one point the last, which covers the others; to processes inside it is mounted at "/"."""
    mount = next((m for m in reversed(mounts) if m.point == root and not m.elsewhere), None)
    if mount is None:
        return None
    same = (
        m
        for m in mounts
        if m.elsewhere and m.point == "/" and (m.device, m.root) == (mount.device, mount.root)
    )
    return RootSeen(mount, next(same, None))


def _lun_name(node: str, device: Device, truth: Truth) -> str:
    def is_meant(name: tuple[str, str]) -> bool:
        return name[0] == node and name[1] in device.names

    for one, other in truth.same:
        if is_meant(one) or is_meant(other):
            return f"{one[0]}:{one[1]} = {other[0]}:{other[1]}"
    if any(is_meant(other) for _, other in truth.different):
        return f"clone on {node}:{device.number}"
    return identity(device) if device.wwid is not None else f"{node}:{device.number}"


def _said_empty(device: Device, *, used: bool) -> bool:
    """Of a filesystem that does not say so: whether nobody has a use for it."""
    filesystem = device.filesystem
    if filesystem is None:
        return False
    says = filesystem.type.startswith("ext")
    return filesystem.empty is Known.YES or (not says and filesystem.empty is Known.UNKNOWN and not used)


def _dirty(device: Device) -> bool:
    return device.filesystem is not None and device.filesystem.needs_recovery is Known.YES


def _tree(given: NodeFacts) -> dict[str, Thing]:
    """Everything that the facts say is somewhere, the directories above it, and the containers' files."""
    tree: dict[str, Thing] = {CONF_DIR: Dir(0o755)}
    _lay_paths(tree, given)
    configs = {f"{c.ctid}.conf": File(c.config, 0o644) for c in given.containers}
    scripts = {s.name: File(s.text, s.mode) for s in given.scripts}
    for name in given.conf_names:
        tree[f"{CONF_DIR}/{name}"] = scripts.get(name) or configs.get(name) or File(None, 0o644)
    _lay_containers(tree, given)
    for lock in given.locks:
        alive = "pid" if lock.alive is not Known.NO else "dead pid"
        tree[f"{_lockdir(given)}/{lock.ctid}.lck"] = File(f"{alive} of {lock.ctid}", 0o644)
    if given.owners:  # as vzplan makes its folders, whichever run it is that made them
        tree |= {OWNERS.rpartition("/")[0]: Dir(0o700), OWNERS: Dir(0o700)}
    for owner in given.owners:
        tree[f"{OWNERS}/{owner.ctid}"] = File(f"{owner.run} {owner.control}", 0o600)
    for ctid in given.reboots or ():
        tree[f"{reboot_dir(given.vz_conf)}/{ctid}"] = File("", 0o644)
    for name in list(tree):
        _add_parents(tree, name)
    return tree


def _lay_paths(tree: dict[str, Thing], given: NodeFacts) -> None:
    """What was looked at. Of what is mounted somewhere only the mount point is in the tree."""
    points = {m.point for m in given.mounts}
    for container in given.containers:
        where = vz.areas(container.ctid, container.config or "", given.vz_conf)
        if where is not None and container.state in (State.RUNNING, State.MOUNTED):
            points.add(where.root)
    for path in given.paths:
        if path.kind not in (PathKind.ABSENT, PathKind.UNKNOWN):
            tree[path.path] = _thing(path)
        for name in path.entries or ():
            tree.setdefault(f"{path.path}/{name}", OPAQUE)
        full = path.kind is PathKind.DIRECTORY and path.empty is False and not path.entries
        if full and path.path not in points:
            tree.setdefault(path.path + "/...", OPAQUE)


def _lay_containers(tree: dict[str, Thing], given: NodeFacts) -> None:
    """The files of every container whose private area is a plain directory with something in it, and its memory."""
    points = {m.point for m in given.mounts}
    for container in given.containers:
        where = vz.areas(container.ctid, container.config or "", given.vz_conf)
        if where is not None and container.state is State.SUSPENDED:
            tree[f"{where.dumpdir}/Dump.{container.ctid}"] = FIRST
        if where is None or where.private in points:
            continue
        area = given.path(where.private)
        if area.kind is PathKind.DIRECTORY and area.empty is False:
            tree.pop(where.private + "/...", None)
            tree[where.private + FILES] = FIRST


def _thing(path: Path) -> Thing:
    match path.kind:
        case PathKind.DIRECTORY:
            return Dir(0o755)
        case PathKind.FILE:
            return File(None, 0o644)
        case _:
            return Link(path.kind, path.real)


def _add_parents(tree: dict[str, Thing], path: str) -> None:
    parent = path.rpartition("/")[0]
    while parent and parent not in tree:
        tree[parent] = Dir(0o755)
        parent = parent.rpartition("/")[0]


def _lockdir(given: NodeFacts) -> str:
    where = vz.areas(0, "", given.vz_conf)
    return where.lockdir if where is not None else "/vz/lock"


# --- world -> facts -------------------------------------------------------------------------------------------


def facts_of(world: World, node: NodeState) -> NodeFacts:
    """See ``World.facts``."""
    now, base, given = derive(world, node), node.base, node.given
    assert base is not None
    return structs.replace(
        given,
        boot_id=now.boot_id,
        containers=_carry(given.containers, base.containers, now.containers, "ctid"),
        conf_names=_whole(given.conf_names, base.conf_names, now.conf_names),
        scripts=_carry(given.scripts, base.scripts, now.scripts, "name"),
        devices=_carry(given.devices, base.devices, now.devices, "number"),
        mounts=_whole(given.mounts, base.mounts, now.mounts),
        paths=_carry(given.paths, base.paths, now.paths, "path"),
        locks=_carry(given.locks, base.locks, now.locks, "ctid"),
        owners=_carry(given.owners, base.owners, now.owners, "ctid"),
        reboots=given.reboots if now.reboots == base.reboots else now.reboots,
        rooms=_whole(given.rooms, base.rooms, now.rooms),
    )


def _whole(
    given: tuple[object, ...], base: tuple[object, ...], now: tuple[object, ...]
) -> tuple[object, ...]:
    """``given`` without what left since and with what came; its order kept, if it was sorted it stays so."""
    if now == base:
        return given
    gone, new = [x for x in base if x not in now], [x for x in now if x not in base]
    kept = [x for x in given if x not in gone] + [x for x in new if x not in given]
    words = [x for x in kept if isinstance(x, str)]
    if len(words) == len(kept) and list(given) == sorted(words_of(given)):
        return tuple(sorted(words))
    return tuple(kept)


def words_of(items: tuple[object, ...]) -> list[str]:
    """The words among ``items``."""
    return [x for x in items if isinstance(x, str)]


def _carry(given: tuple[T, ...], base: tuple[T, ...], now: tuple[T, ...], key: str) -> tuple[T, ...]:
    """Item by item, field by field: as given while the world's own word for it is unchanged."""

    def by_key(items: tuple[T, ...]) -> dict[object, T]:
        return {getattr(item, key): item for item in items}

    was, olds = by_key(base), by_key(given)
    if now == base:
        return given
    found: dict[object, T] = {}
    for name, item in by_key(now).items():
        old, first = olds.get(name), was.get(name)
        if old is None or first is None:
            found[name] = item
            continue
        changed = {
            field: value for field, value in structs.asdict(item).items() if value != getattr(first, field)
        }
        found[name] = structs.replace(old, **changed)
    silent = [name for name in olds if name not in was]  # given, but nothing that a world acts on
    order: list[object] = [name for name in olds if name in found or name in silent]
    new: list[object] = [name for name in found if name not in olds and name not in was]
    if list(olds) == sorted(olds, key=_sortable):
        order = sorted([*order, *new], key=_sortable)
    else:
        order += new
    return tuple(found[name] if name in found else olds[name] for name in order)


def _sortable(name: object) -> tuple[int, str]:
    return (name, "") if isinstance(name, int) else (0, str(name))


def derive(world: World, node: NodeState) -> NodeFacts:
    """What the world itself says of a node. Settings that it does not act on are those of the loaded facts."""
    names = tuple(node.children(CONF_DIR))
    containers = tuple(
        sorted(
            (
                _container(world, node, int(name[:-5]))
                for name in names
                if name.endswith(".conf") and name[:-5].isdigit()
            ),
            key=lambda c: c.ctid,
        )
    )
    lockdir = _lockdir(node.given)
    mounts = _mounts(world, node)
    return structs.replace(
        node.given,
        boot_id=node.boot_id,
        containers=containers,
        conf_names=names,
        scripts=tuple(_script(node, name) for name in names if _is_script(name)),
        devices=tuple(_device(world, node, d) for d in node.given.devices),
        mounts=mounts,
        paths=tuple(_path(world, node, path) for path in _looked_at(node, containers)),
        locks=tuple(_lock(node, lockdir, n) for n in node.children(lockdir) if n.endswith(".lck")),
        owners=tuple(_owner(node, name) for name in node.children(OWNERS)),
        reboots=_reboots(node),
        rooms=_rooms(world, node, mounts),
    )


def _container(world: World, node: NodeState, ctid: int) -> Container:
    """With as much memory as somewhere was said of it: it has that while it runs, or its dump has."""
    state = vz.state_of(node, ctid)
    said = [c for n in world.nodes.values() if (c := n.given.container(ctid)) is not None]
    memory = next((m for c in said for m in (c.resident_bytes, c.dump_bytes) if m is not None), None)
    return Container(
        ctid,
        state,
        node.text(vz.config_path(ctid)),
        memory if state is State.RUNNING else None,
        memory if state is State.SUSPENDED else None,
    )


def _is_script(name: str) -> bool:
    """As the node's shell lists them: what begins with a dot is none."""
    return name.rpartition(".")[2] in HOOKS and not name.startswith(".")


def _script(node: NodeState, name: str) -> Script:
    thing = node.tree[f"{CONF_DIR}/{name}"]
    return Script(name, thing.mode, thing.text) if isinstance(thing, File) else Script(name, 0, None)


def _device(world: World, node: NodeState, device: Device) -> Device:
    lun = node.luns[device.number]
    # A disk is held while one of its partitions is, and they are while it is.
    kin = [each for each in node.given.devices if is_part_of(each, device) or is_part_of(device, each)]
    numbers = {each.number for each in (device, *kin)}
    held = any(each.holders for each in (device, *kin)) or any(m.device in numbers for m in node.mounts)
    filesystem = device.filesystem
    if filesystem is not None:
        dirty, empty, needs_recovery = world.luns[lun].dirty, Known.UNKNOWN, Known.UNKNOWN
        if filesystem.type.startswith(
            "ext"
        ):  # the others do not say, and it does not while it is mounted somewhere
            needs_recovery = Known.YES if dirty else Known.NO
            if not dirty:
                bare = world.luns[lun].data == EMPTY and not world.luns[lun].dumps
                empty = Known.YES if bare else Known.NO
        filesystem = structs.replace(filesystem, needs_recovery=needs_recovery, empty=empty)
    return structs.replace(device, exclusive=Known.NO if held else Known.YES, filesystem=filesystem)


def _mounts(world: World, node: NodeState) -> tuple[Mount, ...]:
    """Mounts, with the containers' roots if the facts of this world show such."""
    roots: list[Mount] = []
    for ctid, root in node.roots.items():
        seen = world.roots_seen.get(ctid) or next(iter(world.roots_seen.values()), None)
        if seen is None:
            continue
        where = vz.areas_of(node, ctid)
        private = node.running[ctid].private if ctid in node.running else where.private if where else root
        under = [m for m in node.mounts if ctid not in node.bare or m.point != private]
        mount = _root_mount(under, seen.mount, private, root)
        roots.append(mount)
        if seen.inside is not None and ctid in node.running:
            roots.append(structs.replace(mount, point="/", elsewhere=True))
    return (*node.mounts, *roots)


def _root_mount(under: list[Mount], seen: Mount, private: str, root: str) -> Mount:
    """A private area mounted as root: by simfs, which names it as its source, or else by a bind mount."""
    if seen.type == "simfs":
        return structs.replace(seen, point=root, source=private)
    below: Mount | None = None
    for mount in under:
        top = mount.point.rstrip("/") + "/"
        covers = not mount.elsewhere and (private + "/").startswith(top)
        if covers and (below is None or len(mount.point) >= len(below.point)):
            below = mount
    if below is None:
        return structs.replace(seen, point=root)
    rest = private[len(below.point.rstrip("/")) :]
    return structs.replace(below, point=root, root=(below.root.rstrip("/") + rest) or "/")


def _looked_at(node: NodeState, containers: tuple[Container, ...]) -> list[str]:
    """The paths that gathering looks at: as loaded, and those of every container that has a config now."""
    found = [p.path for p in node.given.paths]
    before = {c.ctid for c in node.given.containers}
    for container in containers:
        where = vz.areas_of(node, container.ctid)
        if where is not None and container.ctid not in before:
            found += [where.private, where.root]
        if where is not None and DUMP_PLACE in where.dumpdir:
            found.append(where.dumpdir)
    here = {c.ctid for c in containers}
    for old in node.given.containers:  # a container that is gone: nobody asks for its areas any more
        where = vz.areas(old.ctid, old.config or "", node.given.vz_conf)
        if old.ctid not in here and where is not None:
            found = [p for p in found if p not in (where.private, where.root)]
    return list(dict.fromkeys(found))


def _path(world: World, node: NodeState, path: str) -> Path:
    listed = next((p.entries is not None for p in node.given.paths if p.path == path), False)
    thing = node.tree.get(path)
    if thing is None:
        return Path(path, PathKind.ABSENT, None, None, None)
    if isinstance(thing, Link):
        return Path(path, PathKind(thing.kind), thing.real, None, None)
    if isinstance(thing, File):
        return Path(path, PathKind.FILE, path, None, None)
    names = [n for n in node.children(path) if n not in ("files", "...", "lost+found")]
    if DUMP_PLACE in path:  # it is looked into because a config names it as DUMPDIR
        at_top = ("lost+found",) if node.lun_at(path) is not None else ()
        return Path(path, PathKind.DIRECTORY, path, not names, tuple(sorted((*names, *at_top))))
    if node.lun_at(path) is not None:
        full = world.content(node, path) is not None
    else:
        shown = [_full(world, node, ctid) for ctid, root in node.roots.items() if root == path]
        mounted = node.mounted_at(path) is not None or any(shown)
        full = mounted or any(n != "lost+found" for n in node.children(path))
    return Path(path, PathKind.DIRECTORY, path, not full, tuple(names) if listed else None)


def _full(world: World, node: NodeState, ctid: int) -> bool:
    """Whether a container's root area has anything in it while it is mounted: what its private area has."""
    where = vz.areas_of(node, ctid)
    if where is not None and ctid in node.bare:
        return any(name != "lost+found" for name in node.children(where.private))
    return where is None or world.content(node, where.private) is not None


def _lock(node: NodeState, lockdir: str, name: str) -> Lock:
    alive = node.text(f"{lockdir}/{name}") in node.living
    return Lock(int(name[:-4]), Known.YES if alive else Known.NO)


def _owner(node: NodeState, name: str) -> Owner:
    run, _, control = (node.text(f"{OWNERS}/{name}") or "").partition(" ")
    return Owner(int(name), run, control)


def _reboots(node: NodeState) -> tuple[int, ...] | None:
    if node.given.reboots is None:
        return None
    names = node.children(reboot_dir(node.given.vz_conf))
    return tuple(sorted(int(name) for name in names if name.isdecimal()))


def _rooms(world: World, node: NodeState, mounts: tuple[Mount, ...]) -> tuple[Room, ...]:
    """Room on what is mounted: a LUN's goes with it, the rest stays."""
    of_lun: dict[str, Room] = {}
    tied = set()
    for other in world.nodes.values():
        for room in other.given.rooms:
            mount = other.given.mounted_at(room.point)
            lun = other.luns.get(mount.device) if mount is not None else None
            if lun is not None and not any(m.point == room.point for m in other.lasting):
                of_lun[lun] = room
                if other is node:
                    tied.add(room.point)
    found = [room for room in node.given.rooms if room.point not in tied]
    for mount in mounts:
        lun = node.luns.get(mount.device)
        if lun in of_lun and mount not in node.lasting:
            found.append(structs.replace(of_lun[lun], point=mount.point))
    return tuple(found)
