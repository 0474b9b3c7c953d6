"""Delivery before each answer ends, for environments that freeze the process between requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fmops.assistant.service import HEALTH, READY
from fmops.telemetry import setup


class FlushEachRequest:
    """Hold back the end of each answer until records, spans and metrics are delivered.

    Every piece before the end is passed on at once, so that a stream is as fast as without it; the environment
    learns only from the end that it may freeze the process. ``flush`` delivers what the application itself
    still holds. Health checks are not held back.
    """

    def __init__(self, app: ASGIApp, flush: Callable[[], Awaitable[None]]) -> None:
        self._app = app
        self._flush = flush

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in (HEALTH, READY):
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def pass_on(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                held.append(message)
            else:
                await send(message)

        try:
            # Wait until the application returns: only then has the request's own span ended.
            await self._app(scope, receive, pass_on)
        finally:
            await self._flush()
            await asyncio.to_thread(setup.flush)
            for message in held:
                await send(message)
