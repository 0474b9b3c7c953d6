"""Turns in progress: their number, and their limits per task and per person."""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from fmops.conversation.failures import BUSY, AnswerFailedError, Failure
from fmops.telemetry import attributes as names
from fmops.telemetry.metrics import instruments

TURNS = 48
"""Maximum turns at once in one process, unless the deployment sets another limit."""
TURNS_PER_USER = 6
TURN_SECONDS = 90.0
"""Seconds that one turn may take: less than the 120 seconds that a load balancer waits for an answer."""

METRIC = "TurnsUnderWay"
SERVICE = "Service"
"""Dimension of the metric: it belongs to a service, whose tasks each report their own number."""
MINUTE = 60.0
ATTEMPTS_PER_SECOND = 25
"""Attempts per second that refused callers are spread over."""
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 20.0
"""Seconds after which a refused caller may try again, at least and at most."""
_FULL = "The assistant is at its limit of conversations at once: try again in {} seconds."
_ENOUGH = "You have {} answers in progress, the maximum at once: wait for one to finish, then try again."


class Turns:
    """Count turns, and refuse those above the limits at once. Call it only in the event loop's thread.

    Each refused caller is told a later moment to try again than the one before, so that no number of callers makes
    more than ``ATTEMPTS_PER_SECOND``.
    """

    def __init__(
        self,
        most: int = TURNS,
        per_user: int = TURNS_PER_USER,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._per_user = per_user
        self._clock = clock
        self._by_person: Counter[str] = Counter()
        self.under_way = 0
        self._counted_at = self._looked_at = clock()
        self._turn_seconds = 0.0
        self._next_attempt = 0.0
        instruments().watch_turns(self)

    def enter(self, person: str, *, refuse: bool = True) -> Callable[[], None]:
        """Count a turn; return the function that ends it, once. Raises ``AnswerFailedError`` above a limit if
        ``refuse`` is true."""
        if refuse and (failure := self.full() or self._enough(person)):
            raise AnswerFailedError(failure.message, failure)
        self._advance(1)
        self._by_person[person] += 1
        ended = False

        def leave() -> None:
            nonlocal ended
            if not ended:
                ended = True
                self._advance(-1)
                self._by_person[person] -= 1
                if not self._by_person[person]:
                    del self._by_person[person]

        return leave

    @contextmanager
    def entered(self, person: str, turns: int = 1) -> Iterator[None]:
        """Count several turns of a person while the block runs. Raises ``AnswerFailedError`` above a limit."""
        with ExitStack() as entered:
            for _ in range(turns):
                entered.callback(self.enter(person))
            yield

    def full(self) -> Failure | None:
        """Return the refusal that any new turn would get, and count it; None while there is room."""
        if self.under_way < self._most:
            return None
        instruments().turns_refused.add(1, {names.TURN_LIMIT: "task"})
        seconds = self._pause()
        message = _FULL.format(seconds)
        return Failure(503, "overloaded", message, retry_after=seconds, error_type="overloaded")

    def _pause(self) -> int:
        """Return the seconds after which the next refused caller may try again."""
        now = self._clock()
        after = self._next_attempt + 1 / ATTEMPTS_PER_SECOND
        self._next_attempt = min(max(now + SHORTEST_PAUSE, after), now + LONGEST_PAUSE)
        return math.ceil(self._next_attempt - now)

    def _enough(self, person: str) -> Failure | None:
        if self._by_person[person] < self._per_user:
            return None
        instruments().turns_refused.add(1, {names.TURN_LIMIT: "user"})
        message, code = _ENOUGH.format(self._per_user), "rate_limit_exceeded"
        return Failure(429, code, message, kind=BUSY, retry_after=1, error_type=code)

    def mean(self) -> float:
        """Return the average number of turns in progress since the last call."""
        self._advance(0)
        seconds = self._counted_at - self._looked_at
        mean = self._turn_seconds / seconds if seconds > 0 else float(self.under_way)
        self._turn_seconds, self._looked_at = 0.0, self._counted_at
        return mean

    def _advance(self, turns: int) -> None:
        now = self._clock()
        self._turn_seconds += self.under_way * (now - self._counted_at)
        self._counted_at = now
        self.under_way += turns


class EmbeddedMetric:
    """Print the turns in progress in CloudWatch's embedded metric format, from which the log group makes a
    metric.

    Autoscaling follows it: a task that waits for a slow model is full while its CPU is idle. It needs no call
    and no permission; OpenTelemetry's metrics go to Prometheus, where autoscaling does not look.
    """

    def __init__(self, namespace: str, service: str, turns: Turns) -> None:
        self._namespace = namespace
        self._service = service
        self._turns = turns

    def line(self) -> str:
        """Return a line with the mean since the last line."""
        metric = {"Name": METRIC, "Unit": "Count"}
        directive = {"Namespace": self._namespace, "Dimensions": [[SERVICE]], "Metrics": [metric]}
        return json.dumps(
            {
                "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]},
                SERVICE: self._service,
                METRIC: round(self._turns.mean(), 3),
            }
        )

    async def each_minute(self) -> None:
        """Print a line every minute."""
        while True:
            await asyncio.sleep(MINUTE)
            print(self.line(), file=sys.stdout, flush=True)  # noqa: T201 - the format is printed
