"""Text as people read it: broken surrogates mended, hidden characters and lookalikes undone, offsets kept.

Detectors are asked about the *folded* text, because zero-width characters and lookalike letters hide words from
them but not from readers. Findings are mapped back, so that redaction replaces what really stands in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

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
_PLAIN = re.compile(
    r"[\t\n\r\x20-\x7e\u00a1-\u00ac\u00ae-\u024f\u2010-\u2015\u2018-\u201f\u2022\u20ac\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]*"
)
"""Text in which there is nothing to fold: the common case is answered by one scan."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A text as read, and for each of its characters where it begins in the original."""

    text: str
    begins: Sequence[int] | None
    length: int

    def unfold(self, finding: Finding) -> Finding:
        """The same finding in the original text. Characters hidden within it belong to it."""
        if self.begins is None or not finding.is_span:
            return finding
        following = self.begins[finding.end] if finding.end < len(self.begins) else self.length
        end = max(following, self.begins[finding.end - 1] + 1)
        return replace(finding, begin=self.begins[finding.begin], end=end)


def mend(text: str) -> str:
    """``text`` with surrogate pairs joined and lone surrogates replaced: nothing that UTF-8 cannot carry."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def fold(text: str) -> Folded:
    """The text as a reader sees it. ``text`` must be mended."""
    if text.isascii() or _PLAIN.fullmatch(text):
        return Folded(text, None, len(text))
    characters: list[str] = []
    begins: list[int] = []
    for begin, cluster in _clusters(text):
        for character in _fold_cluster(cluster):
            characters.append(character)
            begins.append(begin)
    folded = _undo_lookalikes("".join(characters))
    return Folded(folded, begins, len(text))


def redact(text: str, redactions: Iterable[Redaction]) -> str:
    """``text`` with each span replaced. Spans must be sorted and must not overlap."""
    pieces: list[str] = []
    position = 0
    for redaction in redactions:
        pieces += (text[position : redaction.begin], redaction.replacement)
        position = redaction.end
    return "".join([*pieces, text[position:]])


def merge(findings: Iterable[Finding]) -> list[Redaction]:
    """One redaction for each run of overlapping findings, named after the longest of them, of equals the surest."""
    merged: list[tuple[int, int, Finding]] = []
    for finding in sorted(findings, key=lambda each: (each.begin, each.end)):
        if merged and finding.begin < merged[-1][1]:
            begin, end, name = merged[-1]
            merged[-1] = (begin, max(end, finding.end), max(name, finding, key=_weight))
        else:
            merged.append((finding.begin, finding.end, finding))
    return [Redaction(begin, end, f"[{name.category.value.upper()}]") for begin, end, name in merged]


def _weight(finding: Finding) -> tuple[int, float, str]:
    return finding.end - finding.begin, finding.score, finding.category.value


def _clusters(text: str) -> Iterable[tuple[int, str]]:
    """Each base character with the marks and invisible characters that follow it."""
    begin = 0
    for index in range(1, len(text)):
        if not (unicodedata.combining(text[index]) or _is_hidden(text[index])):
            yield begin, text[begin:index]
            begin = index
    if text:
        yield begin, text[begin:]


def _fold_cluster(cluster: str) -> str:
    if len(cluster) == 1 and cluster.isascii():
        return cluster
    visible = "".join(character for character in cluster if not _is_hidden(character))
    composed = unicodedata.normalize("NFKC", visible)
    if len(composed) > 1 and unicodedata.normalize("NFD", composed[0])[0].isascii():
        return "".join(character for character in composed if not unicodedata.combining(character))
    return composed


@lru_cache(maxsize=4096)
def _is_hidden(character: str) -> bool:
    """Format characters (zero width, direction marks, soft hyphen, tags) and variation selectors show nothing."""
    code = ord(character)
    return (
        unicodedata.category(character) == "Cf"
        or 0xFE00 <= code <= 0xFE0F
        or code in (0x34F, 0x115F, 0x1160, 0x3164)
    )


def _undo_lookalikes(text: str) -> str:
    """Words that mix Latin with lookalike letters, and words of lookalikes within a mostly Latin text, become Latin."""
    letters = _LATIN.findall(text)
    if not letters:
        return text
    mostly_latin = 2 * len(letters) > sum(map(str.isalpha, text))

    def latin(match: re.Match[str]) -> str:
        word = match.group()
        twin = word.translate(_LOOKALIKES)
        return twin if twin.isascii() and (mostly_latin or _LATIN.search(word)) else word

    return _WORD.sub(latin, text)
