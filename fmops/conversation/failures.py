"""Failures explained to the caller: which part failed, at which call, what to do about it, and whether to try
again.

A failure is identified by who raised the error, the layer around it and the operation, never by its code alone,
since every service has a ``ResourceNotFoundException``. A service's own message is never repeated, since it may
hold what people said.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from botocore.eventstream import ParserError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ReadTimeoutError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError
from langchain_core.exceptions import ContextOverflowError
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as SlowError

from fmops.conversation.calls import CallFailedError
from fmops.conversation.services import EMBEDDING, MODEL, SERVICES, UNKNOWN, Service
from fmops.interaction import Interaction

INVALID, SERVER, BUSY = "invalid_request_error", "server_error", "rate_limit_error"
TOO_LONG: Final = "context_length_exceeded"
TOOL_FAILED: Final = "tool_failed"
RETRY_SECONDS = 2
"""Seconds after which a throttled call may be tried again, unless the service gives another time."""

_MISSING = ("resourcenotfound", "nosuchkey", "nosuchbucket", "404", "notfound")
_DENIED = ("accessdenied", "notauthorized", "unauthorizedoperation", "403", "kmsaccessdenied")
_THROTTLED = ("throttling", "throttled", "toomanyrequests", "provisionedthroughputexceeded", "requestlimitexceeded",
              "servicequotaexceeded", "limitexceeded", "slowdown", "429")  # fmt: skip
_CREDENTIALS = ("expiredtoken", "unrecognizedclient", "invalidsignature", "invalidclienttokenid", "incompletesignature",
                "missingauthenticationtoken", "signaturedoesnotmatch", "invalididentitytoken")  # fmt: skip
_INVALID = ("validation", "invalidparameter", "invalidparametervalue", "paramvalidation", "serialization",
            "invalidrequest", "itemcollectionsizelimitexceeded", "badrequest", "textsizelimitexceeded")  # fmt: skip
_SLOW = ("modeltimeout", "requesttimeout", "timeout", "requesttimeoutexception")
_ENDING = re.compile(r"(exception|error|failure)$")

_LONG = re.compile(
    r"too long|too many (input )?tokens|too large for|context (length|window|limit)|maximum context"
    r"|exceeds? the (model'?s? )?(max\w* )?(context|input|number of (input )?tokens)|max\w* input (tokens|length)"
    r"|input (length|tokens?)\b.*\bexceeds?|prompt.*exceeds?",
    re.IGNORECASE | re.DOTALL,
)
_NO_MODEL = re.compile(
    r"model identifier|on-demand throughput|end of its life|could not resolve the foundation model|inference profile"
    r"|model.{0,40}(is not supported|isn'?t supported|not supported in|is not available)|modelId"
    r"|(action|operation|api|region) doesn'?t support the model"
    r"|model.{0,40}doesn'?t support (this|the) (action|operation|api|region)",
    re.IGNORECASE | re.DOTALL,
)
_HISTORY = re.compile(
    r"prefill|roles must alternate|must (start|begin|end) with|(consecutive|unexpected|invalid) (role|message|turn)s?"
    r"|(order|sequence) of (the )?(messages|roles|turns)|tool_use.{0,80}tool_result|toolUse.{0,80}toolResult",
    re.IGNORECASE | re.DOTALL,
)
"""Pattern of refusals that concern the order of a conversation's messages."""
_OUTPUT_LIMIT = re.compile(
    r"max\w* tokens you requested|inferenceConfig\.maxTokens|max_?tokens: \d", re.IGNORECASE
)
_FIELD = re.compile(
    r"\b(toolConfig|inferenceConfig|guardrailConfig|additionalModelRequestFields|messages|system|modelId)((?:\.[A-Za-z0-9]+)*)"
)
_FIELDS = {
    "toolConfig": "correct the names, descriptions and schemas of the agent's tools",
    "inferenceConfig": "set assistant.max_output_tokens to what the model allows",
    "guardrailConfig": "check the guardrail's id and version",
    "additionalModelRequestFields": "leave out the model's own parameters that it does not know",
    "system": "correct the system prompt",
    "messages": "start a new conversation; if that fails too, look at what the agent makes of a message",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """The explanation for the caller. ``error_type`` is for the record and the metrics: bounded, and without
    content."""

    status: int
    code: str
    message: str
    kind: str = SERVER
    param: str | None = None
    retry_after: int | None = None
    error_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


INTERNAL = Failure(500, "internal_error", "The assistant failed: try again.")
MALFORMED = Failure(
    502, "model_answer_unusable", "The model's answer was malformed: try again.", error_type="MalformedAnswer"
)


STOPPED = Failure(
    503,
    "server_stopping",
    "The assistant is being replaced, and this answer was cut: ask again.",
    retry_after=RETRY_SECONDS,
    error_type="ServerStopped",
)
OUT_OF_TIME = Failure(
    504,
    "turn_timeout",
    "The answer took longer than assistant.turn_seconds allows: ask for less, or try again.",
    error_type="TurnTimeout",
)


FULL = "The assistant has no room for more connections at the moment: try again."


class AnswerFailedError(Exception):
    """An answer failed; the message is for the caller."""

    def __init__(self, message: str, failure: Failure | None = None) -> None:
        super().__init__(message)
        self.failure = failure or Failure(503, "model_unavailable", message)
        self.interaction: Interaction | None = None


class ModelUnavailableError(AnswerFailedError):
    """The model behind the assistant did not answer."""


def explain(error: BaseException, model_id: str = "") -> Failure | None:
    """Return the explanation of ``error``; None for a fault of our own, about which a caller learns nothing
    more.
    """
    chain = list(causes(error))
    call = next((each for each in chain if isinstance(each, CallFailedError)), None)
    within = chain[chain.index(call) + 1 :] if call else chain
    if call and call.tool:
        return _of_tool(
            call.tool, next((found for each in within if (found := _explained(each, UNKNOWN))), None)
        )
    service = replace(MODEL, name=f"the model {model_id}" if model_id else MODEL.name) if call else UNKNOWN
    for each in within:
        if found := _explained(each, service):
            return found
    return None


def cause_of(error: BaseException) -> str:
    """Return the name of the type of the original failure."""
    return next(
        type(each).__name__
        for each in causes(error)
        if not isinstance(each, CallFailedError) or not each.__cause__
    )


def answer_error(error: BaseException, model_id: str) -> AnswerFailedError | None:
    """Return the error to raise in place of ``error``, or None if there is no explanation."""
    if isinstance(error, AnswerFailedError):
        return error
    failure = explain(error, model_id)
    if failure is None:
        return None
    kind = ModelUnavailableError if failure.code.startswith("model_") else AnswerFailedError
    return kind(failure.message, failure)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, in order; of a group, only the first error."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        if isinstance(at, BaseExceptionGroup):
            at = at.exceptions[0]
        else:
            at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)


def _explained(error: BaseException, service: Service) -> Failure | None:
    """Explain ``error`` as a failure of ``service``, if the layer around the call names one; then an unreadable
    answer is also its fault."""
    if isinstance(error, ContextOverflowError):
        return _too_long()
    if isinstance(error, ClientError):
        return _of_client_error(error, service)
    if isinstance(
        error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError | TokenRetrievalError
    ):
        return _no_credentials(type(error).__name__)
    name = type(error).__name__
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return Failure(503, "overloaded", FULL, retry_after=RETRY_SECONDS, error_type="NoDescriptors")
    if isinstance(error, ParamValidationError):
        return _refused(service, "", name, "")
    if isinstance(error, ReadTimeoutError | ConnectTimeoutError):
        return _slow(service, "", name)
    if isinstance(error, BotoCoreError):
        return _away(service, "", name)
    if service is UNKNOWN:
        return None
    if isinstance(status := getattr(error, "status_code", None), int):
        return _of_status(status, str(error), service, name)
    if isinstance(error, SlowError | TimeoutError):
        return _slow(service, "", name)
    if isinstance(error, HTTPError | ConnectionError):
        return _away(service, "", name)
    if isinstance(error, ParserError | ResponseParserError | ValueError | LookupError):
        message = f"{_sentence(service.name)} sent an answer that cannot be read: try again."
        return Failure(502, f"{service.code}_answer_unusable", message, error_type=name)
    return None


def _of_status(status: int, message: str, service: Service, name: str) -> Failure:
    """Explain the status of a model behind HTTP outside AWS, whose client's errors carry it."""
    if status in (400, 413, 422):
        long = TOO_LONG in message or _LONG.search(message)
        return _too_long() if long else _refused(service, "", name, "")
    if status in (401, 403):
        text = f"The assistant has no access to {service.name}: {service.if_denied}."
        return Failure(503, f"{service.code}_unavailable", text, error_type=name)
    if status == 404:
        text = f"{_sentence(service.name)} was not found: {service.if_missing}."
        return Failure(503, f"{service.code}_unavailable", text, error_type=name)
    if status in (408, 504):
        return _slow(service, "", name)
    return _busy(service, "", name, RETRY_SECONDS) if status == 429 else _away(service, "", name)


def _of_client_error(error: ClientError, given: Service) -> Failure:
    operation, details = error.operation_name, error.response.get("Error", {})
    code, message = str(details.get("Code") or "ClientError"), str(details.get("Message") or "")
    plain = _ENDING.sub("", code.lower())
    known = SERVICES.get(operation, UNKNOWN)
    service = given if (known in (MODEL, EMBEDDING) and given is not UNKNOWN) or known is UNKNOWN else known
    label = code if service.code == MODEL.code else f"{operation}: {code}"
    if plain in _CREDENTIALS:
        return _no_credentials(label)
    if plain in _THROTTLED:
        return _busy(service, operation, label, _retry_after(error))
    if plain in _SLOW:
        return _slow(service, operation, label)
    no_model = _NO_MODEL.search(message) and not _HISTORY.search(message)
    if plain in _MISSING or (plain in _INVALID and service.code == MODEL.code and no_model):
        text = f"{_sentence(service.name)} was not found{_at(operation)}: {service.if_missing}."
        return Failure(503, f"{service.code}_unavailable", text, error_type=label)
    if plain in _DENIED:
        text = f"The assistant has no access to {service.name}{_at(operation)}: {service.if_denied}."
        return Failure(503, f"{service.code}_unavailable", text, error_type=label)
    if plain in _INVALID:
        field = _FIELD.search(message)
        if (
            service.code == MODEL.code
            and (field is None or field[1] == "messages")
            and _LONG.search(message)
            and not _OUTPUT_LIMIT.search(message)
        ):
            return _too_long()
        return _refused(service, operation, label, message)
    if plain == "modelerror" or plain == "modelstreamerror":
        text = f"{_sentence(service.name)} failed while it answered: try again."
        return Failure(502, f"{service.code}_unavailable", text, error_type=label)
    return _away(service, operation, label)


def _of_tool(tool: str, cause: Failure | None) -> Failure:
    if cause is None:
        message = f"The tool {tool} failed: try again; if it fails again, its own code must be corrected."
        return Failure(500, TOOL_FAILED, message, error_type="ToolFailed")
    if cause.code == TOO_LONG:
        # The person's conversation with the assistant is not what was too long.
        message = f"The tool {tool} failed: what it asked a model is too long: ask it for less."
        return Failure(500, TOOL_FAILED, message, error_type=TOO_LONG)
    status = 503 if cause.status == 429 else max(cause.status, 500)
    return replace(
        cause,
        status=status,
        kind=SERVER,
        param=None,
        code=TOOL_FAILED,
        message=f"The tool {tool} failed: {cause.message}",
    )


def _too_long() -> Failure:
    message = "messages: the conversation is too long for the model: shorten it, or start a new one."
    return Failure(400, TOO_LONG, message, kind=INVALID, param="messages", error_type=TOO_LONG)


def _refused(service: Service, operation: str, label: str, message: str) -> Failure:
    """Explain that the service rejected a request as invalid: a fault of the deployment or of its code."""
    field, remedy = "", service.if_invalid
    if service.code == MODEL.code:
        if _HISTORY.search(message):
            field, remedy = " at messages", _FIELDS["messages"]
        elif found := _FIELD.search(message):
            field, remedy = f" at {found[1]}{found[2]}", _FIELDS.get(found[1], remedy)
        elif _OUTPUT_LIMIT.search(message):
            field, remedy = " at inferenceConfig.maxTokens", _FIELDS["inferenceConfig"]
    text = f"{_sentence(service.name)} rejected the assistant's request{_at(operation)}{field}: {remedy}."
    return Failure(500, f"{service.code}_request_refused", text, error_type=label)


def _busy(service: Service, operation: str, label: str, retry_after: int) -> Failure:
    of_model = service.code == MODEL.code
    text = f"{_sentence(service.name)} is busy{_at(operation)}: try again in a moment."
    return Failure(
        429 if of_model else 503,
        "rate_limit_exceeded" if of_model else f"{service.code}_unavailable",
        text,
        kind=BUSY if of_model else SERVER,
        retry_after=retry_after,
        error_type=label,
    )


def _slow(service: Service, operation: str, label: str) -> Failure:
    text = f"{_sentence(service.name)} did not answer in time{_at(operation)}: try again."
    return Failure(504, f"{service.code}_timeout", text, error_type=label)


def _away(service: Service, operation: str, label: str) -> Failure:
    text = f"{_sentence(service.name)} did not answer{_at(operation)}: try again."
    return Failure(503, f"{service.code}_unavailable", text, retry_after=RETRY_SECONDS, error_type=label)


def _no_credentials(label: str) -> Failure:
    text = (
        "The assistant's credentials are missing or have expired: check the role of its task, then try again."
    )
    return Failure(503, "credentials_unavailable", text, error_type=label)


def _retry_after(error: ClientError) -> int:
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    said = str(headers.get("retry-after", ""))
    return min(int(said), 3600) if said.isascii() and said.isdigit() and said else RETRY_SECONDS


def _at(operation: str) -> str:
    return f" ({operation})" if operation else ""


def _sentence(name: str) -> str:
    return name[0].upper() + name[1:]
