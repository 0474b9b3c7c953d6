"""The resource of each tool call, for Cedar: it comes from the system of record, never from text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fmops.agent import NAMESPACE
from fmops.agent.records import Records
from fmops.agent.tools import DATA_SOURCE
from fmops.authorization import AuthorizationRequest, Entity
from fmops.authorization.entities import Value
from fmops.toolkit.authorization import Facts, InWords, ToolResolver, integer, text
from fmops.toolkit.context import RequestContext

APPROVALS = {"approve_payout": "request_payout_approval"}
"""Tools whose calls may wait for a human, with the action that decides whether a call does."""


class Resolver(ToolResolver):
    """Find the resource that each of the claims desk's tool calls acts on."""

    namespace = NAMESPACE
    counted = {"approve_payout": "amount"}

    def __init__(self, records: Records, prefix: str) -> None:
        super().__init__(records, prefix)
        self._records = records

    def on(self, tool: str, arguments: Mapping[str, Any], context: RequestContext) -> tuple[Entity, Facts]:
        match tool:
            case "search_policy_docs":
                return self.resource("KnowledgeBase", DATA_SOURCE), {}
            case "get_claim" | "add_claim_note" | "escalate_to_siu":
                return self.resource("Claim", text(arguments, "claim_id")), {}
            case "approve_payout":
                facts: dict[str, Value] = {
                    "amount": integer(arguments, "amount_minor", "400000 for 4,000.00")
                }
                if context.approval is not None:
                    facts["requestedBy"] = self.user(context.approval.requested_by)
                return self.resource("Claim", text(arguments, "claim_id")), facts
            case "get_customer_contact":
                purpose = {"purpose": text(arguments, "purpose")}
                return self.resource("Customer", text(arguments, "customer_id")), purpose
            case _:
                raise ValueError(
                    f"no policy decides the tool {tool!r}: add an action to the schema and a case here"
                )

    def resource(self, kind: str, resource_id: str) -> Entity:
        match kind:
            case "KnowledgeBase":
                return Entity(self.uid(kind, resource_id))
            case "Claim":
                return Entity(self.uid(kind, resource_id), self._claim(resource_id))
            case "Customer":
                customer = self._records.customer(resource_id) or {}
                return Entity(self.uid(kind, resource_id), {"region": customer.get("region", "")})
            case _:
                raise ValueError(f"there is no resource of the kind {kind!r}: add a case here")

    def audiences(self, context: RequestContext) -> list[str]:
        found, caller = super().audiences(context), context.principal
        if "staff" in caller.groups:
            region = caller.claims.get("custom:region")
            found += ["staff", f"staff-{region}"] if region else ["staff"]
        return found

    def in_words(
        self, tool: str, arguments: Mapping[str, Any], request: AuthorizationRequest | None
    ) -> InWords:
        if tool != "approve_payout":
            return super().in_words(tool, arguments, request)
        claim_id = text(arguments, "claim_id")
        currency = (self._records.claim(claim_id) or {}).get("currency", "")
        amount = _money(integer(arguments, "amount_minor", "400000 for 4,000.00"), currency)
        facts = {"Claim": claim_id, "Amount": amount, **self.facts(request)}
        if request is not None:
            facts["Open amount"] = _money(int(str(request.resource.attributes["openAmount"])), currency)
            facts["On hold with investigators"] = facts.pop("Siu hold")
        return InWords(f"Pay out {amount} on claim {claim_id}", facts)

    def _claim(self, claim_id: str) -> Facts:
        # A missing claim has no region, no open amount and no owner, so only those who may read all claims
        # get past.
        claim = self._records.claim(claim_id) or {}
        attributes: dict[str, Value] = {
            "policyholder": self.uid("Customer", claim.get("policyholder", "none")),
            "region": claim.get("region", ""),
            "status": claim.get("status", ""),
            "openAmount": claim.get("open_amount", 0),
            "siuHold": claim.get("siu_hold", False),
        }
        if claimant := claim.get("claimant"):
            attributes["claimantUser"] = self.user(claimant)
        return attributes


def _money(minor: int, currency: str) -> str:
    """Return an amount in minor units as people write it, such as ``5,500.00 EUR``."""
    return f"{minor // 100:,}.{minor % 100:02} {currency}".strip()
