"""Permissions of users, according to the policy files and the demo's facts."""

from __future__ import annotations

import pytest

from demo.who_can import UnknownError, who_can


@pytest.mark.parametrize(
    ("action", "resource", "inputs", "allowed"),
    [
        ("get_claim", "C-1002", {}, {"ben", "sofia", "otto"}),
        ("approve_payout", "C-1001", {"amount": 500_000}, {"amir", "sofia"}),
        ("approve_payout", "C-1001", {"amount": 500_001}, {"sofia"}),
        ("get_customer_contact", "CU-100", {"purpose": "claim_followup"}, {"amir", "noor", "sofia"}),
        (
            "read_document",
            "payout-authority",
            {},
            {"amir", "noor", "sofia", "ines", "otto", "rita", "ravi", "nils", "petra", "olga"},
        ),
        (
            "search_policy_docs",
            "policy-documents",
            {},
            {
                "carla",
                "ben",
                "amir",
                "noor",
                "sofia",
                "ines",
                "otto",
                "rita",
                "ravi",
                "nils",
                "petra",
                "olga",
            },
        ),
    ],
)
def test_each_user_is_decided(
    action: str, resource: str, inputs: dict[str, object], allowed: set[str]
) -> None:
    answers = who_can(action, resource, inputs)
    assert {answer.user for answer in answers if answer.allowed} == allowed
    assert next(answer for answer in answers if answer.user == "sam").policies == ("forbid-suspended",)


@pytest.mark.parametrize(
    ("action", "resource", "message"),
    [
        ("get_clam", "C-1001", "use get_claim"),
        ("get_claim", "C-1", "use one of C-1001"),
        ("get_claim", "CU-100", "is about a ClaimsDesk::Claim"),
        ("approve_payout", "C-1001", "INPUT="),
    ],
)
def test_what_is_not_there_is_named_with_what_is(action: str, resource: str, message: str) -> None:
    with pytest.raises(UnknownError, match=message):
        who_can(action, resource, {})
