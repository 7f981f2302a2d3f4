"""Words of a shell, as flags and files have them."""

from __future__ import annotations

import shlex

from cli.errors import UserError


def split_words(where: str, text: str) -> tuple[str, ...]:
    """``text`` as words, as they are and never rewritten (L14); ``where`` it stands, for the error.

    Raises:
        UserError: a quotation does not end, or a word is not UTF-8: no plan, and no journal, could have it.
    """
    try:
        text.encode()
        return tuple(shlex.split(text))
    except UnicodeEncodeError:
        raise UserError(f"{where}: {text!r} is not UTF-8; say it otherwise") from None
    except ValueError as problem:
        raise UserError(f"{where}: {problem}; quote it as for a shell") from None
