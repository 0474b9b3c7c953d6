"""Threads, deadlines and limits: a waiting call takes no thread from another, and excess load is refused at
once.
"""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from fastapi.testclient import TestClient
from httpx import ASGITransport, AsyncClient, Response
from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, HumanMessage

from fmops import deadline
from fmops.agent import NAME
from fmops.assistant import __main__ as main
from fmops.assistant.server import Accepting
from fmops.conversation.failures import AnswerFailedError, explain
from fmops.conversation.turns import EmbeddedMetric, Turns
from fmops.guardrails import Category, Direction, Finding, GuardrailEngine, GuardrailSettings
from fmops.guardrails.detectors.base import Clients, Context, Detector
from fmops.guardrails.turn import disclose
from fmops.interaction import Interaction
from fmops.telemetry.model import MeasuredChatBedrock
from tests.assistant.test_service import Service, Words, call, events, look_up, service
from tests.conversation.test_disconnects import WAIT, asked, endless, served

AT_ONCE = 32
MODEL_ID = "us.anthropic.claude-haiku-4-5-20251001-v1:0"


class Together:
    """A client of Bedrock that answers once enough calls wait at the same time, and fails otherwise."""

    def __init__(self, parties: int) -> None:
        self._barrier = threading.Barrier(parties)

    def converse(self, **_: Any) -> dict[str, Any]:
        self._barrier.wait(WAIT)
        message = {"role": "assistant", "content": [{"text": "Hello."}]}
        usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
        return {
            "output": {"message": message},
            "stopReason": "end_turn",
            "usage": usage,
            "metrics": {"latencyMs": 1},
        }

    def converse_stream(self, **_: Any) -> dict[str, Any]:
        return {"stream": self._events(), "ResponseMetadata": {}}

    def _events(self) -> Iterator[dict[str, Any]]:
        self._barrier.wait(WAIT)
        yield {"messageStart": {"role": "assistant"}}
        yield {"contentBlockDelta": {"delta": {"text": "Hello."}, "contentBlockIndex": 0}}
        yield {"messageStop": {"stopReason": "end_turn"}}


def bedrock(client: Any) -> MeasuredChatBedrock:
    return MeasuredChatBedrock(client=client, model_id=MODEL_ID, region_name="us-east-1")


def ask(client: AsyncClient, *, stream: bool = False, text: str = "Hello") -> Coroutine[Any, Any, Response]:
    body = {"model": NAME, "messages": [{"role": "user", "content": text}], "stream": stream}
    headers = {"authorization": "Bearer good"}
    return client.post("/v1/chat/completions", json=body, headers=headers, timeout=WAIT)


def using(it: Service, use: Callable[[AsyncClient], Coroutine[Any, Any, Any]]) -> Any:
    """Serve the application, and run the requests concurrently."""

    async def go() -> Any:
        async with (
            it.app.router.lifespan_context(it.app),
            AsyncClient(transport=ASGITransport(it.app), base_url="http://x") as client,
        ):
            return await use(client)

    return asyncio.run(go())


def all_at_once(it: Service, number: int = AT_ONCE, *, stream: bool = False) -> list[Response]:
    async def use(client: AsyncClient) -> list[Response]:
        return await asyncio.gather(*(ask(client, stream=stream) for _ in range(number)))

    answers: list[Response] = using(it, use)
    return answers


@pytest.mark.parametrize("stream", [True, False])
def test_as_many_model_calls_wait_at_once_as_there_are_turns(stream: bool) -> None:
    it = Service(iter(()), model=bedrock(Together(AT_ONCE)))
    answers = all_at_once(it, stream=stream)
    assert [each.status_code for each in answers] == [200] * AT_ONCE
    assert all("Hello." in each.text for each in answers)


def test_model_calls_that_are_no_streams_too() -> None:
    model = bedrock(Together(AT_ONCE))

    async def go() -> list[Any]:
        return await asyncio.gather(*(model.ainvoke([HumanMessage("Hello")]) for _ in range(AT_ONCE)))

    assert len(asyncio.run(go())) == AT_ONCE


def test_as_many_tools_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(AT_ONCE)

    def slow(what: str) -> str:
        together.wait(WAIT)
        return what

    monkeypatch.setattr(look_up, "func", slow)
    script = [call("look_up", "it")] * AT_ONCE + [AIMessage("Found.")] * AT_ONCE
    answers = all_at_once(service(*script))
    assert [each.json()["choices"][0]["message"]["content"] for each in answers] == ["Found."] * AT_ONCE


class Hangs(Detector):
    """A model that answers once it is released."""

    categories = frozenset({Category.INSULT})

    def detect(self, texts: Sequence[str], context: Context) -> list[list[Finding]]:
        released.wait(WAIT)
        return [[] for _ in texts]


class Remote(Hangs):
    """A service that answers at once, over a network."""

    def detect(self, texts: Sequence[str], context: Context) -> list[list[Finding]]:
        return [[] for _ in texts]


released = threading.Event()


def test_a_detector_that_hangs_takes_no_thread_from_another() -> None:
    released.clear()
    clients = Clients(boto3.Session(), timeout=1, connections=1)
    settings = GuardrailSettings(deadline_ms=300, concurrency=2, identify_language=False)
    engine = GuardrailEngine([Hangs("slow", clients), Remote("quick", clients)], settings=settings)

    async def go() -> list[Any]:
        return await asyncio.gather(*(engine.check(f"Hello {n}", Direction.INPUT) for n in range(8)))

    try:
        outcomes = asyncio.run(go())
    finally:
        released.set()
    results = {(each.detector, each.result) for outcome in outcomes for each in outcome.calls}
    assert results == {("slow", "timeout"), ("quick", "ok")}
    assert all(outcome.blocked for outcome in outcomes)


class Slow(Embeddings):
    """An embedder that answers once it is released, or never."""

    def __init__(self, error: Exception | None = None) -> None:
        self.released = threading.Event()
        self.error = error

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(each) for each in texts]

    def embed_query(self, text: str) -> list[float]:
        if self.error:
            raise self.error
        self.released.wait(WAIT)
        return [0.5]


def test_embeddings_that_hang_hold_up_no_answer_and_the_records_say_why_they_have_none() -> None:
    slow = Slow()
    it = Service(iter([AIMessage("Hello.")] * 24), embeddings=slow)
    it.conversation.captures._seconds = 0.05

    async def use(client: AsyncClient) -> list[Response]:
        answers = [await ask(client) for _ in range(24)]
        await asyncio.gather(*it.conversation.captures._under_way)
        return answers

    try:
        answers = using(it, use)
    finally:
        slow.released.set()
    assert [each.status_code for each in answers] == [200] * 24
    records = [each for each in it.sink.records if isinstance(each, Interaction)]
    assert {(each.embedding, each.embedding_error, each.output) for each in records} == {
        (None, "Timeout", "Hello.")
    }


def test_an_embedding_that_fails_is_named_in_the_record() -> None:
    it = Service(iter([AIMessage("Hello.")]), embeddings=Slow(RuntimeError("SECRET")))
    assert it.ask().status_code == 200
    assert it.record.embedding_error == "RuntimeError"
    assert "SECRET" not in it.record.model_dump_json()


def test_an_embedding_in_time_leaves_nothing_to_say() -> None:
    it = service(AIMessage("Hello."))
    it.ask()
    assert it.record.embedding is not None
    assert it.record.embedding_error == ""


def test_a_stop_while_embeddings_hang_delivers_the_records() -> None:
    slow = Slow()
    it = Service(iter([AIMessage("Hello.")] * 60), embeddings=slow)
    try:
        all_at_once(it, 60)
    finally:
        slow.released.set()
    assert len(it.sink.records) == 60
    assert {each.embedding_error for each in it.sink.records if isinstance(each, Interaction)} == {
        "ServerStopped"
    }


def test_a_stop_while_a_record_is_redacted_leaves_out_what_was_disclosed() -> None:
    class Disclosing(Words):
        """A detector that hangs while the record is redacted."""

        in_process = False

        def detect(self, texts: Sequence[str], context: Context) -> list[list[Finding]]:
            if "0100" in texts[0]:
                released.wait(WAIT)
            return super().detect(texts, context)

    released.clear()
    it = Service(iter(()), detector=Disclosing)

    async def turn(*_: Any) -> Any:
        disclose("02/555 0100")
        yield "It is 02/555 0100."

    it.conversation._turn = turn  # type: ignore[method-assign,assignment]

    async def use(client: AsyncClient) -> None:
        await ask(client)
        await it.conversation.close(0.2)

    try:
        using(it, use)
    finally:
        released.set()
    assert it.record.output == ""


def test_a_stop_while_the_disk_is_slow_forgets_no_record() -> None:
    slow = threading.Event()
    it = Service(iter([AIMessage("Hello.")] * 12), raw=True)
    for sink in (it.sink, it.raw_sink):
        put = sink.put
        sink.put = lambda record, put=put: (slow.wait(WAIT), put(record))[1]  # type: ignore[method-assign,misc]

    async def use(client: AsyncClient) -> None:
        await asyncio.gather(*(ask(client) for _ in range(12)))
        await it.conversation.close(0.2)
        slow.set()

    using(it, use)
    for _ in range(WAIT * 100):
        if len(it.sink.records) == len(it.raw_sink.records) == 12:
            return
        threading.Event().wait(0.01)
    raise AssertionError((len(it.sink.records), len(it.raw_sink.records)))


@pytest.mark.parametrize("stream", [True, False])
def test_a_stop_ends_answers_with_an_error_that_says_so(stream: bool) -> None:
    it, closed = endless()
    with served(it.app, grace=WAIT) as (port, stop), asked(port, stream=stream) as connection:
        connection.settimeout(WAIT)
        while not it.conversation._runs:
            threading.Event().wait(0.01)
        threading.Timer(0.2, lambda: loops[0].call_soon_threadsafe(it.conversation.end_answers)).start()
        loops = [next(iter(it.conversation._runs))._loop]
        got = b""
        while b"server_stopping" not in got:
            piece = connection.recv(65536)
            assert piece, got[-500:]
            got += piece
        if stream:
            while b"[DONE]" not in got:
                got += connection.recv(65536)
        else:
            assert b" 503 " in got.split(b"\r\n")[0]
            assert b"retry-after" in got.lower()
        stop()
    assert closed.is_set()
    assert it.record.error_type == "ServerStopped"


def test_turns_above_a_tasks_limit_are_refused_and_the_others_answered() -> None:
    it = Service(iter(()), model=bedrock(Together(4)), turns=Turns(4, 100))
    answers = all_at_once(it, 20)
    by_status = sorted(each.status_code for each in answers)
    assert by_status == [200] * 4 + [503] * 16
    refused = next(each for each in answers if each.status_code == 503)
    assert refused.json()["error"]["code"] == "overloaded"
    assert 1 <= int(refused.headers["retry-after"]) <= 4
    assert len(it.sink.records) == 4


def test_turns_above_a_users_limit_are_refused_with_429() -> None:
    it = Service(iter(()), model=bedrock(Together(2)), turns=Turns(100, 2))
    answers = all_at_once(it, 6)
    assert sorted(each.status_code for each in answers) == [200] * 2 + [429] * 4
    refused = next(each for each in answers if each.status_code == 429)
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert int(refused.headers["retry-after"]) >= 1


def test_a_full_task_is_healthy_and_takes_turns_again() -> None:
    turns = Turns(1, 1)
    it = Service(iter([AIMessage("Hello.")] * 3), turns=turns)
    leave = turns.enter("somebody")
    assert it.ask().status_code == 503
    with TestClient(it.app) as client:
        assert client.get("/healthz").status_code == 200
    leave()
    leave()
    assert it.ask().status_code == 200
    assert it.ask().status_code == 200
    assert turns.under_way == 0


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_gives_its_turn_back(stream: bool) -> None:
    it, _ = endless()
    turns = it.conversation.turns = Turns(1, 1)
    with served(it.app) as (port, _):
        with asked(port, stream=stream):
            while not turns.under_way:
                threading.Event().wait(0.01)
        while turns.under_way:
            threading.Event().wait(0.01)


def test_the_metric_is_the_mean_over_time_and_begins_anew_with_each_line() -> None:
    now = 0.0
    turns = Turns(10, 10, clock=lambda: now)
    metric = EmbeddedMetric("FMOps/Assistant", "desk", turns)
    now = 30.0
    leave = turns.enter("carla")
    turns.enter("paul")
    now = 60.0
    assert json.loads(metric.line())["TurnsUnderWay"] == 1.0
    leave()
    now = 120.0
    line = json.loads(metric.line())
    assert (line["TurnsUnderWay"], line["Service"]) == (1.0, "desk")
    assert json.loads(metric.line())["TurnsUnderWay"] == 1.0


@pytest.mark.parametrize("stream", [True, False])
def test_a_turn_ends_when_its_budget_is_spent(stream: bool) -> None:
    it, closed = endless(hold=threading.Event())
    it.conversation._turn_seconds = 0.05
    answer = it.ask(stream=stream)
    told = events(answer)[-1] if stream else answer.json()
    assert answer.status_code == (200 if stream else 504)
    assert told["error"]["code"] == "turn_timeout"
    assert told["error"]["interaction_id"] == it.record.interaction_id
    assert closed.wait(WAIT)
    assert (it.record.finish_reason, it.record.error_type) == ("error", "TurnTimeout")


def test_tools_and_models_inherit_the_turns_budget_and_the_capture_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[float] = []

    class Noting(Slow):
        def embed_query(self, text: str) -> list[float]:
            seen.append(deadline.left())
            return [0.5]

    def note(what: str) -> str:
        seen.append(deadline.left())
        return what

    monkeypatch.setattr(look_up, "func", note)
    it = Service(iter([call("look_up", "it"), AIMessage("Found.")]), embeddings=Noting(), turn_seconds=WAIT)
    assert it.ask().status_code == 200
    assert 0 < seen[0] <= WAIT
    assert seen[1] == float("inf")


@pytest.fixture
def silent() -> Iterator[tuple[int, list[socket.socket]]]:
    """Yield a port that accepts connections and never answers."""
    taken: list[socket.socket] = []
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def accept() -> None:
            try:
                while True:
                    taken.append(listening.accept()[0])
            except OSError:
                pass

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1], taken
        for each in taken:
            each.close()


@pytest.mark.parametrize("budget", [0.2, -1.0])
def test_no_call_of_a_client_outlives_its_budget(
    silent: tuple[int, list[socket.socket]], budget: float
) -> None:
    port, taken = silent
    config = Config(
        read_timeout=600, connect_timeout=600, retries={"total_max_attempts": 5, "mode": "standard"}
    )
    client = deadline.inheriting(
        boto3.client(
            "dynamodb",
            config=config,
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )
    )
    raised: list[BaseException] = []

    def ask_it() -> None:
        deadline.begin(budget)
        try:
            client.get_item(TableName="t", Key={"PK": {"S": "x"}})
        except (BotoCoreError, TimeoutError) as error:
            raised.append(error)

    thread = threading.Thread(target=ask_it, daemon=True)
    thread.start()
    thread.join(WAIT)
    assert not thread.is_alive()
    assert len(raised) == 1
    assert len(taken) == (1 if budget > 0 else 0)


def test_without_a_budget_a_client_has_its_own_time_outs() -> None:
    client = deadline.inheriting(
        boto3.client("dynamodb", region_name="us-east-1", config=Config(read_timeout=7))
    )
    timeout = client._endpoint.http_session._manager.connection_pool_kw["timeout"].clone()
    assert (timeout.read_timeout, timeout.connect_timeout) == (7, 60)


def test_connections_without_a_descriptor_are_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    handle = Accepting(clock=lambda: now)
    loop = asyncio.new_event_loop()
    for at in [0.0] * 500 + [59.0, 61.0]:
        now = at
        handle(
            loop,
            {"message": "socket.accept() out of system resource", "exception": OSError(errno.EMFILE, "")},
        )
    assert len(caplog.records) == 2
    assert "EMFILE" in caplog.text
    handle(loop, {"message": "another", "exception": ValueError("odd")})
    assert len(caplog.records) == 3
    loop.close()


def test_no_descriptor_is_503_and_not_the_callers_fault() -> None:
    told = explain(OSError(errno.EMFILE, "Too many open files"))
    assert told is not None
    assert (told.status, told.code) == (503, "overloaded")
    assert told.retry_after


def test_no_more_connections_are_taken_than_there_are_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.assistant.test_main import REQUIRED, app

    for name in REQUIRED:
        monkeypatch.setenv(name, "x")
    monkeypatch.setattr(main, "raise_descriptors", lambda: 256)
    limit = main.configuration(app, main.AssistantSettings()).limit_concurrency
    assert limit is not None
    assert 2 * limit + main.RESERVED <= 256


def test_a_refused_turn_is_told_as_what_it_is() -> None:
    turns = Turns(0, 10)
    with pytest.raises(AnswerFailedError, match="limit of conversations"):
        turns.enter("carla")
    assert turns.enter("carla", refuse=False)


def test_a_stop_that_hangs_is_ended() -> None:
    from fmops.assistant.stopping import Stop

    late = threading.Event()

    async def go() -> None:
        stop = Stop(0.05, 0.01)
        ended = asyncio.Event()
        stop.at_end_of_answers(ended.set)
        stop.begin(or_else=late.set)
        stop.begin(or_else=late.set)
        await asyncio.wait_for(ended.wait(), WAIT)
        assert stop.left() <= 0.05

    asyncio.run(go())
    assert late.wait(WAIT)
