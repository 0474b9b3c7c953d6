"""An error names what failed, by its raiser and not by its code, with the right remedy and the interaction's
id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import botocore.session
import httpx
import openai
import pytest
from botocore.config import Config
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    EventStreamError,
    NoCredentialsError,
    ReadTimeoutError,
)
from fastapi.testclient import TestClient
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import tool
from urllib3.exceptions import ProtocolError
from urllib3.exceptions import ReadTimeoutError as StreamReadTimeoutError

from fmops.agent import NAME
from fmops.conversation.calls import CallFailedError
from fmops.conversation.failures import explain
from fmops.conversation.services import SERVICES
from fmops.telemetry.model import MeasuredChatBedrock
from tests.assistant import test_service
from tests.assistant.test_service import Model, Service, call

SECRET = "SECRET-CONTENT-OF-A-PERSON"
MODEL_ID = "us.anthropic.claude-haiku-4-5-20251001-v1:0"


def refused(operation: str, code: str, message: str = SECRET, **headers: str) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPHeaders": headers},
    }
    return ClientError(response, operation)


class Bedrock:
    """A client of Bedrock whose call, or whose stream, fails."""

    def __init__(self, at_call: Exception | None = None, in_stream: Exception | None = None) -> None:
        self._at_call, self._in_stream = at_call, in_stream

    def converse_stream(self, **_: Any) -> dict[str, Any]:
        if self._at_call:
            raise self._at_call
        return {"stream": self._events(), "ResponseMetadata": {}}

    def _events(self) -> Iterator[dict[str, Any]]:
        yield {"messageStart": {"role": "assistant"}}
        yield {"contentBlockDelta": {"delta": {"text": "It begins well. " * 30}, "contentBlockIndex": 0}}
        if self._in_stream:
            raise self._in_stream


def bedrock(**errors: Exception) -> Service:
    model = MeasuredChatBedrock(client=Bedrock(**errors), model_id=MODEL_ID, region_name="us-east-1")
    return Service(iter(()), model=model)


def error_of(it: Service, response: Any, *, stream: bool) -> dict[str, Any]:
    """Return the error, which must be complete: OpenAI's fields, the ids, and nothing that was said."""
    if stream:
        assert response.status_code == 200
        lines = [line[6:] for line in response.text.split("\n\n") if line]
        assert lines.pop() == "[DONE]"
        body = json.loads(lines[-1])
    else:
        body = response.json()
    error: dict[str, Any] = body["error"]
    assert {"message", "type", "param", "code"} <= error.keys()
    assert error["interaction_id"] == response.headers["x-interaction-id"] == it.record.interaction_id
    assert error["trace_id"] == it.record.trace_id
    assert SECRET not in response.text
    assert SECRET not in it.record.model_dump_json()
    assert it.record.finish_reason == "error"
    assert it.record.error_type
    return error


TOO_LONG = [
    "Input is too long for requested model.",
    "The model returned the following errors: prompt is too long: 208310 tokens > 200000 maximum",
    "The model returned the following errors: Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
    "This model's maximum context length is 8192 tokens. Please reduce the length of the prompt",
    "Too many input tokens. Max input tokens: 8192, request input token count: 9000",
    "The model returned the following errors: input length and `max_tokens` exceed context limit: 199000 +"
    " 4096 > 200000",
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("message", TOO_LONG)
def test_an_input_that_is_too_long_is_the_callers_to_mend(message: str, stream: bool) -> None:
    it = bedrock(at_call=refused("ConverseStream", "ValidationException", message))
    response = it.ask(stream=stream)
    error = error_of(it, response, stream=stream)
    assert (error["code"], error["type"], error["param"]) == (
        "context_length_exceeded",
        "invalid_request_error",
        "messages",
    )
    assert "shorten" in error["message"]
    assert stream or response.status_code == 400
    assert it.record.error_type == "context_length_exceeded"


MODEL_ERRORS: list[tuple[Exception, int, str, str]] = [
    (refused("ConverseStream", "ResourceNotFoundException"), 503, "model_unavailable", "set model_id"),
    (
        refused("ConverseStream", "ValidationException", "The provided model identifier is invalid."),
        503, "model_unavailable", "set model_id",
    ),
    (
        refused("ConverseStream", "ValidationException",
            "Invocation of model ID x with on-demand throughput isn't supported."),
        503, "model_unavailable", "set model_id",
    ),
    (
        refused(
            "ConverseStream", "ValidationException",
            f"1 validation error detected: Value '{SECRET}' at 'toolConfig.tools.1.member.toolSpec.name'"
            " failed to satisfy constraint",
        ),
        500, "model_request_refused", "toolConfig.tools.1.member.toolSpec.name",
    ),
    (
        refused("ConverseStream", "ValidationException",
            "The maximum tokens you requested exceeds the model limit of 10000."),
        500, "model_request_refused", "assistant.max_output_tokens",
    ),
    *((refused("ConverseStream", "ValidationException", order), 500, "model_request_refused",
        "start a new conversation") for order in (
        "This model doesn't support assistant message prefill. The conversation must end with a user message.",
        "A conversation must start with a user message. Try again with a conversation that starts with a"
        " user message.",
        "messages: roles must alternate between \"user\" and \"assistant\"",
        "The model returned the following errors: unexpected role order; modelId x does not take consecutive turns",
    )),
    (
        refused("ConverseStream", "ValidationException", "This model doesn't support tool use in streaming mode."),
        500, "model_request_refused", "rejected the assistant's request",
    ),
    (
        refused("ConverseStream", "ValidationException", "This action doesn't support the model that you provided."),
        503, "model_unavailable", "set model_id",
    ),
    (refused("ConverseStream", "ValidationException"), 500, "model_request_refused",
        "rejected the assistant's request"),
    (refused("ConverseStream", "AccessDeniedException"), 503, "model_unavailable", "grant it in Bedrock"),
    (refused("ConverseStream", "ThrottlingException"), 429, "rate_limit_exceeded", "try again in a moment"),
    (refused("ConverseStream", "ServiceQuotaExceededException"), 429, "rate_limit_exceeded", "try again in a moment"),
    (refused("ConverseStream", "ServiceUnavailableException"), 503, "model_unavailable", "did not answer"),
    (refused("ConverseStream", "InternalServerException"), 503, "model_unavailable", "did not answer"),
    (refused("ConverseStream", "ModelNotReadyException"), 503, "model_unavailable", "did not answer"),
    (refused("ConverseStream", "ModelTimeoutException"), 504, "model_timeout", "in time"),
    (refused("ConverseStream", "ModelErrorException"), 502, "model_unavailable", "failed while it answered"),
    (refused("ConverseStream", "ExpiredTokenException"), 503, "credentials_unavailable", "role"),
    (refused("AssumeRoleWithWebIdentity", "AccessDenied"), 503, "role_unavailable", "who may assume"),
    (NoCredentialsError(), 503, "credentials_unavailable", "role"),
    (ReadTimeoutError(endpoint_url="https://x"), 504, "model_timeout", "in time"),
    (ConnectTimeoutError(endpoint_url="https://x"), 504, "model_timeout", "in time"),
    (EndpointConnectionError(endpoint_url="https://x"), 503, "model_unavailable", "did not answer"),
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("raised", "status", "code", "remedy"), MODEL_ERRORS)
def test_what_the_model_refuses_has_its_own_remedy(
    raised: Exception, status: int, code: str, remedy: str, stream: bool
) -> None:
    it = bedrock(at_call=raised)
    response = it.ask(stream=stream)
    error = error_of(it, response, stream=stream)
    assert (error["code"], remedy in error["message"]) == (code, True), error
    assert stream or response.status_code == status


def event_stream_error(code: str) -> EventStreamError:
    return EventStreamError({"Error": {"Code": code, "Message": SECRET}}, "ConverseStream")


CUT: list[tuple[Exception, str]] = [
    (event_stream_error("modelStreamErrorException"), "model_unavailable"),
    (event_stream_error("throttlingException"), "rate_limit_exceeded"),
    (event_stream_error("internalServerException"), "model_unavailable"),
    (ProtocolError(f"Connection broken: {SECRET}"), "model_unavailable"),
    (ConnectionResetError(), "model_unavailable"),
    (StreamReadTimeoutError(None, "https://x", SECRET), "model_timeout"),  # type: ignore[arg-type]
    (ChecksumMismatch(1, 2), "model_answer_unusable"),
    (json.JSONDecodeError("Expecting value", SECRET, 0), "model_answer_unusable"),
    (UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, "bad"), "model_answer_unusable"),
    (KeyError("delta"), "model_answer_unusable"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("raised", "code"), CUT)
def test_a_stream_that_is_cut_or_garbage_is_the_models(raised: Exception, code: str, stream: bool) -> None:
    it = bedrock(in_stream=raised)
    response = it.ask(stream=stream)
    error = error_of(it, response, stream=stream)
    assert error["code"] == code
    assert stream or response.status_code in (429, 502, 503, 504)
    assert it.record.output.startswith("It begins well.")


def test_a_stream_without_its_end_is_the_models() -> None:
    """Close the connection in good order, but before Bedrock's last event."""
    it = bedrock()
    assert error_of(it, it.ask(), stream=False)["code"] == "model_unavailable"


def of_tool(raised: Callable[[], Exception], monkeypatch: pytest.MonkeyPatch) -> Service:
    @tool("look_up")
    def failing(what: str) -> str:
        """Look something up."""
        raise raised()

    monkeypatch.setattr(test_service, "look_up", failing)
    return Service(iter([call("look_up", "it"), AIMessage("Never said.")]))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("raised", "status", "words"),
    [
        (lambda: refused("GetItem", "ResourceNotFoundException"), 503, "A DynamoDB table was not found (GetItem)"),
        (lambda: refused("UpdateItem", "ValidationException", "Size of hashkey has exceeded"), 500,
            "DynamoDB's limits"),
        (lambda: refused("GetItem", "ProvisionedThroughputExceededException"), 503, "is busy"),
        (lambda: refused("GetItem", "AccessDeniedException"), 503, "no access to a DynamoDB table"),
        (lambda: refused("InvokeModel", "ThrottlingException"), 503, "The embedding model is busy"),
        (lambda: refused("InvokeModel", "ResourceNotFoundException"), 503, "embedding_model_id"),
        (lambda: refused("Converse", "ThrottlingException"), 503, "is busy"),
        (lambda: refused("Retrieve", "ResourceNotFoundException"), 503, "knowledge base"),
        (lambda: refused("NobodyKnows", "OddException"), 503, "An AWS service"),
        (lambda: EndpointConnectionError(endpoint_url="https://x"), 503, "did not answer"),
        (lambda: ContextOverflowError(SECRET), 500, "what it asked a model is too long"),
        (lambda: refused("Converse", "ValidationException", "prompt is too long: 250000 tokens"), 500,
            "what it asked a model is too long"),
        (lambda: ValueError(SECRET), 500, "its own code"),
        (lambda: RuntimeError(SECRET), 500, "its own code"),
    ],
)  # fmt: skip
def test_a_tools_failure_is_the_tools(
    raised: Callable[[], Exception], status: int, words: str, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = of_tool(raised, monkeypatch)
    response = it.ask(stream=stream)
    error = error_of(it, response, stream=stream)
    assert error["code"] == "tool_failed"
    assert error["message"].startswith("The tool look_up failed: ")
    assert words in error["message"]
    assert "model_id to one" not in error["message"] or "embedding" in error["message"]
    assert stream or response.status_code == status


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ("PutItem", "DynamoDB"),
        ("IsAuthorizedWithToken", "Verified Permissions"),
        ("ApplyGuardrail", "guardrail"),
        ("DetectToxicContent", "Comprehend"),
        ("PutRecordBatch", "Firehose"),
        ("GetSecretValue", "secret"),
        ("InvokeModel", "embedding model"),
        ("Converse", "The model"),
    ],
)
@pytest.mark.parametrize(
    "code",
    [
        "ResourceNotFoundException",
        "AccessDeniedException",
        "ThrottlingException",
        "ValidationException",
        "Odd",
    ],
)
def test_one_code_is_told_otherwise_for_each_service(operation: str, words: str, code: str) -> None:
    failure = explain(refused(operation, code))
    assert failure
    assert words.lower() in failure.message.lower() or (words == "Firehose" and "stream" in failure.message)
    assert (failure.retry_after is not None) == (code in ("ThrottlingException", "Odd"))
    assert SECRET not in failure.message


def test_operations_are_those_of_the_services() -> None:
    """Check against botocore's models that no operation is misspelt, and that none belongs to two services
    that we call."""
    session = botocore.session.get_session()
    of = {
        "model": "bedrock-runtime", "embedding_model": "bedrock-runtime", "guardrail": "bedrock-runtime",
        "table": "dynamodb", "authorization": "verifiedpermissions", "comprehend": "comprehend",
        "delivery_stream": "firehose", "secret": "secretsmanager", "key": "kms", "role": "sts", "bucket": "s3",
        "knowledge_base": "bedrock-agent-runtime",
    }  # fmt: skip
    models = {name: set(session.get_service_model(name).operation_names) for name in set(of.values())}
    unknown = {
        operation for operation, service in SERVICES.items() if operation not in models[of[service.code]]
    }
    assert unknown == set()


def test_a_services_own_wish_is_passed_on() -> None:
    failure = explain(
        CallFailedError_from(refused("Converse", "ThrottlingException", **{"retry-after": "17"}))
    )
    assert failure
    assert (failure.status, failure.retry_after) == (429, 17)
    failure = explain(
        CallFailedError_from(refused("Converse", "ThrottlingException", **{"retry-after": SECRET}))
    )
    assert failure
    assert failure.retry_after == 2


def CallFailedError_from(error: Exception) -> CallFailedError:  # noqa: N802
    failed = CallFailedError()
    failed.__cause__ = error
    return failed


@pytest.mark.parametrize("raised", [RuntimeError(SECRET), TypeError(SECRET), AttributeError(SECRET)])
@pytest.mark.parametrize("stream", [False, True])
def test_a_fault_of_ours_is_nobody_elses(
    raised: Exception, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Model):
        def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
            yield ChatGenerationChunk(message=AIMessageChunk("It begins. " * 30))
            raise raised

    it = Service(iter(()), model=Broken(script=iter(())))
    error = error_of(it, it.ask(stream=stream), stream=stream)
    assert error["code"] == "internal_error"
    assert it.record.error_type == type(raised).__name__
    (line,) = [each for each in caplog.messages if " failed: " in each]
    assert f"failed: {type(raised).__name__} at fmops/" in line
    assert SECRET not in caplog.text


def test_a_tools_own_fault_is_logged_with_its_place_and_a_services_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    of_tool(lambda: ValueError(SECRET), monkeypatch).ask()
    of_tool(lambda: refused("Converse", "ThrottlingException"), monkeypatch).ask()
    told = [each for each in caplog.messages if each.startswith("interaction ")]
    assert "failed: ToolFailed at fmops/" in told[0]
    bedrock(at_call=refused("ConverseStream", "ThrottlingException")).ask()
    assert caplog.messages[-1].endswith("failed: ThrottlingException")
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ThrottlingException", openai.RateLimitError),
        ("ServiceUnavailableException", openai.InternalServerError),
        ("AccessDeniedException", openai.InternalServerError),
    ],
)
def test_openais_own_client_raises_its_own_errors(code: str, expected: type[openai.APIStatusError]) -> None:
    it = bedrock(at_call=refused("ConverseStream", code))
    with TestClient(it.app) as http:
        client = openai.OpenAI(
            base_url="http://testserver/v1",
            api_key="good",
            http_client=http,
            max_retries=0,  # type: ignore[arg-type]
        )
        with pytest.raises(expected) as caught:
            client.chat.completions.create(model=NAME, messages=[{"role": "user", "content": "Hello"}])
    assert caught.value.response.headers.get("retry-after") == (
        None if code == "AccessDeniedException" else "2"
    )
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["interaction_id"] == it.record.interaction_id


def test_openais_own_client_reads_a_streams_error() -> None:
    it = bedrock(in_stream=event_stream_error("throttlingException"))
    with TestClient(it.app) as http:
        client = openai.OpenAI(
            base_url="http://testserver/v1",
            api_key="good",
            http_client=http,
            max_retries=0,  # type: ignore[arg-type]
        )
        with pytest.raises(openai.APIError, match="busy") as caught:
            for _ in client.chat.completions.create(
                model=NAME, messages=[{"role": "user", "content": "Hello"}], stream=True
            ):
                pass
    assert caught.value.code == "rate_limit_exceeded"


@pytest.mark.parametrize("path", ["/v1/feedback", "/v1/chat/completions"])
def test_an_error_before_or_beside_a_turn_is_told_by_its_service(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = Service(iter([AIMessage("x")]))

    def missing(*_: Any, **__: Any) -> Any:
        raise refused("GetSecretValue", "ResourceNotFoundException")

    monkeypatch.setattr(it.sink, "put", missing)
    monkeypatch.setattr(it.conversation, "begin", missing)
    response = it.post(
        path,
        {"interaction_id": "int-" + "0" * 32, "rating": "up"}
        if path.endswith("feedback")
        else {"model": NAME, "messages": [{"role": "user", "content": "x"}]},
    )
    assert (response.status_code, response.json()["error"]["code"]) == (503, "secret_unavailable")


def test_what_botocore_raises_for_a_hung_or_absent_service_is_known() -> None:
    """Use a real client of an address where nobody listens."""
    client = boto3.client(
        "dynamodb",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        endpoint_url="http://127.0.0.1:9",
        config=Config(connect_timeout=1, retries={"total_max_attempts": 1}),
    )
    with pytest.raises(BotoCoreError) as caught:
        client.get_item(TableName="t", Key={"id": {"S": "x"}})
    failure = explain(caught.value)
    assert failure
    assert (failure.status, failure.retry_after) == (503, 2)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (429, {}, (429, "rate_limit_exceeded")),
        (400, {"code": "context_length_exceeded"}, (400, "context_length_exceeded")),
        (400, {}, (500, "model_request_refused")),
        (401, {}, (503, "model_unavailable")),
        (404, {}, (503, "model_unavailable")),
        (500, {}, (503, "model_unavailable")),
    ],
)
def test_a_model_that_is_not_awss_is_told_by_its_status(
    status: int, body: dict[str, str], expected: tuple[int, str]
) -> None:
    """Use the errors of OpenAI's own client, which a model of LangChain's raises unchanged."""
    made = httpx.Response(status, json={"error": body}, request=httpx.Request("POST", "http://x/"))
    client = openai.OpenAI(api_key="x", base_url="http://x/")
    error = client._make_status_error(f"Error code: {status} - {body}", body=body, response=made)
    failure = explain(CallFailedError_from(error))
    assert failure
    assert (failure.status, failure.code) == expected
    assert explain(error) is None
