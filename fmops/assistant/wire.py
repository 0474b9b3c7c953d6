"""The HTTP contract: OpenAI's chat completions, as far as a client of this assistant needs them."""

from __future__ import annotations

import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fmops.agent import NAME
from fmops.interaction import Interaction

MODEL = NAME
"""The one model that this assistant offers: the Bedrock model behind it is the deployment's matter."""

MAX_MESSAGES = 100
MAX_CHARACTERS = 200_000


class TextPart(BaseModel):
    """A part of a message; this assistant reads text only."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """A turn of the conversation. Instructions belong to the deployment: there is no system role here."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["user", "assistant"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content)


class ChatRequest(BaseModel):
    """The body of ``POST /v1/chat/completions``; OpenAI's sampling parameters are accepted and not used."""

    model_config = ConfigDict(extra="ignore")

    model: str
    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool = False
    metadata: dict[str, str] = {}

    @field_validator("messages")
    @classmethod
    def _ends_with_a_question(cls, messages: list[ChatMessage]) -> list[ChatMessage]:
        if messages[-1].role != "user" or not messages[-1].text.strip():
            raise ValueError("the last message must be the user's, and not empty")
        if sum(len(message.text) for message in messages) > MAX_CHARACTERS:
            raise ValueError(f"the conversation is longer than {MAX_CHARACTERS} characters: start a new one")
        return messages

    @property
    def session(self) -> str:
        """The client's name for the conversation, from ``metadata.session_id``."""
        return self.metadata.get("session_id", "")


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
    """The answer as one object."""
    return {
        "id": interaction.interaction_id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": interaction.finish_reason,
                "logprobs": None,
            }
        ],
        "usage": _usage(interaction),
        **details(interaction),
    }


def chunk(
    interaction: Interaction, delta: dict[str, str], finish_reason: str | None = None
) -> dict[str, Any]:
    """One event of a streamed answer; the last one carries the finish reason and what the layers decided."""
    event: dict[str, Any] = {
        "id": interaction.interaction_id,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}],
    }
    if finish_reason:
        event |= {"usage": _usage(interaction), **details(interaction)}
    return event


def details(interaction: Interaction) -> dict[str, Any]:
    """What the layers decided: detectors, categories, actions and policies, never content."""
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
        "prompt": f"{interaction.prompt_name} {interaction.prompt_version}",
        "trace_id": interaction.trace_id,
    }


def error(message: str, kind: str, *, code: str, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _usage(interaction: Interaction) -> dict[str, int]:
    usage = interaction.usage
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
