"""The HTTP routes of the playground."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field

from fmops.assistant.caller import Caller
from fmops.assistant.openapi import OF_ANSWERS, answers
from fmops.assistant.openapi_desks import PlaygroundChoices, SavedVersion, Tried
from fmops.assistant.playground import DRAFT, Playground, Try
from fmops.assistant.route_errors import (
    PlaygroundNotPermittedError,
    RegistryUnavailableError,
    UnknownChoiceError,
)
from fmops.conversation.failures import Failure

LONGEST_PROMPT = 20_000
_UNUSABLE = Failure(422, "unusable_prompt", "The prompt cannot serve: the message says why.")


class TryRequest(BaseModel):
    """One of the variants to try."""

    model_config = ConfigDict(extra="forbid")

    template: str = Field(min_length=1, max_length=LONGEST_PROMPT)
    model_id: str = Field(min_length=1, max_length=200)
    version: str = Field(default=DRAFT, max_length=20)


class TriesRequest(BaseModel):
    """A case, and one or two variants to answer it."""

    model_config = ConfigDict(extra="forbid")

    case_id: str = Field(min_length=1, max_length=100)
    variants: list[TryRequest] = Field(min_length=1, max_length=2)


class SaveRequest(BaseModel):
    """A prompt to save."""

    model_config = ConfigDict(extra="forbid")

    template: str = Field(min_length=1, max_length=LONGEST_PROMPT)
    message: str = Field(default="", max_length=500)


def engineer(request: Request, principal: Caller) -> str:
    """Return the name of a caller who may edit prompts. Raises ``PlaygroundNotPermittedError``."""
    playground: Playground = request.app.state.playground
    return playground.admit(principal)


Admitted = Annotated[str, Depends(engineer)]


def add_playground_routes(app: FastAPI, playground: Playground) -> None:
    """Add the routes to choose, try and save."""

    app.state.playground = playground

    @app.get(
        "/v1/playground",
        **answers(PlaygroundChoices, PlaygroundNotPermittedError, RegistryUnavailableError),
    )
    def choices(_: Admitted) -> dict[str, Any]:
        """List the prompts, models and golden cases that can be compared."""
        with _registry():
            return playground.choices()

    @app.post(
        "/v1/playground/tries",
        **answers(Tried, PlaygroundNotPermittedError, UnknownChoiceError, _UNUSABLE, *OF_ANSWERS),
    )
    async def tried(body: TriesRequest, _: Admitted, principal: Caller) -> dict[str, Any]:
        """Have one or two variants answer a golden case, charged to the caller's budgets."""
        variants = [Try(each.template, each.model_id, each.version) for each in body.variants]
        answers = await playground.answers(body.case_id, variants, principal)
        return {"answers": [each.model_dump(mode="json") for each in answers]}

    @app.post(
        "/v1/playground/versions",
        **answers(SavedVersion, PlaygroundNotPermittedError, RegistryUnavailableError, _UNUSABLE, status=201),
    )
    def save(body: SaveRequest, by: Admitted) -> dict[str, str]:
        """Save a prompt as a new version, which serves nobody yet."""
        with _registry():
            return {"version": playground.save(body.template, body.message, by).version}


@contextmanager
def _registry() -> Iterator[None]:
    """Report a tracking server that does not answer as ``RegistryUnavailableError``."""
    # The registry imports it anyway; no other request should wait for it.
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as away:
        raise RegistryUnavailableError(
            f"MLflow did not answer ({away.error_code}): try again, and look at the tracking server."
        ) from away
