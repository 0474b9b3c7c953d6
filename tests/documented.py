"""A fixture: whatever a route answers in a test has the shape that the OpenAPI document gives."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from docs.site.http_api import document

JSON = "application/json"
OF_ROUTING = (404, 405)
"""Statuses of paths and methods that are not there in the application under test."""


@cache
def operations() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Return the documented operations, in the order in which they are matched."""
    return [
        (re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(f"{method.upper()} {path}"))), operation)
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    ]


def check(called: str, status: int, body: Any) -> None:
    """Check a JSON answer to a call such as ``GET /v1/me``, if its route is documented."""
    operation = next((each for pattern, each in operations() if pattern.fullmatch(called)), None)
    if operation is None:
        return
    response = operation["responses"].get(str(status))
    if response is None:
        assert status in OF_ROUTING, f"{called} answers {status}, which is not documented: {body}"
        return
    schema = response["content"][JSON]["schema"]
    Draft202012Validator({**schema, "components": document()["components"]}).validate(body)


@pytest.fixture(autouse=True)
def documented(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check every JSON answer to the test client."""
    send = TestClient.request

    def checked(self: TestClient, method: str, url: Any, **given: Any) -> Any:
        answer = send(self, method, url, **given)
        if answer.headers.get("content-type") == JSON:
            check(f"{answer.request.method} {answer.request.url.path}", answer.status_code, answer.json())
        return answer

    monkeypatch.setattr(TestClient, "request", checked)
