"""The differences between two states, and whether they exceed chance or the usual differences between days.

Every part is a function of the difference of two mean vectors. Its distribution without drift is found from the
states alone: from sums of blocks of sessions, centred, with random signs (multiplier bootstrap; compare
Domingo-Enrich, Dwivedi and Mackey 2025, "Cheap permutation testing"), or from how baseline windows differ from
the other baseline windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fmops.analysis.reference import Array, Reference
from fmops.analysis.state import BINS, NOVELTY_RANGE, State, similarity_bin

PARTS = ("mean", "covariance", "mmd", "topics", "novelty", "coverage")
TAIL_PARTS = ("novelty", "coverage")
"""Parts that are shares of rows in a tail, of which only growth counts; the others are squared lengths."""
RESAMPLES = 1999
"""Number of resamples: the least p-value is 1 / 2000, small enough for six parts (drift study, trap 4)."""
TIE = 1e-9
"""Relative difference within which statistics are equal: shares in the tails are counts, which often are."""
MIN_ROWS = 100
MIN_BLOCKS = 12
"""Minimum blocks with sessions in them: fewer sessions than this say nothing about others."""
ALIKE = 1.1
"""Maximum ratio of rows at which two windows count as being of like size."""
MIN_WINDOWS = 14
"""Minimum baseline windows for comparing a window with the differences between them."""


@dataclass(frozen=True)
class Part:
    """One kind of difference: its size, and the probability of one as large without drift."""

    statistic: float
    p_value: float
    adjusted: float  # for the number of parts looked at


@dataclass(frozen=True)
class Comparison:
    """The result of a test. ``p_value`` is None when there is too little data, and ``reason`` says of what."""

    p_value: float | None
    parts: Mapping[str, Part]
    null: str  # "windows" or "sessions": the source of the estimate of chance
    reason: str = ""


@dataclass
class Features:
    """Means of a state in comparable coordinates: ``sums`` has shape ``[b, p]``, in the order of ``slices``."""

    rows: Array
    sums: Array

    @property
    def mean(self) -> Array:
        return np.asarray(self.sums.sum(axis=0) / max(self.rows.sum(), 1))

    @property
    def noise(self) -> Array:
        """Return the centred sums of blocks over the number of rows; with random signs, they sum to the mean's
        chance variation."""
        filled = max(int((self.rows > 0).sum()), 2)
        centred = self.sums - self.rows[:, None] * self.mean
        return np.asarray(centred * np.sqrt(filled / (filled - 1)) / max(self.rows.sum(), 1))


class Comparer:
    """Compare states with a baseline: the reference and the state of the usual rows."""

    def __init__(self, reference: Reference, baseline: State, *, seed: int = 0) -> None:
        self.reference, self.baseline = reference, baseline
        self._seed = seed
        self._scales = np.sqrt(reference.variances.astype(np.float64) + reference.ridge)
        self._novelty_bins = np.unique(
            np.minimum(reference.novelty_points * BINS / NOVELTY_RANGE, BINS - 1).astype(int)
        )
        self._similarity_bins = np.unique(
            [similarity_bin(float(point)) for point in reference.similarity_points]
        ).astype(int)
        sizes = {
            "mean": reference.dimension,
            "covariance": len(reference.moment_scales),
            "mmd": baseline.waves.shape[1],
            "topics": reference.topics,
            "novelty": len(self._novelty_bins),
            "coverage": len(self._similarity_bins),
        }
        ends = np.cumsum(list(sizes.values()))
        self.slices = {
            name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)
        }
        self._baseline = self.features(baseline)
        mean = self._baseline.mean
        self._scale = np.ones(len(mean))
        self._scale[self.slices["topics"]] = np.sqrt(reference.shares.astype(np.float64))
        for name in TAIL_PARTS:
            shares = mean[self.slices[name]]
            self._scale[self.slices[name]] = np.sqrt(np.maximum(shares * (1 - shares), 1e-6))

    def features(self, state: State) -> Features:
        """Return the state's block sums, shape ``[b, p]``: vectors along principal axes, products, waves,
        topics and tails."""
        centred = state.vectors - state.rows[:, None] * self.reference.mean.astype(np.float64)
        beyond = np.cumsum(state.novelty[:, ::-1], axis=1)[:, ::-1][:, self._novelty_bins]
        below = np.cumsum(state.similarity, axis=1)[:, self._similarity_bins]
        sums = np.hstack(
            [
                centred @ self.reference.rotation / self._scales,
                state.moments / self.reference.moment_scales,
                state.waves,
                state.topics,
                beyond,
                below,
            ]
        )
        return Features(state.rows.astype(np.float64), sums)

    def statistics(self, differences: Array) -> Array:
        """Return statistics in the order of ``PARTS``, shape ``[..., p]`` to ``[..., 6]``; in the tails, only
        growth counts."""
        scaled = differences / self._scale
        parts = {name: scaled[..., where] for name, where in self.slices.items()}
        values = [_largest(part) if name in TAIL_PARTS else _squared(part) for name, part in parts.items()]
        return np.stack(values, axis=-1)

    def _statistics_of(self, weights: Array, sums: Array) -> Array:
        """Return ``statistics(weights @ sums)``, shapes ``[n, b]`` and ``[b, p]`` to ``[n, 6]``.

        Squared lengths follow from the products of the blocks with each other, so that the thousands of
        differences are never written out.
        """
        scaled = sums / self._scale
        parts = {name: scaled[:, where] for name, where in self.slices.items()}
        values = [
            _largest(weights @ part)
            if name in TAIL_PARTS
            else np.einsum("nb,nb->n", weights @ (part @ part.T), weights)
            for name, part in parts.items()
        ]
        return np.stack(values, axis=-1)

    def compare(self, state: State, *, with_: State | None = None) -> Comparison:
        """Test two samples: would blocks of sessions differ as much if relabelled at random? It takes 5 ms for
        any number of rows."""
        if reason := not_enough(state) or not_enough(with_ or self.baseline):
            return Comparison(None, {}, "sessions", reason)
        ours = self.features(state)
        others = self.features(with_) if with_ is not None else self._baseline
        observed = self.statistics(ours.mean - others.mean)
        resampled = self.resample(ours, others)
        return _min_p(observed, resampled)

    def resample(self, ours: Features, others: Features) -> Array:
        """Return statistics without drift, shape ``[RESAMPLES, 6]``.

        Blocks of windows of like size are exchangeable, so labels are permuted, which is exact. Otherwise their
        centred sums get random signs.
        """
        generator = np.random.default_rng(self._seed)
        if 1 / ALIKE <= ours.rows.sum() / max(others.rows.sum(), 1) <= ALIKE:
            return self._statistics_of(*_permuted(generator, ours, others))
        signs = generator.choice([-1.0, 1.0], (RESAMPLES, len(ours.rows) + len(others.rows)))
        return self._statistics_of(signs, np.vstack([ours.noise, others.noise]))


def _permuted(generator: np.random.Generator, ours: Features, others: Features) -> tuple[Array, Array]:
    """Return weights ``[RESAMPLES, b]`` and centred sums ``[b, p]`` whose products are the differences between the
    means of blocks that were relabelled at random."""
    rows, sums = np.concatenate([ours.rows, others.rows]), np.vstack([ours.sums, others.sums])
    order = generator.permuted(np.tile(np.arange(len(rows)), (RESAMPLES, 1)), axis=1)
    first = (order < len(ours.rows)).astype(np.float64)
    counts, total = first @ rows, rows.sum()
    # Centred sums add up to nothing, so those of the other blocks are the negative of these.
    weights = first * (1 / np.maximum(counts, 1) + 1 / np.maximum(total - counts, 1))[:, None]
    return weights, sums - rows[:, None] * (sums.sum(axis=0) / total)


def _min_p(observed: Array, resampled: Array) -> Comparison:
    """Return the least p-value of the parts, against its distribution among the resamples (Westfall and Young
    1993)."""
    every = np.vstack([observed, resampled])
    total = len(every)
    # The share that is at least as large, per part. Ties count against a finding, also those of equal counts that
    # were added in another order.
    order, least_equal = np.sort(every, axis=0), every - TIE * np.abs(every)
    larger = np.stack(
        [
            total - np.searchsorted(order[:, part], least_equal[:, part], side="left")
            for part in range(every.shape[1])
        ],
        axis=1,
    )
    values = larger / total
    least = values.min(axis=1)
    p_value = float((least <= least[0]).mean())
    parts = {
        name: Part(float(observed[index]), float(values[0, index]), float((least <= values[0, index]).mean()))
        for index, name in enumerate(PARTS)
    }
    return Comparison(p_value, parts, "sessions")


def not_enough(state: State) -> str:
    """Return why nothing can be said of the state; empty when something can."""
    if state.count < MIN_ROWS:
        return f"{state.count} usable rows, of at least {MIN_ROWS}"
    filled = int((state.rows > 0).sum())
    if filled < MIN_BLOCKS:
        return f"too few sessions: they fill {filled} of {len(state.rows)} blocks, of at least {MIN_BLOCKS}"
    return ""


def _squared(values: Array) -> Array:
    return np.asarray(np.einsum("...i,...i->...", values, values))


def _largest(values: Array) -> Array:
    return values.max(axis=-1) if values.shape[-1] else np.zeros(values.shape[:-1])
