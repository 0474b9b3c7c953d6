"""Document drift: what ingestions changed in the documents, and what that means for the questions that people ask.

The same sampled questions are held against the documents before and after, so that no difference between days counts
as a change.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from fmops.analysis.documents import Corpus, Documents, ManifestDocument
from fmops.analysis.reference import Array
from fmops.analysis.state import Example, State

SAMPLE = 2000
"""Maximum number of passages from which the usual distance between documents is estimated."""
MOVED_MOST = 0.9
"""Similarity above which a passage counts as the same, however alike the documents are."""
MOVED_TOWARDS = 1 / 3
"""Place of the usual threshold between another document's nearest passage (0) and the same text (1).

Set on one simulated year and held to others (docs/analysis.md): at a half, re-cut passages look like moved ones.
"""
MOVED_SHARE = 0.2
"""Fraction of a document's passages that are new or gone in meaning from which the document has moved."""
REPLACED_SHARE = 0.2
"""Fraction of all earlier passages gone in meaning within one window that raises an alarm."""
COVERED = 0.05
"""Quantile of the questions' similarity to the earlier documents below which a question counts as not covered."""
WAVER = 0.05
"""Least change of a question's similarity that counts: a reworded document changes it by less."""
LOST_SHARE, LOST_LEAST = 0.01, 3
"""Share and number of questions that lose their document from which an alarm is raised."""
QUESTIONS_LEAST = 50
"""Minimum number of sampled questions for saying anything about them."""
REACHED = 4
"""Number of nearest documents that a question is taken to reach, as the search returns."""
SHOWN = 5
TILE = 2048


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class DocumentChange(_Part):
    """A document that was added or removed, or whose meaning moved.

    ``moved`` is the fraction of its passages that are new or gone in meaning; ``lost`` and ``gained`` count the sampled
    questions that it covered before and no document does now, and those that it covers and no document did.
    """

    id: str
    title: str
    moved: float = 1.0
    lost: int = 0
    gained: int = 0
    examples: list[str] = Field(default=[], description="questions lost or gained")


class DocumentDrift(_Part):
    """The comparison of the documents at a window's end with those at its start."""

    before: str = Field(default="", description="time of the earlier ingestion; empty before the first")
    after: str
    documents: int
    passages: int
    edited: int = Field(default=0, description="documents with a new version that means the same")
    added: list[DocumentChange] = []
    removed: list[DocumentChange] = []
    moved: list[DocumentChange] = []
    gone_share: float = Field(default=0.0, description="share of the earlier passages gone in meaning")
    gone_since_baseline: float | None = None
    questions: int = Field(default=0, description="sampled questions of this and earlier windows")
    lost_share: float = 0.0
    gained_share: float = 0.0
    unreached: list[DocumentChange] = Field(
        default=[], description="documents that are nearest to no sampled question"
    )
    unreached_count: int = 0
    reason: str = Field(default="", description="why the documents could not be compared")

    @property
    def lost(self) -> int:
        return sum(change.lost for change in [*self.removed, *self.moved])

    @property
    def alert(self) -> bool:
        """Return whether people lose answers, or much of what the documents said is gone at once."""
        loses = self.lost_share >= LOST_SHARE and self.lost >= LOST_LEAST
        return loses or self.gone_share >= REPLACED_SHARE

    @property
    def changed(self) -> bool:
        return bool(self.added or self.removed or self.moved or self.edited)


def during(
    documents: Documents,
    start: datetime,
    end: datetime,
    states: Sequence[State],
    *,
    baseline: datetime,
) -> DocumentDrift | None:
    """Return what changed in the documents from ``start`` to ``end``; None when nothing was published by then.

    The questions are those that the ``states`` keep of this window and of earlier ones. ``baseline`` is the end of the
    time that the analysis's baseline was fitted to.
    """
    after = documents.corpus_at(end)
    if after is None:
        return None
    questions = {
        row.interaction_id: row for state in states for row in state.examples["all"] if len(row.vector)
    }
    return compare(
        documents.corpus_at(start), after, list(questions.values()), baseline=documents.corpus_at(baseline)
    )


def compare(
    before: Corpus | None, after: Corpus, questions: Sequence[Example], *, baseline: Corpus | None = None
) -> DocumentDrift:
    """Return what changed between two states of the documents, and which questions it concerns.

    ``questions`` are sampled rows with vectors. ``baseline`` is the state when the analysis's baseline was fitted.
    """
    drift = DocumentDrift(
        before=before.manifest.completed_at.isoformat() if before else "",
        after=after.manifest.completed_at.isoformat(),
        documents=len(after.documents),
        passages=len(after),
    )
    vectors = _question_vectors(questions, after)
    drift = drift.model_copy(update={"questions": len(vectors), **_unreached(after, vectors)})
    if baseline is not None and _comparable(baseline, after):
        share = _gone(baseline, after, _usual_threshold(baseline))
        drift = drift.model_copy(update={"gone_since_baseline": share})
    if before is None:
        return drift
    if not _comparable(before, after):
        return drift.model_copy(update={"reason": _incomparable(before, after)})
    return drift.model_copy(update=_changes(before, after, questions, vectors))


def _comparable(before: Corpus, after: Corpus) -> bool:
    ours, theirs = after.manifest, before.manifest
    return (ours.embedding_model, ours.dimension) == (theirs.embedding_model, theirs.dimension)


def _incomparable(before: Corpus, after: Corpus) -> str:
    ours, theirs = after.manifest, before.manifest
    return (
        f"The documents' vectors are now of {ours.embedding_model} ({ours.dimension} dimensions), before of "
        f"{theirs.embedding_model} ({theirs.dimension}): changes in meaning are compared again from the next window on."
    )


def _changes(
    before: Corpus, after: Corpus, questions: Sequence[Example], vectors: Array
) -> dict[str, object]:
    threshold = _usual_threshold(before)
    old = {document.id: place for place, document in enumerate(before.documents)}
    new = {document.id: place for place, document in enumerate(after.documents)}
    added, removed = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    revised = [
        name
        for name in sorted(new.keys() & old.keys())
        if before.documents[old[name]].etag != after.documents[new[name]].etag
    ]
    shares = {name: _moved(before.of(old[name]), after.of(new[name]), threshold) for name in revised}
    moved = [name for name in revised if shares[name] >= MOVED_SHARE]
    lost, gained = _coverage(before, after, vectors, {*removed, *moved}, {*added, *moved})

    def change(corpus: Corpus, place: int, share: float = 1.0) -> DocumentChange:
        document = corpus.documents[place]
        losing, gaining = lost.get(document.id, []), gained.get(document.id, [])
        quoted = dict.fromkeys(questions[index].text for index in [*losing, *gaining])
        return DocumentChange(
            id=document.id,
            title=document.title,
            moved=share,
            lost=len(losing),
            gained=len(gaining),
            examples=[text for text in quoted if text][:SHOWN],
        )

    count = max(len(vectors), 1)
    return {
        "added": [change(after, new[name]) for name in added],
        "removed": [change(before, old[name]) for name in removed],
        "moved": [change(after, new[name], shares[name]) for name in moved],
        "edited": len(revised) - len(moved),
        "gone_share": _gone(before, after, threshold),
        "lost_share": sum(map(len, lost.values())) / count,
        "gained_share": sum(map(len, gained.values())) / count,
    }


def _usual_threshold(corpus: Corpus) -> float:
    """Return the similarity below which a passage and its document's other version do not say the same.

    It lies between the similarity of another document's nearest passage, the median of a sample, and 1.
    """
    if len(corpus.documents) < 2:
        return MOVED_MOST
    generator = np.random.default_rng(0)
    places = generator.permutation(len(corpus))[:SAMPLE]
    nearest = np.empty(len(places))
    for start in range(0, len(places), TILE):
        rows = places[start : start + TILE]
        products = corpus.vectors[rows] @ corpus.vectors.T
        products[corpus.owners[rows][:, None] == corpus.owners[None, :]] = -1
        nearest[start : start + TILE] = products.max(axis=1)
    usual = float(np.median(nearest))
    return min(usual + MOVED_TOWARDS * (1 - usual), MOVED_MOST)


def _moved(old: Array, new: Array, threshold: float) -> float:
    """Return the fraction of passages, of either version, that the other version does not have in meaning."""
    return float(max((_likeness(new, old) < threshold).mean(), (_likeness(old, new) < threshold).mean()))


def _gone(before: Corpus, after: Corpus, threshold: float) -> float:
    """Return the share of the earlier passages that no document says now."""
    if not len(before):
        return 0.0
    if not len(after):
        return 1.0
    unchanged = {(each.id, each.etag) for each in after.documents}
    gone = 0
    for place, document in enumerate(before.documents):
        if (document.id, document.etag) not in unchanged:
            gone += int((_likeness(before.of(place), after.vectors) < threshold).sum())
    return gone / len(before)


def _likeness(rows: Array, others: Array) -> Array:
    """Return how much of each row two of the others hold together, shape ``[n]``: the cosine to their span.

    Two, because an insertion shifts where passages begin: a passage may lie across two of the other version.
    """
    if len(others) == 1:
        return np.asarray((rows @ others.T)[:, 0])
    result = np.empty(len(rows))
    for start in range(0, len(rows), TILE):
        part = rows[start : start + TILE]
        products = part @ others.T
        nearest = np.argpartition(-products, 1, axis=1)[:, :2]
        taken = np.take_along_axis(products, nearest, axis=1)
        between = np.einsum("nd,nd->n", others[nearest[:, 0]], others[nearest[:, 1]])
        # Squared length of the projection on the span of two unit vectors with this cosine between them.
        squared = (taken**2).sum(axis=1) - 2 * between * taken.prod(axis=1)
        together = np.sqrt(np.maximum(squared, 0) / np.maximum(1 - between**2, 1e-6))
        # A repeated passage spans nothing more than one of the two.
        result[start : start + TILE] = np.where(between > 0.999, taken.max(axis=1), np.minimum(together, 1))
    return result


def _question_vectors(questions: Sequence[Example], corpus: Corpus) -> Array:
    """Return unit rows, shape ``[q, d]``; none when the questions' dimension is not the documents'."""
    dimension = corpus.vectors.shape[1]
    if not questions or any(len(each.vector) != dimension for each in questions):
        return np.zeros((0, dimension), np.float32)
    rows = np.array([each.vector for each in questions], np.float32)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1), 1e-12)[:, None])


def _nearest(corpus: Corpus, vectors: Array) -> tuple[Array, Array]:
    """Return each question's best similarity ``[q]`` and the place of that passage's document ``[q]``."""
    best, owner = np.full(len(vectors), -1.0), np.zeros(len(vectors), np.int64)
    for start in range(0, len(vectors) if len(corpus) else 0, TILE):
        products = vectors[start : start + TILE] @ corpus.vectors.T
        places = products.argmax(axis=1)
        best[start : start + TILE] = np.take_along_axis(products, places[:, None], axis=1)[:, 0]
        owner[start : start + TILE] = corpus.owners[places]
    return best, owner


def _coverage(
    before: Corpus, after: Corpus, vectors: Array, could_lose: set[str], could_gain: set[str]
) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Return the questions that documents lost and gained, by document.

    Only a document that is gone or moved can lose questions, and only a new or moved one can gain them. A question
    whose similarity wavers around the threshold counts as neither.
    """
    if len(vectors) < QUESTIONS_LEAST or not len(before):
        return {}, {}
    (then, then_of), (now, now_of) = _nearest(before, vectors), _nearest(after, vectors)
    covered = float(np.quantile(then, COVERED))
    lost: dict[str, list[int]] = {}
    gained: dict[str, list[int]] = {}
    for index in np.flatnonzero((then >= covered) & (now < covered) & (then - now >= WAVER)).tolist():
        if (name := before.documents[then_of[index]].id) in could_lose:
            lost.setdefault(name, []).append(index)
    for index in np.flatnonzero((then < covered) & (now >= covered) & (now - then >= WAVER)).tolist():
        if (name := after.documents[now_of[index]].id) in could_gain:
            gained.setdefault(name, []).append(index)
    return lost, gained


def _unreached(corpus: Corpus, vectors: Array) -> dict[str, object]:
    """Return the documents that are among the nearest of no question."""
    if len(vectors) < QUESTIONS_LEAST or len(corpus.documents) <= REACHED:
        return {}
    reached = np.zeros(len(corpus.documents), bool)
    starts = np.searchsorted(corpus.owners, np.arange(len(corpus.documents)))
    for start in range(0, len(vectors), TILE):
        products = vectors[start : start + TILE] @ corpus.vectors.T
        by_document = np.maximum.reduceat(products, starts, axis=1)
        reached[np.argpartition(-by_document, REACHED - 1, axis=1)[:, :REACHED]] = True
    missed: list[ManifestDocument] = [corpus.documents[place] for place in np.flatnonzero(~reached)]
    shown = [DocumentChange(id=each.id, title=each.title, moved=0.0) for each in missed[: 4 * SHOWN]]
    return {"unreached": shown, "unreached_count": len(missed)}
