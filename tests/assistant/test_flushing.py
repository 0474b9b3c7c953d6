"""If the process is frozen when an answer ends, none of the answer's telemetry or records still waits by
then.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from fmops.assistant.flushing import FlushEachRequest
from fmops.telemetry import setup


async def _call(app: Any, path: str = "/v1/chat/completions") -> list[str]:
    """Return what reached the client, in order with what was flushed."""
    seen: list[str] = []

    async def flush() -> None:
        seen.append("flushed")

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            seen.append(message.get("body", b"").decode() or "end")

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    await FlushEachRequest(app, flush)({"type": "http", "path": path}, receive, send)
    return seen


async def _stream(scope: Scope, receive: Receive, send: Send) -> None:
    async def pieces() -> Any:
        yield "one"
        yield "two"

    scope = {**scope, "method": "POST", "headers": [], "asgi": {"spec_version": "2.4"}}
    await StreamingResponse(pieces())(scope, receive, send)


def test_pieces_are_passed_on_at_once_and_the_end_waits_for_the_flush() -> None:
    assert asyncio.run(_call(_stream)) == ["one", "two", "flushed", "end"]


def test_health_checks_wait_for_nothing() -> None:
    assert asyncio.run(_call(_stream, "/readyz")) == ["one", "two", "end"]


def test_what_a_client_does_not_wait_for_is_flushed_too() -> None:
    async def gone(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    flushed: list[bool] = []

    async def flush() -> None:
        flushed.append(True)

    async def nothing(*_: Any) -> Message:
        raise AssertionError

    with pytest.raises(asyncio.CancelledError):
        middleware = FlushEachRequest(gone, flush)  # type: ignore[arg-type]
        asyncio.run(middleware({"type": "http", "path": "/"}, nothing, nothing))  # type: ignore[arg-type]
    assert flushed == [True]


def test_the_requests_own_span_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=3_600_000))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    exported: list[int] = []

    async def traced(scope: Scope, receive: Receive, send: Send) -> None:
        with provider.get_tracer("t").start_as_current_span("request"):
            await _stream(scope, receive, send)

    async def send(message: Message) -> None:
        if not message.get("more_body", True):
            exported.append(len(exporter.get_finished_spans()))

    async def nothing() -> None:
        pass

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    asyncio.run(FlushEachRequest(traced, nothing)({"type": "http", "path": "/x"}, receive, send))
    assert exported == [1]
    setup.flush()
