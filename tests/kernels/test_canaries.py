"""Rules of the hand-over are broken on purpose: here, where there are two kernels, the damage must show."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from executor import verbs
from planner.plan import Outcome, What
from planner.verbs import VERBS
from tests.kernels.disks import CTID, LUN, PRIVATE, SPARE
from tests.kernels.report import note
from tests.kernels.watched import Watching, World, assert_counts_on, read_before
from tests.sandbox.nodes import BUSY
from tests.sandbox.supervisor import SandboxError

NO_PROOF = {
    "release-device": 'umount -- "$3"; exit 0',
    "prove-released": "exit 0",
    "mount-device": "dirty() { return 1; }",
}
ONLY_NAMES = {
    # What the source calls it, and no look at what that is.
    **dict.fromkeys(
        VERBS,
        """same_disk() { :; }
if [ "$(uname -n)" = hn2 ]; then
    for word; do
        shift
        case $word in /dev/*) word=/dev/sda1 ;; esac # as hn1 calls the disk of 123
        set -- "$@" "$word"
    done
fi""",
    ),
    **dict.fromkeys(("see-mounted", "prove-released"), "exit 0"),
}
BLIND = 'blockdev() { [ "$1" = --flushbufs ] || command blockdev "$@"; }'
NO_FLUSH = {  # in none: one that flushes later would have what is mounted by then read anew, in part
    **dict.fromkeys(VERBS, BLIND),
    **dict.fromkeys(("prove-released", "mount-device"), BLIND + "; dirty() { return 1; }"),
}
NO_SYNC = """sync() { :; }
dd() { case " $* " in *" if="*) command dd "$@" ;; *" oflag=append "*) cat >>"${1#of=}" ;; *) cat >"${1#of=}" ;; esac; }
"""
NO_FENCE = dict.fromkeys(("fence", "rename-file", "hide-config"), '[ "$(uname -n)" != hn1 ] || exit 0')


@pytest.fixture
def _instead(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the verbs do at first is another thing."""
    first: dict[str, str] = request.param
    real = verbs.text
    monkeypatch.setattr(verbs, "text", lambda verb: first.get(verb, "") + "\n" + real(verb))


@pytest.mark.usefixtures("_instead")
@pytest.mark.parametrize("_instead", [NO_PROOF], indirect=True, ids=["no-proof"])
def test_a_release_that_is_not_proved_is_seen_as_a_disk_mounted_twice(tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World.new(stack, "d2", tmp_path)
        # A shell stands there, and the hook hides that the disk cannot be unmounted.
        world.box.hn1.sh(f"cd {PRIVATE} && setsid {BUSY} </dev/null >/dev/null 2>&1 &")
        with pytest.raises(AssertionError, match=r"'lun'.* is mounted on both nodes"):
            world.apply(Watching(box=world.box))
        note("canary", "d2 without a proof of release", "seen: a disk mounted twice")


@pytest.mark.usefixtures("_instead")
@pytest.mark.parametrize("_instead", [ONLY_NAMES], indirect=True, ids=["only-names"])
def test_a_name_that_is_trusted_is_seen_as_another_disk_mounted(tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World.new(stack, "d2", tmp_path)
        device = SPARE.seen_as("hn1")  # where 123 was once, as far as its content goes
        world.box.hn1.sh(f"mount {device} /mnt && cp -a {PRIVATE}/. /mnt && umount /mnt")
        assert_counts_on(world.box.hn1)

        def trust_it_too() -> None:
            """The hooks at the destination go by that name, as they would by a config that was carried over."""
            line = f'VE_DEVICE="{LUN.seen_as("hn1")}"'
            world.box.hn2.sh(f"sed -i 's,^VE_DEVICE=.*,{line},' /etc/vz/conf/{CTID}.conf*")

        hooks = {(What.DO, "bring-up"): trust_it_too}
        stop, _ = world.apply(Watching(hooks, box=world.box))
        print(stop)
        with pytest.raises(AssertionError, match=r"hn2=.*'spare'.* are mounted"):
            world.assert_found(moved=True)
        with pytest.raises(AssertionError, match="has lost what it had on its disk"):
            world.assert_counted(world.box.hn2)
        note(
            "canary",
            "d2 that trusts names, an old copy of 123 on another disk",
            "seen: lost writes, another disk",
        )


@pytest.mark.usefixtures("_instead")
@pytest.mark.parametrize("_instead", [NO_FLUSH], indirect=True, ids=["no-flush"])
def test_a_disk_that_is_not_read_anew_is_seen_to_have_lost_what_was_written_last(tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World.new(stack, "d2", tmp_path)
        hooks, worlds = read_before(world)
        stop, _ = world.apply(Watching(hooks, box=world.box))
        assert stop.outcome is Outcome.MIGRATED, stop
        # What is mounted is made of two states: it may be as damaged as not to be readable.
        with pytest.raises(
            (AssertionError, SandboxError), match=r"another content|Bad message|needs cleaning"
        ):
            worlds[-1].assert_found(moved=True)
        note(
            "canary",
            "d2 without a flush, where the destination had read the disk before",
            "seen: lost writes",
        )


@pytest.mark.usefixtures("_instead")
@pytest.mark.parametrize("_instead", [NO_FENCE], indirect=True, ids=["no-fence"])
def test_a_source_that_may_start_again_is_seen_to_run_beside_the_destination(tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World.new(stack, "d2", tmp_path)
        hooks = {(What.DO, "ensure-up"): partial(world.box.reboot, "hn1")}
        with pytest.raises(AssertionError, match="it runs on both nodes"):
            world.apply(Watching(hooks, box=world.box))
        note("canary", "d2 with a source that may start again", "seen: it runs twice")


@pytest.mark.usefixtures("_instead")
@pytest.mark.parametrize("_instead", [dict.fromkeys(VERBS, NO_SYNC)], indirect=True, ids=["no-sync"])
def test_what_no_verb_has_put_on_the_disk_is_lost_with_the_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = verbs.wrapper()  # whose log would put all that came before it on the disk
    monkeypatch.setattr(verbs, "wrapper", lambda: NO_SYNC + wrapper)
    with ExitStack() as stack:
        world = World.new(stack, "d2", tmp_path)
        world.box.hn1.sh("mount -o remount,commit=600 /")  # of itself it would do so within 5 seconds
        hooks = {(What.DO, "ensure-up"): partial(world.box.reboot, "hn1")}
        with pytest.raises(AssertionError, match="it runs on both nodes"):
            world.apply(Watching(hooks, box=world.box))
        note("canary", "d2 whose verbs sync nothing, and hn1 loses power", "seen: it runs twice")
