"""The kernel, which turns rows into a state in one pass: the same code in every engine.

Rows are padded to multiples of 256 before they are multiplied, so that a row's products do not depend on its
neighbours: however the rows are split, counts and histograms come out the same, and sums differ only in the
last bits of float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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
    least,
)

CHUNK = 8192
"""Number of rows that are sorted by block at a time."""
TILE = 1024
"""Number of rows multiplied at a time, few enough that their products are still in the cache when they are read."""
PAD = 256
HASHED = 8
"""Number of a vector's values that are hashed to tell it from others."""
TEXT = 300
"""Maximum characters of an example's text."""
PENDING = 1024
"""Number of candidate examples collected before the examples to keep are chosen again."""


@dataclass
class Batch:
    """Rows of one embedding model: vectors ``[n, d]``, and each row's id, session, text, captured similarity and
    trace.

    ``similarities``, shape ``[n]``, are those to the most similar document, NaN where none was captured. ``traces``
    are queries of the assistant's page Why, empty where no trace was captured.
    """

    vectors: Array
    ids: Sequence[str]
    sessions: Sequence[str]
    texts: Sequence[str]
    similarities: Array
    traces: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.vectors)


class Measured(NamedTuple):
    """Measurements of rows, shapes ``[n]``; ``rows`` are their numbers in the batch."""

    rows: Array
    topics: Array
    novelty: Array
    similarity: Array
    heads: Array  # [n, HASHED], first values of the vectors


class Kernel:
    """Collect the state of the batches that are added."""

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
        waves = reference.frequencies.shape[1]
        # Parts of the products that are read row by row, placed side by side: that is faster than to skip others.
        self._whitened = np.zeros((TILE, self._components), np.float32)
        self._angles = np.zeros((TILE, waves), np.float32)
        self._waves = np.zeros((2, TILE, waves), np.float32)
        self._sum = np.zeros(reference.dimension, np.float32)
        self._wave_sums = np.zeros((2, waves), np.float32)
        self._moment = np.zeros((self._components, self._components), np.float32)
        self._ones = np.ones(TILE, np.float32)

    def add(self, batch: Batch) -> None:
        """Measure the rows. Rows whose vector is zero or not finite are counted and left out."""
        self.state.checks["rows"] += len(batch)
        if not len(batch):
            return
        vectors = np.asarray(batch.vectors, np.float32)
        hashes = hash_strings(batch.ids)
        blocks = ((hash_strings(batch.sessions) >> np.uint64(32)) % np.uint64(BLOCKS)).astype(np.uint8)
        tiles = [self._add_tile(vectors, rows, blocks[rows]) for rows in _by_block(blocks)]
        measured = Measured(*map(np.concatenate, zip(*tiles, strict=True)))
        rows = measured.rows
        if not len(rows):
            return
        if not len(self.reference.corpus):
            measured = measured._replace(similarity=batch.similarities[rows])
        state = self.state
        self._add_counts(blocks[rows].astype(np.int64), measured)
        self._offer(batch, hashes[rows], measured)
        state.distinct, state.copies = least(state.distinct, state.copies, _vector_hashes(measured.heads))
        state.ids, state.id_copies = least(state.ids, state.id_copies, hashes[rows])

    def result(self) -> State:
        """Return the state of everything that was added."""
        first, second = np.triu_indices(self._components)
        self.state.moments = self._moments[:, first, second]
        for kind in KEPT:
            if self._pending[kind]:
                self._choose(kind)
        return self.state

    def _take(self, vectors: Array, rows: Array, blocks: Array) -> tuple[Array, Array, Array]:
        """Place the vectors that can be measured side by side; return their row numbers, their squared lengths
        and their blocks.
        """
        x = self._rows[: len(rows)]
        np.take(vectors, rows, axis=0, out=x, mode="clip")
        squares = np.einsum("ij,ij->i", x, x)
        finite = np.isfinite(squares)
        usable = finite & (squares > 0)
        if usable.all():
            return rows, squares, blocks
        self.state.checks["not_finite"] += int((~finite).sum())
        self.state.checks["zero"] += int((finite & ~usable).sum())
        kept = int(usable.sum())
        x[:kept] = x[usable]
        return rows[usable], squares[usable], blocks[usable]

    def _add_tile(self, vectors: Array, rows: Array, blocks: Array) -> Measured:
        """Add rows to the sums, sorted by block, and return what the counts need."""
        rows, squares, blocks = self._take(vectors, rows, blocks)
        count = len(rows)
        padded = -(-count // PAD) * PAD
        x = self._rows[:padded]
        x[count:] = 0
        products = self._products[:padded]
        np.matmul(x, self._matrix, out=products)
        x, products = x[:count], products[:count]
        k, m = self._topics, self._components
        waves_end = k + m + self.reference.frequencies.shape[1]

        to_centroids = products[:, :k]
        to_centroids += self._centroid_squares
        topics = to_centroids.argmin(axis=1)
        squared = np.maximum(to_centroids[np.arange(count), topics] + squares, 0)
        whitened, angles = self._whitened[:count], self._angles[:count]
        np.subtract(products[:, k : k + m], self._centre, out=whitened)
        np.copyto(angles, products[:, k + m : waves_end])
        self._add_sums(x, whitened, angles, blocks)
        similarity = (
            products[:, waves_end:].max(axis=1) / np.sqrt(squares) if len(self.reference.corpus) else squares
        )
        return Measured(rows, topics, squared * self._inverse_radii[topics], similarity, x[:, :HASHED].copy())

    def _add_sums(self, x: Array, whitened: Array, angles: Array, blocks: Array) -> None:
        state, waves = self.state, self._waves[:, : len(x)]
        np.cos(angles, out=waves[0])
        np.sin(angles, out=waves[1])
        sizes, end = np.bincount(blocks, minlength=BLOCKS), 0
        state.rows += sizes
        for block, size in enumerate(sizes.tolist()):
            if not size:
                continue
            start, end = end, end + size
            ones, own = self._ones[:size], whitened[start:end]
            state.vectors[block] += np.dot(ones, x[start:end], out=self._sum)
            for wave, sums in zip(waves, self._wave_sums, strict=True):
                np.dot(ones, wave[start:end], out=sums)
            state.waves[block] += self._wave_sums.ravel()
            self._moments[block] += np.dot(own.T, own, out=self._moment)

    def _add_counts(self, blocks: Array, measured: Measured) -> None:
        state, k, similarity = self.state, self._topics, measured.similarity
        state.topics += np.bincount(blocks * k + measured.topics, minlength=BLOCKS * k).reshape(BLOCKS, k)
        bins = np.minimum(measured.novelty * (BINS / NOVELTY_RANGE), BINS - 1).astype(np.int64)
        state.novelty += np.bincount(blocks * BINS + bins, minlength=BLOCKS * BINS).reshape(BLOCKS, BINS)
        known = np.isfinite(similarity)
        if known.all():
            values, of = similarity, blocks
        else:
            values, of = similarity[known], blocks[known]
        bins = np.clip((values + 1) * (BINS / 2), 0, BINS - 1).astype(np.int64)
        state.similarity += np.bincount(of * BINS + bins, minlength=BLOCKS * BINS).reshape(BLOCKS, BINS)
        state.checks["without_similarity"] += int((~known).sum())

    def _offer(self, batch: Batch, hashes: Hashes, measured: Measured) -> None:
        rows, topics, novelty, similarity, _ = measured
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
            chosen = _least(order, topics, np.flatnonzero(offered), KEPT[kind], by_topic=kind == "topic")
            lines = rows[chosen].tolist()
            values = (each[chosen].tolist() for each in (order, topics, novelty, similarity))
            vectors = (
                batch.vectors[lines].astype(np.float16) if kind in WITH_VECTORS else [NO_VECTOR] * len(lines)
            )
            self._pending[kind] += [
                Example(
                    order_of,
                    batch.ids[row],
                    batch.texts[row][:TEXT],
                    topic,
                    novel_by,
                    similar,
                    vector,
                    batch.traces[row] if batch.traces else "",
                )
                for row, vector, order_of, topic, novel_by, similar in zip(
                    lines, vectors, *values, strict=True
                )
            ]
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
        for row in kept:  # sorted within a topic: the last row of a full topic sets its threshold
            if sizes[row.topic] >= KEPT[kind]:
                self._topic_thresholds[row.topic] = row.order


def _by_block(blocks: Array) -> Iterator[Array]:
    """Yield row numbers, at most ``TILE`` at a time, those of a block side by side, so that each block is summed
    in place.
    """
    for start in range(0, len(blocks), CHUNK):
        rows = start + np.argsort(blocks[start : start + CHUNK], kind="stable")
        yield from (rows[first : first + TILE] for first in range(0, len(rows), TILE))


def _least(order: Array, topics: Array, chosen: Array, count: int, *, by_topic: bool) -> Array:
    """Return the chosen rows that can stay: the ``count`` with the least order, and more where orders are
    equal.
    """
    if by_topic:
        chosen = chosen[np.argsort(order[chosen])]
        # Small integers are sorted by radix, many times as fast.
        chosen = chosen[np.argsort(topics[chosen].astype(np.uint16), kind="stable")]
        # Equal orders are those of one interaction that came again.
        chosen = chosen[np.diff(order[chosen], prepend=-1.0) != 0]
        of = topics[chosen]
        first = np.searchsorted(of, of, side="left")
        return np.asarray(chosen[np.arange(len(of)) - first < count])
    if len(chosen) <= count:
        return chosen
    most = np.partition(order[chosen], count - 1)[count - 1]
    return np.asarray(chosen[order[chosen] <= most])


def _vector_hashes(heads: Array) -> Hashes:
    """Return hashes of the first values, which real embeddings share only if they are equal."""
    width = heads.shape[1] // 2 * 2
    if not width:
        return np.zeros(0, np.uint64)
    return hash_words(np.ascontiguousarray(heads[:, :width]).view(np.uint64))


def session_hash(sessions: Sequence[str]) -> Hashes:
    """Return hashes that decide which half of a window a session is in, independently of its block."""
    return mix(hash_strings(sessions) ^ np.uint64(0xD1B54A32D192ED03))
