"""Windows of a text that is still being written, which can be checked and released one after another.

The released texts, joined, equal the redaction of the whole text: a window ends only where no secret is open,
according to the detector that needs no network, and the text behind its end is checked with it for
``lookahead`` characters. A service's finding that crosses the end within them is redacted as a whole. The work
is linear in the length.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Hashable
from dataclasses import dataclass, field

from fmops.guardrails.detectors.numbers import REACH
from fmops.guardrails.detectors.secrets import announces, opened
from fmops.guardrails.hidden import INVISIBLE, Cleaner, joined
from fmops.guardrails.settings import StreamSettings
from fmops.guardrails.types import Redaction
from fmops.surrogates import mend

_CLOSING = "\"')\\]*_\u2019\u201d\xbb\u300d\u300f\u3011\uff09"
_SENTENCE_END = re.compile(
    # An end that is not an abbreviation, initial or number: four small letters before it, and no small letter
    # after it.
    rf"[^\W\d_A-Z]{{4}}[.!?\u2026]{{1,3}}[{_CLOSING}]{{0,4}}\s{{1,4}}(?=[^\W\d_a-z])|\n[ \t]{{0,8}}\n\s?"
    # The ends of other scripts: full-width, Indic, Arabic, Armenian, Ethiopic, Khmer, Burmese, Tibetan and more.
    r"|[\u3002\uff01\uff0e\uff1f\uff61\u0964\u0965\u061f\u06d4\u0589\u1362\u1367\u1368\u17d4\u17d5\u104a\u104b\u0f0d\u0f0e"
    rf"\u0e2f\u0e5a\u0e5b\u0df4\u1803\u1809\u166e\ua4ff\ua60e\uabeb\u2026][{_CLOSING}]{{0,4}}\s{{0,4}}"
)
_PLAIN_END = re.compile(rf"[^\W\d_A-Z]{{4}}[.!?]{{1,3}}[{_CLOSING}]{{0,4}}\s{{1,4}}(?=[^\W\d_a-z])")
"""Pattern of the end of a sentence that another one follows: no number, key or password reaches across it."""

_SPACE = re.compile(r"\s+")
_BETWEEN = re.compile(r"(?<=[^\x00-\x7f])|(?=[^\x00-\x7f])")
"""Places to cut in text without white space: beside a letter that is not ASCII, so that no address or key is
cut.
"""

_FASTENED = re.compile(f"[{INVISIBLE}\u3001\u3002\uff01\uff0c\uff0e\uff1f\U0001f3fb-\U0001f3ff]")

_HIGH_SURROGATE = re.compile("[\ud800-\udbff]$")
_LONGEST_WORD = 1024
"""Characters up to which a word of ASCII is never cut; a longer one is cut only where no secret is open."""

_CONTEXT = 160
_TRIED = 64
_PREFIX = 32
_SIGNS = re.compile(r"[!-~]+$")


@dataclass(frozen=True, slots=True)
class Window:
    """Part of a lane's text: ``[begin, end)`` is released once ``text``, which extends it both ways, is
    checked.
    """

    lane: Lane
    begin: int
    end: int
    text: str
    offset: int


@dataclass(eq=False)
class Lane:
    """One text of a message that is being streamed, such as its answer or its reasoning. Hidden characters are
    left out."""

    key: Hashable
    settings: StreamSettings
    text: str = ""
    _waiting: list[str] = field(default_factory=list)
    _due: int = 0
    _length: int = 0
    _cleaner: Cleaner = field(default_factory=Cleaner)
    _cut: int = 0
    _released: int = 0
    _redacted_to: int = 0
    _refused: int = 0
    _size: float = 0.0
    _half: str = ""

    def append(self, piece: str) -> Window | None:
        """Add written text; return the next window if it is complete."""
        piece = self._half + piece
        self._half = ""
        if not piece.isascii() and _HIGH_SURROGATE.search(piece):
            piece, self._half = piece[:-1], piece[-1]
        self._waiting.append(piece)
        self._length += len(piece)
        return self._next() if self._length >= self._due else None

    def finish(self) -> Window | None:
        """Return the last window: all that is left."""
        self._waiting.append(self._half)
        self._half = ""
        self.text += self._cleaner.add(mend("".join(self._waiting))) + self._cleaner.finish()
        self._waiting = []
        return self._window(len(self.text), len(self.text)) if self._cut < len(self.text) else None

    def release(self, window: Window, redactions: tuple[Redaction, ...]) -> str:
        """Return the window's part of the text after redaction. Windows must be released in order."""
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
        """Return the next window if there is enough text; otherwise set ``_due``, the length at which to look
        again."""
        if self._waiting:
            self.text += self._cleaner.add(mend("".join(self._waiting)))
            self._waiting = []
        lookahead = max(self.settings.lookahead, REACH)
        last = len(self.text) - lookahead
        size = int(self._size or self.settings.first)
        held = len(self.text) - self._cut
        if (not self._size or held >= size) and (end := self._sentence(size // 2)):
            window = self._window(end, max(end, self.text.rfind(" ", end)))
        elif last - self._cut >= size and (
            end := self._end(self._cut + (size // 2 if self._size else 0), last)
        ):
            space = max(self.text.rfind(" ", end + lookahead), self.text.rfind("\n", end + lookahead))
            window = self._window(end, space if space > 0 else len(self.text))
        else:
            self._wait_for(
                len(self.text) + (held // 4 if held > size + lookahead else 8 if self._size else 1)
            )
            return None
        self._wait_for(self._cut + int(self._size))
        return window

    def _wait_for(self, length: int) -> None:
        """Look again when the text has this length, as far as that can be known before it is cleaned."""
        self._due = self._length + max(1, length - len(self.text))

    def _sentence(self, least: int) -> int:
        """Return the end of the first sentence, or of the last one behind ``least`` characters; 0 if there is
        none yet."""
        ends = [match.end() for match in _PLAIN_END.finditer(self.text, self._cut)]
        if self._size:
            ends = [end for end in ends if end > self._cut + least]
        end = (ends[-1] if self._size else ends[0]) if ends else 0
        if end <= self._refused:
            return 0
        if not announces(self.text[max(self._cut, end - _CONTEXT) : end]) and (closed := self._closed([end])):
            return closed
        self._refused = end
        return 0

    def _end(self, floor: int, last: int) -> int:
        """Return where the next window may end: the last end of a sentence, or else of a word, or else of a
        separate letter."""
        ends = [
            match.end() for match in _SENTENCE_END.finditer(self.text, self._cut, last) if match.end() > floor
        ]
        if end := self._closed(ends):
            return end
        ends = [match.end() for match in _SPACE.finditer(self.text, floor, last)]
        if ends and ends[-1] == last and self.text[last : last + 1].isspace():
            ends.pop()
        if end := self._closed(ends):
            return end
        between = [match.start() for match in _BETWEEN.finditer(self.text, floor + 1, last)]
        if end := self._closed(between):
            return end
        return self._closed([last]) if last - self._cut >= _LONGEST_WORD else 0

    def _closed(self, ends: list[int]) -> int:
        """Return the last of these ends at which nothing is open; 0 when there is none."""
        if not ends:
            return 0
        # A span that reaches the end of the text is open, since it may continue.
        offset = self._offset()
        spans = joined((begin + offset, end + offset) for begin, end in opened(self.text[offset:]))
        for each in reversed(ends[-_TRIED:]):
            index = bisect_left(spans, (each, 0)) - 1
            end = self._word(spans[index][0]) if index >= 0 and each < spans[index][1] else each
            if end > self._cut and not _is_fastened(self.text, end):
                return end
        return 0

    def _word(self, begin: int) -> int:
        """Return the beginning of the word that continues at ``begin``, including a sign before a number, such
        as a plus."""
        before = self.text[max(self._cut, begin - _PREFIX) : begin]
        return begin - len(before) + match.start() if (match := _SIGNS.search(before)) else begin

    def _window(self, end: int, checked_to: int) -> Window:
        begin, offset = self._cut, self._offset()
        self._cut = end
        self._size = min((self._size or self.settings.first) * self.settings.growth, self.settings.largest)
        return Window(self, begin, end, self.text[offset:checked_to], offset)

    def _offset(self) -> int:
        """Return where the context of the next window begins: with a whole word, if one is near."""
        offset = max(0, self._cut - max(self.settings.context, _CONTEXT))
        if (
            offset
            and (space := _SPACE.search(self.text, offset, self._cut))
            and space.end() < self._cut - REACH
        ):
            return space.end()
        while offset and offset < self._cut and _is_fastened(self.text, offset):
            offset += 1
        return offset


def _is_fastened(text: str, index: int) -> bool:
    """Return whether this character belongs to the one before it."""
    character = text[index : index + 1]
    return bool(_FASTENED.match(character)) or (
        character > "\u02ff" and unicodedata.category(character).startswith("M")
    )
