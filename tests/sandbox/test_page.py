"""docs/when-something-goes-wrong.md: every block of it is typed on real nodes, and must say what it says there."""

from __future__ import annotations

import doctest
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from cli import main as cli_main
from cli import verification
from executor.journal import list_runs
from executor.simulated.verify import Verdict, verify
from planner import saga
from planner.model import Request
from planner.plan import Outcome, Plan, What
from tests.sandbox import Sandbox, cut_network, leftovers, restore_network
from tests.sandbox.driving import CTID, PRIVATE, Driver
from tests.sandbox.nodes import REPOSITORY
from tests.sandbox.test_controllers import Gone, dies
from tests.sandbox.test_failures import switch

PAGE: Final = REPOSITORY / "docs" / "when-something-goes-wrong.md"
RUN: Final = "20260314-030000-a1b2c3"
"""The run's name on the page."""


class Block(NamedTuple):
    """Commands, each with what it says; ``goes_on``: in the world that the block before it left."""

    trouble: str
    goes_on: bool
    commands: tuple[tuple[str, str], ...]


def blocks() -> list[Block]:
    found = []
    pattern = r"<!-- (trouble|goes on)(?:: )?([a-z-]*) -->\n```console\n(.*?)```"
    for how, name, text in re.findall(pattern, PAGE.read_text(), re.DOTALL):
        commands = [part.partition("\n") for part in text.removeprefix("$ ").removesuffix("\n").split("\n$ ")]
        found.append(Block(name, how == "goes on", tuple((line, f"{said}\n") for line, _, said in commands)))
    return found


def stories() -> list[list[Block]]:
    """Blocks that go on from each other."""
    found: list[list[Block]] = []
    for block in blocks():
        if block.goes_on:
            found[-1].append(block)
        else:
            found.append([block])
    return found


def controller_killed(_box: Sandbox, driver: Driver) -> None:
    with pytest.raises(Gone):
        driver.apply({(What.DO, "stop"): dies})


def name_taken(box: Sandbox, _driver: Driver) -> None:
    box.hn2.sh("for f in /etc/vz/conf/[0-9]*.conf; do echo 'NAME=\"web1\"' >>$f; done")


def start_fails(box: Sandbox, _driver: Driver) -> None:
    box.hn2.sh(switch("vzctl-start-fails"))


def cannot_be_removed(box: Sandbox, driver: Driver) -> None:
    box.hn2.sh(switch("vzctl-start-fails"))

    def in_the_way() -> None:
        box.hn2.sh(f"mountpoint -q {PRIVATE} || mount -t tmpfs odd {PRIVATE}")

    stop, _, _ = driver.apply({(What.UNDO, "make-private"): in_the_way})
    assert stop.outcome is Outcome.UNWOUND_NOT_CLEANED, stop
    box.hn2.sh(f"umount {PRIVATE}")


def source_cannot_be_cleaned(box: Sandbox, driver: Driver) -> None:
    def in_the_way() -> None:
        box.hn1.sh(f"mountpoint -q {PRIVATE} || mount -t tmpfs odd {PRIVATE}")

    stop, _, _ = driver.apply({(What.DO, "remove-private"): in_the_way})
    assert stop.outcome is Outcome.MIGRATED_NOT_CLEANED, stop
    box.hn1.sh(f"umount {PRIVATE}")


def node_unreachable(box: Sandbox, driver: Driver) -> None:
    with pytest.raises(Gone):
        driver.apply({(What.DO, "mount-destination"): dies})
    cut_network(box.hn2)


def node_is_back(box: Sandbox, _driver: Driver) -> None:
    restore_network(box.hn2)


def starts_nowhere(box: Sandbox, driver: Driver) -> None:
    for node in box.nodes:
        node.sh(switch("vzctl-start-fails"))
    stop, _, _ = driver.apply()
    assert stop.outcome is Outcome.DOWN, stop
    for node in box.nodes:
        node.sh("rm /run/faults/vzctl-start-fails")


def journal_lost(box: Sandbox, driver: Driver) -> None:
    controller_killed(box, driver)
    shutil.rmtree(driver.state / "runs")


def journal_damaged(box: Sandbox, driver: Driver) -> None:
    controller_killed(box, driver)
    (run,) = list_runs(driver.state)
    journal = driver.state / "runs" / run / "journal"
    journal.write_bytes(journal.read_bytes().replace(b"own-hn1", b"own-hn2", 1))


TROUBLES: Final[dict[str, Callable[[Sandbox, Driver], None]]] = {
    "controller-killed": controller_killed,
    "name-taken": name_taken,
    "start-fails": start_fails,
    "cannot-be-removed": cannot_be_removed,
    "source-cannot-be-cleaned": source_cannot_be_cleaned,
    "node-unreachable": node_unreachable,
    "node-is-back": node_is_back,
    "starts-nowhere": starts_nowhere,
    "journal-lost": journal_lost,
    "journal-damaged": journal_damaged,
}


@pytest.mark.parametrize("story", stories(), ids=lambda story: f"{story[0].trouble}-{len(story)}")
def test_what_the_page_says_is_what_is_said(
    story: list[Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VZPLAN_STATE", str(tmp_path))
    patience = saga.PATIENCE_S
    monkeypatch.setattr(saga, "PATIENCE_S", (0,))  # nobody comes back while the test waits

    def with_all_patience(request: Request, plan: Plan, *, failures: int = 1) -> Verdict:
        with monkeypatch.context() as patch:
            patch.setattr(saga, "PATIENCE_S", patience)
            return verify(request, plan, failures=failures)

    monkeypatch.setattr(verification, "verify", with_all_patience)
    with Sandbox("san") as box:
        # As on the page: on the source, where neither it nor the way to the other has to be said.
        box.hn1.sh(
            f"grep -q NAME= /etc/vz/conf/{CTID}.conf || echo 'NAME=\"web1\"' >>/etc/vz/conf/{CTID}.conf"
        )
        driver = Driver(box, tmp_path)
        run = ""
        for block in story:
            if block.trouble:
                before = set(list_runs(driver.state))
                TROUBLES[block.trouble](box, driver)
                run = run or next(iter({*list_runs(driver.state)} - before), "")
            for line, wanted in block.commands:
                run = run or _lost(box)
                said = typed(line.replace(RUN, run), box, capsys)
                got = re.sub(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}", RUN, said)
                same = doctest.OutputChecker().check_output(wanted, got, doctest.ELLIPSIS)
                assert same, f"{line}\n--- on the page\n{wanted}\n--- said\n{got}"
        if "recover" in story[-1].commands[-1][0] and "damaged" not in story[0].trouble:
            assert leftovers(box) == []


def _lost(box: Sandbox) -> str:
    """The run's name, from the owner record, as ``check`` shows it; empty if there is none."""
    return box.hn1.sh("sed -n 's/^run=//p' /var/lib/vzplan/owners/* 2>/dev/null || true").strip()


def typed(line: str, box: Sandbox, capsys: pytest.CaptureFixture[str]) -> str:
    """All that the command says."""
    program, *words = shlex.split(line)
    assert program == "vzplan"
    if words[0] in ("apply", "check"):
        words += ["--from", "hn1", "--ssh", f"-F {box.ssh_config}"]
    if "--adopt" in words:
        words += ["--ssh", f"-F {box.ssh_config}"]
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli_main.main(words)
    said = capsys.readouterr()
    return said.out + said.err


def test_every_block_of_the_page_has_its_trouble() -> None:
    assert PAGE.read_text().count("```console") == len(blocks())
    named = {block.trouble for block in blocks()} - {""}
    assert named == set(TROUBLES)
    assert sum(len(story) for story in stories()) == len(blocks())
