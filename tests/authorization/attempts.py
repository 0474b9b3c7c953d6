"""Everybody's attempts with every tool, and their outcome under the desk's rules, in plain Python
instead of Cedar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from demo.accounts import load
from demo.seed import with_users

Fate = Literal["runs", "waits", "denied"]

DATA = load()
PEOPLE: dict[str, dict[str, Any]] = DATA["users"]
RECORDS = with_users(DATA["records"], {name: name for name in PEOPLE})
CLAIMS: dict[str, dict[str, Any]] = RECORDS["claim"]
CUSTOMERS: dict[str, dict[str, Any]] = RECORDS["customer"]
GRANTS = {(grant["user"], grant["id"]) for grant in DATA["grants"]}

TRICKS = ('C-1001" || true || "', "C-1001\u200b", "\uff23-1001", "c-1001", "../C-1001", "C-9999", " ")
"""Ids that no claim has; some look like one."""
AMOUNTS: tuple[Any, ...] = (
    10_000,
    500_000,
    500_001,
    5_000_001,
    0,
    -10_000,
    2**63,
    100.5,
    "10000",
    None,
    True,
)


@dataclass(frozen=True)
class Attempt:
    """A call that somebody talks the model into."""

    tool: str
    arguments: dict[str, Any]


def attempts() -> Iterator[Attempt]:
    """Return the attempts, which are the same for everybody."""
    for claim in (*CLAIMS, *TRICKS):
        yield Attempt("get_claim", {"claim_id": claim})
        yield Attempt("add_claim_note", {"claim_id": claim, "text": "tried"})
        yield Attempt("approve_payout", {"claim_id": claim, "amount_minor": 10_000})
    for amount in AMOUNTS:
        yield Attempt("approve_payout", {"claim_id": "C-1001", "amount_minor": amount})
    for customer in (*CUSTOMERS, "CU-999"):
        for purpose in ("claim_followup", "birthday", ""):
            yield Attempt("get_customer_contact", {"customer_id": customer, "purpose": purpose})
    for claim in CLAIMS:
        yield Attempt("escalate_to_siu", {"claim_id": claim, "reason": "tried"})
    yield Attempt("delete_claim", {"claim_id": "C-1001"})
    yield Attempt("request_payout_approval", {"claim_id": "C-1001", "amount_minor": 10_000})


def fate(user: str, attempt: Attempt) -> Fate:
    """Return the outcome under the rules as the desk's handbook would put them."""
    person, arguments = PEOPLE[user], attempt.arguments
    if person.get("suspended"):
        return "denied"
    # Guardrails remove invisible characters from arguments before anything decides about them.
    claim_id = arguments.get("claim_id", "").replace("\u200b", "")
    match attempt.tool:
        case "get_claim":
            return _if(bool(claim_id.strip()) and _may_read(user, claim_id))
        case "add_claim_note" | "escalate_to_siu":
            return _if(_may_change(user, claim_id, investigators=attempt.tool == "add_claim_note"))
        case "approve_payout":
            return _payout(user, CLAIMS.get(claim_id), arguments["amount_minor"])
        case "get_customer_contact":
            customer = CUSTOMERS.get(arguments["customer_id"])
            handles = "handlers" in person["groups"] and customer is not None
            good = arguments["purpose"] == "claim_followup"
            return _if(bool(handles and good and customer and customer["region"] == person["region"]))
    return "denied"


def _may_read(user: str, claim_id: str) -> bool:
    person, claim = PEOPLE[user], CLAIMS.get(claim_id)
    if "auditors" in person["groups"]:
        return True
    if claim is None:
        return False
    own = "customers" in person["groups"] and claim["claimant"] == user
    held = "siu" in person["groups"] and claim.get("siu_hold", False)
    substitute = (user, claim_id) in GRANTS and person.get("mfa", False)
    return own or held or substitute or _handles(person, claim)


def _may_change(user: str, claim_id: str, *, investigators: bool) -> bool:
    person, claim = PEOPLE[user], CLAIMS.get(claim_id)
    if claim is None or claim["claimant"] == user:
        return False
    held = investigators and "siu" in person["groups"] and claim.get("siu_hold", False)
    return held or _handles(person, claim)


def _payout(user: str, claim: Mapping[str, Any] | None, amount: Any) -> Fate:
    person = PEOPLE[user]
    if claim is None or isinstance(amount, bool) or not isinstance(amount, int):
        return "denied"
    moves = person.get("mfa") and not claim.get("siu_hold") and claim["claimant"] != user
    if not moves or claim["region"] != person["region"] or not 0 < amount <= claim["open_amount"]:
        return "denied"
    if "supervisors" in person["groups"]:
        return _if(amount <= 5_000_000)
    if "adjusters" in person["groups"]:
        return "runs" if amount <= 500_000 else "waits" if amount <= 5_000_000 else "denied"
    return "denied"


def _handles(person: Mapping[str, Any], claim: Mapping[str, Any]) -> bool:
    return (
        "handlers" in person["groups"]
        and person.get("department") == "claims"
        and claim["region"] == person["region"]
    )


def _if(permitted: bool) -> Fate:
    return "runs" if permitted else "denied"
