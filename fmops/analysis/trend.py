"""Whether a share rises over windows, asked anew after each of them.

A conformal test martingale in Shiryaev and Roberts' form (Vovk et al. 2021, "Retrain or not retrain: conformal test
martingales for change-point detection", arXiv 2102.10439). Without a change, windows are exchangeable: the rank of
the newest share among all so far is uniform and independent of the ranks before, whatever the shares' distribution.
A bet on high ranks is fair then, and `R_t = (1 + R_{t-1}) b_t` of fair bets `b_t` has the mean `t`. By Ville's
inequality, `R` reaches `N / risk` within `N` windows with a probability of at most `risk`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache

import numpy as np

from fmops.analysis.reference import Array

RISK = 0.05
"""Chance that any trend alarms within a year of windows, when nothing changes."""
TRENDS = 2
"""Shares that are followed; the risk is divided among them."""
EXPONENTS = (0.1, 0.3, 0.5, 0.7)
"""Of the bets `p^(e - 1)`: small ones see a jump, large ones a slow rise. The evidence is their mean."""
RECENT = 7
"""Windows whose mean is what a share is now."""
KEPT = 732
"""Shares that a new one is ranked among: two years of days."""
RATIO, POINTS = 1.25, 0.005
"""A rise that matters: by a quarter, and by half a point of all queries."""


@dataclass(frozen=True)
class Trend:
    """A share up to one window. ``history``: the shares since the baseline; ``evidence``: `R` of each bet."""

    share: float
    usual: float
    needed: float
    history: list[float] = field(default_factory=list)
    evidence: list[float] = field(default_factory=list)

    @property
    def gathered(self) -> float:
        return float(np.mean(self.evidence)) if self.evidence else 0.0

    @property
    def recent(self) -> float:
        """Mean share of the last few windows."""
        return float(np.mean(self.history[-RECENT:])) if self.history else self.share

    @property
    def rising(self) -> bool:
        """By enough evidence, and by enough to matter."""
        more = self.recent - self.usual
        return self.gathered >= self.needed and more >= POINTS and self.recent >= RATIO * self.usual


def needed(hours: int) -> float:
    """Evidence for an alarm, with windows of so many hours."""
    return timedelta(days=365) / timedelta(hours=hours) * TRENDS / RISK


def follow(before: Trend | None, baseline: Sequence[float] | Array, share: float, *, hours: int) -> Trend:
    """The trend after one more window. ``baseline``: the shares of its windows, among which those after it are
    ranked too."""
    known = [*(float(value) for value in baseline), *(before.history if before else [])][-KEPT:]
    bets = _bets(len(known) + 1)[:, sum(value >= share for value in known)]
    gathered = np.array(before.evidence) if before and before.evidence else np.zeros(len(EXPONENTS))
    threshold = needed(hours)
    # Bounded, so that an alarm is over some usual windows after the rise is.
    grown = np.minimum((1 + gathered) * bets, 10 * threshold)
    return Trend(
        share=share,
        usual=float(np.mean(baseline)) if len(baseline) else share,
        needed=threshold,
        history=[*(before.history if before else []), share][-KEPT:],
        evidence=[float(value) for value in grown],
    )


@lru_cache(maxsize=KEPT + 2)
def _bets(count: int) -> Array:
    """Shape ``[exponents, count]``: what a bet pays for each rank, the highest share first. Their mean is 1, so it
    is fair.

    Ties take the worst of their ranks, which pays less.
    """
    ranks = np.arange(1, count + 1) / count
    paid = np.array([ranks ** (exponent - 1) for exponent in EXPONENTS])
    return np.asarray(paid / paid.mean(axis=1, keepdims=True))
