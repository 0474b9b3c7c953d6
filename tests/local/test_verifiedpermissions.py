"""Decisions by the real engine on the project's schema; tokens are verified as the service verifies them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.cognitoidp.models import cognitoidp_backends

from local.aws.kernel.cloud import ACCOUNT, Cloud

POLICIES = Path("policies")
GOLDEN = yaml.safe_load((Path(__file__).parent / "golden" / "verifiedpermissions.yaml").read_text())
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


def make_source(client: Any, store: str, pool: str, app: str, principal: str) -> None:
    """An identity source that names no type of groups."""
    configuration = {
        "userPoolArn": f"arn:aws:cognito-idp:us-east-1:{ACCOUNT}:userpool/{pool}",
        "clientIds": [app],
    }
    client.create_identity_source(
        policyStoreId=store,
        principalEntityType=principal,
        configuration={"cognitoUserPoolConfiguration": configuration},
    )


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

    def test_both_tokens_tell_attributes_and_context(self, desk: Desk) -> None:
        client = desk.client
        store = client.create_policy_store(validationSettings={"mode": "OFF"})["policyStoreId"]
        make_source(client, store, desk.pool, desk.app, "App::User")
        statement = """permit(principal, action, resource)
            when { principal["custom:department"] == "claims" && context.token.token_use == "access" };"""
        client.create_policy(policyStoreId=store, definition={"static": {"statement": statement}})

        def decision(**tokens: str) -> str:
            answer = client.is_authorized_with_token(
                policyStoreId=store,
                action={"actionType": "App::Action", "actionId": "view"},
                resource={"entityType": "App::Photo", "entityId": "1"},
                **tokens,
            )
            return str(answer["decision"])

        identity, access = {"identityToken": desk.token()}, {"accessToken": desk.token("access")}
        assert decision(**identity, **access) == "ALLOW"
        assert (decision(**identity), decision(**access)) == ("DENY", "DENY")

    def test_both_tokens_are_verified(self, desk: Desk) -> None:
        self.refused(
            desk,
            "token_use",
            identityToken=desk.token(),
            accessToken=desk.token(),
        )

    def test_both_tokens_are_of_one_principal(self, desk: Desk, cloud: Cloud) -> None:
        cloud.client("cognito-idp").admin_create_user(UserPoolId=desk.pool, Username="eve")
        other = Desk(desk.client, desk.store, desk.pool, desk.app, "eve", desk.policies)
        self.refused(
            desk,
            "different principals",
            identityToken=desk.token(),
            accessToken=other.token("access"),
        )


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


APP = {
    "App": {
        "entityTypes": {
            "User": {"memberOfTypes": ["Group"]},
            "Group": {"memberOfTypes": ["Group"]},
            "Photo": {
                "shape": {"type": "Record", "attributes": {"open": {"type": "Boolean", "required": False}}}
            },
        },
        "actions": {
            "view": {
                "appliesTo": {
                    "principalTypes": ["User"],
                    "resourceTypes": ["Photo"],
                    "context": {
                        "type": "Record",
                        "attributes": {"note": {"type": "String", "required": False}},
                    },
                }
            }
        },
    }
}


def repeated(value: Any) -> Any:
    """A value of the table, in which long texts are told by what they repeat."""
    if isinstance(value, dict) and value.keys() == {"repeat", "times"}:
        return value["repeat"] * value["times"]
    return {name: repeated(each) for name, each in value.items()} if isinstance(value, dict) else value


def make_store(cloud: Cloud, schema: Any = None) -> str:
    client = cloud.client("verifiedpermissions")
    store: str = client.create_policy_store(validationSettings={"mode": "STRICT"})["policyStoreId"]
    if schema is not None:
        client.put_schema(policyStoreId=store, definition={"cedarJson": json.dumps(schema)})
    return store


@pytest.fixture(scope="module")
def app(cloud: Cloud) -> str:
    return make_store(cloud, APP)


def taken(yes: bool) -> Any:
    return contextlib.nullcontext() if yes else pytest.raises(ClientError, match="ValidationException")


@pytest.mark.parametrize("case", GOLDEN["schemas"], ids=lambda case: str(case["schema"])[:60])
def test_schemas_are_taken_as_documented(cloud: Cloud, case: dict[str, Any]) -> None:
    with taken(case["taken"]):
        make_store(cloud, repeated(case["schema"]))


@pytest.mark.parametrize("case", GOLDEN["templates"], ids=lambda case: case["statement"])
def test_templates_are_taken_as_documented(cloud: Cloud, app: str, case: dict[str, Any]) -> None:
    with taken(case["taken"]):
        cloud.client("verifiedpermissions").create_policy_template(
            policyStoreId=app, statement=case["statement"]
        )


def entity(kind: str, name: str, parents: list[str] | None = None) -> dict[str, Any]:
    above = [{"entityType": "App::Group", "entityId": each} for each in parents or []]
    return {"identifier": {"entityType": kind, "entityId": name}, "parents": above}


def entities(case: dict[str, Any]) -> dict[str, Any]:
    if "cedar" in case:
        given = case["cedar"]
        return {"cedarJson": given if isinstance(given, str) else json.dumps(given)}
    found = [entity(each["type"], each["id"]) for each in case.get("entities", [])]
    found += [entity("App::Photo", str(number)) for number in range(case.get("resources", 0))]
    found += [entity("App::User", f"user-{number}") for number in range(case.get("users", 0))]
    if groups := [f"group-{number}" for number in range(case.get("parents", 0))]:
        found.append(entity("App::User", "alice", groups))
    if above := [f"above-{number}" for number in range(case.get("grandparents", 0))]:
        found.append(entity("App::Group", "group-0", above))
    return {"entityList": found}


@pytest.mark.parametrize("case", GOLDEN["requests"], ids=lambda case: str(case)[:90])
def test_requests_are_taken_as_documented(cloud: Cloud, app: str, case: dict[str, Any]) -> None:
    def request(given: dict[str, Any]) -> dict[str, Any]:
        context = repeated(case.get("context", {}))
        return {
            "principal": {
                "entityType": "App::User",
                "entityId": repeated(given.get("principal", "alice")),
            },
            "action": {
                "actionType": given.get("actionType", "App::Action"),
                "actionId": given.get("action", "view"),
            },
            "resource": {"entityType": "App::Photo", "entityId": given.get("resource", "1")},
            "context": {"cedarJson": json.dumps(context)},
        }

    # The client checks the least lengths itself: what the service says is asked here.
    client = cloud.session().client(
        "verifiedpermissions",
        endpoint_url=cloud.endpoint,
        config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
    )
    requests = case.get("requests", [{}] * case.get("count", 0))
    with taken(case["taken"]):
        if len(requests) == 1:
            client.is_authorized(policyStoreId=app, entities=entities(case), **request(requests[0]))
        else:
            client.batch_is_authorized(
                policyStoreId=app, entities=entities(case), requests=[request(each) for each in requests]
            )


def test_of_entities_with_one_identifier_the_last_is_processed(cloud: Cloud) -> None:
    client, store = cloud.client("verifiedpermissions"), make_store(cloud, APP)
    statement = "permit(principal, action, resource) when { resource has open && resource.open };"
    client.create_policy(policyStoreId=store, definition={"static": {"statement": statement}})

    def ask(*photos: bool) -> str:
        given = [{**entity("App::Photo", "1"), "attributes": {"open": {"boolean": each}}} for each in photos]
        answer = client.is_authorized(
            policyStoreId=store,
            principal={"entityType": "App::User", "entityId": "alice"},
            action={"actionType": "App::Action", "actionId": "view"},
            resource={"entityType": "App::Photo", "entityId": "1"},
            entities={"entityList": given},
        )
        return str(answer["decision"])

    assert (ask(False, True), ask(True, False), ask(True, True)) == ("ALLOW", "DENY", "ALLOW")


@pytest.mark.parametrize("mode", ["STRICT", "OFF"])
def test_groups_of_a_pool_have_a_type_when_none_is_named(cloud: Cloud, mode: str) -> None:
    desk = make_desk(cloud)
    store = desk.client.create_policy_store(validationSettings={"mode": mode})["policyStoreId"]
    desk.client.put_schema(policyStoreId=store, definition={"cedarJson": json.dumps(APP)})
    make_source(desk.client, store, desk.pool, desk.app, "App::User")
    for group in ("adjusters", "nobody"):
        statement = (
            f'permit(principal in AWS::CognitoGroup::"{desk.pool}|{group}", action, resource'
            f' == App::Photo::"{group}");'
        )
        desk.client.create_policy(policyStoreId=store, definition={"static": {"statement": statement}})
    decisions = {
        group: desk.client.is_authorized_with_token(
            policyStoreId=store,
            identityToken=desk.token(),
            action={"actionType": "App::Action", "actionId": "view"},
            resource={"entityType": "App::Photo", "entityId": group},
        )["decision"]
        for group in ("adjusters", "nobody")
    }
    assert decisions == {"adjusters": "ALLOW", "nobody": "DENY"}


def test_quotas_of_a_store(cloud: Cloud) -> None:
    client, store = cloud.client("verifiedpermissions"), make_store(cloud, APP)
    template = 'permit(principal == ?principal, action, resource == App::Photo::"1");'
    for _ in range(40):
        client.create_policy_template(policyStoreId=store, statement=template)
    with pytest.raises(client.exceptions.ServiceQuotaExceededException, match="40 templates"):
        client.create_policy_template(policyStoreId=store, statement=template)

    def policy(resource: str) -> None:
        text = f'permit(principal, action, resource == App::Photo::"{resource}"); // {"x" * 9_900}'
        client.create_policy(policyStoreId=store, definition={"static": {"statement": text}})

    for _ in range(20):
        policy("1")
    with pytest.raises(client.exceptions.ServiceQuotaExceededException, match="200000 bytes"):
        policy("1")
    policy("2")
    client.delete_policy(policyStoreId=store, policyId="not-there")
