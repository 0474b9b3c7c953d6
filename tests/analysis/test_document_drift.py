"""Changes of the published documents: found, not invented, and told by the questions that they concern."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fmops.analysis import wording
from fmops.analysis.document_drift import compare
from fmops.analysis.documents import Corpus, Documents
from fmops.analysis.lake import DirectoryLake
from fmops.analysis.reference import Array
from fmops.analysis.report import render
from fmops.analysis.result import WindowResult
from fmops.analysis.state import Example

DIMENSION, TOPICS = 64, 8
MORNING = datetime(2026, 11, 2, 6, tzinfo=UTC)


def _unit(rows: Array) -> Array:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


class Library:
    """Documents about separate topics, with passages near their topic, and questions near the passages."""

    def __init__(self, seed: int = 1) -> None:
        self.random = np.random.default_rng(seed)
        self.centres = _unit(self.random.standard_normal((TOPICS, DIMENSION)))
        self.passages = {f"d{topic}": self.about(topic) for topic in range(TOPICS)}

    def about(self, topic: int, count: int = 5) -> Array:
        return _unit(self.centres[topic] + 0.08 * self.random.standard_normal((count, DIMENSION)))

    def reworded(self, name: str) -> Array:
        rows = self.passages[name]
        return _unit(rows + 0.02 * self.random.standard_normal(rows.shape))

    def questions(self, topic: int, count: int) -> list[Example]:
        rows = _unit(self.about(topic, count) + 0.03 * self.random.standard_normal((count, DIMENSION)))
        return [
            Example(
                0.0, f"int-{topic}-{n}", f"question {n} about {topic}", 0, 0.0, 0.9, row.astype(np.float16)
            )
            for n, row in enumerate(rows)
        ]


def publish(
    lake: DirectoryLake,
    moment: datetime,
    passages: Mapping[str, Array],
    *,
    status: str = "COMPLETE",
    **changes: Any,
) -> None:
    """Write a manifest and its vectors, as the ingestion function does."""
    documents = []
    for name, rows in passages.items():
        packed = [base64.b64encode(row.astype("<f2").tobytes()).decode() for row in rows]
        etag = str(hash(rows.tobytes()))
        key = f"knowledge/vectors/{name}-{etag}.jsonl.gz"
        lines = "".join(json.dumps({"page": None, "vector": row}) + "\n" for row in packed)
        lake.write(key, gzip.compress(lines.encode()))
        documents.append({"id": name, "title": f"Title of {name}", "etag": etag, "vectors": key})
    job = f"JOB{moment:%d%H%M}"
    manifest = {
        "schema_version": 1, "job": job, "status": status, "completed_at": moment.isoformat(),
        "embedding_model": "titan", "dimension": DIMENSION, "documents": documents, **changes,
    }  # fmt: skip
    lake.write(f"knowledge/manifests/{moment:%Y%m%dT%H%M%SZ}-{job}.json", json.dumps(manifest).encode())


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.fixture
def lake(tmp_path: Path) -> DirectoryLake:
    return DirectoryLake(tmp_path)


def corpora(
    lake: DirectoryLake, before: Mapping[str, Array], after: Mapping[str, Array]
) -> tuple[Corpus, Corpus]:
    evening = MORNING + timedelta(hours=12)
    publish(lake, MORNING, before)
    publish(lake, evening, after)
    documents = Documents(lake)
    first, second = documents.corpus_at(MORNING), documents.corpus_at(evening)
    assert first is not None
    assert second is not None
    return first, second


def every_question(library: Library, count: int = 30) -> list[Example]:
    return [question for topic in range(TOPICS) for question in library.questions(topic, count)]


def test_the_last_complete_ingestion_counts(lake: DirectoryLake, library: Library) -> None:
    publish(lake, MORNING, library.passages)
    publish(lake, MORNING + timedelta(hours=1), {}, status="FAILED")
    documents = Documents(lake)
    assert documents.at(MORNING - timedelta(seconds=1)) is None
    manifest = documents.at(MORNING + timedelta(days=3))
    assert manifest is not None
    assert manifest.completed_at == MORNING
    corpus = documents.corpus(manifest)
    assert corpus.vectors.shape == (TOPICS * 5, DIMENSION)
    assert np.linalg.norm(corpus.vectors, axis=1) == pytest.approx(1, abs=1e-6)


def test_rewording_is_an_edit_and_moves_nothing(lake: DirectoryLake, library: Library) -> None:
    reworded = {name: library.reworded(name) for name in library.passages}
    drift = compare(*corpora(lake, library.passages, reworded), every_question(library))
    assert (drift.edited, drift.moved, drift.added, drift.removed) == (TOPICS, [], [], [])
    assert (drift.gone_share, drift.lost_share, drift.alert) == (0.0, 0.0, False)


def test_a_passage_inserted_at_the_top_shifts_the_others_and_moves_nothing(
    lake: DirectoryLake, library: Library
) -> None:
    # Each of the later passages holds the end of one earlier passage and the beginning of the next.
    rows = library.passages["d0"]
    shifted = _unit(np.vstack([rows[0] + rows[1], rows[1] + rows[2], rows[2] + rows[3], rows[3] + rows[4]]))
    drift = compare(*corpora(lake, library.passages, {**library.passages, "d0": shifted}), [])
    assert (drift.edited, drift.moved) == (1, [])


def test_a_document_that_says_something_else_has_moved_and_loses_its_questions(
    lake: DirectoryLake, library: Library
) -> None:
    elsewhere = _unit(library.random.standard_normal((5, DIMENSION)))
    drift = compare(
        *corpora(lake, library.passages, {**library.passages, "d3": elsewhere}), every_question(library)
    )
    (moved,) = drift.moved
    assert (moved.id, moved.title, moved.moved) == ("d3", "Title of d3", 1.0)
    assert moved.lost >= 27  # of 30, since 5 % of all questions count as not covered before
    assert all("about 3" in text for text in moved.examples)
    assert drift.gone_share == pytest.approx(1 / TOPICS)
    assert drift.alert


def test_a_removed_document_loses_the_questions_that_only_it_covered(
    lake: DirectoryLake, library: Library
) -> None:
    twin = {**library.passages, "d0-again": library.reworded("d0")}
    without_both = {name: rows for name, rows in library.passages.items() if name != "d1"}
    drift = compare(*corpora(lake, twin, {**without_both}), every_question(library))
    assert [change.id for change in drift.removed] == ["d0-again", "d1"]
    by_id = {change.id: change for change in drift.removed}
    assert by_id["d0-again"].lost == 0  # its twin still says the same
    assert by_id["d1"].lost >= 27
    assert drift.alert


def test_a_new_document_gains_the_questions_that_nothing_covered(
    lake: DirectoryLake, library: Library
) -> None:
    before = {name: rows for name, rows in library.passages.items() if name != "d2"}
    usual = [question for topic in range(TOPICS) if topic != 2 for question in library.questions(topic, 60)]
    drift = compare(*corpora(lake, before, library.passages), [*usual, *library.questions(2, 20)])
    (added,) = drift.added
    assert (added.id, added.lost) == ("d2", 0)
    assert added.gained >= 18
    assert not drift.alert


def test_documents_that_no_question_reaches_are_named(lake: DirectoryLake, library: Library) -> None:
    asked = [question for topic in range(5) for question in library.questions(topic, 40)]
    far = {f"far{n}": _unit(-library.centres[:5].sum(axis=0) + 0.01 * library.about(7, 3)) for n in range(2)}
    drift = compare(*corpora(lake, library.passages, {**library.passages, **far}), asked)
    assert {change.id for change in drift.unreached} >= set(far)
    assert not {change.id for change in drift.unreached} & {f"d{topic}" for topic in range(5)}


def test_vectors_of_another_model_are_not_compared(lake: DirectoryLake, library: Library) -> None:
    publish(lake, MORNING, library.passages)
    publish(lake, MORNING + timedelta(hours=1), library.passages, embedding_model="nova")
    documents = Documents(lake)
    before, after = documents.corpus_at(MORNING), documents.corpus_at(MORNING + timedelta(hours=1))
    assert after is not None
    drift = compare(before, after, every_question(library))
    assert "now of nova (64 dimensions), before of titan (64)" in drift.reason
    assert (drift.changed, drift.alert) == (False, False)


def test_vectors_of_another_dimension_are_left_out(lake: DirectoryLake, library: Library) -> None:
    publish(lake, MORNING, library.passages, dimension=32)
    corpus = Documents(lake).corpus_at(MORNING)
    assert corpus is not None
    assert (len(corpus), corpus.documents) == (0, [])


def test_the_first_documents_are_compared_with_nothing(lake: DirectoryLake, library: Library) -> None:
    publish(lake, MORNING, library.passages)
    corpus = Documents(lake).corpus_at(MORNING)
    assert corpus is not None
    drift = compare(None, corpus, every_question(library))
    assert (drift.before, drift.documents, drift.passages, drift.changed) == ("", TOPICS, 40, False)


def test_the_report_tells_what_was_lost_and_gained(lake: DirectoryLake, library: Library) -> None:
    elsewhere = _unit(library.random.standard_normal((5, DIMENSION)))
    drift = compare(
        *corpora(lake, library.passages, {**library.passages, "d3": elsewhere}), every_question(library)
    )
    said = wording.documents(drift)
    assert said == (
        "12 % of the questions have lost the document that covered them, most of them “Title of d3”. "
        "Documents: 1 changed in meaning."
    )
    result = WindowResult(
        window="2026-11-02", start="2026-11-02T00:00:00+00:00", end="2026-11-03T00:00:00+00:00", verdict="usual",
        sentence="The queries are what they usually are.", documents=drift,
    )  # fmt: skip
    html = render(result, [result])
    assert "<td>Title of d3</td><td>moved in meaning</td>" in html
    assert result.metrics()["DocumentDrift"] == 1.0
    assert result.metrics()["DocumentsMoved"] == 1.0
    assert "DocumentDrift" not in result.model_copy(update={"documents": None}).metrics()
