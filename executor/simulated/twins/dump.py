"""Twins of the verbs about the dump of a suspended container's memory."""

from __future__ import annotations

from executor.simulated.twins.here import DONE, Here, Twin, die
from executor.simulated.vz import config_path


def put_dump(here: Here, copied: str, dump: str) -> Twin:
    """What this run has copied gets its name; what is there already stays."""
    node = here.node
    if copied in node.tree:
        if dump in node.tree:
            return die(f"{dump} is there already")
        yield from here.mark("put-dump", dump)
        node.move(copied, dump)
        yield
    elif here.note("put-dump") is None or dump not in node.tree:
        return die(f"{copied} is not there")
    yield from here.sync()
    return DONE


def withdraw_dump(here: Here, copied: str, dump: str) -> Twin:
    """What this run put there, and nothing else."""
    node = here.node
    if here.note("put-dump") is not None and dump in node.tree and copied not in node.tree:
        node.move(dump, copied)
        yield
    yield from here.sync()
    return DONE


def retire_dump(here: Here, ctid: str, dump: str, aside: str) -> Twin:
    """Its name goes first, durably; then it is deleted."""
    node = here.node
    if config_path(int(ctid)) in node.tree:
        return die(f"{config_path(int(ctid))} is there: the dump may still be taken up here")
    if dump in node.tree:
        if aside in node.tree:
            return die(f"{aside} is there already")
        yield from here.mark("retiring-dump", dump)
        node.move(dump, aside)
        yield
        yield from here.sync()
    if aside in node.tree:
        if here.note("retiring-dump") is None:
            return die(f"{aside} is there, and this run did not put it there")
        if "remove" in node.stubborn:
            return die(f"{aside} cannot be deleted")
        node.drop(aside)
        yield
    yield from here.sync()
    return DONE
