"""The sequential test of shares over windows: fair, rarely wrong in a year of daily looks, and quick enough to
see a slow rise."""

from __future__ import annotations

import numpy as np
import pytest

from fmops.analysis.trend import EXPONENTS, KEPT, RISK, TRENDS, Trend, _bets, follow, needed

BASELINE, YEAR = 28, 365


def year(generator: np.random.Generator, *, rise: float = 0.0, start: int = 60) -> list[Trend]:
    """Return a share of 2 % that varies from day to day, counted in 500 queries; from ``start`` on it grows by
    ``rise`` a day."""
    days = np.arange(BASELINE + YEAR) - BASELINE
    shares = 0.02 * np.exp(0.2 * generator.standard_normal(len(days))) + rise * np.maximum(days - start, 0)
    counted = generator.binomial(500, np.minimum(shares, 1)) / 500
    trend, trends = None, []
    for share in counted[BASELINE:]:
        trend = follow(trend, counted[:BASELINE], float(share), hours=24)
        trends.append(trend)
    return trends


@pytest.mark.parametrize("count", [1, 2, 29, KEPT + 1])
def test_bets_are_fair(count: int) -> None:
    assert _bets(count).shape == (len(EXPONENTS), count)
    np.testing.assert_allclose(_bets(count).mean(axis=1), 1)


def test_a_year_without_a_change_rarely_alarms() -> None:
    generator = np.random.default_rng(1)
    years = [year(generator) for _ in range(60)]
    wrong = sum(any(trend.gathered >= trend.needed for trend in trends) for trends in years)
    assert wrong <= RISK / TRENDS * len(years) + 2


def test_a_slow_rise_is_found_within_weeks() -> None:
    generator = np.random.default_rng(2)
    firsts = [
        next(day for day, trend in enumerate(year(generator, rise=0.001)) if trend.rising) for _ in range(10)
    ]
    assert all(60 < first < 60 + 42 for first in firsts)


def test_a_rise_too_small_to_matter_is_no_alarm() -> None:
    trend = None
    for day in range(200):
        trend = follow(trend, [0.02] * BASELINE, 0.02 + 1e-6 * (day + 1), hours=24)
    assert trend is not None
    assert trend.gathered >= trend.needed and not trend.rising


def test_shares_that_stay_equal_are_no_evidence() -> None:
    trend = None
    for _ in range(100):
        trend = follow(trend, [0.0] * 3, 0.0, hours=24)
    assert trend is not None and trend.gathered < 5


def test_hourly_windows_need_more_evidence_for_the_same_risk() -> None:
    assert needed(1) == 24 * needed(24) == pytest.approx(365 * 24 * TRENDS / RISK)


def test_what_is_kept_is_bounded() -> None:
    trend = None
    for number in range(KEPT + 50):
        trend = follow(trend, [0.5], number / 1000, hours=24)
    assert trend is not None
    assert len(trend.history) == KEPT and trend.gathered <= 10 * trend.needed
