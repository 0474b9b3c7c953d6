"""Decisions of Amazon Verified Permissions for the holder of an ID token."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from opentelemetry import trace

from fmops.authorization.catalog import PolicyCatalog
from fmops.authorization.entities import Entity, EntityUid, Value, wire_value
from fmops.telemetry import attributes as names
from fmops.telemetry.metrics import instruments
from fmops.threads import Threads

FAULTS = (BotoCoreError, ClientError, ResponseParserError, KeyError, TypeError, ValueError, OSError)
"""Exceptions that a call of the service may raise, including its time-out and an unreadable answer."""
BATCH_LIMIT = 30
"""Maximum requests in one BatchIsAuthorizedWithToken call (quota of Verified Permissions)."""

Reason = Literal[
    "permitted",
    "forbidden",
    "not_permitted",
    "needs_approval",
    "policy_error",
    "unavailable",
    "invalid_arguments",
]

_tracer = trace.get_tracer("fmops.authorization")


@dataclass(frozen=True)
class AuthorizationRequest:
    """A question: may the token's holder do ``action`` on ``resource``, given ``context``?"""

    action: EntityUid
    resource: Entity
    context: Mapping[str, Value] = field(default_factory=dict)
    entities: Sequence[Entity] = ()
    amount: int = 0
    """Amount that the call draws on a limit shared by the calls of a turn, such as money; such calls are
    decided in order."""


@dataclass(frozen=True)
class Decision:
    """An answer of Verified Permissions. Anything but a clean ALLOW is a denial."""

    request: AuthorizationRequest
    outcome: Literal["ALLOW", "DENY"]
    reason: Reason
    determining_policies: tuple[str, ...] = ()
    """Names of the policies in the policy store, which are the names of their files."""
    errors: int = 0
    enforced: bool = True
    duration_ms: float = 0.0

    @property
    def allowed(self) -> bool:
        """Return whether to go ahead: a denial that is only logged stops nothing."""
        return self.outcome == "ALLOW" or not self.enforced


class Authorizer:
    """Ask a policy store. Deny by default: an error, a time-out or a policy that failed to evaluate is a
    denial.

    With ``enforce=False`` (``LOG_ONLY``), decisions are made and recorded as usual but stop nothing, so that
    new policies can be tried on real traffic.
    """

    def __init__(self, client: Any, policy_store_id: str, *, enforce: bool = True, workers: int = 8) -> None:
        self._client = client
        self._policy_store_id = policy_store_id
        self.enforce = enforce
        self.catalog = PolicyCatalog(client, policy_store_id)
        self._executor = Threads(workers, "authorization")

    def decide(self, identity_token: str, requests: Sequence[AuthorizationRequest]) -> list[Decision]:
        """Return one decision per request, in order, with as few calls as the service's batch limit permits."""
        batches = [requests[start : start + BATCH_LIMIT] for start in range(0, len(requests), BATCH_LIMIT)]
        if len(batches) <= 1:
            return [decision for batch in batches for decision in self._decide_batch(identity_token, batch)]
        parts = [
            self._executor.submit(copy_context().run, self._decide_batch, identity_token, batch)
            for batch in batches
        ]
        return [decision for part in parts for decision in part.result()]

    def _decide_batch(self, identity_token: str, batch: Sequence[AuthorizationRequest]) -> list[Decision]:
        started = time.perf_counter()
        with _tracer.start_as_current_span("authorize", record_exception=False) as span:
            try:
                answers = self._call(identity_token, batch)
                decisions = [
                    self._decision(request, answer) for request, answer in zip(batch, answers, strict=True)
                ]
            except FAULTS as error:
                span.set_attribute(names.ERROR_TYPE, type(error).__name__)
                span.set_status(trace.StatusCode.ERROR)
                decisions = [Decision(request, "DENY", "unavailable", errors=1) for request in batch]
            elapsed = time.perf_counter() - started
            self._record(span, decisions, elapsed)
        return [
            replace(decision, enforced=self.enforce, duration_ms=elapsed * 1000) for decision in decisions
        ]

    def _call(self, identity_token: str, batch: Sequence[AuthorizationRequest]) -> list[Mapping[str, Any]]:
        entities = {
            entity.uid: entity for request in batch for entity in (request.resource, *request.entities)
        }
        common = {
            "policyStoreId": self._policy_store_id,
            "identityToken": identity_token,
            "entities": {"entityList": [entity.wire() for entity in entities.values()]},
        }
        if len(batch) == 1:
            return [self._client.is_authorized_with_token(**common, **wire_request(batch[0]))]
        answer = self._client.batch_is_authorized_with_token(
            **common, requests=[wire_request(item) for item in batch]
        )
        return list(answer["results"])

    def _decision(self, request: AuthorizationRequest, answer: Mapping[str, Any]) -> Decision:
        policies = tuple(
            sorted(self.catalog.name(policy["policyId"]) for policy in answer["determiningPolicies"])
        )
        errors = len(answer["errors"])
        if errors:
            # The service skips a policy that fails to evaluate, so a forbid that was skipped would permit.
            return Decision(request, "DENY", "policy_error", policies, errors)
        if answer["decision"] == "ALLOW":
            return Decision(request, "ALLOW", "permitted", policies)
        return Decision(request, "DENY", "forbidden" if policies else "not_permitted", policies)

    @staticmethod
    def _record(span: trace.Span, decisions: Sequence[Decision], elapsed: float) -> None:
        denied = any(decision.outcome == "DENY" for decision in decisions)
        span.set_attribute(names.AUTHORIZATION_ACTION, sorted({d.request.action.id for d in decisions}))
        span.set_attribute(names.AUTHORIZATION_DECISION, "DENY" if denied else "ALLOW")
        span.set_attribute(names.AUTHORIZATION_REASON, sorted({d.reason for d in decisions}))
        span.set_attribute(
            names.AUTHORIZATION_POLICIES,
            sorted({policy for d in decisions for policy in d.determining_policies}),
        )
        instruments().authorization_duration.record(elapsed)
        for decision in decisions:
            count(decision, action=decision.request.action.id)


def count(decision: Decision, *, action: str) -> None:
    """Count a decision. ``action`` is a metric label, so it must never be a name that a model made up."""
    reason: dict[str, str] = {names.AUTHORIZATION_REASON: decision.reason}
    labels = {names.AUTHORIZATION_ACTION: action, names.AUTHORIZATION_DECISION: decision.outcome}
    instruments().authorization_decisions.add(1, labels | reason)
    if decision.reason in ("policy_error", "unavailable"):
        instruments().authorization_errors.add(1, reason)


def wire_request(request: AuthorizationRequest) -> dict[str, Any]:
    """Return action, resource and context in the service's format."""
    return {
        "action": {"actionType": request.action.type, "actionId": request.action.id},
        "resource": request.resource.uid.wire(),
        "context": {"contextMap": {name: wire_value(value, name) for name, value in request.context.items()}},
    }
