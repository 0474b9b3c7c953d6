"""The client and the record are told why the model stopped; a limit of the answer reaches the model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import botocore.session
import openai
import pytest
from botocore.config import Config
from fastapi.testclient import TestClient
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from fmops.agent import NAME
from fmops.conversation.calls import finish_reason
from fmops.conversation.conversation import BLOCKED_ANSWER
from fmops.telemetry.model import MeasuredChatBedrock
from tests.assistant.test_service import Model, Service, call, events

MODEL_ID = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
STOPS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}


def converse() -> Any:
    return botocore.session.get_session().get_service_model("bedrock-runtime")


class Bedrock:
    """A client of Bedrock that answers with a stop reason, and remembers what it was asked."""

    def __init__(self, stop: str, text: str = "This is the beginning of an answer.") -> None:
        self.stop, self.text = stop, text
        self.asked: list[dict[str, Any]] = []

    def converse_stream(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        said = [{"contentBlockDelta": {"delta": {"text": self.text}, "contentBlockIndex": 0}}]
        usage = {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}
        return {
            "ResponseMetadata": {},
            "stream": iter(
                [
                    {"messageStart": {"role": "assistant"}},
                    *(said if self.text else []),
                    {"contentBlockStop": {"contentBlockIndex": 0}},
                    {"messageStop": {"stopReason": self.stop}},
                    {"metadata": {"usage": usage, "metrics": {"latencyMs": 1}}},
                ]
            ),
        }


def bedrock(client: Bedrock, limit: int = 500) -> Service:
    model = MeasuredChatBedrock(
        client=client, model_id=MODEL_ID, max_tokens=limit, temperature=0, region_name="us-east-1"
    )
    return Service(iter(()), model=model, max_output_tokens=limit)


def test_every_stop_reason_that_bedrock_has_is_known() -> None:
    assert set(converse().shape_for("StopReason").enum) == STOPS.keys()


@pytest.mark.parametrize(("stop", "finish"), STOPS.items())
@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_and_the_record_say_why_the_model_stopped(stop: str, finish: str, stream: bool) -> None:
    it = bedrock(Bedrock(stop))
    response = it.ask(stream=stream)
    last = events(response)[-1] if stream else response.json()
    if finish == "error":
        assert last["error"]["code"] == "model_answer_unusable"
        assert response.status_code == (200 if stream else 502)
    else:
        assert last["choices"][0]["finish_reason"] == finish
    assert it.record.finish_reason == finish
    assert it.record.output == "This is the beginning of an answer."


@pytest.mark.parametrize(
    ("metadata", "finish"),
    [
        ({}, "stop"),
        ({"stopReason": "max_tokens"}, "length"),
        ({"finish_reason": "length"}, "length"),
        ({"finish_reason": "content_filter"}, "content_filter"),
        ({"finish_reason": "tool_calls"}, "stop"),
        ({"finish_reason": None}, "stop"),
        ({"stop_reason": "refusal"}, "content_filter"),
        ({"stop_reason": "max_tokens"}, "length"),
        ({"stop_reason": "pause_turn"}, "stop"),
        ({"finish_reason": "MAX_TOKENS"}, "length"),
        ({"finish_reason": "SAFETY"}, "content_filter"),
        ({"finish_reason": "FinishReason.RECITATION"}, "content_filter"),
        ({"done_reason": "length"}, "length"),
        ({"completion_reason": "CONTENT_FILTERED"}, "content_filter"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"stop_reason": "something_new"}, "stop"),
    ],
)
def test_other_models_say_it_in_their_words(metadata: dict[str, Any], finish: str) -> None:
    assert finish_reason(AIMessage("x", response_metadata=metadata)) == finish


def test_a_refusal_is_a_filtered_answer() -> None:
    assert finish_reason(AIMessage("", additional_kwargs={"refusal": "I cannot."})) == "content_filter"


class Stopping(Model):
    """A model that gives a reason for stopping, as the messages of the script do."""

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        answer: AIMessage = next(self.script)
        yield from Model(script=iter([answer]))._stream(messages)
        yield ChatGenerationChunk(message=AIMessageChunk("", response_metadata=answer.response_metadata))


def stopping(message: AIMessage, reason: str) -> AIMessage:
    return message.model_copy(update={"response_metadata": {"stopReason": reason}})


def test_only_the_last_call_of_a_turn_counts() -> None:
    script = [
        stopping(call("look_up", "it"), "tool_use"),
        stopping(AIMessage("It is"), "max_tokens"),
    ]
    it = Service(iter(()), model=Stopping(script=iter(script)))
    assert it.ask().json()["choices"][0]["finish_reason"] == "length"
    script = [stopping(call("look_up", "it"), "tool_use"), stopping(AIMessage("It is."), "end_turn")]
    it = Service(iter(()), model=Stopping(script=iter(script)))
    assert it.ask().json()["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("reason", ["max_tokens", "content_filtered", "model_context_window_exceeded"])
def test_a_tool_call_that_was_cut_does_not_run(reason: str) -> None:
    """Refuse the call, because its arguments may be cut too and still be valid: 40 instead of 400000."""
    it = Service(iter(()), model=Stopping(script=iter([stopping(call("look_up", "the cl"), reason)])))
    body = it.ask().json()
    assert body["tools"] == []
    assert it.record.authorization == []
    assert it.record.finish_reason == STOPS[reason]


def test_a_filtered_answer_without_text_says_so() -> None:
    it = bedrock(Bedrock("content_filtered", text=""))
    choice = it.ask().json()["choices"][0]
    assert choice["message"]["content"] == BLOCKED_ANSWER
    assert choice["finish_reason"] == "content_filter"


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({}, 500),
        ({"max_tokens": 100}, 100),
        ({"max_completion_tokens": 90}, 90),
        ({"max_tokens": 100, "max_completion_tokens": 90}, 90),
        ({"max_tokens": 5000}, 500),
        ({"max_tokens": None}, 500),
        ({"max_tokens": 100.0}, 100),
    ],
)
def test_the_lower_of_the_clients_and_the_deployments_limit_reaches_the_model(
    asked: dict[str, Any], sent: int
) -> None:
    client = Bedrock("end_turn")
    assert bedrock(client).ask(**asked).status_code == 200
    assert [each["inferenceConfig"]["maxTokens"] for each in client.asked] == [sent]


@pytest.mark.parametrize("limit", [0, -1, True, "100", 1.5, []])
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_limit_that_is_none_is_refused_by_name(name: str, limit: Any) -> None:
    client = Bedrock("end_turn")
    response = bedrock(client).ask(**{name: limit})
    assert (response.status_code, response.json()["error"]["param"]) == (400, name)
    assert client.asked == []


def test_openais_own_client_reads_the_finish_reason() -> None:
    with TestClient(bedrock(Bedrock("max_tokens")).app) as http:
        client = openai.OpenAI(
            base_url="http://testserver/v1",
            api_key="good",
            http_client=http,  # type: ignore[arg-type]
        )
        answer = client.chat.completions.create(
            model=NAME, messages=[{"role": "user", "content": "Hello"}], max_tokens=100
        )
    assert answer.choices[0].finish_reason == "length"


def test_the_request_is_one_that_bedrocks_own_client_accepts() -> None:
    """Send the request to nobody: botocore checks the parameters against the service's model before it
    connects.
    """
    client = Bedrock("end_turn")
    bedrock(client).ask(max_tokens=100)
    real = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        endpoint_url="http://127.0.0.1:9",
        config=Config(connect_timeout=1, retries={"total_max_attempts": 1}),
    )
    with pytest.raises(Exception, match="connect"):
        real.converse_stream(**client.asked[0])
