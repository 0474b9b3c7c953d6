"""A year of weekly ingestions with known changes: ``python -m checks.bench.document_story``.

Documents and questions are real text, embedded by MiniLM: the operations of AWS services as botocore describes them, a
document per service. Each week some documents are reworded or reordered, which is no drift, and a few begin to say what
another service's documentation says, or disappear. The table says how many of those the analysis names, and how many of
the others it names falsely.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from html import unescape

import botocore.session
import numpy as np
from rich.console import Console
from rich.status import Status
from rich.table import Table
from scipy.stats import beta

from fmops.analysis.document_drift import DocumentDrift, compare
from fmops.analysis.documents import Corpus, Manifest, ManifestDocument
from fmops.analysis.reference import Array
from fmops.analysis.state import Example
from local.detectors.embeddings import embed

WEEKS, DOCUMENTS, SENTENCES = 52, 40, 40
PASSAGE_WORDS, OVERLAP = 60, 12
QUESTIONS_PER_DOCUMENT = 12
EDITS_PER_WEEK = 4
MEANING_SHARE = 0.25
"""Share of the weekly edits that change what a document says."""
START = datetime(2026, 1, 5, tzinfo=UTC)
SYNONYMS = {
    "Returns": "Gives back",
    "Creates": "Makes",
    "specified": "given",
    "Deletes": "Removes",
    "information about": "details of",
    "Lists": "Enumerates",
    "Updates": "Changes",
    "retrieves": "fetches",
    "associated with": "tied to",
    "Gets": "Fetches",
}


@dataclass
class Tally:
    """Numbers of changes by kind, and how many of them the analysis called a change of meaning."""

    made: dict[str, int] = field(default_factory=dict)
    named: dict[str, int] = field(default_factory=dict)
    questions_lost: int = 0
    questions_of_gone: int = 0
    lost_without_cause: int = 0
    alarms: int = 0
    calm_weeks: int = 0
    false_alarms: int = 0

    def count(self, kind: str, *, named: bool) -> None:
        self.made[kind] = self.made.get(kind, 0) + 1
        self.named[kind] = self.named.get(kind, 0) + named


class Shelf:
    """The documents of a year, as lists of sentences."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        names = [str(name) for name in self.random.permutation(_services())]
        texts = {name: _sentences(name) for name in names}
        long = [name for name in names if len(texts[name]) >= SENTENCES + QUESTIONS_PER_DOCUMENT]
        self.documents = {name: texts[name][:SENTENCES] for name in long[:DOCUMENTS]}
        self.asked = {
            name: texts[name][SENTENCES : SENTENCES + QUESTIONS_PER_DOCUMENT] for name in self.documents
        }
        self.spare = [texts[name] for name in long[DOCUMENTS : 3 * DOCUMENTS]]
        self.revision = dict.fromkeys(self.documents, 0)

    def reword(self, name: str) -> str:
        """Replace common verbs by synonyms in half of the sentences."""
        changed = self.random.random(len(self.documents[name])) < 0.5
        self._set(
            name,
            [_reworded(line) if on else line for line, on in zip(self.documents[name], changed, strict=True)],
        )
        return "reworded"

    def insert(self, name: str) -> str:
        """Put a sentence at the top, which shifts where every passage begins."""
        note = "This page was reviewed by the editors this week and remains in force until further notice."
        self._set(name, [note, *[line for line in self.documents[name] if line != note]])
        return "sentence inserted"

    def reorder(self, name: str) -> str:
        """Swap the halves."""
        lines = self.documents[name]
        self._set(name, [*lines[len(lines) // 2 :], *lines[: len(lines) // 2]])
        return "halves swapped"

    def rewrite(self, name: str) -> str:
        """Replace the whole text by that of a service without a document."""
        self._set(name, self._other()[:SENTENCES])
        return "rewritten"

    def rewrite_part(self, name: str) -> str:
        """Replace 40 % of the text by that of a service without a document."""
        part = int(0.4 * SENTENCES)
        self._set(name, [*self.documents[name][:-part], *self._other()[:part]])
        return "rewritten by 40 %"

    def remove(self, name: str) -> str:
        """Remove the document."""
        del self.documents[name]
        return "removed"

    def corpus(self, week: int) -> Corpus:
        """Return the passages as an ingestion leaves them."""
        named = [
            ManifestDocument(id=name, title=name, etag=f"{name}-{self.revision[name]}", vectors=name)
            for name in self.documents
        ]
        rows = [_vectors(tuple(_passages(lines))) for lines in self.documents.values()]
        manifest = Manifest(
            job=f"week{week}", status="COMPLETE", completed_at=START + timedelta(weeks=week),
            embedding_model="minilm", dimension=rows[0].shape[1], documents=named,
        )  # fmt: skip
        owners = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
        return Corpus(manifest, named, np.concatenate(rows), owners)

    def questions(self) -> list[Example]:
        """Return what people ask, about every document of the first week."""
        texts = [(name, text) for name, lines in self.asked.items() for text in lines]
        vectors = _vectors(tuple(text for _, text in texts))
        return [
            Example(0.0, f"{name}-{number}", text, 0, 0.0, 1.0, vectors[number].astype(np.float16))
            for number, (name, text) in enumerate(texts)
        ]

    def _other(self) -> list[str]:
        return self.spare.pop(int(self.random.integers(len(self.spare))))

    def _set(self, name: str, lines: list[str]) -> None:
        self.documents[name] = lines
        self.revision[name] += 1


def year(seed: int, progress: Callable[[int], None] = lambda _: None) -> Tally:
    """Return what the analysis said of a year's changes."""
    shelf, tally = Shelf(seed), Tally()
    questions, before = shelf.questions(), shelf.corpus(0)
    for week in range(1, WEEKS + 1):
        changes = dict(_week(shelf))
        after = shelf.corpus(week)
        _judge(tally, changes, compare(before, after, questions))
        before = after
        progress(week)
    return tally


def _week(shelf: Shelf) -> Iterator[tuple[str, str]]:
    harmless = [shelf.reword, shelf.insert, shelf.reorder]
    harmful = [shelf.rewrite, shelf.rewrite_part, shelf.remove]
    for name in shelf.random.choice(list(shelf.documents), EDITS_PER_WEEK, replace=False).tolist():
        matters = shelf.random.random() < MEANING_SHARE and len(shelf.documents) > DOCUMENTS // 2
        kinds = harmful if matters else harmless
        yield name, kinds[int(shelf.random.integers(len(kinds)))](name)


def _judge(tally: Tally, changes: dict[str, str], drift: DocumentDrift) -> None:
    named = {change.id for change in [*drift.moved, *drift.removed]}
    for name, kind in changes.items():
        tally.count(kind, named=name in named)
    harmful = {
        name for name, kind in changes.items() if kind in ("rewritten", "rewritten by 40 %", "removed")
    }
    tally.lost_without_cause += sum(
        change.lost for change in [*drift.moved, *drift.removed] if change.id not in harmful
    )
    tally.questions_lost += drift.lost
    tally.questions_of_gone += QUESTIONS_PER_DOCUMENT * sum(
        kind in ("rewritten", "removed") for kind in changes.values()
    )
    tally.alarms += drift.alert
    if not harmful:
        tally.calm_weeks += 1
        tally.false_alarms += drift.alert


def _services() -> list[str]:
    return list(botocore.session.get_session().get_available_services())


@cache
def _sentences(service: str) -> list[str]:
    """Return distinct first sentences of a service's operations and members: real, short, and about one subject."""
    model = botocore.session.get_session().get_service_model(service)
    found: dict[str, None] = {}
    for name in model.operation_names:
        operation = model.operation_model(name)
        texts = [operation.documentation]
        if operation.input_shape is not None:
            texts += [member.documentation for member in operation.input_shape.members.values()]
        for text in texts:
            plain = unescape(re.sub(r"<[^>]+>", " ", text or ""))
            first = re.split(r"(?<=\.)\s", re.sub(r"\s+", " ", plain).strip(), maxsplit=1)[0]
            if 6 <= len(first.split()) <= 40:
                found[first] = None
    return list(found)


def _reworded(line: str) -> str:
    for word, other in SYNONYMS.items():
        line = line.replace(word, other)
    return line


def _passages(lines: Sequence[str]) -> list[str]:
    """Return passages of a fixed number of words with an overlap, as fixed-size chunking makes them."""
    words = " ".join(lines).split()
    return [
        " ".join(words[start : start + PASSAGE_WORDS])
        for start in range(0, max(len(words) - OVERLAP, 1), PASSAGE_WORDS - OVERLAP)
    ]


@cache
def _vectors(texts: tuple[str, ...]) -> Array:
    return np.asarray(embed(list(texts)))


def _interval(named: int, made: int) -> str:
    """Return the 95 % interval of a rate (Clopper and Pearson, 1934)."""
    low = float(beta.ppf(0.025, named, made - named + 1)) if named else 0.0
    high = float(beta.ppf(0.975, named + 1, made - named)) if named < made else 1.0
    return f"[{low:.2f}, {high:.2f}]"


def table(tallies: Sequence[Tally]) -> Table:
    """Return the table of all years together."""
    shown = Table(title=f"{len(tallies)} years of {WEEKS} weekly ingestions, {DOCUMENTS} documents")
    for heading in ("change", "drift?", "made", "named as drift", "rate", "95 %"):
        shown.add_column(heading, justify="left" if heading in ("change", "drift?") else "right")
    for kind, drift in (
        ("reworded", "no"), ("sentence inserted", "no"), ("halves swapped", "no"),
        ("rewritten", "yes"), ("rewritten by 40 %", "yes"), ("removed", "yes"),
    ):  # fmt: skip
        made = sum(each.made.get(kind, 0) for each in tallies)
        named = sum(each.named.get(kind, 0) for each in tallies)
        rate = f"{named / made:.2f}" if made else "-"
        shown.add_row(kind, drift, str(made), str(named), rate, _interval(named, made) if made else "-")
    return shown


def _tell(status: Status, told: str, week: int) -> None:
    status.update(f"{told}, week {week}")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m checks.bench.document_story", description=__doc__)
    parser.add_argument("--years", type=int, default=4, help="number of simulated years (default 4)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first year (default 1)")
    options = parser.parse_args()
    console = Console(width=110)
    tallies = []
    with console.status("") as status:
        for number in range(options.years):
            tell = partial(_tell, status, f"year {number + 1} of {options.years}")
            tallies.append(year(options.seed + number, tell))
    console.print(table(tallies))
    console.print(
        f"Weeks without drift: {sum(each.calm_weeks for each in tallies)}, with an alarm "
        f"{sum(each.false_alarms for each in tallies)}. Alarms in all: {sum(each.alarms for each in tallies)}. "
        f"Questions lost: {sum(each.questions_lost for each in tallies)}, of documents that did not drift "
        f"{sum(each.lost_without_cause for each in tallies)}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
