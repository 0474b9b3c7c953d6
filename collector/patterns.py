"""Regular expressions of RE2, as the collector reads them: without lookaround and backreferences."""

from __future__ import annotations

import importlib
import re
from re import _parser  # type: ignore[attr-defined]  # what re.compile parses with
from typing import Any, Protocol

MAX_REPEAT = 1000
"""Of RE2: a higher bound of a repetition is refused."""
FOREIGN = re.compile(r"\\[pP](?:\{\^?\w+\}|[A-Z])|\[:\^?\w+:\]|\\C")
"""Classes that RE2 knows and Python does not."""
PYTHONS_OWN = re.compile(r"\(\?#|\(\?[aiLmsu]*x|\\[uUN]")
"""Comments, spread-out patterns and escapes that Python knows and RE2 does not."""
GROUP = re.compile(r"\(\?<(?=[A-Za-z_])")
REFUSED = {
    "ASSERT": "lookaround", "ASSERT_NOT": "lookaround", "GROUPREF": "a backreference",
    "GROUPREF_IGNORE": "a backreference", "GROUPREF_EXISTS": "a conditional group",
    "ATOMIC_GROUP": "an atomic group", "POSSESSIVE_REPEAT": "a possessive repeat",
}  # fmt: skip


class Pattern(Protocol):
    """A compiled expression, by RE2 or by Python."""

    def search(self, text: str, /) -> Any: ...


def compile_pattern(pattern: str) -> Pattern:
    """Compile an expression with RE2 if google-re2 is installed, else with Python if RE2 would take it.

    Raises ``ValueError`` that says what RE2 does not know of it.
    """
    try:
        re2 = importlib.import_module("re2")
    except ModuleNotFoundError:
        return _compile_here(pattern)
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


def _compile_here(pattern: str) -> Pattern:
    if r"\Z" in pattern.replace(r"\\", ""):
        raise ValueError(rf"not a pattern of RE2: {pattern!r}: the end of the text is \z there")
    if unknown := PYTHONS_OWN.search(pattern):
        raise ValueError(f"not a pattern of RE2: {pattern!r}: it has {unknown[0]}")
    translated = GROUP.sub("(?P<", FOREIGN.sub(r"\\w", pattern)).replace(r"\z", r"\Z")
    try:
        tree = _parser.parse(translated)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a pattern of RE2: {pattern!r}: {error}") from error
    if refused := _refused(tree):
        raise ValueError(f"not a pattern of RE2: {pattern!r}: it has {refused}")
    return re.compile(translated)


def _refused(node: Any) -> str:
    """Return what a parsed expression has that RE2 does not know, or nothing."""
    if isinstance(node, _parser.SubPattern | list | tuple):
        if isinstance(node, tuple) and node and str(node[0]) in REFUSED:
            return REFUSED[str(node[0])]
        if isinstance(node, tuple) and node and str(node[0]) in ("MAX_REPEAT", "MIN_REPEAT"):
            bounds = [each for each in node[1][:2] if each != _parser.MAXREPEAT]
            if max(bounds) > MAX_REPEAT:
                return f"a repetition above {MAX_REPEAT}"
        return next((found for part in node if (found := _refused(part))), "")
    return ""
