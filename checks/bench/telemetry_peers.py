"""An agent under one kind of telemetry, in a process of its own: ``python -m
checks.bench.telemetry_peers KIND ENDPOINT``.

It reads lines of ``REQUESTS CONCURRENCY`` from standard input, and answers each with a line of JSON: CPU per
request of the whole process, exporting included, and the times of the requests. KIND is none, ours, traceloop
or mlflow.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

KINDS = ("none", "ours", "otel", "traceloop", "mlflow")
USAGE: Any = {"input_tokens": 84, "output_tokens": 14, "total_tokens": 98}
Measured = Callable[[], contextlib.AbstractContextManager[Any]]


class Model(BaseChatModel):
    """A model that calls the tool, then answers, and costs nothing itself. ``measured`` is what the telemetry
    puts around a call."""

    measured: Any

    @property
    def _llm_type(self) -> str:
        return "simulated"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        with self.measured() as call:
            if isinstance(messages[-1], ToolMessage):
                answer = AIMessage("It is open, and the adjuster has seen it.", usage_metadata=USAGE)
            else:
                wanted = [{"name": "look_up", "args": {"claim": "C-1"}, "id": "c1"}]
                answer = AIMessage("", tool_calls=wanted, usage_metadata=USAGE)
            if call is not None:
                call.add(answer)
        return ChatResult(generations=[ChatGeneration(message=answer)])


@tool
def look_up(claim: str) -> str:
    """Look a claim up."""
    return f"{claim} is open."


def nothing() -> contextlib.AbstractContextManager[Any]:
    return contextlib.nullcontext()


def ours(endpoint: str, instrumentor: Any = "openllmetry") -> tuple[Measured, Measured, Callable[[], object]]:
    """Set telemetry up as the assistant does: our setup, the model's metrics, and a SERVER span
    around the request."""
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    from opentelemetry import metrics, trace

    from fmops.telemetry.model import ModelCall
    from fmops.telemetry.setup import start

    start(instrumentor=instrumentor)
    tracer = trace.get_tracer("bench")
    providers: tuple[Any, Any] = (trace.get_tracer_provider(), metrics.get_meter_provider())
    return (
        lambda: ModelCall("us.anthropic.claude-haiku-4-5-20251001-v1:0"),
        lambda: tracer.start_as_current_span("POST /v1/chat/completions", kind=trace.SpanKind.SERVER),
        lambda: [provider.force_flush() for provider in providers],
    )


def traceloop(endpoint: str) -> tuple[Measured, Measured, Callable[[], object]]:
    """Set up ``Traceloop.init()`` with its defaults, sending to the same sink."""
    os.environ |= {"TRACELOOP_BASE_URL": endpoint, "TRACELOOP_TELEMETRY": "false"}
    from opentelemetry import trace
    from traceloop.sdk import Traceloop

    with contextlib.redirect_stdout(sys.stderr):
        Traceloop.init(app_name="bench")
    provider: Any = trace.get_tracer_provider()
    return nothing, nothing, provider.force_flush


def mlflow(endpoint: str) -> tuple[Measured, Measured, Callable[[], object]]:
    """Set up MLflow's autolog, whose traces also go to the sink over OTLP."""
    os.environ |= {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{endpoint}/v1/traces",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    import mlflow.langchain

    mlflow.langchain.autolog()
    return nothing, nothing, lambda: mlflow.flush_trace_async_logging()


async def serve(kind: str, endpoint: str) -> None:
    makers: dict[str, Any] = {
        "none": lambda _: (nothing, nothing, lambda: None),
        "ours": ours,
        "otel": lambda where: ours(where, "otel"),
        "traceloop": traceloop,
        "mlflow": mlflow,
    }
    model_call, request, flush = makers[kind](endpoint)
    agent = create_agent(Model(measured=model_call), [look_up])
    seconds: list[float] = []

    async def one() -> None:
        began = time.perf_counter()
        with request():
            await agent.ainvoke({"messages": [{"role": "user", "content": "Is claim C-1 open?"}]})
        seconds.append(time.perf_counter() - began)

    print("ready", flush=True)
    for line in sys.stdin:
        requests, concurrency = map(int, line.split())
        seconds.clear()
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(requests // concurrency):
            await asyncio.gather(*(one() for _ in range(concurrency)))
        took = time.perf_counter() - began
        flush()
        used = time.process_time() - cpu
        ranked = sorted(seconds)
        print(
            json.dumps(
                {
                    "cpu_ms": used / len(ranked) * 1000,
                    "p50_ms": ranked[len(ranked) // 2] * 1000,
                    "p95_ms": ranked[int(len(ranked) * 0.95)] * 1000,
                    "per_second": len(ranked) / took,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2]))
