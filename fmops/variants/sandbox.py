"""The sandbox: people and records in memory for evaluations, experiments and the playground."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from fmops import written
from fmops.agent import NAMESPACE, SANDBOX
from fmops.authorization import AuthorizationRequest, Authorizer, Entity, EntityUid
from fmops.authorization.authorizer import wire_request
from fmops.identity.tokens import Principal

Records = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Records by kind and id."""


@cache
def fixture() -> dict[str, Any]:
    """Return the sandbox's ``people`` and ``records``, which must not be changed."""
    loaded: dict[str, Any] = written.read_yaml(SANDBOX)
    return loaded


def records() -> Records:
    """Return the sandbox's records, including those of its people."""
    suspended = {name: {"suspended": person.suspended} for name, person in people().items()}
    return {**fixture()["records"], "person": suspended}


@dataclass
class Person:
    """A person in the sandbox, as a verified token would describe them."""

    name: str
    groups: Sequence[str]
    mfa: bool = False
    suspended: bool = False
    attributes: dict[str, str] = field(default_factory=dict)
    """Claims of the token that policies read, by their names without ``custom:``."""

    @classmethod
    def parse(cls, name: str, facts: Mapping[str, Any]) -> Person:
        """Return a person from a fixture, in which every unknown field is a claim of the token."""
        own = {key: facts[key] for key in ("groups", "mfa", "suspended") if key in facts}
        return cls(name, attributes={key: facts[key] for key in facts if key not in own}, **own)

    @property
    def claims(self) -> dict[str, Any]:
        """Return the claims of the token that policies read, by their names there."""
        return {f"custom:{name}": value for name, value in self.attributes.items()}

    def principal(self) -> Principal:
        """Return the person as a principal who has just signed in. Its token is a name, which only
        ``SandboxAuthorizer`` understands."""
        return Principal(
            self.name,
            self.name,
            frozenset(self.groups),
            self.mfa,
            self.name,
            self.claims,
            signed_in_at=int(time.time()),
        )


def people() -> dict[str, Person]:
    """Return the sandbox's people by name."""
    return {name: Person.parse(name, facts) for name, facts in fixture()["people"].items()}


class SandboxAuthorizer(Authorizer):
    """Ask the deployed policy store about the sandbox's people, whom it describes itself because they have no
    tokens.

    The decisions are those of the deployed policies. No real user can be impersonated, since none is in the
    sandbox.
    """

    def __init__(self, client: Any, policy_store_id: str, principal_prefix: str) -> None:
        super().__init__(client, policy_store_id)
        self._prefix = principal_prefix
        self._known = people()

    def _call(self, identity_token: str, batch: Sequence[AuthorizationRequest]) -> list[Mapping[str, Any]]:
        person = self._known[identity_token]
        uid = EntityUid(f"{NAMESPACE}::User", f"{self._prefix}|{person.name}")
        groups = [EntityUid(f"{NAMESPACE}::Group", f"{self._prefix}|{group}") for group in person.groups]
        entities = {uid: Entity(uid, person.claims, groups), **{group: Entity(group) for group in groups}}
        for request in batch:
            entities |= {entity.uid: entity for entity in (request.resource, *request.entities)}
        answer = self._client.batch_is_authorized(
            policyStoreId=self._policy_store_id,
            entities={"entityList": [entity.wire() for entity in entities.values()]},
            requests=[{"principal": uid.wire(), **wire_request(request)} for request in batch],
        )
        return list(answer["results"])
