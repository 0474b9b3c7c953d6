"""The context of one request, from the HTTP layer to the tools."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from langchain_core.messages.ai import UsageMetadata

from fmops.authorization import ApprovedCall, Decision
from fmops.authorization.middleware import call_key
from fmops.budgets import Reservation
from fmops.guardrails import Finding, Outcome
from fmops.identity.tokens import Principal
from fmops.interaction import (
    AuthorizationDecision,
    FinishReason,
    GuardrailFinding,
    GuardrailOutcome,
    Interaction,
)
from fmops.prompts import Prompt


class Spending(Protocol):
    """One turn's use of the budgets of those who pay for it."""

    async def call(self, input_tokens: int, max_tokens: int | None = None) -> Reservation:
        """Reserve the maximum that a model call may use."""

    def settle(self, reservation: Reservation, usage: UsageMetadata | None) -> None:
        """Replace a reservation with what the call used."""

    def give_back(self, reservation: Reservation) -> None:
        """Return a reservation of which nothing was used."""

    def close(self) -> None:
        """End the turn's use of the budgets."""


CHANNEL = "chat"

current_interaction: ContextVar[Interaction | None] = ContextVar("current_interaction", default=None)


@dataclass
class RequestContext:
    """The agent's ``context_schema``: the verified caller and the record of what is decided for them."""

    principal: Principal
    interaction: Interaction
    channel: str = CHANNEL
    decisions: dict[str, Decision] = field(default_factory=dict)
    approval: ApprovedCall | None = None
    """Approval of a call, set while the approved call runs for its approver."""
    counting: threading.Lock = field(default_factory=threading.Lock, repr=False)
    drawn: dict[str, int] = field(default_factory=dict)
    """Amounts that the allowed calls of this turn have drawn so far on their shared limit, by action."""
    model_calls: int = 0
    max_tokens: int | None = None
    """Maximum output tokens of each model call of this turn, if the caller asks for less than the deployment
    allows."""
    finish: FinishReason = ""
    """Finish reason of the last model call."""
    spending: Spending | None = None
    """Spending from the budgets; without one, nothing is counted."""
    prompt: Prompt | None = None
    """Prompt of this turn, from its first model call on."""

    @property
    def identity_token(self) -> str:
        return self.principal.token

    def note_approval(self, call_id: str, tool: str, arguments: dict[str, Any], approval_id: str) -> None:
        """Add, to the decision that made a call wait, the approval that it waits for."""
        decision = self.decisions.get(call_key({"id": call_id, "name": tool, "args": arguments}))
        for item in self.interaction.authorization:
            if (
                decision
                and item.reason == "needs_approval"
                and item.resource == str(decision.request.resource.uid)
                and not item.approval_id
            ):
                item.approval_id = approval_id
                return

    def record_decision(self, decision: Decision) -> None:
        if decision.allowed and (amount := decision.request.amount):
            action = decision.request.action.id
            self.drawn[action] = self.drawn.get(action, 0) + amount
        self.interaction.authorization.append(
            AuthorizationDecision(
                action=decision.request.action.id,
                resource=str(decision.request.resource.uid),
                decision=decision.outcome,
                reason=decision.reason,
                determining_policies=list(decision.determining_policies),
                errors=decision.errors,
                enforced=decision.enforced,
                approval_id=self.approval.approval_id if self.approval else "",
                duration_ms=round(decision.duration_ms, 3),
            )
        )


def _recorded(findings: Iterable[Finding]) -> list[GuardrailFinding]:
    return [
        GuardrailFinding(category=finding.category, score=finding.score, detector=finding.detector)
        for finding in findings
    ]


def record_outcome(outcome: Outcome) -> None:
    """Add an outcome, without its text, to the current interaction, as a guardrail observer."""
    interaction = current_interaction.get()
    if interaction is None:
        return
    summary = outcome.summary()
    interaction.guardrails.append(
        GuardrailOutcome(
            direction=outcome.direction,
            action=outcome.action,
            detector=summary["detector"],
            reason=summary["category"],
            findings=_recorded(outcome.findings),
            scores=_recorded(outcome.scores),
            detectors=list(outcome.detectors),
            degraded=outcome.degraded,
            duration_ms=round(outcome.duration_ms, 3),
        )
    )
