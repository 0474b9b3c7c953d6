"""The claims desk's policy files on the real Cedar engine, and requests to ask of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import cedarpy

POLICIES = Path(__file__).parents[2] / "policies"
FILES = sorted(POLICIES.glob("*.cedar"))
TEMPLATE_FILES = sorted((POLICIES / "templates").glob("*.cedar"))
SCHEMA_TEXT = (POLICIES / "schema.json").read_text()
SCHEMA = cedarpy.Schema.from_json_str(SCHEMA_TEXT)

NS = "ClaimsDesk"
ME = "me"
GRANTED = "C-7"
"""The claim that the template-linked policy of every engine grants to ME."""
GROUPS = (
    "customers",
    "adjusters",
    "supervisors",
    "handlers",
    "siu",
    "auditors",
    "staff",
    "reviewers",
    "prompt-engineers",
    "operators",
)
PAY, REQUEST = "approve_payout", "request_payout_approval"
REVIEW = ("review_interactions", "adjudicate_reviews")
EDIT, OPERATE, TRACES, PUBLISH = "edit_prompts", "operate", "read_traces", "edit_documents"
CLAIM_TOOLS = ("get_claim", "add_claim_note", "escalate_to_siu")

Choice = TypeVar("Choice")
Choose = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True)
class Person:
    """The holder of the token, and what the server knows about their session."""

    groups: tuple[str, ...]
    region: str | None = "north"
    department: str | None = None
    mfa: bool = True
    suspended: bool = False
    sign_in_age: int = 60

    @property
    def attributes(self) -> dict[str, str]:
        named = {"custom:region": self.region, "custom:department": self.department}
        return {name: value for name, value in named.items() if value is not None}

    @property
    def session(self) -> dict[str, Any]:
        return {
            "mfa": self.mfa,
            "suspended": self.suspended,
            "channel": "chat",
            "signInAge": self.sign_in_age,
        }


@dataclass(frozen=True)
class Case:
    """A request, with the expected decision and the policies that determine it."""

    person: Person
    action: str
    resource: dict[str, Any]
    inputs: dict[str, Any] = field(default_factory=dict)
    expected: str = "Deny"
    because: tuple[str, ...] = ()

    @property
    def context(self) -> dict[str, Any]:
        return {"session": self.person.session} | ({"input": self.inputs} if self.inputs else {})


@dataclass(frozen=True)
class Answer:
    """A decision, the @id of the policies that determined it, and evaluation errors."""

    decision: str
    because: frozenset[str]
    errors: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        return self.decision == "Allow"


class Engine:
    """A set of policies, by name to text; templates are linked for ME and the claim GRANTED."""

    def __init__(self, policies: Mapping[str, str], templates: Mapping[str, str]) -> None:
        parsed = cedarpy.PolicySet.from_str("\n".join([*policies.values(), *templates.values()]))
        for name in templates:
            slots = {"?principal": _euid("User", ME), "?resource": _euid("Claim", GRANTED)}
            parsed = parsed.with_linked(name, name, slots)
        self._policies = parsed

    def decide(self, *cases: Case) -> list[Answer]:
        return [self._decide(case) for case in cases]

    def _decide(self, case: Case) -> Answer:
        uid = case.resource["uid"]
        request = {
            "principal": _euid("User", ME),
            "action": _euid("Action", case.action),
            "resource": uid,
            "context": case.context,
        }
        entities = [principal(case.person), case.resource]
        result = cedarpy.is_authorized(request, self._policies, entities, schema=SCHEMA)
        errors = tuple(result.diagnostics.errors)
        if result.decision is cedarpy.Decision.NoDecision:
            return Answer("NoDecision", frozenset(), errors)
        ids = result.diagnostics.id_annotations_by_reason
        because = frozenset(str(ids.get(reason) or reason) for reason in result.diagnostics.reasons)
        return Answer(result.decision.value, because, errors)


def files(paths: Sequence[Path]) -> dict[str, str]:
    return {path.stem: path.read_text() for path in paths}


def engine(without: Callable[[str], bool] = lambda _: False) -> Engine:
    """Return the project's policies, without those whose text the predicate accepts."""
    return Engine(
        {name: text for name, text in files(FILES).items() if not without(text)},
        {name: text for name, text in files(TEMPLATE_FILES).items() if not without(text)},
    )


def principal(person: Person, user: str = ME, prefix: str = "") -> dict[str, Any]:
    return {
        "uid": _euid("User", user),
        "attrs": person.attributes,
        "parents": [_euid("Group", f"{prefix}{group}") for group in person.groups],
    }


def claim(claim_id: str = "C-1", **attributes: Any) -> dict[str, Any]:
    base = {
        "region": "north",
        "status": "open",
        "openAmount": 6_000_000,
        "siuHold": False,
        "policyholder": uid("Customer", "CU-1"),
    }
    return {"uid": _euid("Claim", claim_id), "attrs": base | attributes, "parents": []}


def customer(region: str = "north", customer_id: str = "CU-1") -> dict[str, Any]:
    return {"uid": _euid("Customer", customer_id), "attrs": {"region": region}, "parents": []}


def document(document_id: str = "d", *, withdrawn: bool = False, **attributes: str) -> dict[str, Any]:
    return {
        "uid": _euid("Document", document_id),
        "attrs": {**attributes, "withdrawn": withdrawn},
        "parents": [],
    }


def knowledge_base() -> dict[str, Any]:
    return {"uid": _euid("KnowledgeBase", "policy-documents"), "attrs": {}, "parents": []}


def review_queue() -> dict[str, Any]:
    return {"uid": _euid("ReviewQueue", "review"), "attrs": {}, "parents": []}


def prompt_registry() -> dict[str, Any]:
    return {"uid": _euid("PromptRegistry", "prompts"), "attrs": {}, "parents": []}


def operations() -> dict[str, Any]:
    return {"uid": _euid("Operations", "operations"), "attrs": {}, "parents": []}


def trace_store() -> dict[str, Any]:
    return {"uid": _euid("TraceStore", "traces"), "attrs": {}, "parents": []}


def uid(kind: str, name: str) -> dict[str, Any]:
    return {"__entity": _euid(kind, name)}


def _euid(kind: str, name: str) -> dict[str, str]:
    return {"type": f"{NS}::{kind}", "id": name}


OWN = {"claimantUser": uid("User", ME)}
OTHER = {"claimantUser": uid("User", "you")}

# The boundaries of every limit, and the values next to them.
AMOUNTS = (-1, 0, 1, 499_999, 500_000, 500_001, 4_999_999, 5_000_000, 5_000_001, 2**62)
OPEN = (0, 1, 500_000, 500_001, 5_000_000, 5_000_001, 2**62)
AGES = (0, 28_800, 28_801, 2**40)
REGIONS = ("north", "south")


def any_person(choose: Choose) -> Person:
    return Person(
        groups=tuple(group for group in GROUPS if choose((True, False, False))),
        region=choose((*REGIONS, None)),
        department=choose(("claims", "claims", "audit", None)),
        mfa=choose((True, True, False)),
        suspended=choose((False, False, False, True)),
        sign_in_age=choose(AGES),
    )


def any_case(choose: Choose, person: Person, number: int = 1) -> Case:
    """Return a request that the schema permits; ``number`` makes its resource's id unique."""
    action = choose(
        (
            *REVIEW,
            EDIT,
            OPERATE,
            TRACES,
            PUBLISH,
            "search_policy_docs",
            "read_document",
            "get_customer_contact",
            PAY,
            PAY,
            REQUEST,
            *CLAIM_TOOLS,
        )
    )
    if action in REVIEW:
        return Case(person, action, review_queue())
    if action == EDIT:
        return Case(person, action, prompt_registry())
    if action == OPERATE:
        return Case(person, action, operations())
    if action == TRACES:
        return Case(person, action, trace_store())
    if action in (PUBLISH, "search_policy_docs"):
        return Case(person, action, knowledge_base())
    if action == "read_document":
        region = choose((*REGIONS, None))
        regional = {"region": region} if region else {}
        classification = choose(("public", "internal", "secret"))
        withdrawn = choose((False, False, True))
        resource = document(f"d-{number}", withdrawn=withdrawn, classification=classification, **regional)
        return Case(person, action, resource)
    if action == "get_customer_contact":
        purpose = choose(("claim_followup", "fraud_review", "birthday", ""))
        return Case(person, action, customer(choose(REGIONS), f"CU-{number}"), {"purpose": purpose})
    attributes = {
        "region": choose(REGIONS),
        "openAmount": choose(OPEN),
        "siuHold": choose((False, False, True)),
        **choose(({}, OWN, OTHER)),
    }
    resource = claim(choose((f"C-1{number:03}", GRANTED)), **attributes)
    if action in CLAIM_TOOLS:
        return Case(person, action, resource)
    inputs: dict[str, Any] = {"amount": choose(AMOUNTS), **choose(({}, {}, {"earlier": 400_000}))}
    if action == PAY:
        inputs |= choose(({}, {}, {"requestedBy": uid("User", ME)}, {"requestedBy": uid("User", "you")}))
    return Case(person, action, resource, inputs)


def as_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
