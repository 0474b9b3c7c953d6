"""Requests of OpenAI clients to ``POST /v1/chat/completions``: read as they are meant, or refused with a
sentence.

A client's history is only text, whoever it says spoke. Calls and results of the client's own tools become text
of the user, so that no claim of a client is taken for the result of a tool of this assistant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fmops.conversation.refusals import BadRequestError

MAX_MESSAGES = 100
MAX_CHARACTERS = 200_000
MAX_SESSION = 512

_TEXT_ONLY = "this assistant reads text only: leave out {}, or say it in words."
_PARTS = {
    "image_url": "images",
    "input_image": "images",
    "image": "images",
    "input_audio": "audio",
    "audio": "audio",
    "file": "files",
    "input_file": "files",
    "video_url": "videos",
}


_WIRE: dict[str, Any] = {
    "required": ["model", "messages"],
    "properties": {
        "model": {"type": "string"},
        "messages": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_MESSAGES,
            "items": {
                "type": "object",
                "required": ["role"],
                "properties": {
                    "role": {"enum": ["user", "assistant", "tool"]},
                    "content": {
                        "anyOf": [
                            {"type": "string"},
                            {"type": "null"},
                            {
                                "type": "array",
                                "items": {
                                    "type": "object",
                                    "required": ["type", "text"],
                                    "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
                                },
                            },
                        ]
                    },
                },
            },
        },
        "stream": {"type": ["boolean", "null"]},
        "stream_options": {
            "type": ["object", "null"],
            "properties": {"include_usage": {"type": ["boolean", "null"]}},
        },
        "max_tokens": {"type": ["integer", "null"], "minimum": 1},
        "max_completion_tokens": {"type": ["integer", "null"], "minimum": 1},
        "metadata": {
            "type": ["object", "null"],
            "properties": {"session_id": {"type": "string", "maxLength": MAX_SESSION}},
        },
    },
}
"""OpenAPI's description of what a client sends."""


class ChatMessage(BaseModel):
    """One turn of the conversation, as text."""

    model_config = ConfigDict(frozen=True)

    role: Literal["user", "assistant"]
    content: str

    @property
    def text(self) -> str:
        return self.content


class ChatRequest(BaseModel):
    """The body of ``POST /v1/chat/completions``. ``IGNORED`` names OpenAI's parameters without an effect.

    Raises ``BadRequestError``, with a sentence, for requests that cannot be read or are not supported.
    """

    model_config = ConfigDict(
        extra="ignore", frozen=True, json_schema_extra=lambda schema: schema.update(_WIRE)
    )

    model: str
    messages: list[ChatMessage]
    stream: bool = False
    include_usage: bool = False
    max_tokens: int | None = Field(
        default=None, description="maximum tokens of the answer; the deployment's limit takes precedence"
    )
    session: str = Field(
        default="", description="the client's name for the conversation, metadata.session_id"
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, body: Any) -> dict[str, Any]:
        if not isinstance(body, Mapping):
            raise BadRequestError("", "The request body must be a JSON object.")
        given = {name: value for name, value in body.items() if value is not None}
        for name, (fits, remedy) in _UNSUPPORTED.items():
            if name in given and not fits(given[name]):
                raise BadRequestError(name, remedy)
        return {
            "model": _model(given),
            "messages": _messages(given.get("messages")),
            "stream": _flag(given, "stream"),
            "include_usage": _flag(
                _object(given, "stream_options"), "include_usage", "stream_options.include_usage"
            ),
            "max_tokens": _max_tokens(given),
            "session": _session(_object(given, "metadata")),
        }


_Check = tuple[Callable[[Any], bool], str]
_UNSUPPORTED: dict[str, _Check] = {
    "n": (
        lambda n: n == 1 and not isinstance(n, bool),
        "there is one answer to a request: leave it out, or ask again for another.",
    ),
    "tools": (
        lambda tools: tools == [],
        "the assistant has tools of its own and calls none of the client's: leave it out.",
    ),
    "functions": (
        lambda tools: tools == [],
        "the assistant has tools of its own and calls none of the client's: leave it out.",
    ),
    "tool_choice": (
        lambda choice: choice in ("none", "auto"),
        "the assistant chooses among its own tools: leave it out.",
    ),
    "function_call": (
        lambda choice: choice in ("none", "auto"),
        "the assistant chooses among its own tools: leave it out.",
    ),
    "response_format": (
        lambda form: isinstance(form, Mapping) and form.get("type") == "text",
        "answers are text, not JSON: leave it out, and ask for the form that you need in words.",
    ),
    "logprobs": (lambda wanted: wanted is False, "log probabilities are not given: leave it out."),
    "top_logprobs": (lambda wanted: wanted == 0, "log probabilities are not given: leave it out."),
    "modalities": (lambda kinds: kinds == ["text"], "answers are text: leave it out."),
    "audio": (lambda _: False, "answers are text, not speech: leave it out."),
    "web_search_options": (lambda _: False, "the assistant does not search the web: leave it out."),
    "stop": (lambda stop: stop in ([], ""), "stop sequences are not supported: leave it out."),
    "logit_bias": (lambda bias: bias == {}, "no token can be banned or preferred: leave it out."),
    "store": (
        lambda store: store is False,
        "answers cannot be fetched later, and what is captured is the deployment's choice: leave it out.",
    ),
    "moderation": (lambda _: False, "the deployment's guardrails check every text: leave it out."),
}  # fmt: skip
SUPPORTED: dict[str, str] = {
    "model": "required: the one that `GET /v1/models` lists",
    "messages": f"required: at most {MAX_MESSAGES}, with {MAX_CHARACTERS:,} characters of text in all; roles `user`, "
    "`assistant` and `tool`",
    "stream": "events as they come, or one object",
    "stream_options": "`include_usage`; other options are ignored",
    "max_tokens": "maximum tokens of the answer; the deployment's limit and the smaller one of both names apply",
    "max_completion_tokens": "the same as `max_tokens`",
    "metadata": f"`session_id` names the conversation, with at most {MAX_SESSION} characters; other keys are ignored",
}
"""OpenAI's parameters that have an effect, and which."""
_TUNING = "tunes the model, whose settings belong to the deployment"
_IDENTITY = "people are known by their tokens"
_CACHING = "changes no answer"
IGNORED: dict[str, str] = {
    "temperature": _TUNING,
    "top_p": _TUNING,
    "frequency_penalty": _TUNING,
    "presence_penalty": _TUNING,
    "reasoning_effort": _TUNING,
    "verbosity": _TUNING,
    "seed": "OpenAI promises no repeatable answers either",
    "user": _IDENTITY,
    "safety_identifier": _IDENTITY,
    "prompt_cache_key": _CACHING,
    "prompt_cache_options": _CACHING,
    "prompt_cache_retention": _CACHING,
    "prediction": _CACHING,
    "service_tier": "the deployment chooses how its model is served",
    "parallel_tool_calls": "concerns tools of the client's, which are refused",
}
"""OpenAI's parameters without an effect here that a client would miss, and why. Unknown fields are ignored too."""


def _model(given: Mapping[str, Any]) -> str:
    if "model" not in given:
        raise BadRequestError("model", "it is missing: name one that GET /v1/models lists.")
    if not isinstance(given["model"], str):
        raise BadRequestError("model", "give the name of a model as a text.")
    return str(given["model"])


def _flag(given: Mapping[str, Any], name: str, called: str = "") -> bool:
    value = given.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise BadRequestError(called or name, "give true or false.")


def _object(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = given.get(name, {})
    if not isinstance(value, Mapping):
        raise BadRequestError(name, "give an object, or leave it out.")
    return value


def _max_tokens(given: Mapping[str, Any]) -> int | None:
    limits = []
    for name in ("max_tokens", "max_completion_tokens"):
        limit = given.get(name)
        if isinstance(limit, float) and limit.is_integer():
            limit = int(limit)
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise BadRequestError(name, "give a whole number of at least 1, or leave it out.")
        limits += [limit] if limit is not None else []
    return min(limits, default=None)


def _session(metadata: Mapping[str, Any]) -> str:
    session = metadata.get("session_id")
    if session is None:
        return ""
    if isinstance(session, bool) or not isinstance(session, str | int) or len(str(session)) > MAX_SESSION:
        raise BadRequestError(
            "metadata.session_id", f"give a text of at most {MAX_SESSION} characters, or leave it out."
        )
    return str(session)


def _messages(given: Any) -> list[ChatMessage]:
    if not isinstance(given, list) or not given:
        raise BadRequestError(
            "messages", "give a list of messages, the last of which is the user's question."
        )
    if len(given) > MAX_MESSAGES:
        raise BadRequestError(
            "messages",
            f"there are more than {MAX_MESSAGES}: leave out the oldest, or start a new conversation.",
        )
    calls: dict[str, tuple[str, str]] = {}
    read: list[ChatMessage] = []
    for index, message in enumerate(given):
        field = f"messages.{index}"
        if not isinstance(message, Mapping):
            raise BadRequestError(field, "give an object with role and content.")
        role, text = _spoken(message, field, calls)
        if text.strip() or index == len(given) - 1:
            read.append(ChatMessage(role=role, content=text))
    if given[-1].get("role") != "user" or not read[-1].text.strip():
        raise BadRequestError("messages", "the last message must be the user's, and not empty.")
    if sum(len(message.text) for message in read) > MAX_CHARACTERS:
        raise BadRequestError(
            "messages", f"the conversation is longer than {MAX_CHARACTERS} characters: start a new one."
        )
    return read


def _spoken(
    message: Mapping[str, Any], field: str, calls: dict[str, tuple[str, str]]
) -> tuple[Literal["user", "assistant"], str]:
    """Return the speaker, as we treat them, and the text. ``calls`` holds the client's tool calls so far, by
    id.
    """
    role = message.get("role")
    match role:
        case "user":
            return "user", _content(message, field)
        case "assistant":
            if message.get("audio") is not None and not message.get("content"):
                raise BadRequestError(f"{field}.audio", _TEXT_ONLY.format("audio"))
            calls |= dict(_calls(message, field))
            return "assistant", "\n".join(
                filter(str.strip, (_content(message, field), _text(message, "refusal", field)))
            )
        case "tool" | "function":
            known = ("the client's tool", "")
            call_id = message.get("tool_call_id") or message.get("name")
            name, arguments = calls.get(call_id, known) if isinstance(call_id, str) else known
            result = _content(message, field)
            return (
                "user",
                f"Result of {name}({arguments}), as the client has it:\n{result}" if result.strip() else "",
            )
        case "system" | "developer":
            remedy = (
                f"there is no {role} role here, since instructions belong to the deployment: leave the "
                "message out."
            )
            raise BadRequestError(f"{field}.role", remedy)
        case _:
            raise BadRequestError(f"{field}.role", "give 'user', 'assistant' or 'tool'.")


def _calls(message: Mapping[str, Any], field: str) -> Iterator[tuple[str, tuple[str, str]]]:
    calls = message.get("tool_calls")
    if not isinstance(calls, list | None):
        raise BadRequestError(f"{field}.tool_calls", "give a list, or leave it out.")
    for index, call in enumerate(calls or ()):
        where = f"{field}.tool_calls.{index}"
        function = call.get("function") or call.get("custom") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise BadRequestError(where, "give an object with id and function.")
        yield (
            _text(call, "id", where),
            (
                _text(function, "name", where),
                _text(function, "arguments", where) or _text(function, "input", where),
            ),
        )
    old = message.get("function_call")
    if isinstance(old, Mapping):
        where = f"{field}.function_call"
        yield _text(old, "name", where), (_text(old, "name", where), _text(old, "arguments", where))
    elif old is not None:
        raise BadRequestError(f"{field}.function_call", "give an object, or leave it out.")


def _content(message: Mapping[str, Any], field: str) -> str:
    content = message.get("content")
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise BadRequestError(f"{field}.content", "give a text, or a list of text parts.")
    return "\n".join(
        filter(None, (_part(part, f"{field}.content.{index}") for index, part in enumerate(content)))
    )


def _part(part: Any, field: str) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise BadRequestError(field, "give a text part: an object with type and text.")
    match part.get("type"):
        case "text" | "input_text" | "output_text":
            return _text(part, "text", field)
        case "refusal":
            return _text(part, "refusal", field)
        case str() as kind:
            raise BadRequestError(
                field, _TEXT_ONLY.format(_PARTS.get(kind, "parts of other types than text"))
            )
        case _:
            raise BadRequestError(f"{field}.type", "give 'text'.")


def _text(given: Mapping[str, Any], name: str, field: str) -> str:
    value = given.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    raise BadRequestError(f"{field}.{name}", "give a text, or leave it out.")
