"""One record for each request, however its task ends; and the model's stream ends with it."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager, suppress
from contextvars import copy_context
from typing import Any

import httpx
import pytest
import uvicorn
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from fmops.agent import NAME
from fmops.conversation.answering import Answer
from fmops.conversation.conversation import Conversation
from fmops.conversation.wire import ChatMessage
from fmops.guardrails.turn import disclose
from fmops.identity.tokens import Principal
from fmops.interaction import Interaction
from fmops.telemetry.model import MeasuredChatBedrock
from tests.assistant.test_service import Model, Service

CARLA = Principal("subject-1", "carla", frozenset(), False, "good", {})
QUESTION = [ChatMessage(role="user", content="Hello")]
WAIT = 20


class Endless(Model):
    """Says sentences until it is closed, as a model of an asynchronous client does; waits for ``first``
    before it begins."""

    script: Any = iter(())
    closed: Any = None
    hold: Any = None

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        try:
            if self.hold is not None:
                self.hold.set()
                await asyncio.Event().wait()
            while True:
                yield ChatGenerationChunk(
                    message=AIMessageChunk("This is a sentence of some length, said again. ")
                )
                await asyncio.sleep(0)
        finally:
            self.closed.set()


class BedrockStream:
    """boto3's streamed answer: events until it is closed."""

    def __init__(self) -> None:
        self.closed, self.reading, self.hold = threading.Event(), threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield {"messageStart": {"role": "assistant"}}
        text = "This is a sentence of some length, said again. "
        for _ in range(50):
            yield {"contentBlockDelta": {"delta": {"text": text}, "contentBlockIndex": 0}}
        while not self.closed.is_set():
            self.reading.set()
            self.hold.wait(WAIT)
            yield {"contentBlockDelta": {"delta": {"text": text}, "contentBlockIndex": 0}}

    def close(self) -> None:
        self.closed.set()


class Bedrock:
    """The part of a Bedrock client that a streamed Converse needs."""

    def __init__(self) -> None:
        self.stream = BedrockStream()

    def converse_stream(self, **_: Any) -> dict[str, Any]:
        return {"stream": self.stream, "ResponseMetadata": {}}


def endless(**fields: Any) -> tuple[Service, threading.Event]:
    closed = threading.Event()
    return Service(iter(()), model=Endless(closed=closed, **fields)), closed


@contextmanager
def served(app: Any, *, grace: float = 0.2) -> Iterator[tuple[int, Callable[[], None]]]:
    """Serve the application; yield its port, and a function that stops it as SIGTERM does."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="critical", timeout_graceful_shutdown=grace)  # type: ignore[arg-type]
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()

    def stop() -> None:
        server.should_exit = True
        thread.join(WAIT)
        assert not thread.is_alive()

    try:
        yield server.servers[0].sockets[0].getsockname()[1], stop
    finally:
        stop()


def asked(port: int, *, stream: bool, receive_buffer: int = 0) -> socket.socket:
    """Open a connection and send a question."""
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect(("127.0.0.1", port))
    body = httpx.Request(
        "POST",
        "http://x/",
        json={"model": NAME, "messages": [{"role": "user", "content": "Hello"}], "stream": stream},
    ).content
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def reads(connection: socket.socket, wanted: bytes) -> None:
    """Read until ``wanted`` has arrived."""
    connection.settimeout(WAIT)
    got = b""
    while wanted not in got:
        piece = connection.recv(4096)
        assert piece, got
        got += piece


def ended_by_itself(it: Service) -> Interaction:
    """Return the record, which arrives while the server goes on."""
    for _ in range(WAIT * 100):
        if it.sink.records:
            return it.record
        threading.Event().wait(0.01)
    raise AssertionError("nothing was recorded")


def test_a_client_that_leaves_a_stream_ends_the_model_and_is_no_error() -> None:
    it, closed = endless()
    with served(it.app) as (port, _):
        with asked(port, stream=True) as connection:
            reads(connection, b"sentence")
        record = ended_by_itself(it)
        assert closed.wait(WAIT)
    assert it.record is record
    assert (record.finish_reason, record.error_type) == ("client_disconnect", "")
    assert record.output.startswith("This is a sentence")


def test_bedrocks_stream_is_closed_although_a_thread_was_reading_it() -> None:
    client = Bedrock()
    model = MeasuredChatBedrock(
        client=client, model_id="us.anthropic.claude-haiku-4-5-20251001-v1:0", region_name="us-east-1"
    )
    it = Service(iter(()), model=model)
    gc.disable()
    try:
        with served(it.app) as (port, _):
            with asked(port, stream=True) as connection:
                reads(connection, b"sentence")
                assert client.stream.reading.wait(WAIT)
            assert ended_by_itself(it).finish_reason == "client_disconnect"
            client.stream.hold.set()
            assert client.stream.closed.wait(WAIT)
    finally:
        gc.enable()


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_before_the_first_piece(stream: bool) -> None:
    began = threading.Event()
    it, closed = endless(hold=began)
    with served(it.app) as (port, _):
        with asked(port, stream=stream):
            assert began.wait(WAIT)
        record = ended_by_itself(it)
        assert closed.wait(WAIT)
    assert it.record is record
    assert (record.finish_reason, record.output) == ("client_disconnect", "")


def test_a_client_that_stops_reading_and_then_the_server_stops() -> None:
    it, closed = endless()
    with served(it.app) as (port, stop), asked(port, stream=True, receive_buffer=2048) as connection:
        connection.recv(10)
        stop()
    assert closed.is_set()
    assert it.record.finish_reason == "error"
    assert it.record.error_type == "ServerStopped"
    assert it.record.input == "Hello"


@pytest.mark.parametrize("stream", [True, False])
def test_a_server_that_stops_before_the_first_piece(stream: bool) -> None:
    began = threading.Event()
    it, closed = endless(hold=began)
    with served(it.app) as (port, stop), asked(port, stream=stream):
        assert began.wait(WAIT)
        stop()
    assert closed.is_set()
    assert it.record.error_type == "ServerStopped"


def run(it: Service, use: Callable[[Conversation], Coroutine[Any, Any, None]]) -> Interaction:
    """Use the conversation as a server does: on a loop, and closed at the end."""

    async def go() -> None:
        await use(it.conversation)
        await it.conversation.close()

    asyncio.run(go())
    return it.record


def begun(conversation: Conversation) -> Answer:
    return conversation.answer(CARLA, QUESTION, conversation.begin(CARLA, "", streamed=True))


def test_an_answer_that_is_never_read() -> None:
    it, _ = endless()

    async def forget(conversation: Conversation) -> None:
        begun(conversation)
        gc.collect()

    assert run(it, forget).finish_reason == "client_disconnect"


def test_an_answer_that_is_forgotten_half_read_and_collected_in_another_context() -> None:
    it, closed = endless()

    async def forget(conversation: Conversation) -> None:
        held = [begun(conversation)]
        await anext(held[0])
        copy_context().run(held.clear)
        for _ in range(1000):
            gc.collect()
            if closed.is_set():
                break
            await asyncio.sleep(0.001)

    record = run(it, forget)
    assert closed.is_set()
    assert record.finish_reason == "client_disconnect"


def test_an_answer_that_is_closed_in_another_context() -> None:
    it, closed = endless()

    async def close(conversation: Conversation) -> None:
        answer = begun(conversation)
        await anext(answer)
        await asyncio.create_task(answer.aclose(), context=copy_context())
        await answer.aclose()

    assert run(it, close).finish_reason == "client_disconnect"
    assert closed.is_set()


@pytest.mark.parametrize("steps", range(6))
def test_a_reader_that_is_cancelled_after_some_steps(steps: int) -> None:
    it, _ = endless()

    async def cancel(conversation: Conversation) -> None:
        async def read() -> None:
            async with aclosing(begun(conversation)) as answer:
                async for _ in answer:
                    pass

        reader = asyncio.create_task(read())
        await asyncio.sleep(0)
        for _ in range(steps):
            await asyncio.sleep(0.002)
        reader.cancel()
        with suppress(asyncio.CancelledError):
            await reader

    assert run(it, cancel).finish_reason == "client_disconnect"


def test_a_server_that_closes_with_answers_under_way() -> None:
    it, closed = endless()
    left: list[Answer] = []

    async def leave(conversation: Conversation) -> None:
        left.append(begun(conversation))
        await anext(left[0])

    record = run(it, leave)
    assert closed.is_set()
    assert record.error_type == "ServerStopped"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_ends_without_a_word_loses_no_record() -> None:
    it, _ = endless()
    loop = asyncio.new_event_loop()

    async def begin() -> list[Answer]:
        held = [begun(it.conversation)]
        await anext(held[0])
        return held

    held = loop.run_until_complete(begin())
    loop.close()
    held.clear()
    gc.collect()
    assert it.record.finish_reason == "client_disconnect"


def test_an_exception_in_the_middle_is_recorded_once_with_what_was_said() -> None:
    class Breaking(Model):
        def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
            yield ChatGenerationChunk(message=AIMessageChunk("The first sentence stands. " * 20))
            raise RuntimeError("SECRET-DETAIL")

    it = Service(iter(()), model=Breaking(script=iter(())))

    async def read(conversation: Conversation) -> None:
        with pytest.raises(Exception, match="model failed"):
            await begun(conversation).text()

    record = run(it, read)
    assert (record.finish_reason, "SECRET" in record.model_dump_json()) == ("error", False)
    assert record.output.startswith("The first sentence stands.")


def test_a_slow_reader_holds_no_more_than_a_few_pieces() -> None:
    it, _ = endless()

    async def read(conversation: Conversation) -> None:
        answer = begun(conversation)
        await anext(answer)
        for _ in range(2000):
            await asyncio.sleep(0)
        waiting = len(answer._run.waiting)
        await answer.aclose()
        assert waiting <= 16

    run(it, read)


def test_the_turn_of_an_answer_is_its_own_whoever_reads_it() -> None:
    """Check that the record knows what a tool disclosed to the caller, and another answer does not."""
    from fmops.guardrails import current_turn

    it = Service(iter(()))
    seen: list[set[str]] = []
    it.conversation.record = lambda *_: seen.append(current_turn().disclosed)  # type: ignore[method-assign,union-attr]

    async def turn(*_: Any) -> AsyncIterator[str]:
        disclose("02/555 0100")
        yield "It is 02/555 0100."

    it.conversation._turn = turn  # type: ignore[method-assign,assignment]

    async def both() -> None:
        one, other = begun(it.conversation), begun(it.conversation)
        await asyncio.gather(one.text(), other.text())
        await it.conversation.close()

    asyncio.run(both())
    assert len(seen) == 2
    assert seen[0] == seen[1] == {"025550100"}
    assert seen[0] is not seen[1]


def test_an_answer_that_was_asked_for_before_any_loop_ran() -> None:
    it, _ = endless()
    begun(it.conversation)
    gc.collect()
    assert it.record.finish_reason == "client_disconnect"
    it, _ = endless()
    answer = begun(it.conversation)

    async def read(_: Conversation) -> None:
        assert "sentence" in await anext(answer)
        await answer.aclose()

    assert run(it, read).finish_reason == "client_disconnect"


def test_a_server_that_tells_of_a_lost_client_by_an_error_of_send() -> None:
    """Behave as servers of ASGI 2.4 do."""
    it, closed = endless()
    sent: list[Any] = []

    async def receive() -> Any:
        if not sent:
            return {"type": "http.request", "body": body, "more_body": False}
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) > 3:
            raise OSError("gone")

    body = httpx.Request(
        "POST",
        "http://x/",
        json={"model": NAME, "messages": [{"role": "user", "content": "Hello"}], "stream": True},
    ).content
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "raw_path": b"/v1/chat/completions",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer good"), (b"content-type", b"application/json")],
        "server": ("x", 80),
        "scheme": "http",
    }

    async def serve(_: Conversation) -> None:
        await it.app(scope, receive, send)

    assert run(it, serve).finish_reason == "client_disconnect"
    assert closed.is_set()
