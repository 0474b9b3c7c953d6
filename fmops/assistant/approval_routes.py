"""The HTTP routes of calls that wait for approval."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from fmops.assistant.approvals import Approvals
from fmops.assistant.caller import Caller
from fmops.assistant.openapi import answers
from fmops.assistant.openapi_models import Approval, Inbox, Waiting
from fmops.assistant.route_errors import (
    ApprovalDecidedError,
    ApprovalNotFoundError,
    ApprovalNotPermittedError,
    ApprovalsUnknownError,
)
from fmops.conversation.wire import ApprovalRequest


def add_approval_routes(app: FastAPI, approvals: Approvals) -> None:
    """Add the routes that list, count, show and decide waiting calls. Calls that a person may not see are
    reported as not found."""

    @app.get("/v1/approvals", **answers(Inbox, ApprovalsUnknownError))
    def listed(principal: Caller) -> dict[str, Any]:
        """List the waiting calls that the caller requested or may decide, then those of the last days."""
        return {"object": "list", "data": [approvals.described(each) for each in approvals.inbox(principal)]}

    @app.get("/v1/approvals/count", **answers(Waiting))
    def count(principal: Caller) -> dict[str, int]:
        """Count the calls that wait for the caller's decision."""
        return {"waiting": approvals.waiting_for(principal)}

    @app.get("/v1/approvals/{approval_id}", **answers(Approval, ApprovalNotFoundError))
    def seen(approval_id: str, principal: Caller) -> dict[str, Any]:
        """Show one call and its outcome."""
        return approvals.see(approval_id, principal).shown()

    @app.post(
        "/v1/approvals/{approval_id}",
        **answers(Approval, ApprovalNotFoundError, ApprovalNotPermittedError, ApprovalDecidedError),
    )
    async def decide(approval_id: str, body: ApprovalRequest, principal: Caller) -> dict[str, Any]:
        """Run a waiting call with the caller's rights, or reject it. The policies decide who may."""
        decided = await approvals.decide(approval_id, principal, approve=body.decision == "approve")
        return decided.shown()
