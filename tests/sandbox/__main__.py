"""``python -m tests.sandbox up [--world san|shared] [--stopped]`` and ``down``: a sandbox to try things in by hand."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.sandbox import nodes, supervisor
from tests.sandbox.supervisor import SandboxError, Spec


def main() -> int:
    """Parse and do."""
    parser = argparse.ArgumentParser(prog="python -m tests.sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="make a sandbox that stays")
    up.add_argument("--world", choices=("shared", "san"), default="shared")
    up.add_argument("--stopped", action="store_true", help="container 123 does not run")
    commands.add_parser("down", help="take all sandboxes of this user down, also what killed test runs left")
    serve = commands.add_parser("serve")  # what Sandbox.up starts
    serve.add_argument("folder", type=Path)
    serve.add_argument("spec", type=json.loads)
    serve.add_argument("--stays", action="store_true")
    given = parser.parse_args()
    if given.command == "serve":
        return supervisor.serve(given.folder, Spec(**given.spec), None if given.stays else sys.stdin.fileno())
    reason = nodes.why_not()
    if reason is not None:
        print(reason, file=sys.stderr)
        return 1
    try:
        if given.command == "up":
            box = nodes.Sandbox(given.world, running=not given.stopped).up(stays=True)
            print(nodes.summary(box), end="")
        else:
            return _down()
    except SandboxError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def _down() -> int:
    """One that cannot be taken down keeps none of the others up."""
    status = 0
    for folder in nodes.sandboxes():
        try:
            nodes.take_down(folder)
            print(f"{folder} is down")
        except SandboxError as problem:
            print(problem, file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
