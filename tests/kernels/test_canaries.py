"""Rules of the hand-over are broken on purpose: here, where there are two kernels, the damage must show."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from executor import verbs
from planner.plan import Outcome, What
from planner.verbs import VERBS
from tests.kernels.disks import PRIVATE
from tests.kernels.report import note
from tests.kernels.watched import Watching, World, read_before
from tests.sandbox.nodes import BUSY
from tests.sandbox.supervisor import SandboxError

NO_PROOF = {
    "release-device": 'umount -- "$3"; exit 0',
    "prove-released": "exit 0",
    "mount-device": "dirty() { return 1; }",
}
ONLY_NAMES = {
    "see-mounted": "exit 0",
    "prove-released": "exit 0",
    # What the source calls it, and no look at what that is.
    "mount-device": 'same_disk() { :; }; [ "$(uname -n)" = hn1 ] || { shift; set -- /dev/sda1 "$@"; }',
}
BLIND = 'blockdev() { [ "$1" = --flushbufs ] || command blockdev "$@"; }'
NO_FLUSH = {  # in none: one that flushes later would have what is mounted by then read anew, in part
    **dict.fromkeys(VERBS, BLIND),
    **dict.fromkeys(("prove-released", "mount-device"), BLIND + "; dirty() { return 1; }"),
}
NO_FENCE = dict.fromkeys(("fence", "rename-file"), '[ "$(uname -n)" != hn1 ] || exit 0')


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
        world.apply(Watching(box=world.box))
        with pytest.raises(AssertionError, match=r"hn2=.*'spare'.* are mounted"):
            world.assert_found(moved=True)
        note("canary", "d2 that trusts names", "seen: another disk mounted")


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
