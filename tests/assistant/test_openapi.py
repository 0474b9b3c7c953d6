"""The OpenAPI document says who may call what and what comes back, and answers have the shapes that it gives."""

from __future__ import annotations

import re
from typing import Any, get_type_hints

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator
from langchain_core.messages import AIMessage
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openapi_spec_validator import validate

from docs.site.http_api import document
from fmops.assistant import route_errors
from fmops.assistant.admission import GUARDED
from fmops.assistant.openapi import SCHEME, TAGS
from fmops.conversation.chat_request import _UNSUPPORTED, IGNORED, SUPPORTED
from tests.assistant.test_service import BAD, Service, call, events, service

DOCUMENT = document()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}


def conforms(value: Any, operation: str, status: int, media_type: str = "application/json") -> None:
    """Check a value against the document, in which no field of an object that we name may be missing."""
    schema = OPERATIONS[operation]["responses"][str(status)]["content"][media_type]["schema"]
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def test_the_document_is_valid_openapi() -> None:
    validate(DOCUMENT)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_described_and_says_who_may_call_it(name: str) -> None:
    operation, guarded = OPERATIONS[name], name.split()[1].startswith(GUARDED)
    assert operation["security"] == ([{SCHEME: []}] if guarded else [])
    assert set(operation["tags"]) <= set(TAGS)
    assert ("public" in operation["tags"]) is not guarded
    assert operation["summary"]
    assert operation["description"].endswith(".")
    assert ("401" in operation["responses"]) is guarded
    assert ("400" in operation["responses"]) is ("requestBody" in operation or "parameters" in operation)
    success = operation["responses"][min(operation["responses"])]
    for schema in (each["schema"] for each in success["content"].values()):
        assert "$ref" in schema or schema == {"type": "string"}
    for status, response in operation["responses"].items():
        if status >= "400":
            assert response["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}
            assert re.match(r"- `[\w<>]+`: \S", response["description"])


def test_names_of_operations_are_unique_and_say_what_they_call() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)
    assert "post_v1_chat_completions" in names


def test_every_refusal_of_a_route_is_documented() -> None:
    documented = {
        (int(status), code)
        for operation in OPERATIONS.values()
        for status, response in operation["responses"].items()
        for code in re.findall(r"^- `([\w<>]+)`", response["description"], re.MULTILINE)
    }
    refusals = {(each.status, each.code) for each in route_errors.RouteError.__subclasses__()}
    assert refusals - documented == set()


def test_answers_have_the_documented_shape() -> None:
    it = service(call("look_up", "the claim"), call("delete", "it", "c2"), AIMessage("All done."))
    conforms(it.ask().json(), "POST /v1/chat/completions", 200)
    conforms(service().ask(f"You {BAD}!").json(), "POST /v1/chat/completions", 200)
    streamed = service(call("look_up", "x"), AIMessage("One sentence. And another."))
    for event in events(streamed.ask(stream=True, stream_options={"include_usage": True})):
        conforms(event, "POST /v1/chat/completions", 200, "text/event-stream")
    rating = {"interaction_id": "int-" + "0" * 32, "rating": "up"}
    conforms(service().post("/v1/feedback", rating).json(), "POST /v1/feedback", 202)


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/me", "/v1/welcome", "/healthz", "/readyz", "/sign-in.json"]
)
def test_what_is_read_has_the_documented_shape(path: str) -> None:
    with TestClient(service().app) as client:
        answer = client.get(path, headers={"authorization": "Bearer good"})
    conforms(answer.json(), f"GET {path}", 200)


@pytest.mark.parametrize(
    ("fields", "status"), [({"model": "gpt-99"}, 404), ({"n": 2}, 400), ({"token": "bad"}, 401)]
)
def test_errors_have_the_documented_shape(fields: dict[str, Any], status: int) -> None:
    answer = service().ask(**fields)
    assert answer.status_code == status
    conforms(answer.json(), "POST /v1/chat/completions", status)
    assert f"`{answer.json()['error']['code']}`" in str(
        OPERATIONS["POST /v1/chat/completions"]["responses"][str(status)]
    )


def test_the_document_is_served_without_a_token() -> None:
    with TestClient(Service(iter(())).app) as client:
        served = client.get("/openapi.json").json()
    assert served["paths"].keys() <= DOCUMENT["paths"].keys()
    assert served["paths"]["/v1/chat/completions"] == DOCUMENT["paths"]["/v1/chat/completions"]


def test_every_parameter_of_openais_own_client_is_supported_ignored_or_refused() -> None:
    known = {name for name in get_type_hints(CompletionCreateParamsNonStreaming) if name != "extra_body"}
    assert known == {*SUPPORTED, *IGNORED, *_UNSUPPORTED}
    assert len(SUPPORTED) + len(IGNORED) + len(_UNSUPPORTED) == len(known)
