"""The processors that the configuration may name, as functions over spans and metric points."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from local.collector.telemetry import Attributes, Span
from observability.collector.config import (
    OTTL_CONDITION,
    AttributeAction,
    Filter,
    ResourceDetection,
    SamplingPolicy,
    TailSampling,
)


def seconds(duration: str) -> float:
    """A Go duration of one unit in seconds."""
    match = re.fullmatch(r"(\d+)(ms|s|m)", duration)
    if match is None:
        raise ValueError(f"not a duration: {duration!r}")
    return int(match[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0}[match[2]]


def apply_actions(values: Attributes, actions: Iterable[AttributeAction]) -> None:
    """The attributes and resource processors: change ``values`` in place."""
    for action in actions:
        keys = (
            [action.key]
            if action.key is not None
            else [k for k in values if re.search(action.pattern or "", k)]
        )
        for key in keys:
            match action.action:
                case "delete":
                    values.pop(key, None)
                case "hash" if key in values:
                    values[key] = hashlib.sha256(str(values[key]).encode()).hexdigest()
                case "insert":
                    values.setdefault(key, action.value)
                case "update" if key in values:
                    values[key] = action.value
                case "upsert":
                    values[key] = action.value


def detect(settings: ResourceDetection) -> Attributes:
    """What the resource detectors find; ``ecs`` finds nothing outside of ECS, as there."""
    found: Attributes = {}
    if "env" in settings.detectors:
        pairs = (
            pair.partition("=") for pair in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",") if pair
        )
        found |= {name: value for name, _, value in pairs}
    if "system" in settings.detectors:
        found |= {"host.name": socket.gethostname(), "os.type": platform.system().lower()}
    return found


def merged(resource: Attributes, detected: Mapping[str, object], override: bool) -> Attributes:
    return {**resource, **detected} if override else {**detected, **resource}


def keeps(settings: Filter, span: Span) -> bool:
    """The filter processor: whether the span stays. Events that match are taken off."""
    span.events = [
        event
        for event in span.events
        if not any(_holds(c, event.name, event.attributes) for c in settings.traces.spanevent)
    ]
    return not any(_holds(condition, span.name, span.attributes) for condition in settings.traces.span)


def _holds(condition: str, name: str, values: Attributes) -> bool:
    match = OTTL_CONDITION.match(condition)
    if match is None:
        raise ValueError(f"not a condition that the stand-in knows: {condition!r}")
    path = match["path"] or match["left"]
    subject = name if path == "name" else str(values.get(path.split('"')[1], ""))
    return (
        bool(re.search(match["pattern"], subject))
        if match["pattern"] is not None
        else subject == match["value"]
    )


@dataclass
class _Trace:
    arrived: float
    spans: list[Span] = field(default_factory=list)


class TailSampler:
    """Holds each trace for ``decision_wait`` and then keeps or drops it whole; late spans follow the decision."""

    def __init__(self, settings: TailSampling, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._wait = seconds(settings.decision_wait)
        self._clock = clock
        self._waiting: dict[str, _Trace] = {}
        self._decided: dict[str, bool] = {}

    def add(self, spans: Iterable[Span]) -> list[Span]:
        """Takes spans; answers those whose traces were kept already."""
        late: list[Span] = []
        for span in spans:
            if span.trace_id in self._decided:
                if self._decided[span.trace_id]:
                    late.append(span)
                continue
            self._waiting.setdefault(span.trace_id, _Trace(self._clock())).spans.append(span)
        return late

    def due(self, *, everything: bool = False) -> list[Span]:
        """The spans of traces whose wait is over and that a policy keeps."""
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
    if policy.status_code:
        return any(span.status in policy.status_code.status_codes for span in spans)
    if policy.string_attribute:
        key, values = policy.string_attribute.key, policy.string_attribute.values
        return any(span.attributes.get(key) in values or span.resource.get(key) in values for span in spans)
    if policy.latency:
        elapsed = max(span.end for span in spans) - min(span.start for span in spans)
        return elapsed / 1e6 >= policy.latency.threshold_ms
    if policy.probabilistic:
        share = int.from_bytes(hashlib.sha256(trace_id.encode()).digest()[:8], "big") / 2**64
        return share * 100 < policy.probabilistic.sampling_percentage
    return policy.type == "always_sample"
