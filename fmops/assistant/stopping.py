"""The stop: one deadline for everything that ends with the process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

STOP_SECONDS = 20.0
"""Seconds from SIGTERM to the process's end, of the 60 that ECS grants; less than most users wait for a page."""
ANSWERS_SECONDS = 10.0
"""Seconds of a stop for the answers in progress."""


class Stop:
    """A stop in three steps: answers may end by themselves, remaining answers end with an error, and records
    are delivered."""

    def __init__(self, seconds: float = STOP_SECONDS, answers: float = ANSWERS_SECONDS) -> None:
        self._seconds = seconds
        self.answers = answers
        self._ends_at: float | None = None
        self._end_answers: list[Callable[[], object]] = []

    def at_end_of_answers(self, end: Callable[[], object]) -> None:
        """Register ``end``, to be called when the answers in progress have had their time."""
        self._end_answers.append(end)

    def begin(self, *, or_else: Callable[[], None] | None = None) -> None:
        """Begin the stop, once; call ``or_else`` if the process still runs when it should have ended."""
        if self._ends_at is not None:
            return
        self._ends_at = time.monotonic() + self._seconds
        for end in self._end_answers:
            asyncio.get_running_loop().call_later(self.answers, end)
        if or_else is not None:
            last = threading.Timer(self._seconds, or_else)
            last.daemon = True
            last.start()

    def left(self) -> float:
        """Return how many seconds are left; before a stop has begun, the time that it leaves for records."""
        if self._ends_at is None:
            return self._seconds - self.answers
        return max(0.0, self._ends_at - time.monotonic())
