"""The playground over HTTP and in a real browser: who may use it, what can be tried, and what is saved in
MLflow's real store."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from mlflow.exceptions import MlflowException

from fmops.agent import NAME
from fmops.assistant.playground import cases
from fmops.conversation.turns import Turns
from fmops.evaluation.registry import PromptRegistry
from tests.assistant.playground import CASE, MODELS, Bench, playground_app
from tests.pages import enter
from tests.served import served


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    PromptRegistry(f"sqlite:///{path}").versions(NAME)
    return path


@pytest.fixture
def registry(store: Path, tmp_path: Path) -> PromptRegistry:
    made = PromptRegistry(f"sqlite:///{shutil.copy(store, tmp_path)}")
    for text in ("Polite prompt.", "Rude prompt."):
        made.register(NAME, text, message="a test")
    made.promote(NAME, "1", by="me", reason="first")
    return made


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def turns() -> Turns:
    return Turns(most=8, per_user=2)


@pytest.fixture
def app(bench: Bench, registry: PromptRegistry, turns: Turns) -> FastAPI:
    return playground_app(bench, registry, turns=turns)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


def ask(client: TestClient, name: str, path: str = "", body: Any = None) -> Any:
    headers = {"authorization": f"Bearer {name}"}
    url = f"/v1/playground{path}"
    return client.get(url, headers=headers) if body is None else client.post(url, json=body, headers=headers)


def pages_of(client: TestClient, name: str) -> list[str]:
    answer = client.get("/v1/me", headers={"authorization": f"Bearer {name}"}).json()
    return list(answer["pages"])


def variant(**changes: Any) -> dict[str, Any]:
    return {"template": "Draft prompt.", "model_id": MODELS[0], **changes}


@pytest.mark.parametrize("name", ["carla", "rita", "sofia"])
def test_others_are_refused_by_the_missing_action_s_name(
    client: TestClient, registry: PromptRegistry, bench: Bench, name: str
) -> None:
    tries = {"case_id": CASE, "variants": [variant()]}
    save = {"template": "Mine."}
    for answer in (
        ask(client, name),
        ask(client, name, "/tries", tries),
        ask(client, name, "/versions", save),
    ):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (
            403,
            "playground_not_permitted",
            "edit_prompts",
        )
        assert "the action edit_prompts" in error["message"]
        assert "the group prompt-engineers" in error["message"]
    assert pages_of(client, name) == ["chat"]
    assert (len(registry.versions(NAME)), bench.variants) == (2, [])


def test_without_a_token_nothing_is_told(client: TestClient) -> None:
    assert ask(client, "nobody").status_code == 401


def test_an_engineer_sees_versions_models_and_cases(client: TestClient) -> None:
    assert pages_of(client, "petra") == ["chat", "playground"]
    found = ask(client, "petra").json()
    assert [(each["version"], each["serves"]) for each in found["prompts"]] == [
        ("2", False),
        ("1", True),
        ("packaged", False),
    ]
    assert found["models"] == list(MODELS)
    assert len(found["cases"]) == len(cases()) >= 60


def test_two_variants_answer_a_case(client: TestClient, bench: Bench) -> None:
    variants = [variant(version="1"), variant(template="Rude prompt.", model_id=MODELS[1])]
    answers = ask(client, "petra", "/tries", {"case_id": CASE, "variants": variants}).json()["answers"]
    assert [each["text"] for each in answers] == [f"Draft {MODELS[0]}", f"Rude {MODELS[1]}"]
    assert (answers[1]["finish"], answers[1]["guardrails"]) == ("content_filter", ["output block"])
    assert bench.asked == [(cases()[CASE].caller, cases()[CASE].question)] * 2


def test_each_variant_is_a_turn_of_its_engineer_and_of_the_task(
    client: TestClient, bench: Bench, turns: Turns
) -> None:
    body = {"case_id": CASE, "variants": [variant(), variant(model_id=MODELS[1])]}
    leave = turns.enter("petra")
    refused = ask(client, "petra", "/tries", body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert refused.headers["retry-after"]
    assert (bench.asked, turns.under_way) == ([], 1)
    leave()
    assert ask(client, "petra", "/tries", body).status_code == 200
    others = [turns.enter(f"user {number}") for number in range(7)]
    full = ask(client, "petra", "/tries", body)
    assert (full.status_code, full.json()["error"]["code"]) == (503, "overloaded")
    assert turns.under_way == len(others)


def test_what_is_saved_is_a_version_and_serves_nobody(client: TestClient, registry: PromptRegistry) -> None:
    body = {"template": "Better prompt.", "message": "is better"}
    assert ask(client, "petra", "/versions", body).json() == {"version": "3"}
    assert registry.version(NAME, "3").template == "Better prompt."
    assert registry.serving_version(NAME) == "1"


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("/tries", {"case_id": "none", "variants": [variant()]}, 404, "there is no case 'none'"),
        ("/tries", {"case_id": CASE, "variants": [variant(model_id="gpt")]}, 404,
            "add it to assistant.playground_models"),
        ("/tries", {"case_id": CASE, "variants": [variant(template="Hi {{who}}")]}, 422,
            "{{who}}, which cannot be filled"),
        ("/tries", {"case_id": CASE, "variants": []}, 400, "variants"),
        ("/tries", {"case_id": CASE, "variants": [variant()] * 3}, 400, "variants"),
        ("/versions", {"template": "Hi {{who}}"}, 422, "{{who}}, which cannot be filled"),
        ("/versions", {"template": "  "}, 422, "is empty"),
        ("/versions", {"template": "x", "alias": "production"}, 400, "alias"),
    ],
)  # fmt: skip
def test_what_cannot_be_tried_or_saved_is_refused_with_the_reason(
    client: TestClient, registry: PromptRegistry, path: str, body: Any, status: int, word: str
) -> None:
    answer = ask(client, "petra", path, body)
    assert answer.status_code == status
    assert word in answer.json()["error"]["message"]
    assert len(registry.versions(NAME)) == 2


def test_with_mlflow_away_an_engineer_is_told_so(
    client: TestClient, registry: PromptRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: str) -> Any:
        raise MlflowException("away")

    monkeypatch.setattr(registry, "versions", away)
    answer = ask(client, "petra")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "registry_unavailable")


@pytest.mark.browser
def test_a_prompt_is_tried_and_saved_on_the_page(
    browser: Any, app: FastAPI, registry: PromptRegistry
) -> None:
    from playwright.sync_api import expect

    with served(app) as address:
        page = browser.new_page()
        enter(page, f"{address}/playground", "carla")
        expect(page.get_by_role("alert")).to_contain_text("the action edit_prompts")
        expect(page.get_by_role("navigation").get_by_role("link", name="Playground")).to_have_count(0)

        page = browser.new_page()
        enter(page, f"{address}/document?id=none", "petra")
        page.get_by_role("navigation").get_by_role("link", name="Playground").click()
        first, second = page.locator(".variant").nth(0), page.locator(".variant").nth(1)
        expect(first.locator("textarea")).to_have_value("Polite prompt.")
        expect(second.locator("textarea")).to_have_value("Rude prompt.")
        page.locator("#kind").select_option("attack")
        page.locator("#list input").nth(1).check()
        expect(page.locator("#chosen")).to_contain_text("2 of")
        second.locator(".model").select_option(MODELS[1])
        page.keyboard.press("Control+Enter")
        texts = page.locator("#results .text")
        expect(texts).to_have_count(4)
        expect(texts.nth(0)).to_have_text(f"Polite {MODELS[0]}")
        expect(texts.nth(1)).to_have_text(f"Rude {MODELS[1]}")
        expect(texts.nth(1)).to_have_class(re.compile("blocked"))
        first.locator("textarea").fill("Kind prompt.")
        expect(first.locator(".version")).to_have_value("draft")
        first.locator(".why").fill("kinder")
        first.locator(".save").click()
        expect(first.locator(".saved")).to_contain_text("Saved as version 3")
        expect(first.locator(".version")).to_have_value("3")
    assert registry.version(NAME, "3").template == "Kind prompt."


@pytest.mark.browser
@pytest.mark.parametrize("stage", ["/live", "/live/"])
def test_the_playground_works_below_the_stage_of_an_api(
    stage: str, browser: Any, app: FastAPI, registry: PromptRegistry
) -> None:
    from playwright.sync_api import expect

    def below_the_stage(scope: Any) -> Any:
        return {**scope, "path": scope["path"].removeprefix("/live") or "/"}

    async def api(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not scope["path"].startswith("/live"):
            scope = {**scope, "path": "/missing authentication token"}
        await app(below_the_stage(scope) if scope["type"] == "http" else scope, receive, send)

    with served(api) as address:
        page = browser.new_page()
        enter(page, f"{address}{stage}", "petra")
        page.get_by_role("navigation").get_by_role("link", name="Playground").click()
        expect(page).to_have_url(f"{address}/live/playground")
        expect(page.locator(".variant").nth(0).locator("textarea")).to_have_value("Polite prompt.")
        page.get_by_role("link", name="Home").click()
        expect(page).to_have_url(f"{address}/live/")
        expect(page.locator("#who")).to_contain_text("petra")
