"""The encoding of a record as the bytes that the delivery stream takes."""

from __future__ import annotations

import re

from pydantic_core import from_json, to_json

from fmops.interaction import Captured, Feedback

RECORD_LIMIT = 1_000 * 1024
"""Maximum bytes of one Firehose record before base64 (quota of PutRecordBatch)."""

MARK = " [truncated]"
WHOLE = re.compile(r"(?:[^\\]++|\\u[0-9a-fA-F]{4}|\\[^u])*+")
"""Pattern of the usable part of a cut JSON string: up to an escape sequence that lost its end."""


def encode(record: Captured, limit: int = RECORD_LIMIT) -> bytes:
    """Return the record as one JSON line of at most ``limit`` bytes.

    In a longer record, the longer text is cut at its end, and ``truncated`` is set. Raises ``ValueError`` when
    the record is too long even without its texts.
    """
    line = record.line()
    if len(line) <= limit:
        return line
    if isinstance(record, Feedback):
        return record.model_copy(update={"comment": _cut(record.comment, len(line) - limit)}).line()
    cut = record.model_copy(update={"truncated": True})
    for _ in range(3):
        excess = len(cut.line()) - limit
        if excess <= 0:
            break
        longer = "output" if len(cut.output) >= len(cut.input) else "input"
        setattr(cut, longer, _cut(getattr(cut, longer), excess))
    line = cut.line()
    if len(line) > limit:
        raise ValueError(
            f"interaction {record.interaction_id}: {len(line)} bytes without its texts, limit {limit}"
        )
    return line


def _cut(text: str, excess: int) -> str:
    """Return ``text`` with the mark at its end, shorter by ``excess`` bytes of JSON or slightly more."""
    quoted = to_json(text)[1:-1]
    kept = quoted[: max(0, len(quoted) - excess - len(MARK))]
    # No part of a multi-byte character or of an escape sequence is kept.
    whole = WHOLE.match(kept.decode(errors="ignore"))
    return str(from_json(f'"{whole[0] if whole else ""}"')) + MARK
