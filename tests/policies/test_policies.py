"""Every policy file permits what its sentence says, and nothing beside it; decided by the real Cedar engine."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cedarpy
import pytest

POLICIES = Path(__file__).parents[2] / "policies"
FILES = sorted(POLICIES.glob("*.cedar"))
TEXT = "\n".join(path.read_text() for path in FILES)
SCHEMA = json.loads((POLICIES / "schema.json").read_text())

NS = "ClaimsDesk"


@dataclass(frozen=True)
class Person:
    groups: tuple[str, ...]
    region: str = "north"
    department: str = ""
    mfa: bool = True
    suspended: bool = False


CARLA = Person(("customers",))
AMIR = Person(("staff", "adjusters"), department="claims")
SOFIA = Person(("staff", "supervisors"), department="claims")
INES = Person(("staff", "siu"), region="south", department="investigations")
OTTO = Person(("staff", "auditors"), region="south", department="audit")


@dataclass(frozen=True)
class Case:
    person: Person
    action: str
    resource: dict[str, Any]
    inputs: dict[str, Any] = field(default_factory=dict)
    expected: str = "Allow"
    because: tuple[str, ...] = ()


def claim(**attributes: Any) -> dict[str, Any]:
    base = {
        "region": "north",
        "status": "open",
        "openAmount": 6_000_000,
        "siuHold": False,
        "policyholder": uid("Customer", "CU-1"),
    }
    return {"uid": uid("Claim", "C-1")["__entity"], "attrs": base | attributes, "parents": []}


def customer(region: str = "north") -> dict[str, Any]:
    return {"uid": uid("Customer", "CU-1")["__entity"], "attrs": {"region": region}, "parents": []}


def document(**attributes: str) -> dict[str, Any]:
    return {"uid": uid("Document", "d")["__entity"], "attrs": attributes, "parents": []}


def uid(kind: str, name: str) -> dict[str, Any]:
    return {"__entity": {"type": f"{NS}::{kind}", "id": name}}


def decide(case: Case) -> tuple[str, set[str]]:
    person = case.person
    attributes = {"custom:region": person.region} | (
        {"custom:department": person.department} if person.department else {}
    )
    principal = {
        "uid": uid("User", "me")["__entity"],
        "attrs": attributes,
        "parents": [uid("Group", group)["__entity"] for group in person.groups],
    }
    groups = [{"uid": uid("Group", group)["__entity"], "attrs": {}, "parents": []} for group in person.groups]
    context: dict[str, Any] = {
        "session": {"mfa": person.mfa, "suspended": person.suspended, "channel": "chat"}
    }
    if case.inputs:
        context["input"] = case.inputs
    request = {
        "principal": f'{NS}::User::"me"',
        "action": f'{NS}::Action::"{case.action}"',
        "resource": "{type}::{id}".format(
            type=case.resource["uid"]["type"], id=json.dumps(case.resource["uid"]["id"])
        ),
        "context": context,
    }
    result = cedarpy.is_authorized(request, TEXT, [principal, *groups, case.resource], schema=SCHEMA)
    assert not result.diagnostics.errors, result.diagnostics.errors
    ids = result.diagnostics.id_annotations_by_reason
    return result.decision.value, {str(ids[reason]) for reason in result.diagnostics.reasons}


OWN = {"claimantUser": uid("User", "me")}
OTHER = {"claimantUser": uid("User", "you")}
BASE = {"uid": uid("KnowledgeBase", "policy-documents")["__entity"], "attrs": {}, "parents": []}
PAY = "approve_payout"

CASES = {
    "anyone searches": Case(CARLA, "search_policy_docs", BASE, because=("knowledge-base-search",)),
    "anyone reads public": Case(CARLA, "read_document", document(classification="public"), because=("documents-public",)),
    "staff read internal": Case(AMIR, "read_document", document(classification="internal"), because=("documents-internal-staff",)),
    "staff read their region's": Case(AMIR, "read_document", document(classification="internal", region="north"), because=("documents-internal-staff",)),
    "not another region's": Case(AMIR, "read_document", document(classification="internal", region="south"), expected="Deny"),
    "customers read no internal": Case(CARLA, "read_document", document(classification="internal"), expected="Deny"),
    "own claim": Case(CARLA, "get_claim", claim(**OWN), because=("customer-own-claim",)),
    "not another's": Case(CARLA, "get_claim", claim(**OTHER), expected="Deny"),
    "not one without owner": Case(CARLA, "get_claim", claim(), expected="Deny"),
    "customers write nothing": Case(CARLA, "add_claim_note", claim(**OTHER), expected="Deny"),
    "adjuster reads in region": Case(AMIR, "get_claim", claim(), because=("handler-region-claims",)),
    "adjuster not elsewhere": Case(AMIR, "get_claim", claim(region="south"), expected="Deny"),
    "other departments not": Case(Person(("staff", "adjusters"), department="sales"), "get_claim", claim(), expected="Deny"),
    "supervisor notes": Case(SOFIA, "add_claim_note", claim(), because=("handler-region-claims",)),
    "adjuster escalates": Case(AMIR, "escalate_to_siu", claim(), because=("handler-region-claims",)),
    "adjuster pays the limit": Case(AMIR, PAY, claim(), {"amount": 500_000}, because=("adjuster-payout-limit",)),
    "adjuster not a cent more": Case(AMIR, PAY, claim(), {"amount": 500_001}, "Deny"),
    "not more than open": Case(AMIR, PAY, claim(openAmount=99), {"amount": 100}, "Deny"),
    "not zero": Case(AMIR, PAY, claim(), {"amount": 0}, "Deny"),
    "not negative": Case(AMIR, PAY, claim(), {"amount": -5}, "Deny"),
    "not another region": Case(AMIR, PAY, claim(region="south"), {"amount": 5}, "Deny"),
    "supervisor pays more": Case(SOFIA, PAY, claim(), {"amount": 5_000_000}, because=("supervisor-payout-limit",)),
    "supervisor not a cent more": Case(SOFIA, PAY, claim(), {"amount": 5_000_001}, "Deny"),
    "supervisor not more than open": Case(SOFIA, PAY, claim(openAmount=99), {"amount": 100}, "Deny"),
    "supervisor not elsewhere": Case(SOFIA, PAY, claim(region="south"), {"amount": 5}, "Deny"),
    "supervisor not zero": Case(SOFIA, PAY, claim(), {"amount": 0}, "Deny"),
    "auditors pay nothing": Case(OTTO, PAY, claim(region="south"), {"amount": 5}, "Deny"),
    "contact for follow-up": Case(AMIR, "get_customer_contact", customer(), {"purpose": "claim_followup"}, because=("contact-with-purpose",)),
    "contact for fraud review": Case(SOFIA, "get_customer_contact", customer(), {"purpose": "fraud_review"}, because=("contact-with-purpose",)),
    "contact for nothing else": Case(AMIR, "get_customer_contact", customer(), {"purpose": "birthday"}, "Deny"),
    "contact not elsewhere": Case(AMIR, "get_customer_contact", customer("south"), {"purpose": "fraud_review"}, "Deny"),
    "contact not for auditors": Case(OTTO, "get_customer_contact", customer("south"), {"purpose": "fraud_review"}, "Deny"),
    "investigators read holds": Case(INES, "get_claim", claim(siuHold=True), because=("investigator-held-claims",)),
    "investigators note holds": Case(INES, "add_claim_note", claim(siuHold=True), because=("investigator-held-claims",)),
    "investigators nothing else": Case(INES, "get_claim", claim(), expected="Deny"),
    "auditors read all": Case(OTTO, "get_claim", claim(), because=("auditor-reads-claims",)),
    "auditors change nothing": Case(OTTO, "add_claim_note", claim(region="south"), expected="Deny"),
    "suspended": Case(Person(("staff", "adjusters"), department="claims", suspended=True), "get_claim", claim(), {}, "Deny", ("forbid-suspended",)),
    "own payout": Case(AMIR, PAY, claim(**OWN), {"amount": 5}, "Deny", ("forbid-self-dealing",)),
    "own note": Case(AMIR, "add_claim_note", claim(**OWN), {}, "Deny", ("forbid-self-dealing",)),
    "own escalation": Case(AMIR, "escalate_to_siu", claim(**OWN), {}, "Deny", ("forbid-self-dealing",)),
    "payout on hold": Case(SOFIA, PAY, claim(siuHold=True), {"amount": 5}, "Deny", ("forbid-payout-on-hold",)),
    "payout without second factor": Case(Person(("staff", "adjusters"), department="claims", mfa=False), PAY, claim(), {"amount": 5}, "Deny", ("forbid-payout-without-mfa",)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_decision(name: str) -> None:
    case = CASES[name]
    assert decide(case) == (case.expected, set(case.because))


def test_every_policy_decides_some_case() -> None:
    assert {policy for case in CASES.values() for policy in case.because} == {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_one_statement_named_after_it_with_a_sentence(path: Path) -> None:
    text = path.read_text()
    policies = json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]
    assert len(policies) == 1
    assert next(iter(policies.values()))["annotations"]["id"] == path.stem
    assert text.startswith("// ")
    assert text.splitlines()[0].endswith(".")


@pytest.mark.parametrize("schema", ["schema.cedarschema", "schema.json"])
def test_policies_are_valid_in_both_forms_of_the_schema(schema: str) -> None:
    result = cedarpy.validate_policies(TEXT, (POLICIES / schema).read_text())
    assert result.validation_passed, result.errors


@pytest.mark.parametrize("schema", ["schema.cedarschema", "schema.json"])
@pytest.mark.parametrize(
    "wrong",
    ["resource.openAmont > 0", "principal.suspended", "resource.region == 5", "context.input.amount > 1"],
)
def test_both_forms_of_the_schema_refuse_the_same_mistakes(schema: str, wrong: str) -> None:
    policy = f'permit (principal, action == {NS}::Action::"get_claim", resource) when {{ {wrong} }};'
    assert not cedarpy.validate_policies(policy, (POLICIES / schema).read_text()).validation_passed
