"""Waits for detectors' answers, in threads and in the event loop, each with a deadline."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from typing import Any

from fmops.guardrails.asking import Ask

Waiting = tuple[list[Future[Any]], float]
"""Futures, and how many seconds to wait for all of them."""


def until(ends_at: float, asks: Iterable[Ask]) -> Generator[Waiting, None, None]:
    """Yield waits until every question is answered, or its own time or the deadline is over."""
    waiting = list(asks)
    while waiting := [ask for ask in waiting if not ask.done]:
        now = time.perf_counter()
        waiting = [ask for ask in waiting if min(ask.expires, ends_at) > now]
        if not waiting:
            return
        seconds = min(min(ask.expires, ends_at) for ask in waiting) - now
        yield [future for ask in waiting for future in ask.futures if not future.done()], seconds


async def settled(futures: Iterable[Future[Any]], seconds: float) -> None:
    """Wait until all are done, or for this many seconds. Cancelling the wait leaves them running: others may
    have joined.

    The loop is woken once, by the last of them: waking it for each would cost more than the rest of a check.
    """
    loop = asyncio.get_running_loop()
    pending = list(futures)
    everything: asyncio.Future[None] = loop.create_future()
    left, lock = len(pending), threading.Lock()

    def finish() -> None:
        if not everything.done():
            everything.set_result(None)

    def one_done(_: Future[Any]) -> None:
        nonlocal left
        with lock:
            left -= 1
            last = left == 0
        if last:
            try:
                loop.call_soon_threadsafe(finish)
            except RuntimeError:  # the loop has closed, so no one waits
                pass

    for future in pending:
        future.add_done_callback(one_done)
    timer = loop.call_later(seconds, finish)
    try:
        await everything
    finally:
        timer.cancel()
