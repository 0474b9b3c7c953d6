"""Durations of health checks while a stage runs, measured outside the load generator, which is busy itself."""

from __future__ import annotations

import threading
import time
from types import TracebackType

import httpx

SECONDS = 0.1
"""Seconds between two checks."""
LONGEST = 30.0


class Probe:
    """Calls ``/healthz`` in a thread of its own while its context is open."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/healthz"
        self._over = threading.Event()
        self._taken: list[float] = []
        self._thread = threading.Thread(target=self._ask, name="probe")

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        with httpx.Client(timeout=LONGEST) as client:
            while not self._over.is_set():
                began = time.perf_counter()
                try:
                    healthy = client.get(self._url).is_success
                except httpx.HTTPError:
                    healthy = False
                self._taken.append(1000 * (time.perf_counter() - began) if healthy else float("inf"))
                self._over.wait(SECONDS)

    def milliseconds(self) -> dict[str, float]:
        """Return the median, the 99th percentile and the maximum; infinity stands for a check that failed."""
        taken = sorted(self._taken)
        return {"p50": taken[len(taken) // 2], "p99": taken[int(0.99 * (len(taken) - 1))], "max": taken[-1]}
