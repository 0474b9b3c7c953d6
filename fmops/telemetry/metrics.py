"""The metrics of the runtime. Labels are bounded: no user, no text and no id is ever one."""

from __future__ import annotations

from functools import cache

from opentelemetry import metrics
from opentelemetry.metrics import Counter, Histogram, UpDownCounter

from fmops.telemetry import attributes as names
from fmops.telemetry.setup import OWN_METER


class Instruments:
    """All instruments, made once per process from the global meter provider."""

    def __init__(self) -> None:
        meter = metrics.get_meter(OWN_METER)
        self.interactions: Counter = meter.create_counter(
            names.METRIC_INTERACTIONS, unit="{interaction}", description="Interactions by finish reason"
        )
        self.guardrail_decisions: Counter = meter.create_counter(
            names.METRIC_GUARDRAIL_DECISIONS,
            unit="{decision}",
            description="Guardrail decisions by direction and action",
        )
        self.guardrail_duration: Histogram = meter.create_histogram(
            names.METRIC_GUARDRAIL_DURATION,
            unit="s",
            description="Duration of a guardrail check by direction",
        )
        self.authorization_decisions: Counter = meter.create_counter(
            names.METRIC_AUTHORIZATION_DECISIONS,
            unit="{decision}",
            description="Authorization decisions by tool and outcome",
        )
        self.authorization_duration: Histogram = meter.create_histogram(
            names.METRIC_AUTHORIZATION_DURATION,
            unit="s",
            description="Duration of a call to Verified Permissions",
        )
        self.capture_records: Counter = meter.create_counter(
            names.METRIC_CAPTURE_RECORDS,
            unit="{record}",
            description="Captured records by what became of them",
        )
        self.capture_waiting: UpDownCounter = meter.create_up_down_counter(
            names.METRIC_CAPTURE_WAITING,
            unit="{record}",
            description="Records that wait in memory or in the spool",
        )
        self.feedback: Counter = meter.create_counter(
            names.METRIC_FEEDBACK, unit="{rating}", description="Feedback by rating"
        )
        self.token_usage: Histogram = meter.create_histogram(
            names.METRIC_TOKEN_USAGE, unit="{token}", description="Tokens of a model call by type"
        )
        self.operation_duration: Histogram = meter.create_histogram(
            names.METRIC_OPERATION_DURATION, unit="s", description="Duration of a model call"
        )
        self.time_to_first_chunk: Histogram = meter.create_histogram(
            names.METRIC_TIME_TO_FIRST_CHUNK,
            unit="s",
            description="Time to the first vetted text of a streamed answer",
        )


@cache
def instruments() -> Instruments:
    """The process's instruments."""
    return Instruments()
