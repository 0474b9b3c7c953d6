"""Invisible characters: which of them a text may keep, and what the others spell.

A detector must see what a reader or a model is given. An invisible character therefore stays only where its
script, an emoji or a flag needs it. Any other is removed from what is released, and detectors read what it
would have carried.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

INVISIBLE = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff0-\ufffb\U00013430-\U00013455\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
"""Controls, format characters, variation selectors, tags, and the code points that Unicode has reserved for
more of them."""

BLANKS = "\u115f\u1160\u2800\u3164\uffa0"
"""Letters and signs that look like a space."""

LONGEST_CLUSTER = 8
"""Maximum marks on one letter that any script needs; further marks are removed."""

_AHEAD = 16
REACH = 48
"""Number of characters on either side whose content decides whether a character may stay."""

_RTL = "\u0590-\u05ff\u0600-\u061b\u061d-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff"
_BIDI = "\u061c\u200e\u200f\u202a-\u202c\u2066-\u2069"
_PICTURE = (
    "\xa9\xae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
_IDEOGRAPH = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
# Letters and marks of the joining scripts, without their digits.
_JOINING = (
    "\u0620-\u065f\u066e-\u06d3\u06d5-\u06dc\u06df-\u06ef\u06fa-\u06ff\u0710-\u074f\u0750-\u077f\u07ca-\u07f5"
    "\u0840-\u085b\u0860-\u086a\u0870-\u0887\u08a0-\u08e1\u08e3-\u0963\u0970-\u09e3\u09f0\u09f1\u0a00-\u0a65"
    "\u0a70-\u0ae3\u0af9-\u0b63\u0b70-\u0be5\u0c00-\u0c63\u0c80-\u0ce3\u0cf1-\u0d63\u0d7a-\u0de5\u0df2\u0df3"
    "\u0f40-\u0fbc\u1000-\u103f\u104a-\u108f\u109a-\u109f\u1780-\u17b3\u17b6-\u17d3\u17dc\u17dd\u1820-\u18aa\u1b00-\u1b4c"
    "\ua840-\ua877\ua8e0-\ua8ff\ua980-\ua9c0\ufb50-\ufdff\ufe70-\ufefc"
)
_UNSPACED = (
    "\u0e01-\u0e4e\u0e81-\u0ecd\u0f40-\u0fbc\u1000-\u103f\u104a-\u108f\u1780-\u17b3\u17b6-\u17d3\u1950-\u19ab"
)

_ALLOWED = (
    rf"(?<=[{_PICTURE}])[\ufe0e\ufe0f]"
    r"|(?<=[0-9#*])\ufe0f(?=\u20e3)"
    rf"|(?:(?<=[{_PICTURE}])|(?<=[{_PICTURE}]\ufe0f))\u200d(?=[{_PICTURE}])"
    # The flags of parts of countries: England, Scotland, Wales, and those of states and provinces.
    "|(?<=\U0001f3f4)\U000e0067\U000e0062(?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074"
    "|\U000e0077\U000e006c\U000e0073)\U000e007f"
    "|(?<=\U0001f3f4)(?:\U000e0075\U000e0073|\U000e0063\U000e0061)[\U000e0061-\U000e007a]{2}\U000e007f"
    rf"|(?<=[{_JOINING}])[\u200c\u200d](?![{INVISIBLE}])"
    rf"|(?<=[{_UNSPACED}])\u200b(?=[{_UNSPACED}])"
    rf"|(?<=[{_IDEOGRAPH}])[\ufe00-\ufe02\U000e0100-\U000e010f]"
    r"|(?<=[\u1000-\u109f\u2200-\u22ff\u2a00-\u2aff\uff01-\uff1f\u3001\u3002])\ufe00"
    r"|(?<=[\u1820-\u18aa])(?:[\u180b-\u180d\u180f]|\u180e(?=[\u1820-\u18aa]))"
    r"|(?<=[\U00013000-\U0001342f])[\U00013430-\U00013455]"
)
_NEAR_RTL = re.compile(f"[{_RTL}]")
_NEVER = (
    "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u202d\u202e\u2060-\u2065\u206a-\u206f\ufeff"
    "\U000e0000-\U000e001f\U000e0110-\U000e0fff"
)
_EACH = re.compile(
    # Every alternative begins with such a character, so one lookahead is faster than trying them all.
    rf"(?=[{INVISIBLE}])(?:(?P<gone>(?:[{_NEVER}]|(?<![\U0001f3f4])[\U000e0020-\U000e007f])+)"
    rf"|(?P<bidi>(?<![{_BIDI}])[{_BIDI}]{{1,3}}(?![{_BIDI}]))|(?P<allowed>{_ALLOWED})|(?P<left>[{INVISIBLE}]))"
)
_SUSPECT = re.compile(f"[{INVISIBLE}]")
_SPELLS = re.compile("[\U000e0020-\U000e007e\U000e0110-\U000e01ef]")


def _ranges(codes: Iterable[int]) -> str:
    """Return these code points as the inside of a pattern's character class."""
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(low)}-{chr(high)}" for low, high in ranges)


_MARKS = _ranges(code for code in range(0x300, 0x1F000) if unicodedata.category(chr(code)).startswith("M"))
_PILE = re.compile(f"[{_MARKS}]{{{LONGEST_CLUSTER}}}([{_MARKS}]+)")
_OVERRIDDEN = re.compile("[\u202d\u202e]([^\u202c-\u202e\n\r\u2029]{3,})")


def removals(text: str) -> list[tuple[int, int]]:
    """Return the spans of ``text`` that must not be released, sorted."""
    spans = _invisible(text) if _SUSPECT.search(text) else []
    if piles := [match.span(1) for match in _PILE.finditer(text)]:
        spans = joined([*spans, *piles])
    return spans


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans, sorted, with overlapping ones merged."""
    apart: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if apart and begin < apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((begin, end))
    return apart


def spelled(text: str, spans: Sequence[tuple[int, int]]) -> tuple[list[str], list[int]]:
    """Return what the removed characters spell, and where each letter comes from: tags are ASCII, selectors are
    bytes."""
    if not spans or not _SPELLS.search(text):
        return [], []
    indexes = [
        index
        for begin, end in spans
        for index in range(begin, end)
        if "\U000e0020" <= text[index] <= "\U000e007e" or "\U000e0110" <= text[index] <= "\U000e01ef"
    ]
    # Tags stand for ASCII; selectors from the seventeenth on stand for the bytes from 16 on.
    codes = [ord(text[index]) for index in indexes]
    return [chr(code - (0xE0000 if code < 0xE0100 else 0xE00F0)) for code in codes], indexes


def overridden(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans that a direction override shows backwards."""
    if "\u202d" in text or "\u202e" in text:
        for match in _OVERRIDDEN.finditer(text):
            yield match.span(1)


class Cleaner:
    """Remove hidden characters from a text that comes in pieces, as ``removals`` would from the whole."""

    def __init__(self) -> None:
        self._before = ""
        self._held = ""

    def add(self, piece: str) -> str:
        """Return the text that may go on: all but the part that the next characters may decide about."""
        text = self._held + piece
        if not self._held and not _SUSPECT.search(text) and text.isascii():
            self._before = (self._before + text[-REACH:])[-REACH:]
            return text
        return self._clean(text, max(0, len(text) - _AHEAD))

    def finish(self) -> str:
        """Return the rest."""
        return self._clean(self._held, len(self._held))

    def _clean(self, text: str, upto: int) -> str:
        whole, begin, end = self._before + text, len(self._before), len(self._before) + upto
        pieces: list[str] = []
        position = begin
        for first, last in removals(whole):
            if last > position and first < end:
                pieces.append(whole[position : max(position, first)])
                position = min(last, end)
        pieces.append(whole[position:end])
        self._before, self._held = whole[max(0, end - REACH) : end], whole[end:]
        return "".join(pieces)


def _invisible(text: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for match in _EACH.finditer(text):
        begin, end = match.span()
        if match.lastgroup == "allowed" or (
            match.lastgroup == "bidi" and _NEAR_RTL.search(text, max(0, begin - REACH + 8), end + 8)
        ):
            continue
        if spans and spans[-1][1] == begin:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((begin, end))
    return spans
