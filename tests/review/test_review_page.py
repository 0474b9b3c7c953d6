"""The review page, over HTTP and in a real browser: what reviewers may see and do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fmops.review.backend import ReviewUnavailableError
from fmops.review.labels import State
from fmops.review.mlflow_review import MlflowReview
from fmops.review.model import ReviewTask
from fmops.toolkit.bedrock_knowledge import BedrockKnowledgeBase
from tests.assistant.test_service import BAD, SECRET
from tests.pages import enter
from tests.review.page import PSEUDONYMS, make_app
from tests.served import served
from tests.toolkit.runtime import Runtime, chunk

Make = Callable[..., ReviewTask]
GOOD: dict[str, Any] = {"verdict": "good"}
WRONG: dict[str, Any] = {"verdict": "bad", "category": "correctness", "corrected_answer": "Water damage is."}


@pytest.fixture
def client(review: MlflowReview) -> TestClient:
    return TestClient(make_app(review), raise_server_exceptions=False)


def get(client: TestClient, name: str, path: str = "") -> Any:
    return client.get(f"/v1/review/tasks{path}", headers={"authorization": f"Bearer {name}"})


def post(client: TestClient, name: str, task: ReviewTask | str, said: dict[str, Any]) -> Any:
    task_id = task if isinstance(task, str) else task.task_id
    return client.post(
        f"/v1/review/tasks/{task_id}/labels", json=said, headers={"authorization": f"Bearer {name}"}
    )


def test_a_reviewer_sees_what_was_said_and_not_why_it_was_chosen(
    client: TestClient, review: MlflowReview, make_task: Make
) -> None:
    task = make_task()
    review.submit([task])
    assert get(client, "rita").json()["tasks"] == [{"task_id": task.task_id, "adjudicates": False}]
    shown = get(client, "rita", f"/{task.task_id}").json()
    assert (shown["question"], shown["answer"]) == ("What is covered?", "Nothing.")
    assert shown["retrieved"][0]["title"] == "Motor insurance: collision and own damage"
    assert "labels" not in shown
    assert task.reason not in json.dumps(shown) and task.stratum not in json.dumps(shown)


def test_documents_are_shown_to_those_who_may_read_them(
    client: TestClient, review: MlflowReview, make_task: Make
) -> None:
    documents = [{"document_id": name, "score": 0.5} for name in ("north-storm-desk", "gone")]
    task = make_task(retrieved=documents)
    review.submit([task])
    texts = {
        name: [each["text"] for each in get(client, name, f"/{task.task_id}").json()["retrieved"]]
        for name in ("rita", "ravi")
    }
    assert texts["ravi"] == [
        "You may not read this document.",
        "The knowledge base no longer has this document.",
    ]
    assert texts["rita"][0] != texts["ravi"][0]


def test_a_page_of_a_document_is_shown_and_said_when_it_cannot_be_read(
    review: MlflowReview, make_task: Make
) -> None:
    base = Runtime([chunk("hail", "Glass", page=3), chunk("hail", "Else", page=4)])
    client = TestClient(make_app(review, BedrockKnowledgeBase(base, "KB12345678")))
    task = make_task(retrieved=[{"document_id": "hail", "score": 0.5, "page": 3}])
    review.submit([task])
    (shown,) = get(client, "rita", f"/{task.task_id}").json()["retrieved"]
    assert (shown["title"], shown["page"], shown["text"]) == ("Hail", 3, "[page 3] Glass")
    base.fault = "ThrottlingException"
    (away,) = get(client, "rita", f"/{task.task_id}").json()["retrieved"]
    assert away["text"].startswith("The documents cannot be read at the moment")


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("carla", 403, "review_not_permitted"),
        ("sam", 403, "review_not_permitted"),
        ("nobody", 401, "invalid_token"),
    ],
)
def test_others_are_refused(
    client: TestClient, review: MlflowReview, make_task: Make, name: str, status: int, code: str
) -> None:
    task = make_task()
    review.submit([task])
    for answer in (get(client, name), get(client, name, f"/{task.task_id}"), post(client, name, task, GOOD)):
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert review.task(task.task_id).labels == []


def test_two_reviewers_who_agree_settle_a_task(
    client: TestClient, review: MlflowReview, make_task: Make
) -> None:
    task = make_task()
    review.submit([task])
    assert post(client, "rita", task, WRONG).json() == {"task_id": task.task_id, "state": "open"}
    assert get(client, "rita").json()["tasks"] == []
    assert get(client, "rita").json()["progress"]["mine"] == 1
    assert post(client, "ravi", task, WRONG | {"corrected_answer": ""}).json()["state"] == "settled"
    settled = review.task(task.task_id)
    assert (settled.verdict, settled.category) == ("bad", "correctness")
    assert settled.corrected_answer == "Water damage is."
    assert {label.reviewer for label in settled.labels} == {
        PSEUDONYMS.user(name) for name in ("rita", "ravi")
    }


def test_a_disagreement_is_settled_by_somebody_else_who_may(
    client: TestClient, review: MlflowReview, make_task: Make
) -> None:
    task, other = make_task(), make_task()
    review.submit([task, other])
    post(client, "rita", task, GOOD)
    assert post(client, "ravi", task, WRONG).json()["state"] == "disagreed"
    assert task.task_id not in {each["task_id"] for each in get(client, "rita").json()["tasks"]}
    first = get(client, "sofia").json()["tasks"][0]
    assert first == {"task_id": task.task_id, "adjudicates": True}
    shown = get(client, "sofia", f"/{task.task_id}").json()
    assert [label["verdict"] for label in shown["labels"]] == ["good", "bad"]
    assert "reviewer" not in json.dumps(shown["labels"])
    assert post(client, "sofia", task, WRONG).json()["state"] == "settled"
    assert review.task(task.task_id).adjudication is not None
    progress = get(client, "sofia").json()["progress"]
    assert (progress["settled"], progress["open"], progress["agreement"]) == (1, 1, 0.0)


def test_nobody_reviews_their_own_interactions(
    client: TestClient, review: MlflowReview, make_task: Make
) -> None:
    task = make_task(user=PSEUDONYMS.user("rita"))
    review.submit([task])
    assert get(client, "rita").json()["tasks"] == []
    assert get(client, "rita", f"/{task.task_id}").status_code == 404
    assert post(client, "rita", task, GOOD).status_code == 404


@pytest.mark.parametrize(
    ("said", "status", "word"),
    [
        ({"verdict": "bad"}, 400, "category is missing"),
        (GOOD | {"category": "safety"}, 400, "category is for bad answers"),
        ({"verdict": "perhaps"}, 400, "verdict"),
        (GOOD | {"reviewer": "somebody else"}, 400, "reviewer"),
        (WRONG | {"corrected_answer": f"You {BAD}!"}, 422, "say it in other words"),
    ],
)
def test_a_label_that_cannot_be_kept_is_refused_with_the_reason(
    client: TestClient, review: MlflowReview, make_task: Make, said: dict[str, Any], status: int, word: str
) -> None:
    task = make_task()
    review.submit([task])
    answer = post(client, "rita", task, said)
    assert answer.status_code == status
    assert word in answer.json()["error"]["message"]
    assert review.task(task.task_id).labels == []


def test_a_label_for_what_is_not_there_is_refused(client: TestClient) -> None:
    answer = post(client, "rita", "int-none", GOOD)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "review_task_not_found")


def test_what_reviewers_type_is_redacted(client: TestClient, review: MlflowReview, make_task: Make) -> None:
    task = make_task()
    review.submit([task])
    post(client, "rita", task, WRONG | {"corrected_answer": f"Card {SECRET}.", "comment": f"it is {SECRET}"})
    (label,) = review.task(task.task_id).labels
    assert SECRET not in label.line()


def test_with_mlflow_away_a_reviewer_is_told_so() -> None:
    class Away:
        def reviewed(self) -> Any:
            raise ReviewUnavailableError("MLflow did not answer: try again")

    client = TestClient(make_app(Away()), raise_server_exceptions=False)  # type: ignore[arg-type]
    answer = get(client, "rita")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "review_unavailable")


@pytest.mark.browser
def test_two_people_review_with_the_keyboard(browser: Any, review: MlflowReview, make_task: Make) -> None:
    from playwright.sync_api import expect

    traces = [f"{number:032x}" for number in range(3)]
    tasks = [make_task(question=f"Question {number}?", trace_id=traces[number]) for number in range(3)]
    review.submit(tasks)
    with served(make_app(review)) as address:
        for name in ("rita", "ravi"):
            page = browser.new_page()
            enter(page, f"{address}/review", name)
            shown = ""
            for done in range(3):
                expect(page.locator("#counts")).to_contain_text(f"{done} of 3 done")
                expect(page.locator("#task")).to_be_visible()
                expect(page.locator("#task")).not_to_have_attribute("data-id", shown)
                shown = page.locator("#task").get_attribute("data-id") or ""
                link = page.get_by_role("link", name=re.compile("^Why")).get_attribute("href")
                number = page.locator("#question").inner_text()[len("Question ")]
                assert link.startswith(f"why?trace={traces[int(number)]}&at=")
                if page.locator("#question").inner_text() == "Question 0?" and name == "ravi":
                    page.keyboard.press("g")
                else:
                    page.keyboard.press("b")
                    page.keyboard.press("2")
                    page.keyboard.press("e")
                    page.keyboard.type(f"{name} gbs12 knows better")
                page.keyboard.press("Control+Enter")
            expect(page.locator("#done")).to_contain_text("Nothing is left")
            expect(page.locator("#counts")).to_contain_text("3 of 3 done")
            page.close()
        expect_texts = {each.task.question: each for each in review.reviewed()}
    assert expect_texts["Question 0?"].state is State.DISAGREED
    for name in ("Question 1?", "Question 2?"):
        assert (expect_texts[name].verdict, expect_texts[name].category) == ("bad", "groundedness")
        assert expect_texts[name].corrected_answer == "ravi gbs12 knows better"
