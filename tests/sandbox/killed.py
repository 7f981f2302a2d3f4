"""``python -m tests.sandbox.killed N WORD...``: vzplan WORD..., ended by SIGKILL once N entries are in its journal."""

from __future__ import annotations

import os
import signal
import sys

from executor.journal import Journal
from planner.plan import Entry


def main() -> None:
    """Count entries, then be gone."""
    limit = int(sys.argv[1])
    append = Journal.append

    def counted(self: Journal, entry: Entry) -> None:
        append(self, entry)
        if len(self.entries) >= limit:
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.append = counted  # type: ignore[method-assign]
    sys.argv[1:] = sys.argv[2:]
    from cli.main import main as vzplan  # noqa: PLC0415 # after the journal was changed

    vzplan()


if __name__ == "__main__":
    main()
