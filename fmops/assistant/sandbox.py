"""A claims desk in memory, with people of its own: what evaluations, experiments and the playground ask about and change."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from fmops.assistant.authorization import NAMESPACE
from fmops.assistant.claims import ClaimsDesk, PayoutRefused
from fmops.assistant.identity import Principal
from fmops.authorization import AuthorizationRequest, Authorizer, Entity, EntityUid
from fmops.authorization.authorizer import wire_request

DESK = Path(__file__).with_name("evaluation") / "desk.yaml"


@cache
def fixture() -> dict[str, Any]:
    """The desk's people, customers and claims. Not to be changed: ``SandboxDesk`` copies what it changes."""
    loaded: dict[str, Any] = yaml.safe_load(DESK.read_text())
    return loaded


@dataclass
class Person:
    """Somebody of the sandbox, as a verified token would describe them."""

    name: str
    groups: Sequence[str]
    region: str = ""
    department: str = ""
    mfa: bool = False
    suspended: bool = False
    attributes: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        named = {"custom:region": self.region, "custom:department": self.department}
        self.attributes = {name: value for name, value in named.items() if value}

    def principal(self) -> Principal:
        """Signed in just now. Its token is a name: only ``SandboxAuthorizer`` knows what to do with it."""
        return Principal(
            self.name,
            self.name,
            frozenset(self.groups),
            self.mfa,
            self.name,
            {},
            signed_in_at=int(time.time()),
        )


def people() -> dict[str, Person]:
    """The sandbox's people by name."""
    return {name: Person(name, **facts) for name, facts in fixture()["people"].items()}


class SandboxDesk(ClaimsDesk):
    """The rules of ``ClaimsDesk`` over a copy of the fixture. One for each case, so that no case sees another's changes."""

    def __init__(self) -> None:
        self._customers: Mapping[str, dict[str, Any]] = fixture()["customers"]
        self._claims: dict[str, dict[str, Any]] = copy.deepcopy(fixture()["claims"])
        self._people = people()

    def claim(self, claim_id: str) -> dict[str, Any] | None:
        claim = self._claims.get(claim_id)
        return None if claim is None else {"id": claim_id, "siu_hold": False, **claim}

    def customer(self, customer_id: str) -> dict[str, Any] | None:
        customer = self._customers.get(customer_id)
        return None if customer is None else {"id": customer_id, **customer}

    def is_suspended(self, subject: str) -> bool:
        person = self._people.get(subject)
        return person is not None and person.suspended

    def add_note(self, claim_id: str, author: str, text: str) -> None:
        self._claims[claim_id].setdefault("notes", []).append({"author": author, "text": text})

    def pay_out(self, claim_id: str, amount: int, approver: str, reference: str) -> int:  # noqa: ARG002
        claim = self._claims.get(claim_id, {})
        paid: list[str] = claim.setdefault("payout_references", [])
        if reference in paid:
            return int(claim["open_amount"])
        if amount <= 0 or claim.get("open_amount", 0) < amount or claim.get("siu_hold", False):
            raise PayoutRefused(claim_id)
        paid.append(reference)
        claim["open_amount"] -= amount
        return int(claim["open_amount"])

    def hold(self, claim_id: str, reason: str, author: str) -> None:
        self._claims[claim_id] |= {"siu_hold": True, "hold_reason": reason, "held_by": author}


class SandboxAuthorizer(Authorizer):
    """Asks the deployed policy store about the sandbox's people, whom it describes itself: they have no tokens.

    The decisions are those of the deployed policies; no real user can be impersonated, since none is in the sandbox.
    """

    def __init__(self, client: Any, policy_store_id: str, principal_prefix: str) -> None:
        super().__init__(client, policy_store_id)
        self._prefix = principal_prefix
        self._known = people()

    def _call(self, identity_token: str, batch: Sequence[AuthorizationRequest]) -> list[Mapping[str, Any]]:
        person = self._known[identity_token]
        uid = EntityUid(f"{NAMESPACE}::User", f"{self._prefix}|{person.name}")
        groups = [EntityUid(f"{NAMESPACE}::Group", f"{self._prefix}|{group}") for group in person.groups]
        entities = {uid: Entity(uid, person.attributes, groups), **{group: Entity(group) for group in groups}}
        for request in batch:
            entities |= {entity.uid: entity for entity in (request.resource, *request.entities)}
        answer = self._client.batch_is_authorized(
            policyStoreId=self._policy_store_id,
            entities={"entityList": [entity.wire() for entity in entities.values()]},
            requests=[{"principal": uid.wire(), **wire_request(request)} for request in batch],
        )
        return list(answer["results"])
