"""Traces read back from the log group of Transaction Search, as X-Ray's retrievals do it.

Sources: AWS X-Ray API reference, StartTraceRetrieval, ListRetrievedTraces and CancelTraceRetrieval. A retrieval is
scheduled, runs, and is complete a moment later; until then its list is empty.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.aws.kernel.api import Context, NotImplementedHere, Params, ServiceError, ServiceState, operation
from local.aws.kernel.cloud import Cloud
from local.aws.kernel.constraints import constrained
from local.aws.services.xray.documents import TRACE_ID, Segment, normalize
from local.aws.services.xray.segments import SERVICE, Traces, duration, timestamp

TRACES_PER_PAGE = 5
SPANS_PER_PAGE = 100
"""Maximum spans of a trace on one page; the others follow on the next ones."""
SCHEDULED_SECONDS, RUNNING_SECONDS = 0.03, 0.1
"""Seconds for which a retrieval is scheduled, and for which it then runs."""
TIMEOUT_SECONDS = 3_600
REFUSED, UNKNOWN = "InvalidRequestException", "ResourceNotFoundException"


@dataclass
class Retrieval:
    """One retrieval: what it looks for, and what it found once it has ended."""

    trace_ids: Sequence[str]
    start: float
    end: float
    began: float = field(default_factory=time.monotonic)
    cancelled: bool = False
    found: dict[str, list[Segment]] | None = None

    @property
    def status(self) -> str:
        age = time.monotonic() - self.began
        if self.cancelled:
            return "CANCELLED"
        if age > TIMEOUT_SECONDS:
            return "TIMEOUT"
        if age < SCHEDULED_SECONDS:
            return "SCHEDULED"
        return "RUNNING" if age < SCHEDULED_SECONDS + RUNNING_SECONDS else "COMPLETE"


class Retrievals(ServiceState):
    """Retrievals by their tokens."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.by_token: dict[str, Retrieval] = {}

    def get(self, token: str) -> Retrieval:
        if token not in self.by_token:
            raise ServiceError(UNKNOWN, "There is no retrieval with this token.")
        return self.by_token[token]


@constrained(SERVICE, "StartTraceRetrieval", error=REFUSED)
def start_trace_retrieval(params: Params, context: Context) -> Params:
    if context.state(Traces).destination != "CloudWatchLogs":
        raise ServiceError(REFUSED, "Transaction Search is not on: traces are read by BatchGetTraces.")
    trace_ids = [normalize(each) for each in params["TraceIds"]]
    if not trace_ids or not all(TRACE_ID.fullmatch(each) for each in trace_ids):
        raise ServiceError(REFUSED, "TraceIds holds ids such as 1-58406520-a006649127e371903a2de979.")
    start, end = timestamp(params["StartTime"]), timestamp(params["EndTime"])
    if start > end:
        raise ServiceError(REFUSED, "StartTime is not after EndTime.")
    token = secrets.token_urlsafe(24)
    context.state(Retrievals).by_token[token] = Retrieval(trace_ids, start, end)
    return {"RetrievalToken": token}


@constrained(SERVICE, "ListRetrievedTraces", error=REFUSED)
def list_retrieved_traces(params: Params, context: Context) -> Params:
    if params.get("TraceFormat") == "OTEL":
        raise NotImplementedHere("ListRetrievedTraces with the format OTEL: use XRAY")
    retrieval = context.state(Retrievals).get(params["RetrievalToken"])
    status = retrieval.status
    answer: Params = {"RetrievalStatus": status, "TraceFormat": "XRAY", "Traces": []}
    if status != "COMPLETE":
        return answer
    if retrieval.found is None:
        retrieval.found = _found(retrieval, context.state(Traces).logged())
    parts = [
        (trace_id, segments[at : at + SPANS_PER_PAGE])
        for trace_id, segments in retrieval.found.items()
        for at in range(0, len(segments), SPANS_PER_PAGE)
    ]
    first = _place(params.get("NextToken"), len(parts))
    page, following = parts[first : first + TRACES_PER_PAGE], first + TRACES_PER_PAGE
    answer["Traces"] = [_shown(trace_id, spans, retrieval.found[trace_id]) for trace_id, spans in page]
    if following < len(parts):
        answer["NextToken"] = str(following)
    return answer


@operation(SERVICE, "CancelTraceRetrieval")
def cancel_trace_retrieval(params: Params, context: Context) -> Params:
    context.state(Retrievals).get(params["RetrievalToken"]).cancelled = True
    return {}


def _found(retrieval: Retrieval, logged: Mapping[str, list[Segment]]) -> dict[str, list[Segment]]:
    """Return the spans of the wanted traces that began within the time range, both ends included."""
    found = {
        trace_id: [
            each
            for each in logged.get(trace_id, ())
            if retrieval.start <= each["start_time"] <= retrieval.end
        ]
        for trace_id in retrieval.trace_ids
    }
    return {trace_id: segments for trace_id, segments in found.items() if segments}


def _shown(trace_id: str, spans: Sequence[Segment], everything: list[Segment]) -> dict[str, Any]:
    return {
        "Id": trace_id,
        "Duration": duration(everything),
        "Spans": [{"Id": each["id"], "Document": json.dumps(each)} for each in spans],
    }


def _place(token: str | None, parts: int) -> int:
    if token is None:
        return 0
    if not token.isdigit() or int(token) >= parts:
        raise ServiceError(REFUSED, "NextToken is not one of this retrieval's.")
    return int(token)
