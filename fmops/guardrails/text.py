"""Text as people read it: broken surrogates repaired, hidden characters and lookalikes undone, offsets
preserved.

Detectors are asked about the *folded* text, because zero-width characters and lookalike letters hide words from
them but not from readers. Findings are mapped back, so that redaction replaces what the text really holds.
Characters that folding leaves out are released only where their script needs them (``hidden.py``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from fmops.guardrails.hidden import BLANKS, INVISIBLE, LONGEST_CLUSTER, overridden, removals, spelled
from fmops.guardrails.types import Finding, Redaction

_LOOKALIKES = str.maketrans(
    dict(
        zip(
            "АВЕЅІЈКМНОРСТУХаеѕіјорсухһԁԛԝүӏɡɑΑΒΕΖΗΙΚΜΝΟΡΤΥΧοανιορυκ",
            "ABESIJKMHOPCTYXaesijopcyxhdqwylgaABEZHIKMNOPTYXoaviopuk",
            strict=True,
        )
    )
)
_LATIN = re.compile(r"[A-Za-z]")
_WORD = re.compile(r"[^\W\d_]+")
# Decimal digits of scripts newer than Python's Unicode tables, by the code point of each zero.
_NEWER_ZEROS = (
    0x10D40, 0x116D0, 0x116DA, 0x11BF0, 0x11DE0, 0x11F50, 0x16D70, 0x1CCF0, 0x1E4F0, 0x1E5F1, 0x1FBF0
)  # fmt: skip
_SPELLED_LETTER = re.compile(
    r"(?:LATIN LETTER SMALL CAPITAL|REGIONAL INDICATOR SYMBOL LETTER"
    r"|(?:CROSSED )?(?:NEGATIVE )?(?:CIRCLED|SQUARED|PARENTHESIZED) LATIN (?:CAPITAL|SMALL) LETTER) ([A-Z])"
    r"|(?:NEGATIVE )?SQUARED ([A-Z]{2,4})"
)
_LETTERS_ABOVE = {
    chr(code): name.rpartition(" ")[2].lower()
    for code in (*range(0x363, 0x370), *range(0x1DD3, 0x1DF5))
    if re.fullmatch("COMBINING LATIN SMALL LETTER [A-Z]", name := unicodedata.name(chr(code), ""))
}
_SMALL_LETTERS = re.compile(f"[{''.join(_LETTERS_ABOVE)}]")
_LONGEST_EXPANSION = 4
_BLANKED = re.compile(f"[{BLANKS}]")
_MARK = "mark"
"""Stand-in for a combining mark in the table of readings; no character reads so."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A text as it is read, the place of each of its characters in the original, and the spans that must not be
    released.

    The text itself is followed by further readings of parts of it: as an override shows them, without blanks
    that look like spaces, and, from ``hidden_from`` on, what hidden characters spell.
    """

    text: str
    begins: Sequence[int] | None
    length: int
    ends: Sequence[int] = ()
    read: int = 0
    hidden_from: int = 0
    removals: tuple[tuple[int, int], ...] = field(default=())

    def unfold(self, finding: Finding) -> Finding:
        """Return the same finding in the original text, including any hidden characters within it."""
        if self.begins is None or not finding.is_span:
            return finding
        first, last = finding.begin, finding.end - 1
        if first >= self.hidden_from:  # all of it is removed anyway
            return replace(finding, begin=self.begins[first], end=self.ends[first])
        if first < self.read:
            last = min(last, self.read - 1)
            return replace(finding, begin=self.begins[first], end=self.ends[last])
        begin, end = min(self.begins[first : last + 1]), max(self.ends[first : last + 1])
        return replace(finding, begin=begin, end=end)


def fold(text: str) -> Folded:
    """Return the text as a reader sees it. ``text`` must have its surrogates repaired."""
    distinct = set(text)
    if all(_READINGS[character] == character for character in distinct):
        return Folded(_undo_lookalikes(text), None, len(text), read=len(text))
    reading = _Reading()
    if any(_READINGS[character] is _MARK for character in distinct):
        _read_clusters(text, reading)
    else:
        reading.characters = [_READINGS[character] for character in text]
        reading.begins = [index for index, each in enumerate(reading.characters) for _ in each]
        reading.ends = [index + 1 for index in reading.begins]
    folded = _undo_lookalikes("".join(reading.characters))
    other = _Reading()
    _read_backwards(text, other)
    _read_without_blanks(text, other)
    above = [match.start() for match in _SMALL_LETTERS.finditer(text)]
    other.add_line([_LETTERS_ABOVE[text[index]] for index in above], above)
    spans = removals(text)
    secret = _Reading()
    secret.add_line(*spelled(text, spans))
    return Folded(
        "".join([folded, *other.characters, *secret.characters]),
        reading.begins + other.begins + secret.begins,
        len(text),
        reading.ends + other.ends + secret.ends,
        len(folded),
        len(folded) + len(other.begins),
        tuple(spans),
    )


def redact(text: str, redactions: Iterable[Redaction]) -> str:
    """Return ``text`` with each span replaced. Spans must be sorted and must not overlap."""
    pieces: list[str] = []
    position = 0
    for redaction in redactions:
        pieces += (text[position : redaction.begin], redaction.replacement)
        position = redaction.end
    return "".join([*pieces, text[position:]])


def merge(findings: Iterable[Finding], removed: Iterable[tuple[int, int]] = ()) -> list[Redaction]:
    """Return one redaction for each run of overlapping findings.

    It is named after the longest finding and, among equals, the one with the highest score. Spans of hidden
    characters, sorted, are ``removed``: they leave no replacement, even within a finding.
    """
    merged: list[tuple[int, int, Finding]] = []
    for finding in sorted(findings, key=lambda each: (each.begin, each.end)):
        if merged and finding.begin < merged[-1][1]:
            begin, end, name = merged[-1]
            merged[-1] = (begin, max(end, finding.end), max(name, finding, key=_weight))
        else:
            merged.append((finding.begin, finding.end, finding))
    redactions = [Redaction(begin, end, f"[{name.category.value.upper()}]") for begin, end, name in merged]
    gone = [Redaction(begin, end, "") for begin, end in removed]
    return _joined(redactions, gone) if redactions and gone else redactions or gone


def _joined(redactions: Sequence[Redaction], gone: Sequence[Redaction]) -> list[Redaction]:
    """Return both, sorted and disjoint: of two that overlap, the outer one remains, or they become one."""
    joined: list[Redaction] = []
    for each in sorted([*gone, *redactions], key=lambda each: (each.begin, -each.end)):
        if joined and each.begin < joined[-1].end:
            last = joined[-1]
            if each.end > last.end:
                joined[-1] = Redaction(last.begin, each.end, last.replacement or each.replacement)
        else:
            joined.append(each)
    return joined


def _weight(finding: Finding) -> tuple[int, float, str]:
    return finding.end - finding.begin, finding.score, finding.category.value


class _Reading:
    """Characters as they are read, and the place of each in the original."""

    def __init__(self) -> None:
        self.characters: list[str] = []
        self.begins: list[int] = []
        self.ends: list[int] = []

    def add(self, characters: str, begin: int, end: int) -> None:
        self.characters.append(characters)
        self.begins += [begin] * len(characters)
        self.ends += [end] * len(characters)

    def add_line(self, text: Sequence[str], indexes: Sequence[int]) -> None:
        """Add a separate reading of these characters, if there are any, after a line feed."""
        if not indexes:
            return
        line = [_READINGS[character] for character in text]
        self.add("\n", indexes[0], indexes[0])
        if len("".join(line)) == len(line):
            self.characters += line
            self.begins += indexes
            self.ends += [index + 1 for index in indexes]
        else:
            for reading, character, index in zip(line, text, indexes, strict=True):
                self.add(character if reading is _MARK else reading, index, index + 1)


class _Table(dict[str, str]):
    """A table of how each character reads, computed when it is first met; ``_MARK`` for a combining mark."""

    def __missing__(self, character: str) -> str:
        self[character] = reading = _read(character)
        return reading


def _read(character: str) -> str:
    if character in _HIDDEN:
        return ""
    if character in BLANKS:
        return " "
    code = ord(character)
    if zero := next((zero for zero in _NEWER_ZEROS if zero <= code < zero + 10), 0):
        return str(code - zero)
    if 0x1CCD6 <= code <= 0x1CCEF:  # outlined capitals, also newer than the tables
        return chr(code - 0x1CCD6 + ord("A"))
    category = unicodedata.category(character)
    if category.startswith("M"):
        return _MARK
    if category in ("Nd", "No") and (digit := unicodedata.digit(character, None)) is not None:
        return str(digit)
    if spelled_letter := _SPELLED_LETTER.fullmatch(unicodedata.name(character, "")):
        return spelled_letter[1] or spelled_letter[2]
    composed = unicodedata.normalize("NFKC", character)
    # Signs for words, such as that for "number", do not belong to the next word; a letter never stands for a
    # sentence.
    expands = len(composed) > 1 and (category[0] in "PS" or len(composed) > _LONGEST_EXPANSION)
    return character if expands else composed


_HIDDEN = frozenset(
    chr(code)
    for low, high in re.findall(r"(.)(?:-(.))?", INVISIBLE, re.DOTALL)
    for code in range(ord(low), ord(high or low) + 1)
)
_READINGS = _Table({chr(code): chr(code) for code in (*range(0x20, 0x7F), *range(9, 14))})


def _read_clusters(text: str, reading: _Reading) -> None:
    """Read each base character with the marks that follow it; hidden characters belong to the one before."""
    characters, begins, ends = reading.characters, reading.begins, reading.ends
    readings = _READINGS
    base, begin, marks = "", 0, ""
    for index, character in enumerate(text):
        now = readings[character]
        if not now:
            continue
        if now is _MARK and base:
            if len(marks) < LONGEST_CLUSTER:
                marks += character
            ends[-1] = index + 1
            continue
        if marks:
            _compose(reading, base, marks, begin)
            marks = ""
        base = now = character if now is _MARK else now
        begin = index
        characters.append(now)
        if len(now) == 1:
            begins.append(index)
            ends.append(index + 1)
        else:
            begins += [index] * len(now)
            ends += [index + 1] * len(now)
    if marks:
        _compose(reading, base, marks, begin)


def _compose(reading: _Reading, base: str, marks: str, begin: int) -> None:
    """Put the marks of a cluster on the base character that was read last."""
    composed = _composed(base, marks)
    reading.characters[-1] = composed
    end = reading.ends[-1]
    del reading.begins[-len(base) :], reading.ends[-len(base) :]
    reading.begins += [begin] * len(composed)
    reading.ends += [end] * len(composed)


@lru_cache(maxsize=4096)
def _composed(base: str, marks: str) -> str:
    """Return the letter that base and marks make; marks that make no letter on a Latin base are left out."""
    composed = unicodedata.normalize("NFKC", base + marks)
    if len(composed) > len(base) and unicodedata.normalize("NFD", composed[0])[0].isascii():
        return "".join(
            character for character in composed if not unicodedata.category(character).startswith("M")
        )
    return composed


def _read_backwards(text: str, other: _Reading) -> None:
    """Read what a direction override shows, from its end to its beginning."""
    line: list[str] = []
    indexes: list[int] = []
    for begin, end in overridden(text):
        line += [*text[end - 1 : begin : -1], text[begin], "\n"]
        indexes += [*range(end - 1, begin - 1, -1), begin]
    other.add_line(line, indexes)


def _read_without_blanks(text: str, other: _Reading) -> None:
    """Read the text without letters that look like spaces."""
    if _BLANKED.search(text):
        indexes = [index for index, character in enumerate(text) if character not in BLANKS]
        other.add_line([text[index] for index in indexes], indexes)


def _undo_lookalikes(text: str) -> str:
    """Turn words that mix Latin with lookalike letters, and lookalike words within a mostly Latin text, into
    Latin."""
    if text.isascii() or text.translate(_LOOKALIKES) == text:
        return text
    letters = _LATIN.findall(text)
    if not letters:
        return text
    mostly_latin = 2 * len(letters) > sum(map(str.isalpha, text))

    def latin(match: re.Match[str]) -> str:
        word = match.group()
        twin = word.translate(_LOOKALIKES)
        if twin == word or not twin.isascii():
            return word
        if _LATIN.search(word):
            return twin
        # Beside a digit, a letter of another script stays: it must not make the number part of a Latin word.
        beside = text[max(0, match.start() - 1) : match.start()] + text[match.end() : match.end() + 1]
        return twin if mostly_latin and not any(map(str.isdigit, beside)) else word

    return _WORD.sub(latin, text)
