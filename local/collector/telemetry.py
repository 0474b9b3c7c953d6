"""Spans and metric points as plain values, decoded from OTLP protobuf; spans also back into it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

Attributes = dict[str, Any]
KINDS = {2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}
STATUS = {0: "UNSET", 1: "OK", 2: "ERROR"}


@dataclass
class Event:
    name: str
    time: int
    attributes: Attributes


@dataclass
class Span:
    """A span with its resource; times are nanoseconds."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    start: int
    end: int
    attributes: Attributes
    resource: Attributes
    scope: InstrumentationScope
    received: SpanMessage
    """What no processor changes is sent on as it came."""
    status: str = "UNSET"
    message: str = ""
    events: list[Event] = field(default_factory=list)

    def copy(self) -> Span:
        """Its attributes, resource and list of events can be changed without changing this one's."""
        return replace(
            self,
            attributes=dict(self.attributes),
            resource=dict(self.resource),
            events=[replace(event, attributes=dict(event.attributes)) for event in self.events],
        )


@dataclass
class MetricPoints:
    """A metric of one scope and resource, with its data points as OTLP has them."""

    metric: Metric
    resource: Attributes
    scope_name: str
    scope_version: str


def spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource_spans in request.resource_spans:
        resource = attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield _span(span, dict(resource), scope_spans.scope)


def metric_points(request: ExportMetricsServiceRequest) -> Iterator[MetricPoints]:
    for resource_metrics in request.resource_metrics:
        resource = attributes(resource_metrics.resource.attributes)
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                yield MetricPoints(
                    metric, dict(resource), scope_metrics.scope.name, scope_metrics.scope.version
                )


def attributes(pairs: Any) -> Attributes:
    return {pair.key: _value(pair.value) for pair in pairs}


def request(batch: Iterable[Span]) -> ExportTraceServiceRequest:
    """Spans as the collector sends them on over OTLP: with the attributes and events that its processors left."""
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=_pairs(span.resource)),
                scope_spans=[ScopeSpans(scope=span.scope, spans=[_message(span)])],
            )
            for span in batch
        ]
    )


def _message(span: Span) -> SpanMessage:
    message = SpanMessage()
    message.CopyFrom(span.received)
    del message.attributes[:], message.events[:]
    message.attributes.extend(_pairs(span.attributes))
    message.events.extend(
        SpanMessage.Event(name=event.name, time_unix_nano=event.time, attributes=_pairs(event.attributes))
        for event in span.events
    )
    return message


def _pairs(values: Attributes) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any(value)) for key, value in values.items()]


def _any(value: Any) -> AnyValue:
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=[_any(item) for item in value]))
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=_pairs(value)))
        case _:
            return AnyValue(string_value=value)


def _span(span: SpanMessage, resource: Attributes, scope: InstrumentationScope) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        kind=KINDS.get(span.kind, "INTERNAL"),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        attributes=attributes(span.attributes),
        resource=resource,
        scope=scope,
        received=span,
        status=STATUS[span.status.code],
        message=span.status.message,
        events=[
            Event(event.name, event.time_unix_nano, attributes(event.attributes)) for event in span.events
        ],
    )


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return attributes(value.kvlist_value.values)
    return getattr(value, kind) if kind else None
