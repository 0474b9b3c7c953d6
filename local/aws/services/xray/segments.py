"""X-Ray: trace segments recorded and readable back, with the parts of the filter language that tours
and tests use."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local.aws.kernel.api import Context, NotImplementedHere, Params, ServiceError, ServiceState, operation
from local.aws.kernel.cloud import Cloud
from local.aws.services.xray.documents import MAX_ANNOTATIONS, RefusedError, Segment, normalize, parse

SERVICE = "xray"
MAX_SEGMENTS = 50
SERVICE_FILTER = re.compile(r'^service\("([^"]*)"\)$')
ANNOTATION_FILTER = re.compile(r'^annotation(?:\.|\[)([\w.]+)\]?\s*(=|!=)\s*(?:"([^"]*)"|([\w.+-]+))$')
FLAGS = ("fault", "error", "throttle", "ok")
INDEXING_RULE = "Default"
"""The name of the only indexing rule."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A segment as it is kept. Parsed segments would be millions of objects, and each garbage collection would look
    through them while nobody is answered."""

    id: str
    in_progress: bool
    document: str


class Documents(Mapping[str, list[Segment]]):
    """Traces by their ids, parsed when they are read."""

    def __init__(self, kept: Mapping[str, Sequence[Kept]]) -> None:
        self._kept = kept

    def __getitem__(self, trace_id: str) -> list[Segment]:
        return [json.loads(each.document) for each in self._kept[trace_id]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)


class Traces(ServiceState):
    """Segments by trace id, in order of arrival.

    With Transaction Search, that is with the destination ``CloudWatchLogs``, X-Ray's API finds only the traces
    that the indexing rule picks; the others are in CloudWatch Logs alone.
    """

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._segments: dict[str, tuple[Kept, ...]] = {}
        self.telemetry: list[Params] = []
        self.destination = "XRay"
        self.index_percent = 1.0
        self.index_changed = datetime.now(UTC)
        self._not_indexed: set[str] = set()
        self._logged: set[str] = set()
        self.lock = threading.Lock()

    def add(self, segments: Iterable[Segment]) -> None:
        """Add segments; a complete one replaces the one that was in progress."""
        with self.lock:
            for segment in segments:
                trace_id = segment["trace_id"]
                if trace_id not in self._segments and not self._indexes(trace_id):
                    self._not_indexed.add(trace_id)
                if self.destination == "CloudWatchLogs":
                    self._logged.add(trace_id)
                before = self._segments.get(trace_id, ())
                new = Kept(segment["id"], bool(segment.get("in_progress")), json.dumps(segment))
                self._segments[trace_id] = (
                    *(each for each in before if each.id != new.id or not each.in_progress),
                    new,
                )

    def snapshot(self) -> Documents:
        """Return everything that arrived, wherever AWS would store it."""
        with self.lock:
            return Documents(dict(self._segments))

    def readable(self) -> Documents:
        """Return the traces that X-Ray's API finds."""
        with self.lock:
            return Documents(
                {key: each for key, each in self._segments.items() if key not in self._not_indexed}
            )

    def logged(self) -> Documents:
        """Return the traces in the log group of Transaction Search."""
        with self.lock:
            return Documents({key: each for key, each in self._segments.items() if key in self._logged})

    def _indexes(self, trace_id: str) -> bool:
        if self.destination == "XRay":
            return True
        share = int.from_bytes(hashlib.sha256(trace_id.encode()).digest()[:8], "big") / 2**64
        return share * 100 < self.index_percent


@operation(SERVICE, "PutTraceSegments")
def put_trace_segments(params: Params, context: Context) -> Params:
    documents = params["TraceSegmentDocuments"]
    if len(documents) > MAX_SEGMENTS:
        raise ServiceError(
            "InvalidRequestException", f"At most {MAX_SEGMENTS} segments per call, not {len(documents)}"
        )
    segments, unprocessed = [], []
    for document in documents:
        try:
            segments += parse(document)
        except RefusedError as error:
            unprocessed.append({"Id": _id_of(document), "ErrorCode": error.code, "Message": str(error)})
    context.state(Traces).add(segments)
    return {"UnprocessedTraceSegments": unprocessed}


def _id_of(document: str) -> str | None:
    match = re.search(r'"id"\s*:\s*"([0-9a-f]+)"', document)
    return match[1] if match else None


@operation(SERVICE, "PutTelemetryRecords")
def put_telemetry_records(params: Params, context: Context) -> Params:
    context.state(Traces).telemetry.extend(params["TelemetryRecords"])
    return {}


@operation(SERVICE, "UpdateTraceSegmentDestination")
def update_trace_segment_destination(params: Params, context: Context) -> Params:
    """Turn Transaction Search on or off, for the account and region."""
    context.state(Traces).destination = params["Destination"]
    return {"Destination": params["Destination"], "Status": "ACTIVE"}


@operation(SERVICE, "GetTraceSegmentDestination")
def get_trace_segment_destination(_: Params, context: Context) -> Params:
    return {"Destination": context.state(Traces).destination, "Status": "ACTIVE"}


@operation(SERVICE, "UpdateIndexingRule")
def update_indexing_rule(params: Params, context: Context) -> Params:
    """Set the share of traces that X-Ray's API finds with Transaction Search."""
    if params["Name"] != INDEXING_RULE:
        raise ServiceError("ResourceNotFoundException", f"there is no indexing rule {params['Name']}")
    percent = params["Rule"]["Probabilistic"]["DesiredSamplingPercentage"]
    if not 0 <= percent <= 100:
        raise ServiceError("InvalidRequestException", "DesiredSamplingPercentage is between 0 and 100")
    traces = context.state(Traces)
    traces.index_percent, traces.index_changed = percent, datetime.now(UTC)
    return {"IndexingRule": _indexing_rule(traces)}


@operation(SERVICE, "GetIndexingRules")
def get_indexing_rules(_: Params, context: Context) -> Params:
    return {"IndexingRules": [_indexing_rule(context.state(Traces))]}


def _indexing_rule(traces: Traces) -> Params:
    percent = traces.index_percent
    return {
        "Name": INDEXING_RULE,
        "ModifiedAt": traces.index_changed,
        "Rule": {
            "Probabilistic": {"DesiredSamplingPercentage": percent, "ActualSamplingPercentage": percent}
        },
    }


@operation(SERVICE, "BatchGetTraces")
def batch_get_traces(params: Params, context: Context) -> Params:
    known = context.state(Traces).readable()
    wanted = {normalize(trace_id): trace_id for trace_id in params["TraceIds"]}
    return {
        "Traces": [
            {
                "Id": trace_id,
                "Duration": duration(segments),
                "LimitExceeded": False,
                "Segments": [{"Id": segment["id"], "Document": json.dumps(segment)} for segment in segments],
            }
            for trace_id in wanted
            if (segments := known.get(trace_id))
        ],
        "UnprocessedTraceIds": [given for trace_id, given in wanted.items() if trace_id not in known],
    }


@operation(SERVICE, "GetTraceSummaries")
def get_trace_summaries(params: Params, context: Context) -> Params:
    start, end = timestamp(params["StartTime"]), timestamp(params["EndTime"])
    conditions = [
        part.strip()
        for part in re.split(r"\s+AND\s+|\s*&&\s*", params.get("FilterExpression") or "")
        if part.strip()
    ]
    summaries = []
    traces = context.state(Traces).readable()
    for trace_id, segments in traces.items():
        began = min(segment["start_time"] for segment in segments)
        if start <= began <= end and all(_matches(condition, segments) for condition in conditions):
            summaries.append(_summary(trace_id, segments))
    return {
        "TraceSummaries": summaries,
        "TracesProcessedCount": len(traces),
        "ApproximateTime": datetime.now(UTC),
    }


def timestamp(value: datetime) -> float:
    return value.replace(tzinfo=UTC).timestamp()


def _matches(condition: str, segments: list[Segment]) -> bool:
    flat = [part for segment in segments for part in _flatten(segment)]
    if condition in FLAGS:
        return _flag(flat, condition)
    if match := SERVICE_FILTER.match(condition):
        return any(segment["name"] == match[1] for segment in segments)
    if match := ANNOTATION_FILTER.match(condition):
        values = [str(value) for key, value, _ in _indexed(flat) if key == match[1]]
        wanted = match[3] if match[3] is not None else match[4]
        is_there = any(value.lower() == wanted.lower() for value in values)
        return is_there if match[2] == "=" else bool(values) and not is_there
    raise NotImplementedHere(f"filter expression {condition!r}")


def _flatten(segment: Segment) -> list[Segment]:
    return [segment, *(part for child in segment.get("subsegments", []) for part in _flatten(child))]


def _indexed(flat: list[Segment]) -> list[tuple[str, Any, str]]:
    """Return the annotations of a trace that the service indexes, each with its segment's name."""
    found = [
        (key, value, part["name"]) for part in flat for key, value in part.get("annotations", {}).items()
    ]
    keys = set(list(dict.fromkeys(key for key, _, _ in found))[:MAX_ANNOTATIONS])
    return [each for each in found if each[0] in keys]


def _flag(flat: list[Segment], name: str) -> bool:
    if name == "ok":
        return not any(part.get(other) for part in flat for other in ("fault", "error", "throttle"))
    return any(part.get(name) for part in flat)


def duration(segments: list[Segment]) -> float:
    ends = [float(segment.get("end_time") or segment["start_time"]) for segment in segments]
    return float(max(ends) - min(segment["start_time"] for segment in segments))


def _summary(trace_id: str, segments: list[Segment]) -> Params:
    flat = [part for segment in segments for part in _flatten(segment)]
    root = next((segment for segment in segments if not segment.get("parent_id")), None)
    first = root or segments[0]
    http = first.get("http", {})
    annotations: dict[str, list[Params]] = {}
    for name, value, service in _indexed(flat):
        entry = {"AnnotationValue": _annotation(value), "ServiceIds": [{"Name": service}]}
        annotations.setdefault(name, []).append(entry)
    return {
        "Id": trace_id,
        "StartTime": datetime.fromtimestamp(first["start_time"], UTC),
        "Duration": duration(segments),
        "ResponseTime": duration([first]),
        # Fault and error come from the root; only a throttle counts wherever it is (API reference,
        # TraceSummary).
        "HasFault": bool(root and root.get("fault")),
        "HasError": bool(root and root.get("error")),
        "HasThrottle": _flag(flat, "throttle"),
        "IsPartial": any(segment.get("in_progress") for segment in segments),
        "Http": {
            "HttpURL": _text(http.get("request", {}).get("url")),
            "HttpMethod": _text(http.get("request", {}).get("method")),
            "HttpStatus": _number(http.get("response", {}).get("status")),
        },
        "Annotations": annotations,
        "ServiceIds": [{"Name": name} for name in dict.fromkeys(segment["name"] for segment in segments)],
        "EntryPoint": {"Name": first["name"]},
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and abs(value) < 2**31 else None


def _annotation(value: Any) -> Params:
    if isinstance(value, bool):
        return {"BooleanValue": value}
    return {"NumberValue": value} if isinstance(value, int | float) else {"StringValue": str(value)}
