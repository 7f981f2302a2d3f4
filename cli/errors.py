"""The one error that the command line prints."""

from __future__ import annotations

from cli.exit_codes import ExitCode


class UserError(Exception):
    """Something that the operator can mend: one clear line, and the exit status; ``also``: what else there is."""

    def __init__(self, message: str, code: ExitCode = ExitCode.USAGE, *, also: tuple[str, ...] = ()) -> None:
        """Say what is wrong and how to mend it."""
        super().__init__(message)
        self.code, self.also = code, also
