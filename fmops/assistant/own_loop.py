"""The application in its own event loop, so that busy turns delay neither health checks nor refusals."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fmops.assistant.admission import SecurityHeaders, last
from fmops.assistant.http_errors import failed
from fmops.assistant.service import HEALTH, READY
from fmops.conversation.failures import Failure

BEAT_SECONDS = 0.25
STUCK_SECONDS = 5.0
"""Seconds without a sign of life from the application's event loop after which the task counts as unhealthy.
"""
STUCK = Failure(503, "stuck", "The assistant's event loop does not answer: it has to be replaced.")

T = TypeVar("T")


class OwnLoop:
    """Run ``app`` in a thread with its own event loop, and answer health checks in the server's loop.

    Requests cross over to that loop, and received and sent messages cross back, each in order and with the server's
    flow control. A request that the server cancels is cancelled in the application's loop too. A request for which
    ``full`` returns a failure is refused without crossing: hundreds of refusals must not delay the answers in
    progress. A health check returns 503 when the application's loop shows no sign of life for ``STUCK_SECONDS``.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        full: Callable[[Scope], Failure | None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._full = full
        self._clock = clock
        self._loop = asyncio.new_event_loop()
        self._alive_at = clock()
        self._begun = threading.Lock()
        self._healthy = SecurityHeaders(JSONResponse({"status": "ok"}))
        self._stuck = SecurityHeaders(failed(STUCK))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._begun.acquire(blocking=False):
            threading.Thread(target=self._serve, name="turns", daemon=True).start()
        if scope["type"] == "http" and scope["path"] in (HEALTH, READY) and scope["method"] == "GET":
            stuck = self._clock() - self._alive_at > STUCK_SECONDS
            await (self._stuck if stuck else self._healthy)(scope, receive, send)
            return
        if scope["type"] == "http" and (failure := self._full(scope)):
            await SecurityHeaders(last(failed(failure)))(scope, receive, send)
            return
        here = asyncio.get_running_loop()
        await _across(self._loop, self._app, scope, _crossing(here, receive), _crossing(here, send))

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._beat)
        self._loop.run_forever()

    def _beat(self) -> None:
        self._alive_at = self._clock()
        self._loop.call_later(BEAT_SECONDS, self._beat)


async def _across(loop: asyncio.AbstractEventLoop, call: Callable[..., Awaitable[T]], *given: Any) -> T:
    """Await ``call`` in another thread's loop."""

    async def called() -> T:
        return await call(*given)

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(called(), loop))


def _crossing(
    loop: asyncio.AbstractEventLoop, call: Callable[..., Awaitable[T]]
) -> Callable[..., Awaitable[T]]:
    async def crossed(*given: Any) -> T:
        return await _across(loop, call, *given)

    return crossed
