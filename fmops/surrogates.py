"""Halves of surrogate pairs, which UTF-8 cannot carry, mended in texts and in what JSON gave."""

from __future__ import annotations

from typing import Any


def mend(text: str) -> str:
    """``text`` with surrogate pairs joined and lone surrogates replaced: nothing that UTF-8 cannot carry."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def mended(value: Any) -> Any:
    """``value``, which JSON gave, without halves of surrogate pairs."""
    match value:
        case str():
            return mend(value)
        case dict():
            return {mend(str(key)): mended(each) for key, each in value.items()}
        case list():
            return [mended(each) for each in value]
        case _:
            return value
