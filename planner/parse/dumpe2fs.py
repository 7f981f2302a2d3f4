"""``dumpe2fs -h DEVICE`` (dumpe2fs(8)): an ext filesystem's superblock, read without mounting it."""

from __future__ import annotations

from planner.model import Journal, Known


def superblock(text: str) -> tuple[Journal | None, Known]:
    """Where the journal is, and whether some node has the filesystem mounted read-write ([seen] needs_recovery).

    (None, UNKNOWN) for anything that is not a superblock.
    """
    # A volume's label may hold a newline, and then says whatever it likes on lines of its own; no real field stands
    # before it, and of the label's 16 bytes not enough is left for a whole one of those that are asked for here.
    lines = [line.partition(":") for line in text.splitlines()]
    fields = {name: value.strip() for name, colon, value in lines if colon}
    if "Filesystem features" not in fields or "Filesystem state" not in fields:  # or it was cut in the middle
        return None, Known.UNKNOWN
    features = fields["Filesystem features"].split()
    elsewhere = {"Journal UUID", "Journal device"} & fields.keys()
    if "has_journal" not in features:
        journal = Journal.NONE
    elif fields.get("Journal inode", "").isdecimal() and not elsewhere:
        journal = Journal.INTERNAL
    else:
        journal = Journal.EXTERNAL
    return journal, Known.YES if "needs_recovery" in features else Known.NO
