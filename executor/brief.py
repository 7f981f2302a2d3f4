"""What the nodes keep of a run, so that a controller without its journal can still make the same plan.

Not the plan itself: a node that lies could then say what is to be done on the other one. The request holds facts and
flags only; the plan is made from it again, and must have the digest that was agreed to.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Final

import msgspec
from msgspec import Struct

from executor.node import HOST
from planner.make import make_plan
from planner.model import Request
from planner.plan import Plan

VERSION: Final = 1
LIMIT_BYTES: Final = 64 << 20
"""Of a brief once it is unpacked; whatever is larger was not written by vzplan."""


class BriefError(ValueError):
    """What a node keeps of the run cannot be used; the message says why, and what to do."""


class Brief(Struct, frozen=True, forbid_unknown_fields=True):
    """``by``: the vzplan that made the plan; ``digest``: the plan's."""

    version: int
    by: str
    digest: str
    request: Request


def packed(request: Request, plan: Plan, by: str) -> str:
    """One word of base64: the node stores it as it is (``$run/brief``)."""
    brief = Brief(VERSION, by, plan.digest, request)
    return base64.b64encode(zlib.compress(msgspec.json.encode(brief), 6)).decode()


def unpacked(text: str, node: str) -> Plan:
    """The plan that was agreed to, made again from what ``node`` keeps.

    Raises:
        BriefError: it is damaged, of another version, or does not lead to the same plan any more.
    """
    try:
        data = _unzipped(base64.b64decode(text.strip().encode(), validate=True))
        head = msgspec.json.decode(data, type=_Head)
        brief = msgspec.json.decode(data, type=Brief) if head.version == VERSION else None
    except (binascii.Error, zlib.error, msgspec.MsgspecError, RecursionError) as problem:
        raise BriefError(
            f"{node}: what it keeps of the run is damaged ({problem}); ask the other node"
        ) from None
    if brief is None:
        raise BriefError(f"{node}: the run was begun by vzplan {head.by}; adopt it with that version")
    try:
        plan = make_plan(brief.request)
    except ValueError as problem:  # what never was a request: of other nodes than it has facts of, say
        raise BriefError(
            f"{node}: what it keeps of the run makes no plan ({problem}); ask the other node"
        ) from None
    if plan.digest != brief.digest:
        raise BriefError(
            f"{node}: the run was planned by vzplan {brief.by}, and this one plans otherwise; adopt it with that one"
        )
    # Another would be of no run: nothing that it says is to reach a shell, or ssh.
    if not plan.runnable or not all(map(HOST.fullmatch, plan.nodes)):
        raise BriefError(
            f"{node}: what it keeps of the run is no plan that can have been applied; ask the other node"
        )
    return plan


class _Head(Struct):
    """What of a brief every version can read."""

    version: int
    by: str


def _unzipped(packed: bytes) -> bytes:
    engine = zlib.decompressobj()
    data = engine.decompress(packed, LIMIT_BYTES)
    if not engine.eof:
        raise zlib.error("cut short, or too large")
    return data
