"""X-Ray's OTLP endpoint, ``/v1/traces``: spans of OpenTelemetry, once Transaction Search is on.

Its limits are those of the CloudWatch user guide, "OpenTelemetry endpoints": a request over them is refused as
a whole, a span over its own limit alone. Spans are stored as the segments that X-Ray makes of them, so that
traces read as before.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from local.aws.kernel.cloud import Cloud, Route, install_routes
from local.aws.kernel.http import Response
from local.aws.proxy import signed_context
from local.aws.services.xray.segments import SERVICE, Traces
from local.collector import telemetry, xray
from observability.collector.config import AwsXray

MAX_BYTES = 5 * 1024 * 1024
"""Maximum uncompressed size of a request."""
MAX_SPANS = 10_000
MAX_SPAN_BYTES = 200 * 1024


def put(environ: dict[str, Any], cloud: Cloud) -> Response:
    context = signed_context(environ, cloud, SERVICE, "PutSpans", {})
    if isinstance(context, Response):
        return context
    traces = context.state(Traces)
    if traces.destination != "CloudWatchLogs":
        return _refused("Transaction Search is not on: set UpdateTraceSegmentDestination to CloudWatchLogs")
    body = environ["wsgi.input"].read()
    try:
        if environ.get("HTTP_CONTENT_ENCODING") == "gzip":
            body = gzip.decompress(body)
        spans = list(telemetry.spans(ExportTraceServiceRequest.FromString(body)))
    except (DecodeError, ValueError, EOFError, OSError, zlib.error):
        return _refused("the body is not an ExportTraceServiceRequest")
    if len(body) > MAX_BYTES or len(spans) > MAX_SPANS:
        return _refused(f"more than {MAX_BYTES} bytes or {MAX_SPANS} spans in one request")
    taken = [span for span in spans if span.received.ByteSize() <= MAX_SPAN_BYTES]
    documents = [xray.documents(span, _indexed(span, context.region)) for span in taken]
    written = [each for each in documents if all(map(xray.encode, each))]
    traces.add(segment for each in written for segment in each)
    rejected = len(spans) - len(written)
    answer = ExportTraceServiceResponse(
        partial_success=ExportTracePartialSuccess(rejected_spans=rejected) if rejected else None
    )
    return Response(200, answer.SerializeToString(), "application/x-protobuf")


def _indexed(span: telemetry.Span, region: str) -> AwsXray:
    """Return settings that make annotations of all attributes that can be one; the service keeps the others, too.

    The exporter would drop lists: its ``index_all_attributes`` leaves no metadata.
    """
    keys = [key for key, value in span.attributes.items() if xray.is_scalar(value)]
    keys += [f"otel.resource.{key}" for key, value in span.resource.items() if xray.is_scalar(value)]
    return AwsXray(region=region, indexed_attributes=keys)


def _refused(why: str) -> Response:
    return Response(400, json.dumps({"message": why}))


@install_routes
def _install(cloud: Cloud) -> None:
    cloud.routes.append(Route(re.compile("^/v1/traces$"), lambda environ, _: put(environ, cloud)))
