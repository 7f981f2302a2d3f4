"""``dumpe2fs -h DEVICE`` (dumpe2fs(8)): an ext filesystem's superblock, read without mounting it."""

from __future__ import annotations

from planner.model import Journal, Known


def superblock(text: str) -> tuple[Journal | None, Known]:
    """Where the journal is, and whether some node has the filesystem mounted read-write ([seen] needs_recovery).

    (None, UNKNOWN) for anything that is not a superblock.
    """
    fields = {
        name.strip(): value.strip()
        for name, colon, value in (line.partition(":") for line in text.splitlines())
        if colon
    }
    if "Filesystem features" not in fields:
        return None, Known.UNKNOWN
    features = fields["Filesystem features"].split()
    if "has_journal" not in features:
        journal = Journal.NONE
    elif "Journal inode" in fields:
        journal = Journal.INTERNAL
    else:
        journal = Journal.EXTERNAL  # "Journal UUID", "Journal device"
    return journal, Known.YES if "needs_recovery" in features else Known.NO
