"""The HTTP routes of what waits for approval."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from fmops.assistant.approvals import AlreadyDecidedError, Approvals, NotPermittedError, NotThereError
from fmops.assistant.caller import Caller
from fmops.conversation.wire import ApprovalRequest, error


def add_approval_routes(app: FastAPI, approvals: Approvals) -> None:
    """List, see and decide waiting calls. What a person may not see is not there."""

    @app.get("/v1/approvals")
    def listed(principal: Caller) -> dict[str, Any]:
        return {"object": "list", "data": [call.shown() for call in approvals.listed(principal)]}

    @app.get("/v1/approvals/{approval_id}")
    def seen(approval_id: str, principal: Caller) -> dict[str, Any]:
        return approvals.see(approval_id, principal).shown()

    @app.post("/v1/approvals/{approval_id}")
    async def decide(approval_id: str, body: ApprovalRequest, principal: Caller) -> dict[str, Any]:
        decided = await approvals.decide(approval_id, principal, approve=body.decision == "approve")
        return decided.shown()

    @app.exception_handler(NotThereError)
    async def not_there(_: Request, __: NotThereError) -> JSONResponse:
        message = "There is no such approval, or it is not yours to see."
        return JSONResponse(error(message, "invalid_request_error", code="approval_not_found"), 404)

    @app.exception_handler(NotPermittedError)
    async def not_permitted(_: Request, __: NotPermittedError) -> JSONResponse:
        message = "You may not decide this: ask somebody who may."
        return JSONResponse(error(message, "permission_error", code="approval_not_permitted"), 403)

    @app.exception_handler(AlreadyDecidedError)
    async def decided_before(_: Request, __: AlreadyDecidedError) -> JSONResponse:
        message = "This has been decided, or is being decided at this moment."
        return JSONResponse(error(message, "conflict_error", code="approval_decided"), 409)
