"""The baseline: the reference, the state of usual rows, and how much usual windows differ from each other."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr, stdtr  # scipy.stats takes most of a second to import

from fmops.analysis.reference import Array, Reference
from fmops.analysis.state import State, merge
from fmops.analysis.statistics import MIN_WINDOWS, PARTS, Comparer, Comparison, Part, not_enough

SIGNED = ("novelty", "coverage")
"""Parts that may be negative. They are compared on a linear scale, the others on a logarithmic one (drift
study, trap 7)."""


@dataclass
class Baseline:
    """The reference, the usual state, and the variation between usual windows.

    ``spread`` holds the statistics of each window against all others, shape ``[w, 6]``; ``noise`` holds what
    chance alone would produce.
    """

    reference: Reference
    state: State
    window_ids: list[str]
    spread: Array  # [w, 6]
    noise: Array  # [w, 6]
    shares: Array  # [w, k], per topic
    rows: Array  # [w]
    # [w, 2], shares of novel rows and of rows that no document covers; NaN where no row has a similarity
    tails: Array

    def __post_init__(self) -> None:
        self.comparer = Comparer(self.reference, self.state)

    @property
    def version(self) -> str:
        return self.reference.version

    def compare(self, window: State) -> Comparison:
        """Compare a window with the variation between baseline windows, or between sessions if there are fewer
        than 14 windows."""
        if len(self.spread) < MIN_WINDOWS or not_enough(window):
            return self.comparer.compare(window)
        ours = self.comparer.features(window)
        usual = self.comparer.features(self.state)
        observed = self.comparer.statistics(ours.mean - usual.mean)
        noise = self.comparer.resample(ours, usual).mean(axis=0)
        values = self._p_values(observed, noise)
        # Sidak's correction for looking at six parts.
        adjusted = 1 - (1 - values) ** len(PARTS)
        parts = {
            name: Part(float(observed[index]), float(values[index]), float(adjusted[index]))
            for index, name in enumerate(PARTS)
        }
        return Comparison(float(adjusted.min()), parts, "windows")

    def _p_values(self, observed: Array, noise: Array) -> Array:
        """Return p-values from a t-distribution of how usual windows differ, each part relative to noise and
        usual variation together."""
        variation = np.maximum(self.spread - self.noise, 0).mean(axis=0)
        scale, own_scale = self.noise + variation + 1e-12, noise + variation + 1e-12
        signed = np.array([name in SIGNED for name in PARTS])
        usual = np.where(signed, self.spread / scale, np.log(np.maximum(self.spread / scale, 1e-6)))
        own = np.where(signed, observed / own_scale, np.log(np.maximum(observed / own_scale, 1e-6)))
        count = len(usual)
        deviation = np.maximum(usual.std(axis=0, ddof=1), 1e-9) * np.sqrt(1 + 1 / count)
        values: Array = _t_tail((own - usual.mean(axis=0)) / deviation, count - 1)
        # A part without data in the baseline (no similarities) says nothing.
        return np.where(self.spread.any(axis=0), values, 1.0)

    def topic_p_values(self, window: State) -> Array:
        """Return the two-sided p-value of each topic's share, shape ``[k]``."""
        own = _stable(window.shares)
        if len(self.shares) >= MIN_WINDOWS:
            usual = _stable(self.shares)
            count = len(usual)
            least = 1 / window.count + 1 / max(self.rows.mean(), 1)  # variance from counting alone
            deviation = np.sqrt(np.maximum(usual.var(axis=0, ddof=1), least) * (1 + 1 / count))
            return np.asarray(2 * _t_tail(np.abs(own - usual.mean(axis=0)) / deviation, count - 1))
        return self._pooled_p_values(window)

    def _pooled_p_values(self, window: State) -> Array:
        """Return p-values from the signed root of the deviance.

        It is exact enough for rare topics, where normal approximations raise false alarms (drift study, trap
        3).
        """
        counts, usual = window.topics.sum(axis=0), self.state.topics.sum(axis=0)
        n, m = window.count, self.state.count
        pooled = (counts + usual) / (n + m)
        deviance = 2 * (_entropy(counts, n * pooled, n) + _entropy(usual, m * pooled, m))
        where = self.comparer.slices["topics"]
        ours, others = self.comparer.features(window), self.comparer.features(self.state)
        variance = (ours.noise[:, where] ** 2).sum() + (others.noise[:, where] ** 2).sum()
        counted = (pooled * (1 - pooled) * (1 / n + 1 / m)).sum()
        effect = max(1.0, float(variance / counted))  # design effect: queries of one session are alike
        return np.asarray(2 * ndtr(-np.sqrt(np.maximum(deviance, 0) / effect)))

    def to_bytes(self) -> bytes:
        """Return the stored form: everything but the texts of the examples."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            reference=np.frombuffer(self.reference.to_bytes(), np.uint8),
            state=np.frombuffer(self.state.to_bytes(), np.uint8),
            window_ids=np.array(json.dumps(self.window_ids)),
            spread=self.spread,
            noise=self.noise,
            shares=self.shares,
            rows=self.rows,
            tails=self.tails,
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, texts: dict[str, str] | None = None) -> Baseline:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            return cls(
                reference=Reference.from_bytes(stored["reference"].tobytes()),
                state=State.from_bytes(stored["state"].tobytes(), texts),
                window_ids=json.loads(str(stored["window_ids"])),
                spread=stored["spread"],
                noise=stored["noise"],
                shares=stored["shares"],
                rows=stored["rows"],
                # Baselines of earlier versions have no tails: their trends begin with the first window after
                # them.
                tails=stored["tails"] if "tails" in stored else np.zeros((0, 2)),
            )


def build(reference: Reference, states: Sequence[tuple[str, State]]) -> Baseline:
    """Build the baseline from the states of usual windows, given with their ids.

    Windows with too few rows count in the state, but not in the spread.
    """
    everything = merge(state for _, state in states)
    enough = [(name, state) for name, state in states if not not_enough(state)]
    spread, noise = [], []
    if len(enough) >= MIN_WINDOWS:
        for name, state in enough:
            others = merge(other for other_name, other in states if other_name != name)
            comparer = Comparer(reference, others)
            ours, rest = comparer.features(state), comparer.features(others)
            spread.append(comparer.statistics(ours.mean - rest.mean))
            noise.append(comparer.resample(ours, rest).mean(axis=0))
    return Baseline(
        reference=reference,
        state=everything,
        window_ids=[name for name, _ in states],
        spread=np.array(spread).reshape(-1, len(PARTS)),
        noise=np.array(noise).reshape(-1, len(PARTS)),
        shares=np.array([state.shares for _, state in enough]).reshape(-1, reference.topics),
        rows=np.array([state.count for _, state in enough]),
        tails=np.array([tails(state, reference) for _, state in enough]).reshape(-1, 2),
    )


def tails(state: State, reference: Reference) -> tuple[float, float]:
    """Return the two shares that are followed over windows: rows far from every topic, and rows far from every
    document."""
    known = state.similarity.sum() > 0
    return state.novel_share, state.gap_share(reference.gap_similarity) if known else float("nan")


def false_discovery_rates(values: Any) -> Array:
    """Return Benjamini and Hochberg's q-values, shape ``[k]``."""
    p = np.asarray(values, float)
    order = np.argsort(p)[::-1]
    among = np.arange(len(p), 0, -1)
    rates = np.empty(len(p))
    rates[order] = np.minimum.accumulate(np.minimum(p[order] * len(p) / among, 1))
    return rates


def evidence(p_value: float) -> float:
    """Return the e-value of a p-value: the average over all power calibrators (Vovk and Wang 2021, section
    2).
    """
    p = min(max(p_value, 1e-12), 1 - 1e-9)
    logarithm = np.log(p)
    return float((1 - p + p * logarithm) / (p * logarithm**2))


def accumulate(before: float, p_value: float | None, *, most: float = np.inf) -> float:
    """Return the running evidence after one more window (e-CUSUM; Shin, Ramdas and Rinaldo 2024).

    Without drift, an alarm at ``1 / alpha`` comes after ``1 / alpha`` windows on average, however often one
    looks. ``most`` bounds the evidence, so that an alarm ends soon after the drift does.
    """
    return min(most, max(1.0, before) * evidence(p_value)) if p_value is not None else before


def _t_tail(values: Array, freedom: int) -> Array:
    """Return the probabilities that Student's t exceeds the values."""
    return np.asarray(stdtr(freedom, -values))


def _stable(shares: Array) -> Array:
    """Return the shares on a scale where counting has the same variance everywhere, ``1 / n``."""
    return np.asarray(2 * np.arcsin(np.sqrt(np.clip(shares, 0, 1))))


def _entropy(counts: Array, expected: Array, total: int) -> Array:
    inside = counts * np.log(np.maximum(counts, 1e-12) / np.maximum(expected, 1e-12))
    rest, rest_expected = total - counts, total - expected
    outside = rest * np.log(np.maximum(rest, 1e-12) / np.maximum(rest_expected, 1e-12))
    return np.asarray(inside + outside)
