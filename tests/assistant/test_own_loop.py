"""The application's event loop beside the server's: health is answered while turns keep it busy, and requests
cross over complete."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from fmops.assistant.own_loop import STUCK_SECONDS, OwnLoop
from fmops.conversation.failures import Failure

WAIT = 10


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def client(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://assistant")


def serving(*routes: Route) -> Starlette:
    return Starlette(routes=list(routes))


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_is_answered_while_a_turn_holds_the_event_loop(path: str) -> None:
    held, release = threading.Event(), threading.Event()

    async def busy(_: Request) -> Response:
        held.set()
        release.wait(WAIT)
        return PlainTextResponse("done")

    async with client(OwnLoop(serving(Route("/busy", busy)))) as asking:
        turn = asyncio.create_task(asking.get("/busy"))
        assert await asyncio.to_thread(held.wait, WAIT)
        health = await asking.get(path)
        assert (health.status_code, health.json()) == (200, {"status": "ok"})
        assert health.headers["x-content-type-options"] == "nosniff"
        assert not turn.done()
        release.set()
        assert (await turn).text == "done"


async def test_a_loop_without_a_sign_of_life_is_unhealthy() -> None:
    held, release, clock = threading.Event(), threading.Event(), Clock()

    async def stuck(_: Request) -> Response:
        held.set()
        release.wait(WAIT)
        return PlainTextResponse("done")

    async with client(OwnLoop(serving(Route("/stuck", stuck)), clock=clock)) as asking:
        turn = asyncio.create_task(asking.get("/stuck"))
        assert await asyncio.to_thread(held.wait, WAIT)
        clock.now += STUCK_SECONDS + 1
        health = await asking.get("/healthz")
        assert (health.status_code, health.json()["error"]["code"]) == (503, "stuck")
        release.set()
        await turn


async def test_what_a_full_task_refuses_does_not_cross() -> None:
    crossed = threading.Event()

    async def answered(_: Request) -> Response:
        crossed.set()
        return PlainTextResponse("done")

    full = Failure(503, "overloaded", "Try again.", retry_after=2)
    app = OwnLoop(
        serving(Route("/chat", answered, methods=["POST"])),
        full=lambda scope: full if scope["path"] == "/chat" else None,
    )
    async with client(app) as asking:
        refused = await asking.post("/chat", content=b"question")
        assert (await asking.get("/healthz")).status_code == 200
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert (refused.headers["retry-after"], refused.headers["connection"]) == ("2", "close")
    assert refused.headers["x-content-type-options"] == "nosniff"
    assert not crossed.is_set()


async def test_bodies_and_streams_cross_in_their_order() -> None:
    async def echo(request: Request) -> Response:
        received = [piece async for piece in request.stream()]

        async def pieces() -> AsyncIterator[bytes]:
            for piece in received:
                yield piece

        return StreamingResponse(pieces())

    async def body() -> AsyncIterator[bytes]:
        for number in range(200):
            yield b"%d " % number

    async with client(OwnLoop(serving(Route("/echo", echo, methods=["POST"])))) as asking:
        answer = await asking.post("/echo", content=body())
    assert answer.content == b"".join([b"%d " % number for number in range(200)])


async def test_a_request_that_the_server_cancels_is_cancelled_in_the_application() -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def waits(_: Request) -> Response:
        begun.set()
        try:
            await asyncio.sleep(WAIT)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return PlainTextResponse("never")

    async with client(OwnLoop(serving(Route("/waits", waits)))) as asking:
        turn = asyncio.create_task(asking.get("/waits"))
        assert await asyncio.to_thread(begun.wait, WAIT)
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
    assert await asyncio.to_thread(cancelled.wait, WAIT)


async def test_what_the_application_raises_reaches_the_server() -> None:
    async def fails(*_: object) -> None:
        raise KeyError("fault")

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(_: Message) -> None:
        pass

    with pytest.raises(KeyError):
        await OwnLoop(fails)({"type": "http", "path": "/", "method": "GET"}, receive, send)
