"""The HTTP contract: OpenAI's chat completions, as far as a client of this assistant needs them."""

from __future__ import annotations

import time
from typing import Any, Literal

from langchain_core.messages.ai import UsageMetadata
from pydantic import BaseModel, ConfigDict, Field

from fmops.agent import NAME
from fmops.conversation.chat_request import ChatMessage, ChatRequest
from fmops.conversation.citations import citations
from fmops.interaction import Interaction
from fmops.telemetry.prices import prices

__all__ = ["MODEL", "ApprovalRequest", "ChatMessage", "ChatRequest", "FeedbackRequest"]

MODEL = NAME
"""Name of the one model that this assistant offers; the deployment chooses the Bedrock model behind it."""


class FeedbackRequest(BaseModel):
    """The body of ``POST /v1/feedback``."""

    model_config = ConfigDict(extra="forbid")

    interaction_id: str = Field(pattern=r"^int-[0-9a-f]{32}$")
    rating: Literal["up", "down"]
    comment: str = Field(default="", max_length=4_000)


class ApprovalRequest(BaseModel):
    """The body of ``POST /v1/approvals/{id}``."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["approve", "reject"]


def completion(interaction: Interaction, text: str) -> dict[str, Any]:
    """Return the answer as one object."""
    return {
        "id": interaction.interaction_id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": text,
                    "annotations": citations(interaction, text),
                },
                "finish_reason": _finish(interaction.finish_reason),
                "logprobs": None,
            }
        ],
        "usage": _usage(interaction),
        **details(interaction),
    }


def chunk(
    interaction: Interaction,
    delta: dict[str, Any],
    finish_reason: str | None = None,
    *,
    usage_follows: bool = False,
) -> dict[str, Any]:
    """Return one event of a streamed answer; the last one carries the finish reason and the decisions of each
    layer.

    It carries the usage too, unless the client asked for a separate event (``usage_chunk``), as OpenAI does it:
    clients add up.
    """
    event: dict[str, Any] = {
        "id": interaction.interaction_id,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [{"index": 0, "delta": delta, "finish_reason": _finish(finish_reason), "logprobs": None}],
    }
    if usage_follows:
        event |= {"usage": None}
    elif finish_reason:
        event |= {"usage": _usage(interaction)}
    if finish_reason:
        event |= details(interaction)
    return event


def usage_chunk(interaction: Interaction) -> dict[str, Any]:
    """Return the event after the last one, for a client that asked for ``stream_options.include_usage``."""
    return chunk(interaction, {}) | {"choices": [], "usage": _usage(interaction)}


def details(interaction: Interaction) -> dict[str, Any]:
    """Return the decisions of each layer: detectors, categories, actions and policies, never content."""
    return {
        "guardrails": [
            outcome.model_dump(include={"direction", "action", "detector", "reason", "degraded"})
            for outcome in interaction.guardrails
            if outcome.action != "allow"
        ],
        "approvals": [
            {"id": decision.approval_id, "tool": decision.action}
            for decision in interaction.authorization
            if decision.reason == "needs_approval" and decision.approval_id
        ],
        "tools": [call.model_dump(include={"name", "status"}) for call in interaction.tool_calls],
        "decisions": [
            {
                "action": decision.action,
                "decision": decision.decision,
                "reason": decision.reason,
                "policies": decision.determining_policies,
            }
            for decision in interaction.authorization
        ],
        "sources": _sources(interaction),
        "cost_usd": _cost(interaction),
        "budget_exceeded": interaction.finish_reason == "budget_exceeded",
        "prompt": f"{interaction.prompt_name} {interaction.prompt_version}",
        "trace_id": interaction.trace_id,
    }


def _sources(interaction: Interaction) -> list[dict[str, str]]:
    """Return the documents that the model was given, each once, best first."""
    best = sorted(interaction.retrieved, key=lambda each: -each.score)
    titles = {each.document_id: each.title for each in reversed(best)}
    return [
        {"document_id": name, "title": titles[name]}
        for name in dict.fromkeys(each.document_id for each in best)
    ]


def _cost(interaction: Interaction) -> float | None:
    """Return the list price of the answer's tokens in USD, or None for a model without a known price."""
    price = prices().price(interaction.model_id)
    if price is None:
        return None
    usage = interaction.usage
    tokens = UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
    )
    return sum(price.of(tokens).values())


def error(
    message: str, kind: str, *, code: str, param: str | None = None, interaction: Interaction | None = None
) -> dict[str, Any]:
    """Return OpenAI's error object, with the ids of the interaction that failed."""
    body: dict[str, Any] = {"message": message, "type": kind, "param": param, "code": code}
    if interaction is not None:
        body |= {"interaction_id": interaction.interaction_id, "trace_id": interaction.trace_id}
    return {"error": body}


def _finish(reason: str | None) -> str | None:
    """Return the reason in OpenAI's terms. Some clients reject any other, so a spent budget is reported as a
    length limit."""
    return "length" if reason == "budget_exceeded" else reason


def _usage(interaction: Interaction) -> dict[str, int]:
    usage = interaction.usage
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
