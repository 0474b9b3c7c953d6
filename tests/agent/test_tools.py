"""Descriptions of the tools for the model, and the results that they return."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

from fmops.agent import KNOWLEDGE
from fmops.agent.records import Records
from fmops.agent.resources import Resolver
from fmops.agent.tools import build_tools
from fmops.authorization import ApprovedCall, Authorizer, EntityUid
from fmops.identity.tokens import Principal
from fmops.interaction import Interaction
from fmops.toolkit import knowledge
from fmops.toolkit.context import RequestContext
from tests.guardrails.fakes import engine

CLAIMS = {
    "C-1": {"id": "C-1", "policyholder": "CU-1", "claimant": "s-1", "region": "north", "status": "open",
        "open_amount": 5, "siu_hold": True, "currency": "EUR"}
}  # fmt: skip


class Desk(Records):
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
    base = knowledge.PackagedDocuments(knowledge.load(KNOWLEDGE), DeterministicFakeEmbedding(size=8))
    readable = Resolver(Desk(), "pool").readable(Authorizer(None, "ps"))
    arguments = {
        tool.name: set(cast(Any, tool.tool_call_schema).model_json_schema().get("properties", {}))
        for tool in build_tools(Desk(), base, readable, engine())
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
    resolve = Resolver(Desk(), "pool")
    request = resolve(
        "approve_payout", {"claim_id": "C-1", "amount_minor": 3}, context("suspended", mfa=True)
    )
    assert request.resource.attributes["siuHold"] is True
    assert str(request.resource.attributes["claimantUser"]) == 'ClaimsDesk::User::"pool|s-1"'
    session = request.context["session"]
    assert isinstance(session, Mapping)
    assert {**session, "signInAge": 0} == {
        "mfa": True,
        "suspended": True,
        "channel": "chat",
        "signInAge": 0,
    }
    assert request.context["input"] == {"amount": 3}


def test_who_does_not_say_when_they_signed_in_did_so_long_ago() -> None:
    resolve = Resolver(Desk(), "pool")
    ages = []
    for signed_in_at in (0, int(time.time()) - 100, int(time.time()) + 5):
        principal = Principal("s-1", "x", frozenset(), True, "token", {}, signed_in_at)
        session = resolve("get_claim", {"claim_id": "C-1"}, RequestContext(principal, Interaction())).context[
            "session"
        ]
        assert isinstance(session, Mapping)
        ages.append(session["signInAge"])
    assert ages[0] > 10**9
    assert 100 <= ages[1] < 110
    assert ages[2] == 0


def test_an_approved_call_says_who_requested_it() -> None:
    resolve = Resolver(Desk(), "pool")
    approval = ApprovedCall("apr-1", "c1", "s-9", frozenset({"c1"}))
    asked = RequestContext(context().principal, Interaction(), approval=approval)
    request = resolve("approve_payout", {"claim_id": "C-1", "amount_minor": 3}, asked)
    assert request.context["input"] == {
        "amount": 3,
        "requestedBy": EntityUid("ClaimsDesk::User", "pool|s-9"),
    }


def test_a_claim_that_is_not_there_has_nothing_that_a_policy_permits() -> None:
    attributes = Resolver(Desk(), "pool")("get_claim", {"claim_id": "C-404"}, context()).resource.attributes
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
        Resolver(Desk(), "pool")(tool, arguments, context())


def test_every_document_has_its_header() -> None:
    documents = knowledge.load(KNOWLEDGE)
    assert {document.classification for document in documents} == {"public", "internal"}
    assert all(document.text and document.title for document in documents)


def test_a_call_that_waits_is_told_in_words_with_its_currency() -> None:
    resolver, arguments = Resolver(Desk(), "pool"), {"claim_id": "C-1", "amount_minor": 123_456_789}
    request = resolver("approve_payout", arguments, context(mfa=True))
    told = resolver.in_words("approve_payout", arguments, request)
    assert told.title == "Pay out 1,234,567.89 EUR on claim C-1"
    assert told.facts == {
        "Claim": "C-1",
        "Amount": "1,234,567.89 EUR",
        "Region": "north",
        "Status": "open",
        "Open amount": "0.05 EUR",
        "Asked with a second factor": "yes",
        "On hold with investigators": "yes",
    }
    assert resolver.in_words("approve_payout", arguments, None).facts["Claim"] == "C-1"


def test_an_agent_without_words_of_its_own_shows_the_names_of_arguments_and_attributes() -> None:
    resolver, arguments = Resolver(Desk(), "pool"), {"claim_id": "C-1", "isUrgent": True, "tags": ["x"]}
    request = resolver("add_claim_note", arguments, context())
    told = resolver.in_words("add_claim_note", arguments, request)
    assert told.title == "Add claim note"
    assert told.facts["Claim id"] == "C-1"
    assert told.facts["Is urgent"] == "yes"
    assert told.facts["Siu hold"] == "yes"
    assert told.facts["Asked with a second factor"] == "no"
    assert not any("s-1" in value for value in told.facts.values()), "the subject of a token"
