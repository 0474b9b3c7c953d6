"""The hours of a day: how many requests arrive per second, given the day's requests and how high the peak is."""

from __future__ import annotations

import math

DAY = 86_400
PEAK_AT = 14 * 3600
"""Second of the day with the highest rate."""
HIGHEST_PEAK = 12.0
_CLOSE_ENOUGH = 1e-9


class Day:
    """A day of `requests` whose busiest moment is `peak_factor` times the mean.

    The rate follows a raised cosine to the power k: one smooth peak and a quiet night. k is chosen so that the mean of
    the curve is 1 / `peak_factor`; that mean is Γ(k + ½) / (√π Γ(k + 1)) (Wallis's integral).

    Raises ValueError for a peak factor outside 1 to 12.
    """

    def __init__(self, requests: float, peak_factor: float) -> None:
        if not 1 <= peak_factor <= HIGHEST_PEAK:
            raise ValueError(
                f"the peak factor is {peak_factor:g}, but must be between 1 and {HIGHEST_PEAK:g}"
            )
        self.requests = requests
        self.peak_factor = peak_factor
        self._power = _power(1 / peak_factor)

    @property
    def peak(self) -> float:
        """Highest rate of the day, in requests per second."""
        return self.requests / DAY * self.peak_factor

    def rate(self, second: float) -> float:
        """Return the requests per second at a second of the day."""
        height = (1 + math.cos(2 * math.pi * (second - PEAK_AT) / DAY)) / 2
        return self.peak * float(height**self._power)


def _power(mean: float) -> float:
    """Return the power of the raised cosine whose mean is `mean`, by bisection: the mean falls as the power grows."""
    if mean >= 1:
        return 0.0
    low, high = 0.0, 1.0
    while _mean(high) > mean:
        high *= 2
    while high - low > _CLOSE_ENOUGH * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _mean(middle) > mean else (low, middle)
    return high


def _mean(power: float) -> float:
    return math.exp(math.lgamma(power + 0.5) - math.lgamma(power + 1)) / math.sqrt(math.pi)
