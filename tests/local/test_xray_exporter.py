"""The stand-in for the X-Ray exporter makes of each span in the table what the exporter's source says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from local.collector import telemetry, xray
from observability.collector.config import AwsXray

CASES: list[dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("golden").joinpath("xray_spans.yaml").read_text()
)
TRACE, ID, PARENT = "5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8", "0102030405060708"
START, END = 1_480_615_200_010_000_000, 1_480_615_200_090_000_000


def span(given: dict[str, Any]) -> telemetry.Span:
    """Return the span of a row, through the protobuf that the collector receives."""
    message = Span(
        trace_id=bytes.fromhex(TRACE),
        span_id=bytes.fromhex(ID),
        parent_span_id=bytes.fromhex(given.get("parent", PARENT)),
        name=given.get("name", "work"),
        kind=Span.SpanKind.Value(f"SPAN_KIND_{given.get('kind', 'INTERNAL')}"),
        start_time_unix_nano=START,
        end_time_unix_nano=END,
        attributes=telemetry.pairs(given.get("attributes", {})),
        events=[
            Span.Event(
                name=event["name"],
                time_unix_nano=event.get("time", START),
                attributes=telemetry.pairs(event["attributes"]),
            )
            for event in given.get("events", [])
        ],
        links=[
            Span.Link(
                trace_id=bytes.fromhex(link["trace"]),
                span_id=bytes.fromhex(link["span"]),
                attributes=telemetry.pairs(link.get("attributes", {})),
            )
            for link in given.get("links", [])
        ],
        status=Status(
            code=Status.StatusCode.Value(f"STATUS_CODE_{given.get('status', 'UNSET')}"),
            message=given.get("message", ""),
        ),
    )
    request = ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=telemetry.pairs(given.get("resource", {}))),
                scope_spans=[ScopeSpans(spans=[message])],
            )
        ]
    )
    (decoded,) = telemetry.spans(ExportTraceServiceRequest.FromString(request.SerializeToString()))
    return decoded


def expected(row: dict[str, Any]) -> dict[str, Any]:
    resource = row["span"].get("resource", {})
    sdk = {"auto_instrumentation": False}
    document: dict[str, Any] = {
        "id": ID,
        "trace_id": "1-5759e988-bd862e3fe1be46a994272793",
        "start_time": START / 1e9,
        "end_time": END / 1e9,
        "fault": False,
        "error": False,
        "throttle": False,
        "type": "subsegment",
        "parent_id": PARENT,
        "aws": {"xray": sdk},
        **row["expected"],
    }
    if document["aws"] is not None:
        document["aws"] = {"xray": sdk, **document["aws"]}
    assert resource or "origin" not in document
    return {key: value for key, value in document.items() if value is not None}


def numbered(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with its exceptions' random ids as numbers."""
    thrown = document.get("cause", {}).get("exceptions", [])
    numbers = {each["id"]: str(number) for number, each in enumerate(thrown)}
    for each in thrown:
        each |= {key: numbers[each[key]] for key in ("id", "cause") if key in each}
    return document


def made(row: dict[str, Any]) -> list[dict[str, Any]]:
    settings = AwsXray(region="us-east-1", **row.get("settings", {}))
    texts = [xray.encode(document) for document in xray.documents(span(row["span"]), settings)]
    return [numbered(json.loads(text)) for text in texts if text is not None]


@pytest.mark.parametrize("row", CASES, ids=[row["name"] for row in CASES])
def test_a_span_becomes_the_document_of_the_table(row: dict[str, Any]) -> None:
    assert made(row) == [expected(row)]


def test_the_table_is_large_and_names_its_sources() -> None:
    assert len(CASES) >= 40
    assert all(row["source"] for row in CASES)


def test_the_first_span_of_a_service_that_calls_another_is_two_documents() -> None:
    """Source: segment.go MakeServiceSegmentAndDependencySubsegment, segment_test.go TestLocalRootClient."""
    attributes = {
        "aws.span.kind": "LOCAL_ROOT",
        "aws.local.service": "desk",
        "aws.remote.service": "AWS::DynamoDB",
        "rpc.system": "aws-api",
        "http.request.method": "POST",
        "aws.table_name": "table",
    }
    given = {"kind": "CLIENT", "attributes": attributes, "resource": {"service.name": "desk"}}
    dependency, service = made({"span": given})
    assert (dependency["name"], dependency["type"], dependency["namespace"]) == (
        "DynamoDB",
        "subsegment",
        "aws",
    )
    assert dependency["parent_id"] == service["id"] != ID
    assert dependency["id"] == ID
    assert dependency["aws"]["table_name"] == "table"
    assert (service["name"], service["parent_id"]) == ("desk", PARENT)
    assert not {"type", "namespace", "http"} & service.keys()
    assert "table_name" not in service["aws"]


def test_a_number_that_json_does_not_have_is_not_sent() -> None:
    """Source: segment.go MakeSegmentDocuments: what encoding/json refuses is an error of the span."""
    assert made({"span": {"attributes": {"rate": float("nan")}}}) == []


@pytest.mark.parametrize("name", ["trace_id", "span_id", "parent_span_id"])
def test_an_identifier_of_another_length_is_malformed(name: str) -> None:
    """Source: pdata's TraceID and SpanID, whose Unmarshal refuses other lengths."""
    request = ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[Span(**{name: b"abc"})])])]
    )
    with pytest.raises(telemetry.MalformedError, match="id has"):
        list(telemetry.spans(request))
