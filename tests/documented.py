"""A fixture: whatever a route answers in a test has the shape that the OpenAPI document gives."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from docs.site.http_api import document


@cache
def validators() -> list[tuple[str, re.Pattern[str], str, Draft202012Validator]]:
    """Return the validators of JSON answers, with method, path and status of each."""
    described = document()
    return [
        (
            method.upper(),
            re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))),
            status,
            Draft202012Validator(
                {**response["content"]["application/json"]["schema"], "components": described["components"]}
            ),
        )
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
        for status, response in operation["responses"].items()
        if "application/json" in response.get("content", {})
    ]


@pytest.fixture(autouse=True)
def documented(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validate every JSON answer to the test client of a route that is in the document."""
    send = TestClient.request

    def checked(self: TestClient, method: str, url: Any, **given: Any) -> Any:
        answer = send(self, method, url, **given)
        if answer.headers.get("content-type") == "application/json":
            path = answer.request.url.path
            known = [
                each for each in validators() if each[0] == answer.request.method and each[1].fullmatch(path)
            ]
            for _, __, ___, validator in [each for each in known if each[2] == str(answer.status_code)][-1:]:
                validator.validate(json.loads(answer.content))
            if known and answer.status_code not in (404, 405):
                assert str(answer.status_code) in {each[2] for each in known}, (
                    f"{method} {path}: {answer.text}"
                )
        return answer

    monkeypatch.setattr(TestClient, "request", checked)
