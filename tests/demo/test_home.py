"""The chapter about the home page, with and without a Prometheus that answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from demo import home, metrics
from demo.visit import Visit
from local.run.progress import Progress
from local.run.report import Section
from tests.served import served

UNREAD = {"unread": "NoAnswerError"}


class Names:
    """Gives users their names for tokens."""

    def id_token(self, username: str) -> str:
        return username


@pytest.fixture
def state() -> dict[str, Any]:
    return {"dashboards": UNREAD, "report": {"verdict": "usual", "sentence": "As before."}}


@pytest.fixture
def visit(state: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Visit]:
    monkeypatch.setattr(home, "PATIENCE", 0)
    app = FastAPI()

    @app.get("/v1/home")
    def cards() -> dict[str, Any]:
        return {"cards": [{"name": name, "state": each, "link": ""} for name, each in state.items()]}

    with served(app) as address:

        @app.post("/v1/home/{name}")
        def made(name: str) -> dict[str, str]:
            return {"url": f"{address}/opened"}

        @app.get("/opened")
        def opened() -> str:
            return "open"

        progress: Any = Progress
        yield Visit(address, {}, Names(), progress)


def test_without_prometheus_the_missing_alerts_are_a_note(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "unanswered", lambda _: "Install Prometheus.")
    section = Section("home page")
    assert home.chapter(visit, section) == []
    assert section.notes == ["home page: without alerts. Install Prometheus."]


def test_with_prometheus_missing_alerts_are_a_failure(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "unanswered", lambda _: "")
    assert home.chapter(visit, Section("home page")) == [
        "home page: dashboards could not be read: NoAnswerError"
    ]


def test_without_prometheus_another_part_that_does_not_answer_is_a_failure(
    visit: Visit, state: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "unanswered", lambda _: "Install Prometheus.")
    state["mlflow"] = UNREAD
    assert home.chapter(visit, Section("home page")) == ["home page: mlflow could not be read: NoAnswerError"]
