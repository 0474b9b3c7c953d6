"""Bodies as OpenAI clients send them are answered; anything unsupported is refused with a sentence that
names it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.utils import convert_to_openai_messages
from langchain_core.outputs import ChatGenerationChunk

from fmops.agent import NAME
from tests.assistant.test_service import BAD, SECRET, Model, Service, events


class Listening(Model):
    """A model that remembers its input."""

    heard: Any

    def _stream(self, messages: Any, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        self.heard.append(list(messages))
        yield from super()._stream(messages, *args, **kwargs)


def listening(answer: str = "It is fine.") -> tuple[Service, list[list[BaseMessage]]]:
    heard: list[list[BaseMessage]] = []
    usage: Any = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    script = iter([AIMessage(answer, usage_metadata=usage)])
    return Service(iter(()), model=Listening(script=script, heard=heard)), heard


QUESTION = {"role": "user", "content": "And now?"}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "18 degrees"}

HISTORIES: dict[str, list[dict[str, Any]]] = {
    "nothing but the question": [],
    "content null beside a tool call": [{"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]}, RESULT],
    "an assistant message without content": [{"role": "user", "content": "Hi"}, {"role": "assistant"}],
    "an empty assistant message": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": ""}],
    "an empty list of parts": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": []}],
    "a user message with null": [{"role": "user", "content": None}],
    "every field of the answer, null": [
        {"role": "user", "content": "Hi", "name": "carla"},
        {"role": "assistant", "content": "Hello", "refusal": None, "tool_calls": None, "function_call": None,
            "audio": None,
         "annotations": [], "name": None, "reasoning_content": "thoughts"},
    ],
    "a refusal": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": None, "refusal": "I cannot."}],
    "a refusal part": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [{"type": "refusal",
        "refusal": "No."}]}],
    "text parts": [
        {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "you"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
    ],
    "parts as texts": [{"role": "user", "content": ["Hi", "you"]}],
    "a tool result in parts": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {**RESULT, "content": [{"type": "text", "text": "18 degrees"}], "name": "get_weather"},
    ],
    "a tool result of no call": [{"role": "user", "content": "Hi"}, RESULT],
    "a call without a result": [{"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]}],
    "a custom tool": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "custom",
            "custom": {"name": "sh", "input": "ls"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "a b"},
    ],
    "functions of old": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "function_call": {"name": "get_weather", "arguments": "{}"}},
        {"role": "function", "name": "get_weather", "content": "18 degrees"},
    ],
    "two of the user's in a row": [{"role": "user", "content": "Hi"}, {"role": "user", "content": "Hello?"}],
    "the assistant begins": [{"role": "assistant", "content": "How can I help?"}],
}  # fmt: skip


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
def test_histories_of_openai_clients_are_answered(history: list[dict[str, Any]]) -> None:
    it, heard = listening()
    response = it.ask(messages=[*history, QUESTION])
    assert response.status_code == 200, response.text
    assert response.json()["choices"][0]["message"]["content"] == "It is fine."
    (given,) = heard
    assert given[-1].text == "And now?"
    # Converse requires that the user begins, that nothing is blank, and that every tool call has a result.
    spoken = [message for message in given if message.type != "system"]
    assert spoken[0].type == "human"
    assert all(message.text.strip() for message in spoken)
    assert not any(isinstance(message, AIMessage) and message.tool_calls for message in spoken)
    assert {type(message) for message in spoken} <= {HumanMessage, AIMessage}


def test_a_clients_tools_are_what_its_user_says_of_them() -> None:
    it, heard = listening()
    it.ask(messages=[*HISTORIES["content null beside a tool call"], QUESTION])
    told = next(message for message in heard[0] if "18 degrees" in message.text)
    assert isinstance(told, HumanMessage)
    assert 'get_weather({"city": "Paris"})' in told.text


@pytest.mark.parametrize("place", ["result", "arguments", "name"])
def test_what_a_client_says_of_its_tools_is_checked_as_input(place: str) -> None:
    def history(word: str) -> list[dict[str, Any]]:
        function = {"name": "get_weather", "arguments": "{}"}
        if place != "result":
            function[place] = word
        return [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function",
                "function": function}]},
            {"role": "tool", "tool_call_id": "c", "content": word if place == "result" else "fine"},
            QUESTION,
        ]  # fmt: skip

    it, heard = listening()
    blocked = it.ask(messages=history(f"you {BAD}")).json()
    assert blocked["choices"][0]["finish_reason"] == "content_filter"
    assert blocked["guardrails"][0]["direction"] == "input"
    assert heard == []
    it, heard = listening()
    it.ask(messages=history(f"card {SECRET}"))
    assert SECRET not in str(heard)


IGNORED: list[dict[str, Any]] = [
    {"stream": None},
    {"metadata": None},
    {"metadata": {}},
    {"metadata": {"session_id": None, "trace": 1, "tags": ["a"]}},
    {"metadata": {"session_id": "s-1"}},
    {"stream_options": None},
    {"stream_options": {"include_usage": True}},
    {"user": "somebody", "seed": 7, "temperature": None, "top_p": 0.5, "presence_penalty": 0, "frequency_penalty": 0.1},
    {"temperature": 2, "logit_bias": {}, "store": False, "service_tier": "auto", "parallel_tool_calls": True},
    {"tools": None, "tool_choice": None, "functions": None, "function_call": None, "response_format": None},
    {"tools": [], "tool_choice": "auto", "functions": [], "function_call": "none"},
    {"n": 1, "logprobs": False, "top_logprobs": 0, "stop": None, "modalities": ["text"], "audio": None},
    {"n": None, "logprobs": None, "stop": [], "response_format": {"type": "text"}},
    {"reasoning_effort": "low", "verbosity": "low", "prediction": None, "prompt_cache_key": "x",
        "safety_identifier": "y"},
    {"extra_field_of_a_client": {"a": [1]}, "chat_id": "x", "features": {}, "options": {}, "keep_alive": "5m"},
    {"max_tokens": None, "max_completion_tokens": None},
]  # fmt: skip


@pytest.mark.parametrize("fields", IGNORED, ids=lambda fields: ",".join(fields))
def test_fields_of_openai_clients_are_accepted(fields: dict[str, Any]) -> None:
    it, _ = listening()
    response = it.ask(**({"stream": False} | fields))
    assert response.status_code == 200, response.text


def part(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "See"}, fields]}]}


UNSUPPORTED: list[tuple[dict[str, Any], str, str]] = [
    ({"n": 2}, "n", "one answer"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "leave it out"),
    ({"tool_choice": "required"}, "tool_choice", "leave it out"),
    ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice", "leave it out"),
    ({"functions": [{"name": "f"}]}, "functions", "leave it out"),
    ({"function_call": {"name": "f"}}, "function_call", "leave it out"),
    ({"response_format": {"type": "json_object"}}, "response_format", "leave it out"),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format", "leave it out"),
    ({"response_format": "json"}, "response_format", "leave it out"),
    ({"logprobs": True}, "logprobs", "leave it out"),
    ({"top_logprobs": 3}, "top_logprobs", "leave it out"),
    ({"modalities": ["text", "audio"]}, "modalities", "leave it out"),
    ({"audio": {"voice": "alloy", "format": "wav"}}, "audio", "leave it out"),
    ({"web_search_options": {}}, "web_search_options", "leave it out"),
    ({"stop": ["\n"]}, "stop", "leave it out"),
    ({"stop": "END"}, "stop", "leave it out"),
    ({"logit_bias": {"50256": -100}}, "logit_bias", "leave it out"),
    ({"logit_bias": []}, "logit_bias", "leave it out"),
    ({"store": True}, "store", "leave it out"),
    ({"moderation": {}}, "moderation", "leave it out"),
    (part(type="image_url", image_url={"url": "data:image/png;base64,x"}), "messages.0.content.1", "images"),
    (part(type="input_audio", input_audio={"data": "x"}), "messages.0.content.1", "audio"),
    (part(type="file", file={"file_id": "x"}), "messages.0.content.1", "files"),
    (part(type="video_url"), "messages.0.content.1", "videos"),
    (part(type="new_thing"), "messages.0.content.1", "text only"),
    (part(text="no type"), "messages.0.content.1.type", "'text'"),
    (part(type="text", text=5), "messages.0.content.1.text", "give a text"),
    ({"messages": [{"role": "system", "content": "obey"}, QUESTION]}, "messages.0.role", "deployment"),
    ({"messages": [{"role": "developer", "content": "obey"}, QUESTION]}, "messages.0.role", "deployment"),
    ({"messages": [{"role": "robot", "content": "x"}, QUESTION]}, "messages.0.role", "'user'"),
    ({"messages": [{"content": "x"}, QUESTION]}, "messages.0.role", "'user'"),
    ({"messages": [{"role": ["user"], "content": "x"}, QUESTION]}, "messages.0.role", "'user'"),
    ({"messages": ["hello"]}, "messages.0", "object"),
    ({"messages": "hello"}, "messages", "list"),
    ({"messages": None}, "messages", "list"),
    ({"messages": []}, "messages", "list"),
    ({"messages": [{"role": "user", "content": {"text": "x"}}]}, "messages.0.content", "text parts"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content", "text parts"),
    ({"messages": [{"role": "user", "content": [5]}]}, "messages.0.content.0", "text part"),
    ({"messages": [QUESTION, {"role": "assistant", "content": "x"}]}, "messages", "last message"),
    ({"messages": [QUESTION, RESULT]}, "messages", "last message"),
    ({"messages": [{"role": "user", "content": " "}]}, "messages", "last message"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": None}]}]}, "messages", "last message"),
    ({"messages": [{"role": "assistant", "tool_calls": "x"}, QUESTION]}, "messages.0.tool_calls", "list"),
    ({"messages": [{"role": "assistant", "tool_calls": ["x"]}, QUESTION]}, "messages.0.tool_calls.0", "object"),
    ({"messages": [{"role": "assistant", "function_call": "x"}, QUESTION]}, "messages.0.function_call", "object"),
    ({"messages": [{"role": "assistant", "refusal": 5}, QUESTION]}, "messages.0.refusal", "text"),
    ({"messages": [QUESTION] * 101}, "messages", "more than 100"),
    ({"messages": [{"role": "user", "content": "x" * 200_001}]}, "messages", "200000"),
    ({"stream": "yes"}, "stream", "true or false"),
    ({"stream": 1}, "stream", "true or false"),
    ({"stream_options": "x"}, "stream_options", "object"),
    ({"stream_options": {"include_usage": "x"}}, "stream_options.include_usage", "true or false"),
    ({"metadata": "x"}, "metadata", "object"),
    ({"metadata": {"session_id": ["x"]}}, "metadata.session_id", "text"),
    ({"metadata": {"session_id": "x" * 513}}, "metadata.session_id", "512"),
    ({"model": None}, "model", "missing"),
    ({"model": 5}, "model", "text"),
]  # fmt: skip
VALIDATORS_WORDS = (
    "input should",
    "field required",
    "valid dictionary",
    "literal",
    "pydantic",
    "tagged-union",
    "value error",
)


@pytest.mark.parametrize(("body", "param", "words"), UNSUPPORTED)
def test_what_is_not_supported_is_refused_by_a_sentence(body: dict[str, Any], param: str, words: str) -> None:
    it, heard = listening()
    response = it.ask(**({"stream": False} | body))
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert error["message"].startswith(f"{param}: ")
    assert words in error["message"]
    assert error["message"].endswith(".")
    assert not any(each in error["message"].lower() for each in VALIDATORS_WORDS)
    assert heard == []
    assert it.sink.records == []


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v1/chat/completions", b"{"),
        ("/v1/chat/completions", b"\xff\xfe\xfd"),
        ("/v1/chat/completions", b"[" * 20_000),
        ("/v1/chat/completions", b'{"max_tokens": ' + b"9" * 5_000 + b"}"),
        ("/v1/chat/completions", b'"text"'),
        ("/v1/chat/completions", b"[]"),
        ("/v1/chat/completions", b"null"),
        ("/v1/chat/completions", b""),
        ("/v1/feedback", b"{}"),
        ("/v1/feedback", b'{"interaction_id": 5, "rating": "up"}'),
        ("/v1/feedback", b'{"interaction_id": "x", "rating": "up"}'),
        ("/v1/feedback", b'{"interaction_id": "int-00000000000000000000000000000000", "rating": "meh"}'),
        (
            "/v1/feedback",
            b'{"interaction_id": "int-00000000000000000000000000000000", "rating": "up", "more": 1}',
        ),
        ("/v1/feedback", b"[]"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_by_a_sentence(path: str, content: bytes) -> None:
    it, _ = listening()
    with TestClient(it.app, raise_server_exceptions=False) as client:
        headers = {"authorization": "Bearer good", "content-type": "application/json"}
        response = client.post(path, content=content, headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "invalid_body")
    assert ": " in error["message"] or "must be" in error["message"]
    assert not any(each in error["message"].lower() for each in VALIDATORS_WORDS)


def test_usage_comes_once_and_last_when_a_stream_asks_for_it() -> None:
    it, _ = listening()
    *before, last = events(it.ask(stream=True, stream_options={"include_usage": True}))
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert [event["usage"] for event in before] == [None] * len(before)
    assert before[-1]["choices"][0]["finish_reason"] == "stop"


def test_openais_own_client_streams_with_usage() -> None:
    it, _ = listening()
    with TestClient(it.app) as http:
        client = openai.OpenAI(
            base_url="http://testserver/v1",
            api_key="good",
            http_client=http,  # type: ignore[arg-type]
        )
        with client.chat.completions.stream(
            model=NAME,
            messages=[{"role": "user", "content": "Hello"}],
            stream_options={"include_usage": True},
        ) as stream:
            final = stream.get_final_completion()
    assert final.choices[0].message.content == "It is fine."
    assert final.usage
    assert final.usage.total_tokens == 7


def test_openais_own_client_sends_its_own_answers_back() -> None:
    """Append the message object itself, as OpenAI's documentation shows."""
    it, _ = listening()
    with TestClient(it.app) as http:
        client = openai.OpenAI(
            base_url="http://testserver/v1",
            api_key="good",
            http_client=http,  # type: ignore[arg-type]
        )
        messages: list[Any] = [{"role": "user", "content": "Hello"}]
        first = client.chat.completions.create(model=NAME, messages=messages)
        messages += [first.choices[0].message, {"role": "user", "content": "Again"}]
        body = json.loads(json.dumps([m if isinstance(m, dict) else m.model_dump() for m in messages]))
    other, _ = listening()
    assert other.ask(messages=body).status_code == 200


def test_messages_as_langchain_writes_them_are_answered() -> None:
    """Send what this function of LangChain makes, as ChatOpenAI does."""
    from langchain_core.messages import ToolMessage

    call: Any = {"id": "call_1", "name": "get_weather", "args": {"city": "Paris"}}
    written = convert_to_openai_messages(
        [
            HumanMessage([{"type": "text", "text": "Hi"}]),
            AIMessage("", tool_calls=[call]),
            ToolMessage("18 degrees", tool_call_id="call_1"),
            AIMessage("It is 18 degrees."),
            HumanMessage("And now?"),
        ]
    )
    it, heard = listening()
    assert it.ask(messages=written).status_code == 200
    assert [message.type for message in heard[0] if message.type != "system"] == [
        "human",
        "human",
        "ai",
        "human",
    ]
