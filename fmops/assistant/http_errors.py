"""Errors as HTTP answers: OpenAI's error object with a remedy and the interaction's id, without any sent text
or stack trace."""

from __future__ import annotations

import logging
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from fmops.assistant.rates import RateLimitError
from fmops.assistant.route_errors import RouteError
from fmops.conversation.failures import (
    BUSY,
    INTERNAL,
    INVALID,
    RETRY_SECONDS,
    SERVER,
    AnswerFailedError,
    Failure,
    cause_of,
    explain,
)
from fmops.conversation.refusals import BadRequestError, refusal
from fmops.conversation.wire import error
from fmops.frames import where
from fmops.identity.tokens import AuthenticationError, IdentityUnavailableError
from fmops.interaction import Interaction
from fmops.prompts import PromptError
from fmops.review.backend import NoSuchTaskError, ReviewUnavailableError

INTERACTION_HEADER = "x-interaction-id"

_log = logging.getLogger(__name__)

_HTTP = {
    404: "There is nothing here: check the path.",
    405: "This method is not allowed here: check the path and the method.",
    413: "The request is too large: send less.",
}


def failure_of(error: BaseException, *, logged: bool = False) -> Failure:
    """Return what the caller is told about an error. Log the type of an unexpected one and its places in our own
    code, and nothing else, unless ``logged``."""
    if isinstance(error, AnswerFailedError):
        return error.failure
    found = explain(error)
    if found is None and not logged:
        _log.error("request failed: %s at %s", cause_of(error), where(error))
    return found or INTERNAL


def body_of(failure: Failure, interaction: Interaction | None = None) -> dict[str, Any]:
    """Return OpenAI's error object."""
    return error(
        failure.message, failure.kind, code=failure.code, param=failure.param, interaction=interaction
    )


def failed(failure: Failure, interaction: Interaction | None = None) -> JSONResponse:
    """Return the answer to a request that failed."""
    headers = {"cache-control": "no-store", **failure.headers}
    if failure.retry_after is not None:
        headers["retry-after"] = str(failure.retry_after)
    if interaction is not None:
        headers[INTERACTION_HEADER] = interaction.interaction_id
    return JSONResponse(body_of(failure, interaction), failure.status, headers=headers)


def unauthenticated(failure: AuthenticationError) -> JSONResponse:
    """Return the answer to a request whose token is invalid or cannot be checked."""
    if isinstance(failure, IdentityUnavailableError):
        return failed(Failure(503, "identity_unavailable", str(failure), retry_after=RETRY_SECONDS))
    body = error(str(failure), "authentication_error", code="invalid_token")
    return JSONResponse(body, 401, headers={"www-authenticate": "Bearer"})


def add_error_handlers(app: FastAPI) -> None:
    """Add handlers for every error that a route may raise."""

    @app.exception_handler(AuthenticationError)
    async def nobody(_: Request, failure: AuthenticationError) -> JSONResponse:
        return unauthenticated(failure)

    @app.exception_handler(RateLimitError)
    async def too_many(_: Request, failure: RateLimitError) -> JSONResponse:
        seconds = failure.seconds
        message = f"That is too much at once: try again in {seconds} seconds."
        return failed(Failure(429, "rate_limit_exceeded", message, kind=BUSY, retry_after=seconds))

    @app.exception_handler(RouteError)
    async def refused_by_route(_: Request, failure: RouteError) -> JSONResponse:
        body = error(str(failure), failure.kind, code=failure.code, param=failure.param)
        wait = {} if failure.retry_after is None else {"retry-after": str(failure.retry_after)}
        return JSONResponse(body, failure.status, headers=wait)

    @app.exception_handler(NoSuchTaskError)
    async def no_task(_: Request, __: NoSuchTaskError) -> JSONResponse:
        message = "There is no such task, or it is not yours to review."
        return JSONResponse(error(message, INVALID, code="review_task_not_found"), 404)

    @app.exception_handler(ReviewUnavailableError)
    async def no_review(_: Request, failure: ReviewUnavailableError) -> JSONResponse:
        return JSONResponse(error(str(failure), SERVER, code="review_unavailable"), 503)

    @app.exception_handler(PromptError)
    async def unusable(_: Request, failure: PromptError) -> JSONResponse:
        return JSONResponse(error(str(failure), INVALID, code="unusable_prompt", param="template"), 422)

    @app.exception_handler(BadRequestError)
    async def refused(_: Request, failure: BadRequestError) -> JSONResponse:
        return JSONResponse(
            error(str(failure), "invalid_request_error", code=failure.code, param=failure.param), 400
        )

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, failure: RequestValidationError) -> JSONResponse:
        return await refused(request, refusal(list(failure.errors())))

    @app.exception_handler(HTTPException)
    async def http(_: Request, failure: HTTPException) -> JSONResponse:
        message = _HTTP.get(failure.status_code, "The request cannot be read: send a JSON object in UTF-8.")
        code = f"http_{failure.status_code}"
        return JSONResponse(
            error(message, "invalid_request_error", code=code), failure.status_code, headers=failure.headers
        )

    @app.exception_handler(AnswerFailedError)
    @app.exception_handler(ClientError)
    @app.exception_handler(BotoCoreError)
    @app.exception_handler(Exception)
    async def broken(_: Request, failure: Exception) -> JSONResponse:
        return failed(failure_of(failure), getattr(failure, "interaction", None))
