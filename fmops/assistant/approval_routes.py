"""The HTTP routes of calls that wait for approval."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from fmops.assistant.approvals import Approvals
from fmops.assistant.caller import Caller
from fmops.conversation.wire import ApprovalRequest


def add_approval_routes(app: FastAPI, approvals: Approvals) -> None:
    """Add the routes that list, count, show and decide waiting calls. Calls that a person may not see are
    reported as not found."""

    @app.get("/v1/approvals")
    def listed(principal: Caller) -> dict[str, Any]:
        return {"object": "list", "data": [approvals.described(each) for each in approvals.inbox(principal)]}

    @app.get("/v1/approvals/count")
    def count(principal: Caller) -> dict[str, int]:
        return {"waiting": approvals.waiting_for(principal)}

    @app.get("/v1/approvals/{approval_id}")
    def seen(approval_id: str, principal: Caller) -> dict[str, Any]:
        return approvals.see(approval_id, principal).shown()

    @app.post("/v1/approvals/{approval_id}")
    async def decide(approval_id: str, body: ApprovalRequest, principal: Caller) -> dict[str, Any]:
        decided = await approvals.decide(approval_id, principal, approve=body.decision == "approve")
        return decided.shown()
