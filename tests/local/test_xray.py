"""Traces are readable back, and what X-Ray would refuse is refused."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from local.aws.kernel.cloud import Cloud

NOW = time.time()


def trace_id(number: int) -> str:
    return f"1-{int(NOW):08x}-{number:024x}"


def put(cloud: Cloud, number: int, **segment: Any) -> None:
    document = {
        "id": f"{number:016x}",
        "trace_id": trace_id(number),
        "name": "desk",
        "start_time": NOW,
        "end_time": NOW + 1,
        **segment,
    }
    assert (
        cloud.client("xray").put_trace_segments(TraceSegmentDocuments=[json.dumps(document)])[
            "UnprocessedTraceSegments"
        ]
        == []
    )


def find(cloud: Cloud, expression: str) -> list[str]:
    window = {
        "StartTime": datetime.fromtimestamp(NOW, UTC) - timedelta(minutes=5),
        "EndTime": datetime.fromtimestamp(NOW, UTC) + timedelta(minutes=5),
    }
    summaries = cloud.client("xray").get_trace_summaries(FilterExpression=expression, **window)[
        "TraceSummaries"
    ]
    return [summary["Id"] for summary in summaries]


def test_segments_are_found_by_id_and_filter(cloud: Cloud) -> None:
    put(
        cloud,
        1,
        annotations={"guardrail": "block"},
        subsegments=[{"id": "a", "name": "tool", "fault": True, "annotations": {"n": 7}}],
    )
    put(cloud, 2, name="other", parent_id="00000000000000ff")
    answer = cloud.client("xray").batch_get_traces(TraceIds=[trace_id(1), trace_id(99)])
    assert answer["UnprocessedTraceIds"] == [trace_id(99)]
    (trace,) = answer["Traces"]
    assert json.loads(trace["Segments"][0]["Document"])["annotations"] == {"guardrail": "block"}
    assert find(cloud, 'annotation[guardrail] = "block" AND fault') == [trace_id(1)]
    assert find(cloud, 'service("other")') == [trace_id(2)]
    assert find(cloud, "annotation.n = 7") == [trace_id(1)]
    assert find(cloud, 'annotation[guardrail] = "allow"') == []
    with pytest.raises(ClientError, match=r"does not implement.*responsetime"):
        find(cloud, "responsetime > 5")


def test_w3c_trace_ids_are_the_same_trace(cloud: Cloud) -> None:
    w3c = f"{int(NOW):08x}{3:024x}"
    put(cloud, 3, trace_id=w3c)
    assert cloud.client("xray").batch_get_traces(TraceIds=[trace_id(3)])["Traces"][0]["Id"] == trace_id(3)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("no json", "ParseError"),
        ('{"id": "00000000000000aa"}', "MissingField"),
        (json.dumps({"id": "1", "trace_id": "x", "name": "n", "start_time": 1}), "InvalidTraceId"),
        (json.dumps({"id": "1", "name": "x" * 65_536}), "SegmentTooLarge"),
    ],
)
def test_bad_segments_are_named(cloud: Cloud, document: str, code: str) -> None:
    (refused,) = cloud.client("xray").put_trace_segments(TraceSegmentDocuments=[document])[
        "UnprocessedTraceSegments"
    ]
    assert refused["ErrorCode"] == code


def post_spans(cloud: Cloud, body: bytes) -> Any:
    url = f"{cloud.endpoint}/v1/traces"
    request = AWSRequest("POST", url, data=body, headers={"Content-Type": "application/x-protobuf"})
    SigV4Auth(cloud.session().get_credentials(), "xray", cloud.region).add_auth(request)
    return urllib3.request("POST", url, body=body, headers=dict(request.headers), retries=False)


def span(number: int, size: int = 0) -> ResourceSpans:
    attributes = [KeyValue(key="text", value=AnyValue(string_value="x" * size))]
    one = Span(
        trace_id=bytes.fromhex(trace_id(number)[2:].replace("-", "")),
        span_id=number.to_bytes(8, "big"),
        name="POST /v1/chat/completions",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=int(NOW * 1e9),
        end_time_unix_nano=int(NOW * 1e9) + 1,
        attributes=attributes,
    )
    resource = Resource(attributes=[KeyValue(key="service.name", value=AnyValue(string_value="otlp-desk"))])
    return ResourceSpans(resource=resource, scope_spans=[ScopeSpans(spans=[one])])


def test_the_otlp_endpoint_needs_transaction_search_and_keeps_its_limits(cloud: Cloud) -> None:
    body = ExportTraceServiceRequest(resource_spans=[span(71)]).SerializeToString()
    refused = post_spans(cloud, body)
    assert refused.status == 400
    assert "Transaction Search" in refused.data.decode()

    xray = cloud.client("xray")
    xray.update_trace_segment_destination(Destination="CloudWatchLogs")
    assert xray.get_trace_segment_destination()["Destination"] == "CloudWatchLogs"
    assert post_spans(cloud, body).status == 200
    assert find(cloud, 'service("otlp-desk")') == [trace_id(71)]

    large = ExportTraceServiceRequest(resource_spans=[span(72), span(73, 250 * 1024)]).SerializeToString()
    answer = ExportTraceServiceResponse.FromString(post_spans(cloud, large).data)
    assert answer.partial_success.rejected_spans == 1
    assert sorted(find(cloud, 'service("otlp-desk")')) == [trace_id(71), trace_id(72)]
    too_large = ExportTraceServiceRequest(resource_spans=[span(74, 6 * 1024 * 1024)]).SerializeToString()
    assert post_spans(cloud, too_large).status == 400
    assert urllib3.request("POST", f"{cloud.endpoint}/v1/traces", body=body, retries=False).status == 403
