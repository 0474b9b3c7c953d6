"""The HTTP service: OpenAI-compatible chat, feedback, health, and the chat page."""

from __future__ import annotations

import asyncio
import html
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fmops.agent import HINT, TITLE
from fmops.assistant.approval_routes import add_approval_routes
from fmops.assistant.approvals import Approvals
from fmops.assistant.caller import Caller
from fmops.assistant.conversation import Conversation, ModelUnavailableError
from fmops.assistant.identity import AuthenticationError, Pseudonyms, TokenVerifier
from fmops.assistant.playground import Playground
from fmops.assistant.playground_routes import add_playground_routes
from fmops.assistant.review_desk import ReviewDesk
from fmops.assistant.review_routes import add_review_routes
from fmops.assistant.wire import MODEL, ChatRequest, FeedbackRequest, chunk, completion, error
from fmops.capture import FirehoseSink
from fmops.guardrails import Direction, GuardrailEngine
from fmops.interaction import Feedback, Interaction
from fmops.telemetry import attributes as names
from fmops.telemetry.metrics import instruments

HEALTH = "/healthz"
READY = "/readyz"

_log = logging.getLogger(__name__)


@cache
def chat_page() -> str:
    """The chat page, with the agent's names."""
    page = Path(__file__).with_name("page.html").read_text()
    for placeholder, words in (("{{title}}", TITLE), ("{{hint}}", HINT), ("{{model}}", MODEL)):
        page = page.replace(placeholder, html.escape(words))
    return page


def create_app(
    *,
    conversation: Conversation,
    guardrails: GuardrailEngine,
    sink: FirehoseSink,
    verifier: TokenVerifier,
    pseudonyms: Pseudonyms,
    approvals: Approvals | None = None,
    review: ReviewDesk | None = None,
    playground: Playground | None = None,
    warm_up: Sequence[Callable[[], object]] = (),
    on_stop: Sequence[Callable[[], None]] = (),
) -> FastAPI:
    """The application over its parts. It is not ready before ``warm_up`` is done: nobody's first request pays for it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.gather(*(asyncio.to_thread(_attempt, step) for step in warm_up))
        yield
        await conversation.close()
        for stop in on_stop:
            stop()

    app = FastAPI(title="FMOps assistant", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(LastResort)
    app.state.verifier = verifier
    _add_error_handlers(app)

    @app.post("/v1/chat/completions", response_model=None)
    async def chat(body: ChatRequest, principal: Caller) -> JSONResponse | StreamingResponse:
        if body.model != MODEL:
            message = f"There is no model {body.model!r} here; the assistant's model is {MODEL!r}."
            return JSONResponse(
                error(message, "invalid_request_error", code="model_not_found", param="model"), 404
            )
        interaction = conversation.begin(principal, body.session, streamed=body.stream)
        headers = {"x-interaction-id": interaction.interaction_id, "cache-control": "no-store"}
        pieces = conversation.answer(principal, body.messages, interaction)
        if body.stream:
            return StreamingResponse(
                _events(interaction, pieces), media_type="text/event-stream", headers=headers
            )
        text = "".join([piece async for piece in pieces])
        return JSONResponse(completion(interaction, text), headers=headers)

    @app.post("/v1/feedback", status_code=202)
    async def feedback(body: FeedbackRequest, principal: Caller) -> dict[str, str]:
        comment = await guardrails.check(body.comment, Direction.INPUT) if body.comment else None
        record = Feedback(
            interaction_id=body.interaction_id,
            user=pseudonyms.user(principal.subject),
            rating=body.rating,
            comment=comment.text if comment else "",
        )
        # In a thread: with memory full it writes to the disk.
        await asyncio.to_thread(sink.put, record)
        instruments().feedback.add(1, {names.FEEDBACK_RATING: body.rating})
        return {"feedback_id": record.feedback_id}

    if approvals is not None:
        add_approval_routes(app, approvals)
    if review is not None:
        add_review_routes(app, review)
    if playground is not None:
        add_playground_routes(app, playground)

    @app.get("/v1/models")
    def models(_: Caller) -> dict[str, Any]:
        return {"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "fmops"}]}

    @app.get(HEALTH)
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get(READY)
    def ready() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/", include_in_schema=False)
    def page() -> HTMLResponse:
        return HTMLResponse(chat_page())

    FastAPIInstrumentor.instrument_app(
        app,
        excluded_urls=f"{HEALTH},{READY}",
        exclude_spans=["receive", "send"],
        server_request_hook=_address_without_port,
    )
    return app


def _address_without_port(span: trace.Span, scope: dict[str, Any]) -> None:
    """The instrumentation appends the port, which collectors append again."""
    if scope.get("server"):
        span.set_attribute(names.SERVER_ADDRESS, scope["server"][0])


class LastResort:
    """Answers what nobody expected with a 500, and logs its type only: a stack trace may hold what people said."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as failure:  # noqa: BLE001 - the last resort
            _log.error("request failed: %s", type(failure).__name__)
            if scope["type"] == "http" and not begun:
                body = error("The assistant failed: try again.", "server_error", code="internal_error")
                await JSONResponse(body, 500)(scope, receive, send)


def _attempt(step: Callable[[], object]) -> None:
    try:
        step()
    except Exception as failure:  # noqa: BLE001 - the first request tries again
        _log.warning("warm-up failed: %s", type(failure).__name__)


async def _events(interaction: Interaction, pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    yield _event(chunk(interaction, {"role": "assistant", "content": ""}))
    try:
        async for piece in pieces:
            yield _event(chunk(interaction, {"content": piece}))
        yield _event(chunk(interaction, {}, interaction.finish_reason))
    except ModelUnavailableError as unavailable:
        yield _event(error(str(unavailable), "server_error", code="model_unavailable"))
    except Exception as failure:  # noqa: BLE001 - the stream has begun: its end is the only place to say it
        _log.error("interaction %s failed: %s", interaction.interaction_id, type(failure).__name__)
        yield _event(error("The assistant failed: try again.", "server_error", code="internal_error"))
    yield "data: [DONE]\n\n"


def _event(payload: dict[str, Any]) -> str:
    return f"data: {json.dumps(payload, ensure_ascii=False)}\n\n"


def _add_error_handlers(app: FastAPI) -> None:
    """Every error is OpenAI's error object with a remedy; none shows a stack trace or repeats what was sent."""

    @app.exception_handler(AuthenticationError)
    async def unauthenticated(_: Request, failure: AuthenticationError) -> JSONResponse:
        body = error(str(failure), "authentication_error", code="invalid_token")
        return JSONResponse(body, 401, headers={"www-authenticate": "Bearer"})

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, failure: RequestValidationError) -> JSONResponse:
        first = failure.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if part != "body")
        message = (
            f"{field}: {first['msg']}" if field else f"The request body is not valid JSON: {first['msg']}"
        )
        return JSONResponse(
            error(message, "invalid_request_error", code="invalid_body", param=field or None), 400
        )

    @app.exception_handler(ModelUnavailableError)
    async def unavailable(_: Request, failure: ModelUnavailableError) -> JSONResponse:
        return JSONResponse(error(str(failure), "server_error", code="model_unavailable"), 503)

    @app.exception_handler(HTTPException)
    async def http(_: Request, failure: HTTPException) -> JSONResponse:
        return JSONResponse(
            error(str(failure.detail), "invalid_request_error", code=f"http_{failure.status_code}"),
            failure.status_code,
        )

    @app.exception_handler(Exception)
    async def failed(_: Request, failure: Exception) -> JSONResponse:
        _log.error("request failed: %s", type(failure).__name__)
        return JSONResponse(
            error("The assistant failed: try again.", "server_error", code="internal_error"), 500
        )
