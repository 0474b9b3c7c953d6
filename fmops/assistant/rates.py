"""How often somebody may do something, counted in this process."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

REMEMBERED = 10_000
"""People, of whom those who came longest ago are forgotten first."""


class RateLimitError(Exception):
    """Somebody did something too often; they may again after ``seconds``."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many; again after {seconds} s")
        self.seconds = seconds


class Rate:
    """So many a minute for each person, as a bucket that fills evenly."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, person: str) -> None:
        """Count one. Raises ``RateLimitError``. For the event loop's thread alone."""
        now = self._clock()
        left, at = self._buckets.pop(person, (float(self._most), now))
        left = min(self._most, left + (now - at) * self._most / 60)
        self._buckets[person] = (max(left - 1, left if left < 1 else 0), now)
        while len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        if left < 1:
            raise RateLimitError(math.ceil((1 - left) * 60 / self._most))
