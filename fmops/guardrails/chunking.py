"""Division of a text by a service's limits: UTF-8 bytes, segments per request; at sentence ends, or else
between words.

Neighbouring segments overlap, so that one of them holds the whole of anything that a cut would divide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SENTENCE_END = re.compile(r"[.!?。！？]['\")\]]*\s+|\n+|[。！？]")  # noqa: RUF001 - full-width punctuation ends sentences too
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one request to a service, in UTF-8 bytes, and the overlap of neighbouring segments."""

    segment_bytes: int = 1_000_000
    segments: int = 1
    request_bytes: int = 1_000_000
    overlap_characters: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a text and its beginning in the text, in code points."""

    text: str
    begin: int


def segments(text: str, limits: Limits) -> Iterator[Segment]:
    """Yield ``text`` as segments that each fit ``limits.segment_bytes``; segments of only white space are left
    out."""
    begin = 0
    while begin < len(text):
        end = _end(text, begin, limits.segment_bytes)
        if piece := text[begin:end].strip():
            yield Segment(piece, begin + text[begin:end].index(piece))
        if end >= len(text):
            return
        begin = _overlapped(text, begin, end, limits.overlap_characters)


def requests(text: str, limits: Limits) -> Iterator[list[Segment]]:
    """Yield the segments of ``text``, gathered into requests that fit the limits."""
    request: list[Segment] = []
    size = 0
    for segment in segments(text, limits):
        length = len(segment.text.encode())
        if request and (len(request) == limits.segments or size + length > limits.request_bytes):
            yield request
            request, size = [], 0
        request.append(segment)
        size += length
    if request:
        yield request


def _end(text: str, begin: int, limit: int) -> int:
    """Return the last good place to cut such that ``text[begin:end]`` has at most ``limit`` bytes."""
    window = text[begin : begin + limit]
    if len(window.encode()) <= limit:
        if begin + limit >= len(text):
            return len(text)
        fitting = window
    else:
        fitting = window.encode()[:limit].decode("utf-8", "ignore")
    floor = len(fitting) // 2
    for pattern in (_SENTENCE_END, _SPACE):
        cuts = [match.end() for match in pattern.finditer(fitting, floor)]
        if cuts:
            return begin + cuts[-1]
    return begin + max(1, len(fitting))


def _overlapped(text: str, begin: int, end: int, overlap: int) -> int:
    """Return the beginning of the next segment: ``overlap`` before ``end``, moved forward to the next word."""
    start = max(end - overlap, (begin + end + 1) // 2)  # at least half is new, so the work stays linear
    match = _SPACE.search(text, start, end)
    return match.end() if match and match.end() < end else start
