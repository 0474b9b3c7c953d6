"""Rates: how often a person may do something, counted in this process."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

REMEMBERED = 10_000
"""Maximum number of people remembered; those whose last action is oldest are forgotten first."""


class RateLimitError(Exception):
    """A person did something too often and may do it again after ``seconds``."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many; again after {seconds} s")
        self.seconds = seconds


class Rate:
    """A limit per person and minute, as a bucket that fills evenly."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, person: str) -> None:
        """Count one action. Raises ``RateLimitError``. Call it only in the event loop's thread."""
        now = self._clock()
        left, at = self._buckets.pop(person, (float(self._most), now))
        left = min(self._most, left + (now - at) * self._most / 60)
        self._buckets[person] = (max(left - 1, left if left < 1 else 0), now)
        while len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        if left < 1:
            raise RateLimitError(math.ceil((1 - left) * 60 / self._most))
