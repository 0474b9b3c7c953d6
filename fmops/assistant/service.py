"""The HTTP service: OpenAI-compatible chat, feedback, health, and the pages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fmops.assistant.admission import MAX_BODY_BYTES, RECEIVE_SECONDS, Admission, Admit, SecurityHeaders
from fmops.assistant.approval_routes import add_approval_routes
from fmops.assistant.approvals import Approvals
from fmops.assistant.border import MendedRoute
from fmops.assistant.caller import Caller
from fmops.assistant.chat_routes import CHAT, add_chat_routes
from fmops.assistant.draft_desk import DraftDesk
from fmops.assistant.draft_routes import add_draft_routes
from fmops.assistant.http_errors import add_error_handlers, failed
from fmops.assistant.me_routes import add_me_routes
from fmops.assistant.openapi import TOO_OFTEN, answers, describe, operation_id
from fmops.assistant.openapi_models import FeedbackAccepted, Health
from fmops.assistant.page_routes import Pages, add_page_routes
from fmops.assistant.playground import Playground
from fmops.assistant.playground_routes import add_playground_routes
from fmops.assistant.rates import Rate
from fmops.assistant.review_desk import ReviewDesk
from fmops.assistant.review_routes import add_review_routes
from fmops.assistant.sign_in_routes import add_sign_in_route
from fmops.assistant.stopping import Stop
from fmops.assistant.welcome import add_welcome_route
from fmops.capture import FirehoseSink
from fmops.conversation.conversation import Conversation
from fmops.conversation.failures import INTERNAL
from fmops.conversation.wire import FeedbackRequest
from fmops.frames import where
from fmops.guardrails import Direction, GuardrailEngine
from fmops.identity.sign_in import SignIn
from fmops.identity.tokens import Pseudonyms, TokenVerifier, Verifier
from fmops.interaction import Feedback
from fmops.telemetry import attributes as names
from fmops.telemetry.metrics import instruments
from fmops.threads import Threads

FEEDBACK_PER_MINUTE = 30
"""Maximum feedback requests of one person per minute."""
THREADS = 96
"""Number of threads for calls of services other than the model, its checks and the captures."""
LAST_SECONDS = 3.0
"""Seconds of a stop that are reserved for the last spans and metrics."""
NO_ISSUER = "Sign-in at the pages is not set up here: send an ID token with each request."
HEALTH = "/healthz"
READY = "/readyz"

_log = logging.getLogger(__name__)


def create_app(
    *,
    conversation: Conversation,
    guardrails: GuardrailEngine,
    sink: FirehoseSink,
    verifier: Verifier,
    pseudonyms: Pseudonyms,
    approvals: Approvals | None = None,
    review: ReviewDesk | None = None,
    playground: Playground | None = None,
    drafting: DraftDesk | None = None,
    sign_in: SignIn | None = None,
    warm_up: Sequence[Callable[[], object]] = (),
    on_stop: Sequence[Callable[[], None]] = (),
    max_body_bytes: int = MAX_BODY_BYTES,
    receive_seconds: float = RECEIVE_SECONDS,
    stop: Stop | None = None,
    threads: int = THREADS,
    beside: Sequence[Callable[[], Awaitable[None]]] = (),
    routes: Sequence[Callable[[FastAPI], None]] = (),
) -> FastAPI:
    """Return the application made of its parts.

    It is not ready before ``warm_up`` is done, so that no one's first request pays for it. ``beside`` runs as
    long as the application serves. ``routes`` are functions that add further routes.
    """

    stopping = stop or Stop()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        stopping.at_end_of_answers(lambda: loop.call_soon_threadsafe(conversation.end_answers))
        # The event loop's default pool has six threads on two CPUs; tools, decisions and checkpoints wait for
        # services in it.
        loop.set_default_executor(Threads(threads, "waiting"))
        await asyncio.gather(*(asyncio.to_thread(_attempt, step) for step in warm_up))
        running = [asyncio.ensure_future(each()) for each in beside]
        yield
        for each in running:
            each.cancel()
        await conversation.close(max(0.0, stopping.left() - LAST_SECONDS))
        for last in on_stop:
            last()

    # The host header is the client's claim, so no redirect is built from it, such as one that adds or drops a
    # trailing slash.
    app = FastAPI(
        title="FMOps assistant",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
    )
    describe(app)
    app.add_middleware(
        Admission,
        admit=_admission(verifier),
        max_body_bytes=max_body_bytes,
        receive_seconds=receive_seconds,
        full=lambda scope: conversation.turns.full() if scope["path"] == CHAT else None,
    )
    app.state.verifier = verifier
    app.add_middleware(CatchAllMiddleware)
    app.add_middleware(SecurityHeaders)
    _add_error_handlers(app)

    add_chat_routes(app, conversation)
    _add_feedback_route(app, guardrails, sink, pseudonyms)
    add_welcome_route(app)
    if approvals is not None:
        add_approval_routes(app, approvals)
    if review is not None:
        add_review_routes(app, review)
    if playground is not None:
        add_playground_routes(app, playground)
    if drafting is not None:
        add_draft_routes(app, drafting)
    add_me_routes(app, approvals=approvals, review=review, playground=playground, drafting=drafting)
    for add in routes:
        add(app)
    _add_health_routes(app)
    signing_in = sign_in or SignIn("", "", refusal=NO_ISSUER)
    add_sign_in_route(app, signing_in)
    add_page_routes(app, Pages(signing_in.connect_origins))

    FastAPIInstrumentor.instrument_app(
        app,
        excluded_urls=f"{HEALTH},{READY}",
        exclude_spans=["receive", "send"],
        server_request_hook=_address_without_port,
    )
    return app


def _admission(verifier: Verifier) -> Admit:
    """Return the check of a token that the event loop may await."""
    if isinstance(verifier, TokenVerifier):
        return verifier.admit
    # A verifier other than ours may block, so it gets a thread.
    return lambda given: asyncio.to_thread(verifier.verify, given)


def _add_feedback_route(
    app: FastAPI, guardrails: GuardrailEngine, sink: FirehoseSink, pseudonyms: Pseudonyms
) -> None:
    """Add the route that takes a rating of an answer, with a comment that guardrails have checked."""
    rate = Rate(FEEDBACK_PER_MINUTE)

    @app.post("/v1/feedback", **answers(FeedbackAccepted, TOO_OFTEN, status=202))
    async def feedback(body: FeedbackRequest, principal: Caller) -> dict[str, str]:
        """Rate an answer, with a comment that guardrails check."""
        rate.take(principal.subject)
        comment = await guardrails.check(body.comment, Direction.INPUT) if body.comment else None
        record = Feedback(
            interaction_id=body.interaction_id,
            user=pseudonyms.user(principal.subject),
            rating=body.rating,
            comment=comment.text if comment else "",
        )
        # In a thread, because with memory full it writes to the disk.
        await asyncio.to_thread(sink.put, record)
        instruments().feedback.add(1, {names.FEEDBACK_RATING: body.rating})
        return {"feedback_id": record.feedback_id}


def _add_health_routes(app: FastAPI) -> None:
    """Add the routes that report whether the service is alive and ready."""

    @app.get(HEALTH, **answers(Health))
    async def health() -> dict[str, str]:
        """Say whether the process is alive."""
        return {"status": "ok"}

    @app.get(READY, **answers(Health))
    async def ready() -> dict[str, str]:
        """Say whether requests are answered."""
        return {"status": "ok"}


def _add_error_handlers(app: FastAPI) -> None:
    """Add handlers before any route: they repair incoming text and answer for the routes' errors."""
    app.router.route_class = MendedRoute
    add_error_handlers(app)


def _address_without_port(span: trace.Span, scope: dict[str, Any]) -> None:
    """Remove the port from the address: the instrumentation appends it, and collectors append it again."""
    if scope.get("server"):
        span.set_attribute(names.SERVER_ADDRESS, scope["server"][0])


class CatchAllMiddleware:
    """Answer unexpected errors with a 500. Log only their type and the places in our own code, since a whole stack
    trace may hold what people said.
    """

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
            _log.error("request failed: %s at %s", type(failure).__name__, where(failure))
            if scope["type"] == "http" and not begun:
                await failed(INTERNAL)(scope, receive, send)


def _attempt(step: Callable[[], object]) -> None:
    try:
        step()
    except Exception as failure:  # noqa: BLE001 - the first request tries again
        _log.warning("warm-up failed: %s at %s", type(failure).__name__, where(failure))
