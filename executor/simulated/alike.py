"""When two moments have the same future: equal keys, whatever led to them.

A key holds everything that a later move, a later fault or an invariant may depend on. What is left out is left out for
a reason that stands beside it: a key that says too little hides what it was made to find. Too much only costs time.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import pairwise
from typing import TYPE_CHECKING

from executor.simulated.faults import Then
from planner.adopt import balance, kept_by
from planner.plan import Exited, Lost, What
from planner.saga import Pivot

if TYPE_CHECKING:
    from executor.simulated.trial import Trial


def moment_key(trial: Trial) -> tuple[Hashable, ...]:
    """Of a moment at which a fault is to be put, unless it loses the journal: for those see ``logs_key``, too.

    Left out: how often each move went out (it only names places), how it ended so far, and what is armed.
    """
    # Where two were at work, what nodes were given tells who gives up.
    return (*_stand(trial), logs_key(trial) if trial.awake else None)


def _stand(trial: Trial) -> tuple[Hashable, ...]:
    """All but what the nodes' logs say."""
    return (
        *trial.world.key(),
        trial.view.key(),
        _past_key(trial),
        trial.generation,
        frozenset(trial.compared),
        (trial.sleeper.serial, trial.moves_slept) if trial.sleeper is not None else None,
        trial.broken(),
        trial.then,
    )


def logs_key(trial: Trial) -> tuple[Hashable, frozenset[tuple[tuple[str, str], int]]]:
    """What the nodes' own logs say, as far as whoever adopts the run asks, and what more its journal knows, or less.

    Of a command it asks whether it was begun; and how it ended only where that tells that a step was taken back.
    """
    found: dict[tuple[str, str], str | None] = {}
    logs = {node: tuple(said for at, said in trial.world.logged if at == node) for node in trial.plan.nodes}
    for node, log in logs.items():
        for said, after in pairwise([*log, None]):
            if said is not None and said.startswith("began ") and said not in trial.probing:
                found[node, said] = after if said in trial.telling else None
    more = balance(trial.moves, trial.entries, logs)
    return (frozenset(found.items()), frozenset((at, count) for at, count in more.items() if count))


def rest_key(trial: Trial) -> tuple[Hashable, ...]:
    """Of a moment after which no fault comes any more: all that is left of the run.

    What the nodes' logs say matters only to who adopts the run: once its journal is lost, and before it is taken up;
    and where two were at work, if one is told to.
    """
    logs = trial.world.logged if trial.then is Then.ADOPT else ()
    beside = _beside_key(trial) if trial.awake else None
    return (*_stand(trial), trial.after_this, beside, logs)


def _beside_key(trial: Trial) -> Hashable:
    """Of a controller after another one was at work, too: whether it will be told to adopt the run anew, from what.

    It will not be if no node was given more than its journal knows, nothing of the other one is on its way, and each
    node that the journal was made from still knows the run: from here on both count the same commands.
    """
    _, more = logs = logs_key(trial)
    kept = frozenset(kept_by(trial.plan, trial.entries))
    ahead = any(count < 0 for _, count in more)
    told = ahead or trial.world.late or not all(map(trial.known_at, kept))
    return (kept, logs if told else None)


def _past_key(trial: Trial) -> tuple[Hashable, ...]:
    """What of the journal still matters: what ``next_move`` reads from here on. Words decide nothing."""
    past = trial.past
    nodes = tuple(
        frozenset(names) for names in (past.unsettled, past.touched, past.off, past.gone, past.heard)
    )
    told = (
        past.unwinding is None,
        past.refused,
        past.superseded is None,
        past.taking_over,
        past.taken_up,
        past.untold,
        past.adopted,
        past.memory_lost is None,  # whether it is told decides I8
        any(step.id in past.begun for step in trial.frozen),
    )
    stand = (*nodes, past.pivot, *told)
    if past.pivot is Pivot.PASSED:  # only forward: of the steps before it nothing is asked any more
        what = What.DO
        ahead = trial.retiring - past.done
    elif past.unwinding is not None and past.pivot is not Pivot.ASKED:  # only back
        what = What.UNDO
        ahead = trial.undoable & (past.begun - past.undone)
    else:
        sets = (frozenset(past.begun), frozenset(past.done), frozenset(past.undone))
        return (*stand, *sets, frozenset((k, _statuses(v)) for k, v in past.failures.items()))
    tries = (
        ((kind, at), _statuses(outcomes))
        for (kind, at), outcomes in past.failures.items()
        if kind is What.SETTLE or (kind is what and at in ahead)
    )
    return (*stand, what, ahead, frozenset(tries))


def _statuses(outcomes: list[Exited | Lost]) -> tuple[int | None, ...]:
    return tuple(o.status if isinstance(o, Exited) else None for o in outcomes)
