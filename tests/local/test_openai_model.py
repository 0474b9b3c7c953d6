"""Converse on an OpenAI-compatible server: a real HTTP server that speaks the protocol, and the real client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws.kernel.cloud import Cloud

MODEL = "amazon.nova-micro-v1:0"
DELTAS = [
    {"content": "Let me "},
    {"content": "look."},
    {
        "tool_calls": [
            {
                "index": 0,
                "id": "call_1",
                "type": "function",
                "function": {"name": "get_claim", "arguments": ""},
            }
        ]
    },
    {"tool_calls": [{"index": 0, "function": {"arguments": '{"id": "C-1"}'}}]},
    {
        "tool_calls": [
            {
                "index": 1,
                "id": "call_2",
                "type": "function",
                "function": {"name": "get_claim", "arguments": "{}"},
            }
        ]
    },
]


class Handler(BaseHTTPRequestHandler):
    asked: dict[str, Any] = {}
    deltas: list[dict[str, Any]] = DELTAS

    def do_GET(self) -> None:
        self._send(
            "application/json",
            json.dumps({"object": "list", "data": [{"id": "tiny", "object": "model"}]}).encode(),
        )

    def do_POST(self) -> None:
        Handler.asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in Handler.deltas]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
        chunks.append(
            {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}}
        )
        lines = [
            f"data: {json.dumps({'id': 'x', 'object': 'chat.completion.chunk', **chunk})}\n\n"
            for chunk in chunks
        ]
        self._send("text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode())

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setenv("FMOPS_LOCAL_MODEL_URL", f"http://127.0.0.1:{running.server_port}/v1")
        yield running
        running.shutdown()


@pytest.mark.usefixtures("server")
def test_tools_and_streams_are_translated_both_ways(cloud: Cloud) -> None:
    schema = {"type": "object", "properties": {"id": {"type": "string"}}}
    answer = cloud.client("bedrock-runtime").converse(
        modelId=MODEL,
        system=[{"text": "be brief"}],
        messages=[
            {"role": "user", "content": [{"text": "status?"}]},
            {
                "role": "assistant",
                "content": [{"toolUse": {"toolUseId": "t", "name": "get_claim", "input": {"id": "C-9"}}}],
            },
            {
                "role": "user",
                "content": [{"toolResult": {"toolUseId": "t", "content": [{"json": {"status": "open"}}]}}],
            },
        ],
        inferenceConfig={"maxTokens": 99, "temperature": 0.0},
        toolConfig={
            "tools": [
                {"toolSpec": {"name": "get_claim", "description": "d", "inputSchema": {"json": schema}}}
            ]
        },
    )
    uses = [
        {"toolUseId": "call_1", "name": "get_claim", "input": {"id": "C-1"}},
        {"toolUseId": "call_2", "name": "get_claim", "input": {}},
    ]
    assert answer["output"]["message"]["content"] == [
        {"text": "Let me look."},
        *({"toolUse": use} for use in uses),
    ]
    assert (answer["stopReason"], answer["usage"]["inputTokens"]) == ("tool_use", 11)
    asked = Handler.asked
    assert (asked["model"], asked["max_tokens"], asked["tool_choice"]) == ("tiny", 99, "auto")
    assert asked["tools"][0]["function"]["parameters"] == schema
    assert [message["role"] for message in asked["messages"]] == ["system", "user", "assistant", "tool"]
    assert asked["messages"][3] == {"role": "tool", "tool_call_id": "t", "content": '{"status": "open"}'}


@pytest.mark.parametrize("ids", [(None, None), ("call_1", "call_2"), ("", "")])
@pytest.mark.parametrize("indexes", [(0, 0), (None, None), (0, 1)])
@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.usefixtures("server")
def test_two_calls_that_the_server_does_not_tell_apart_are_two(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, ids: Any, indexes: Any, in_pieces: bool
) -> None:
    deltas = []
    for id_, index, name in zip(ids, indexes, ("get_claim", "add_note"), strict=True):
        function = {"name": name, "arguments": "" if in_pieces else '{"id": "C-1"}'}
        deltas.append({"tool_calls": [{"index": index, "id": id_, "type": "function", "function": function}]})
        if in_pieces:
            for piece in ('{"id": ', '"C-1"}'):
                deltas.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})  # noqa: PERF401
    monkeypatch.setattr(Handler, "deltas", deltas)
    answer = cloud.client("bedrock-runtime").converse(
        modelId=MODEL, messages=[{"role": "user", "content": [{"text": "status?"}]}]
    )
    uses = [block["toolUse"] for block in answer["output"]["message"]["content"]]
    assert [(use["name"], use["input"]) for use in uses] == [
        ("get_claim", {"id": "C-1"}),
        ("add_note", {"id": "C-1"}),
    ]
    assert len({use["toolUseId"] for use in uses}) == 2
    assert all(use["toolUseId"] for use in uses)


def test_a_server_that_is_not_there_is_the_services_error(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FMOPS_LOCAL_MODEL_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(ClientError, match=r"ServiceUnavailableException.*does not answer"):
        cloud.client("bedrock-runtime").converse(
            modelId=MODEL, messages=[{"role": "user", "content": [{"text": "x"}]}]
        )
