"""A gap closes: an editor drafts, edits and publishes over HTTP, and nobody else can."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from fmops.agent import KNOWLEDGE
from fmops.agent.resources import Resolver
from fmops.assistant.draft_desk import DRAFTS_PER_MINUTE, DraftDesk
from fmops.assistant.draft_routes import add_draft_routes
from fmops.assistant.me_routes import add_me_routes
from fmops.assistant.page_routes import Pages, add_page_routes
from fmops.assistant.service import _add_error_handlers
from fmops.drafting.objects import Objects
from fmops.evaluation.datasets import closed
from fmops.guardrails import GuardrailEngine
from fmops.guardrails.detectors.base import Clients
from fmops.toolkit.knowledge import (
    KnowledgeDocument,
    KnowledgeUnavailableError,
    PackagedDocuments,
    load,
)
from tests.assistant.test_service import BAD, SECRET, Words
from tests.drafting.lake import CORRECTION, DOCUMENTS, LAKE, QUESTIONS, aws, corrected, keys, report
from tests.pages import enter, serious, watched
from tests.review.page import PSEUDONYMS, Desk, Rules, Verifier
from tests.served import served

TEXT = "Fires of e-bike batteries are covered up to 3,000.00, also in the cellar."
EDIT = {"title": "Fires of batteries", "text": TEXT, "classification": "public", "region": ""}


class Near(PackagedDocuments):
    """The agent's documents, of which every search finds three: public, of the north, and of the south."""

    away = False

    def search(self, query: str, audiences: Any, limit: int = 4) -> list[tuple[KnowledgeDocument, float]]:
        if self.away:
            raise KnowledgeUnavailableError("ThrottlingException")
        names = ("household-theft", "north-storm-desk", "south-hail-desk")
        return [(found, 0.4) for each in names for found in self.document(each, None)]


class Site:
    """The routes over real buckets, policies and guardrails, with a model that says one thing."""

    def __init__(self, s3: Any, answer: str) -> None:
        self.s3, self.store = s3, Near(load(KNOWLEDGE), None)
        desk = DraftDesk(
            Objects(s3, LAKE),
            Objects(s3, DOCUMENTS),
            model=GenericFakeChatModel(messages=itertools.repeat(AIMessage(answer))),
            model_id="model-1",
            store=self.store,
            guardrails=GuardrailEngine([Words("words", Clients(boto3.Session(), timeout=1, connections=1))]),
            authorizer=Rules(),
            resolver=Resolver(Desk(), "pool"),  # type: ignore[arg-type]
            pseudonyms=PSEUDONYMS,
        )
        self.app = FastAPI()
        self.app.state.verifier = Verifier()
        _add_error_handlers(self.app)
        add_draft_routes(self.app, desk)
        add_me_routes(self.app, drafting=desk)
        self.desk, self.client = desk, TestClient(self.app)

    def ask(self, method: str, path: str, body: Any = None, *, name: str = "rita") -> Any:
        headers = {"authorization": f"Bearer {name}"}
        return self.client.request(method, f"/v1/{path}", json=body, headers=headers)

    def drafted(self) -> dict[str, Any]:
        gap = self.ask("GET", "gaps").json()["gaps"][0]
        answer = self.ask("POST", f"gaps/{gap['id']}/drafts")
        assert answer.status_code == 201, answer.text
        draft: dict[str, Any] = answer.json()
        return draft


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with aws(monkeypatch) as s3:
        report(s3)
        corrected(s3)
        yield Site(s3, f"# Batteries\n\n{CORRECTION}")


def test_a_gap_becomes_a_document_and_cases(site: Site) -> None:
    shown = site.ask("GET", "gaps").json()
    assert [each["draft"] for each in shown["gaps"]] == [None, None]
    assert (shown["window"], shown["gaps"][0]["questions"]) == ("2026-11-27", list(QUESTIONS))
    assert site.desk.standing() == {"gaps": 2, "untouched": 2, "drafts": 0}

    draft = site.drafted()
    assert (draft["title"], draft["text"], draft["state"]) == ("Batteries", CORRECTION, "draft")
    assert (draft["classification"], draft["corrections"], draft["model_id"]) == ("internal", 1, "model-1")
    assert [each["id"] for each in draft["sources"]] == ["household-theft", "north-storm-desk"]
    assert site.ask("GET", "gaps").json()["gaps"][0]["draft"]["state"] == "draft"
    assert site.desk.standing() == {"gaps": 2, "untouched": 1, "drafts": 1}
    assert keys(site.s3, DOCUMENTS) == []

    path = f"drafts/{draft['id']}"
    edited = site.ask("PUT", path, {**EDIT, "version": draft["version"]}).json()
    assert (edited["title"], edited["text"]) == (EDIT["title"], TEXT)
    assert site.ask("GET", path).json() == edited
    done = site.ask("POST", f"{path}/publication", {"version": edited["version"]}).json()
    assert (done["state"], done["document_id"]) == (
        "published",
        f"drafted/fires-of-batteries-{draft['id'][:6]}",
    )

    key = f"documents/{done['document_id']}.md"
    assert keys(site.s3, DOCUMENTS) == [key, f"{key}.metadata.json"]
    cases = closed(site.s3, LAKE)
    assert [(each.question, each.caller) for each in cases] == [(each, "customer") for each in QUESTIONS]
    assert done["cases"] == len(cases)
    stored = json.loads(site.s3.get_object(Bucket=LAKE, Key=f"knowledge/{path}.json")["Body"].read())
    assert {stored[f"{what}_by"] for what in ("made", "edited", "published")} == {PSEUDONYMS.user("rita")}
    for method, rest, body in (
        ("PUT", "", {**EDIT, "version": done["version"]}),
        ("POST", "/publication", {"version": done["version"]}),
        ("DELETE", f"?version={done['version']}", None),
    ):
        assert site.ask(method, path + rest, body).json()["error"]["code"] == "draft_changed"


def test_two_editors_do_not_overwrite_each_other(site: Site) -> None:
    draft = site.drafted()
    path, seen = f"drafts/{draft['id']}", draft["version"]
    assert site.ask("PUT", path, {**EDIT, "version": seen}, name="sofia").status_code == 200
    for method, rest, body in (
        ("PUT", "", {**EDIT, "text": "Mine", "version": seen}),
        ("POST", "/publication", {"version": seen}),
        ("DELETE", f"?version={seen}", None),
    ):
        answer = site.ask(method, path + rest, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "draft_changed")
    assert site.ask("GET", path).json()["text"] == TEXT
    assert keys(site.s3, DOCUMENTS) == []
    again = site.ask("POST", f"gaps/{draft['gap_id']}/drafts", name="sofia")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "draft_exists")


def test_a_discarded_draft_makes_room_for_another(site: Site) -> None:
    draft = site.drafted()
    gone = site.client.delete(
        f"/v1/drafts/{draft['id']}",
        params={"version": draft["version"]},
        headers={"authorization": "Bearer rita"},
    ).json()
    assert gone["state"] == "discarded"
    assert site.drafted()["id"] == f"{draft['gap_id']}-2"


def test_an_interrupted_publication_is_completed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = site.drafted()
    path = f"drafts/{draft['id']}"

    def interrupted(*_: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr("fmops.drafting.publication.add_cases", interrupted)
        with pytest.raises(ConnectionError):
            site.ask("POST", f"{path}/publication", {"version": draft["version"]})
    halfway = site.ask("GET", path).json()
    assert (halfway["state"], closed(site.s3, LAKE)) == ("publishing", [])
    done = site.ask("POST", f"{path}/publication", {"version": halfway["version"]}).json()
    assert (done["state"], len(closed(site.s3, LAKE))) == ("published", len(QUESTIONS))


@pytest.mark.parametrize("name", ["carla", "amir", "petra", "olga", "sam"])
def test_nobody_else_sees_gaps_or_drafts(site: Site, name: str) -> None:
    draft = site.drafted()
    path = f"drafts/{draft['id']}"
    for method, where, body in (
        ("GET", "gaps", None),
        ("POST", f"gaps/{draft['gap_id']}/drafts", None),
        ("GET", path, None),
        ("PUT", path, {**EDIT, "version": draft["version"]}),
        ("POST", f"{path}/publication", {"version": draft["version"]}),
        ("DELETE", f"{path}?version=x", None),
    ):
        answer = site.ask(method, where, body, name=name)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "drafting_not_permitted")
    assert "gaps" not in site.ask("GET", "me", name=name).json()["pages"]
    assert "gaps" in site.ask("GET", "me").json()["pages"]


def test_what_an_editor_writes_is_redacted_or_blocked(site: Site) -> None:
    draft = site.drafted()
    path = f"drafts/{draft['id']}"
    body = {**EDIT, "text": f"Pay by {SECRET}.", "version": draft["version"]}
    edited = site.ask("PUT", path, body).json()
    assert SECRET not in edited["text"]
    refused = site.ask("PUT", path, {**EDIT, "title": BAD, "version": edited["version"]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "content_filter")


def test_an_answer_with_a_link_is_no_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    with aws(monkeypatch) as s3:
        report(s3)
        site = Site(s3, "# T\n\nSee https://evil.example.")
        gap = site.ask("GET", "gaps").json()["gaps"][0]
        answer = site.ask("POST", f"gaps/{gap['id']}/drafts")
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "draft_unusable")
        assert "evil" not in answer.text
        assert not any("drafts" in each for each in keys(s3, LAKE))


def test_refusals_say_what_to_do(site: Site) -> None:
    assert site.ask("POST", "gaps/nothing/drafts").json()["error"]["code"] == "gap_not_found"
    assert site.ask("GET", "drafts/nothing").json()["error"]["code"] == "draft_not_found"
    site.store.away = True
    gap = site.ask("GET", "gaps").json()["gaps"][0]
    assert site.ask("POST", f"gaps/{gap['id']}/drafts").json()["error"]["code"] == "documents_unavailable"


def test_nobody_has_the_model_write_all_day(site: Site) -> None:
    codes = [site.ask("POST", "gaps/nothing/drafts").status_code for _ in range(DRAFTS_PER_MINUTE + 1)]
    assert codes == [404] * DRAFTS_PER_MINUTE + [429]


def test_drafts_of_gaps_that_the_report_no_longer_has_are_still_there(site: Site) -> None:
    draft = site.drafted()
    report(site.s3, ("Is an airship insured?",))
    shown = site.ask("GET", "gaps").json()
    assert [each["draft"] for each in shown["gaps"]] == [None, None]
    assert [each["id"] for each in shown["earlier"]] == [draft["id"]]


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_an_editor_closes_a_gap_on_the_page(site: Site, browser: Any, width: int) -> None:
    from playwright.sync_api import expect

    add_page_routes(site.app, Pages())
    page = browser.new_context(viewport={"width": width, "height": 844}).new_page()
    with served(site.app) as address, watched(page):
        enter(page, f"{address}/gaps", "rita", ("staff", "reviewers"))
        expect(page.locator("[data-gap]")).to_have_count(2)
        first = page.locator("[data-gap]").first
        expect(first).to_contain_text(QUESTIONS[0])
        expect(first).to_contain_text("30 % of all questions")
        assert serious(page) == []

        first.get_by_role("button", name="Draft a document").click()
        expect(page.locator("#mark")).to_contain_text("DRAFT")
        expect(page.locator("#text")).to_have_value(CORRECTION)
        expect(page.get_by_role("link", name="Storm desk of the north region")).to_be_visible()
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"

        page.get_by_label("Title").fill("Fires of <b>batteries</b>")
        page.get_by_label("Text, in Markdown").fill(TEXT)
        page.get_by_label("Who may read it").select_option("public")
        page.get_by_role("button", name="Publish …").click()
        expect(page.locator("#consequence")).to_contain_text("everybody who is signed in")
        expect(page.locator("#narrower")).to_contain_text("Storm desk of the north region")
        assert keys(site.s3, DOCUMENTS) == []
        assert serious(page) == []
        page.get_by_role("button", name="Publish", exact=True).click()
        expect(page.locator("#outcome")).to_contain_text("Published")
        expect(page.locator("#draft-title")).to_have_text("Fires of <b>batteries</b>")
        expect(page.locator("#text")).to_be_disabled()
        assert len(keys(site.s3, DOCUMENTS)) == 2
        page.get_by_role("link", name="All gaps").click()
        expect(first).to_contain_text("Published: Fires of <b>batteries</b>")
    page.context.close()


@pytest.mark.browser
def test_what_somebody_else_changed_is_told_and_nothing_is_lost(site: Site, browser: Any) -> None:
    from playwright.sync_api import expect

    add_page_routes(site.app, Pages())
    draft = site.drafted()
    page = browser.new_context().new_page()
    with served(site.app) as address, watched(page):
        enter(page, f"{address}/gaps?draft={draft['id']}", "rita", ("staff", "reviewers"))
        page.get_by_label("Text, in Markdown").fill("Mine")
        site.ask("PUT", f"drafts/{draft['id']}", {**EDIT, "version": draft["version"]}, name="sofia")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("alert")).to_contain_text("in the meantime")
        expect(page.locator("#text")).to_have_value("Mine")
    page.context.close()
