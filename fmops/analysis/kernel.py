"""From rows to a state, in one pass: the same code in every engine.

Rows are padded to multiples of 256 before they are multiplied, so that a row's products do not depend on its neighbours:
however the rows are split, counts and histograms come out the same, and sums differ in the last bits of float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fmops.analysis.hashing import Hashes, hash_strings, hash_words, mix
from fmops.analysis.reference import Array, Reference
from fmops.analysis.state import (
    BINS,
    BLOCKS,
    KEPT,
    NO_VECTOR,
    NOVELTY_RANGE,
    WITH_VECTORS,
    Example,
    State,
    empty,
    keep,
    least_distinct,
)

TILE = 2048
PAD = 256
TEXT = 300
"""Characters of an example's text."""
PENDING = 4096
"""Candidates for examples that are collected before the kept ones are chosen again."""


@dataclass
class Batch:
    """Rows of one embedding model: vectors ``[n, d]``, and of each its id, session, text and captured similarity.

    ``similarities``, shape ``[n]``, are of the most similar document, NaN where none was captured.
    """

    vectors: Array
    ids: Sequence[str]
    sessions: Sequence[str]
    texts: Sequence[str]
    similarities: Array

    def __len__(self) -> int:
        return len(self.vectors)


class Kernel:
    """Collects the state of the batches that are added."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.state = empty(reference)
        self._topics, self._components = reference.topics, reference.component_count
        axes = reference.components
        self._matrix = np.ascontiguousarray(
            np.hstack([-2 * reference.centroids.T, axes, reference.frequencies, reference.corpus.T]),
            np.float32,
        )
        self._centroid_squares = np.einsum("ij,ij->i", reference.centroids, reference.centroids)
        self._centre = (reference.mean @ axes).astype(np.float32)
        self._inverse_radii = (1 / reference.radii).astype(np.float32)
        self._thresholds = {kind: np.inf for kind in KEPT if kind != "topic"}
        self._topic_thresholds = np.full(self._topics, np.inf)
        self._pending: dict[str, list[Example]] = {kind: [] for kind in KEPT}
        self._moments = np.zeros((BLOCKS, self._components, self._components))
        self._rows = np.zeros((TILE, reference.dimension), np.float32)
        self._products = np.zeros((TILE, self._matrix.shape[1]), np.float32)

    def add(self, batch: Batch) -> None:
        """Measure the rows; those whose vector is not finite or zero are counted and left out."""
        self.state.checks["rows"] += len(batch)
        if not len(batch):
            return
        usable = self._usable(batch.vectors)
        hashes = hash_strings(batch.ids)
        blocks = (hash_strings(batch.sessions) >> np.uint64(32)) % np.uint64(BLOCKS)
        self.state.distinct = least_distinct(self.state.distinct, self._vector_hashes(batch.vectors[usable]))
        for start in range(0, len(usable), TILE):
            rows = usable[start : start + TILE]
            self._add_tile(batch, rows, hashes[rows], blocks[rows].astype(np.int64))

    def result(self) -> State:
        """The state of everything that was added."""
        first, second = np.triu_indices(self._components)
        self.state.moments = self._moments[:, first, second]
        for kind in KEPT:
            self._choose(kind)
        return self.state

    def _usable(self, vectors: Array) -> Array:
        sums = np.einsum("ij,ij->i", vectors, vectors)
        finite = np.isfinite(sums)
        zero = finite & (sums == 0)
        self.state.checks["not_finite"] += int((~finite).sum())
        self.state.checks["zero"] += int(zero.sum())
        return np.flatnonzero(finite & ~zero)

    def _vector_hashes(self, vectors: Array) -> Hashes:
        """Of the first values, which real embeddings do not share unless they are equal."""
        head = np.ascontiguousarray(vectors[:, :16], np.float32)
        if head.shape[1] % 2:
            head = np.ascontiguousarray(head[:, :-1])
        return hash_words(head.view(np.uint64)) if head.shape[1] else np.zeros(0, np.uint64)

    def _add_tile(self, batch: Batch, rows: Array, hashes: Hashes, blocks: Array) -> None:
        count = len(rows)
        padded = -(-count // PAD) * PAD
        x = self._rows[:padded]
        x[:count] = batch.vectors[rows]
        x[count:] = 0
        products = self._products[:padded]
        np.matmul(x, self._matrix, out=products)
        x, products = x[:count], products[:count]
        k, m = self._topics, self._components
        waves_end = k + m + self.reference.frequencies.shape[1]

        to_centroids = products[:, :k]
        to_centroids += self._centroid_squares
        topics = to_centroids.argmin(axis=1)
        lengths = np.einsum("ij,ij->i", x, x)
        squared = np.maximum(to_centroids[np.arange(count), topics] + lengths, 0)
        novelty = squared * self._inverse_radii[topics]
        similarity = (
            products[:, waves_end:].max(axis=1) / np.sqrt(lengths)
            if len(self.reference.corpus)
            else batch.similarities[rows]
        )
        whitened = products[:, k : k + m]
        whitened -= self._centre
        self._add_sums(x, whitened, products[:, k + m : waves_end], blocks)
        self._add_counts(blocks, topics, novelty, similarity)
        self._offer(batch, rows, hashes, topics, novelty, similarity)

    def _add_sums(self, x: Array, whitened: Array, angles: Array, blocks: Array) -> None:
        state, r = self.state, angles.shape[1]
        members = np.zeros((BLOCKS, len(x)), np.float32)
        members[blocks, np.arange(len(x))] = 1
        sizes = np.bincount(blocks, minlength=BLOCKS)
        state.rows += sizes
        state.vectors += members @ x
        state.waves[:, :r] += members @ np.cos(angles)
        state.waves[:, r:] += members @ np.sin(angles)
        together = whitened[np.argsort(blocks, kind="stable")]
        ends = np.cumsum(sizes)
        for block in np.flatnonzero(sizes):
            own = together[ends[block] - sizes[block] : ends[block]]
            self._moments[block] += own.T @ own

    def _add_counts(self, blocks: Array, topics: Array, novelty: Array, similarity: Array) -> None:
        state, k = self.state, self._topics
        state.topics += np.bincount(blocks * k + topics, minlength=BLOCKS * k).reshape(BLOCKS, k)
        bins = np.minimum(novelty * (BINS / NOVELTY_RANGE), BINS - 1).astype(np.int64)
        state.novelty += np.bincount(blocks * BINS + bins, minlength=BLOCKS * BINS).reshape(BLOCKS, BINS)
        known = np.isfinite(similarity)
        if known.all():
            values, of = similarity, blocks
        else:
            values, of = similarity[known], blocks[known]
        bins = np.clip((values + 1) * (BINS / 2), 0, BINS - 1).astype(np.int64)
        state.similarity += np.bincount(of * BINS + bins, minlength=BLOCKS * BINS).reshape(BLOCKS, BINS)
        state.checks["without_similarity"] += int((~known).sum())

    def _offer(
        self, batch: Batch, rows: Array, hashes: Hashes, topics: Array, novelty: Array, similarity: Array
    ) -> None:
        orders = hashes / 2.0**64
        novel = novelty > 1
        gap = np.isfinite(similarity) & (similarity < self.reference.gap_similarity)
        offers = {
            "all": (orders, orders < self._thresholds["all"]),
            "novel": (orders, novel & (orders < self._thresholds["novel"])),
            "gap": (orders, gap & (orders < self._thresholds["gap"])),
            "farthest": (-novelty, novel & (-novelty < self._thresholds["farthest"])),
            "topic": (orders, orders < self._topic_thresholds[topics]),
        }
        for kind, (order, offered) in offers.items():
            for row in np.flatnonzero(offered):
                self._pending[kind].append(
                    Example(
                        float(order[row]),
                        batch.ids[rows[row]],
                        batch.texts[rows[row]][:TEXT],
                        int(topics[row]),
                        float(novelty[row]),
                        float(similarity[row]),
                        batch.vectors[rows[row]].astype(np.float16) if kind in WITH_VECTORS else NO_VECTOR,
                    )
                )
            if len(self._pending[kind]) > PENDING or not self.state.examples[kind]:
                self._choose(kind)

    def _choose(self, kind: str) -> None:
        kept = keep(kind, [*self.state.examples[kind], *self._pending[kind]])
        self.state.examples[kind], self._pending[kind] = kept, []
        if kind != "topic":
            if len(kept) >= KEPT[kind]:
                self._thresholds[kind] = kept[-1].order
            return
        sizes = np.bincount([row.topic for row in kept], minlength=self._topics)
        for row in kept:  # least first within a topic: the last one of a full topic stays
            if sizes[row.topic] >= KEPT[kind]:
                self._topic_thresholds[row.topic] = row.order


def session_hash(sessions: Sequence[str]) -> Hashes:
    """Decides the half of a window that a session is in, independently of its block."""
    return mix(hash_strings(sessions) ^ np.uint64(0xD1B54A32D192ED03))
