"""The end of an interaction: written into its record, counted, and added to the request's span."""

from __future__ import annotations

import logging

from opentelemetry import trace

from fmops.conversation.answering import Cut
from fmops.conversation.failures import TOOL_FAILED, AnswerFailedError, Failure, cause_of
from fmops.conversation.trail import trail
from fmops.frames import where
from fmops.guardrails import Action
from fmops.interaction import FinishReason, GuardrailOutcome, Interaction
from fmops.telemetry import attributes as names
from fmops.telemetry.metrics import instruments

SERVER_STOPPED = "ServerStopped"
"""``error_type`` of an answer that was cut because the server stopped."""

_log = logging.getLogger(__name__)


def conclude(interaction: Interaction, how: BaseException | Cut | None, finish: FinishReason) -> None:
    """Record in the interaction how it ended. A finish reason already set, such as a block's, stays unless the
    answer failed."""
    if isinstance(how, BaseException) or how is Cut.SERVER:
        interaction.finish_reason = "error"
        failure = how.failure if isinstance(how, AnswerFailedError) else None
        interaction.error_type = (failure and failure.error_type) or (
            cause_of(how) if isinstance(how, BaseException) else SERVER_STOPPED
        )
        # A fault of our own or of a tool is in our code; that of a service is told by its type.
        place = f" at {where(how)}" if isinstance(how, BaseException) and _is_ours(failure) else ""
        _log.error("interaction %s failed: %s%s", interaction.interaction_id, interaction.error_type, place)
    elif not interaction.finish_reason:
        interaction.finish_reason = "client_disconnect" if how is Cut.CLIENT else finish or "stop"


def tell(span: trace.Span, interaction: Interaction) -> None:
    """Count the interaction, and put its outcome on the request's span, by which the collector samples."""
    labels: dict[str, str] = {names.INTERACTION_FINISH_REASON: interaction.finish_reason}
    if interaction.error_type:
        labels[names.ERROR_TYPE] = interaction.error_type
        span.set_status(trace.StatusCode.ERROR)
    instruments().interactions.add(1, labels)
    span.set_attributes(labels)
    span.set_attribute(names.PROMPT_NAME, interaction.prompt_name)
    span.set_attribute(names.PROMPT_VERSION, interaction.prompt_version)
    if interaction.guardrails:
        severest = max(
            (Action(each.action) for each in interaction.guardrails), key=lambda each: each.severity
        )
        span.set_attribute(names.GUARDRAIL_ACTION, severest.value)
        decided = {_decided(each) for each in interaction.guardrails if each.action != Action.ALLOW}
        span.set_attribute(names.GUARDRAIL_DECISIONS, sorted(decided))
    if decisions := {each.decision for each in interaction.authorization}:
        span.set_attribute(names.AUTHORIZATION_DECISION, "DENY" if "DENY" in decisions else "ALLOW")
    span.set_attributes(trail(interaction))


def _is_ours(failure: Failure | None) -> bool:
    return failure is None or failure.code == TOOL_FAILED


def _decided(outcome: GuardrailOutcome) -> str:
    return f"{outcome.direction} {outcome.action} {outcome.detector} {outcome.reason}"
