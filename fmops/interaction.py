"""The record that every part of the loop shares: one interaction with the assistant, as one JSON line in the data lake.

The schema is versioned. Writers write ``SCHEMA_VERSION``; readers accept every version up to it.
``python -m fmops.interaction`` prints the JSON schema that ``interaction.schema.json`` holds, from which the
infrastructure derives the Glue table.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticSerializationError

SCHEMA_VERSION = 1

FinishReason = Literal[
    "stop", "length", "content_filter", "budget_exceeded", "client_disconnect", "error", ""
]
"""OpenAI's finish reasons, and three of ours for an incomplete answer: a budget was spent, the client left
early, or something failed."""


class Record(BaseModel):
    """Base of every captured record. On reading, unknown fields of a newer writer are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=False)

    def line(self) -> bytes:
        """Return the record as one JSON line, newline included."""
        try:
            return self.model_dump_json().encode() + b"\n"
        except PydanticSerializationError:
            # JSON can escape half a surrogate pair, but UTF-8 cannot carry it: a placeholder is better than
            # no
            # record.
            text = json.dumps(self.model_dump(), ensure_ascii=False, separators=(",", ":"))
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode() + b"\n"


class TokenUsage(Record):
    """Tokens of all model calls in one interaction."""

    input_tokens: int = 0
    output_tokens: int = 0


class RetrievedDocument(Record):
    """A document, or a page of it, that retrieval returned and authorization let through, with the cosine
    similarity of its best passage to the query."""

    document_id: str
    score: float
    page: int | None = Field(default=None, description="page of a PDF, from 1 on")
    # For the caller only: captured records have the id.
    title: SkipJsonSchema[str] = Field(default="", exclude=True)


class Embedding(Record):
    """The query's embedding as base64 of little-endian float16: a third of the bytes of JSON numbers."""

    model_id: str
    dimension: int
    vector: str

    @classmethod
    def encode(cls, model_id: str, vector: Sequence[float]) -> Embedding:
        """Pack ``vector`` (shape ``[dimension]``)."""
        packed = np.asarray(vector, dtype="<f2").tobytes()
        return cls(model_id=model_id, dimension=len(vector), vector=base64.b64encode(packed).decode())

    def decode(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Unpack to float32, shape ``[dimension]``."""
        return np.frombuffer(base64.b64decode(self.vector), dtype="<f2").astype(np.float32)


class GuardrailFinding(Record):
    """A detector's finding, without the text in which it was found."""

    category: str
    score: float
    detector: str


class GuardrailOutcome(Record):
    """The outcome of the guardrail policy for one text in one direction."""

    direction: str
    action: str
    detector: str = Field(default="", description="detector whose finding, or failure to answer, decided")
    reason: str = Field(default="", description="the category found, or why there was no answer")
    findings: list[GuardrailFinding] = []
    scores: list[GuardrailFinding] = Field(
        default=[],
        description=(
            "highest score per category and detector, from 0.05 up, including scores below the thresholds"
        ),
    )
    detectors: list[str] = []
    degraded: bool = False
    duration_ms: float = 0.0


class AuthorizationDecision(Record):
    """One decision of Verified Permissions, as the audit needs it."""

    action: str
    resource: str
    decision: Literal["ALLOW", "DENY"]
    reason: str = ""
    determining_policies: list[str] = []
    errors: int = 0
    enforced: bool = Field(default=True, description="false in LOG_ONLY, where a denial stops nothing")
    duration_ms: float = 0.0
    approval_id: str = Field(
        default="", description="id of the approval that the call waits for or was given"
    )


class ToolCall(Record):
    """A tool that the agent called. Arguments and results are content and are left out."""

    name: str
    status: Literal["success", "error", "denied", "blocked", "waiting"]
    duration_ms: float = 0.0


class Interaction(Record):
    """One request to the assistant and everything that was decided about it."""

    record_type: Literal["interaction"] = "interaction"
    schema_version: int = SCHEMA_VERSION
    interaction_id: str = Field(default_factory=lambda: f"int-{uuid4().hex}")
    trace_id: str = ""
    session_id: str = ""
    user: str = Field(default="", description="pseudonym: keyed hash of the token's subject")
    service: str = ""
    environment: str = ""
    started_at: str = Field(default_factory=lambda: timestamp())
    duration_ms: float = 0.0
    model_id: str = ""
    prompt_name: str = ""
    prompt_version: str = ""
    input: str = Field(default="", description="the user's message after redaction")
    output: str = Field(default="", description="the answer after redaction")
    finish_reason: FinishReason = ""
    error_type: str = ""
    streamed: bool = False
    truncated: bool = Field(
        default=False, description="input or output was cut to fit the delivery stream's record limit"
    )
    usage: TokenUsage = Field(default_factory=TokenUsage)
    retrieved: list[RetrievedDocument] = []
    embedding: Embedding | None = None
    embedding_error: str = Field(
        default="", description="why there is no embedding: Timeout, or the type of an error"
    )
    guardrails: list[GuardrailOutcome] = []
    authorization: list[AuthorizationDecision] = []
    tool_calls: list[ToolCall] = []


class Feedback(Record):
    """A user's opinion of an answer, joined to its interaction on reading."""

    record_type: Literal["feedback"] = "feedback"
    schema_version: int = SCHEMA_VERSION
    feedback_id: str = Field(default_factory=lambda: f"fb-{uuid4().hex}")
    interaction_id: str
    user: str = ""
    started_at: str = Field(default_factory=lambda: timestamp())
    rating: Literal["up", "down"]
    comment: str = Field(default="", description="after redaction")


class RawText(Record):
    """The message and the answer before redaction, captured only if the deployer turned it on."""

    record_type: Literal["raw"] = "raw"
    schema_version: int = SCHEMA_VERSION
    interaction_id: str
    user: str = ""
    started_at: str = Field(default_factory=lambda: timestamp())
    input: str = Field(default="", description="the user's message as typed")
    output: str = Field(default="", description="the answer as the user received it")
    truncated: bool = False


Captured = Interaction | Feedback | RawText


def timestamp() -> str:
    """Return the current time in UTC as ISO 8601 with microseconds, which sorts as text."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def json_schema() -> dict[str, Any]:
    """Return the schema of a captured line: the union of the columns of interactions and feedback."""
    interaction, feedback = Interaction.model_json_schema(), Feedback.model_json_schema()
    record_type = {"enum": ["interaction", "feedback"], "type": "string", "title": "Record Type"}
    properties = interaction["properties"] | feedback["properties"] | {"record_type": record_type}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "CapturedRecord",
        "type": "object",
        "properties": properties,
        "required": ["interaction_id"],
        "$defs": interaction["$defs"] | feedback.get("$defs", {}),
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))  # noqa: T201 - the command's output
