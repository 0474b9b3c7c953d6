"""The OpenAPI document: who may call what, what comes back, and every error with its code."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from fmops.assistant.admission import GUARDED
from fmops.assistant.openapi_models import ChatChunk, Error
from fmops.assistant.route_errors import RouteError
from fmops.conversation.budget_answers import UNAVAILABLE
from fmops.conversation.failures import INTERNAL, MALFORMED, OUT_OF_TIME, STOPPED, TOO_LONG, Failure

DESCRIPTION = """\
Send an ID token of the deployment's OpenID Connect issuer as `Authorization: Bearer` with every request below `/v1`.
The routes below `/v1/chat` and `/v1/models` speak OpenAI's protocol. Every error has OpenAI's shape, with a sentence
that says what to do, and no text that was sent."""
SCHEME = "idToken"
TAGS = {
    "chat": "Ask, in OpenAI's protocol; rate answers; read their sources and traces.",
    "me": "What the caller may use.",
    "approvals": "Tool calls that wait for a person.",
    "review": "Human review of captured answers, for the group `reviewers`.",
    "gaps": "Coverage gaps and the documents that close them, for the group `reviewers`.",
    "playground": "Try and save prompts, for the group `prompt-engineers`.",
    "home": "Cards of the home page.",
    "public": "Routes that need no token.",
}
_MINE = {
    "welcome": "me",
    "models": "chat",
    "feedback": "chat",
    "documents": "chat",
    "traces": "chat",
    "drafts": "gaps",
}
"""Tags of the first parts of paths that are no tags themselves."""

Refusal = type[RouteError] | Failure

_EVERYWHERE = (
    Failure(401, "invalid_token", "The token is missing, invalid or expired: sign in again."),
    INTERNAL,
    Failure(503, "identity_unavailable", "The issuer's keys cannot be read at the moment: try again."),
    Failure(503, "overloaded", "There is no room at the moment: try again after `retry-after` seconds."),
    Failure(
        503, "<service>_unavailable", "A service did not answer or refused: the message names the remedy."
    ),
)
"""Refusals of every route below /v1."""
TOO_OFTEN = Failure(429, "rate_limit_exceeded", "Too much at once: try again after `retry-after` seconds.")
"""The refusal of routes that count how often a person asks."""
OF_ANSWERS = (
    Failure(400, TOO_LONG, "The conversation is too long for the model: shorten it, or start a new one."),
    TOO_OFTEN,
    Failure(
        429, "insufficient_quota", "A budget is used up: the message says which, and when it starts anew."
    ),
    UNAVAILABLE,
    STOPPED,
    OUT_OF_TIME,
    MALFORMED,
    Failure(500, "model_request_refused", "The model rejected the request: the message names the setting."),
    Failure(500, "tool_failed", "A tool failed, here or with 502 to 504: the message says which and why."),
    Failure(502, "<service>_answer_unusable", "A service sent an answer that cannot be read: try again."),
    Failure(504, "<service>_timeout", "A service did not answer in time: try again."),
)
"""Refusals of routes that have a model answer."""
_OF_INPUT = Failure(400, "invalid_body", "A field is wrong: `param` names it, and the message the remedy.")
_OF_BODIES = (
    Failure(408, "request_timeout", "The body did not arrive in time: send it again."),
    Failure(413, "request_too_large", "The body is too large: send less."),
)


def answers(
    model: type[BaseModel] | None, *refusals: Refusal, status: int = 200, **also: Any
) -> dict[str, Any]:
    """Return a route's arguments: the documented shape of its answer, and its own refusals."""
    success: dict[str, Any] = {"description": "success", **also}
    if model is not None:
        success["model"] = model
    responses = {status: success, **_described(refusals)}
    return {"response_model": None, "status_code": status, "responses": responses}


def operation_id(route: APIRoute) -> str:
    """Return an operation's name in generated clients, such as ``post_v1_chat_completions``."""
    (method,) = route.methods or {"GET"}
    return re.sub(r"\W+", "_", f"{method.lower()}{route.path_format}").strip("_")


def describe(app: FastAPI) -> None:
    """Have the application's OpenAPI document finished when it is first asked for."""
    generated = app.openapi

    def finished() -> dict[str, Any]:
        if app.openapi_schema is None:
            _finish(generated())
        return generated()

    app.openapi = finished  # type: ignore[method-assign]


def _finish(document: dict[str, Any]) -> None:
    """Add security, tags, summaries and the errors that all routes share."""
    document["info"]["description"] = DESCRIPTION
    document["tags"] = [{"name": name, "description": words} for name, words in TAGS.items()]
    components = document.setdefault("components", {})
    components["securitySchemes"] = {
        SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An ID token of the deployment's OpenID Connect issuer, such as `make token` prints.",
        }
    }
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which no route answers
        schemas.pop(unused, None)
    _, shared = models_json_schema(
        [(ChatChunk, "serialization"), (Error, "serialization")], ref_template="#/components/schemas/{model}"
    )
    schemas |= shared["$defs"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _finish_operation(path, operation)


def _finish_operation(path: str, operation: dict[str, Any]) -> None:
    words = " ".join(operation.get("description", "").split())
    operation["summary"] = re.split(r"\.(?= |$)", words, maxsplit=1)[0]
    operation["description"] = words
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    guarded = path.startswith(GUARDED)
    part = path.split("/")[2] if guarded else "public"
    operation["tags"] = [_MINE.get(part, part)]
    operation["security"] = [{SCHEME: []}] if guarded else []
    if not guarded:
        return
    shared = list(_EVERYWHERE)
    if "requestBody" in operation:
        shared += [_OF_INPUT, *_OF_BODIES]
    elif operation.get("parameters"):
        shared.append(_OF_INPUT)
    for status, response in _described(shared).items():
        known = responses.setdefault(str(status), {**response, "description": ""})
        known["description"] = "\n".join(filter(None, (known["description"], response["description"])))


def _described(refusals: Any) -> dict[int, dict[str, Any]]:
    """Return the responses of refusals by status, each with its codes."""
    by_status: dict[int, list[str]] = defaultdict(list)
    for each in refusals:
        said = each.message or (inspect.getdoc(each) or "").splitlines()[0]
        by_status[each.status].append(f"- `{each.code}`: {said}")
    schema = {"schema": {"$ref": "#/components/schemas/Error"}}
    return {
        status: {"description": "\n".join(lines), "content": {"application/json": schema}}
        for status, lines in by_status.items()
    }
