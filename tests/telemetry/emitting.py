"""A program that holds one conversation through the whole application, and prints all telemetry and logs that
it would send.

Run as ``python -m tests.telemetry.emitting openllmetry``, since instrumentation and providers are global to a
process. Prints spans and metrics as JSON; logs go to standard error. With ``content`` as a second argument,
traces with content are made too; with ``otlp``, spans and metrics go to the collector that
``OTEL_EXPORTER_OTLP_ENDPOINT`` names.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any, get_args

from fastapi.testclient import TestClient
from langchain_core.messages import AIMessage
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fmops.guardrails.metrics import observe_guardrails
from fmops.telemetry.instrumentors import Instrumentor
from fmops.telemetry.setup import start

SECRETS = {
    "question": "QUESTION-7f3a",
    "arguments": "ARGUMENT-19bc",
    "answer": "ANSWER-55e0",
    "comment": "COMMENT-c41d",
    "exception": "EXCEPTION-08aa",
}
"""Texts that must not be sent. The tool's result repeats its argument."""
CALLER = {
    "agent": "AGENT-6c2e",
    "query": "QUERY-31ab",
    "path": "PATH-90de",
    "host": "host-4d1f.example",
    "address": "203.0.113.77",
}
"""Headers about the sender of a request and its destination."""


USAGE: Any = {"input_tokens": 30, "output_tokens": 4, "total_tokens": 34}


def conversation() -> Iterator[Any]:
    call = {"name": "look_up", "args": {"what": SECRETS["arguments"]}, "id": "c1", "type": "tool_call"}
    denied = {"name": "delete", "args": {"what": SECRETS["arguments"]}, "id": "c2", "type": "tool_call"}
    yield AIMessage("", tool_calls=[call], usage_metadata=USAGE)
    yield AIMessage("", tool_calls=[denied], usage_metadata=USAGE)
    yield AIMessage(f"It is {SECRETS['answer']}.", usage_metadata=USAGE)


def failing() -> Iterator[Any]:
    raise RuntimeError(SECRETS["exception"])
    yield


def main(name: str, mode: str = "") -> None:
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    (kind,) = (each for each in get_args(Instrumentor) if each == name)
    spans, whole, metrics = InMemorySpanExporter(), InMemorySpanExporter(), InMemoryMetricReader()
    content = mode == "content"
    if mode == "otlp":
        stop = start(instrumentor=kind)
    else:
        stop = start(
            instrumentor=kind,
            exporter=spans,
            reader=metrics,
            content_exporter=whole if content else None,
        )
    captured = converse(content)
    measured = json.loads(metrics.get_metrics_data().to_json()) if mode != "otlp" else {}  # type: ignore[union-attr]
    stop()
    sent, content_spans = (
        [json.loads(span.to_json()) for span in exporter.get_finished_spans()] for exporter in (spans, whole)
    )
    json.dump(
        {"spans": sent, "content_spans": content_spans, "metrics": measured, "captured": captured}, sys.stdout
    )


def converse(content: bool) -> list[Any]:
    """Hold a conversation with a tool, a denied tool, feedback, a blocked question and two failures, and return
    the captured records."""
    from tests.assistant.test_service import Service

    good = Service(conversation(), observers=[observe_guardrails], trace_content=content)
    good.ask(f"What about {SECRETS['question']}?", session="a session")
    good.post(
        "/v1/feedback",
        {"interaction_id": good.record.interaction_id, "rating": "up", "comment": SECRETS["comment"]},
    )
    good.ask("You grumblefish!")
    # This log belongs to the client, and contains the whole address.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    caller = TestClient(good.app, client=(CALLER["address"], 50_000))
    headers = {
        "authorization": "Bearer good",
        "host": CALLER["host"],
        "user-agent": CALLER["agent"],
        "x-forwarded-for": CALLER["address"],
    }
    for path in ("/v1/models", f"/v1/{CALLER['path']}"):
        caller.get(f"{path}?q={CALLER['query']}", headers=headers)
    Service(failing()).ask("Hello")
    Service(failing()).ask("Hello", stream=True)
    return [json.loads(record.model_dump_json()) for record in good.sink.records]


if __name__ == "__main__":
    main(*sys.argv[1:])
