"""Metrics of guardrail outcomes."""

from __future__ import annotations

from fmops.guardrails import Outcome
from fmops.telemetry import attributes as names
from fmops.telemetry.metrics import instruments


def observe_guardrails(outcome: Outcome) -> None:
    """A guardrail observer: decisions by direction, action and deciding detector, and the duration of the check."""
    summary = outcome.summary()
    instruments().guardrail_decisions.add(
        1,
        {
            names.GUARDRAIL_DIRECTION: summary["direction"],
            names.GUARDRAIL_ACTION: summary["action"],
            names.GUARDRAIL_DETECTOR: summary["detector"],
            names.GUARDRAIL_DEGRADED: outcome.degraded,
        },
    )
    instruments().guardrail_duration.record(
        outcome.duration_ms / 1000, {names.GUARDRAIL_DIRECTION: summary["direction"]}
    )
