"""Metrics of guardrail outcomes."""

from __future__ import annotations

from fmops.guardrails import Action, Outcome
from fmops.telemetry import attributes as names
from fmops.telemetry.metrics import instruments


def observe_guardrails(outcome: Outcome) -> None:
    """Record an outcome: what was decided and by whom, how long the check took, and each question to a
    detector.
    """
    measure, summary = instruments(), outcome.summary()
    decided = {names.GUARDRAIL_DIRECTION: summary["direction"], names.GUARDRAIL_ACTION: summary["action"]}
    measure.guardrail_decisions.add(1, decided)
    if outcome.action is not Action.ALLOW:
        why = {names.GUARDRAIL_DETECTOR: summary["detector"], names.GUARDRAIL_CATEGORY: summary["category"]}
        measure.guardrail_interventions.add(1, decided | why)
    measure.guardrail_duration.record(
        outcome.duration_ms / 1000, {names.GUARDRAIL_DIRECTION: summary["direction"]}
    )
    for call in outcome.calls:
        labels = {
            names.GUARDRAIL_DETECTOR: call.detector,
            names.GUARDRAIL_DIRECTION: call.direction.value,
            names.GUARDRAIL_RESULT: call.result,
        }
        if call.error_type:
            labels[names.ERROR_TYPE] = call.error_type
        measure.detector_duration.record(call.duration_ms / 1000, labels)
