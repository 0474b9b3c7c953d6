"""Decisions deny by default, in as few calls as the service's limit permits."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from fmops.authorization import AuthorizationRequest, Authorizer, Entity, EntityUid
from fmops.authorization.entities import wire_value

READ = EntityUid("ClaimsDesk::Action", "read_document")


class Store:
    """A policy store's client that answers what it is told."""

    def __init__(self, answer: dict[str, Any] | Exception) -> None:
        self.answer = answer
        self.sizes: list[int] = []

    def is_authorized_with_token(self, **request: Any) -> dict[str, Any]:
        self.sizes.append(1)
        return self._answer()

    def batch_is_authorized_with_token(self, **request: Any) -> dict[str, Any]:
        self.sizes.append(len(request["requests"]))
        return {"results": [self._answer() for _ in request["requests"]]}

    def get_paginator(self, name: str) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "ListPolicies")

    def _answer(self) -> dict[str, Any]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def answer(decision: str, policies: int = 0, errors: int = 0) -> dict[str, Any]:
    return {
        "decision": decision,
        "determiningPolicies": [{"policyId": f"p{number}"} for number in range(policies)],
        "errors": [{"errorDescription": "x"}] * errors,
    }


def requests(count: int) -> list[AuthorizationRequest]:
    return [
        AuthorizationRequest(READ, Entity(EntityUid("ClaimsDesk::Document", str(n)))) for n in range(count)
    ]


@pytest.mark.parametrize(
    ("told", "outcome", "reason"),
    [
        (answer("ALLOW", 1), "ALLOW", "permitted"),
        (answer("DENY"), "DENY", "not_permitted"),
        (answer("DENY", 1), "DENY", "forbidden"),
        (answer("ALLOW", 1, errors=1), "DENY", "policy_error"),
        ({}, "DENY", "unavailable"),
        (
            ClientError({"Error": {"Code": "ThrottlingException"}}, "IsAuthorizedWithToken"),
            "DENY",
            "unavailable",
        ),
        (ReadTimeoutError(endpoint_url="x"), "DENY", "unavailable"),
    ],
)
def test_only_a_clean_allow_allows(told: dict[str, Any] | Exception, outcome: str, reason: str) -> None:
    decision = Authorizer(Store(told), "ps").decide("token", requests(1))[0]
    assert (decision.outcome, decision.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (5, [5]), (30, [30]), (100, [10, 30, 30, 30])]
)
def test_many_requests_take_few_calls(count: int, sizes: list[int]) -> None:
    store = Store(answer("ALLOW", 1))
    decisions = Authorizer(store, "ps").decide("token", requests(count))
    assert [decision.request.resource.uid.id for decision in decisions] == [
        str(number) for number in range(count)
    ]
    assert sorted(store.sizes) == sizes


def test_money_that_is_not_an_integer_has_no_cedar_value() -> None:
    with pytest.raises(TypeError, match=r"input.amount: Cedar has no float"):
        wire_value({"amount": 1.5}, "input")  # type: ignore[dict-item]


def test_values_keep_their_types() -> None:
    assert wire_value({"a": True, "b": 1, "c": "x", "d": [1], "e": READ}, "v") == {
        "record": {
            "a": {"boolean": True},
            "b": {"long": 1},
            "c": {"string": "x"},
            "d": {"set": [{"long": 1}]},
            "e": {"entityIdentifier": {"entityType": "ClaimsDesk::Action", "entityId": "read_document"}},
        }
    }
