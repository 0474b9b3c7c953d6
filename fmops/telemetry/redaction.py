"""The last step before telemetry leaves the process: removing content from spans.

The instrumentation's own switch leaves system instructions and exception text in place, and the ADOT collector
has no redaction processor, so the exporter cleans up whatever the instrumentation did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status

from fmops.telemetry.attributes import CONTENT, ERROR_TYPE, PERSONAL


class RedactingSpanExporter(SpanExporter):
    """Export copies of spans without content, the caller's identity and address, exception text and status
    text.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([redacted(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def redacted(span: ReadableSpan) -> ReadableSpan:
    """Return a copy of ``span`` without content; the exception's type stays, as ``error.type``."""
    attributes = _without_content(span.attributes)
    error_type = next((_exception_type(event) for event in span.events if event.name == "exception"), None)
    if error_type and ERROR_TYPE not in attributes:
        attributes[ERROR_TYPE] = error_type
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        events=[
            Event(event.name, _without_content(event.attributes), event.timestamp) for event in span.events
        ],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _without_content(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (attributes or {}).items() if not _is_content(key)}


@lru_cache(maxsize=1024)
def _is_content(attribute: str) -> bool:
    return CONTENT.match(attribute) is not None or PERSONAL.match(attribute) is not None


def _exception_type(event: Event) -> str | None:
    value = (event.attributes or {}).get("exception.type")
    return str(value) if value else None
