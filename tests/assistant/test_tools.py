"""What the model is told about the tools, and what they hand out."""

from __future__ import annotations

from typing import Any, cast

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

from fmops.assistant import knowledge
from fmops.assistant.authorization import ClaimsDeskResolver
from fmops.assistant.claims import ClaimsDesk
from fmops.assistant.context import RequestContext
from fmops.assistant.identity import Principal
from fmops.assistant.tools import build_tools
from fmops.interaction import Interaction

CLAIMS = {
    "C-1": {"id": "C-1", "policyholder": "CU-1", "claimant": "s-1", "region": "north", "status": "open", "open_amount": 5, "siu_hold": True}
}  # fmt: skip


class Desk(ClaimsDesk):
    """A desk with one claim, and one person suspended."""

    def __init__(self) -> None:
        pass

    def claim(self, claim_id: str) -> dict[str, Any] | None:
        return CLAIMS.get(claim_id)

    def customer(self, customer_id: str) -> dict[str, Any] | None:
        return None

    def is_suspended(self, subject: str) -> bool:
        return subject == "suspended"


def context(subject: str = "s-1", *, mfa: bool = False) -> RequestContext:
    return RequestContext(Principal(subject, "x", frozenset(), mfa, "token", {}), Interaction())


def test_no_tool_asks_the_model_who_the_user_is() -> None:
    base = knowledge.KnowledgeBase(knowledge.load(), DeterministicFakeEmbedding(size=8))
    arguments = {
        tool.name: set(cast(Any, tool.tool_call_schema).model_json_schema().get("properties", {}))
        for tool in build_tools(Desk(), base, lambda documents, _: [True] * len(documents))
    }
    assert arguments == {
        "search_policy_docs": {"query"},
        "get_claim": {"claim_id"},
        "add_claim_note": {"claim_id", "text"},
        "approve_payout": {"claim_id", "amount_minor"},
        "get_customer_contact": {"customer_id", "purpose"},
        "escalate_to_siu": {"claim_id", "reason"},
    }


def test_resources_come_from_the_desk_and_facts_from_the_server() -> None:
    resolve = ClaimsDeskResolver(Desk(), "pool")
    request = resolve(
        "approve_payout", {"claim_id": "C-1", "amount_minor": 3}, context("suspended", mfa=True)
    )
    assert request.resource.attributes["siuHold"] is True
    assert str(request.resource.attributes["claimantUser"]) == 'ClaimsDesk::User::"pool|s-1"'
    assert request.context == {
        "session": {"mfa": True, "suspended": True, "channel": "chat"},
        "input": {"amount": 3},
    }


def test_a_claim_that_is_not_there_has_nothing_that_a_policy_permits() -> None:
    attributes = ClaimsDeskResolver(Desk(), "pool")(
        "get_claim", {"claim_id": "C-404"}, context()
    ).resource.attributes
    assert (attributes["region"], attributes["openAmount"]) == ("", 0)
    assert "claimantUser" not in attributes


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("approve_payout", {"claim_id": "C-1", "amount_minor": 1.5}, "amount_minor"),
        ("approve_payout", {"claim_id": "C-1", "amount_minor": True}, "amount_minor"),
        ("approve_payout", {"claim_id": "C-1", "amount_minor": "5"}, "amount_minor"),
        ("approve_payout", {"claim_id": "C-1", "amount_minor": 2**70}, "amount_minor"),
        ("get_claim", {}, "claim_id"),
        ("get_claim", {"claim_id": ""}, "claim_id"),
        ("drop_table", {}, "no policy decides"),
    ],
)
def test_arguments_that_no_policy_can_read_are_refused(
    tool: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ClaimsDeskResolver(Desk(), "pool")(tool, arguments, context())


def test_every_document_has_its_header() -> None:
    documents = knowledge.load()
    assert {document.classification for document in documents} == {"public", "internal"}
    assert all(document.text and document.title for document in documents)
