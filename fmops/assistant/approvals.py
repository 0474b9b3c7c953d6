"""Permission to see and decide waiting calls: the policies decide it for the call itself, with current
facts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fmops.agent.resources import APPROVALS
from fmops.assistant.route_errors import (
    ApprovalDecidedError,
    ApprovalNotFoundError,
    ApprovalNotPermittedError,
    ApprovalsUnknownError,
)
from fmops.authorization import ApprovedCall, Authorizer, Decision
from fmops.authorization.authorizer import BATCH_LIMIT
from fmops.conversation.approval_queue import ApprovalTable, WaitingCall
from fmops.conversation.conversation import Conversation
from fmops.identity.tokens import Principal
from fmops.interaction import Interaction, timestamp
from fmops.toolkit.authorization import ToolResolver
from fmops.toolkit.context import RequestContext

OWN = "You requested it yourself, so someone else must decide."


@dataclass(frozen=True)
class Entry:
    """One call in a person's inbox. ``why_not`` says why they may not decide one that waits."""

    call: WaitingCall
    mine: bool
    may_decide: bool = False
    why_not: str = ""


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

    def inbox(self, principal: Principal) -> list[Entry]:
        """Return the waiting calls that this person requested or may decide, oldest first, and then those of the
        last days that they requested or decided, newest first.

        Raises ``ApprovalsUnknownError`` when the policies could not be asked: an empty inbox would say that
        nothing waits.
        """
        self._authorizer.catalog.refresh()
        calls = self._table.all()
        waiting = [call for call in calls if call.status == "waiting"]
        decisions = self._decisions(waiting, principal)
        if any(decision.reason == "unavailable" for decision in decisions):
            raise ApprovalsUnknownError
        entries = [
            _entry(call, decision, mine=call.requested_by == principal.subject)
            for call, decision in zip(waiting, decisions, strict=True)
        ]
        others = [
            Entry(call, mine=call.requested_by == principal.subject)
            for call in reversed(calls)
            if call.status != "waiting" and principal.subject in (call.requested_by, call.decided_by)
        ]
        return [entry for entry in entries if entry.mine or entry.may_decide] + others

    def concern(self, principal: Principal) -> bool:
        """Return whether a policy could permit this person to make, request or decide a call that may wait."""
        self._authorizer.catalog.refresh()
        holder = self._resolver.principals(RequestContext(principal, Interaction()))
        return self._authorizer.catalog.may_allow({*APPROVALS, *APPROVALS.values()}, holder)

    def waiting_for(self, principal: Principal) -> int:
        """Return how many calls wait for this person's decision, of the ``BATCH_LIMIT`` oldest ones.

        For people whom no policy could permit to decide any, it asks no service.
        """
        self._authorizer.catalog.refresh()
        holder = self._resolver.principals(RequestContext(principal, Interaction()))
        if not self._authorizer.catalog.may_allow(APPROVALS, holder):
            return 0
        oldest = self._table.undecided()[:BATCH_LIMIT]
        return sum(decision.allowed for decision in self._decisions(oldest, principal))

    def described(self, entry: Entry) -> dict[str, Any]:
        """Return what the inbox shows of a call."""
        policies = [
            {"name": name, "description": self._authorizer.catalog.description(name)}
            for name in entry.call.policies
        ]
        decidable = {"mine": entry.mine, "may_decide": entry.may_decide, "why_not": entry.why_not}
        return {**entry.call.shown(), "policies": policies, **decidable}

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
            "decided_at": timestamp(),
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

    def _decisions(self, calls: Sequence[WaitingCall], principal: Principal) -> list[Decision]:
        requests = [
            self._resolver(call.tool, call.arguments, _approving(call, principal, Interaction()))
            for call in calls
        ]
        return self._authorizer.decide(principal.token, requests)

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


def _entry(call: WaitingCall, decision: Decision, *, mine: bool) -> Entry:
    return Entry(call, mine, decision.allowed, "" if decision.allowed else OWN)
