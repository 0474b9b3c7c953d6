"""Delivery to Amazon Data Firehose, off the request path and at least once.

A record waits in memory until a batch is full or ``linger`` has passed. What the stream refuses is sent again record
by record; while it is away, batches wait in the spool and are delivered oldest first when it is back. Lost is only what
finds neither memory nor spool, each counted, and what a SIGKILL catches in memory, which nobody can count: at most
``memory_limit`` records or ``memory_bytes``, and the one batch that is under way.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from fmops.capture.record import encode
from fmops.capture.spool import Spool, SpoolFullError
from fmops.interaction import Captured
from fmops.telemetry import attributes as names
from fmops.telemetry.metrics import instruments

BATCH_RECORDS = 500
BATCH_BYTES = 4 * 1024 * 1024
"""Quotas of one PutRecordBatch call."""

_log = logging.getLogger(__name__)


class FirehoseSink:
    """Takes records from any thread and delivers them from one of its own.

    ``linger`` and ``retry_after`` are seconds; ``attempts`` counts calls per batch before it goes to the spool. What
    ``memory_limit`` records or ``memory_bytes`` bytes leave no room for goes to the spool at once.
    """

    def __init__(
        self,
        client: Any,
        delivery_stream: str,
        spool: Spool,
        *,
        memory_limit: int = 10_000,
        memory_bytes: int = 64 * 1024 * 1024,
        linger: float = 0.5,
        attempts: int = 3,
        backoff: float = 0.1,
        retry_after: float = 5.0,
    ) -> None:
        self._client = client
        self._delivery_stream = delivery_stream
        self._spool = spool
        self._memory_limit = memory_limit
        self._memory_bytes = memory_bytes
        self._queued_bytes = 0
        self._linger = linger
        self._attempts = attempts
        self._backoff = backoff
        self._retry_after = retry_after
        self._queue: deque[bytes] = deque()
        lock = threading.Lock()
        self._ready = threading.Condition(lock)
        self._idle = threading.Condition(lock)
        self._in_flight = 0
        self._hurried = 0
        self._closing = threading.Event()
        self._available_at = 0.0
        instruments().watch(self)
        self._worker = threading.Thread(target=self._run, name="capture", daemon=True)
        self._worker.start()

    def put(self, record: Captured) -> None:
        """Take a record. Never waits for the network; never raises: what cannot be kept is counted as lost."""
        try:
            line = encode(record)
        except ValueError as error:
            self._lost(1, error)
            return
        with self._ready:
            room = (
                len(self._queue) < self._memory_limit and self._queued_bytes + len(line) <= self._memory_bytes
            )
            if room and not self._closing.is_set():
                self._queue.append(line)
                self._queued_bytes += len(line)
                self._ready.notify()
                return
        self._keep([line])

    def waiting(self) -> dict[str, int]:
        """Records that are not delivered yet, by where they wait."""
        return {"memory": len(self._queue) + self._in_flight, "spool": self._spool.waiting()}

    def close(self, timeout: float = 20.0) -> None:
        """Deliver or spool everything, within ``timeout`` seconds, of the 60 that ECS grants between SIGTERM and SIGKILL."""
        self._closing.set()
        with self._ready:
            self._ready.notify_all()
        self._worker.join(timeout)
        with self._ready:
            rest = list(self._queue)
            self._queue.clear()
            self._queued_bytes = 0
        if rest:
            self._keep(rest)

    def flush(self, timeout: float = 20.0) -> bool:
        """Send what waits at once, and wait until memory is empty; answers whether it became so within ``timeout`` seconds."""
        with self._idle:
            self._hurried += 1
            self._ready.notify_all()
            try:
                return self._idle.wait_for(lambda: not self._queue and not self._in_flight, timeout)
            finally:
                self._hurried -= 1

    def _run(self) -> None:
        while True:
            batch = self._next_batch()
            if batch:
                self._deliver(batch)
                with self._idle:
                    self._in_flight = 0
                    self._idle.notify_all()
            elif self._closing.is_set():
                return
            self._drain()

    def _next_batch(self) -> list[bytes]:
        with self._ready:
            self._ready.wait_for(lambda: self._queue or self._closing.is_set(), self._retry_after)
            if len(self._queue) < BATCH_RECORDS and not self._closing.is_set():
                self._ready.wait_for(
                    lambda: len(self._queue) >= BATCH_RECORDS or self._closing.is_set() or self._hurried > 0,
                    self._linger if self._queue else 0,
                )
            batch = next(_batches(self._queue), [])
            for line in batch:
                self._queue.popleft()
                self._queued_bytes -= len(line)
            self._in_flight = len(batch)
            return batch

    def _deliver(self, batch: list[bytes]) -> None:
        if time.monotonic() >= self._available_at:
            batch = self._send(batch)
            if batch:
                self._available_at = time.monotonic() + self._retry_after
        if batch and not self._spooled(batch):
            self._put_back(batch)

    def _put_back(self, batch: list[bytes]) -> None:
        """With the stream away and the disk refusing, memory is the last place; it is as bounded as ever."""
        if not self._closing.is_set():
            with self._ready:
                room = max(0, self._memory_limit - len(self._queue))
                kept, batch = batch[:room], batch[room:]
                self._queue.extendleft(reversed(kept))
                self._queued_bytes += sum(map(len, kept))
            self._closing.wait(max(0.0, self._available_at - time.monotonic()))
        if batch:
            self._lost(len(batch), SpoolFullError("neither memory nor the spool has room"))

    def _send(self, batch: Sequence[bytes]) -> list[bytes]:
        """Send a batch; answers what was still refused after the last attempt."""
        pending = list(batch)
        for attempt in range(self._attempts):
            if attempt:
                self._closing.wait(random.uniform(0, self._backoff * 2**attempt))  # noqa: S311 - jitter
                _count("retried", len(pending))
            try:
                answer = self._client.put_record_batch(
                    DeliveryStreamName=self._delivery_stream, Records=[{"Data": line} for line in pending]
                )
            except (BotoCoreError, ClientError) as error:
                _log.warning("delivery stream %s: %s", self._delivery_stream, type(error).__name__)
                continue
            failed = [
                line
                for line, result in zip(pending, answer["RequestResponses"], strict=True)
                if result.get("ErrorCode")
            ]
            _count("delivered", len(pending) - len(failed))
            if not failed:
                return []
            pending = failed
        return pending

    def _keep(self, lines: list[bytes]) -> None:
        for batch in _batches(lines):
            if not self._spooled(batch):
                self._lost(len(batch), SpoolFullError("the spool has no room"))

    def _spooled(self, batch: Sequence[bytes]) -> bool:
        try:
            self._spool.write(batch)
        except (SpoolFullError, OSError) as error:
            _log.error("spool: %s", error)
            return False
        _count("spooled", len(batch))
        return True

    def _drain(self) -> None:
        """Deliver waiting segments, oldest first, until one is refused."""
        if time.monotonic() < self._available_at:
            return
        for segment in self._spool.segments():
            if self._closing.is_set() or len(self._queue) >= BATCH_RECORDS:
                return
            try:
                lines, broken = self._spool.read(segment)
                if broken:
                    self._lost(
                        broken, ValueError(f"{segment.name}: not a JSON line; kept beside it as .corrupt")
                    )
                if lines and self._send(lines):
                    self._available_at = time.monotonic() + self._retry_after
                    return
                self._spool.remove(segment)
            except OSError as error:
                # A disk that fails must not end the thread that delivers what is in memory.
                _log.error("spool segment %s: %s", segment.name, type(error).__name__)
                self._available_at = time.monotonic() + self._retry_after
                return

    def _lost(self, lines: int, error: Exception) -> None:
        _log.error("lost %d captured records: %s", lines, error)
        _count("lost", lines)


def _batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """``lines`` in order, cut to the quotas of one call."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        if batch and (len(batch) == BATCH_RECORDS or size + len(line) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch


def _count(result: str, records: int) -> None:
    if records:
        instruments().capture_records.add(records, {names.CAPTURE_RESULT: result})
