"""Bugs that tests put in on purpose: the exploration that finds nothing in the product must find each of these.

N.. and L.. are those of old and naive tools (each lost data, or hid that it had); the others take one rule of the
product away. A bug is a function that patches, or gives another plan; beside it stands in which world it must be
noticed, and by which invariants, so that nothing passes because of something else that went wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from typing import Final, NamedTuple

import pytest
from msgspec import structs

from executor import engine, journal
from executor.simulated import checkpoints, node, trial, vz
from executor.simulated.loading import OWNERS, Truth
from executor.simulated.node import SimulatedNode
from executor.simulated.tree import EMPTY, HALF, Data, File
from executor.simulated.trial import Trial
from executor.simulated.twins import TWINS, container, files, run, staged, storage
from executor.simulated.twins.here import DONE, End, Here, Twin
from executor.simulated.vz import Effects
from executor.simulated.world import NodeState, World
from planner import saga
from planner.adopt import adopted
from planner.model import State
from planner.plan import (
    Adopted,
    Began,
    Command,
    Compensation,
    Ended,
    Entry,
    Exited,
    Lost,
    NothingToUndo,
    Outcome,
    Plan,
    Run,
    Step,
    Stop,
    What,
    Wish,
    Zone,
)
from planner.saga import Past, Pivot, next_move
from planner.verbs import ANY_CONTENT, ANY_MOUNT, NO, NO_DUMP, UNPROVED, YES

Bug = Callable[[pytest.MonkeyPatch, Plan], Plan]


class Deliberate(NamedTuple):
    """A bug, and where it must be noticed.

    ``after``: a first trouble, behind which it shows. ``truth``: what the world's facts do not tell. ``beside``: what
    else must not be there for it to show, since more than one thing keeps it from doing harm; by itself that does none.
    ``seen``: what is said of it, to the letter; ``*`` is anything.
    """

    put_in: Bug
    world: str
    noticed_by: frozenset[str]
    after: str | None
    truth: Truth | None
    beside: Bug | None
    seen: tuple[str, ...]


BUGS: Final[dict[str, Deliberate]] = {}


def noticed(
    name: str,
    world: str,
    *by: str,
    after: str | None = None,
    truth: Truth | None = None,
    beside: Bug | None = None,
    seen: str | tuple[str, ...] = (),
) -> Callable[[Bug], Bug]:
    """Enter a bug into ``BUGS``."""

    def enter(bug: Bug) -> Bug:
        assert name not in BUGS
        told = (seen,) if isinstance(seen, str) else seen
        BUGS[name] = Deliberate(bug, world, frozenset(by), after, truth, beside, told)
        return bug

    return enter


# --- another plan, another verb ---------------------------------------------------------------------------------


def without(plan: Plan, *ids: str) -> Plan:
    """The plan with some steps left out."""
    assert set(ids) <= {step.id for step in plan.steps}
    return structs.replace(plan, steps=tuple(step for step in plan.steps if step.id not in ids))


def changed(plan: Plan, step_id: str, **changes: object) -> Plan:
    """The plan with one step changed."""
    steps = (structs.replace(s, **changes) if s.id == step_id else s for s in plan.steps)
    return structs.replace(plan, steps=tuple(steps))


def moved(plan: Plan, *ids: str, before: str, zone: Zone) -> Plan:
    """The plan with some steps moved to the place before another one, and into a zone that fits there."""
    steps: list[Step] = []
    for step in plan.steps:
        if step.id == before:
            steps += (structs.replace(get(plan, each), zone=zone) for each in ids)
        if step.id not in ids:
            steps.append(step)
    return structs.replace(plan, steps=tuple(steps))


def get(plan: Plan, step_id: str) -> Step:
    """A step by its id."""
    return next(step for step in plan.steps if step.id == step_id)


@noticed("hides-what-is-up", "a-running", "I2", "I4")
@noticed(
    "taken-back-while-up",
    "a-staged",
    "I2",
    "I4",
    after="name-config:fails-after",
    seen="123 runs or would start at hn2",
)
def hides_what_is_up(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The config gets another name although somebody has started the container in spite of fence and lock."""

    def hide(here: Here, _ctid: str, _root: str, *names: str) -> Twin:
        return (yield from files.rename_file(here, *names))

    patch.setitem(TWINS, "hide-config", hide)
    return plan


@noticed(
    "named-before-pivot",
    "a-running",
    "I4",
    after="name-config:killed-after + settle/hn1:operator-forces-start-at-destination",
)
def names_the_config_before_the_pivot(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Who starts it there by force writes what goes with the copy, if that node loses power before it is asked."""
    staged = get(plan, "bring-up").do.argv[-1]
    config = vz.config_path(plan.asked.ctid)
    named = Step(
        "name-config",
        "give the config its name",
        Zone.TRANSFER,
        Command(plan.asked.destination, ("rename-file", staged, config, ANY_CONTENT), "", 60),
        takes_the_name_away(plan),
    )
    before, after = plan.steps[: plan.pivot], plan.steps[plan.pivot :]
    return structs.replace(plan, steps=(*before, named, *after))


def operand(plan: Plan, step_id: str, number: int, value: str) -> Plan:
    """The plan with one operand of a step's verb changed."""
    argv = list(get(plan, step_id).do.argv)
    argv[number] = value
    return changed(plan, step_id, do=structs.replace(get(plan, step_id).do, argv=tuple(argv)))


def undone_by(plan: Plan, step_id: str, **changes: object) -> Plan:
    """The plan with a step's compensation changed."""
    undo = get(plan, step_id).undo
    assert isinstance(undo, Compensation)
    return changed(plan, step_id, undo=structs.replace(undo, **changes))


def does_nothing(_here: Here, *_operands: str) -> Twin:
    """A verb that says that all is well."""
    yield from ()
    return DONE


class Unsynced(Here):
    """What a verb has in its hands, but for the means to make it last."""

    __slots__ = ()

    def sync(self) -> Twin:  # type: ignore[override]
        """Nothing of the kind."""
        yield
        return DONE


# --- what stands beside them ------------------------------------------------------------------------------------


def lock_is_free(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The wrapper lets a command in while an earlier one is still at work."""
    patch.setattr(node, "lock_is_taken", lambda _here: False)
    return plan


def any_generation(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The wrapper lets in whoever comes."""
    real = node.refusal

    def refusal(here: Here, verb: str) -> End | None:
        stored = here.note("generation")
        return real(here if stored is None else here._replace(generation=int(stored)), verb)

    patch.setattr(node, "refusal", refusal)
    return plan


def wrapper_lets_in(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Whoever comes, and whenever."""
    return any_generation(patch, lock_is_free(patch, plan))


def pivot_of_several_parts(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The config has its name, and start is allowed, just before it is done; taken away again if that fails."""
    plan = moved(plan, "allow-start", before="bring-up", zone=Zone.TRANSFER)
    return changed(plan, "allow-start", undo=takes_the_name_away(plan), ensures=False)


def takes_the_name_away(plan: Plan) -> Compensation:
    """At the destination, unless it runs there."""
    staged, config = get(plan, "bring-up").do.argv[-1], vz.config_path(plan.asked.ctid)
    hide = ("hide-config", str(plan.asked.ctid), ANY_MOUNT, config, staged, ANY_CONTENT)
    return Compensation("take it away again", Command(plan.asked.destination, hide, "", 60), blocking=True)


def no_fence(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Nothing but the config's name keeps it from being started at the source."""
    patch.setitem(TWINS, "fence", does_nothing)
    hide = get(plan, "hide-config").do
    return operand(plan, "hide-config", hide.argv.index(hide.argv[-1]), ANY_CONTENT)


def copies_whatever_is_there(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Where nothing is mounted, the emptiness below is copied as well."""
    real = TWINS["copy-tree"]

    def copy(here: Here, *operands: str) -> Twin:
        if here.node.mounted_at(operands[1]) is not None:
            return (yield from real(here, *operands))
        there = here.world.nodes[operands[4]]
        here.world.put_content(there, operands[5], EMPTY)
        yield
        here.world.sync(there)
        yield
        return DONE

    patch.setitem(TWINS, "copy-tree", copy)
    return plan


# --- old and naive tools ----------------------------------------------------------------------------------------


@noticed("N01", "d2-running", "R12")
def starts_without_force(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The undo of stop starts the container as an operator would: its own fence refuses (exit 105)."""
    real = vz.start

    def start(world: World, at: NodeState, ctid: int, *, force: bool, skiplock: bool) -> Effects:
        return real(world, at, ctid, force=force and at.name != plan.asked.source, skiplock=skiplock)

    patch.setattr(vz, "start", start)
    return plan


@noticed("N02", "d2-running", "I1", beside=lock_is_free)
def settles_nothing(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Commands go out to a node where an earlier one may still be at work, and nothing there holds them up."""

    def settled(_plan: Plan, _past: Past, move: Run) -> Run:
        return move

    patch.setattr(saga, "_settled", settled)
    return plan


@noticed("N03", "d2-running", "I2", beside=pivot_of_several_parts)
def has_no_undo_for_half_a_pivot(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A pivot of several parts, start allowed, started, that failed half way and has no undo."""
    for half in ("allow-start", "bring-up"):
        plan = changed(plan, half, undo=NothingToUndo("it failed"))
    return plan


@noticed("N04", "a-running-not-on-boot", "I4")
def probe_asks_whether_it_runs_now(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Started, acknowledgement lost, rebooted: "not running" is read as "never started"."""

    def probe(here: Here, ctid: str, _root: str) -> Twin:
        yield from ()
        return End(YES if vz.state_of(here.node, int(ctid)) is State.RUNNING else NO)

    patch.setitem(TWINS, "probe-pivot", probe)
    return plan


@noticed("N05", "a-running", "I11", "R12", after="bring-up:lost-after")
def any_failure_of_the_probe_is_no(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A probe that fails for its own reasons is taken for an answer."""

    class AnythingButYes(int):
        __hash__ = int.__hash__

        def __eq__(self, other: object) -> bool:
            return other != YES

    patch.setattr(saga, "NO", AnythingButYes(NO))
    return plan


@noticed("N06", "a-running", "I8", seen="123 was running on hn1, and now it is down")
def does_not_bring_the_former_state_back(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The fence is lifted after its node has rebooted behind it, and nobody starts the container again."""
    patch.setitem(TWINS, "restore-state", does_nothing)
    return plan


@noticed(
    "N07",
    "a-running",
    "I2",
    beside=no_fence,
    seen="123 would start on hn1 if that booted now and runs on hn2",
)
def old_name_comes_back_after_a_power_cut(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The config is hidden, but not on the disk; allowed to start, it is on both nodes after a power cut."""
    return unsynced("hide-config")(patch, plan)


@noticed("N08", "d2-running", "I1", beside=hides_what_is_up)
def proves_before_it_fences(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Proved released, then forbidden and hidden; in between no lock keeps others out, and a mount asks nothing."""
    plan = moved(plan, "fence", "hide-config", before="mount-destination", zone=Zone.TRANSFER)
    return operand(without(plan, "lock-hn1"), "mount-destination", 4, "any")


@noticed("N09", "a-running", "I4")
def copy_is_not_synced(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Copied, source destroyed, and the destination loses its power before the copy is on its disk."""
    real = storage.copy_tree

    def copy(here: Here, *operands: str) -> Twin:
        there = here.world.nodes[operands[4]]
        effects = real(here, *operands)
        while True:
            disk, cached, luns = there.disk, there.cached, here.world.luns
            try:
                next(effects)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if there.disk is not disk:
                there.disk, there.cached, here.world.luns = disk, cached, luns
            yield

    patch.setitem(TWINS, "copy-tree", copy)
    return plan


@noticed("N10", "a-stopped", "I2", seen="the config on hn1 is hidden or fenced")
def generation_is_not_checked(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A controller that was only asleep goes on although another one has taken its run over."""
    return any_generation(patch, plan)


@noticed(
    "N11",
    "d2-running",
    "R12",
    "I11",
    seen=("IN_DOUBT with every node at hand that is needed: *", "after one recover still IN_DOUBT: *"),
)
def stops_and_waits(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Safe and useless: at the first trouble it does nothing more, and says that a person is needed."""
    patch.setattr(saga, "_unwind", lambda *_: Stop(Outcome.IN_DOUBT, "something went wrong", ()))
    return plan


@noticed(
    "forgets-and-nobody-knows",
    "d2-running",
    "I8",
    after="disown-hn2:journal-lost-after",
    seen="nobody knows of the run any more, and *",
)
def forgets_all_before_it_has_tidied_up(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The nodes forget the run while the source's area is still there; with the journal all word of it is lost."""
    return moved(plan, "disown-hn1", "disown-hn2", before="remove-private", zone=Zone.RETIRE)


@noticed(
    "wish-is-ignored", "d2-running", "I8", seen="MIGRATED, although it was told to go back before the pivot"
)
def goes_on_whatever_it_is_told(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Ctrl-C is written down, and that is all."""
    real = Past.note

    def note(past: Past, entry: Entry) -> None:
        if not isinstance(entry, Wish):
            real(past, entry)

    patch.setattr(Past, "note", note)
    return plan


def instead(patch: pytest.MonkeyPatch, of: Outcome, **changes: object) -> None:
    """Let the engine report another outcome."""

    def told(plan: Plan, past: Past) -> Run | Stop:
        move = next_move(plan, past)
        return structs.replace(move, **changes) if isinstance(move, Stop) and move.outcome is of else move

    patch.setattr(engine, "next_move", told)


@noticed(
    "something-left-is-not-told",
    "d2-running",
    "I8",
    seen="UNWOUND_NOT_CLEANED, and it does not say what is left to be run",
)
def does_not_say_what_is_left(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """It says that something could not be cleaned up, and not what."""
    instead(patch, Outcome.UNWOUND_NOT_CLEANED, left=())
    return plan


@noticed("nothing-left-is-called-so", "d2-running", "I8", seen="UNWOUND_NOT_CLEANED, and nothing is left")
def calls_what_is_clean_not_cleaned(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """All has been taken back, and it says that some of it is still there."""
    instead(patch, Outcome.UNWOUND, outcome=Outcome.UNWOUND_NOT_CLEANED, left=(plan.steps[0].do,))
    return plan


@noticed(
    "refused-and-left",
    "d2-running",
    "I8",
    after="own-hn2:journal-lost-after",
    seen="REFUSED, and another recover sends out settle hn1",
)
def leaves_its_records_where_it_refuses(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Adopted from nodes that know nothing but that it was taken in hand, it does nothing, and calls that refused."""

    def told(plan: Plan, past: Past) -> Run | Stop:
        return Stop(Outcome.REFUSED, "nothing is known of it", ()) if past.untold else next_move(plan, past)

    patch.setattr(engine, "next_move", told)
    return plan


@noticed(
    "owned-too-late",
    "d2-running",
    "I8",
    seen="another controller had ended the run, and one that only slept has changed that: *",
)
def what_it_took_in_hand_too_late_stays_so(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Who wakes up after its run has ended takes a node in hand, and leaves it so once the other one refuses it."""
    patch.setattr(saga, "_owned_too_late", lambda *_: None)
    return plan


@noticed("forward-after-undo", "a-running", "I8", after="copy-last:fails-after")
def goes_on_with_what_was_taken_back(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Told to go forward it does so, although a part has been taken back."""

    def may(past: Past) -> bool:
        return past.pivot is not Pivot.NEVER

    for module in (saga, trial):
        patch.setattr(module, "may_go_forward", may)
    return plan


@noticed("never-says-down", "d2-running", "R12")
def doubts_what_is_proved(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A container that is proved not to run, and whose files are safe, is in doubt all the same."""
    patch.setattr(saga, "_does_not_run", lambda _: False)
    return plan


def hears(
    patch: pytest.MonkeyPatch, heard: Callable[[Past, What, str, Exited | Lost], Exited | Lost]
) -> None:
    """Let the saga take another outcome for the one that it is told."""
    real = Past._ended

    def ended(past: Past, what: What, at: str, outcome: Exited | Lost) -> None:
        real(past, what, at, heard(past, what, at, outcome))

    patch.setattr(Past, "_ended", ended)


@noticed("L01", "a-running", "I4")
def carries_on_after_a_failure(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A step that failed is passed over: the source goes although its last copy did not come through."""

    def heard(past: Past, what: What, _at: str, outcome: Exited | Lost) -> Exited | Lost:
        on_the_way = what is What.DO and past.pivot is Pivot.AHEAD and isinstance(outcome, Exited)
        return Exited(0) if on_the_way else outcome

    hears(patch, heard)
    return plan


@noticed("L03", "d2-running", "I1")
def source_is_started_before_the_destination_lets_go(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Unwinding takes all back at the source first, and only then at the destination."""

    def backwards(steps: tuple[Step, ...]) -> list[Step]:
        last = [step for step in steps[::-1] if step.do.argv[0] in ("own", "note-state")]
        there = [s for s in steps[::-1] if s not in last and s.do.node == plan.asked.destination]
        return [*(s for s in steps[::-1] if s not in last and s not in there), *there, *last]

    patch.setattr(saga, "reversed", backwards, raising=False)
    return plan


@noticed(
    "L04",
    "d2-running",
    "I1",
    "I3",
    seen=("the last acknowledged write of 123 is on no disk", "DOWN, but the newest files are not at hn1"),
)
def clears_the_destination_while_it_is_mounted(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The destination's device is not unmounted in undo, and its area goes by ``rm -rf``, whatever is mounted there."""

    def remove(here: Here, path: str) -> Twin:
        if here.world.content(here.node, path) is not None:
            here.world.put_content(here.node, path, EMPTY)
            yield
        return (yield from TWINS["remove-made"](here, path))

    patch.setitem(TWINS, "remove-made-tree", remove)
    plan = changed(plan, "mount-destination", undo=NothingToUndo("its directory is deleted"))
    made = get(plan, "make-private").do
    delete = structs.replace(made, argv=("remove-made-tree", made.argv[1]))
    return undone_by(plan, "make-private", do=delete)


@noticed("L05", "a-running", "I8")
def undo_covers_no_half_effects(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """What was only begun is not looked for: the part that a failed make-file had written stays."""
    patch.setattr(Here, "beside", lambda here, path: f"{path}.part" if here.stdin else f"{path}.other")
    return plan


@noticed("L07", "c-running", "I6", seen="nothing is on * any more")
def destroys_the_device_that_is_mounted(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The old area of an insulated container goes by ``vzctl destroy``, with the device that is mounted there."""
    real = TWINS["remove-dir"]

    def destroy(here: Here, path: str) -> Twin:
        if here.node.lun_at(path) is not None:
            here.world.put_content(here.node, path, EMPTY)
            yield
            here.world.sync(here.node)
            yield
        return (yield from real(here, path))

    patch.setitem(TWINS, "remove-dir", destroy)
    return without(plan, "leave-source")


LOOKING: Final = (
    "guard-source",
    "guard-destination",
    "see-mounted",
    "prove-released-hn1",
    "prove-released-hn2",
)
"""Steps that change nothing, and only ask."""


@noticed("L09", "a-running", "I4", after="bring-up:lost-after")
def silence_is_no(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """No answer is understood to say that all is well: not started there, not mounted, not changed meanwhile."""

    def heard(_past: Past, what: What, at: str, outcome: Exited | Lost) -> Exited | Lost:
        if isinstance(outcome, Exited) or (what is What.DO and at not in LOOKING):
            return outcome
        return {What.PROBE: Exited(NO), What.DO: Exited(0)}.get(what, outcome)

    hears(patch, heard)
    return plan


@noticed("L17", "c-stopped", "I8", beside=copies_whatever_is_there, seen="the newest files are not at hn2")
def copies_from_where_nothing_is_mounted(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The source's device is not mounted for the copy: emptiness is copied, and the container said to have moved."""
    return without(plan, "mount-source")


def gives_up_the_pivot(patch: pytest.MonkeyPatch, plan: Plan, kind: type[Exited | Lost]) -> Plan:
    """An outcome of the pivot that is no success is taken for the proof that it never took effect."""
    real, pivot = Past._ended, plan.steps[plan.pivot].id

    def ended(past: Past, what: What, at: str, outcome: Exited | Lost) -> None:
        real(past, what, at, outcome)
        if what is What.DO and at == pivot and isinstance(outcome, kind) and past.pivot is Pivot.ASKED:
            past.pivot, past.unwinding = Pivot.NEVER, "it did not start"

    patch.setattr(Past, "_ended", ended)
    return plan


@noticed("L26", "a-running", "I11", "R12")
def failed_looking_start_is_taken_for_none(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A start that looked failed and did succeed: only that it is up keeps the source from being started again."""
    return gives_up_the_pivot(patch, plan, Exited)


@noticed("down-not-released", "d2-running", "I8", seen="DOWN, but hn2 still has * mounted")
def what_is_not_released_is_said_to_be(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """DOWN is reported, and the device is still mounted at the destination."""
    halted = saga._halted

    def lies(plan: Plan, past: Past, step: Step, undo: Compensation) -> Stop:
        stop = halted(plan, past, step, undo)
        if step.id != "mount-destination":
            return stop
        return Stop(Outcome.DOWN, f"the data is safe on {plan.asked.source}, released elsewhere", stop.left)

    patch.setattr(saga, "_halted", lies)
    return plan


@noticed("down-after-off", "d2-running", "R12", "I11", seen="after one recover still DOWN: given up")
def once_off_always_given_up(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A node was said to be off once: the container is left down although every node answers by now."""
    said, decide = Past._switched_off, next_move

    def remembers(past: Past, node: str) -> None:
        said(past, node)
        past.__dict__["ever_off"] = True

    def gives_up(plan: Plan, past: Past) -> Run | Stop:
        move = decide(plan, past)
        if "ever_off" in past.__dict__ and not past.off and isinstance(move, Run) and move.at == "stop":
            return Stop(Outcome.DOWN, "given up", ())
        return move

    patch.setattr(Past, "_switched_off", remembers)
    patch.setattr(engine, "next_move", gives_up)
    return plan


@noticed("start-timed-out", "a-running", "I4")
def start_that_timed_out_is_taken_for_none(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The source is started because nothing was heard of the destination's start."""
    return gives_up_the_pivot(patch, plan, Lost)


# --- the journal and the engine ---------------------------------------------------------------------------------


@noticed(
    "intent-after-effect",
    "a-stopped",
    "I7",
    seen="own on hn1 took effect, and the journal does not expect it",
)
def intent_is_written_after_the_effect(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The command goes out first; that it was meant to is written down when it is over."""

    class Late:
        def __init__(self, of: Trial, name: str) -> None:
            self.of, self.inner = of, of.nodes[name]

        def run(self, command: Command) -> Exited | Lost:
            began = self.of.entries.pop()
            assert isinstance(began, Began)
            self.of.view.intended.discard(command)
            outcome = self.inner.run(command)
            self.of.entries.append(began)
            return outcome

    real = engine.walk

    def walk(journal: Trial, nodes: object, **kwargs: object) -> Run | Stop:  # noqa: ARG001 # the trial has them
        late = {name: Late(journal, name) for name in journal.nodes}
        return real(journal, late, **kwargs)  # type: ignore[arg-type]

    patch.setattr(trial, "walk", walk)
    return plan


@noticed("pivot-not-on-disk", "a-running", "I2", "I4")
def intent_of_the_pivot_is_lost(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The pivot's intent was not synced and went with the controller's power; the nodes are not asked for it either."""
    real, pivot = Trial.restart, plan.steps[plan.pivot].id

    def restart(self: Trial, *, forward: bool = False) -> None:
        if self.entries[-1] == Began(What.DO, pivot):
            self.entries.pop()
            self.past = Past(plan)
            for entry in self.entries:
                self.past.note(entry)
            self.__dict__["_outrun"] = lambda _move: False
        real(self, forward=forward)

    patch.setattr(Trial, "restart", restart)
    return plan


@noticed("failure-not-written", "a-running", "R12")
def failures_are_not_written_down(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Only a success is put into the journal: of a probe that said no nothing is known."""
    real = Trial.append

    def append(self: Trial, entry: Entry) -> None:
        if isinstance(entry, Ended) and isinstance(entry.outcome, Exited) and entry.outcome.status:
            entry = structs.replace(entry, outcome=Lost("nothing was written down"))
        real(self, entry)

    patch.setattr(Trial, "append", append)
    return plan


@noticed("adopts-without-logs", "a-running", "I8")
def adopts_without_the_logs(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Whoever adopts a run takes it for one that had hardly begun, whatever the nodes have on record."""

    def ignorant(*args: object) -> Adopted:
        entry = adopted(*args)  # type: ignore[arg-type]
        return structs.replace(
            entry, begun=tuple(s.id for s in plan.steps if s.do.argv[0] == "own"), undone=()
        )

    patch.setattr(trial, "adopted", ignorant)
    return plan


@noticed("nodes-not-asked", "a-stopped", "I2")
def goes_on_beside_the_old_controller(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Adopted while the first controller only slept; that it went on before it was kept out is not looked for."""
    patch.setattr(trial, "outrun", lambda *_: None)
    return plan


# --- the saga ---------------------------------------------------------------------------------------------------


@noticed("taken-over-late", "a-stopped", "I2")
def old_controller_is_kept_out_only_where_it_is_needed(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Adopted while the first controller only slept: it goes on where its generation still counts."""
    patch.setattr(saga, "_knows", lambda _plan, _past, _node: False)
    return plan


@noticed("undo-after-success", "a-running", "I8")
def undo_is_registered_after_success(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """What failed, or of which nothing was heard, counts as not happened and is not taken back."""
    real = Past._ended

    def ended(past: Past, what: What, at: str, outcome: Exited | Lost) -> None:
        real(past, what, at, outcome)
        if what is What.DO and at not in past.done and past.pivot is Pivot.AHEAD:
            past.begun.discard(at)

    patch.setattr(Past, "_ended", ended)
    return plan


@noticed("lost-did-not-happen", "a-running", "I8", seen="/var/lib/vzplan/node/run-1 on hn1 is not as it was")
def lost_counts_as_not_happened(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A step of which nothing was heard is not taken back."""
    real = Past._ended

    def ended(past: Past, what: What, at: str, outcome: Exited | Lost) -> None:
        real(past, what, at, outcome)
        if what is What.DO and isinstance(outcome, Lost) and past.pivot is Pivot.AHEAD:
            past.begun.discard(at)

    patch.setattr(Past, "_ended", ended)
    return plan


@noticed("past-a-failed-undo", "d2-running", "I1")
def unwinds_past_a_failed_undo(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A blocking undo that was not proved is passed over like any other, and the source takes its device back."""
    for step in plan.steps:
        if isinstance(step.undo, Compensation) and step.zone is not Zone.PIVOT:
            plan = undone_by(plan, step.id, blocking=False)
    return plan


@noticed("undo-after-the-pivot", "a-running", "I4")
def takes_back_after_the_pivot(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A failure while the source is retired is answered by taking everything back."""
    real = saga._retire

    def retire(plan: Plan, past: Past) -> Run | Stop:
        failed = any(what is What.DO and at != "bring-up" for what, at in past.failures)
        return saga._unwind(plan, past) if failed else real(plan, past)

    patch.setattr(saga, "_retire", retire)
    return plan


@noticed("wish-after-the-pivot", "a-running", "I4", after="allow-start:wish")
def heeds_a_wish_after_the_pivot(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Who presses Ctrl-C while the source is retired gets everything taken back."""
    real = Past.note

    def note(past: Past, entry: Entry) -> None:
        real(past, entry)
        if isinstance(entry, Wish) and past.pivot is Pivot.PASSED:
            past.pivot, past.unwinding = Pivot.NEVER, entry.because

    patch.setattr(Past, "note", note)
    return plan


@noticed("probe-forgotten", "a-running", "R12")
def probe_is_forgotten(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """What the destination answered about the pivot is not kept: it is asked again until nobody wants to any more."""

    def heard(_past: Past, what: What, _at: str, outcome: Exited | Lost) -> Exited | Lost:
        return Exited(1) if what is What.PROBE and isinstance(outcome, Exited) else outcome

    hears(patch, heard)
    return plan


@noticed("off-is-no", "a-running", "I4")
def power_off_answers_for_the_pivot(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """That the destination is off is taken for the proof that the container never started there."""
    real, pivot = Past._switched_off, plan.steps[plan.pivot].id

    def switched_off(past: Past, at: str) -> None:
        real(past, at)
        if past.pivot is Pivot.ASKED and at == plan.asked.destination:
            past.pivot, past.unwinding = Pivot.NEVER, "it is off"
            past.undone.add(pivot)

    patch.setattr(Past, "_switched_off", switched_off)
    return plan


@noticed("forgets-too-early", "a-running", "I11")
def forgets_while_something_is_left(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The run's folder is removed although something that it made there is not: nobody can take that back any more."""
    for own in ("own-hn1", "own-hn2"):
        plan = undone_by(plan, own, forgets=False)
    return plan


@noticed("disowns-too-early", "a-running", "I11")
def disowns_while_something_is_left(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Moved, and the run is forgotten on both nodes although the source has not been tidied up."""
    for disown in ("disown-hn1", "disown-hn2"):
        plan = changed(plan, disown, forgets=False)
    return plan


@noticed("retires-unensured", "a-running", "I6", seen="/vz/private/123 on hn1 is gone before the pivot")
def retires_before_the_destination_is_ensured(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The source is cleared away first; that the destination still has the container is looked at last."""
    for step in ("allow-start", "ensure-up"):
        plan = changed(plan, step, ensures=False)
    return moved(plan, "allow-start", "ensure-up", before="disown-hn1", zone=Zone.RETIRE)


@noticed("restart-settles-nothing", "d2-running", "I1", beside=wrapper_lets_in)
def restart_trusts_what_was_settled(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Who takes a run up does not think of what the old controller had still under way."""
    real = Past._restarted

    def restarted(past: Past, *, forward: bool) -> None:
        settled = past.touched - past.unsettled
        real(past, forward=forward)
        past.unsettled -= settled

    patch.setattr(Past, "_restarted", restarted)
    return plan


# --- the wrapper ------------------------------------------------------------------------------------------------


@noticed("boot-not-checked", "a-stopped", "I2", beside=hides_what_is_up)
def boot_is_not_checked(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A session that connects again by itself does not see that its node has booted, and the wrapper does not look."""

    def connected(self: SimulatedNode) -> bool:
        there = self.world.nodes[self.name]
        return there.reachable and not there.dark

    real = node.refusal

    def refusal(here: Here, verb: str) -> End | None:
        end = real(here, verb)
        return None if end is not None and end.said == "the node has booted since" else end

    patch.setattr(SimulatedNode, "_connected", connected)
    patch.setattr(node, "refusal", refusal)
    return plan


@noticed("late-not-ended", "d2-running", "I1")
def settling_does_not_end_what_is_late(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A node calls itself settled while a command is still at work there, and nobody takes the run's lock."""

    def settle(here: Here) -> Twin:
        run.make_folder(here)
        yield
        yield from here.sync()
        return DONE

    patch.setitem(TWINS, "settle", settle)
    patch.setattr(node, "lock_is_taken", lambda _here: False)
    return plan


@noticed("record-not-exclusive", "a-stopped", "I5")
def owner_record_is_not_exclusive(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A container that another run has in hand is taken in hand all the same."""
    real = run.own

    def own(here: Here, ctid: str) -> Twin:
        here.node.drop(f"{OWNERS}/{ctid}")
        return (yield from real(here, ctid))

    patch.setitem(TWINS, "own", own)
    return plan


# --- verbs ------------------------------------------------------------------------------------------------------


def unsynced(verb: str) -> Bug:
    """A verb that does not sync what it did."""

    def bug(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
        real = TWINS[verb]

        def twin(here: Here, *operands: str) -> Twin:
            return (yield from real(Unsynced(*here), *operands))

        patch.setitem(TWINS, verb, twin)
        return plan

    bug.__doc__ = f"What {verb} did may be undone by a power cut: it returns without a sync."
    return bug


_SEEN: Final = {
    "activate-config": "123 is still fenced on hn2",
    "empty-claimed": "36* is not as it was",
    "unfence": "the old config on hn1 is still fenced",
}

for _verb, _world, _by, _after in (
    ("own", "a-running", "I11", None),
    ("disown", "a-running", "I8", None),
    ("note-state", "a-running", "I8", None),
    ("make-file", "a-running", "I8", None),
    ("make-dir", "a-running", "I8", None),
    ("remove-made", "a-running", "I8", "stage-config:fails-after"),
    ("remove-made-tree", "a-running", "I8", "make-private:fails-after"),
    ("rename-file", "a-running", "I11", "bring-up:will-not-start"),
    ("remove-dir", "a-running", "I8", None),
    ("retire-area", "a-running", "I8", None),
    ("unfence", "a-running", "I8", None),
    ("activate-config", "a-running", "I8", None),
    ("empty-claimed", "b-running", "I8", "copy-1:fails-after"),
    ("release-lock", "a-running", "I8", None),
    ("bring-up", "a-running", "I4", None),
    ("enable-container", "a-stopped", "I8", None),
):
    noticed(f"no-sync-{_verb}", _world, _by, after=_after, seen=_SEEN.get(_verb, ()))(unsynced(_verb))


class Torn(Here):
    """What a verb has in its hands, but files have their names before their content is on the disk."""

    __slots__ = ()

    def put_whole(self, path: str, file: File) -> None:
        """As a shell's ``>`` does it."""
        self.node.put(path, file)


@noticed("torn-lock", "d2-running", "I8")
def locks_with_a_file_that_may_be_empty_after_a_power_cut(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """[seen] Between two kernels: an empty lock file stays behind, and nobody can tell whose it is."""
    real = TWINS["hold-lock"]
    patch.setitem(TWINS, "hold-lock", lambda here, *operands: real(Torn(*here), *operands))
    return plan


@noticed(
    "lost-lock",
    "a-running",
    "I2",
    "I4",
    after="copy-last:reboot-before-forward",
    beside=hides_what_is_up,
)
def goes_on_with_a_lock_that_was_lost(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """After a power cut a run goes forward, although anybody may have started the container meanwhile."""
    real = TWINS["hold-lock"]

    def hold(here: Here, *operands: str) -> Twin:
        here.node.drop(f"{here.folder}/frozen")
        return (yield from real(here, *operands))

    patch.setitem(TWINS, "hold-lock", hold)
    return plan


@noticed(
    "lock-not-asked",
    "a-stopped",
    "I2",
    "I3",
    after="hide-config:reboot-before-forward",
    beside=hides_what_is_up,
)
def goes_on_without_asking_for_its_lock(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Whoever takes a run forward does not look whether it still holds the lock."""
    real = Past._look_again

    def look(self: Past) -> None:
        locks = {step.id for step in plan.steps if step.do.argv[0] == "hold-lock"} & self.done
        real(self)
        if any(step.id in self.done for step in plan.steps if step.do.argv[0] == "fence"):
            self.done |= locks

    patch.setattr(Past, "_look_again", look)
    return plan


LEFT_UNSYNCED: Final = {
    "make-file": ("a-running", ""),
    "make-dir": ("a-running", ""),
    "note-state": ("a-running", ""),
    "fence": ("a-running", ""),
    "enable-container": ("a-stopped", ""),
    "claim-empty": ("b-running", ""),
    "note-superblock": ("d2-stopped", ""),
    "own": ("a-running", ""),
    "settle": ("a-running", "stage-config:killed-before"),
}
"""Verbs whose sync is checked by itself, too (``durable``), and a schedule in which each has something to sync."""


def journal_is_not_synced(patch: pytest.MonkeyPatch) -> None:
    """What is appended to the journal is handed to the kernel, and no more."""

    def write(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data)

    patch.setattr(journal, "_write", write)


def journal_is_synced_before_it_is_written(patch: pytest.MonkeyPatch) -> None:
    """What is appended is on the disk when the next entry is."""

    def write(descriptor: int, data: bytes) -> None:
        os.fsync(descriptor)
        os.write(descriptor, data)

    patch.setattr(journal, "_write", write)


DIRECT: Final = {
    "no-fsync-at-pivot": journal_is_not_synced,
    "fsync-too-soon": journal_is_synced_before_it_is_written,
}
"""Bugs of the journal on disk, which no simulated world has."""


def named_and_up(here: Here, ctid: str, *operands: str) -> Twin:
    """The pivot of a container that is up, without its marks."""
    *up, staged = operands
    yield from files.rename_file(here, staged, vz.config_path(int(ctid)), ANY_CONTENT)
    return (yield from container.ensure_up(here, ctid, *up))


@noticed("marked-after", "a-running-not-on-boot", "I4")
def pivot_is_marked_after_it(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The destination notes that the container was started when it has been, not before."""

    def bring_up(here: Here, *operands: str) -> Twin:
        end = yield from named_and_up(here, *operands)
        if end.status == 0:
            yield from here.mark("out")
        return end

    patch.setitem(TWINS, "bring-up", bring_up)
    return plan


@noticed("refused-too-soon", "a-running-not-on-boot", "I4")
def pivot_calls_itself_refused_too_soon(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The destination notes that nothing came of the start before it has seen what came of it."""

    def bring_up(here: Here, *operands: str) -> Twin:
        yield from here.mark("out")
        yield from here.mark("refused", "0")
        end: End = yield from named_and_up(here, *operands)
        if end.status == 0:
            here.node.drop(f"{here.folder}/refused")
            yield
            yield from here.sync()
        return end

    patch.setitem(TWINS, "bring-up", bring_up)
    return plan


@noticed(
    "refused-but-named",
    "a-running",
    "I4",
    after="bring-up:will-not-start-once + probe/bring-up:operator-forces-start-at-destination",
)
def pivot_that_is_refused_leaves_the_name(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Who starts it there by force then writes what goes with the copy, if that node loses power before it is asked."""
    patch.setattr(container, "hide_config", does_nothing)
    return plan


# --- memory ----------------------------------------------------------------------------------------------------


@noticed("void-dump", "d2-online", "I4")
def void_dump_is_taken_up(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A dump that has been taken up once, and was brought back by a power cut, is taken up again."""
    real = container._take_up

    def take_up(here: Here, ctid: int) -> Generator[None, None, End | None]:
        here.node.drop(f"{here.folder}/taken")
        return (yield from real(here, ctid))

    patch.setattr(container, "_take_up", take_up)
    return plan


@noticed("dump-not-voided", "d2-online", "I4", after="bring-up:half-lost-6")
def dump_is_not_voided(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Its start is allowed again while the dump that was taken up may still be there: a boot takes it up once more."""

    def allow(here: Here, ctid: str, staged: str) -> Twin:
        end: End = yield from files.activate(here, ctid, staged)
        yield from here.sync()
        return end

    patch.setitem(TWINS, "activate-config", allow)
    return without(plan, "ensure-memory", "void-dump")


@noticed("dump-never-voided", "d2-online", "I11", after="bring-up:half-lost-6")
def dump_is_never_voided(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Nothing makes sure that it is used up: its start stays forbidden for good."""
    return without(plan, "ensure-memory", "void-dump")


@noticed(
    "memory-thrown-away",
    "a-online",
    "I8",
    seen="123 on hn1 was started anew, although nothing kept it from its memory",
)
def memory_is_thrown_away(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """What was suspended is started anew when it is taken back."""
    real = container._take_up

    def take_up(here: Here, ctid: int) -> Generator[None, None, End | None]:
        if here.node.name == plan.asked.source:
            return None
        return (yield from real(here, ctid))

    patch.setattr(container, "_take_up", take_up)
    return plan


@noticed("memory-loss-not-told", "d2-online", "I8", seen="123 on hn1 was started anew, and that is not told")
def memory_loss_is_not_told(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A container that had to be started anew is reported as if nothing had happened."""
    patch.setattr(container, "MEMORY_LOST", "all is well")
    return plan


@noticed("half-a-dump", "d2-online", "I8")
def half_a_dump_is_left(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A container that could not be suspended runs on, and half of its memory waits for its next start."""
    patch.setattr(container, "of_this_run", lambda here: here.note("put-dump") is not None)
    return plan


@noticed("carrier-held-by-both", "d2-staged-by-device", "I1")
def dump_device_is_mounted_on_both(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The source does not let go of the device that carries the memory, and the destination does not look."""
    return operand(without(plan, "release-dump-source"), "mount-dump-destination", 4, "any")


@noticed("carrier-left-mounted", "d2-online-by-device", "I8", seen="/vz/dump/.vzplan-dump-123 is left on hn2")
def dump_device_is_left_mounted(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The device that carried the memory stays mounted at the destination."""
    return without(plan, "clear-dump", "remove-dump-place")


@noticed("config-gone-before-kill", "a-staged", "I11", beside=hides_what_is_up)
def config_goes_although_the_frozen_one_could_not_be_ended(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Without its config vzctl cannot end it any more."""
    return changed(plan, "kill", frees=False)


@noticed("memory-left-on-its-device", "d2-staged-by-device", "I8", seen="a memory dump is left on *")
def memory_is_left_on_its_device(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """What was written down is not deleted from the device that carried it."""

    def clear(here: Here, device: str, identity: str, room: str, _ctid: str) -> Twin:
        end: End = yield from storage.release_device(here, device, identity, room)
        return end if end.status else (yield from files.remove_made(here, room))

    patch.setitem(TWINS, "clear-dump", clear)
    return plan


@noticed("source-goes-on", "a-staged", "I2")
def the_source_goes_on_after_the_pivot(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """What stands still at the source is resumed once it runs at the destination, not ended."""
    undo = get(plan, "freeze").undo
    assert isinstance(undo, Compensation)
    return changed(plan, "kill", do=undo.do)


@noticed("undump-resumes", "b-staged", "I4")
def it_runs_as_soon_as_it_is_undumped(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """What is undumped runs at once, before the pivot; what it writes is lost when everything is taken back."""
    real = checkpoints.undump

    def undump(world: World, there: NodeState, ctid: int, file: str, *, resumed: bool) -> Effects:
        assert not resumed or there.name == plan.asked.source
        return (yield from real(world, there, ctid, file, resumed=True))

    patch.setattr(checkpoints, "undump", undump)
    return plan


@noticed("killed-too-early", "d2-staged", "I8")
def it_is_ended_before_its_memory_is_safe(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """What stands still is ended although nothing says that its memory was written down."""
    real = staged.kill_container

    def kill(here: Here, ctid: str, private: str, root: str, how: str, _dumpfile: str) -> Twin:
        return (yield from real(here, ctid, private, root, how, NO_DUMP))

    patch.setitem(TWINS, "kill-container", kill)
    return moved(plan, "kill", before="dump", zone=Zone.FREEZE)


@noticed("void-dump-taken-up", "d2-staged", "I4", after="prove-released-hn1:fails-before")
def a_void_dump_is_taken_up(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """What was taken up from a dump, and has run on, is taken up from it once more after a power cut."""
    real = Here.note

    def note(here: Here, name: str) -> str | None:
        return None if name == "taken" else real(here, name)

    patch.setattr(Here, "note", note)
    return plan


@noticed("standstill-counts-as-running", "c-staged", "R12")
def what_stands_still_counts_as_running(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The pivot's probe cannot tell what stands still from what runs, so that a refused pivot is never proved."""
    real = TWINS["probe-pivot"]

    def probe(here: Here, *operands: str) -> Twin:
        end: End = yield from real(here, *operands)
        return End(UNPROVED) if int(operands[0]) in here.node.frozen and end.status == NO else end

    patch.setitem(TWINS, "probe-pivot", probe)
    return plan


@noticed("never-goes-on", "d1-staged", "I8")
def what_was_frozen_is_started_anew(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """What stands still at the source is ended and started anew when everything is taken back."""
    real = staged.go_on

    def go_on(here: Here, ctid: int) -> Generator[None, None, bool]:
        if here.node.name == plan.asked.source:
            yield from staged.kill_frozen(here, ctid, NO_DUMP)
        return (yield from real(here, ctid))

    patch.setattr(container, "go_on", go_on)
    return plan


@noticed(
    "dump-retired-early",
    "d2-suspended",
    "I6",
    seen="/vz/dump/Dump.123 on hn1, its memory, is gone before the pivot",
)
def old_dump_goes_before_the_pivot(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The old memory is deleted once it is copied."""
    return moved(plan, "retire-dump", before="enable", zone=Zone.TRANSFER)


@noticed("dump-left", "a-suspended", "I8")
def dump_is_left_at_the_destination(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """What was put there is not put back."""

    def withdraw(_here: Here, *_operands: str) -> Twin:
        yield from ()
        return DONE

    patch.setitem(TWINS, "withdraw-dump", withdraw)
    return plan


@noticed("old-dump-left", "a-suspended", "I8", seen="/vz/dump/Dump.123 is left on hn1")
def old_dump_is_left_at_the_source(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Whoever brings the old config back one day gets old memory with it."""
    return without(plan, "retire-dump")


@noticed("hooks-trusted", "d2-running", "I1", seen="* is mounted on hn1 and on hn2")
def exit_status_of_a_hook_is_trusted(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The stop's hook said that it unmounted the device, so nobody unmounts it or looks."""
    plan = without(plan, "release-source", "prove-released-hn1", "prove-released-hn2")
    return operand(plan, "mount-destination", 4, "any")


@noticed("release-not-proved", "d2-stopped", "I8", seen="its device is still mounted on hn1")
def release_is_not_proved(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """What cannot be unmounted is called released, and nobody looks whether it is."""
    real = TWINS["release-device"]

    def release(here: Here, *operands: str) -> Twin:
        yield from real(here, *operands)
        return DONE

    patch.setitem(TWINS, "release-device", release)
    patch.setitem(TWINS, "prove-released", does_nothing)
    return plan


@noticed(
    "looks-never",
    "a-mounted",
    "I11",
    beside=hides_what_is_up,
    seen="after one recover still MIGRATED_NOT_CLEANED: *",
)
def stopped_is_not_looked_at(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """``vzctl stop`` said 0, so the container is taken to be down."""

    def stop(here: Here, ctid: str, *_operands: str) -> Twin:
        yield from vz.stop(here.world, here.node, int(ctid), skiplock=True)
        return DONE

    patch.setitem(TWINS, "stop-container", stop)
    return plan


@noticed("told-and-forgotten", "a-running", "I8")
def what_was_told_to_end_counts_as_running(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A stop that was cut off goes on in the guest, which is left alone since it still runs."""
    patch.setattr(container, "_end_what_was_told", does_nothing)
    return plan


CLONE: Final = Truth(different=((("hn1", "/dev/sda1"), ("hn2", "/dev/sdm1")),))
"""The destination's device has the identity of the source's to the last letter, and is another disk."""


@noticed("challenge-skipped", "d2-stopped", "I5", truth=CLONE)
def challenge_is_skipped(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Nobody looks whether the destination's device shows what the source does to its own: a clone passes for it."""
    return without(plan, "note-superblock", "see-mounted")


@noticed(
    "guards-left-out",
    "a-stopped",
    "I3",
    beside=hides_what_is_up,
    seen="if hn2 booted now, it would start 123 on old or torn files",
)
def guards_are_left_out(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """What was true when the plan was made is not looked at again before the freeze."""
    return without(plan, "guard-source", "guard-destination")


@noticed("lock-left-out", "a-stopped", "I3", beside=hides_what_is_up)
def vzctls_lock_is_not_held(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Nothing keeps vzctl from starting the container between the last look and the fence."""
    return without(plan, "lock-hn1", "lock-hn2")


@noticed("no-last-pass", "a-running", "I4")
def last_pass_is_left_out(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """What the container wrote while the first pass ran is not copied."""
    return without(plan, "copy-last")


@noticed("copied-while-up", "a-running", "I4")
def copies_while_it_runs(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The container is stopped when the last copy is done, not before."""
    return moved(plan, "stop", before="hide-config", zone=Zone.TRANSFER)


@noticed("source-not-hidden", "a-running", "I2", seen="123 runs or would start at hn1 too")
def source_is_neither_fenced_nor_hidden(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The old config is left as it is: the source starts the container at its next boot."""
    return without(plan, "fence", "hide-config", "tidy-backup")


@noticed("copied-not-renamed", "a-running", "I8")
def config_is_copied_instead_of_renamed(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The new name is made and the old one left."""

    def rename(here: Here, old: str, new: str, _sha256: str) -> Twin:
        if new not in here.node.tree:
            here.node.link(old, new)
            yield
        yield from here.sync()
        return DONE

    patch.setitem(TWINS, "rename-file", rename)
    return plan


@noticed("copies-anywhere", "b-running", "I4")
def copies_to_wherever_it_is(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The copy does not look whether its device is still mounted at the destination."""
    patch.setattr(storage, "_not_ours", lambda *_: None)
    return plan


@noticed(
    "marker-ignored",
    "a-running",
    "I5",
    seen="/etc/vz/conf/123.conf.vzplan, which another made on hn2 meanwhile, is not what it was",
)
def undo_ignores_the_marker(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The undo of make-file and make-dir removes what is there, whoever made it."""

    def remove(here: Here, path: str) -> Twin:
        here.node.drop(path)
        yield
        yield from here.sync()
        return DONE

    patch.setitem(TWINS, "remove-made", remove)
    return plan


@noticed("overwrites", "a-running", "I5")
def overwrites_what_another_made(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A file that came into being since the plan was made is replaced."""
    real = TWINS["make-file"]

    def make(here: Here, path: str, mode: str) -> Twin:
        here.node.drop(path)
        return (yield from real(here, path, mode))

    patch.setitem(TWINS, "make-file", make)
    return plan


@noticed("device-by-name", "b-running-two-disks", "I5", seen="36* is not what it was")
def device_is_chosen_by_name(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A device is what is called so today: what was sdg is another disk by now, taken for empty and copied onto."""
    for verbs in (storage, container):
        patch.setattr(verbs, "same_disk", lambda *_: True)

    def claim(here: Here, _private: str, device: str, identity: str) -> Twin:
        yield from here.mark("claimed", f"{device} {identity}")
        return DONE

    patch.setitem(TWINS, "claim-empty", claim)
    stable, short = get(plan, "mount-destination").do.argv[1], "/dev/sdg1"
    steps = []
    for step in plan.steps:
        argv = tuple(short if word == stable else word for word in step.do.argv)
        steps.append(structs.replace(step, do=structs.replace(step.do, argv=argv)))
    return structs.replace(plan, steps=tuple(steps))


@noticed("lazy-unmount", "d2-stopped", "I8", seen="mounts on hn1 are not as they were")
def unmounts_lazily(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """``umount -l`` always works: the device is gone from the list of mounts, and held as long as someone uses it."""

    def release(here: Here, device: str, _identity: str, private: str, *_: str) -> Twin:
        disk, there = here.device(device), here.node
        top = there.mounted_at(private)
        if disk is not None and top is not None and not vz.umount(here.world, there, private):
            detached = structs.replace(top, point="(detached)", elsewhere=True)
            there.mounts = tuple(detached if mount is top else mount for mount in there.mounts)
        yield
        yield from here.sync()
        return DONE

    patch.setitem(TWINS, "release-device", release)
    patch.setitem(TWINS, "release-unless-up", release)
    return plan


@noticed("copies-over-another", "a-running", "I5")
def copies_over_another_containers_files(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The copy goes over the files of the other containers at the destination, too."""
    real = TWINS["copy-tree"]

    def copy(here: Here, *operands: str) -> Twin:
        end = yield from real(here, *operands)
        there, place = here.world.nodes[operands[4]], operands[5]
        for path, thing in tuple(there.tree.items()):
            if isinstance(thing, Data) and not path.startswith(place):
                there.put_lasting(path, HALF)
                yield
        return end

    patch.setitem(TWINS, "copy-tree", copy)
    return plan


@noticed("deletes-another", "a-running", "I5", seen="/vz/private/101/files on hn1 is not what it was")
def deletes_another_containers_files(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """With the area all containers' files are deleted at the source."""
    real = TWINS["retire-area"]

    def retire(here: Here, *operands: str) -> Twin:
        end = yield from real(here, *operands)
        for path, thing in tuple(here.node.tree.items()):
            if isinstance(thing, Data):
                here.node.drop(path)
                yield
        yield from here.sync()
        return end

    patch.setitem(TWINS, "retire-area", retire)
    return plan


@noticed("stops-every-container", "a-running", "I8", seen="container 101 on hn1 is not as it was")
def stops_every_container(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """All containers of the source are stopped."""
    real = TWINS["stop-container"]

    def stop(here: Here, ctid: str, *operands: str) -> Twin:
        for other in sorted(here.node.running.keys() - {int(ctid)}):
            yield from vz.stop(here.world, here.node, other, skiplock=True)
        return (yield from real(here, ctid, *operands))

    patch.setitem(TWINS, "stop-container", stop)
    return plan


@noticed(
    "area-not-kept",
    "a-stopped-area-kept",
    "I6",
    "I8",
    seen=(
        "what is in /vz/private/123 on hn1 is gone, and was not to be removed",
        "/vz/private/123 on hn1 was to be kept, and is gone",
    ),
)
def area_is_deleted_although_it_was_to_be_kept(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The source's private area goes with the run's folder, whatever ``--remove-area`` says."""
    real = TWINS["disown"]

    def disown(here: Here, ctid: str) -> Twin:
        if here.node.name == plan.asked.source and vz.config_path(int(ctid)) not in here.node.tree:
            here.node.drop(f"/vz/private/{ctid}")
            yield from here.sync()
        return (yield from real(here, ctid))

    patch.setitem(TWINS, "disown", disown)
    return plan


@noticed("script-left-behind", "b-running", "I8")
def script_is_left_behind(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Action scripts are not brought along."""
    return made_otherwise(patch, plan, ".mount", None)


@noticed(
    "script-garbled",
    "b-running",
    "I8",
    seen="/etc/vz/conf/123.mount on hn2 is missing, or is not what it was on hn1",
)
def script_is_garbled(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Action scripts come with something else in them."""
    return made_otherwise(patch, plan, ".mount", File("exit 0\n", 0o755))


@noticed("config-for-all", "a-running", "I8")
def config_may_be_written_by_all(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The config that is made at the destination may be written by anybody."""
    return made_otherwise(patch, plan, "", File("", 0o777))


def made_otherwise(patch: pytest.MonkeyPatch, plan: Plan, ending: str, thing: File | None) -> Plan:
    """``make-file`` makes files whose names end so otherwise: not at all, or with that mode, and that text if any."""
    real = TWINS["make-file"]

    def make(here: Here, path: str, mode: str) -> Twin:
        if not path.endswith(ending):
            return (yield from real(here, path, mode))
        if thing is None:
            yield from here.sync()
            return DONE
        return (yield from real(here._replace(stdin=thing.text or here.stdin), path, f"{thing.mode:04o}"))

    patch.setitem(TWINS, "make-file", make)
    return plan


@noticed("mount-left", "d2-running", "I8", seen="what is mounted at /mnt/left on hn2 is not as it was")
def device_stays_mounted_elsewhere(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """At the destination the device is mounted at another place as well, and stays there."""
    real = TWINS["ensure-up"]

    def ensure(here: Here, *operands: str) -> Twin:
        top = here.node.mounted_at(f"/vz/private/{plan.asked.ctid}")
        left = structs.replace(top, point="/mnt/left") if top is not None else None
        if left is not None and left not in here.node.mounts:
            here.node.mounts = (*here.node.mounts, left)
            yield
        return (yield from real(here, *operands))

    patch.setitem(TWINS, "ensure-up", ensure)
    return plan


@noticed(
    "edit-thrown-away", "a-running", "I5", seen="what an operator added to the config of 123 on hn1 is gone"
)
def fence_is_taken_out_by_an_old_copy(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The fence is lifted by putting the config back as it was planned with, whatever has been added since."""
    before = plan.config.before if plan.config is not None else ""

    def unfence(here: Here, config: str) -> Twin:
        here.node.put_lasting(config, File(before, 0o644))
        yield
        return DONE

    patch.setitem(TWINS, "unfence", unfence)
    return plan


@noticed(
    "edit-left-behind",
    "a-running",
    "I8",
    seen="what an operator added to the config on hn1 did not come along",
)
def moves_although_the_config_was_edited(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """What was changed in the config behind the fence is not looked at: it moves as it was planned to."""
    return operand(plan, "hide-config", -1, ANY_CONTENT)


@noticed(
    "script-deleted",
    "d2-running",
    "I6",
    "I8",
    seen=(
        "/etc/vz/conf/123.mount on hn1 is gone",
        "1 of 2 of the container's configs and scripts were kept on hn1",
    ),
)
def script_is_deleted_instead_of_renamed(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Nothing is kept at the source of an action script."""
    real = TWINS["rename-file"]

    def rename(here: Here, old: str, new: str, sha256: str) -> Twin:
        end: End = yield from real(here, old, new, sha256)
        if old.endswith(".mount"):
            here.node.drop(new)
            yield
            yield from here.sync()
        return end

    patch.setitem(TWINS, "rename-file", rename)
    return plan


@noticed("refused-means-taken-back", "d2-running", "I10", seen="REFUSED, and by another recover UNWOUND")
def calls_what_it_took_back_refused(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """What has been begun and was taken back is reported as if nothing had been begun."""
    instead(patch, Outcome.UNWOUND, outcome=Outcome.REFUSED)
    return plan


@noticed(
    "started-without-its-device",
    "d2-mounted",
    "I8",
    after="stop:fails-after",
    seen="123 shows on hn1 what lies under its mount point, not its device",
)
def comes_up_on_what_lies_below(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Its hooks are trusted to mount its device, and nobody looks what it came up on."""
    patch.setattr(container, "made_mounted", does_nothing)
    patch.setattr(container, "stands", lambda *_: True)
    return plan


@noticed("dump-not-put", "d2-suspended", "I8", seen="its memory is not at hn2")
def dump_is_not_put_where_vzctl_looks(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The memory is copied, and stays beside the place from which it would be taken up."""
    return without(plan, "put-dump")


@noticed(
    "down-after-a-boot",
    "a-running-not-on-boot",
    "I8",
    after="bring-up:reboot-after",
    seen="123 is down on hn2, and was running",
)
def nobody_looks_whether_it_is_still_up(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Started once, it is said to run, although its node has booted since and starts it at no boot."""
    patch.setitem(TWINS, "ensure-up", does_nothing)
    return plan


@noticed(
    "holder-left",
    "a-running",
    "I8",
    after="fence:fails-before",
    seen="a process that holds a lock on hn1 is left, or gone",
)
@noticed("holder-left-behind", "a-running", "I8", seen="a process that holds a lock is left on hn2")
def lock_is_released_and_its_holder_lives_on(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The lock's file is removed, and the process that held it is not ended."""
    real = TWINS["release-lock"]

    def release(here: Here, *operands: str) -> Twin:
        living = here.node.living
        end: End = yield from real(here, *operands)
        here.node.living = living
        return end

    patch.setitem(TWINS, "release-lock", release)
    return plan


@noticed(
    "source-left-mounted",
    "d2-suspended",
    "I8",
    seen="what is mounted at /vz/private/123 on hn1 is not as it was",
)
def device_that_was_mounted_for_a_look_stays_so(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The device of a container that is down is mounted to be shown, and taken back, it stays mounted."""
    return changed(plan, "mount-source", undo=NothingToUndo("it was only looked at"))


@noticed("old-dump-on-disk", "d2-suspended", "I8", seen="a power cut would bring its old memory back on hn1")
def old_dump_is_deleted_last_and_not_synced(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The old memory goes with the run's folder, and nothing makes that last."""
    real, dump = TWINS["disown"], get(plan, "retire-dump").do.argv[2]

    def disown(here: Here, ctid: str) -> Twin:
        end: End = yield from real(here, ctid)
        if here.node.name == plan.asked.source and vz.config_path(int(ctid)) not in here.node.tree:
            here.node.drop(dump)
            yield
        return end

    patch.setitem(TWINS, "disown", disown)
    return without(plan, "retire-dump")


def directories_go_under_mounts(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """A directory that something is mounted on in another namespace only can be removed: newer kernels let it."""
    patch.setattr(files, "_not_removable", lambda *_: None)
    return plan


@noticed(
    "carrier-held-elsewhere",
    "d2-online-by-device",
    "I8",
    beside=directories_go_under_mounts,
    seen="/vz/dump/.vzplan-dump-123/device is still mounted on hn2",
)
def dump_device_stays_mounted_in_another_namespace(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """Unmounted where everybody looks, the device that carried the memory is still held by another namespace."""
    real = TWINS["clear-dump"]

    def clear(here: Here, device: str, identity: str, room: str, ctid: str) -> Twin:
        top = here.node.mounted_at(room)
        end: End = yield from real(here, device, identity, room, ctid)
        if top is not None and end.status == 0:
            here.node.mounts = (*here.node.mounts, structs.replace(top, elsewhere=True))
            yield
        return end

    patch.setitem(TWINS, "clear-dump", clear)
    return plan


@noticed(
    "source-still-mounted",
    "c-running",
    "I8",
    beside=directories_go_under_mounts,
    seen="/vz/private/123 is still mounted on hn1",
)
def source_keeps_its_device(_patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The device that was copied from is left mounted, and the directory below it removed."""
    return without(plan, "leave-source")


@noticed("source-overwritten", "a-mounted", "I8", seen="the newest files are not at hn1")
def copy_is_taken_back_by_copying_back(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """What has been copied is copied back before it is deleted, whether all of it had come through or not."""
    real = TWINS["remove-made-tree"]

    def remove(here: Here, path: str) -> Twin:
        copied, source = here.world.content(here.node, path), here.world.nodes[plan.asked.source]
        if copied is not None:
            here.world.put_content(source, path, copied)
            yield
            here.world.sync(source)
        return (yield from real(here, path))

    patch.setitem(TWINS, "remove-made-tree", remove)
    return plan


@noticed("config-goes-too", "a-running", "I8", seen="no config of 123 on hn2")
def all_that_was_made_goes_with_the_run(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """At the end everything that the run made is deleted at the destination, the config among it."""
    real = TWINS["disown"]

    def disown(here: Here, ctid: str) -> Twin:
        if here.node.name == plan.asked.destination:
            here.node.drop(vz.config_path(int(ctid)))
            yield
        return (yield from real(here, ctid))

    patch.setitem(TWINS, "disown", disown)
    return plan


@noticed("config-not-as-planned", "a-running", "I8", seen="the config on hn2 is not the planned one")
def config_is_not_the_one_that_was_shown(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """The config that is made at the destination has a line more than the plan says."""
    staged = get(plan, "stage-config").do.stdin
    return made_otherwise(patch, plan, ".conf.vzplan", File(f'{staged}CPUUNITS="1000"\n', 0o644))


@noticed("down-while-up", "d2-running", "I8", seen="DOWN, but it runs on hn1")
def calls_what_runs_down(patch: pytest.MonkeyPatch, plan: Plan) -> Plan:
    """What was started again at the source, where something could not be cleaned up, is reported to be down."""
    instead(patch, Outcome.UNWOUND_NOT_CLEANED, outcome=Outcome.DOWN)
    return plan
