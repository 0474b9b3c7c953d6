"""OpenTelemetry for the whole process: providers, exporters, views and the LangChain instrumentation."""

from __future__ import annotations

import os
from collections.abc import Callable

from opentelemetry import metrics, propagate, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagators.aws import AwsXRayPropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fmops.telemetry import attributes as names
from fmops.telemetry.redaction import RedactingSpanExporter

METRIC_INTERVAL_MS = 5_000
OWN_METER = "fmops"


def start(*, exporter: SpanExporter | None = None, reader: MetricReader | None = None) -> Callable[[], None]:
    """Install the providers and instrument LangChain; answers the function that flushes and stops them.

    Exporters read the standard ``OTEL_EXPORTER_OTLP_*`` variables. Every span is recorded: the collector samples,
    because the instrumentation counts tokens only for spans that are sampled in the process.
    """
    os.environ["TRACELOOP_TRACE_CONTENT"] = "false"
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    resource = Resource.create()

    tracer_provider = TracerProvider(resource=resource)
    tracer_provider.add_span_processor(
        BatchSpanProcessor(RedactingSpanExporter(exporter or OTLPSpanExporter()))
    )
    trace.set_tracer_provider(tracer_provider)

    reader = reader or PeriodicExportingMetricReader(
        OTLPMetricExporter(), export_interval_millis=METRIC_INTERVAL_MS
    )
    meter_provider = MeterProvider(resource=resource, metric_readers=[reader], views=views())
    metrics.set_meter_provider(meter_provider)

    # The load balancer sends X-Amzn-Trace-Id, other services send traceparent; the last one that is present wins.
    propagate.set_global_textmap(CompositePropagator([AwsXRayPropagator(), TraceContextTextMapPropagator()]))
    _instrument_langchain(tracer_provider, meter_provider)

    def stop() -> None:
        tracer_provider.shutdown()
        meter_provider.shutdown()

    return stop


def views() -> list[View]:
    """Histograms with the conventions' boundaries: the SDK's defaults begin at five seconds.

    The instrumentation's own GenAI metrics are dropped: they miss failed calls, and declare the unit ``token``,
    which changes the metric's name in Prometheus. Ours follow the conventions.
    """
    duration = ExplicitBucketHistogramAggregation(names.DURATION_BUCKETS)
    tokens = ExplicitBucketHistogramAggregation(names.TOKEN_BUCKETS)
    return [
        View(
            meter_name="opentelemetry.instrumentation.langchain",
            instrument_name="*",
            aggregation=DropAggregation(),
        ),
        View(instrument_name="*duration", meter_name=OWN_METER, aggregation=duration),
        View(instrument_name=names.METRIC_TIME_TO_FIRST_CHUNK, meter_name=OWN_METER, aggregation=duration),
        View(instrument_name=names.METRIC_TOKEN_USAGE, meter_name=OWN_METER, aggregation=tokens),
        View(instrument_name="http.server.request.duration", aggregation=duration),
    ]


def _instrument_langchain(tracer_provider: TracerProvider, meter_provider: MeterProvider) -> None:
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    class Instrumentor(LangchainInstrumentor):
        def _wrap_middleware_hooks(self, tracer: object) -> None:
            """Not wrapped: it turns every hook that a middleware does not have into a step of the agent's graph."""

    instrumentor = Instrumentor()
    if not instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.instrument(tracer_provider=tracer_provider, meter_provider=meter_provider)
