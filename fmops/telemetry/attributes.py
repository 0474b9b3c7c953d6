"""Every attribute and metric name that we emit ourselves. It imports nothing of the runtime, so every part may
use it.

Names from the OpenTelemetry semantic conventions are used as published; ours begin with ``fmops.``.
"""

from __future__ import annotations

import re
from typing import Final

INTERACTION_ID: Final = "fmops.interaction.id"
INTERACTION_FINISH_REASON: Final = "fmops.interaction.finish_reason"
SESSION_ID: Final = "session.id"
USER_HASH: Final = "user.hash"
ERROR_TYPE: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
SERVICE_INSTANCE_ID: Final = "service.instance.id"

AUTHORIZATION_ACTION: Final = "fmops.authorization.action"
AUTHORIZATION_DECISION: Final = "fmops.authorization.decision"
AUTHORIZATION_POLICIES: Final = "fmops.authorization.determining_policies"
AUTHORIZATION_REASON: Final = "fmops.authorization.reason"
AUTHORIZATION_DECISIONS: Final = "fmops.authorization.decisions"
"""Attribute of a request's span: action, type of the resource, decision, reason, policies and milliseconds of each
decision."""

GUARDRAIL_DIRECTION: Final = "fmops.guardrail.direction"
GUARDRAIL_ACTION: Final = "fmops.guardrail.action"
GUARDRAIL_DECISIONS: Final = "fmops.guardrail.decisions"
"""Attribute of a request's span: direction, action, detector and reason of each decision that had an effect.
"""
GUARDRAIL_CHECKS: Final = "fmops.guardrail.checks"
"""Attribute of a request's span: direction, action, detector, reason and milliseconds of each check."""
GUARDRAIL_DETECTOR: Final = "fmops.guardrail.detector"
GUARDRAIL_CATEGORY: Final = "fmops.guardrail.category"
GUARDRAIL_RESULT: Final = "fmops.guardrail.result"
GUARDRAIL_FINDINGS: Final = "fmops.guardrail.findings"
GUARDRAIL_REQUESTS: Final = "fmops.guardrail.requests"

PROMPT_NAME: Final = "fmops.prompt.name"
PROMPT_VERSION: Final = "fmops.prompt.version"
PROMPT_RESULT: Final = "fmops.prompt.result"

RETRIEVAL_FOUND: Final = "fmops.retrieval.found"
RETRIEVAL_READABLE: Final = "fmops.retrieval.readable"
RETRIEVAL_OUTCOME: Final = "fmops.retrieval.outcome"
CAPTURE_RESULT: Final = "fmops.capture.result"
CAPTURE_PLACE: Final = "fmops.capture.place"
FEEDBACK_RATING: Final = "fmops.feedback.rating"
BUDGET_SCOPE: Final = "fmops.budget.scope"
BUDGET_WINDOW: Final = "fmops.budget.window"
BUDGET_UNIT: Final = "fmops.budget.unit"
BUDGET_ACTION: Final = "fmops.budget.action"
BUDGET_RESULT: Final = "fmops.budget.result"
TURN_LIMIT: Final = "fmops.turn.limit"
"""Owner of the limit that refused a turn: the task or the user."""
TOOL_STATUS: Final = "fmops.tool.status"
TOOL_CALLS: Final = "fmops.tool.calls"
"""Attribute of a request's span: name, status and milliseconds of each tool call."""
USAGE_INPUT_TOKENS: Final = "fmops.usage.input_tokens"
"""Attribute of a request's span, with another name than a model call's, so that no one adds up both."""
USAGE_OUTPUT_TOKENS: Final = "fmops.usage.output_tokens"
COST_USD: Final = "fmops.cost.usd"

GEN_AI_OPERATION: Final = "gen_ai.operation.name"
GEN_AI_AGENT_NAME: Final = "gen_ai.agent.name"
GEN_AI_DATA_SOURCE: Final = "gen_ai.data_source.id"
GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"
GEN_AI_PROVIDER: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_INPUT_MESSAGES: Final = "gen_ai.input.messages"
GEN_AI_OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
GEN_AI_TOKEN_TYPE: Final = "gen_ai.token.type"
GEN_AI_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"

CONTENT: Final = re.compile(
    r"^(gen_ai\.(input\.messages|output\.messages|system_instructions|tool\.definitions"
    r"|tool\.call\.(arguments|result)|task\.(input|output)|prompt|completion)"
    r"|traceloop\.entity\.(input|output)"
    r"|traceloop\.association\.properties\.(?!session_id$)"
    r"|exception\.(message|stacktrace))"
)
"""Span attributes that carry, or may carry, what people and models said."""

PERSONAL: Final = re.compile(
    r"^(client\.|user_agent|enduser\.|net\.(peer|sock|host)\.|network\.(peer|local)\."
    r"|http\.(client_ip|user_agent|url|target|host|server_name|(request|response)\.header)"
    r"|url\.(full|original|path|query|fragment))"
)
"""Span attributes that say who called, from where, and with what in the address. ``http.route`` shows the route
without them."""

METRIC_GUARDRAIL_DECISIONS: Final = "fmops.guardrail.decisions"
METRIC_GUARDRAIL_INTERVENTIONS: Final = "fmops.guardrail.interventions"
METRIC_GUARDRAIL_DURATION: Final = "fmops.guardrail.duration"
METRIC_DETECTOR_DURATION: Final = "fmops.guardrail.detector.duration"
METRIC_AUTHORIZATION_DECISIONS: Final = "fmops.authorization.decisions"
METRIC_AUTHORIZATION_ERRORS: Final = "fmops.authorization.errors"
METRIC_AUTHORIZATION_DURATION: Final = "fmops.authorization.duration"
METRIC_CAPTURE_RECORDS: Final = "fmops.capture.records"
METRIC_CAPTURE_WAITING: Final = "fmops.capture.waiting"
METRIC_CAPTURE_STALLED: Final = "fmops.capture.stalled"
METRIC_CAPTURE_FAULTS: Final = "fmops.capture.faults"
METRIC_PROMPT_FALLBACK: Final = "fmops.prompt.fallback"
METRIC_PROMPT_VERSION: Final = "fmops.prompt.served_version"
METRIC_PROMPT_REFRESHES: Final = "fmops.prompt.refreshes"
METRIC_FEEDBACK: Final = "fmops.feedback"
METRIC_INTERACTIONS: Final = "fmops.interactions"
METRIC_TURNS: Final = "fmops.turns.under_way"
METRIC_TURNS_REFUSED: Final = "fmops.turns.refused"
METRIC_KEYS_STALE: Final = "fmops.identity.keys_stale"
METRIC_FIRST_TEXT: Final = "fmops.interaction.time_to_first_text"
METRIC_COST: Final = "fmops.cost"
METRIC_UNPRICED: Final = "fmops.cost.unpriced"
METRIC_BUDGET_SPENT: Final = "fmops.budget.spent"
METRIC_BUDGET_REFUSALS: Final = "fmops.budget.refusals"
METRIC_BUDGET_UNAVAILABLE: Final = "fmops.budget.unavailable"
METRIC_BUDGET_SETTLEMENTS: Final = "fmops.budget.settlements"
METRIC_RETRIEVAL_SEARCHES: Final = "fmops.retrieval.searches"
METRIC_RETRIEVAL_SIMILARITY: Final = "fmops.retrieval.similarity"
METRIC_TOOL_DURATION: Final = "gen_ai.execute_tool.duration"
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
"""Boundaries in seconds of gen_ai.client.operation.duration in the GenAI semantic conventions."""

TOKEN_BUCKETS: Final = tuple(4**exponent for exponent in range(14))
"""Boundaries in tokens of gen_ai.client.token.usage in the GenAI semantic conventions."""

SIMILARITY_BUCKETS: Final = tuple(twentieth / 20 for twentieth in range(21))
"""Boundaries of cosine similarities."""
