"""Words that distinguish a group of texts from all others."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

MAX_TERMS = 4
CLAUSES = re.compile(r"[.,;:!?()\"\n]+")
WORDS = re.compile(r"[^\W\d_]+")
STOP_WORDS = frozenset(Path(__file__).with_name("stop_words.txt").read_text().split())
"""English words that say nothing of a subject: the list of the Glasgow Information Retrieval Group, which scikit-learn
has too, but scikit-learn takes a second to import."""
OWN_WORDS = frozenset(
    "please thank thanks hello hi want need know tell help question ask asking like does did can "
    "could would will pays pay covered".split()
)


class Terms:
    """Class-based TF-IDF over words and pairs of words (as in BERTopic, Grootendorst 2022), counting texts, not
    occurrences."""

    def __init__(self, background: Iterable[str]) -> None:
        self._stop_words = STOP_WORDS | OWN_WORDS
        self._documents = 0
        self._frequencies: Counter[str] = Counter()
        for text in background:
            self._documents += 1
            self._frequencies.update(self._analyze(text))

    def of(self, texts: Sequence[str]) -> list[str]:
        """Return up to four terms, the most telling first; a word is not repeated in another term."""
        own: Counter[str] = Counter()
        for text in texts:
            own.update(self._analyze(text))
        enough = 2 if len(texts) > 2 else 1
        scored = sorted(
            ((self._score(term, count, len(texts)), term) for term, count in own.items() if count >= enough),
            key=lambda item: (-item[0], item[1]),
        )
        chosen: list[str] = []
        used: set[str] = set()
        for _, term in scored:
            words = set(term.split())
            if not words & used:
                chosen.append(term)
                used |= words
            if len(chosen) == MAX_TERMS:
                break
        return chosen

    def _analyze(self, text: str) -> set[str]:
        """Return the words of three letters or more, and adjacent pairs of them with no stop word or comma
        between."""
        found: set[str] = set()
        for clause in CLAUSES.split(text.lower()):
            before = ""
            for word in WORDS.findall(clause):
                if len(word) < 3 or word in self._stop_words:
                    before = ""
                    continue
                found.add(word)
                if before:
                    found.add(f"{before} {word}")
                before = word
        return found

    def _score(self, term: str, count: int, texts: int) -> float:
        rarity = math.log(1 + (self._documents + 1) / (self._frequencies[term] + 1))
        # A pair says more than its words when it is about as frequent.
        return count / texts * rarity * (1.3 if " " in term else 1.0)
