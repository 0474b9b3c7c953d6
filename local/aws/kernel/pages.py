"""Pages of lists, with tokens that are the number of items before a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from local.aws.kernel.api import Params, validation_error


def page_of(
    items: Sequence[Any], params: Params, *, default: int, invalid: str
) -> tuple[Sequence[Any], str | None]:
    """Return a page of a list, and the token of the next one. ``invalid`` is the message for a token of others."""
    start = token_number(params.get("nextToken"), invalid)
    end = start + (params.get("maxResults") or default)
    return items[start:end], str(end) if end < len(items) else None


def token_number(token: str | None, invalid: str) -> int:
    """Return the number in a token of ours. ValidationException for any other text."""
    if token is None:
        return 0
    if not token.isascii() or not token.isdigit() or len(token) > 18:
        raise validation_error(invalid)
    return int(token)
