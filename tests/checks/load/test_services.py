"""The load's services answer what botocore, and the product's own clients, read as the services' answers."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator

import boto3
import httpx
import pytest
import uvicorn

from checks.load import services
from checks.load.answers import TEXT
from fmops.guardrails import Direction, GuardrailSettings, build_engine


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with socket.create_server(("localhost", 0)) as listening:
        port = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(services.app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://localhost:{port}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def session(url: str, monkeypatch: pytest.MonkeyPatch) -> boto3.Session:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    return boto3.Session("some", "key", region_name="us-east-1")


def test_the_stream_and_the_whole_answer_are_the_one_right_text(session: boto3.Session) -> None:
    client = session.client("bedrock-runtime")
    messages = [{"role": "user", "content": [{"text": "Hello"}]}]
    streamed = client.converse_stream(modelId="a.model:0", messages=messages)["stream"]
    pieces = [
        event["contentBlockDelta"]["delta"]["text"] for event in streamed if "contentBlockDelta" in event
    ]
    assert "".join(pieces) == TEXT
    whole = client.converse(modelId="a.model:0", messages=messages)
    assert whole["output"]["message"]["content"] == [{"text": TEXT}]
    assert whole["usage"]["totalTokens"] == whole["usage"]["inputTokens"] + whole["usage"]["outputTokens"]


@pytest.mark.parametrize("direction", ["input", "output", "tool_results", "retrieved"])
def test_the_default_guardrails_find_nothing_and_miss_no_detector(
    session: boto3.Session, direction: str
) -> None:
    engine = build_engine(GuardrailSettings().patient(), session)
    outcome = engine.check_sync("What is the deductible?", Direction(direction))
    assert (outcome.action, outcome.degraded, outcome.findings) == ("allow", False, ())


def test_what_was_delivered_is_listed_by_its_interaction(session: boto3.Session, url: str) -> None:
    lines = [
        json.dumps({"interaction_id": name, "output": "a\u2028b"}).encode() + b"\n"
        for name in ("int-1", "int-2")
    ]
    answer = session.client("firehose").put_record_batch(
        DeliveryStreamName="any", Records=[{"Data": b"".join(lines)}, {"Data": lines[0]}]
    )
    assert answer["FailedPutCount"] == 0
    assert len(answer["RequestResponses"]) == 2
    assert httpx.get(f"{url}/_delivered").json()[-3:] == ["int-1", "int-2", "int-1"]
