"""The HTTP routes of human review."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fmops.assistant.caller import Caller
from fmops.assistant.review_desk import ReviewDesk, Reviewer
from fmops.evaluation.cases import Criterion
from fmops.review.model import LONGEST_ANSWER, Verdict, check


class LabelRequest(BaseModel):
    """A reviewer's label for an answer."""

    model_config = ConfigDict(extra="forbid")

    verdict: Verdict
    category: Criterion | None = None
    corrected_answer: str = Field(default="", max_length=LONGEST_ANSWER)
    comment: str = Field(default="", max_length=2_000)

    @model_validator(mode="after")
    def _consistent(self) -> LabelRequest:
        check(self.verdict, self.category)
        return self


def reviewer(request: Request, principal: Caller) -> Reviewer:
    """Return a caller who may review. Raises ``ReviewNotPermittedError``."""
    desk: ReviewDesk = request.app.state.review_desk
    return desk.admit(principal)


Admitted = Annotated[Reviewer, Depends(reviewer)]


def add_review_routes(app: FastAPI, desk: ReviewDesk) -> None:
    """Add the routes to list, see and label tasks. Tasks that a reviewer may not see are reported as not
    found.
    """

    app.state.review_desk = desk

    @app.get("/v1/review/tasks")
    def listed(admitted: Admitted) -> dict[str, Any]:
        return desk.queue(admitted)

    @app.get("/v1/review/tasks/{task_id}")
    def seen(task_id: str, admitted: Admitted) -> dict[str, Any]:
        return desk.task(task_id, admitted)

    @app.post("/v1/review/tasks/{task_id}/labels", status_code=201)
    async def label(task_id: str, body: LabelRequest, admitted: Admitted) -> dict[str, Any]:
        reviewed = await desk.label(task_id, body.model_dump(), admitted)
        return {"task_id": task_id, "state": reviewed.state.value}
