"""Permission to see and decide waiting calls: the policies decide it for the call itself, with current
facts.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from fmops.assistant.route_errors import (
    ApprovalDecidedError,
    ApprovalNotFoundError,
    ApprovalNotPermittedError,
)
from fmops.authorization import ApprovedCall, Authorizer, Decision
from fmops.conversation.approval_queue import ApprovalTable, WaitingCall
from fmops.conversation.conversation import Conversation
from fmops.identity.tokens import Principal
from fmops.interaction import Interaction
from fmops.toolkit.authorization import ToolResolver
from fmops.toolkit.context import RequestContext


class Approvals:
    """List, show and decide waiting calls. Its authorizer always enforces, even in ``LOG_ONLY``."""

    def __init__(
        self,
        table: ApprovalTable,
        conversation: Conversation,
        authorizer: Authorizer,
        resolver: ToolResolver,
    ) -> None:
        self._table = table
        self._conversation = conversation
        self._authorizer = authorizer
        self._resolver = resolver

    def listed(self, principal: Principal) -> list[WaitingCall]:
        """Return the waiting calls that this person requested or may decide."""
        calls = self._table.undecided()
        requests = [
            self._resolver(call.tool, call.arguments, _approving(call, principal, Interaction()))
            for call in calls
        ]
        decisions = self._authorizer.decide(principal.token, requests)
        return [
            call
            for call, decision in zip(calls, decisions, strict=True)
            if decision.allowed or call.requested_by == principal.subject
        ]

    def see(self, approval_id: str, principal: Principal) -> WaitingCall:
        """Return one call and its outcome.

        Raises ``ApprovalNotFoundError`` for a person who neither requested it nor may decide it.
        """
        call = self._call(approval_id)
        if principal.subject not in (call.requested_by, call.decided_by):
            _, decision = self._judged(call, principal, Interaction())
            if not decision.allowed:
                raise ApprovalNotFoundError
        return call

    async def decide(self, approval_id: str, principal: Principal, *, approve: bool) -> WaitingCall:
        """Run the call with this person's rights, or refuse it.

        Raises ``ApprovalNotFoundError``, ``ApprovalNotPermittedError`` and ``ApprovalDecidedError``.
        """
        call = await asyncio.to_thread(self._call, approval_id)
        if call.decided_by and principal.subject in (call.requested_by, call.decided_by):
            raise ApprovalDecidedError
        interaction = self._conversation.begin(principal, approval_id, streamed=False)
        context, decision = await asyncio.to_thread(self._judged, call, principal, interaction)
        if not decision.allowed:
            context.record_decision(decision)
            self._conversation.record(interaction)
            raise (
                ApprovalNotPermittedError if call.requested_by == principal.subject else ApprovalNotFoundError
            )
        if not await asyncio.to_thread(self._table.claim, call):
            raise ApprovalDecidedError
        verdict: Literal["approve", "reject"] = "approve" if approve else "reject"
        pieces = self._conversation.resume(call.thread_id, call.interrupt_id, context, verdict)
        answer = "".join([piece async for piece in pieces])
        outcome = {
            "status": "approved" if approve else "rejected",
            "decided_by": principal.subject,
            "decided_by_name": principal.username,
            "answer": answer,
        }
        decided = call.model_copy(update=outcome)
        await asyncio.to_thread(self._table.finish, decided)
        return decided

    def _call(self, approval_id: str) -> WaitingCall:
        call = self._table.get(approval_id)
        if call is None:
            raise ApprovalNotFoundError
        return call

    def _judged(
        self, call: WaitingCall, principal: Principal, interaction: Interaction
    ) -> tuple[RequestContext, Decision]:
        context = _approving(call, principal, interaction)
        request = self._resolver(call.tool, call.arguments, context)
        return context, self._authorizer.decide(principal.token, [request])[0]


def _approving(call: WaitingCall, principal: Principal, interaction: Interaction) -> RequestContext:
    approval = ApprovedCall(
        call.approval_id,
        call.interrupt_id,
        call.requested_by,
        frozenset({call.interrupt_id}),
        tool=call.tool,
        arguments=call.arguments,
    )
    return RequestContext(principal, interaction, approval=approval)
