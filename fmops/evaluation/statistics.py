"""Paired comparison and agreement, with intervals. Resampling is seeded: the same scores give the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 9999
SEED = 20_261_125


@dataclass(frozen=True)
class Interval:
    """A value with its confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class Paired:
    """A metric of a candidate against production's on the same cases; positive differences are the candidate's gain."""

    cases: int
    production: float
    candidate: float
    difference: Interval
    better: int
    """Number of cases in which the candidate scores higher."""
    worse: int
    p_better: float
    """One-sided p-value of the hypothesis that the candidate is no better."""
    p_worse: float
    """One-sided p-value of the hypothesis that the candidate is no worse."""


def paired(production: Sequence[float], candidate: Sequence[float]) -> Paired:
    """Compare by a sign-flip permutation test (exact up to 13 cases that differ), with a BCa or percentile
    bootstrap interval."""
    if len(production) != len(candidate) or not production:
        raise ValueError(
            f"{len(production)} and {len(candidate)} scores cannot be paired: give one of each per case"
        )
    old, new = np.asarray(production, float), np.asarray(candidate, float)
    difference = new - old
    moved = difference[difference != 0]
    return Paired(
        cases=len(old),
        production=float(old.mean()),
        candidate=float(new.mean()),
        difference=interval(difference.tolist()),
        better=int((difference > 0).sum()),
        worse=int((difference < 0).sum()),
        p_better=_sign_flip(moved),
        p_worse=_sign_flip(-moved),
    )


def interval(values: Sequence[float]) -> Interval:
    """Return the mean with its bootstrap interval (percentiles, which exist even where all values are the
    same).
    """
    data = np.asarray(values, float)
    mean = float(data.mean())
    if np.ptp(data) == 0:
        return Interval(mean, mean, mean)
    # here: the import takes most of a second, and jobs use the rest of this module without it
    from scipy import stats

    found = stats.bootstrap(
        (data,),
        np.mean,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high))


def kappa(people: Sequence[bool], judge: Sequence[bool]) -> Interval | None:
    """Return Cohen's kappa with its bootstrap interval; ``None`` when one side always says the same, where it
    is undefined."""
    if len(set(people)) < 2 or len(set(judge)) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score

    pairs = np.array([people, judge], dtype=int)
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(0, pairs.shape[1], size=(RESAMPLES, pairs.shape[1]))
    first, second = pairs[0][drawn], pairs[1][drawn]
    agreed = (first == second).mean(axis=1)
    chance = first.mean(axis=1) * second.mean(axis=1) + (1 - first.mean(axis=1)) * (1 - second.mean(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = (agreed - chance) / (1 - chance)
    tail = 100 * (1 - CONFIDENCE) / 2
    # A sample in which both always say the same has no kappa; there they agree entirely.
    low, high = np.percentile(np.nan_to_num(resampled, nan=1.0), [tail, 100 - tail])
    return Interval(float(cohen_kappa_score(*pairs)), float(low), float(high))


def _sign_flip(moved: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Return the p-value of a mean this large if each difference were as likely to have the other sign."""
    if moved.size == 0:
        return 1.0
    if moved.size == 1:
        # the test needs two values; a case that did not change alters no p-value
        moved = np.append(moved, 0.0)
    from scipy import stats

    found = stats.permutation_test(
        (moved, np.zeros_like(moved)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        alternative="greater",
        rng=np.random.default_rng(SEED),
    )
    return float(found.pvalue)
