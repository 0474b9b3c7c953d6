"""Delivery to Amazon Data Firehose, off the request path and at least once.

A record waits in memory until a batch is full or ``linger`` has passed. Records that the stream refuses are
sent again one by one; while the stream is unavailable, batches wait in the spool and are delivered oldest first
when it is back. Records are lost, and counted, only when neither memory nor spool has room, or when a task
stops whose disk goes with it. A SIGKILL loses what is in memory, uncounted: at most ``memory_limit`` records or
``memory_bytes``, and the one batch being sent.

No answer of the stream and no fault of the disk ends the thread that delivers: records then wait, and are sent
again.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fmops.capture.record import encode
from fmops.capture.spool import Spool
from fmops.interaction import Captured
from fmops.telemetry import attributes as names
from fmops.telemetry.metrics import instruments

BATCH_RECORDS = 500
BATCH_BYTES = 4 * 1024 * 1024
"""Maximum bytes of one PutRecordBatch call (quota)."""
STOP_SECONDS = 20.0
"""Seconds for the last deliveries, unless the caller gives another time."""
GONE = "they wait on a disk that goes with the task"
LOG_SECONDS = 60.0
"""Seconds between two log lines about the same kind of fault."""

_log = logging.getLogger(__name__)


class FirehoseSink:
    """Take records from any thread and deliver them from one of its own.

    ``linger`` and ``retry_after`` are seconds; ``attempts`` is the number of calls per batch before it goes to
    the spool. Records beyond ``memory_limit`` records or ``memory_bytes`` bytes go to the spool at once.
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
        self._batch: list[bytes] = []
        """Batch that is being sent."""
        self._hurried = 0
        self._closing = threading.Event()
        self._closed = False
        self._stop_at = float("inf")
        self._available_at = 0.0
        self._readable_at = 0.0
        self._moved_at = time.monotonic()
        """Time when records last left memory, or began to wait there."""
        self._logged_at: dict[str, float] = {}
        instruments().watch(self)
        self._worker = self._start()

    def put(self, record: Captured) -> None:
        """Take a record. Never waits for the network and never raises; a record that cannot be kept is counted
        as lost."""
        try:
            line = encode(record)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a record, its answer has been given
            self._lost(1, type(error).__name__)
            return
        with self._ready:
            if not self._worker.is_alive() and not self._closing.is_set():
                self._worker = self._start()
            if not self._queue and not self._batch:
                self._moved_at = time.monotonic()
            room = (
                len(self._queue) < self._memory_limit and self._queued_bytes + len(line) <= self._memory_bytes
            )
            if room and not self._closing.is_set():
                self._queue.append(line)
                self._queued_bytes += len(line)
                self._ready.notify()
                return
        self._keep([line])
        if self._closed and not self._spool.durable:
            self._lost(1, GONE)

    def waiting(self) -> dict[str, int]:
        """Return the number of undelivered records, by where they wait."""
        return {"memory": len(self._queue) + len(self._batch), "spool": self._spool.waiting()}

    def stalled(self) -> float:
        """Return for how many seconds records have waited in memory without any of them leaving it."""
        return time.monotonic() - self._moved_at if self._queue or self._batch else 0.0

    def close(self, timeout: float = STOP_SECONDS) -> None:
        """Deliver everything, including the spool, within ``timeout`` seconds.

        The rest stays on the disk; if the disk goes with the task, the rest is counted as lost.
        """
        self._stop_at = time.monotonic() + timeout
        self._closing.set()
        with self._ready:
            self._ready.notify_all()
        self._worker.join(timeout)
        with self._ready:
            rest = [*self._batch, *self._queue]
            self._queue.clear()
            self._queued_bytes = 0
        self._keep(rest)
        self._closed = True
        if self._goes_with_the_task() and (left := self._spool.waiting()):
            self._lost(left, GONE)
        if not self._worker.is_alive():
            self._spool.disown()

    def _goes_with_the_task(self) -> bool:
        """Return whether the spool's records are lost once this process has ended."""
        try:
            return not self._spool.durable and self._spool.own()
        except OSError:
            return True

    def flush(self, timeout: float = STOP_SECONDS) -> bool:
        """Send all waiting records at once, and wait until memory is empty; return whether it became so within
        ``timeout`` seconds."""
        with self._idle:
            self._hurried += 1
            self._ready.notify_all()
            try:
                return self._idle.wait_for(lambda: not self._queue and not self._batch, timeout)
            finally:
                self._hurried -= 1

    def _start(self) -> threading.Thread:
        worker = threading.Thread(target=self._run, name="capture", daemon=True)
        worker.start()
        return worker

    def _run(self) -> None:
        while True:
            try:
                if not self._step():
                    return
            except Exception as error:  # noqa: BLE001 - nothing may end this thread
                self._faulted("capture", error)
                self._pause(self._retry_after)

    def _step(self) -> bool:
        """Deliver a batch and what waits on the disk; return whether to continue."""
        batch = self._next_batch()
        try:
            if batch:
                self._deliver(batch)
        except BaseException:
            self._keep(batch)
            raise
        finally:
            with self._idle:
                self._batch = []
                self._idle.notify_all()
        last = self._closing.is_set() and not batch
        self._drain(last=last)
        return not last

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
            self._batch = batch
            return batch

    def _deliver(self, batch: list[bytes]) -> None:
        if self._may_send():
            batch = self._send(batch)
        if batch and not self._spooled(batch):
            self._put_back(batch)
        else:
            self._moved_at = time.monotonic()

    def _put_back(self, batch: list[bytes]) -> None:
        """Return a batch to memory, as far as its limits allow: with stream and disk unavailable, it is the
        last place."""
        if not self._closing.is_set():
            with self._ready:
                kept = 0
                room = self._memory_limit - len(self._queue)
                while kept < min(room, len(batch)) and (
                    self._queued_bytes + len(batch[kept]) <= self._memory_bytes
                ):
                    self._queued_bytes += len(batch[kept])
                    kept += 1
                self._queue.extendleft(reversed(batch[:kept]))
                self._batch = batch = batch[kept:]
            self._closing.wait(max(0.0, self._available_at - time.monotonic()))
        if batch:
            self._lost(len(batch), "neither memory nor the spool has room")

    def _send(self, batch: Sequence[bytes]) -> list[bytes]:
        """Send a batch; return the records still refused after the last attempt."""
        pending = list(batch)
        for attempt in range(self._attempts):
            if attempt:
                self._pause(random.uniform(0, self._backoff * 2**attempt))  # noqa: S311 - jitter
                _count("retried", len(pending))
            if time.monotonic() >= self._stop_at:
                break
            try:
                answer = self._client.put_record_batch(
                    DeliveryStreamName=self._delivery_stream, Records=[{"Data": line} for line in pending]
                )
                failed = _refused(pending, answer)
            except Exception as error:  # noqa: BLE001 - without a readable answer, nothing is known to be delivered
                self._faulted(f"delivery stream {self._delivery_stream}", error)
                continue
            _count("delivered", len(pending) - len(failed))
            if not failed:
                return []
            pending = failed
        retry_after = float("inf") if self._closing.is_set() else self._retry_after
        self._available_at = time.monotonic() + retry_after
        return pending

    def _may_send(self) -> bool:
        """Return whether to try the stream again; at a stop it is tried once more, since the disk may not
        last.
        """
        if self._closing.is_set():
            return self._available_at < float("inf") and time.monotonic() < self._stop_at
        return time.monotonic() >= self._available_at

    def _keep(self, lines: list[bytes]) -> None:
        for batch in _batches(lines):
            if not self._spooled(batch):
                self._lost(len(batch), "the spool has no room")

    def _spooled(self, batch: Sequence[bytes]) -> bool:
        try:
            self._spool.write(batch)
        except Exception as error:  # noqa: BLE001 - whatever the disk raises, the records must go elsewhere
            self._faulted("spool", error)
            return False
        _count("spooled", len(batch))
        return True

    def _drain(self, *, last: bool) -> None:
        """Deliver waiting segments, oldest first, until one is refused. A segment that cannot be read does not
        hold up the others."""
        try:
            if time.monotonic() < self._readable_at or not self._spool.own() or not self._may_send():
                return
            segments = self._spool.segments()
        except OSError as error:
            self._unreadable("spool", error)
            return
        for segment in segments:
            if not last and (self._closing.is_set() or len(self._queue) >= BATCH_RECORDS):
                return
            try:
                lines, broken = self._spool.read(segment)
                if lines and self._send(lines):
                    return
                if broken:
                    self._lost(len(broken), f"{segment.name}: not JSON lines; kept beside it as .corrupt")
                self._spool.remove(segment, broken)
            except OSError as error:
                self._unreadable(f"spool segment {segment.name}", error)

    def _unreadable(self, what: str, error: OSError) -> None:
        self._faulted(what, error)
        self._readable_at = time.monotonic() + self._retry_after

    def _pause(self, seconds: float) -> None:
        if self._closing.is_set():
            time.sleep(min(seconds, max(0.0, self._stop_at - time.monotonic())))
        else:
            self._closing.wait(seconds)

    def _faulted(self, what: str, error: Exception) -> None:
        """Count a fault, and log it unless its kind was logged in the last minute."""
        kind, now = type(error).__name__, time.monotonic()
        instruments().capture_faults.add(1, {names.ERROR_TYPE: kind})
        key = f"{what.partition(' ')[0]} {kind}"
        if now - self._logged_at.get(key, float("-inf")) >= LOG_SECONDS:
            self._logged_at[key] = now
            _log.error("%s: %s", what, kind)

    def _lost(self, lines: int, why: str) -> None:
        _log.error("lost %d captured records: %s", lines, why)
        _count("lost", lines)


def _refused(sent: Sequence[bytes], answer: Any) -> list[bytes]:
    """Return the records that the stream did not take. Raises ``ValueError`` if the answer does not fit what
    was sent."""
    results = answer.get("RequestResponses") if isinstance(answer, Mapping) else None
    if not isinstance(results, Sequence) or len(results) != len(sent):
        raise ValueError("not one result for each record")
    return [
        line
        for line, result in zip(sent, results, strict=True)
        if not isinstance(result, Mapping) or result.get("ErrorCode") or not result.get("RecordId")
    ]


def _batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield ``lines`` in order, in batches within the quotas of one call."""
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
