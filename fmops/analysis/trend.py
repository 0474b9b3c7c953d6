"""A test of whether a share rises over windows, repeated after each of them.

It is a conformal test martingale in Shiryaev and Roberts' form (Vovk et al. 2021, "Retrain or not retrain:
conformal test martingales for change-point detection", arXiv 2102.10439). Without a change, windows are
exchangeable: the rank of the newest share among all so far is uniform and independent of the ranks before,
whatever the shares' distribution. A bet on high ranks is then fair, and `R_t = (1 + R_{t-1}) b_t` of fair bets
`b_t` has the mean `t`. By Ville's inequality, `R` reaches `N / risk` within `N` windows with a probability of
at most `risk`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache

import numpy as np

from fmops.analysis.reference import Array

RISK = 0.05
"""Probability that any trend raises an alarm within a year of windows when nothing changes."""
TRENDS = 2
"""Number of shares that are followed; the risk is divided among them."""
EXPONENTS = (0.1, 0.3, 0.5, 0.7)
"""Exponents of the bets `p^(e - 1)`: small ones see a jump, large ones a slow rise. The evidence is their
mean.
"""
RECENT = 7
"""Number of latest windows whose mean counts as the current share."""
KEPT = 732
"""Number of past shares that a new one is ranked among: two years of days."""
RATIO, POINTS = 1.25, 0.005
"""Smallest rise that matters: by a quarter, and by half a percentage point of all queries."""


@dataclass(frozen=True)
class Trend:
    """A share up to one window. ``history`` holds the shares since the baseline, ``evidence`` the `R` of
    each bet.
    """

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
        """Return the mean share of the last few windows."""
        return float(np.mean(self.history[-RECENT:])) if self.history else self.share

    @property
    def rising(self) -> bool:
        """Return whether the evidence suffices and the rise is large enough to matter."""
        more = self.recent - self.usual
        return self.gathered >= self.needed and more >= POINTS and self.recent >= RATIO * self.usual


def needed(hours: int) -> float:
    """Return the evidence needed for an alarm, with windows of ``hours`` hours."""
    return timedelta(days=365) / timedelta(hours=hours) * TRENDS / RISK


def follow(before: Trend | None, baseline: Sequence[float] | Array, share: float, *, hours: int) -> Trend:
    """Return the trend after one more window; later shares are ranked among those of the ``baseline``
    windows too.
    """
    known = [*(float(value) for value in baseline), *(before.history if before else [])][-KEPT:]
    bets = _bets(len(known) + 1)[:, sum(value >= share for value in known)]
    gathered = np.array(before.evidence) if before and before.evidence else np.zeros(len(EXPONENTS))
    threshold = needed(hours)
    # Bounded, so that an alarm ends some usual windows after the rise does.
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
    """Return the payoff of each bet for each rank, the highest share first, shape ``[exponents, count]``.

    Their mean is 1, so the bets are fair. Ties take the worst of their ranks, which pays less.
    """
    ranks = np.arange(1, count + 1) / count
    paid = np.array([ranks ** (exponent - 1) for exponent in EXPONENTS])
    return np.asarray(paid / paid.mean(axis=1, keepdims=True))
