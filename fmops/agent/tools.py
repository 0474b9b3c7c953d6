"""The tools of the claims desk. Each call was authorized before it gets here; none decides who may do what."""

from __future__ import annotations

import json
from typing import Any

from langchain.tools import ToolRuntime, tool
from langchain_core.tools import BaseTool

from fmops.agent.records import PayoutRefused, Records
from fmops.guardrails import GuardrailEngine, disclose
from fmops.toolkit.authorization import Readable
from fmops.toolkit.knowledge import KnowledgeStore
from fmops.toolkit.record_table import run_of
from fmops.toolkit.retrieval import search

Runtime = ToolRuntime[Any, Any]
"""Its context is a ``RequestContext``; named here, LangChain would put it into the tool's argument schema."""

DATA_SOURCE = "policy-documents"


def build_tools(
    records: Records, knowledge: KnowledgeStore, readable: Readable, guardrails: GuardrailEngine
) -> list[BaseTool]:
    """Return the tools over records and a knowledge base."""

    @tool
    def search_policy_docs(query: str, runtime: Runtime) -> str:
        """Search the insurance policy documents and handling guides. Use it for every question about coverage,
        deductibles, deadlines or procedures, and answer only from what it returns.

        Args:
            query: What to look for, in the user's words.
        """
        return _json(search(query, runtime.context, knowledge, readable, guardrails, data_source=DATA_SOURCE))

    return [search_policy_docs, *_record_tools(records)]


def _record_tools(records: Records) -> list[BaseTool]:
    @tool
    def get_claim(claim_id: str) -> str:
        """Read a claim: its status, what is open, and its notes.

        Args:
            claim_id: The claim's id, such as C-1001.
        """
        claim = records.claim(claim_id)
        if claim is None:
            return f"There is no claim {claim_id}."
        visible = ("id", "status", "region", "open_amount", "currency", "description", "notes", "siu_hold")
        return _json({name: claim[name] for name in visible if name in claim})

    @tool
    def add_claim_note(claim_id: str, text: str, runtime: Runtime) -> str:
        """Add a note to a claim's file.

        Args:
            claim_id: The claim's id, such as C-1001.
            text: The note.
        """
        records.add_note(claim_id, runtime.context.principal.username, text)
        return f"The note was added to {claim_id}."

    @tool
    def approve_payout(claim_id: str, amount_minor: int, runtime: Runtime) -> str:
        """Pay out an amount on a claim.

        Args:
            claim_id: The claim's id, such as C-1001.
            amount_minor: The amount in minor units: 400000 for 4,000.00.
        """
        approver = runtime.context.principal.username
        try:
            open_amount = records.pay_out(claim_id, amount_minor, approver, run_of(runtime))
        except PayoutRefused:
            return f"Nothing was paid: {claim_id} has less open than that."
        return _json({"paid_minor": amount_minor, "claim_id": claim_id, "still_open_minor": open_amount})

    @tool
    def get_customer_contact(customer_id: str, purpose: str) -> str:  # noqa: ARG001 - the policy reads it
        """See how to reach a customer.

        Args:
            customer_id: The customer's id, such as CU-100.
            purpose: Why it is needed: claim_followup or fraud_review.
        """
        customer = records.customer(customer_id)
        if customer is None:
            return f"There is no customer {customer_id}."
        contact = {name: customer[name] for name in ("id", "name", "phone", "email") if name in customer}
        disclose(contact.get("phone", ""), contact.get("email", ""))
        return _json(contact)

    @tool
    def escalate_to_siu(claim_id: str, reason: str, runtime: Runtime) -> str:
        """Put a claim on hold and hand it to the special investigators.

        Args:
            claim_id: The claim's id, such as C-1001.
            reason: What is suspicious about it.
        """
        records.hold(claim_id, reason, runtime.context.principal.username)
        return f"{claim_id} is on hold and with the special investigators."

    return [
        get_claim,
        add_claim_note,
        approve_payout,
        get_customer_contact,
        escalate_to_siu,
    ]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
