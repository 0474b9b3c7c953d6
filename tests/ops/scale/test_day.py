"""The curve of a day: its sum, its peak, and its ends."""

from __future__ import annotations

import pytest

from ops.scale.day import DAY, PEAK_AT, Day

STEP = 60


@pytest.mark.parametrize("peak_factor", [1, 1.2, 2, 2.5, 5, 12])
def test_a_day_has_its_requests_and_its_peak(peak_factor: float) -> None:
    """Integrate the curve: its parameter comes from a closed form of the integral, which this does not use."""
    day = Day(1_000_000, peak_factor)
    rates = [day.rate(second) for second in range(0, DAY, STEP)]
    assert sum(rates) * STEP == pytest.approx(1_000_000, rel=1e-4)
    assert max(rates) == pytest.approx(day.rate(PEAK_AT)) == pytest.approx(day.peak)
    assert day.peak == pytest.approx(peak_factor * 1_000_000 / DAY)


def test_an_even_day_has_no_peak() -> None:
    day = Day(86_400, 1)
    assert day.rate(0) == pytest.approx(1, rel=1e-6) == pytest.approx(day.rate(PEAK_AT))


@pytest.mark.parametrize("factor", [0.5, 0, -1, 13])
def test_an_impossible_peak_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="between 1 and 12"):
        Day(1000, factor)
