"""The HTTP routes of human review."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fmops.assistant.caller import Caller
from fmops.assistant.openapi import answers
from fmops.assistant.openapi_desks import LabelAccepted, ReviewQueue, ReviewTask
from fmops.assistant.review_desk import ReviewDesk, Reviewer
from fmops.assistant.route_errors import BlockedTextError, ReviewNotPermittedError
from fmops.conversation.failures import Failure
from fmops.evaluation.cases import Criterion
from fmops.review.model import LONGEST_ANSWER, Verdict, check

_AWAY = Failure(503, "review_unavailable", "MLflow did not answer: try again.")
_NOT_FOUND = Failure(404, "review_task_not_found", "There is no such task, or it is not yours to review.")


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

    @app.get("/v1/review/tasks", **answers(ReviewQueue, ReviewNotPermittedError, _AWAY))
    def listed(admitted: Admitted) -> dict[str, Any]:
        """List the caller's open tasks, and everyone's progress."""
        return desk.queue(admitted)

    @app.get("/v1/review/tasks/{task_id}", **answers(ReviewTask, ReviewNotPermittedError, _NOT_FOUND, _AWAY))
    def seen(task_id: str, admitted: Admitted) -> dict[str, Any]:
        """Show one answer to judge, with what the model was given."""
        return desk.task(task_id, admitted)

    @app.post(
        "/v1/review/tasks/{task_id}/labels",
        **answers(LabelAccepted, ReviewNotPermittedError, _NOT_FOUND, BlockedTextError, _AWAY, status=201),
    )
    async def label(task_id: str, body: LabelRequest, admitted: Admitted) -> dict[str, Any]:
        """Label an answer; texts are redacted like everything that is stored."""
        reviewed = await desk.label(task_id, body.model_dump(), admitted)
        return {"task_id": task_id, "state": reviewed.state.value}
