"""Spans and metric points as plain values, decoded from OTLP protobuf; spans are also encoded again."""

from __future__ import annotations

import base64
import json
import math
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


class MalformedError(ValueError):
    """An identifier whose length OTLP does not allow: the collector answers 400."""


@dataclass
class Event:
    name: str
    time: int
    attributes: Attributes


@dataclass
class Span:
    """A span with its resource; times are in nanoseconds."""

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
    """The span as received; parts that no processor changes are sent on unchanged."""
    status: str = "UNSET"
    message: str = ""
    events: list[Event] = field(default_factory=list)

    def copy(self) -> Span:
        """Return a copy whose attributes, resource and list of events can change without changing this
        span's.
        """
        return replace(
            self,
            attributes=dict(self.attributes),
            resource=dict(self.resource),
            events=[replace(event, attributes=dict(event.attributes)) for event in self.events],
        )


@dataclass
class MetricPoints:
    """A metric of one scope and resource, with its data points as OTLP defines them."""

    metric: Metric
    resource: Attributes
    scope_name: str
    scope_version: str
    scope_attributes: Attributes = field(default_factory=dict)


def spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    """Decode spans. Raises ``MalformedError`` for an identifier that is neither empty nor of the right
    length.
    """
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
                    metric,
                    dict(resource),
                    scope_metrics.scope.name,
                    scope_metrics.scope.version,
                    attributes(scope_metrics.scope.attributes),
                )


def attributes(pairs: Any) -> Attributes:
    return {pair.key: _value(pair.value) for pair in pairs}


def text(value: Any) -> str:
    """Return a string attribute's value, and nothing for another type, as the exporters read it."""
    return value if isinstance(value, str) else ""


def integer(value: Any) -> int:
    """Return an integer attribute's value, and 0 for another type, as the exporters read it."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def raw(value: Any) -> Any:
    """Return a value in JSON's types: bytes become base64."""
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case list():
            return [raw(item) for item in value]
        case dict():
            return {key: raw(item) for key, item in value.items()}
        case _:
            return value


def as_string(value: Any) -> str:
    """Return a value of any type as the collector prints it where only text fits (pdata's
    ``Value.AsString``).
    """
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str() | int():
            return str(value)
        case float():
            return _number(value)
        case bytes():
            return str(raw(value))
        case _:
            try:
                shown = json.dumps(
                    raw(value), separators=(",", ":"), sort_keys=True, allow_nan=False, ensure_ascii=False
                )
            except ValueError:
                return ""
            # Go's encoder escapes HTML in JSON.
            return shown.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def decimal(value: float) -> str:
    """Return a float in Go's format 'f', with the fewest digits that identify it and no exponent."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        return mantissa.removesuffix(".0")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    point = len(whole) + int(exponent)
    digits = whole + fraction
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}".rstrip("0")
    return sign + digits[:point].ljust(point, "0") + (f".{digits[point:]}" if digits[point:] else "")


def _number(value: float) -> str:
    """Return a float as JavaScript and Go's JSON print it, with an exponent only below 1e-6 and from 1e21
    on.
    """
    if not math.isfinite(value):
        return f"json: unsupported value: {decimal(value)}"
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return decimal(value)
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent):+d}"


def request(batch: Iterable[Span]) -> ExportTraceServiceRequest:
    """Return a request with spans as the collector sends them on over OTLP: with the attributes and events that
    its processors left."""
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=pairs(span.resource)),
                scope_spans=[ScopeSpans(scope=span.scope, spans=[_message(span)])],
            )
            for span in batch
        ]
    )


def _message(span: Span) -> SpanMessage:
    message = SpanMessage()
    message.CopyFrom(span.received)
    del message.attributes[:], message.events[:]
    message.attributes.extend(pairs(span.attributes))
    message.events.extend(
        SpanMessage.Event(name=event.name, time_unix_nano=event.time, attributes=pairs(event.attributes))
        for event in span.events
    )
    return message


def pairs(values: Attributes) -> list[KeyValue]:
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
            return AnyValue(kvlist_value=KeyValueList(values=pairs(value)))
        case _:
            return AnyValue(string_value=value)


def _span(span: SpanMessage, resource: Attributes, scope: InstrumentationScope) -> Span:
    for message in (span, *span.links):
        check_identifiers(message.trace_id, message.span_id)
    check_identifiers(b"", span.parent_span_id)
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
        status=STATUS.get(span.status.code, "UNSET"),
        message=span.status.message,
        events=[
            Event(event.name, event.time_unix_nano, attributes(event.attributes)) for event in span.events
        ],
    )


def check_identifiers(trace_id: bytes, span_id: bytes) -> None:
    """Raise ``MalformedError`` for identifiers that the collector's decoder refuses."""
    for name, given, length in (("trace", trace_id, 16), ("span", span_id, 8)):
        if len(given) not in (0, length):
            raise MalformedError(f"a {name} id has {length} bytes, not {len(given)}")


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return attributes(value.kvlist_value.values)
    return getattr(value, kind) if kind else None
