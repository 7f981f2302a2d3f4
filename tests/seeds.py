"""Which examples are tried: the same ones each time, and besides them some that are new in every run.

``VZPLAN_SEED=NUMBER`` tries those of that seed; ``VZPLAN_EXAMPLES=NUMBER`` says how many. The seed of the new ones is
in the header of every run and on every failure.
"""

from __future__ import annotations

import os
import secrets
from typing import Final

SEED: Final = os.environ.get("VZPLAN_SEED")
EXAMPLES: Final = int(os.environ.get("VZPLAN_EXAMPLES") or 0)
"""0: nobody said."""

# In the environment: the processes of pytest-xdist try the same ones as the header says.
FRESH: Final = SEED or os.environ.setdefault("VZPLAN_FRESH_SEED", str(secrets.randbelow(10**9)))
"""Seed of what is new in this run."""


def repeated_by() -> str:
    """What a person types to see the same again."""
    return f"VZPLAN_SEED={FRESH} repeats the fresh examples of this run"
