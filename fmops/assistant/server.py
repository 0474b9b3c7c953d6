"""uvicorn's connections with two limits that it has no option for: time to receive headers, and number of open
connections."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import logging
import time
from collections.abc import Callable, Mapping
from socket import socket
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from fmops.assistant.admission import RECEIVE_SECONDS, SECURITY_HEADERS, SecurityHeaders
from fmops.assistant.http_errors import failed
from fmops.assistant.service import HEALTH, READY
from fmops.assistant.stopping import Stop
from fmops.conversation.failures import FULL, INVALID, RETRY_SECONDS, SERVER, Failure
from fmops.conversation.wire import error

LOG_SECONDS = 60.0
"""Seconds between two log lines about connections that could not be accepted."""
NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = logging.getLogger(__name__)


class Accepting:
    """Handle an event loop's errors: a connection that finds no free descriptor is logged once a minute, not at
    every attempt."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged_at = float("-inf")
        self._silent = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in NO_ROOM):
            loop.default_exception_handler(context)
            return
        now = self._clock()
        self._silent += 1
        if now - self._logged_at >= LOG_SECONDS:
            _log.error(
                "connections wait, since there is no descriptor or memory left (%s): %d times",
                errno.errorcode[error.errno],
                self._silent,
            )
            self._logged_at, self._silent = now, 0


class Server(uvicorn.Server):
    """uvicorn's server, with one deadline for the whole stop."""

    def __init__(self, config: uvicorn.Config, stop: Stop, *, or_else: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop = stop
        self._or_else = or_else

    async def startup(self, sockets: list[socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(Accepting())
        await super().startup(sockets)
        # A full collection stops all threads; with the start's objects frozen, it need not examine them
        # again.
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        self._stop.begin(or_else=self._or_else)
        await super().shutdown(sockets)


class BoundedConnection(H11Protocol):
    """A connection that is closed when the headers of a request take too long or there are far too many
    connections.

    ``limit_concurrency`` is the maximum number of requests at once. Requests above it are refused, except
    health checks: refusing those would have the task replaced by another that is just as full. Twice as many
    connections may be open. uvicorn's own limit counts idle connections, refuses health checks, and logs each
    refusal.
    """

    receive_seconds = RECEIVE_SECONDS

    def __init__(self, config: uvicorn.Config, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self._late: asyncio.TimerHandle | None = None
        self._most, self.limit_concurrency = self.limit_concurrency, None
        if self._most is not None:
            self.app = self._limited(self.app, self._most)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._most is not None and len(self.connections) > 2 * self._most:
            self._refuse(503, "overloaded", FULL)
            return
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._expect_headers()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - our message says more
        """Answer invalid HTTP, or headers that are too large, with our error object."""
        self._refuse(
            400, "invalid_http", "The request is not valid HTTP, or its headers are too large: send fewer."
        )

    def _limited(self, app: Any, most: int) -> ASGIApp:
        refused = SecurityHeaders(failed(Failure(503, "overloaded", FULL, retry_after=RETRY_SECONDS)))

        async def limited(scope: Scope, receive: Receive, send: Send) -> None:
            full = len(self.tasks) > most and scope["path"] not in (HEALTH, READY)
            await (refused if full else app)(scope, receive, send)

        return limited

    def _expect_headers(self) -> None:
        """Start the clock when a request has begun or a new connection is silent; stop it when the headers are
        complete."""
        idle = self.conn.their_state is h11.IDLE and not self.transport.is_closing()
        if not idle or (self.cycle is not None and not self.conn.trailing_data[0]):
            # Between two requests, the keep-alive time applies instead.
            self._stop_waiting()
        elif self._late is None:
            self._late = self.loop.call_later(self.receive_seconds, self._headers_are_late)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _headers_are_late(self) -> None:
        self._late = None
        if self.transport.is_closing():
            return
        if not self.conn.trailing_data[0]:
            self.transport.close()
            return
        late = f"The request's headers did not arrive within {self.receive_seconds:g} seconds: send it again."
        self._refuse(408, "request_timeout", late)

    def _refuse(self, status: int, code: str, message: str) -> None:
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        kind = SERVER if status >= 500 else INVALID
        body = json.dumps(error(message, kind, code=code)).encode()
        own: Mapping[str, str] = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "connection": "close",
            **({"retry-after": str(RETRY_SECONDS)} if status == 503 else {}),
            **SECURITY_HEADERS,
        }
        headers = [(name.encode(), value.encode()) for name, value in own.items()]
        for event in (
            h11.Response(status_code=status, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
