"""A site's own cases, from its nodes to its CI: what ``vzplan facts`` writes is what ``verify --cases`` reads."""

from __future__ import annotations

from pathlib import Path

from cli.exit_codes import ExitCode
from tests.sandbox import Sandbox
from tests.sandbox.driving import CTID, Driver


def test_facts_of_real_nodes_are_a_case_that_tells_when_a_plan_changes(tmp_path: Path) -> None:
    with Sandbox("shared", running=False) as box:
        driver, case = Driver(box, tmp_path / "state"), tmp_path / "cases" / "web1-to-hn2"
        at = ("--ssh", " ".join(driver.ssh))

        def vzplan(*words: str) -> tuple[int, str]:
            done = driver.vzplan(*words)
            return done.returncode, done.stdout + done.stderr

        def looked() -> None:
            """As docs/verify.md says it."""
            code, said = vzplan("facts", "hn1", "hn2", "--measure", str(CTID), "-o", str(case), *at)
            assert code == ExitCode.OK, said
            assert said == "".join(f"{case}/{name}.json\n" for name in ("hn1", "hn2"))

        verify = ("verify", "--cases", str(tmp_path / "cases"))
        case.mkdir(parents=True)
        looked()
        move = f'move = "{CTID} hn2 --from hn1"\n'
        (case / "case.toml").write_text(f"{move}verify = false\n")
        code, said = vzplan(*verify)
        assert code == ExitCode.DIFFERS, said
        assert "write it down with --update" in said

        # The plan of these files is the one that is shown of the nodes themselves.
        assert vzplan(*verify, "--update")[0] == ExitCode.OK
        shown = driver.vzplan("show", str(CTID), "hn2", "--from", "hn1", "--no-verify", *at)
        assert shown.returncode == ExitCode.OK, shown.stderr
        assert shown.stdout.startswith((case / "plan.txt").read_text())

        (case / "case.toml").write_text(move)
        code, said = vzplan(*verify)
        assert code == ExitCode.OK, said
        assert said.startswith("ok       web1-to-hn2: verified: "), said
        (case / "case.toml").write_text(f"{move}verify = false\n")

        # Looked at once more they tell the same; and then that a config is another one.
        looked()
        assert vzplan(*verify)[0] == ExitCode.OK
        box.hn1.sh(f"sed -i s/web1/mail1/ /etc/vz/conf/{CTID}.conf")
        looked()
        expected = (case / "plan.txt").read_text()
        code, said = vzplan(*verify)
        assert code == ExitCode.DIFFERS, said
        assert "the plan is not the one that plan.txt expects" in said
        lines = [line.strip() for line in said.splitlines()]
        assert any(line.startswith(f"-Move container {CTID} (web1)") for line in lines), said
        assert any(line.startswith(f"+Move container {CTID} (mail1)") for line in lines), said
        assert (case / "plan.txt").read_text() == expected
        assert vzplan(*verify, "--update")[0] == ExitCode.OK
        assert f"Move container {CTID} (mail1)" in (case / "plan.txt").read_text()
        assert vzplan(*verify)[0] == ExitCode.OK
