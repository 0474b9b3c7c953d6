"""Answers cite documents, and their route shows a document's passages to whom the policies permit it, and no one
else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import openai
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from langchain.tools import ToolRuntime, tool
from langchain_core.messages import AIMessage

from fmops.agent import NAME
from fmops.assistant.document_routes import add_document_routes
from fmops.assistant.service import _add_error_handlers
from fmops.authorization import AuthorizationRequest, Authorizer, Decision, Entity, EntityUid
from fmops.conversation.calls import DOCUMENTS_UNAVAILABLE
from fmops.identity.tokens import Principal
from fmops.interaction import RetrievedDocument
from fmops.toolkit.authorization import ToolResolver
from fmops.toolkit.bedrock_knowledge import BedrockKnowledgeBase
from fmops.toolkit.context import RequestContext
from fmops.toolkit.knowledge import KnowledgeUnavailableError
from tests.assistant.test_chat_page import WELCOME
from tests.assistant.test_service import Service, call, events
from tests.assistant.test_service import Verifier as ServiceVerifier
from tests.pages import enter, serious, watched
from tests.served import served
from tests.toolkit.runtime import Runtime, chunk

STAFF, CUSTOMER = "staff", "customer"


@tool
def look_up(what: str, runtime: ToolRuntime[Any, Any]) -> str:
    """Look something up."""
    runtime.context.interaction.retrieved.append(
        RetrievedDocument(document_id="guides/hail", score=0.9, page=3, title="Hail guide")
    )
    return what


@tool("look_up")
def away(what: str) -> str:
    """Look something up in a base that is away."""
    raise KnowledgeUnavailableError("ThrottlingException")


SAID = "The Hail guide says 300."
CITATION = {
    "type": "url_citation",
    "url_citation": {
        "start_index": 4,
        "end_index": 14,
        "title": "Hail guide",
        "url": "/v1/documents/guides/hail?page=3",
    },
}


def test_an_answer_cites_what_it_was_made_from() -> None:
    it = Service(iter([call("look_up", "hail"), AIMessage(SAID)]), tools=[look_up])
    message = it.ask().json()["choices"][0]["message"]
    assert message["annotations"] == [CITATION]
    assert [(each.document_id, each.page) for each in it.record.retrieved] == [("guides/hail", 3)]


def test_a_streamed_answer_cites_in_the_event_before_the_last_one() -> None:
    it = Service(iter([call("look_up", "hail"), AIMessage(SAID)]), tools=[look_up])
    *_, cited, last = events(it.ask(stream=True))
    assert cited["choices"][0]["delta"] == {"annotations": [CITATION]}
    assert cited["choices"][0]["finish_reason"] is None
    assert last["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_openais_client_reads_the_citations(stream: bool) -> None:
    it = Service(iter([call("look_up", "hail"), AIMessage(SAID)]), tools=[look_up])
    with TestClient(it.app) as http:
        client: Any = openai.OpenAI(base_url="http://testserver/v1", api_key="good", http_client=http)
        question: Any = [{"role": "user", "content": "Hail?"}]
        answer = client.chat.completions.create(model=NAME, messages=question, stream=stream)
        if stream:
            deltas = [each.choices[0].delta for each in answer]
            (found,) = (each.annotations for each in deltas if getattr(each, "annotations", None))
            assert found == [CITATION]
        else:
            (found,) = answer.choices[0].message.annotations
            assert found.url_citation.url == "/v1/documents/guides/hail?page=3"


def test_while_the_documents_are_away_the_model_is_told_so_and_the_turn_goes_on() -> None:
    it = Service(iter([call("look_up", "hail"), AIMessage("I cannot read the documents now.")]), tools=[away])
    body = it.ask().json()
    assert body["choices"][0]["message"]["content"] == "I cannot read the documents now."
    assert body["tools"] == [{"name": "look_up", "status": "error"}]
    assert body["sources"] == []
    assert DOCUMENTS_UNAVAILABLE.startswith("The documents cannot be read at the moment.")
    assert [each.status for each in it.record.tool_calls] == ["error"]


class Verifier:
    """A verifier that takes a person's group for their token."""

    def verify(self, authorization: str | None) -> Principal:
        group = (authorization or "").removeprefix("Bearer ")
        return Principal(group, group, frozenset({group}), True, group, {})


class Rules(Authorizer):
    """An authorizer that permits staff everything, and others what is public."""

    def __init__(self) -> None:
        super().__init__(None, "ps")

    def decide(self, identity_token: str, requests: Sequence[AuthorizationRequest]) -> list[Decision]:
        return [Decision(each, *self._decided(identity_token, each.resource)) for each in requests]

    def _decided(self, token: str, resource: Entity) -> Any:
        facts = resource.attributes
        may = facts["classification"] == "public" or token == STAFF
        return ("ALLOW", "permitted") if may and not facts["withdrawn"] else ("DENY", "forbidden")


class Records:
    """Records in which one document is withdrawn."""

    def withdrawn(self, document_ids: Sequence[str]) -> set[str]:
        return {"gone"} & set(document_ids)

    def is_suspended(self, subject: str) -> bool:
        return False


class Resolver(ToolResolver):
    """A resolver that searches everything for everyone, so that the policies alone decide."""

    namespace = "Test"

    def on(self, *_: Any) -> Any:
        raise NotImplementedError

    def resource(self, kind: str, resource_id: str) -> Entity:
        return Entity(EntityUid(kind, resource_id))

    def audiences(self, context: RequestContext) -> list[str]:
        return ["public", "staff"]


def client(runtime: Runtime) -> TestClient:
    app = FastAPI()
    app.state.verifier = Verifier()
    _add_error_handlers(app)
    resolver = Resolver(Records(), "pool")  # type: ignore[arg-type]
    add_document_routes(app, BedrockKnowledgeBase(runtime, "KB12345678"), resolver.readable(Rules()))
    return TestClient(app)


def get(it: TestClient, path: str, who: str = CUSTOMER) -> tuple[int, dict[str, Any]]:
    answer = it.get(f"/v1/documents/{path}", headers={"authorization": f"Bearer {who}"})
    return answer.status_code, answer.json()


BASE = Runtime([
    chunk("guides/hail 2026", "One", page=1),
    chunk("guides/hail 2026", "Three", page=3),
    chunk("secret", audience="staff", classification="internal"),
    chunk("gone"),
])  # fmt: skip


def test_a_document_is_shown_whole_or_by_page_under_an_id_with_slashes_and_spaces() -> None:
    status, whole = get(client(BASE), "guides/hail%202026")
    assert (status, whole["id"], whole["title"]) == (200, "guides/hail 2026", "Guides/Hail 2026")
    assert whole["passages"] == [{"page": 1, "text": "One"}, {"page": 3, "text": "Three"}]
    assert whole["text"] == "[page 1] One\n\n[page 3] Three"
    _, third = get(client(BASE), "guides/hail%202026?page=3")
    assert [each["text"] for each in third["passages"]] == ["Three"]


@pytest.mark.parametrize(
    ("path", "who", "status"),
    [
        ("secret", STAFF, 200),
        ("secret", CUSTOMER, 404),
        ("gone", STAFF, 404),
        ("nowhere", STAFF, 404),
        ("guides/hail%202026?page=2", STAFF, 404),
        ("guides/hail%202026?page=0", STAFF, 400),
    ],
)
def test_the_link_is_authorized_again(path: str, who: str, status: int) -> None:
    found, body = get(client(BASE), path, who)
    assert found == status
    if status == 404:
        assert body["error"]["code"] == "document_not_found"


def test_a_base_that_is_away_is_said_so() -> None:
    status, body = get(client(Runtime(fault="ThrottlingException")), "secret", STAFF)
    assert (status, body["error"]["code"]) == (503, "documents_unavailable")


@pytest.mark.browser
def test_a_person_follows_a_citation_to_its_page(browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from playwright.sync_api import expect

    carla = Principal("subject-1", "carla", frozenset({"customers"}), False, "good", {})
    monkeypatch.setattr(ServiceVerifier, "verify", lambda *_: carla)
    monkeypatch.setattr("fmops.assistant.welcome.welcome", lambda: WELCOME)
    base = Runtime(
        [chunk("guides/hail", "Glass is **replaced**.", page=3), chunk("guides/hail", "Else", page=1)]
    )
    readable = Resolver(Records(), "pool").readable(Rules())  # type: ignore[arg-type]
    it = Service(
        iter([call("look_up", "hail"), AIMessage(SAID)]),
        tools=[look_up],
        routes=[lambda app: add_document_routes(app, BedrockKnowledgeBase(base, "KB12345678"), readable)],
    )
    with served(it.app) as address, browser.new_context() as opened:
        page = opened.new_page()
        with watched(page):
            enter(page, f"{address}/chat", "carla", ["customers"])
            page.get_by_role("button", name="Is it fine?").click()
            page.get_by_role("link", name="Hail guide, page 3").click()
            expect(page.locator(".passage")).to_have_count(1)
            expect(page.locator(".passage")).to_contain_text("Page 3")
            expect(page.locator(".passage strong")).to_have_text("replaced")
            assert serious(page) == []
            page.get_by_role("link", name="Show the whole document").click()
            expect(page.locator(".passage")).to_have_count(2)
