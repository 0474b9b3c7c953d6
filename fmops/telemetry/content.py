"""What people and models say, as span attributes: for traces that may hold it (`FMOPS_CONTENT_TRACES_ENDPOINT`)."""

from __future__ import annotations

import json

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExporter

from fmops.telemetry import attributes as names

EXPORT_SECONDS = 5
"""For one export with its retries. What then has not been taken is dropped."""


def content_traces(endpoint: str) -> SpanExporter | None:
    """The exporter of whole spans to an OTLP address; none without an address."""
    return OTLPSpanExporter(endpoint, timeout=EXPORT_SECONDS) if endpoint else None


def messages(question: str, answer: str) -> dict[str, str]:
    """Input and output of a request, as the GenAI conventions write messages."""
    return {
        names.GEN_AI_INPUT_MESSAGES: _message("user", question),
        names.GEN_AI_OUTPUT_MESSAGES: _message("assistant", answer),
    }


def _message(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}], ensure_ascii=False)
