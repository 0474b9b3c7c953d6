"""Write the generated part of docs/readers/data-scientist.md: ``python -m docs.site.dataset_columns``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docs.site.generated import update
from fmops.capture import lake
from fmops.interaction import json_schema

PAGE = Path(__file__).parents[1] / "readers/data-scientist.md"
QUERY = Path(lake.__file__).with_name("dataset.sql")

MEANINGS = {
    "schema_version": "version of the record's schema",
    "interaction_id": "id of the request and its answer; also the answer's `id`",
    "trace_id": "the request's trace, for *Why?* and X-Ray",
    "session_id": "pseudonym of the conversation, if the client named one",
    "user": "pseudonym of the person: a keyed hash of the token's subject",
    "service": "the service that answered",
    "environment": "prefix and profile",
    "started_at": "time of the request, ISO 8601 in UTC, which sorts as text",
    "duration_ms": "milliseconds to the end of the answer",
    "model_id": "the Bedrock model that answered",
    "prompt_name": "name of the prompt in the registry",
    "prompt_version": "its version, or `packaged` for the one that comes with the code",
    "finish_reason": "`stop`, `length`, `content_filter`, `budget_exceeded`, `client_disconnect` or `error`",
    "error_type": "type of the failure, without its text",
    "streamed": "whether the client asked for a stream",
    "usage": "tokens of all calls of the model in this turn",
    "retrieved": "documents that the model was given, with their similarity",
    "embedding": "embedding of the question as base64 of little-endian float16",
    "guardrails": "what was decided about each text in each direction",
    "authorization": "each decision of the policies about a tool call",
    "tool_calls": "tools that were called, how they ended, and how long they took",
    "rating": "`up` or `down`: the last rating of the interaction's own user; null without one",
    "comment": "that rating's comment, after redaction",
    "rated_at": "time of that rating",
    "dt": "day of the partition (UTC): put it in a filter",
    "hour": "hour of the partition",
}
"""Meanings of the columns whose fields have no description of their own."""


def columns() -> str:
    """Return the table of the columns of the view ``dataset``, in its order."""
    schema = json_schema()
    selected = re.findall(r'^  (?:captured|rated)\."?(\w+)"?,?$', QUERY.read_text("utf-8"), re.MULTILINE)
    lines = ["| column | type | meaning |", "|---|---|---|"]
    for name in selected:
        field = schema["properties"].get(name, {"type": "string"})
        meaning = MEANINGS.get(name) or field["description"]
        lines.append(f"| `{name}` | {_type(field, schema)} | {meaning} |")
    return "\n".join(lines)


def parts() -> dict[str, str]:
    """Return the generated part by name."""
    return {"columns": columns()}


def _type(field: dict[str, Any], schema: dict[str, Any]) -> str:
    if "$ref" in field:
        of = schema["$defs"][field["$ref"].rpartition("/")[2]]
        return "row of " + ", ".join(f"`{name}`" for name in of["properties"])
    if "anyOf" in field:
        return _type(next(each for each in field["anyOf"] if each.get("type") != "null"), schema)
    if field["type"] == "array":
        return f"list: {_type(field['items'], schema)}"
    return {"string": "text", "integer": "whole number", "boolean": "true or false"}.get(
        field["type"], field["type"]
    )


if __name__ == "__main__":
    update(PAGE, parts())
