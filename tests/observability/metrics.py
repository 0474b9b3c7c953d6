"""Metrics that exist, and metrics that an expression names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
from opentelemetry import metrics
from opentelemetry.metrics import NoOpMeter

from fmops.telemetry.metrics import Instruments
from local.collector.remote_write import metric_name

FOREIGN = {
    "http_server_request_duration_seconds_bucket": "FastAPI's instrumentation",
    "http_server_request_duration_seconds_count": "FastAPI's instrumentation",
    "http_server_active_requests": "FastAPI's instrumentation",
    "otel_sdk_processor_span_processed_total": "the SDK's own metrics",
    "otel_sdk_exporter_span_exported_total": "the SDK's own metrics",
    "ALERTS": "Prometheus",
}
"""Metrics that others emit, which tests/rehearsal verifies after a run."""


class Declared(NoOpMeter):
    """A meter that notes the instruments that are created."""

    def __init__(self) -> None:
        super().__init__("declared")
        self.names: set[str] = set()

    def create_counter(self, name: str, unit: str = "", description: str = "") -> Any:
        self.names.add(metric_name(name, unit, "sum", monotonic=True))
        return super().create_counter(name, unit, description)

    def create_observable_gauge(
        self, name: str, callbacks: Any = None, unit: str = "", description: str = ""
    ) -> Any:
        self.names.add(metric_name(name, unit, "gauge", monotonic=False))
        return super().create_observable_gauge(name, callbacks, unit, description)

    def create_histogram(self, name: str, unit: str = "", description: str = "", **others: Any) -> Any:
        base = metric_name(name, unit, "histogram", monotonic=False)
        self.names |= {f"{base}_{part}" for part in ("bucket", "sum", "count")}
        return super().create_histogram(name, unit, description, **others)


def declared(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the names in Prometheus of the metrics that the runtime declares."""
    meter = Declared()
    monkeypatch.setattr(metrics, "get_meter", lambda *_: meter)
    Instruments()
    return meter.names


def named(expression: str) -> set[str]:
    """Return the metrics that an expression names. Raises ``ValueError`` for invalid PromQL."""
    for variable, value in {"$service": ".*", "$__rate_interval": "1m", "$__range": "1h"}.items():
        expression = expression.replace(variable, value)
    return {selector.name for selector in _selectors(promql_parser.parse(expression))}


def _selectors(node: Any) -> Iterator[Any]:
    if isinstance(node, promql_parser.VectorSelector):
        yield node
        return
    for attribute in ("expr", "lhs", "rhs", "vector_selector", "args", "param"):
        child = getattr(node, attribute, None)
        for each in child if isinstance(child, list | tuple) else [child]:
            if isinstance(each, promql_parser.Expr):
                yield from _selectors(each)
