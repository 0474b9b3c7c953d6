"""Reading traces from X-Ray, whether Transaction Search is on in the account or not.

Without it, X-Ray keeps every trace, and ``BatchGetTraces`` returns it. With it, every span goes to CloudWatch Logs
and X-Ray indexes few traces, so ``BatchGetTraces`` misses most; ``StartTraceRetrieval`` and ``ListRetrievedTraces``
read the others from the logs (X-Ray API reference). Application Signals, by its managed policy, calls the same ones.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from fmops.traces.spans import Trace, trace_of

PER_CALL = 5
"""Maximum number of trace ids in one BatchGetTraces call."""
PER_RETRIEVAL = 100
"""Maximum number of trace ids in one retrieval."""
RETENTION = timedelta(days=30)
"""Time for which X-Ray keeps traces."""
DESTINATION_SECONDS = 300.0
"""Seconds for which the account's destination of spans is remembered."""
PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Seconds between questions about a retrieval; the last one repeats."""
UNDER_WAY = ("SCHEDULED", "RUNNING")
FAULTS = (BotoCoreError, ClientError, OSError, ValueError, KeyError, TypeError)
"""Exceptions that a call, or an unreadable answer, may raise."""


class TracesUnavailableError(Exception):
    """X-Ray did not answer, or not in time; the message names no more than the kind of the failure."""


@dataclass(frozen=True)
class Window:
    """The times between which a retrieval looks for spans, in UTC. Longer windows take longer."""

    start: datetime
    end: datetime

    @classmethod
    def around(cls, at: datetime, margin: timedelta = timedelta(hours=1)) -> Window:
        """Return the window around the time of a request; a time without a zone is in UTC."""
        now = datetime.now(UTC)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        # Held to the times that can matter first: others may be too far away to be added to.
        at = max(min(at, now), now - 2 * RETENTION).astimezone(UTC)
        return cls(at - margin, min(at + margin, now))

    @classmethod
    def last(cls, span: timedelta) -> Window:
        """Return the window that ends now."""
        now = datetime.now(UTC)
        return cls(now - min(span, RETENTION), now)

    @property
    def expired(self) -> bool:
        """Return whether X-Ray no longer keeps anything of this window."""
        return self.end < datetime.now(UTC) - RETENTION


class TraceReader:
    """Read traces by id. ``clock`` and ``sleep`` are for tests."""

    def __init__(
        self,
        client: Any,
        *,
        transaction_search: bool | None = None,
        seconds: float = 8.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Set up the reader.

        ``transaction_search`` says where the account keeps its spans; with None the reader asks, and finds both the
        traces of before and of after a change. ``seconds`` limit one reading, including its retrieval.
        """
        self._client = client
        self._searched = transaction_search
        self._seconds = seconds
        self._clock, self._sleep = clock, sleep
        self._destination: tuple[str, float] | None = None

    def read(self, trace_ids: Sequence[str], window: Window) -> dict[str, Trace]:
        """Return the traces that have arrived, by their W3C ids. Spans arrive in batches, so a recent trace may be
        missing, or still lack its request. Raises ``TracesUnavailableError``."""
        ends_at = self._clock() + self._seconds
        documents: dict[str, dict[str, str]] = {}
        try:
            if self._searched is not True:
                for ids in _batches(trace_ids, PER_CALL):
                    self._add(documents, self._indexed(ids), "Segments")
            missing = [each for each in trace_ids if each not in documents]
            if missing and self._searchable():
                for ids in _batches(missing, PER_RETRIEVAL):
                    self._add(documents, self._retrieved(ids, window, ends_at), "Spans")
            return {
                trace_id: trace_of(trace_id, [json.loads(each) for each in found.values()])
                for trace_id, found in documents.items()
            }
        except FAULTS as failure:
            raise TracesUnavailableError(_kind(failure)) from failure

    def _indexed(self, ids: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        pages = self._client.get_paginator("batch_get_traces").paginate(TraceIds=list(map(xray_id, ids)))
        for page in pages:
            yield from page["Traces"]

    def _searchable(self) -> bool:
        """Return whether the account's spans go to CloudWatch Logs."""
        if self._searched is not None:
            return self._searched
        if self._destination is None or self._clock() - self._destination[1] > DESTINATION_SECONDS:
            answer = self._client.get_trace_segment_destination()
            self._destination = (str(answer.get("Destination")), self._clock())
        return self._destination[0] == "CloudWatchLogs"

    def _retrieved(self, ids: Sequence[str], window: Window, ends_at: float) -> Iterator[Mapping[str, Any]]:
        """Yield the parts of traces that a retrieval found. botocore has no paginator for them."""
        token = self._client.start_trace_retrieval(
            TraceIds=list(map(xray_id, ids)), StartTime=window.start, EndTime=window.end
        )["RetrievalToken"]
        page = self._completed(token, ends_at)
        yield from page.get("Traces", ())
        while following := page.get("NextToken"):
            page = self._client.list_retrieved_traces(
                RetrievalToken=token, TraceFormat="XRAY", NextToken=following
            )
            yield from page.get("Traces", ())

    def _completed(self, token: str, ends_at: float) -> Mapping[str, Any]:
        """Return the first page of a retrieval once it is complete, and cancel it when time runs out."""
        pauses = iter(PAUSES)
        while True:
            page: Mapping[str, Any] = self._client.list_retrieved_traces(
                RetrievalToken=token, TraceFormat="XRAY"
            )
            status = page["RetrievalStatus"]
            if status == "COMPLETE":
                return page
            if status not in UNDER_WAY:
                raise TracesUnavailableError(f"the retrieval ended as {status}")
            pause = next(pauses, PAUSES[-1])
            if self._clock() + pause > ends_at:
                self._client.cancel_trace_retrieval(RetrievalToken=token)
                raise TracesUnavailableError("the retrieval took too long")
            self._sleep(pause)

    @staticmethod
    def _add(into: dict[str, dict[str, str]], parts: Iterator[Mapping[str, Any]], key: str) -> None:
        """Add the documents of traces by their ids: a large trace may be spread over pages."""
        for part in parts:
            documents = {each["Id"]: each["Document"] for each in part.get(key, ())}
            if documents:
                into.setdefault(w3c_id(part["Id"]), {}).update(documents)


def xray_id(trace_id: str) -> str:
    """Return a W3C trace id in X-Ray's form."""
    return f"1-{trace_id[:8]}-{trace_id[8:]}"


def w3c_id(trace_id: str) -> str:
    """Return X-Ray's trace id in the W3C form."""
    return trace_id.removeprefix("1-").replace("-", "")


def _batches(ids: Sequence[str], most: int) -> list[Sequence[str]]:
    return [ids[start : start + most] for start in range(0, len(ids), most)]


def _kind(failure: BaseException) -> str:
    """Return the service's error code, or else the exception's name; messages may quote the request."""
    if isinstance(failure, ClientError):
        return str(failure.response.get("Error", {}).get("Code") or "ClientError")
    return type(failure).__name__
