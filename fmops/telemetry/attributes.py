"""Every attribute and metric name that we emit ourselves.

Names of the OpenTelemetry semantic conventions stand as they are published; ours begin with ``fmops.``.
"""

from __future__ import annotations

import re
from typing import Final

INTERACTION_ID: Final = "fmops.interaction.id"
SESSION_ID: Final = "session.id"
USER_HASH: Final = "user.hash"
ERROR_TYPE: Final = "error.type"

AUTHORIZATION_ACTION: Final = "fmops.authorization.action"
AUTHORIZATION_DECISION: Final = "fmops.authorization.decision"
AUTHORIZATION_POLICIES: Final = "fmops.authorization.determining_policies"
AUTHORIZATION_REASON: Final = "fmops.authorization.reason"

GUARDRAIL_DIRECTION: Final = "fmops.guardrail.direction"
GUARDRAIL_ACTION: Final = "fmops.guardrail.action"
GUARDRAIL_DETECTOR: Final = "fmops.guardrail.detector"
GUARDRAIL_DEGRADED: Final = "fmops.guardrail.degraded"
GUARDRAIL_CATEGORY: Final = "fmops.guardrail.category"

RETRIEVAL_DOCUMENTS: Final = "fmops.retrieval.documents"
CAPTURE_RESULT: Final = "fmops.capture.result"
FEEDBACK_RATING: Final = "fmops.feedback.rating"

GEN_AI_OPERATION: Final = "gen_ai.operation.name"
GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"
GEN_AI_PROVIDER: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_TOKEN_TYPE: Final = "gen_ai.token.type"

CONTENT: Final = re.compile(
    r"^(gen_ai\.(input\.messages|output\.messages|system_instructions|tool\.definitions"
    r"|tool\.call\.(arguments|result)|task\.(input|output)|prompt|completion)"
    r"|traceloop\.entity\.(input|output)"
    r"|traceloop\.association\.properties\.(?!session_id$)"
    r"|exception\.(message|stacktrace))"
)
"""Span attributes that carry, or may carry, what people and models said."""

METRIC_GUARDRAIL_DECISIONS: Final = "fmops.guardrail.decisions"
METRIC_GUARDRAIL_DURATION: Final = "fmops.guardrail.duration"
METRIC_AUTHORIZATION_DECISIONS: Final = "fmops.authorization.decisions"
METRIC_AUTHORIZATION_DURATION: Final = "fmops.authorization.duration"
METRIC_CAPTURE_RECORDS: Final = "fmops.capture.records"
METRIC_CAPTURE_WAITING: Final = "fmops.capture.waiting"
METRIC_FEEDBACK: Final = "fmops.feedback"
METRIC_INTERACTIONS: Final = "fmops.interactions"
METRIC_TOKEN_USAGE: Final = "gen_ai.client.token.usage"
METRIC_OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
METRIC_TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"

DURATION_BUCKETS: Final = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
)
"""Seconds; the boundaries of gen_ai.client.operation.duration in the GenAI semantic conventions."""

TOKEN_BUCKETS: Final = tuple(4**exponent for exponent in range(14))
"""Tokens; the boundaries of gen_ai.client.token.usage in the GenAI semantic conventions."""
