"""The chat's welcome: a greeting, and the questions that the agent suggests to each person."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from fmops import written
from fmops.agent import NAME, QUESTIONS, TITLE
from fmops.assistant.caller import Caller
from fmops.assistant.openapi import answers
from fmops.assistant.openapi_models import Greeting
from fmops.identity.tokens import Principal

SHOWN = 3


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Suggestion(_Part):
    """Questions for the members of a group, or for everyone."""

    group: str | None = None
    second_factor: bool = False
    ask: tuple[str, ...] = Field(min_length=SHOWN, max_length=SHOWN)

    def fits(self, principal: Principal) -> bool:
        """Return whether to show the questions to this person."""
        member = self.group is None or self.group in principal.groups
        return member and (principal.mfa or not self.second_factor)


class Welcome(_Part):
    """The agent's ``questions.yaml``. ``pydantic.ValidationError`` names a field that is missing or unknown."""

    greeting: str = Field(min_length=1)
    suggestions: tuple[Suggestion, ...] = Field(min_length=1)

    def questions(self, principal: Principal) -> tuple[str, ...]:
        """Return the questions for this person: those of the first suggestion that fits."""
        return next((each.ask for each in self.suggestions if each.fits(principal)), ())


@cache
def welcome() -> Welcome:
    """Return the agent's welcome."""
    return written.read_model(Welcome, QUESTIONS)


def add_welcome_route(app: FastAPI) -> None:
    """Add the route of the chat's welcome."""
    words = welcome()

    @app.get("/v1/welcome", **answers(Greeting))
    async def greet(principal: Caller) -> dict[str, Any]:
        """Greet the caller, and suggest questions."""
        questions = words.questions(principal)
        return {"title": TITLE, "model": NAME, "greeting": words.greeting, "questions": questions}
