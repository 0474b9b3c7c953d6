"""The choice of package that makes the spans of the agent, its model calls and its tools: one at a time, since
each makes all."""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable, Mapping
from typing import Any, Literal
from weakref import WeakKeyDictionary

import langsmith
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NonRecordingSpan, Span, Tracer, TracerProvider

_READ_METADATA = ("session_id", "ls_model_name")
"""Names of LangChain's metadata that are exported, or that OpenLLMetry reads itself."""

Instrumentor = Literal["openllmetry", "otel"]
"""``openllmetry``: Traceloop's package. ``otel``: OpenTelemetry's own, beta."""


def instrument(kind: Instrumentor, tracer_provider: TracerProvider, *, content: bool = False) -> None:
    """Instrument LangChain, once per process; what people and models say is in its spans only with ``content``.

    The packages' own metrics are switched off: OpenLLMetry's miss failed calls and declare the unit ``token``,
    which changes the metric's name in Prometheus. Ours (``fmops.telemetry.model``) follow the conventions
    whichever package instruments LangChain.
    """
    langsmith.set_runtime_overrides(aio_to_thread=_at_once)
    os.environ["TRACELOOP_TRACE_CONTENT"] = str(content).lower()
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = (
        "SPAN_ONLY" if content else "NO_CONTENT"
    )
    instrumentor = _openllmetry(content=content) if kind == "openllmetry" else _opentelemetry()
    if not instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.instrument(
            tracer_provider=WithoutSteps(tracer_provider), meter_provider=NoOpMeterProvider()
        )


async def _at_once(
    _: object, context: contextvars.Context, function: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    """Run a function at once in its context.

    It replaces LangChain's tracing of every layer by LangSmith, which asks a thread twice per call to do
    nothing when it is off.
    """
    return context.run(function, *args, **kwargs)


def _openllmetry(*, content: bool) -> Any:
    from opentelemetry.instrumentation import langchain
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor, langgraph_utils

    langgraph_utils.extract_graph_structure = _once_per_graph(langgraph_utils.extract_graph_structure)
    package: Any = langchain
    package.TraceloopCallbackHandler = _without_vain_work(package.TraceloopCallbackHandler, content=content)

    class OpenLLMetry(LangchainInstrumentor):
        def _wrap_middleware_hooks(self, tracer: object) -> None:
            """Skip the hooks: wrapping would turn every hook that a middleware lacks into a step of the agent's
            graph."""

    return OpenLLMetry()


def _once_per_graph(extract: Any) -> Any:
    """Cache the graph's structure: OpenLLMetry draws it anew for every request, but it never changes."""
    known: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def structure(graph: Any) -> Any:
        if graph not in known:
            known[graph] = extract(graph)
        return known[graph]

    return structure


def _without_vain_work(handler: Any, *, content: bool) -> Any:
    """Return the handler without attributes and contexts that go nowhere.

    The graph's steps have no spans here (``WithoutSteps``). Without ``content``, the exporter drops nearly all of
    LangChain's metadata (``redaction``), so they are not even recorded.
    """
    from opentelemetry.instrumentation.langchain.span_utils import SpanHolder

    class Handler(handler):  # type: ignore[misc]
        def _create_span(self, *args: Any, metadata: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
            if metadata is not None and not content:
                metadata = {name: metadata[name] for name in _READ_METADATA if name in metadata}
            return super()._create_span(*args, metadata=metadata, **kwargs)

        def _create_task_span(
            self,
            run_id: Any,
            parent_run_id: Any,
            name: str,
            kind: Any,
            workflow_name: str,
            *args: Any,
            **kwargs: Any,
        ) -> Any:
            if kind.value == "tool":
                return super()._create_task_span(
                    run_id, parent_run_id, name, kind, workflow_name, *args, **kwargs
                )
            entity_name, entity_path, *_ = args
            parent = self.spans.get(parent_run_id)
            above = parent.span if parent else trace.get_current_span()
            span = above if isinstance(above, _Step) else _Step(above.get_span_context())
            if parent:
                parent.children.append(run_id)
            self.spans[run_id] = SpanHolder(
                span, None, Context(), [], workflow_name, entity_name, entity_path
            )
            return span

    return Handler


def _opentelemetry() -> Any:
    from opentelemetry.instrumentation.genai import langchain

    made: Any = langchain.LangChainInstrumentor
    return made()


class WithoutSteps(TracerProvider):
    """A provider of tracers that leave out the steps of the agent's graph, a third of a trace's spans.

    They only repeat the structure of the code. The spans within a step (a model call, a tool, a guardrail)
    become children of the agent's own span. The creation of the agent is left out too: without a parent, it
    would appear as a service of its own on X-Ray's map.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider

    def get_tracer(self, *args: Any, **kwargs: Any) -> Tracer:
        return _Tracer(self._provider.get_tracer(*args, **kwargs))


class _Tracer(Tracer):
    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def start_span(self, name: str, context: Context | None = None, *args: Any, **kwargs: Any) -> Span:
        if _is_step(name):
            return _Step(trace.get_current_span(context).get_span_context())
        return self._tracer.start_span(name, context, *args, **kwargs)

    def start_as_current_span(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self._tracer.start_as_current_span(name, *args, **kwargs)


class _Step(NonRecordingSpan):
    """A stand-in for its parent: spans that begin under it become the parent's children."""

    end_time = 0
    """End time, which OpenLLMetry reads to learn whether the span has ended."""


def _is_step(name: str) -> bool:
    return name.startswith(("execute_task ", "create_agent ")) or name.endswith(".workflow")
