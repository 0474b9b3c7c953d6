"""The chat's welcome suggests to each person what fits their groups."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import ValidationError

from fmops.agent import TITLE
from fmops.assistant.welcome import SHOWN, Suggestion, Welcome, add_welcome_route, welcome
from fmops.identity.tokens import Principal

DESK, SAFE, ALL = ("a", "b", "c"), ("d", "e", "f"), ("g", "h", "i")
WORDS = Welcome(
    greeting="Hello!",
    suggestions=(
        Suggestion(group="desk", second_factor=True, ask=SAFE),
        Suggestion(group="desk", ask=DESK),
        Suggestion(ask=ALL),
    ),
)


def person(*groups: str, mfa: bool = False) -> Principal:
    return Principal("s", "x", frozenset(groups), mfa, "token", {})


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        (person("staff", "desk", mfa=True), SAFE),
        (person("staff", "desk"), DESK),
        (person("staff", mfa=True), ALL),
        (person(), ALL),
    ],
)
def test_the_first_suggestion_that_fits_is_shown(who: Principal, expected: tuple[str, ...]) -> None:
    assert WORDS.questions(who) == expected


def test_who_fits_none_is_shown_no_question() -> None:
    assert Welcome(greeting="Hello!", suggestions=WORDS.suggestions[:2]).questions(person()) == ()


@pytest.mark.parametrize("asked", [("one",), ("one", "two", "three", "four")])
def test_a_suggestion_has_three_questions(asked: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="ask"):
        Suggestion(ask=asked)


def test_the_agents_file_greets_everyone_with_three_questions() -> None:
    class Anyone:
        def verify(self, authorization: str | None) -> Principal:
            return person()

    app = FastAPI()
    app.state.verifier = Anyone()
    add_welcome_route(app)
    shown = TestClient(app).get("/v1/welcome").json()
    assert (shown["title"], shown["greeting"]) == (TITLE, welcome().greeting)
    assert len(shown["questions"]) == SHOWN
