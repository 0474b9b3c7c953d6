"""The state of a window: of fixed size, whatever the window's size, and mergeable in any order."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from fmops.analysis.reference import Array, Reference

FORMAT = 2
BLOCKS = 32
"""Number of blocks that sessions are hashed into. The tests take the blocks, not the rows, to be
independent.
"""
BINS = 400
NOVELTY_RANGE = 2.0
"""Upper end of the histogram of squared distance over the topic's squared radius; farther rows are in the last
bin."""
DISTINCT = 1024
"""Number of least hashes kept, each with its count: a sample of the distinct values, exact up to this many of
them."""
KEPT = {"all": 512, "novel": 256, "farthest": 64, "gap": 128, "topic": 4}
"""Number of rows kept as examples, by kind.

They are the rows with the least hashes among all, among the novel, among the uncovered and of each topic, and
the farthest rows.
"""
WITH_VECTORS = ("all", "novel", "farthest", "gap")
"""Kinds of examples that keep their vectors, to be clustered or held against documents."""
_EARLIER_WITH_VECTORS = ("novel", "farthest", "gap")
"""The same, in states that do not say it."""


class StateError(ValueError):
    """States cannot be merged or read; the message says why."""


class Example(NamedTuple):
    """A row that was kept. ``order`` decides which rows stay: those with the least."""

    order: float
    interaction_id: str
    text: str
    topic: int
    novelty: float
    similarity: float
    vector: Array  # [d], float16; [0] for kinds without vectors
    trace: str = ""
    """Query of the assistant's page Why; empty when no trace was captured."""


@dataclass
class State:
    """Sums per block of sessions, shapes ``[BLOCKS, ...]``, and the single rows that are kept."""

    reference: str
    rows: Array  # [b]
    vectors: Array  # [b, d]
    moments: Array  # [b, m (m + 1) / 2], products of whitened components, upper triangle
    waves: Array  # [b, 2 r], cosines and sines
    topics: Array  # [b, k]
    novelty: Array  # [b, BINS]
    similarity: Array  # [b, BINS], over [-1, 1]; rows without a similarity are in no bin
    distinct: Array  # up to DISTINCT least hashes of vectors
    copies: Array  # how often each came
    ids: Array  # the same for interaction ids
    id_copies: Array
    checks: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    bad_objects: list[str] = field(default_factory=list)
    examples: dict[str, list[Example]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return int(self.rows.sum())

    @property
    def shares(self) -> Array:
        """Return the share of each topic, shape ``[k]``."""
        return np.asarray(self.topics.sum(axis=0) / max(self.count, 1))

    @property
    def novel_share(self) -> float:
        """Return the share of rows beyond their topic's radius."""
        return float(self.novelty[:, int(BINS / NOVELTY_RANGE) :].sum() / max(self.count, 1))

    def gap_share(self, similarity: float) -> float:
        """Return the share of rows less similar than this to every document, among those with a similarity; 0
        when there are none."""
        edge = similarity_bin(similarity)
        known = self.similarity.sum()
        return float(self.similarity[:, :edge].sum() / known) if known else 0.0

    @property
    def duplicate_share(self) -> float:
        """Return the share of rows whose vector repeats that of another row, to within about a percentage point
        when more than DISTINCT vectors differ."""
        return _repeated(self.copies)

    @property
    def repeated_share(self) -> float:
        """Return the share of rows whose interaction had been seen already, because it was delivered more than
        once."""
        return _repeated(self.id_copies)

    def to_bytes(self) -> bytes:
        """Return the stored form, without the examples' texts: those come from ``texts`` and live no longer
        than the interactions."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        rows = [(kind, row) for kind, kept in self.examples.items() for row in kept]
        meta = {
            "format": FORMAT,
            "reference": self.reference,
            "checks": dict(self.checks),
            "models": dict(self.models),
            "bad_objects": self.bad_objects,
            "with_vectors": WITH_VECTORS,
            "examples": [
                (kind, row.order, row.interaction_id, row.topic, row.novelty, row.similarity, row.trace)
                for kind, row in rows
            ],
        }
        held = [row.vector for kind, row in rows if kind in WITH_VECTORS]
        kept = np.array(held, np.float16).reshape(len(held), self.vectors.shape[1])
        buffer = io.BytesIO()
        np.savez_compressed(buffer, meta=np.array(json.dumps(meta)), kept=kept, **arrays)
        return buffer.getvalue()

    def texts(self) -> dict[str, str]:
        """Return the text of every example by interaction id."""
        return {row.interaction_id: row.text for kept in self.examples.values() for row in kept}

    @classmethod
    def from_bytes(cls, data: bytes, texts: dict[str, str] | None = None) -> State:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            meta = json.loads(str(stored["meta"]))
            if meta["format"] != FORMAT:
                raise StateError(
                    f"the state has format {meta['format']}, this version reads {FORMAT}: fit the "
                    "baseline again (make analyse FIT=1)"
                )
            arrays = {name: stored[name] for name in ARRAYS}
            kept = stored["kept"]
        examples: dict[str, list[Example]] = {kind: [] for kind in KEPT}
        vectors, with_vectors = iter(kept), meta.get("with_vectors", _EARLIER_WITH_VECTORS)
        # States of before have no traces.
        for kind, order, identifier, topic, novelty, similarity, *trace in meta["examples"]:
            vector = next(vectors) if kind in with_vectors else NO_VECTOR
            text = (texts or {}).get(identifier, "")
            examples[kind].append(
                Example(order, identifier, text, topic, novelty, similarity, vector, *trace)
            )
        return cls(
            reference=meta["reference"],
            checks=Counter(meta["checks"]),
            models=Counter(meta["models"]),
            bad_objects=meta["bad_objects"],
            examples=examples,
            **arrays,
        )


NO_VECTOR = np.zeros(0, np.float16)
ARRAYS = (
    "rows",
    "vectors",
    "moments",
    "waves",
    "topics",
    "novelty",
    "similarity",
    "distinct",
    "copies",
    "ids",
    "id_copies",
)


def empty(reference: Reference) -> State:
    """Return the state of no rows."""
    components = reference.component_count
    return State(
        reference=reference.version,
        rows=np.zeros(BLOCKS, np.int64),
        vectors=np.zeros((BLOCKS, reference.dimension)),
        moments=np.zeros((BLOCKS, components * (components + 1) // 2)),
        waves=np.zeros((BLOCKS, 2 * reference.frequencies.shape[1])),
        topics=np.zeros((BLOCKS, reference.topics), np.int64),
        novelty=np.zeros((BLOCKS, BINS), np.int64),
        similarity=np.zeros((BLOCKS, BINS), np.int64),
        distinct=np.zeros(0, np.uint64),
        copies=np.zeros(0, np.int64),
        ids=np.zeros(0, np.uint64),
        id_copies=np.zeros(0, np.int64),
        examples={kind: [] for kind in KEPT},
    )


def merge(states: Iterable[State]) -> State:
    """Return the state of all rows. Raises ``StateError`` when references differ, or when there are no
    states.
    """
    total: State | None = None
    for state in states:
        total = _add(total, state) if total is not None else _copy(state)
    if total is None:
        raise StateError("there is no state to merge")
    return total


def _add(left: State, right: State) -> State:
    if left.reference != right.reference:
        raise StateError(
            f"states of the baselines {left.reference} and {right.reference} are incomparable: analyse "
            "the window again"
        )
    for name in ("rows", "vectors", "moments", "waves", "topics", "novelty", "similarity"):
        getattr(left, name).__iadd__(getattr(right, name))
    left.distinct, left.copies = least(left.distinct, left.copies, right.distinct, right.copies)
    left.ids, left.id_copies = least(left.ids, left.id_copies, right.ids, right.id_copies)
    left.checks.update(right.checks)
    left.models.update(right.models)
    left.bad_objects = sorted({*left.bad_objects, *right.bad_objects})
    for kind in KEPT:
        left.examples[kind] = keep(kind, [*left.examples[kind], *right.examples[kind]])
    return left


def _copy(state: State) -> State:
    arrays = {name: getattr(state, name).copy() for name in ARRAYS}
    return State(
        reference=state.reference,
        checks=Counter(state.checks),
        models=Counter(state.models),
        bad_objects=list(state.bad_objects),
        examples={kind: list(state.examples.get(kind, [])) for kind in KEPT},
        **arrays,
    )


def keep(kind: str, rows: Sequence[Example]) -> list[Example]:
    """Return the rows that stay, those with the least order first; for ``topic``, as many for each topic."""
    kept: dict[int, list[Example]] = {}
    ids = set()
    for row in sorted(rows, key=attrgetter("order", "interaction_id")):
        group = kept.setdefault(row.topic if kind == "topic" else 0, [])
        if len(group) < KEPT[kind] and row.interaction_id not in ids:
            group.append(row)
            ids.add(row.interaction_id)
    return [row for topic in sorted(kept) for row in kept[topic]]


def least(hashes: Array, copies: Array, more: Array, more_copies: Array | None = None) -> tuple[Array, Array]:
    """Return the least hashes of both in order, and how often each came; ``hashes`` must be in order.

    Counts are exact: a hash that stays was never dropped, since fewer hashes than are kept were smaller.
    """
    if len(hashes) == DISTINCT:
        inside = more <= hashes[-1]
        more, more_copies = more[inside], more_copies[inside] if more_copies is not None else None
    if more_copies is None:
        # Counting is much faster than finding where each hash came, which only few need.
        more, more_copies = (each[:DISTINCT] for each in np.unique(more, return_counts=True))
    if not len(more):
        return hashes, copies
    values, where = np.unique(np.concatenate([hashes, more]), return_inverse=True)
    counts = np.bincount(where, np.concatenate([copies, more_copies]), len(values)).astype(np.int64)
    return values[:DISTINCT], counts[:DISTINCT]


def _repeated(copies: Array) -> float:
    return float(1 - len(copies) / copies.sum()) if len(copies) else 0.0


def similarity_bin(similarity: float) -> int:
    return int(np.clip((similarity + 1) * BINS / 2, 0, BINS - 1))
