"""The route that tells a person who they are here and which pages they may use."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from fmops.assistant.approvals import Approvals
from fmops.assistant.caller import Caller
from fmops.assistant.draft_desk import DraftDesk
from fmops.assistant.openapi import answers
from fmops.assistant.openapi_models import Me
from fmops.assistant.playground import Playground
from fmops.assistant.review_desk import ReviewDesk
from fmops.assistant.route_errors import ReviewNotPermittedError
from fmops.identity.tokens import Principal


def add_me_routes(
    app: FastAPI,
    *,
    approvals: Approvals | None = None,
    review: ReviewDesk | None = None,
    playground: Playground | None = None,
    drafting: DraftDesk | None = None,
) -> None:
    """Add the route to see one's own name, groups and pages, and the number of calls that wait for one's decision."""

    @app.get("/v1/me", **answers(Me))
    def me(principal: Caller) -> dict[str, Any]:
        """Tell the caller their name, groups and pages, and how many calls wait for their decision."""
        pages = {
            "chat": True,
            "approvals": approvals is not None and approvals.concern(principal),
            "review": review is not None and _reviews(review, principal),
            "gaps": drafting is not None and drafting.permits(principal),
            "playground": playground is not None and playground.permits(principal),
        }
        return {
            "name": principal.username,
            "groups": sorted(principal.groups),
            "pages": [name for name, permitted in pages.items() if permitted],
            "waiting": approvals.waiting_for(principal) if approvals else 0,
        }


def _reviews(desk: ReviewDesk, principal: Principal) -> bool:
    try:
        desk.admit(principal)
    except ReviewNotPermittedError:
        return False
    return True
