"""Traces can be read back, and what X-Ray would refuse is refused."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
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
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from local.aws.services.xray.documents import RefusedError, parse

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
        subsegments=[
            {
                "id": f"{10:016x}",
                "name": "tool",
                "start_time": NOW,
                "end_time": NOW,
                "fault": True,
                "annotations": {"n": 7},
            }
        ],
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
    (one,) = cloud.client("xray").put_trace_segments(TraceSegmentDocuments=[document])[
        "UnprocessedTraceSegments"
    ]
    assert one["ErrorCode"] == code


def refused(cloud: Cloud, **fields: Any) -> str | None:
    """Return the code of a refusal, or ``None`` for a segment that is taken. ``None`` leaves a field out."""
    document = {
        "id": f"{50:016x}",
        "trace_id": trace_id(50),
        "name": "desk",
        "start_time": NOW,
        "end_time": NOW + 1,
        **fields,
    }
    text = json.dumps({key: value for key, value in document.items() if value is not None})
    answer = cloud.client("xray").put_trace_segments(TraceSegmentDocuments=[text])
    return next((each["ErrorCode"] for each in answer["UnprocessedTraceSegments"]), None)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, None),
        ({"id": "1"}, "InvalidId"),
        ({"id": "g" * 16}, "InvalidId"),
        ({"id": 5}, "InvalidId"),
        ({"parent_id": "12"}, "InvalidId"),
        ({"trace_id": "1-5759e988-bd862e3fe1be46a99427279"}, "InvalidTraceId"),
        ({"trace_id": "2-5759e988-bd862e3fe1be46a994272793"}, "InvalidTraceId"),
        ({"end_time": None}, "MissingField"),
        ({"end_time": None, "in_progress": False}, "MissingField"),
        ({"end_time": None, "in_progress": True}, None),
        ({"name": ""}, "InvalidName"),
        ({"name": "a" * 201}, "InvalidName"),
        ({"name": "ü" * 200}, None),
        ({"name": "a<b>"}, "InvalidName"),
        ({"name": "EP @ test_15.testing-dömain.org#GO/x:1%&=+\\"}, None),
        ({"start_time": "now"}, "InvalidTime"),
        ({"start_time": True}, "InvalidTime"),
        ({"start_time": -1}, "InvalidTime"),
        ({"start_time": NOW * 1000}, "InvalidTime"),
        ({"start_time": 1e300}, "InvalidTime"),
        ({"start_time": float("nan")}, "ParseError"),
        ({"start_time": 10**400}, "InvalidTime"),
        ({"type": "subsegment"}, "MissingField"),
        ({"type": "subsegment", "parent_id": f"{51:016x}"}, None),
        ({"type": "segment"}, "InvalidField"),
        ({"annotations": {"a b": 1}}, "InvalidAnnotation"),
        ({"annotations": {"a.b_C9": 1}}, None),
        ({"annotations": {"a": [1]}}, "InvalidAnnotation"),
        ({"annotations": {"a": "x" * 1001}}, "InvalidAnnotation"),
        ({"annotations": {"a": "x" * 1000}}, None),
        ({"annotations": {f"k{number}": number for number in range(51)}}, "TooManyAnnotations"),
        ({"annotations": {f"k{number}": number for number in range(50)}}, None),
        ({"annotations": [1]}, "InvalidField"),
        ({"http": {"request": "x"}}, "InvalidField"),
        ({"fault": "yes"}, "InvalidField"),
        ({"subsegments": [{"id": "a", "name": "x", "start_time": 1, "end_time": 2}]}, "InvalidId"),
        ({"subsegments": [{"id": f"{52:016x}", "name": "x", "start_time": 1}]}, "MissingField"),
        ({"subsegments": [5]}, "InvalidField"),
    ],
)
def test_a_segment_is_taken_or_refused_as_the_service_documents(
    cloud: Cloud, fields: dict[str, Any], code: str | None
) -> None:
    """Sources: X-Ray developer guide, "Segment documents", "Annotations"; API reference, PutTraceSegments."""
    assert refused(cloud, **fields) == code


def test_a_list_of_subsegments_is_a_document() -> None:
    """Source: API reference, PutTraceSegments ("an array of subsegments")."""
    one = {"id": f"{60:016x}", "trace_id": trace_id(60), "name": "a", "start_time": 1, "end_time": 2}
    with pytest.raises(RefusedError, match="parent_id"):
        parse(json.dumps([one]))
    assert len(parse(json.dumps([{**one, "parent_id": f"{61:016x}"}] * 2))) == 2


def test_a_null_is_a_field_that_is_left_out(cloud: Cloud) -> None:
    whole = {"id": f"{85:016x}", "trace_id": trace_id(85), "name": "desk", "start_time": NOW, "end_time": NOW}
    text = json.dumps({**whole, "http": None, "parent_id": None, "annotations": None, "subsegments": None})
    answer = cloud.client("xray").put_trace_segments(TraceSegmentDocuments=[text])
    assert answer["UnprocessedTraceSegments"] == []
    assert summary(cloud, 85)["Id"] == trace_id(85)


def test_what_was_refused_leaves_reading_as_it_was(cloud: Cloud) -> None:
    put(cloud, 80)
    for bad in (1e18, "soon", None):
        assert refused(cloud, start_time=bad) is not None
    assert trace_id(80) in find(cloud, 'service("desk")')


def summary(cloud: Cloud, number: int) -> dict[str, Any]:
    around = {
        "StartTime": datetime.fromtimestamp(NOW, UTC) - timedelta(minutes=5),
        "EndTime": datetime.fromtimestamp(NOW, UTC) + timedelta(minutes=5),
    }
    found = cloud.client("xray").get_trace_summaries(**around)["TraceSummaries"]
    (one,) = [each for each in found if each["Id"] == trace_id(number)]
    return one


def test_faults_and_errors_of_a_trace_are_those_of_its_root(cloud: Cloud) -> None:
    """Source: API reference, TraceSummary: HasFault and HasError of the root, HasThrottle of any."""
    put(cloud, 90)
    put(
        cloud,
        91,
        trace_id=trace_id(90),
        parent_id=f"{90:016x}",
        fault=True,
        error=True,
        throttle=True,
    )
    calm = summary(cloud, 90)
    assert (calm["HasFault"], calm["HasError"], calm["HasThrottle"]) == (False, False, True)
    put(cloud, 92, fault=True)
    assert summary(cloud, 92)["HasFault"]
    put(cloud, 93, error=True)
    assert summary(cloud, 93)["HasError"]


def test_a_complete_segment_takes_the_place_of_the_one_in_progress(cloud: Cloud) -> None:
    assert refused(cloud, id=f"{95:016x}", trace_id=trace_id(95), end_time=None, in_progress=True) is None
    assert summary(cloud, 95)["IsPartial"]
    put(cloud, 95)
    assert not summary(cloud, 95)["IsPartial"]
    (trace,) = cloud.client("xray").batch_get_traces(TraceIds=[trace_id(95)])["Traces"]
    assert len(trace["Segments"]) == 1


def test_a_trace_is_searched_by_fifty_annotations(cloud: Cloud) -> None:
    """Source: X-Ray developer guide, "Annotations": up to 50 per trace."""
    for part in range(2):
        annotations = {f"k{part * 40 + number}": "v" for number in range(40)}
        put(cloud, 100 + part, trace_id=trace_id(100), annotations=annotations)
    assert find(cloud, 'annotation.k49 = "v"') == [trace_id(100)]
    assert find(cloud, 'annotation.k50 = "v"') == []
    assert len(summary(cloud, 100)["Annotations"]) == 50


@pytest.mark.parametrize(("percent", "found"), [(0.0, 0), (100.0, 20)])
def test_with_transaction_search_only_indexed_traces_are_readable(
    percent: float, found: int, tmp_path: Path
) -> None:
    """Sources: API reference, BatchGetTraces; CloudWatch user guide, "Enable transaction search"."""
    with LocalAws(port=0, enforce=False, directory=tmp_path) as own:
        xray = own.client("xray")
        put(own, 1)
        (rule,) = xray.get_indexing_rules()["IndexingRules"]
        assert rule["Rule"]["Probabilistic"]["DesiredSamplingPercentage"] == 1
        xray.update_trace_segment_destination(Destination="CloudWatchLogs")
        xray.update_indexing_rule(
            Name="Default", Rule={"Probabilistic": {"DesiredSamplingPercentage": percent}}
        )
        body = ExportTraceServiceRequest(resource_spans=[span(number) for number in range(200, 220)])
        assert post_spans(own, body.SerializeToString()).status == 200
        assert len(find(own, 'service("otlp-desk")')) == found
        ids = [trace_id(number) for number in range(200, 205)]
        answer = xray.batch_get_traces(TraceIds=ids)
        assert len(answer["Traces"]) == (5 if found else 0)
        assert answer["UnprocessedTraceIds"] == ([] if found else ids)
        # Earlier spans stay where they are.
        assert find(own, 'service("desk")') == [trace_id(1)]


def test_a_template_says_how_many_traces_are_indexed(tmp_path: Path) -> None:
    from tests.local.test_deploy import make_stack

    with LocalAws(port=0, enforce=False, directory=tmp_path) as own:
        resource = {"Type": "AWS::XRay::TransactionSearchConfig", "Properties": {"IndexingPercentage": 25}}
        make_stack(own, "Search", {"Config": resource})
        xray = own.client("xray")
        assert xray.get_trace_segment_destination()["Destination"] == "CloudWatchLogs"
        (rule,) = xray.get_indexing_rules()["IndexingRules"]
        assert rule["Rule"]["Probabilistic"]["DesiredSamplingPercentage"] == 25


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
    too_early = post_spans(cloud, body)
    assert too_early.status == 400
    assert "Transaction Search" in too_early.data.decode()

    xray = cloud.client("xray")
    xray.update_trace_segment_destination(Destination="CloudWatchLogs")
    xray.update_indexing_rule(Name="Default", Rule={"Probabilistic": {"DesiredSamplingPercentage": 100}})
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


def test_the_otlp_endpoint_keeps_attributes_that_cannot_be_annotations(cloud: Cloud) -> None:
    xray = cloud.client("xray")
    xray.update_trace_segment_destination(Destination="CloudWatchLogs")
    xray.update_indexing_rule(Name="Default", Rule={"Probabilistic": {"DesiredSamplingPercentage": 100}})
    spans = span(81)
    values = ArrayValue(values=[AnyValue(string_value="input block"), AnyValue(string_value="output allow")])
    spans.scope_spans[0].spans[0].attributes.extend(
        [
            KeyValue(key="fmops.guardrail.decisions", value=AnyValue(array_value=values)),
            KeyValue(key="fmops.guardrail.action", value=AnyValue(string_value="block")),
        ]
    )
    assert (
        post_spans(cloud, ExportTraceServiceRequest(resource_spans=[spans]).SerializeToString()).status == 200
    )
    (trace,) = xray.batch_get_traces(TraceIds=[trace_id(81)])["Traces"]
    (document,) = (json.loads(each["Document"]) for each in trace["Segments"])
    assert document["metadata"]["default"]["fmops.guardrail.decisions"] == ["input block", "output allow"]
    assert document["annotations"]["fmops.guardrail.action"] == "block"
