"""The HTTP routes of coverage gaps and drafted documents."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from fmops.assistant.caller import Caller
from fmops.assistant.draft_desk import DraftDesk, Edited, Editor
from fmops.assistant.openapi import OF_ANSWERS, answers
from fmops.assistant.openapi_desks import DraftedDocument, Gaps
from fmops.assistant.route_errors import (
    BlockedTextError,
    DocumentsUnavailableError,
    DraftConflictError,
    DraftingNotPermittedError,
    DraftNotFoundError,
    DraftTakenError,
    DraftUnusableError,
    GapNotFoundError,
)
from fmops.drafting.drafts import LONGEST_TEXT, LONGEST_TITLE, Classification

Version = Annotated[
    str, Field(min_length=1, max_length=200, description="`version` of the draft as it was read")
]


class EditRequest(BaseModel):
    """A draft as its editor wants it."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=LONGEST_TITLE)
    text: str = Field(min_length=1, max_length=LONGEST_TEXT, description="Markdown")
    classification: Classification = Field(description="`internal` is for staff only")
    region: str = Field(
        default="",
        max_length=60,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="only staff of this region may read it",
    )
    version: Version


class PublishRequest(BaseModel):
    """A person's decision to publish what they have read."""

    model_config = ConfigDict(extra="forbid")

    version: Version


def editor(request: Request, principal: Caller) -> Editor:
    """Return a caller who may edit documents. Raises ``DraftingNotPermittedError``."""
    desk: DraftDesk = request.app.state.draft_desk
    return desk.admit(principal)


Admitted = Annotated[Editor, Depends(editor)]


def add_draft_routes(app: FastAPI, desk: DraftDesk) -> None:
    """Add the routes to list gaps, and to make, read, change, publish and discard drafts."""

    app.state.draft_desk = desk

    @app.get("/v1/gaps", **answers(Gaps, DraftingNotPermittedError))
    def listed(_: Admitted) -> dict[str, Any]:
        """List the coverage gaps of the last report with their drafts, and the drafts of earlier gaps."""
        return desk.gaps()

    @app.post(
        "/v1/gaps/{gap_id}/drafts",
        **answers(
            DraftedDocument,
            DraftingNotPermittedError,
            GapNotFoundError,
            DraftTakenError,
            DraftUnusableError,
            DocumentsUnavailableError,
            *OF_ANSWERS,
            status=201,
        ),
    )
    async def draft(gap_id: str, admitted: Admitted) -> dict[str, Any]:
        """Have the model draft a document for a gap, which takes seconds and is charged to the caller's budgets."""
        return await desk.draft(gap_id, admitted)

    @app.get(
        "/v1/drafts/{draft_id}", **answers(DraftedDocument, DraftingNotPermittedError, DraftNotFoundError)
    )
    def seen(draft_id: str, _: Admitted) -> dict[str, Any]:
        """Show a draft."""
        return desk.see(draft_id)

    @app.put(
        "/v1/drafts/{draft_id}",
        **answers(
            DraftedDocument,
            DraftingNotPermittedError,
            DraftNotFoundError,
            DraftConflictError,
            BlockedTextError,
        ),
    )
    async def edit(draft_id: str, body: EditRequest, admitted: Admitted) -> dict[str, Any]:
        """Change a draft; texts are redacted like everything that is stored."""
        return await desk.edit(draft_id, Edited(**body.model_dump()), admitted)

    @app.post(
        "/v1/drafts/{draft_id}/publication",
        **answers(
            DraftedDocument,
            DraftingNotPermittedError,
            DraftNotFoundError,
            DraftConflictError,
            DraftUnusableError,
        ),
    )
    def publish(draft_id: str, body: PublishRequest, admitted: Admitted) -> dict[str, Any]:
        """Publish a draft as it was read: answers can be made from it within minutes."""
        return desk.publish(draft_id, body.version, admitted)

    @app.delete(
        "/v1/drafts/{draft_id}",
        **answers(DraftedDocument, DraftingNotPermittedError, DraftNotFoundError, DraftConflictError),
    )
    def discard(
        draft_id: str,
        admitted: Admitted,
        version: Annotated[str, Query(min_length=1, max_length=200, description="`version` as it was read")],
    ) -> dict[str, Any]:
        """Discard a draft, so that another can be made for its gap."""
        return desk.discard(draft_id, version, admitted)
