"""OpenTelemetry for the whole process: providers, exporters, views and the LangChain instrumentation."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from uuid import uuid4

from opentelemetry import metrics, propagate, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagators.aws import AwsXRayPropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fmops.telemetry import attributes as names
from fmops.telemetry.instrumentors import Instrumentor, instrument
from fmops.telemetry.metrics import METER, instruments
from fmops.telemetry.redaction import RedactingSpanExporter

EXPORT_SECONDS = 5
"""Seconds for one export with its retries; data not delivered by then is dropped, and counted."""


def start(
    *,
    instrumentor: Instrumentor = "openllmetry",
    exporter: SpanExporter | None = None,
    reader: MetricReader | None = None,
    content_exporter: SpanExporter | None = None,
) -> Callable[[], None]:
    """Install the providers and instrument LangChain; return the function that flushes and stops them.

    With a ``content_exporter``, spans are recorded with prompts and answers: it gets them whole, and every
    other exporter gets them cleaned.

    Exporters and their intervals follow the standard ``OTEL_*`` variables. Every span is recorded, whatever a
    caller's header says about sampling, because the collector samples. Spans wait in a bounded queue, so that
    no request waits for the collector; the SDK's own metrics (``otel.sdk.*``) count what was dropped.
    """
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http,gen_ai_latest_experimental"
    os.environ.setdefault("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    resource = Resource.create()
    if names.SERVICE_INSTANCE_ID not in resource.attributes:
        # Without it, the series of two tasks would be one series with two sources.
        resource = resource.merge(Resource({names.SERVICE_INSTANCE_ID: str(uuid4())}))

    reader = reader or PeriodicExportingMetricReader(OTLPMetricExporter(timeout=EXPORT_SECONDS))
    # No dashboard reads exemplars, and choosing them is a quarter of what a measurement costs.
    meter_provider = MeterProvider(
        resource=resource, metric_readers=[reader], views=views(), exemplar_filter=AlwaysOffExemplarFilter()
    )
    metrics.set_meter_provider(meter_provider)

    # Of the SDK's own metrics, only the processor's and the exporter's are kept: counting each span would
    # slow
    # every request.
    uncounted = metrics.NoOpMeterProvider()
    tracer_provider = TracerProvider(resource=resource, sampler=ALWAYS_ON, meter_provider=uncounted)
    redacting = RedactingSpanExporter(exporter or OTLPSpanExporter(timeout=EXPORT_SECONDS))
    tracer_provider.add_span_processor(BatchSpanProcessor(redacting, meter_provider=meter_provider))
    if content_exporter is not None:
        tracer_provider.add_span_processor(BatchSpanProcessor(content_exporter, meter_provider=uncounted))
    trace.set_tracer_provider(tracer_provider)

    # The load balancer sends X-Amzn-Trace-Id, other services send traceparent; the last one that is present wins.
    propagate.set_global_textmap(CompositePropagator([AwsXRayPropagator(), TraceContextTextMapPropagator()]))
    instrument(instrumentor, tracer_provider, content=content_exporter is not None)
    instruments()
    # The zeros are sent at once, in the background, so that counters exist before the first request.
    threading.Thread(target=meter_provider.force_flush, name="first-metrics", daemon=True).start()

    def stop() -> None:
        tracer_provider.shutdown()
        meter_provider.shutdown()

    return stop


def flush(seconds: float = EXPORT_SECONDS) -> None:
    """Export the waiting spans and the current metrics, each within ``seconds``."""
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
        if isinstance(provider, TracerProvider | MeterProvider):
            provider.force_flush(int(seconds * 1000))


def views() -> list[View]:
    """Return histograms with the conventions' boundaries: the SDK's defaults begin at five seconds."""
    duration = ExplicitBucketHistogramAggregation(names.DURATION_BUCKETS)
    tokens = ExplicitBucketHistogramAggregation(names.TOKEN_BUCKETS)
    similarity = ExplicitBucketHistogramAggregation(names.SIMILARITY_BUCKETS)
    dropped = DropAggregation()
    return [
        View(instrument_name="*duration", meter_name=METER, aggregation=duration),
        View(instrument_name="*.time_to_first_*", meter_name=METER, aggregation=duration),
        View(instrument_name=names.METRIC_TOKEN_USAGE, meter_name=METER, aggregation=tokens),
        View(instrument_name=names.METRIC_RETRIEVAL_SIMILARITY, meter_name=METER, aggregation=similarity),
        View(instrument_name="http.server.request.duration", aggregation=duration),
        View(instrument_name="http.server.*.body.size", aggregation=dropped),
        View(instrument_name="otel.sdk.metric_reader.*", aggregation=dropped),
        View(instrument_name="otel.sdk.exporter.operation.duration", aggregation=dropped),
        View(instrument_name="otel.sdk.exporter.metric_data_point.*", aggregation=dropped),
    ]
