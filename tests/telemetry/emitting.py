"""A program: one conversation through the whole application, and everything that telemetry and logs would send of it.

Run as ``python -m tests.telemetry.emitting openllmetry``, since instrumentation and providers are global to a process.
Prints spans and metrics as JSON; logs go to standard error.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any, get_args

from langchain_core.messages import AIMessage
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fmops.telemetry.guardrails import observe_guardrails
from fmops.telemetry.instrumentors import Instrumentor
from fmops.telemetry.setup import start

SECRETS = {
    "question": "QUESTION-7f3a",
    "arguments": "ARGUMENT-19bc",
    "answer": "ANSWER-55e0",
    "comment": "COMMENT-c41d",
    "exception": "EXCEPTION-08aa",
}
"""The tool's result repeats its argument."""


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


def main() -> None:
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    (kind,) = (each for each in get_args(Instrumentor) if each == sys.argv[1])
    spans, metrics = InMemorySpanExporter(), InMemoryMetricReader()
    stop = start(instrumentor=kind, exporter=spans, reader=metrics)
    from tests.assistant.test_service import Service

    good = Service(conversation(), observers=[observe_guardrails])
    good.ask(f"What about {SECRETS['question']}?", session="a session")
    good.post(
        "/v1/feedback",
        {"interaction_id": good.record.interaction_id, "rating": "up", "comment": SECRETS["comment"]},
    )
    good.ask("You grumblefish!")
    Service(failing()).ask("Hello")
    Service(failing()).ask("Hello", stream=True)
    captured = [json.loads(record.model_dump_json()) for record in good.sink.records]
    measured = json.loads(metrics.get_metrics_data().to_json())  # type: ignore[union-attr]
    stop()
    sent = [json.loads(span.to_json()) for span in spans.get_finished_spans()]
    json.dump({"spans": sent, "metrics": measured, "captured": captured}, sys.stdout)


if __name__ == "__main__":
    main()
