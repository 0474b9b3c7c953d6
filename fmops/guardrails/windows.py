"""Cuts a text that is still being written into windows that can be checked and released one after another.

No word is cut. Nothing that a detector finds is cut if it holds no sentence end and, where a window ends between two
words of one sentence, is at most ``lookahead`` characters long or holds no white space. What is released, joined,
equals the redaction of the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field

from fmops.guardrails.settings import StreamSettings
from fmops.guardrails.text import mend
from fmops.guardrails.types import Redaction

_SENTENCE_END = re.compile(r"(?:[^\W\d_A-Z]{4,}[.!?][\"')\]*_]*\s+(?=[^\W\d_a-z])|\n\s*\n|[。！？])")  # noqa: RUF001
"""An end that no abbreviation, initial or number makes: a word of four small letters, and a capital after it."""

_SPACE = re.compile(r"\s+")
_HIGH_SURROGATE = re.compile("[\ud800-\udbff]$")


@dataclass(frozen=True, slots=True)
class Window:
    """``[begin, end)`` of a lane's text is released once ``text``, which reaches further both ways, is checked."""

    lane: Lane
    begin: int
    end: int
    text: str
    offset: int


@dataclass(eq=False)
class Lane:
    """One text of a message that is being streamed: its answer, its reasoning."""

    key: Hashable
    settings: StreamSettings
    text: str = ""
    _cut: int = 0
    _released: int = 0
    _redacted_to: int = 0
    _size: float = field(default=0.0)
    _half: str = ""

    def append(self, piece: str) -> Window | None:
        """Add what was written; the next window when there is one."""
        piece = self._half + piece
        self._half = ""
        if not piece.isascii() and _HIGH_SURROGATE.search(piece):
            piece, self._half = piece[:-1], piece[-1]
        self.text += mend(piece)
        return self._next()

    def finish(self) -> Window | None:
        """The last window: all that is left."""
        self.text += mend(self._half)
        self._half = ""
        return self._window(len(self.text), len(self.text)) if self._cut < len(self.text) else None

    def release(self, window: Window, redactions: tuple[Redaction, ...]) -> str:
        """What the window's part of the text reads after redaction. Windows must be released in their order."""
        pieces: list[str] = []
        position = self._released
        for redaction in redactions:
            begin, end = redaction.begin + window.offset, redaction.end + window.offset
            if end <= position or begin >= window.end:
                continue
            if begin >= position:
                pieces.append(self.text[position:begin])
            if begin >= position or begin >= self._redacted_to:
                pieces.append(redaction.replacement)
            position = self._redacted_to = end
        if position < window.end:
            pieces.append(self.text[position : window.end])
            position = window.end
        self._released = position
        return "".join(pieces)

    def _next(self) -> Window | None:
        size = self._size or self.settings.first
        available = len(self.text) - self._cut
        first = not self._size
        if not first and available < size / 2:
            return None
        floor = self._cut if first else self._cut + int(size / 2)
        ends = [match.end() for match in _SENTENCE_END.finditer(self.text, self._cut) if match.end() > floor]
        if ends and (first or available >= size):
            return self._window(ends[0] if first else ends[-1], None)
        if available < size + self.settings.lookahead:
            return None
        spaces = [
            match.end()
            for match in _SPACE.finditer(self.text, floor, len(self.text) - self.settings.lookahead)
        ]
        return self._window(spaces[-1], None) if spaces else None

    def _window(self, end: int, checked_to: int | None) -> Window:
        begin = self._cut
        if checked_to is None:  # up to the last whole word
            words = [match.start() for match in _SPACE.finditer(self.text, end)]
            checked_to = max(end, words[-1] if words else end)
        offset = max(0, begin - self.settings.context)
        if offset and (space := _SPACE.search(self.text, offset, begin)):
            offset = space.end()
        self._cut = end
        self._size = min((self._size or self.settings.first) * self.settings.growth, self.settings.largest)
        return Window(self, begin, end, self.text[offset:checked_to], offset)
