"""Regular expressions of RE2, which the collector uses: without lookaround and backreferences."""

from __future__ import annotations

from typing import Any, Protocol

import re2


class Pattern(Protocol):
    """A compiled regular expression."""

    def search(self, text: str, /) -> Any: ...


def compile_pattern(pattern: str) -> Pattern:
    """Compile an expression with RE2. Raises ``ValueError`` that names the part RE2 does not support."""
    options = re2.Options()
    options.log_errors = False
    try:
        compiled: Pattern = re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(f"not a pattern of RE2: {pattern!r}: {_text(error)}") from error
    return compiled


def _text(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
