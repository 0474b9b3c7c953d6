"""X-Ray: trace segments recorded and readable back, with the parts of the filter language that tours and tests use."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from local.aws.kernel.api import Context, NotImplementedHere, Params, ServiceError, ServiceState, operation
from local.aws.kernel.cloud import Cloud

SERVICE = "xray"
MAX_SEGMENT_BYTES = 64 * 1024
MAX_SEGMENTS = 50
TRACE_ID = re.compile(r"^1-[0-9a-f]{8}-[0-9a-f]{24}$")
W3C_TRACE_ID = re.compile(r"^[0-9a-f]{32}$")
SERVICE_FILTER = re.compile(r'^service\("([^"]*)"\)$')
ANNOTATION_FILTER = re.compile(r'^annotation(?:\.|\[)([\w.]+)\]?\s*(=|!=)\s*(?:"([^"]*)"|([\w.+-]+))$')
FLAGS = ("fault", "error", "throttle", "ok")

Segment = dict[str, Any]


class Traces(ServiceState):
    """Segments by trace id, in order of arrival; and where spans are kept: ``XRay``, or ``CloudWatchLogs`` by Transaction Search."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.segments: dict[str, list[Segment]] = {}
        self.telemetry: list[Params] = []
        self.destination = "XRay"
        self.lock = threading.Lock()

    def add(self, segments: Iterable[Segment]) -> None:
        with self.lock:
            for segment in segments:
                self.segments.setdefault(segment["trace_id"], []).append(segment)

    def snapshot(self) -> dict[str, list[Segment]]:
        with self.lock:
            return {trace_id: list(segments) for trace_id, segments in self.segments.items()}


def normalize(trace_id: str) -> str:
    """The service takes its own form and the W3C form of a trace id."""
    return f"1-{trace_id[:8]}-{trace_id[8:]}" if W3C_TRACE_ID.match(trace_id) else trace_id


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
            segments.append(_parse(document))
        except ValueError as error:
            unprocessed.append(
                {"Id": _id_of(document), "ErrorCode": str(error.args[0]), "Message": str(error.args[-1])}
            )
    context.state(Traces).add(segments)
    return {"UnprocessedTraceSegments": unprocessed}


def _parse(document: str) -> Segment:
    if len(document.encode()) > MAX_SEGMENT_BYTES:
        raise ValueError("SegmentTooLarge", f"the document is larger than {MAX_SEGMENT_BYTES} bytes")
    try:
        segment: Segment = json.loads(document)
    except json.JSONDecodeError as error:
        raise ValueError("ParseError", str(error)) from error
    missing = [name for name in ("id", "trace_id", "name", "start_time") if name not in segment]
    if missing:
        raise ValueError("MissingField", f"missing {', '.join(missing)}")
    segment["trace_id"] = normalize(segment["trace_id"])
    if not TRACE_ID.match(segment["trace_id"]):
        raise ValueError("InvalidTraceId", segment["trace_id"])
    return segment


def _id_of(document: str) -> str | None:
    match = re.search(r'"id"\s*:\s*"([0-9a-f]+)"', document)
    return match[1] if match else None


@operation(SERVICE, "PutTelemetryRecords")
def put_telemetry_records(params: Params, context: Context) -> Params:
    context.state(Traces).telemetry.extend(params["TelemetryRecords"])
    return {}


@operation(SERVICE, "UpdateTraceSegmentDestination")
def update_trace_segment_destination(params: Params, context: Context) -> Params:
    """Turns Transaction Search on or off, for the account and region."""
    context.state(Traces).destination = params["Destination"]
    return {"Destination": params["Destination"], "Status": "ACTIVE"}


@operation(SERVICE, "GetTraceSegmentDestination")
def get_trace_segment_destination(_: Params, context: Context) -> Params:
    return {"Destination": context.state(Traces).destination, "Status": "ACTIVE"}


@operation(SERVICE, "BatchGetTraces")
def batch_get_traces(params: Params, context: Context) -> Params:
    segments = context.state(Traces).snapshot()
    wanted = {normalize(trace_id): trace_id for trace_id in params["TraceIds"]}
    return {
        "Traces": [
            {
                "Id": trace_id,
                "Duration": _duration(segments[trace_id]),
                "LimitExceeded": False,
                "Segments": [
                    {"Id": segment["id"], "Document": json.dumps(segment)} for segment in segments[trace_id]
                ],
            }
            for trace_id in wanted
            if trace_id in segments
        ],
        "UnprocessedTraceIds": [given for trace_id, given in wanted.items() if trace_id not in segments],
    }


@operation(SERVICE, "GetTraceSummaries")
def get_trace_summaries(params: Params, context: Context) -> Params:
    start, end = _timestamp(params["StartTime"]), _timestamp(params["EndTime"])
    conditions = [
        part.strip()
        for part in re.split(r"\s+AND\s+|\s*&&\s*", params.get("FilterExpression") or "")
        if part.strip()
    ]
    summaries = []
    traces = context.state(Traces).snapshot()
    for trace_id, segments in traces.items():
        began = min(segment["start_time"] for segment in segments)
        if start <= began <= end and all(_matches(condition, segments) for condition in conditions):
            summaries.append(_summary(trace_id, segments))
    return {
        "TraceSummaries": summaries,
        "TracesProcessedCount": len(traces),
        "ApproximateTime": datetime.now(UTC),
    }


def _timestamp(value: datetime) -> float:
    return value.replace(tzinfo=UTC).timestamp()


def _matches(condition: str, segments: list[Segment]) -> bool:
    flat = [part for segment in segments for part in _flatten(segment)]
    if condition in FLAGS:
        return _flag(flat, condition)
    if match := SERVICE_FILTER.match(condition):
        return any(segment["name"] == match[1] for segment in segments)
    if match := ANNOTATION_FILTER.match(condition):
        values = [
            str(part["annotations"][match[1]]) for part in flat if match[1] in part.get("annotations", {})
        ]
        wanted = match[3] if match[3] is not None else match[4]
        is_there = any(value.lower() == wanted.lower() for value in values)
        return is_there if match[2] == "=" else bool(values) and not is_there
    raise NotImplementedHere(f"filter expression {condition!r}")


def _flatten(segment: Segment) -> list[Segment]:
    return [segment, *(part for child in segment.get("subsegments", []) for part in _flatten(child))]


def _flag(flat: list[Segment], name: str) -> bool:
    if name == "ok":
        return not any(part.get(other) for part in flat for other in ("fault", "error", "throttle"))
    return any(part.get(name) for part in flat)


def _duration(segments: list[Segment]) -> float:
    ends = [float(segment.get("end_time") or segment["start_time"]) for segment in segments]
    return float(max(ends) - min(segment["start_time"] for segment in segments))


def _summary(trace_id: str, segments: list[Segment]) -> Params:
    flat = [part for segment in segments for part in _flatten(segment)]
    root = next((segment for segment in segments if not segment.get("parent_id")), segments[0])
    http = root.get("http", {})
    annotations: dict[str, list[Params]] = {}
    for part in flat:
        for name, value in part.get("annotations", {}).items():
            entry = {"AnnotationValue": _annotation(value), "ServiceIds": [{"Name": part["name"]}]}
            annotations.setdefault(name, []).append(entry)
    return {
        "Id": trace_id,
        "StartTime": datetime.fromtimestamp(root["start_time"], UTC),
        "Duration": _duration(segments),
        "ResponseTime": _duration([root]),
        "HasFault": _flag(flat, "fault"),
        "HasError": _flag(flat, "error"),
        "HasThrottle": _flag(flat, "throttle"),
        "IsPartial": any(segment.get("in_progress") for segment in segments),
        "Http": {
            "HttpURL": http.get("request", {}).get("url"),
            "HttpMethod": http.get("request", {}).get("method"),
            "HttpStatus": http.get("response", {}).get("status"),
        },
        "Annotations": annotations,
        "ServiceIds": [{"Name": name} for name in dict.fromkeys(segment["name"] for segment in segments)],
        "EntryPoint": {"Name": root["name"]},
    }


def _annotation(value: Any) -> Params:
    if isinstance(value, bool):
        return {"BooleanValue": value}
    return {"NumberValue": value} if isinstance(value, int | float) else {"StringValue": str(value)}
