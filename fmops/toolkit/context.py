"""What belongs to one request, from the HTTP layer to the tools."""

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
    """One turn's draw on the budgets of those who pay for it."""

    async def call(self, input_tokens: int, max_tokens: int | None = None) -> Reservation:
        """Reserve what a model call may take."""

    def settle(self, reservation: Reservation, usage: UsageMetadata | None) -> None:
        """Replace a reservation by what the call used."""

    def give_back(self, reservation: Reservation) -> None:
        """Return a reservation of which nothing was used."""

    def close(self) -> None:
        """End the turn's draw."""


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
    """Set while an approved call runs, for its approver."""
    counting: threading.Lock = field(default_factory=threading.Lock, repr=False)
    drawn: dict[str, int] = field(default_factory=dict)
    """By action, what the allowed calls of this turn have drawn on their shared limit so far."""
    model_calls: int = 0
    max_tokens: int | None = None
    """What each model call of this turn may write at most, where the caller asks for less than the deployment
    allows."""
    finish: FinishReason = ""
    """How the last model call ended."""
    spending: Spending | None = None
    """On the budgets; nothing is counted without one."""
    prompt: Prompt | None = None
    """Of this turn, from its first model call on."""

    @property
    def identity_token(self) -> str:
        return self.principal.token

    def note_approval(self, call_id: str, tool: str, arguments: dict[str, Any], approval_id: str) -> None:
        """Name, on the decision that made a call wait, the approval it waits for."""
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
    """A guardrail observer: the outcome, without its text, goes to the interaction under way."""
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
