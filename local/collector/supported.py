"""Settings that ADOT accepts and the stand-in does not implement: it refuses to start with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from observability.collector.component import Opaque
from observability.collector.config import (
    OTTL_CONDITION,
    AttributeAction,
    Attributes,
    AwsXray,
    CollectorConfig,
    Filter,
    MemoryLimiter,
    PrometheusRemoteWrite,
    ResourceDetection,
    SamplingPolicy,
    kind,
)
from observability.collector.processors import FilterTraces
from observability.collector.sampling import LatencyPolicy, StringAttributePolicy

REFUSED: dict[type[BaseModel], set[str]] = {
    AttributeAction: {"from_context", "converted_type"},
    Attributes: {"include", "exclude"},
    AwsXray: {"role_arn", "resource_arn", "telemetry", "middleware", "proxy_address"},
    Filter: {"metrics", "logs", "spans", "trace_conditions", "metric_conditions", "log_conditions"},
    FilterTraces: {"resource"},
    LatencyPolicy: {"upper_threshold_ms"},
    MemoryLimiter: {"limit_percentage", "spike_limit_percentage"},
    PrometheusRemoteWrite: {"wal", "http", "send_metadata"},
    ResourceDetection: {"refresh_interval"},
    StringAttributePolicy: {"enabled_regex_matching", "invert_match"},
}
"""Settings that change what is sent."""
POLICIES = {"status_code", "string_attribute", "latency", "probabilistic", "always_sample"}
STRATEGIES = {"", "UnderscoreEscapingWithSuffixes", "UnderscoreEscapingWithoutSuffixes"}
ONLY_TRACES = {"attributes", "filter"}
"""Processors that accept metrics in ADOT, but only traces here."""


def check_supported(config: CollectorConfig) -> None:
    """Raise ``ValueError`` that names the first setting that only a real collector implements."""
    for path, component in _used(config):
        for where, reason in _reasons(path, component):
            raise ValueError(
                f"{where}: the stand-in does not implement {reason}; put a real collector on PATH"
            )
    for name, pipeline in config.service.pipelines.items():
        for processor in pipeline.processors if kind(name) == "metrics" else []:
            if kind(processor) in ONLY_TRACES:
                raise ValueError(
                    f"service.pipelines.{name}.processors: the stand-in applies {processor} to traces only; "
                    "put a real collector on PATH"
                )


def _used(config: CollectorConfig) -> Iterator[tuple[str, Any]]:
    for pipeline in config.service.pipelines.values():
        for section in ("receivers", "processors", "exporters"):
            for name in getattr(pipeline, section):
                yield f"{section}.{name}", getattr(config, section)[name]
    for name in config.service.extensions:
        yield f"extensions.{name}", config.extensions[name]


def _reasons(path: str, given: Any) -> Iterator[tuple[str, str]]:
    """Return the settings of a component that are not implemented, with their paths."""
    if isinstance(given, Opaque):
        yield path, "this component"
    elif isinstance(given, BaseModel):
        for name in sorted(given.model_fields_set & REFUSED.get(type(given), set())):
            # A setting that equals the default needs no implementation.
            if getattr(given, name) != type(given).model_fields[name].get_default():
                yield f"{path}.{name}", "this setting"
        yield from _values(path, given)
        for name in type(given).model_fields:
            yield from _reasons(f"{path}.{name}", getattr(given, name))
    elif isinstance(given, list):
        for position, item in enumerate(given):
            yield from _reasons(f"{path}.{position}", item)


def _values(path: str, given: BaseModel) -> Iterator[tuple[str, str]]:
    if isinstance(given, SamplingPolicy) and given.type not in POLICIES:
        yield f"{path}.type", f"policies of type {given.type}"
    if isinstance(given, AttributeAction) and given.action in ("extract", "convert"):
        yield f"{path}.action", f"the action {given.action}"
    if isinstance(given, PrometheusRemoteWrite):
        if given.translation_strategy not in STRATEGIES:
            yield f"{path}.translation_strategy", given.translation_strategy
        if given.protobuf_message != "prometheus.WriteRequest":
            yield f"{path}.protobuf_message", "remote write 2.0"
    if isinstance(given, FilterTraces):
        for condition in [*given.span, *given.spanevent]:
            if not OTTL_CONDITION.match(condition):
                yield path, f"the condition {condition!r}"
