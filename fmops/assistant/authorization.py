"""Which Cedar request decides a call of the desk's tools: resources come from the system of record, never from text."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from fmops.assistant.claims import ClaimsDesk
from fmops.assistant.context import RequestContext
from fmops.assistant.knowledge import KnowledgeDocument
from fmops.assistant.tools import Readable
from fmops.authorization import AuthorizationRequest, Authorizer, Entity, EntityUid
from fmops.authorization.entities import Value

NAMESPACE = "ClaimsDesk"
APPROVALS = {"approve_payout": "request_payout_approval"}
"""Tools whose calls may wait for a human, and the action that decides whether one does."""


class ClaimsDeskResolver:
    """Answers the ``AuthorizationRequest`` of a tool call.

    ``prefix`` is what Verified Permissions puts before the ids of users and groups: a Cognito pool's id, or the one that
    the identity source of another issuer was given.
    """

    def __init__(self, desk: ClaimsDesk, prefix: str) -> None:
        self._desk = desk
        self._prefix = prefix

    def __call__(
        self, tool: str, arguments: Mapping[str, Any], context: RequestContext
    ) -> AuthorizationRequest:
        match tool:
            case "search_policy_docs":
                return self._request(tool, Entity(_uid("KnowledgeBase", "policy-documents")), context)
            case "get_claim" | "add_claim_note" | "escalate_to_siu":
                return self._request(tool, self._claim(_text(arguments, "claim_id")), context)
            case "approve_payout":
                amount: dict[str, Value] = {"amount": _integer(arguments, "amount_minor")}
                if context.approval is not None:
                    amount["requestedBy"] = self._user(context.approval.requested_by)
                return self._request(tool, self._claim(_text(arguments, "claim_id")), context, amount)
            case "get_customer_contact":
                purpose = {"purpose": _text(arguments, "purpose")}
                return self._request(tool, self._customer(_text(arguments, "customer_id")), context, purpose)
            case _:
                raise ValueError(
                    f"no policy decides the tool {tool!r}: add an action to the schema and a case here"
                )

    def review(self, action: str, context: RequestContext) -> AuthorizationRequest:
        """For what people do on the review page."""
        return self._request(action, Entity(_uid("ReviewQueue", "review")), context)

    def prompts(self, context: RequestContext) -> AuthorizationRequest:
        """For what people do in the playground."""
        return self._request("edit_prompts", Entity(_uid("PromptRegistry", "prompts")), context)

    def principals(self, context: RequestContext) -> set[str]:
        """The ids, in the policy store, of the caller and their groups."""
        names = {context.principal.subject, *context.principal.groups}
        return {f"{self._prefix}|{name}" for name in names}

    def readable(self, authorizer: Authorizer) -> Readable:
        """Which of some documents the caller may read, decided in as few calls as possible."""

        def decide(documents: Sequence[KnowledgeDocument], context: RequestContext) -> list[bool]:
            session = {"session": self._session(context)}
            action = _uid("Action", "read_document")
            requests = [AuthorizationRequest(action, _document(document), session) for document in documents]
            decisions = authorizer.decide(context.identity_token, requests)
            for decision in decisions:
                context.record_decision(decision)
            return [decision.allowed for decision in decisions]

        return decide

    def _request(
        self,
        action: str,
        resource: Entity,
        context: RequestContext,
        inputs: Mapping[str, Value] | None = None,
    ) -> AuthorizationRequest:
        facts: dict[str, Value] = {"session": self._session(context)}
        if inputs is not None:
            facts["input"] = inputs
        return AuthorizationRequest(_uid("Action", action), resource, facts)

    def _session(self, context: RequestContext) -> dict[str, Value]:
        return {
            "mfa": context.principal.mfa,
            "suspended": self._desk.is_suspended(context.principal.subject),
            "channel": context.channel,
            "signInAge": max(0, int(time.time()) - context.principal.signed_in_at),
        }

    def _user(self, subject: str) -> EntityUid:
        return _uid("User", f"{self._prefix}|{subject}")

    def _claim(self, claim_id: str) -> Entity:
        # A claim that is not there has no region, nothing open and no owner: only who may read all claims gets past.
        claim = self._desk.claim(claim_id) or {}
        attributes: dict[str, Value] = {
            "policyholder": _uid("Customer", claim.get("policyholder", "none")),
            "region": claim.get("region", ""),
            "status": claim.get("status", ""),
            "openAmount": claim.get("open_amount", 0),
            "siuHold": claim.get("siu_hold", False),
        }
        if claimant := claim.get("claimant"):
            attributes["claimantUser"] = self._user(claimant)
        return Entity(_uid("Claim", claim_id), attributes)

    def _customer(self, customer_id: str) -> Entity:
        customer = self._desk.customer(customer_id) or {}
        return Entity(_uid("Customer", customer_id), {"region": customer.get("region", "")})


def _document(document: KnowledgeDocument) -> Entity:
    attributes: dict[str, Value] = {"classification": document.classification}
    if document.region:
        attributes["region"] = document.region
    return Entity(_uid("Document", document.id), attributes)


def _uid(kind: str, entity_id: str) -> EntityUid:
    return EntityUid(f"{NAMESPACE}::{kind}", entity_id)


def _text(arguments: Mapping[str, Any], name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name}: give a non-empty text")
    return value


def _integer(arguments: Mapping[str, Any], name: str) -> int:
    value = arguments.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ValueError(f"{name}: give a whole number of minor units, such as 400000 for 4,000.00")
    return value
