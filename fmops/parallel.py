"""Concurrent reading ahead: many small waits at once, with results in order and in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from botocore.config import Config

WORKERS = 16
PATIENT = Config(max_pool_connections=WORKERS, retries={"total_max_attempts": 8, "mode": "standard"})
"""Client settings for long, unattended reads: with up to eight attempts, a run survives the failure of one call
in three."""
Item = TypeVar("Item")
Answer = TypeVar("Answer")


def in_order(
    function: Callable[[Item], Answer], items: Iterable[Item], *, workers: int = WORKERS
) -> Iterator[Answer]:
    """Yield ``function`` of each item, in the items' order, computed in ``workers`` threads.

    At most ``workers`` results are in progress or waiting to be taken. A caller that stops early must close the
    iterator.
    """
    coming = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Answer]] = deque(
            pool.submit(function, each) for each in islice(coming, workers)
        )
        try:
            while waiting:
                answer = waiting.popleft().result()
                waiting.extend(pool.submit(function, each) for each in islice(coming, 1))
                yield answer
        finally:
            for each in waiting:
                each.cancel()
