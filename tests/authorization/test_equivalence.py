"""The same policy files decide alike on the engine and through the deployed store: decision, policies and errors."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from moto.cognitoidp.models import cognitoidp_backends

from fmops.authorization import AuthorizationRequest, Entity, EntityUid
from fmops.authorization.entities import Value
from local.aws.kernel.cloud import ACCOUNT
from tests.authorization.deployed import Deployed
from tests.policies.desk import GRANTED, ME, Answer, Case, Person, any_case, any_person, engine

pytestmark = pytest.mark.rehearsal

USER = "amir"
PERSONS, REQUESTS = 200, 50
SEED = 20261125


def test_ten_thousand_random_requests(deployed: Deployed) -> None:
    rng, whole, differ = random.Random(SEED), engine(), []
    allowed = 0
    subject = deployed.subject(USER)
    with granted(deployed, subject):
        authorizer = deployed.authorizer()
        for _ in range(PERSONS):
            person = any_person(rng.choice)
            cases = [any_case(rng.choice, person, number) for number in range(REQUESTS)]
            requests = [as_request(case, f"{deployed.pool}|{subject}") for case in unique(cases)]
            decisions = authorizer.decide(token(deployed, person), requests)
            for case, decision in zip(unique(cases), decisions, strict=True):
                told = Answer(
                    decision.outcome.capitalize(),
                    frozenset(name.partition(f"-{USER}")[0] for name in decision.determining_policies),
                    ("error",) * decision.errors,
                )
                (known,) = whole.decide(case)
                allowed += known.allowed
                if told != known:
                    differ.append((case, known, told))
    assert differ == []
    assert allowed > PERSONS * REQUESTS / 20, "requests that nobody is permitted would show nothing"


def unique(cases: list[Case]) -> list[Case]:
    """Return cases with one entity per resource, as a batch needs; the granted claim has a fixed id, so
    its first counts."""
    first = next((case for case in cases if case.resource["uid"]["id"] == GRANTED), None)
    return [
        Case(case.person, case.action, first.resource, case.inputs)
        if first and case.resource["uid"]["id"] == GRANTED
        else case
        for case in cases
    ]


def as_request(case: Case, me: str) -> AuthorizationRequest:
    def value(given: Any) -> Value:
        if isinstance(given, dict):
            if "__entity" in given:
                return entity(given["__entity"])
            return {name: value(item) for name, item in given.items()}
        found: Value = given
        return found

    def entity(given: dict[str, str]) -> EntityUid:
        return EntityUid(given["type"], me if given["id"] == ME else given["id"])

    attributes = {name: value(item) for name, item in case.resource["attrs"].items()}
    return AuthorizationRequest(
        EntityUid("ClaimsDesk::Action", case.action),
        Entity(entity(case.resource["uid"]), attributes),
        {name: value(item) for name, item in case.context.items()},
    )


def token(deployed: Deployed, person: Person) -> str:
    """Return the token that Cognito would sign for the user with these groups and attributes."""
    pool = cognitoidp_backends[ACCOUNT]["us-east-1"].user_pools[deployed.pool]
    claims = {"cognito:groups": list(person.groups), **person.attributes}
    client = deployed.outputs["Identity"]["UserPoolClientId"]
    signed, _ = type(pool).create_jwt.without_trigger(pool, client, USER, "id", 3600, claims)
    return str(signed)


@contextmanager
def granted(deployed: Deployed, subject: str) -> Iterator[None]:
    """Link the template's policy for the user, as an administrator does."""
    client = deployed.cloud.client("verifiedpermissions")
    templates = client.list_policy_templates(policyStoreId=deployed.store)["policyTemplates"]
    (template,) = (item for item in templates if item["name"].startswith("name/grant-claim-reader/"))
    linked = {
        "policyTemplateId": template["policyTemplateId"],
        "principal": {"entityType": "ClaimsDesk::User", "entityId": f"{deployed.pool}|{subject}"},
        "resource": {"entityType": "ClaimsDesk::Claim", "entityId": GRANTED},
    }
    policy = client.create_policy(
        policyStoreId=deployed.store,
        name=f"name/grant-claim-reader-{USER}-test",
        definition={"templateLinked": linked},
    )["policyId"]
    yield
    client.delete_policy(policyStoreId=deployed.store, policyId=policy)
