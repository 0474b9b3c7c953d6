"""Content of people and models as span attributes, for traces that may hold it
(`FMOPS_CONTENT_TRACES_ENDPOINT`).
"""

from __future__ import annotations

import json

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExporter

from fmops.telemetry import attributes as names

EXPORT_SECONDS = 5
"""Seconds for one export with its retries; spans not delivered by then are dropped."""


def content_traces(endpoint: str) -> SpanExporter | None:
    """Return the exporter of whole spans to an OTLP address, or None without an address."""
    return OTLPSpanExporter(endpoint, timeout=EXPORT_SECONDS) if endpoint else None


def messages(question: str, answer: str) -> dict[str, str]:
    """Return the input and output of a request as messages in the form of the GenAI conventions."""
    return {
        names.GEN_AI_INPUT_MESSAGES: _message("user", question),
        names.GEN_AI_OUTPUT_MESSAGES: _message("assistant", answer),
    }


def _message(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}], ensure_ascii=False)
