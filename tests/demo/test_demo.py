"""The demo's files are read as they are meant: a misread expectation would let every answer pass."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from demo.accounts import load
from demo.tour import STEPS, Step

ENTRIES: list[dict[str, Any]] = yaml.safe_load(STEPS.read_text())
EXPECTATIONS: dict[str, type] = {
    "finish": str,
    "tools": list,
    "guardrail": str,
    "decision": str,
    "contains": str,
    "lacks": str,
    "hides": str,
}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry['as']}: {entry['ask'][:40]}")
def test_every_expectation_is_one_that_is_checked(entry: dict[str, Any]) -> None:
    expect = entry["expect"]
    assert expect
    assert {name: type(value) for name, value in expect.items()} == {
        name: EXPECTATIONS[name] for name in expect
    }
    assert entry["as"] in load()["users"]


@pytest.mark.parametrize(
    ("expect", "answer"),
    [
        ({"finish": "stop"}, {"finish": "content_filter"}),
        ({"tools": []}, {"tools": [{"name": "get_claim", "status": "success"}]}),
        ({"guardrail": "input block"}, {"guardrails": [{"direction": "input", "action": "redact"}]}),
        ({"contains": "250.00"}, {"answer": "I do not know."}),
        ({"lacks": "secret"}, {"answer": "the secret"}),
        ({"hides": "pay"}, {"tools": [{"name": "pay", "status": "denied"}]}),
    ],
)
def test_an_answer_that_is_not_as_expected_is_a_problem(
    expect: dict[str, Any], answer: dict[str, Any]
) -> None:
    step = Step(user="carla", ask="?", expect=expect, **answer)
    step.check()
    assert len(step.problems) == 1


def test_where_denials_are_only_logged_what_they_would_have_stopped_is_not_expected() -> None:
    step = Step(
        user="carla", ask="?", expect={"tools": ["pay denied"]}, tools=[{"name": "pay", "status": "success"}]
    )
    step.check(enforced=False)
    assert step.problems == []
    step.check()
    assert len(step.problems) == 1
