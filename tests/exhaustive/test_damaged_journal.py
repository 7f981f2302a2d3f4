"""A journal cut at every byte, and with every byte changed, of a run of each way: refused, or obeyed without harm.

What is left of a cut journal is a shorter one. Taken up again it must either be seen to know less than its nodes (as
``recover`` asks them first), or lead to an end that is true. That is tried for every moment of the run and every
shorter journal: with the nodes as they were at that moment.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from executor import journal
from executor.control import began_nothing
from executor.journal import JournalError
from executor.simulated.explore import start_of
from executor.simulated.loading import HOME
from executor.simulated.schedules import schedule
from executor.simulated.trial import RUN, Trial
from planner.adopt import has_it_still, outrun
from planner.codec import decode_entry
from planner.plan import Began, Entry, Outcome, What
from planner.saga import Past
from tests.worlds import WORLDS

RUNS: Final = {
    "a": ("a-running", "bring-up:lost-after"),
    "b": ("b-running", "bring-up:will-not-start"),
    "c": ("c-running", ""),
    "d1": ("d1-running", "stop:killed-after"),
    "d2": ("d2-running", "prove-released-hn2:fails-before"),
    "a-forward": ("a-running", "make-root:killed-before-forward"),
}
"""Of each way one run: to its end, by way of a recovery, and taken back.

And one whose journal knows of a command that was never sent, and went on.
"""

PATH: Final = Path(RUN) / "journal"


def moments(world: str, line: str) -> list[Trial]:
    """The run just before each of its moves, and at its end."""
    trial, found = start_of(WORLDS[world]), []
    trial.armed = schedule(line)
    trial.on_border = lambda now, _place: found.append(now.fork(()))
    trial.run()
    assert not trial.violations
    trial.nodes = trial.connected()
    return [*found, trial.fork(())]


def as_written(entries: list[Entry]) -> bytes:
    return b"".join(journal._record(number, entry) for number, entry in enumerate(entries))


@pytest.fixture
def decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes are the same entry; without this most of the time would go into reading it again."""
    monkeypatch.setattr(journal, "decode_entry", cache(decode_entry))


@pytest.mark.usefixtures("decoded_once")
@pytest.mark.parametrize("way", RUNS)
def test_a_journal_cut_at_any_byte_is_a_shorter_one_or_damaged(way: str) -> None:
    entries = moments(*RUNS[way])[-1].entries
    data = as_written(entries)
    ends = [0]
    for number, entry in enumerate(entries):
        ends.append(ends[-1] + len(journal._record(number, entry)))
    assert ends[-1] == len(data)
    whole = 0
    for cut in range(len(data)):
        while ends[whole + 1] <= cut:
            whole += 1
        if whole == 0:
            with pytest.raises(JournalError, match="damaged at its beginning"):
                journal._replayed(PATH, data[:cut])
        else:
            assert journal._replayed(PATH, data[:cut]) == (entries[:whole], ends[whole])


@pytest.mark.usefixtures("decoded_once")
@pytest.mark.parametrize("way", RUNS)
def test_a_journal_with_any_byte_changed_is_refused(way: str) -> None:
    data = bytearray(as_written(moments(*RUNS[way])[-1].entries))
    for place in range(len(data)):
        for changed in (data[place] ^ 0x01, data[place] ^ 0x80, ord("\n") if data[place] != ord("\n") else 0):
            before, data[place] = data[place], changed
            with pytest.raises(JournalError, match="damaged"):
                journal._replayed(PATH, bytes(data))
            data[place] = before


@pytest.mark.parametrize("away", [None, "hn1", "hn2"])
@pytest.mark.parametrize("way", RUNS)
def test_a_shorter_journal_is_refused_or_does_no_harm(way: str, away: str | None) -> None:
    """Also while a node cannot be reached, which may be the one that knows better; then once more with all of them."""
    refused, ended, wrong = 0, Counter[Outcome | str](), list[str]()
    for now in moments(*RUNS[way]):
        for length in range(1, len(now.entries) + 1):
            trial = now.fork(())
            trial.entries = now.entries[:length]
            trial.past = Past(trial.plan)
            for entry in trial.entries:
                trial.past.note(entry)
            if away is not None:
                trial.world.nodes[away].reachable = False
            if knows_less(trial):
                refused += 1
                continue
            trial.acting, trial.outcomes = None, []
            trial.line = f"{len(now.entries)} entries cut to {length}, {away} away"
            trial.restart()
            trial.run()
            found = trial.violations
            if (
                trial.past.superseded is not None
            ):  # it ended on a node: nothing is done, and the outcome says so
                refused += 1
                found = [violation for violation in found if violation.invariant not in {"R12", "I11"}]
            wrong += map(str, found)
            ended.update(trial.outcomes)
    print(way, away, refused, ended)
    assert wrong == []
    assert refused > 0
    assert len(ended) > 1


def knows_less(trial: Trial) -> bool:
    """What ``recover`` asks the nodes before anything else; one that is away says nothing."""
    here = [node for node in trial.plan.nodes if trial.world.nodes[node].reachable]
    logs = {node: tuple(said for at, said in trial.world.logged if at == node) for node in here}
    if outrun(trial.plan, trial.entries, logs) is not None:
        return True
    if not began_nothing(trial.plan, trial.past):
        return False
    if len(here) < len(trial.plan.nodes):
        return True
    ended = all(f"{HOME}/{RUN}" not in trial.world.nodes[node].tree for node in here)
    return ended and not has_it_still(trial.plan, trial.world.facts(trial.plan.asked.source))


def test_what_a_node_was_given_is_more_than_a_journal_knows_once_its_last_began_is_cut() -> None:
    now = moments(*RUNS["d2"])[12]
    assert not knows_less(now)
    last = max(n for n, e in enumerate(now.entries) if isinstance(e, Began) and e.what is not What.SETTLE)
    now.entries = now.entries[:last]
    assert knows_less(now)
