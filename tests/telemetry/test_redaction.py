"""No content leaves the process in a span, whatever an instrumentation wrote."""

from __future__ import annotations

import json

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fmops.telemetry.redaction import RedactingSpanExporter

SECRET = "SECRET-TEXT"
CONTENT = [
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.task.input",
    "gen_ai.task.output",
    "gen_ai.prompt.0.content",
    "gen_ai.completion.0.content",
    "traceloop.entity.input",
    "traceloop.entity.output",
    "traceloop.association.properties.user_id",
    "exception.message",
]
CALLER = [
    "client.address",
    "client.port",
    "network.peer.address",
    "net.peer.ip",
    "net.sock.peer.addr",
    "user_agent.original",
    "user_agent.synthetic.type",
    "http.user_agent",
    "http.client_ip",
    "http.url",
    "http.target",
    "http.host",
    "http.server_name",
    "http.request.header.authorization",
    "url.full",
    "url.path",
    "url.query",
]


@pytest.fixture
def exported() -> tuple[trace.Tracer, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(RedactingSpanExporter(exporter)))
    return provider.get_tracer("test"), exporter


@pytest.mark.parametrize("attribute", CALLER + CONTENT)
def test_content_attributes_are_removed(
    exported: tuple[trace.Tracer, InMemorySpanExporter], attribute: str
) -> None:
    tracer, exporter = exported
    with tracer.start_as_current_span("span") as span:
        span.set_attribute(attribute, SECRET)
        span.add_event("event", {attribute: SECRET})
    assert SECRET not in exporter.get_finished_spans()[0].to_json()


def test_exceptions_keep_their_type_and_lose_their_text(
    exported: tuple[trace.Tracer, InMemorySpanExporter],
) -> None:
    tracer, exporter = exported
    with pytest.raises(ValueError, match=SECRET), tracer.start_as_current_span("span"):
        raise ValueError(SECRET)
    span = json.loads(exporter.get_finished_spans()[0].to_json())
    assert SECRET not in json.dumps(span)
    assert span["attributes"]["error.type"] == "ValueError"
    assert span["status"] == {"status_code": "ERROR"}


def test_what_is_not_content_stays(exported: tuple[trace.Tracer, InMemorySpanExporter]) -> None:
    tracer, exporter = exported
    kept = {
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.tool.name": "get_claim",
        "traceloop.association.properties.session_id": "s",
    }
    with tracer.start_as_current_span("span", attributes=kept):
        pass
    assert dict(exporter.get_finished_spans()[0].attributes or {}) == kept
