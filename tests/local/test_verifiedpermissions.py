"""Decisions by the real engine on the project's schema; tokens are verified as the service verifies them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from moto.cognitoidp.models import cognitoidp_backends

from local.aws.kernel.cloud import ACCOUNT, Cloud

POLICIES = Path("policies")
SESSION = {"mfa": True, "suspended": False, "channel": "web", "signInAge": 60}
PASSWORD = "Correct-horse-9"


@dataclass
class Desk:
    """A policy store for a user pool with one adjuster."""

    client: Any
    store: str
    pool: str
    app: str
    username: str
    policies: Mapping[str, str]  # file stem -> policy id

    def token(self, use: str = "id", *, app: str | None = None, seconds: int = 3600) -> str:
        pool = cognitoidp_backends[ACCOUNT]["us-east-1"].user_pools[self.pool]
        groups = {
            "cognito:groups": ["adjusters", "handlers"],
            "custom:region": "eu",
            "custom:department": "claims",
        }
        token, _ = pool.create_jwt(app or self.app, self.username, use, seconds, groups)
        return str(token)

    def ask(
        self, action: str = "approve_payout", *, amount: int = 100, region: str = "eu", **given: Any
    ) -> dict[str, Any]:
        arguments = {
            "policyStoreId": self.store,
            "identityToken": self.token(),
            "action": {"actionType": "ClaimsDesk::Action", "actionId": action},
            "resource": {"entityType": "ClaimsDesk::Claim", "entityId": "C-1"},
            "context": {"cedarJson": json.dumps({"session": SESSION, "input": {"amount": amount}})},
            "entities": {"entityList": [claim(region)]},
            **given,
        }
        answer: dict[str, Any] = self.client.is_authorized_with_token(**arguments)
        return answer


def claim(region: str) -> dict[str, Any]:
    return {
        "identifier": {"entityType": "ClaimsDesk::Claim", "entityId": "C-1"},
        "attributes": {
            "policyholder": {"entityIdentifier": {"entityType": "ClaimsDesk::Customer", "entityId": "CU-1"}},
            "region": {"string": region},
            "status": {"string": "open"},
            "openAmount": {"long": 5000},
            "siuHold": {"boolean": False},
        },
        "parents": [],
    }


def make_desk(cloud: Cloud) -> Desk:
    cognito, permissions = cloud.client("cognito-idp"), cloud.client("verifiedpermissions")
    pool = cognito.create_user_pool(PoolName="desk")["UserPool"]
    app = cognito.create_user_pool_client(UserPoolId=pool["Id"], ClientName="app")["UserPoolClient"][
        "ClientId"
    ]
    cognito.admin_create_user(UserPoolId=pool["Id"], Username="adam")
    store = permissions.create_policy_store(validationSettings={"mode": "STRICT"})["policyStoreId"]
    schema = (POLICIES / "schema.json").read_text()
    permissions.put_schema(policyStoreId=store, definition={"cedarJson": schema})
    ids = {}
    for path in sorted(POLICIES.glob("*.cedar")):
        statement = path.read_text().replace('Group::"', f'Group::"{pool["Id"]}|')
        created = permissions.create_policy(
            policyStoreId=store, definition={"static": {"statement": statement}}
        )
        ids[path.stem] = created["policyId"]
    permissions.create_identity_source(
        policyStoreId=store,
        principalEntityType="ClaimsDesk::User",
        configuration={
            "cognitoUserPoolConfiguration": {
                "userPoolArn": pool["Arn"],
                "clientIds": [app],
                "groupConfiguration": {"groupEntityType": "ClaimsDesk::Group"},
            }
        },
    )
    return Desk(permissions, store, pool["Id"], app, "adam", ids)


@pytest.fixture(scope="module")
def desk(cloud: Cloud) -> Desk:
    return make_desk(cloud)


def test_group_and_attributes_of_the_token_allow(desk: Desk) -> None:
    answer = desk.ask()
    assert answer["decision"] == "ALLOW"
    assert answer["determiningPolicies"] == [{"policyId": desk.policies["adjuster-payout-limit"]}]
    assert answer["errors"] == []
    assert answer["principal"]["entityId"].startswith(f"{desk.pool}|")


def test_nothing_that_permits_is_a_denial_without_determining_policies(desk: Desk) -> None:
    answer = desk.ask(region="us")
    assert (answer["decision"], answer["determiningPolicies"]) == ("DENY", [])


def test_forbid_wins_and_is_named(desk: Desk) -> None:
    context = {"session": {**SESSION, "mfa": False}, "input": {"amount": 1}}
    answer = desk.ask(context={"cedarJson": json.dumps(context)})
    assert answer["decision"] == "DENY"
    assert answer["determiningPolicies"] == [{"policyId": desk.policies["forbid-payout-without-mfa"]}]


def test_action_groups_come_from_the_schema(desk: Desk) -> None:
    context = {"session": {**SESSION, "suspended": True}, "input": {"amount": 1}}
    answer = desk.ask(context={"cedarJson": json.dumps(context)})
    assert {"policyId": desk.policies["forbid-suspended"]} in answer["determiningPolicies"]


def test_a_policy_that_errs_is_skipped_and_reported_by_the_services_id(desk: Desk) -> None:
    answer = desk.ask(entities={"entityList": []})
    assert answer["decision"] == "DENY"
    text = " ".join(error["errorDescription"] for error in answer["errors"])
    assert desk.policies["forbid-payout-on-hold"] in text
    assert "policy0" not in text


def test_a_request_against_the_schema_is_refused(desk: Desk) -> None:
    with pytest.raises(desk.client.exceptions.ValidationException, match="input"):
        desk.ask(context={"cedarJson": json.dumps({"session": SESSION})})


def test_the_principal_cannot_be_passed(desk: Desk) -> None:
    user = {"identifier": {"entityType": "ClaimsDesk::User", "entityId": "x"}}
    with pytest.raises(desk.client.exceptions.ValidationException, match="come from the token"):
        desk.ask(entities={"entityList": [claim("eu"), user]})


def test_a_batch_decides_each_request_and_echoes_it(desk: Desk) -> None:
    def request(amount: int) -> dict[str, Any]:
        return {
            "action": {"actionType": "ClaimsDesk::Action", "actionId": "approve_payout"},
            "resource": {"entityType": "ClaimsDesk::Claim", "entityId": "C-1"},
            "context": {"contextMap": {"session": record(SESSION), "input": record({"amount": amount})}},
        }

    answer = desk.client.batch_is_authorized_with_token(
        policyStoreId=desk.store,
        identityToken=desk.token(),
        entities={"entityList": [claim("eu")]},
        requests=[request(100), request(5001)],
    )
    assert [each["decision"] for each in answer["results"]] == ["ALLOW", "DENY"]
    assert answer["results"][1]["request"] == request(5001)


def record(values: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {bool: "boolean", int: "long", str: "string"}
    return {"record": {name: {kinds[type(value)]: value} for name, value in values.items()}}


class TestTokens:
    def refused(self, desk: Desk, reason: str, **tokens: str) -> None:
        with pytest.raises(desk.client.exceptions.ValidationException, match=reason):
            desk.client.is_authorized_with_token(
                policyStoreId=desk.store,
                action={"actionType": "ClaimsDesk::Action", "actionId": "get_claim"},
                resource={"entityType": "ClaimsDesk::Claim", "entityId": "C-1"},
                **tokens,
            )

    def test_expired(self, desk: Desk) -> None:
        self.refused(desk, "expired", identityToken=desk.token(seconds=-60))

    def test_forged_signature(self, desk: Desk) -> None:
        head, body, signature = desk.token().split(".")
        forged = signature[:-8] + ("AAAAAAAA" if not signature.endswith("AAAAAAAA") else "BBBBBBBB")
        self.refused(desk, "Invalid token", identityToken=f"{head}.{body}.{forged}")

    def test_of_another_client(self, desk: Desk) -> None:
        self.refused(desk, "audience", identityToken=desk.token(app="another"))

    def test_access_token_passed_as_identity_token(self, desk: Desk) -> None:
        self.refused(desk, "token_use", identityToken=desk.token("access"))

    def test_of_another_pool(self, desk: Desk, cloud: Cloud) -> None:
        self.refused(desk, "issuer", identityToken=make_desk(cloud).token())

    def test_no_token_at_all(self, desk: Desk) -> None:
        self.refused(desk, "either identityToken or accessToken")


class TestPolicies:
    def refused(self, desk: Desk, statement: str, reason: str) -> None:
        with pytest.raises(desk.client.exceptions.ValidationException, match=reason):
            desk.client.create_policy(
                policyStoreId=desk.store, definition={"static": {"statement": statement}}
            )

    def test_must_fit_the_schema(self, desk: Desk) -> None:
        self.refused(desk, "permit (principal, action, resource) when { principal.salary > 1 };", "salary")

    def test_must_parse(self, desk: Desk) -> None:
        self.refused(desk, "permit (principal, action", "Invalid policy")

    def test_are_one_statement_each(self, desk: Desk) -> None:
        self.refused(
            desk, "permit (principal, action, resource); forbid (principal, action, resource);", "exactly one"
        )


def test_a_removed_policy_no_longer_decides(cloud: Cloud) -> None:
    desk = make_desk(cloud)
    desk.client.delete_policy(policyStoreId=desk.store, policyId=desk.policies["adjuster-payout-limit"])
    assert desk.ask()["decision"] == "DENY"
