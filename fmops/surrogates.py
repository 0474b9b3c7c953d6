"""Repair of surrogate halves, which UTF-8 cannot carry, in texts and in parsed JSON."""

from __future__ import annotations

from typing import Any


def mend(text: str) -> str:
    """Return ``text`` with surrogate pairs joined and lone surrogates replaced, so that UTF-8 can carry it."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def mended(value: Any) -> Any:
    """Return ``value``, parsed from JSON, without lone surrogates."""
    match value:
        case str():
            return mend(value)
        case dict():
            return {mend(str(key)): mended(each) for key, each in value.items()}
        case list():
            return [mended(each) for each in value]
        case _:
            return value
