"""The processors that the configuration may name, as functions over spans and metric points."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from local.collector.telemetry import Attributes, Span
from observability.collector.component import seconds
from observability.collector.config import (
    OTTL_CONDITION,
    AttributeAction,
    Filter,
    ResourceDetection,
    SamplingPolicy,
    TailSampling,
)
from observability.collector.ottl import unquoted
from observability.collector.patterns import compile_pattern


def apply_actions(values: Attributes, actions: Iterable[AttributeAction]) -> None:
    """Apply the attributes and resource processors: change ``values`` in place."""
    for action in actions:
        if action.action in ("delete", "hash"):
            matching = compile_pattern(action.pattern) if action.pattern else None
            for key in [k for k in values if k == action.key or (matching and matching.search(k))]:
                if action.action == "delete":
                    del values[key]
                else:
                    values[key] = hashlib.sha256(str(values[key]).encode()).hexdigest()
            continue
        if action.from_attribute and action.from_attribute not in values:
            continue
        value = values[action.from_attribute] if action.from_attribute else action.value
        exists = action.key in values
        if action.action == "upsert" or exists == (action.action == "update"):
            values[action.key] = value


def detect(settings: ResourceDetection) -> Attributes:
    """Return the attributes that the resource detectors find: ``ecs`` and ``lambda`` find none outside
    of their service."""
    found: Attributes = {}
    for detector in settings.detectors:
        # The first detector that knows an attribute wins.
        found = {**_DETECTED.get(detector, dict)(), **found}
    return found


def _of_environment() -> Attributes:
    pairs = (
        pair.partition("=") for pair in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",") if pair
    )
    return {name: value for name, _, value in pairs}


def _of_system() -> Attributes:
    return {"host.name": socket.gethostname(), "os.type": platform.system().lower()}


def _of_lambda() -> Attributes:
    name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
    if not name:
        return {}
    variables = {
        "cloud.region": "AWS_REGION",
        "faas.version": "AWS_LAMBDA_FUNCTION_VERSION",
        "faas.max_memory": "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "faas.instance": "AWS_LAMBDA_LOG_STREAM_NAME",
    }
    found: Attributes = {"cloud.provider": "aws", "cloud.platform": "aws_lambda", "faas.name": name}
    found |= {key: os.environ[variable] for key, variable in variables.items() if variable in os.environ}
    if group := os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME"):
        found["aws.log.group.names"] = [group]
    return found


_DETECTED: dict[str, Callable[[], Attributes]] = {
    "env": _of_environment,
    "system": _of_system,
    "lambda": _of_lambda,
}


def merged(resource: Attributes, detected: Mapping[str, object], override: bool) -> Attributes:
    return {**resource, **detected} if override else {**detected, **resource}


def keeps(settings: Filter, span: Span) -> bool:
    """Apply the filter processor: return whether the span stays, and remove events that match."""
    span.events = [
        event
        for event in span.events
        if not any(_holds(c, event.name, event.attributes) for c in settings.traces.spanevent)
    ]
    return not any(_holds(condition, span.name, span.attributes) for condition in settings.traces.span)


def _holds(condition: str, name: str, values: Attributes) -> bool:
    match = OTTL_CONDITION.match(condition)
    if match is None:
        raise ValueError(f"not a condition that the stand-in supports: {condition!r}")
    path = match["path"] or match["left"]
    subject = name if path == "name" else str(values.get(path.split('"')[1], ""))
    if match["pattern"] is not None:
        return bool(compile_pattern(unquoted(match["pattern"])).search(subject))
    return subject == unquoted(match["value"])


@dataclass
class _Trace:
    arrived: float
    spans: list[Span] = field(default_factory=list)


class TailSampler:
    """Holds each trace for ``decision_wait`` and then keeps or drops it as a whole; late spans
    follow the decision."""

    def __init__(self, settings: TailSampling, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._wait = seconds(settings.decision_wait)
        self._clock = clock
        self._waiting: dict[str, _Trace] = {}
        self._decided: dict[str, bool] = {}

    def add(self, spans: Iterable[Span]) -> list[Span]:
        """Add spans, and return those whose traces are already kept."""
        late: list[Span] = []
        for span in spans:
            if span.trace_id in self._decided:
                if self._decided[span.trace_id]:
                    late.append(span)
                continue
            self._waiting.setdefault(span.trace_id, _Trace(self._clock())).spans.append(span)
        return late

    def due(self, *, everything: bool = False) -> list[Span]:
        """Return the spans of traces whose wait is over and that a policy keeps."""
        now = self._clock()
        over = len(self._waiting) - self._settings.num_traces
        ready = [
            trace_id
            for position, (trace_id, trace) in enumerate(self._waiting.items())
            if everything or now - trace.arrived >= self._wait or position < over
        ]
        kept: list[Span] = []
        for trace_id in ready:
            trace = self._waiting.pop(trace_id)
            self._decided[trace_id] = any(
                _samples(policy, trace_id, trace.spans) for policy in self._settings.policies
            )
            if self._decided[trace_id]:
                kept += trace.spans
        while len(self._decided) > self._settings.num_traces:
            self._decided.pop(next(iter(self._decided)))
        return kept


def _samples(policy: SamplingPolicy, trace_id: str, spans: list[Span]) -> bool:
    if policy.type == "status_code" and policy.status_code:
        return any(span.status in policy.status_code.status_codes for span in spans)
    if policy.type == "string_attribute" and policy.string_attribute:
        key, values = policy.string_attribute.key, policy.string_attribute.values
        return any(span.attributes.get(key) in values or span.resource.get(key) in values for span in spans)
    if policy.type == "latency" and policy.latency:
        elapsed = max(span.end for span in spans) - min(span.start for span in spans)
        return elapsed / 1e6 >= policy.latency.threshold_ms
    if policy.type == "probabilistic" and policy.probabilistic:
        share = int.from_bytes(hashlib.sha256(trace_id.encode()).digest()[:8], "big") / 2**64
        return share * 100 < policy.probabilistic.sampling_percentage
    return policy.type == "always_sample"
