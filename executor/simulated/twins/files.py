"""Twins of the verbs about files and directories."""

from __future__ import annotations

from collections.abc import Generator

from executor.simulated.tree import Dir, File
from executor.simulated.twins.here import DONE, End, Here, Twin, die, half_up, not_up, of_this_run
from executor.simulated.twins.storage import is_up
from executor.simulated.vz import config_path, state_of
from planner.codec import text_sha256
from planner.model import State
from planner.verbs import ANY_CONTENT, ANY_MOUNT


def make_file(here: Here, path: str, mode: str) -> Twin:
    """The content beside it first, then the marker, then the name, which never replaces another's file."""
    node, new, made = here.node, here.beside(path), here.marker(path)
    yield from _disclaim(here, path)
    if path in node.tree:
        if made not in node.tree or node.text(path) != here.stdin:
            return die(f"{path} is there already, and this run did not make it so")
    else:
        if path.rpartition("/")[0] not in node.tree:
            return die(f"{new} cannot be written")
        node.put(new, File(here.stdin, int(mode, 8)))
        yield
        node.put(made, File(path, 0o600))
        yield
        yield from here.sync()
        node.link(new, path)
        yield
    node.drop(new)
    yield
    yield from here.sync()
    return DONE


def _disclaim(here: Here, path: str) -> Generator[None, None, None]:
    """What another made between this run's mark and its own making is not this run's."""
    tree, made, new = here.node.tree, here.marker(path), here.beside(path)
    if made in tree and new in tree and path in tree and tree[new] is not tree[path]:
        here.node.drop(made)
        yield
        yield from here.sync()
        here.node.drop(new)
        yield


def make_dir(here: Here, path: str, mode: str) -> Twin:
    """Made beside, marked, renamed."""
    node, made, new = here.node, here.marker(path), here.beside(path)
    yield from _disclaim(here, path)
    if path in node.tree:
        if made not in node.tree or not node.is_dir(path):
            return die(f"{path} is there already, and this run did not make it")
    else:
        if path.rpartition("/")[0] not in node.tree:
            return die(f"{path} cannot be made")
        if new not in node.tree:
            node.put(new, Dir(int(mode, 8)))
            yield
        node.put(made, File(path, 0o600))
        yield
        yield from here.sync()
        node.move(new, path)
        yield
    yield from here.sync()
    return DONE


def remove_made(here: Here, path: str) -> Twin:
    """Only with the marker; a directory by rmdir, never through a mount point."""
    node, made = here.node, here.marker(path)
    yield from _disclaim(here, path)
    if here.beside(path) in node.tree:
        node.drop(here.beside(path))
        yield
    if made not in node.tree:
        yield from here.sync()
        return DONE
    if path in node.tree:
        stuck = _not_removable(here, path)
        if stuck is not None:
            return stuck
        node.drop(path)
        yield
    yield from here.sync()
    node.drop(made)
    yield
    yield from here.sync()
    return DONE


def remove_made_tree(here: Here, path: str) -> Twin:
    """Only with the marker; everything in it, nothing through a mount point."""
    node, made = here.node, here.marker(path)
    yield from _disclaim(here, path)
    if here.beside(path) in node.tree:
        node.drop(here.beside(path))
        yield
    if made not in node.tree:
        yield from here.sync()
        return DONE
    if path in node.tree:
        if node.mounts_within(path):
            return die(f"still mounted: {node.mounts_within(path)}")
        if "remove" in node.stubborn:
            return die(f"{path} cannot be deleted")
        yield from _delete(here, path)
    yield from here.sync()
    node.drop(made)
    yield
    yield from here.sync()
    return DONE


def remove_dir(here: Here, path: str) -> Twin:
    """By rmdir; what is mounted or not empty stays."""
    if path not in here.node.tree:
        yield from here.sync()
        return DONE
    if not here.node.is_dir(path):
        return die(f"{path} is not a directory")
    stuck = _not_removable(here, path)
    if stuck is not None:
        return stuck
    here.node.drop(path)
    yield
    yield from here.sync()
    return DONE


def rename_file(here: Here, old: str, new: str, sha256: str) -> Twin:
    """By link and unlink, since mv would overwrite; a file with both names is a rename half done."""
    node = here.node
    if new in node.tree:
        if old in node.tree:
            if node.tree[old] is not node.tree[new]:
                return die(
                    f"{old} and {new} are both there, and differ: see which is right, and remove the other"
                )
            node.drop(old)
            yield
    else:
        if not isinstance(node.tree.get(old), File):
            return die(f"{old} is not a file")
        if not _has_content(here, old, sha256):
            return die(f"{old} was changed by someone meanwhile")
        node.link(old, new)
        yield
        yield from here.sync()
        node.drop(old)
        yield
    yield from here.sync()
    return DONE


def hide_config(here: Here, ctid: str, root: str, config: str, backup: str, sha256: str) -> Twin:
    """Only of a container that is down: no fence and no lock keeps anybody from starting it by force."""
    up = is_up(here, int(ctid))
    if up is not None and (root != ANY_MOUNT or int(ctid) in here.node.running):
        return up
    return (yield from rename_file(here, config, backup, sha256))


def _may_be_used(here: Here, ctid: int, private: str, root: str, aside: str) -> str | None:
    """What says that an area is still needed, or may be."""
    node = here.node
    if config_path(ctid) in node.tree:
        return f"{config_path(ctid)} is there: the container may still be used here"
    if ctid in node.roots:
        return f"{root} is still mounted"
    held = (place for place in (private, aside) if node.mounts_within(place))
    return next((f"still mounted: {node.mounts_within(place)}" for place in held), None)


def retire_area(here: Here, ctid: str, private: str, root: str, aside: str) -> Twin:
    """Renamed aside, then deleted; never while a config or a mount says that it may be used."""
    node = here.node
    if (used := _may_be_used(here, int(ctid), private, root, aside)) is not None:
        return die(used)
    if private in node.tree:
        if not node.is_dir(private):
            return die(f"{private} is not a directory")
        if aside in node.tree:
            return die(f"{aside} is there already")
        yield from here.mark("retiring", private)
        node.move(private, aside)
        yield
        yield from here.sync()
    if aside not in node.tree:
        yield from here.sync()
        return DONE
    if here.note("retiring") is None:
        return die(f"{aside} is there, and this run did not put it there")
    if "remove" in node.stubborn:
        return die(f"{aside} cannot be deleted")
    yield from _delete(here, aside)
    yield from here.sync()
    return DONE


def fence(here: Here, config: str, sha256: str) -> Twin:
    """To the top: of a parameter that stands twice vzctl takes the first."""
    yield from here.mark("frozen")
    text = here.node.text(config)
    if text is None:
        return die(f"{config} is not a file")
    if not text.startswith(here.stdin):
        if not _has_content(here, config, sha256):
            return die(f"{config} was changed since the plan was made")
        yield from _replace(here, config, here.stdin + text)
    yield from here.sync()
    return DONE


def unfence(here: Here, config: str) -> Twin:
    """Exactly our lines, wherever they stand; not while a dump of this run's may be taken up that must not be."""
    if config.endswith(".conf") and (forbidden := _still_forbidden(here)) is not None:
        return forbidden
    end = yield from _unfenced(here, config)
    if end.status == 0:
        yield from here.sync()
    return end


def activate_config(here: Here, ctid: str, staged: str) -> Twin:
    """As ``unfence``, of the config that was staged; it has its name before."""
    if (forbidden := _still_forbidden(here)) is not None:
        return forbidden
    end = yield from activate(here, ctid, staged)
    if end.status == 0:
        yield from here.sync()
    return end


def name_config(here: Here, ctid: str, staged: str) -> Twin:
    """As ``rename_file``; whether it has its name is looked at afterwards."""
    config = config_path(int(ctid))
    if config not in here.node.tree:
        yield from here.mark("naming")
    if is_named(here, ctid, staged) and _differ(here, staged, config):
        here.node.drop(staged)
        yield
        yield from here.sync()
        return DONE
    end = yield from rename_file(here, staged, config, ANY_CONTENT)
    if _differ(here, staged, config):  # another's was there first
        here.node.drop(f"{here.folder}/naming")
        yield
        yield from here.sync()
    return end if is_named(here, ctid, staged) else _not_named(here, ctid)


def _differ(here: Here, one: str, other: str) -> bool:
    """Whether both are there, and are two files."""
    tree = here.node.tree
    return one in tree and other in tree and tree[one] is not tree[other]


def activate(here: Here, ctid: str, staged: str) -> Twin:
    """What ``activate-config`` and the stopped container's pivot share.

    Fenced until it has one name only: vzctl writes into what it starts, and then two names would be two files.
    """
    end = yield from name_config(here, ctid, staged)
    return (yield from _unfenced(here, config_path(int(ctid)))) if end.status == 0 else end


def _not_named(here: Here, ctid: str) -> End:
    """What that means for the container depends on what vzctl says of whatever has its name."""
    state = state_of(here.node, int(ctid))
    if state in (State.STOPPED, State.SUSPENDED, State.DELETED):
        return not_up("the config that was staged has not got its name")
    if config_path(int(ctid)) in here.node.tree:
        return half_up(f"what is up here as {ctid} has another config than the one that was staged")
    return die(f"the config of container {ctid} is gone, and it is {state}")


def is_named(here: Here, ctid: str, staged: str) -> bool:
    """Whether the config that was staged has its name.

    vzctl writes into what it starts: with both names there it may be two files since.
    """
    config = config_path(int(ctid))
    ours = here.note("naming") is not None or not _differ(here, staged, config)
    return config in here.node.tree and ours


def _still_forbidden(here: Here) -> End | None:
    """Who starts it next takes up whatever dump waits; one on a device of its own only while the fence says where."""
    void = here.note("taken") is not None or here.note("carrier") is not None
    if of_this_run(here) and void:
        return die("start stays forbidden: it is not sure yet that the memory dump of this run is used up")
    return None


def _unfenced(here: Here, config: str) -> Twin:
    if here.beside(config) in here.node.tree:  # of a replacement that was stopped half way
        here.node.drop(here.beside(config))
        yield
    text = here.node.text(config)
    if text is None:
        return die(f"{config} is not a file")
    first = here.stdin.split("\n", 1)[0] + "\n"
    at = 0 if text.startswith(first) else text.find("\n" + first) + 1
    if at == 0 and not text.startswith(first):
        return DONE
    if not text[at:].startswith(here.stdin):
        return die(f"{config}: the fence was changed by someone; take it out by hand")
    yield from _replace(here, config, text[:at] + text[at + len(here.stdin) :])
    return DONE


def _has_content(here: Here, path: str, sha256: str) -> bool:
    text = here.node.text(path)
    return sha256 == ANY_CONTENT or (text is not None and text_sha256(text) == sha256)


def _replace(here: Here, path: str, text: str) -> Generator[None, None, None]:
    """A new file beside it, synced, put in its place, synced: an old or a new file, never half of one."""
    node, old = here.node, here.node.tree[path]
    assert isinstance(old, File)
    node.put(here.beside(path), File(text, old.mode))
    yield
    yield from here.sync()
    node.put(path, File(text, old.mode))
    node.drop(here.beside(path))
    yield
    yield from here.sync()


def _not_removable(here: Here, path: str) -> End | None:
    if "remove" in here.node.stubborn:
        return die(f"{path} cannot be removed")
    if here.node.mounts_within(path):
        return die(f"still mounted: {here.node.mounts_within(path)}")
    if here.node.children(path):
        return die(f"{path} is not empty")
    return None


def _delete(here: Here, path: str) -> Generator[None, None, None]:
    """``rm -rf``: the content goes first."""
    for name in here.node.children(path):
        here.node.drop(f"{path}/{name}")
        yield
    here.node.drop(path)
    yield
