"""Admission of requests: a token is checked before a body is read, and a body is read within limits of size and
time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fmops.assistant.http_errors import failed, unauthenticated
from fmops.conversation.failures import Failure
from fmops.identity.tokens import AuthenticationError, Principal

MAX_BODY_BYTES = 1 << 20
RECEIVE_SECONDS = 20.0
"""Seconds allowed for the whole body; ``fmops.assistant.server`` allows the headers as much."""
GUARDED = "/v1/"
"""Prefix of the paths that need a token; requests for other paths have no body read."""

Admit = Callable[[str | None], Awaitable[Principal]]
"""A function that returns the principal of an ``Authorization`` header. Raises ``AuthenticationError``."""

INVALID = "invalid_request_error"
SECURITY_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""Headers of every response: not cached, framed by no other site, and of exactly the declared content type.
"""


class Admission:
    """Admit requests that have a valid token, if their path needs one, and a body within the limits.

    The application gets the whole body at once, and the principal in the request's state. A request for which
    ``full`` returns a failure is refused before any work is done for it, because refusals that come by the
    hundred must cost almost nothing.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        admit: Admit,
        max_body_bytes: int = MAX_BODY_BYTES,
        receive_seconds: float = RECEIVE_SECONDS,
        full: Callable[[Scope], Failure | None] = lambda _: None,
    ) -> None:
        self._app = app
        self._full = full
        self._admit = admit
        self._most = max_body_bytes
        self._seconds = receive_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        announced = headers.get("content-length", "")
        has_body = announced not in ("", "0") or "transfer-encoding" in headers
        if not f"{scope['path']}/".startswith(GUARDED):
            await self._app(scope, receive, _closing(send) if has_body else send)
            return
        if refusal := self._full(scope):
            await last(failed(refusal))(scope, receive, send)
            return
        try:
            principal = await self._admit(headers.get("authorization"))
        except AuthenticationError as failure:
            await last(unauthenticated(failure))(scope, receive, send)
            return
        scope.setdefault("state", {})["principal"] = principal
        if announced.isdecimal() and int(announced) > self._most:
            await self._too_large(scope, receive, send)
            return
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                more = has_body
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    body += message.get("body", b"")
                    if len(body) > self._most:
                        await self._too_large(scope, receive, send)
                        return
                    more = message.get("more_body", False)
        except TimeoutError:
            late = f"The request's body did not arrive within {self._seconds:g} seconds: send it again."
            await last(failed(Failure(408, "request_timeout", late, kind=INVALID)))(scope, receive, send)
            return
        await self._app(scope, _whole(bytes(body), receive) if has_body else receive, send)

    async def _too_large(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = f"The request's body is larger than {self._most} bytes: send less."
        await last(failed(Failure(413, "request_too_large", message, kind=INVALID)))(scope, receive, send)


class SecurityHeaders:
    """Add ``SECURITY_HEADERS`` to every response, except those that it sets itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, secured if scope["type"] == "http" else send)


def _whole(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that yields the body, then whatever follows it."""
    given = False

    async def give() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return give


def last(response: JSONResponse) -> JSONResponse:
    """Return the response with a header that closes the connection, because no one reads the rest of the
    request.
    """
    response.headers["connection"] = "close"
    return response


def _closing(send: Send) -> Send:
    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["connection"] = "close"
        await send(message)

    return closing
