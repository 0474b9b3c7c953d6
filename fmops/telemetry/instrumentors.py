"""Which package makes the spans of the agent, its model calls and its tools: one at a time, since each makes all."""

from __future__ import annotations

import os
from typing import Any, Literal

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

Instrumentor = Literal["openllmetry", "otel"]
"""``openllmetry``: Traceloop's package. ``otel``: OpenTelemetry's own, beta, with fewer spans per request."""

METERS = ("opentelemetry.instrumentation.langchain", "opentelemetry.instrumentation.genai.langchain")
"""Names of the meters of both."""


def instrument(kind: Instrumentor, tracer_provider: TracerProvider, meter_provider: MeterProvider) -> None:
    """Instrument LangChain, once in a process, without content."""
    os.environ["TRACELOOP_TRACE_CONTENT"] = "false"
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "NO_CONTENT"
    instrumentor = _openllmetry() if kind == "openllmetry" else _opentelemetry()
    if not instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.instrument(tracer_provider=tracer_provider, meter_provider=meter_provider)


def _openllmetry() -> Any:
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    class OpenLLMetry(LangchainInstrumentor):
        def _wrap_middleware_hooks(self, tracer: object) -> None:
            """Not wrapped: it turns every hook that a middleware does not have into a step of the agent's graph."""

    return OpenLLMetry()


def _opentelemetry() -> Any:
    from opentelemetry.instrumentation.genai import langchain

    made: Any = langchain.LangChainInstrumentor
    return made()
