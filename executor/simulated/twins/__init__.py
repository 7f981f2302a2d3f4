"""Twins of the verbs: what each does to a simulated node, as its sh text in ``executor/verbs`` does to a real one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from executor.simulated.twins import container, dump, files, left, run, staged, storage
from executor.simulated.twins.here import Twin

TWINS: Final[dict[str, Callable[..., Twin]]] = {
    "own": run.own,
    "disown": run.disown,
    "settle": run.settle,
    "note-state": run.note_state,
    "restore-state": run.restore_state,
    "hold-lock": run.hold_lock,
    "release-lock": run.release_lock,
    "make-file": files.make_file,
    "make-dir": files.make_dir,
    "remove-made": files.remove_made,
    "remove-made-tree": files.remove_made_tree,
    "rename-file": left.rename_file,
    "hide-config": files.hide_config,
    "remove-dir": files.remove_dir,
    "retire-area": files.retire_area,
    "fence": files.fence,
    "unfence": files.unfence,
    "name-config": files.name_config,
    "activate-config": files.activate_config,
    "copy-tree": storage.copy_tree,
    "put-dump": dump.put_dump,
    "withdraw-dump": dump.withdraw_dump,
    "retire-dump": dump.retire_dump,
    "mount-dump": dump.mount_dump,
    "accept-dump": dump.accept_dump,
    "clear-dump": dump.clear_dump,
    "void-dump": container.void_dump,
    "claim-empty": storage.claim_empty,
    "empty-claimed": storage.empty_claimed,
    "note-superblock": storage.note_superblock,
    "see-mounted": storage.see_mounted,
    "mount-device": left.mount_device,
    "release-device": storage.release_device,
    "release-unless-up": storage.release_unless_up,
    "prove-released": left.prove_released,
    "guard-source": container.guard_source,
    "guard-destination": container.guard_destination,
    "stop-container": container.stop_container,
    "suspend-container": container.suspend_container,
    "freeze-container": staged.freeze_container,
    "prove-frozen": staged.prove_frozen,
    "dump-container": staged.dump_container,
    "kill-container": staged.kill_container,
    "undump-container": staged.undump_container,
    "ensure-up": container.ensure_up,
    "bring-up": container.bring_up,
    "enable-container": container.enable_container,
    "probe-pivot": container.probe_pivot,
}
"""Verb -> twin. A twin takes ``Here`` and the verb's operands; a test holds it against ``planner.verbs.VERBS``."""
