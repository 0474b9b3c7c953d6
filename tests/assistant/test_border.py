"""Half a surrogate pair is repaired before anything reads it, wherever a client puts it; pairs that a model
splits are joined."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from fmops.agent import NAME
from fmops.assistant.border import MendedRoute
from fmops.assistant.service import create_app
from fmops.conversation.answering import joined
from fmops.interaction import Feedback, Interaction, RawText
from fmops.surrogates import mended
from tests.assistant.test_service import Model, Service

HALF = "\\ud83d"
"""Half a pair, as it is written in JSON."""
RAW = b"\xed\xa0\xbd"
"""The same half as bytes that are not UTF-8."""
MENDED = "\ufffd"


def sent(it: Service, body: bytes, path: str = "/v1/chat/completions", **headers: str) -> Any:
    with TestClient(it.app, raise_server_exceptions=False) as client:
        given = {"authorization": "Bearer good", "content-type": "application/json", **headers}
        return client.post(path, content=body, headers=given)


def chat(**fields: Any) -> bytes:
    body = {"model": NAME, "messages": [{"role": "user", "content": "Hello"}]} | fields
    return json.dumps(body).replace("HALF", HALF).encode()


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": "Hello HALF"}]},
        {"messages": [{"role": "user", "content": "HALF"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a HALF b"}]}]},
        {"messages": [{"role": "assistant", "content": "HALF"}, {"role": "user", "content": "Hello"}]},
        {
            "messages": [
                {"role": "user", "content": "x", "name": "HALF"},
                {"role": "user", "content": "Hello"},
            ]
        },
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "HALF", "function": {"name": "HALF", "arguments": "HALF"}}],
                },
                {"role": "tool", "tool_call_id": "HALF", "content": "HALF"},
                {"role": "user", "content": "Hello"},
            ]
        },
        {"metadata": {"session_id": "s HALF"}},
        {"metadata": {"other": "HALF", "HALF": "x"}},
        {"user": "HALF"},
        {"HALF": {"HALF": ["HALF"]}},
    ],
)
def test_a_half_in_a_question_is_mended_and_recorded(fields: dict[str, Any], stream: bool, raw: bool) -> None:
    it = Service(iter([AIMessage("It is fine.")]), raw=True)
    body = chat(stream=stream, **fields)
    response = sent(it, body.replace(HALF.encode(), RAW) if raw else body)
    assert response.status_code == 200, response.text
    assert "It is fine." in response.text
    assert it.record.finish_reason == "stop"
    for record in (*it.sink.records, *it.raw_sink.records):
        assert json.loads(record.line())
    (kept,) = it.raw_sink.records
    assert isinstance(kept, RawText)
    assert MENDED in kept.input or "HALF" not in json.dumps(
        fields["messages"][-1] if "messages" in fields else ""
    )


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", b'{"model": "HALF", "messages": [{"role": "user", "content": "x"}]}', 404),
        ("/v1/chat/completions", b'{"model": "m", "messages": [{"role": "HALF", "content": "x"}]}', 400),
        ("/v1/chat/completions", b'{"model": "m", "messages": "HALF"}', 400),
        ("/v1/feedback", b'{"interaction_id": "int-HALF", "rating": "up"}', 400),
        ("/v1/feedback", b'{"interaction_id": "int-0", "rating": "HALF"}', 400),
        ("/v1/feedback", b'{"HALF": 1}', 400),
    ],
)  # fmt: skip
def test_a_half_in_what_is_refused_is_refused(path: str, body: bytes, status: int) -> None:
    response = sent(Service(iter(())), body.replace(b"HALF", HALF.encode()), path)
    assert response.status_code == status
    assert response.json()["error"]["message"]


def test_a_half_in_a_comment_is_mended() -> None:
    it = Service(iter(()))
    comment = json.dumps({"interaction_id": "int-" + "0" * 32, "rating": "up", "comment": "good HALF"})
    assert sent(it, comment.replace("HALF", HALF).encode(), "/v1/feedback").status_code == 202
    (record,) = it.sink.records
    assert isinstance(record, Feedback)
    assert record.comment == f"good {MENDED}"


@pytest.mark.parametrize(
    "header", ["authorization", "x-session", "user-agent", "content-type", "traceparent"]
)
def test_a_half_in_a_header_is_no_fault_of_ours(header: str) -> None:
    it = Service(iter([AIMessage("It is fine.")]))
    with TestClient(it.app, raise_server_exceptions=False) as client:
        headers = {b"authorization": b"Bearer good", b"content-type": b"application/json"}
        headers[header.encode()] = RAW
        response = client.post("/v1/chat/completions", content=chat(), headers=list(headers.items()))
    assert response.status_code in (200, 400, 401)


def test_every_route_with_a_body_passes_the_border() -> None:
    it, part = Service(iter(())), cast(Any, object())
    app = create_app(
        conversation=it.conversation,
        guardrails=part,
        sink=part,
        verifier=part,
        pseudonyms=part,
        approvals=part,
        review=part,
        playground=part,
    )
    routes = [route for route in app.routes if getattr(route, "body_field", None)]
    assert {cast(Any, route).path for route in routes} >= {
        "/v1/chat/completions",
        "/v1/feedback",
        "/v1/approvals/{approval_id}",
        "/v1/review/tasks/{task_id}/labels",
        "/v1/playground/tries",
        "/v1/playground/versions",
    }
    assert all(isinstance(route, MendedRoute) for route in routes)


def test_whole_pairs_stay() -> None:
    assert mended({"a": ["\ud83d\ude00", {"b": "\U0001f600"}], "\ud83d": 1}) == {
        "a": ["\U0001f600", {"b": "\U0001f600"}],
        MENDED: 1,
    }


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        (["a\ud83d", "\ude00b"], "a\U0001f600b"),
        (["\ud83d", "\ude00"], "\U0001f600"),
        (["a\ud83d", "b"], f"a{MENDED}b"),
        (["a\ud83d"], f"a{MENDED}"),
        (["\ude00a"], f"{MENDED}a"),
        (["\ud83d", "\ud83d", "\ude00"], f"{MENDED}\U0001f600"),
        (["a", "b"], "ab"),
    ],
)
def test_what_a_model_splits_is_joined(pieces: list[str], whole: str) -> None:
    async def given() -> Any:
        for piece in pieces:
            yield piece

    async def whole_text() -> str:
        return "".join([piece async for piece in joined(given())])

    assert asyncio.run(whole_text()) == whole


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_says_half_a_character_is_answered_and_recorded(stream: bool) -> None:
    class Half(Model):
        def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
            yield ChatGenerationChunk(message=AIMessageChunk("It is fine \ud83d"))

    it = Service(iter(()), model=Half(script=iter(())), raw=True)
    response = it.ask(stream=stream)
    assert response.status_code == 200
    assert "It is fine" in response.text
    assert it.record.line()
    assert it.record.finish_reason == "stop"


@pytest.mark.parametrize(
    "record",
    [
        Interaction(input="a \ud83d", service="\udc00"),
        Feedback(interaction_id="int-\ud83d", rating="up", comment="\udc00"),
        RawText(interaction_id="x", input="\ud83d", output="\udc00"),
    ],
)
def test_a_record_is_written_whatever_got_into_it(record: Interaction | Feedback | RawText) -> None:
    line = record.line()
    assert line.endswith(b"\n")
    assert MENDED in json.dumps(json.loads(line), ensure_ascii=False)
    assert json.loads(line).keys() == record.model_dump().keys()
