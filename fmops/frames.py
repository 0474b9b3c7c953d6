"""Origin of an error in our own code, for the log: files, lines and functions, without source text and values, which
may hold what people said."""

from __future__ import annotations

import traceback
from pathlib import Path

PACKAGE = Path(__file__).parent
DEEPEST = 8
"""Maximum number of places, counted from where the error was raised."""
CHAIN = 6
"""Maximum number of an error's causes that are followed."""


def where(error: BaseException) -> str:
    """Return the places of our own code through which an error and its causes came, the last one first."""
    places: list[str] = []
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen and len(seen) < CHAIN:
        seen.add(id(at))
        # A cause was raised before, so deeper.
        places = [*_places(at), *places]
        if isinstance(at, BaseExceptionGroup):
            at = at.exceptions[0]
        else:
            at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return ", ".join(list(dict.fromkeys(places))[:DEEPEST]) or "outside of our own code"


def _places(error: BaseException) -> list[str]:
    """Return the places of one traceback, the deepest first."""
    found = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE):
            found.append(f"{path.relative_to(PACKAGE.parent)}:{line} in {frame.f_code.co_name}")
    return found[::-1]
